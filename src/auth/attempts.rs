//! How often one may be wrong: per account and address, per account, and per address.
//!
//! Exact sliding windows over our own clock. What an attacker can fill is bounded; when it is full, the
//! entries that were quiet longest are forgotten.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::clock::Clock;
use crate::domain::{Principal, Timestamp};

/// Wrong passwords of one account from one address.
const FROM_ONE_ADDRESS: Window = Window { limit: 10, seconds: 15 * 60 };
/// Wrong passwords of one account from anywhere.
const FROM_ANYWHERE: Window = Window { limit: 100, seconds: 15 * 60 };
/// Entries of one table.
const MAX_ENTRIES: usize = 20_000;

/// Too many tries; the next one has a chance after so many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many tries; try again in {retry_after} seconds")]
pub struct TooOften {
    /// At least one.
    pub retry_after: u64,
}

/// The account that somebody claims to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Account<'a> {
    /// One that exists.
    Known(Principal),
    /// A name that nobody has; counted alike, so that nobody can tell.
    Unknown(&'a str),
}

/// Counts what went wrong.
#[derive(Clone, Debug)]
pub struct Attempts {
    state: Arc<Mutex<State>>,
    per_minute: Window,
    hasher: RandomState,
    clock: Clock,
}

/// Somebody's claim to be an account, not yet proven.
#[derive(Clone, Debug)]
pub struct Claim {
    attempts: Attempts,
    account: u64,
    network: Network,
}

#[derive(Debug, Default)]
struct State {
    pairs: Table<(u64, Network)>,
    accounts: Table<u64>,
    addresses: Table<Network>,
    handshakes: Table<Network>,
}

impl Attempts {
    /// Allows an address so many failures a minute.
    pub fn new(per_minute: NonZeroU32, clock: Clock) -> Self {
        let per_minute = Window { limit: per_minute.get() as usize, seconds: 60 };
        Self { state: Arc::default(), per_minute, hasher: RandomState::new(), clock }
    }

    /// Somebody claims to be an account.
    pub fn claim(&self, account: Account<'_>, address: IpAddr) -> Claim {
        let account = self.hasher.hash_one(account); // names that nobody has may be long
        Claim { attempts: self.clone(), account, network: Network::of(address) }
    }

    /// Whether one more account may be registered; counts it if so.
    pub fn register(&self, address: IpAddr) -> Result<(), TooOften> {
        let (network, now) = (Network::of(address), self.clock.now());
        let mut state = self.state.lock();
        state.addresses.check(network, self.per_minute, now)?;
        state.addresses.count(network, self.per_minute, now);
        Ok(())
    }

    /// A handshake, or an `authenticate`, was refused for what it showed; an error if that was too often.
    ///
    /// Asked after the refusal only, so that nothing that would be accepted is ever stopped.
    pub fn refused(&self, address: IpAddr) -> Result<(), TooOften> {
        let (network, now) = (Network::of(address), self.clock.now());
        let mut state = self.state.lock();
        state.handshakes.check(network, self.per_minute, now)?;
        state.handshakes.count(network, self.per_minute, now);
        Ok(())
    }
}

impl Claim {
    /// Whether it may be tried at all.
    pub fn check(&self) -> Result<(), TooOften> {
        let Self { attempts, account, network } = self;
        let now = attempts.clock.now();
        let state = attempts.state.lock();
        state.pairs.check((*account, *network), FROM_ONE_ADDRESS, now)?;
        state.accounts.check(*account, FROM_ANYWHERE, now)?;
        state.addresses.check(*network, attempts.per_minute, now)
    }

    /// It was tried with a wrong password.
    pub fn failed(&self) {
        let Self { attempts, account, network } = self;
        let now = attempts.clock.now();
        let mut state = attempts.state.lock();
        state.pairs.count((*account, *network), FROM_ONE_ADDRESS, now);
        state.accounts.count(*account, FROM_ANYWHERE, now);
        state.addresses.count(*network, attempts.per_minute, now);
    }
}

/// Who counts as one address: an IPv4 address, or an IPv6 network of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Network {
    /// An IPv4 address.
    V4(u32),
    /// The first 64 bits of an IPv6 address.
    V6(u64),
}

impl Network {
    /// The network that counts as one.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

/// So many in so much time.
#[derive(Clone, Copy, Debug)]
struct Window {
    limit: usize,
    seconds: i64,
}

/// When each key was wrong, the oldest first.
#[derive(Debug)]
struct Table<K> {
    entries: HashMap<K, VecDeque<Timestamp>>,
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self { entries: HashMap::new() }
    }
}

impl<K: Copy + Eq + Hash> Table<K> {
    /// Whether there is room for one more within the window.
    fn check(&self, key: K, window: Window, now: Timestamp) -> Result<(), TooOften> {
        // Of `limit` failures the oldest decides: it is the first to leave the window.
        let Some(times) = self.entries.get(&key) else { return Ok(()) };
        let Some(decisive) = times.len().checked_sub(window.limit) else { return Ok(()) };
        let left = times[decisive].plus_secs(window.seconds).micros() - now.micros();
        if left <= 0 {
            return Ok(());
        }
        Err(TooOften { retry_after: left.unsigned_abs().div_ceil(1_000_000) })
    }

    fn count(&mut self, key: K, window: Window, now: Timestamp) {
        if self.entries.len() >= MAX_ENTRIES && !self.entries.contains_key(&key) {
            self.make_room(window, now);
        }
        let times = self.entries.entry(key).or_default();
        while times.len() >= window.limit {
            times.pop_front();
        }
        times.push_back(now);
    }

    /// Forgets what is over, and if that is not enough, the quietest eighth.
    fn make_room(&mut self, window: Window, now: Timestamp) {
        let newest = |times: &VecDeque<Timestamp>| times.back().copied().unwrap_or_default();
        self.entries.retain(|_, times| newest(times).plus_secs(window.seconds) > now);
        if self.entries.len() < MAX_ENTRIES {
            return;
        }
        let mut ends: Vec<_> = self.entries.values().map(newest).collect();
        let (_, quietest, _) = ends.select_nth_unstable(MAX_ENTRIES / 8);
        let quietest = *quietest;
        let mut surplus = MAX_ENTRIES / 8;
        self.entries.retain(|_, times| {
            let stays = surplus == 0 || newest(times) > quietest;
            surplus -= usize::from(!stays);
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{DeviceId, UserId};

    const ANN: Account<'_> = Account::Known(Principal::User(UserId::new(1)));
    const BOB: Account<'_> = Account::Known(Principal::User(UserId::new(2)));
    const LAMP: Account<'_> = Account::Known(Principal::Device(DeviceId::new(1)));

    fn attempts(per_minute: u32) -> (Attempts, Clock) {
        let clock = Clock::held_at(Timestamp::from_secs(1_700_000_000));
        (Attempts::new(NonZeroU32::new(per_minute).unwrap(), clock.clone()), clock)
    }

    fn at(address: &str) -> IpAddr {
        address.parse().unwrap()
    }

    fn after(seconds: u64) -> Result<(), TooOften> {
        Err(TooOften { retry_after: seconds })
    }

    #[test]
    fn ten_failures_close_an_account_for_one_address() {
        for account in [ANN, LAMP, Account::Unknown("nobody@example.org")] {
            let (attempts, clock) = attempts(1000);
            for _ in 0..10 {
                assert_eq!(attempts.claim(account, at("10.0.0.1")).check(), Ok(()));
                attempts.claim(account, at("10.0.0.1")).failed();
                clock.advance(1_000_000);
            }
            assert_eq!(attempts.claim(account, at("10.0.0.1")).check(), after(890));
            assert_eq!(attempts.claim(account, at("10.0.0.2")).check(), Ok(()));
            assert_eq!(attempts.claim(BOB, at("10.0.0.1")).check(), Ok(()));
            clock.advance(889_999_999);
            assert_eq!(attempts.claim(account, at("10.0.0.1")).check(), after(1));
            clock.advance(1);
            assert_eq!(attempts.claim(account, at("10.0.0.1")).check(), Ok(()));
            attempts.claim(account, at("10.0.0.1")).failed();
            assert_eq!(attempts.claim(account, at("10.0.0.1")).check(), after(1));
        }
    }

    #[test]
    fn a_hundred_failures_close_an_account_for_everybody() {
        let (attempts, clock) = attempts(1000);
        for source in 0..100 {
            let address = IpAddr::from([10, 0, 0, source]);
            assert_eq!(attempts.claim(ANN, address).check(), Ok(()));
            attempts.claim(ANN, address).failed();
        }
        assert_eq!(attempts.claim(ANN, at("10.9.9.9")).check(), after(900));
        assert_eq!(attempts.claim(BOB, at("10.9.9.9")).check(), Ok(()));
        clock.advance(900_000_000);
        assert_eq!(attempts.claim(ANN, at("10.9.9.9")).check(), Ok(()));
    }

    #[test]
    fn an_address_may_fail_and_register_so_often_a_minute() {
        let (attempts, clock) = attempts(3);
        attempts.claim(ANN, at("10.0.0.1")).failed();
        attempts.claim(BOB, at("10.0.0.1")).failed();
        assert_eq!(attempts.register(at("10.0.0.1")), Ok(()));
        assert_eq!(attempts.register(at("10.0.0.1")), after(60));
        assert_eq!(attempts.claim(LAMP, at("::ffff:10.0.0.1")).check(), after(60));
        assert_eq!(attempts.register(at("10.0.0.2")), Ok(()));
        clock.advance(60_000_000);
        assert_eq!(attempts.register(at("10.0.0.1")), Ok(()));
    }

    #[test]
    fn refused_handshakes_have_a_count_of_their_own() {
        let (attempts, _) = attempts(2);
        assert_eq!(attempts.refused(at("10.0.0.1")), Ok(()));
        assert_eq!(attempts.refused(at("10.0.0.1")), Ok(()));
        assert_eq!(attempts.refused(at("10.0.0.1")), after(60));
        assert_eq!(attempts.claim(ANN, at("10.0.0.1")).check(), Ok(()));
        assert_eq!(attempts.register(at("10.0.0.1")), Ok(()));
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let (attempts, _) = attempts(1);
        assert_eq!(attempts.register(at("2001:db8:0:1::1")), Ok(()));
        assert_eq!(attempts.register(at("2001:db8:0:1:ffff::2")), after(60));
        assert_eq!(attempts.register(at("2001:db8:0:2::1")), Ok(()));
    }

    #[test]
    fn memory_is_bounded_and_the_loudest_are_remembered() {
        let (attempts, clock) = attempts(1);
        attempts.claim(ANN, at("10.0.0.1")).failed();
        clock.advance(1);
        for n in 0..u32::try_from(MAX_ENTRIES).unwrap() + 10 {
            attempts.claim(BOB, IpAddr::from(n.to_be_bytes())).failed();
            if n % 1000 == 0 {
                attempts.claim(ANN, at("10.0.0.1")).failed();
            }
            clock.advance(1);
        }
        let state = attempts.state.lock();
        assert!(state.addresses.entries.len() <= MAX_ENTRIES);
        assert!(state.pairs.entries.len() <= MAX_ENTRIES);
        drop(state);
        assert!(attempts.register(at("10.0.0.1")).is_err());
        assert_eq!(attempts.register(at("0.0.0.1")), Ok(()));
    }

    #[test]
    fn what_is_over_is_forgotten_first() {
        let (attempts, clock) = attempts(1);
        for n in 0..u32::try_from(MAX_ENTRIES).unwrap() {
            let _ = attempts.register(IpAddr::from(n.to_be_bytes()));
        }
        clock.advance(60_000_000);
        assert_eq!(attempts.register(at("10.0.0.1")), Ok(()));
        assert_eq!(attempts.state.lock().addresses.entries.len(), 1);
    }
}
