//! Who may still come in: places for all together, and the share of them that one address has.
//!
//! A place is taken by a connection, or by a session that comes by many of them. Behind proxies
//! connections have no address of their own; there each request claims its client's share.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// Connections without a place whose request is still awaited. Beyond it the oldest gives way.
const LOBBY: usize = 256;

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Crowded {
    /// All are taken.
    #[error("all places are taken")]
    Everywhere,
    /// This address has its share.
    #[error("this address has its share of places")]
    Here,
}

/// The places of all listeners together. Clones count together.
#[derive(Clone, Debug)]
pub struct Admission {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    most: usize,
    per_address: usize,
    counts: Mutex<Counts>,
    lobby: Mutex<VecDeque<Weak<CancellationToken>>>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl Counts {
    fn claim(&mut self, network: IpAddr, most: usize) -> Result<(), Crowded> {
        let held = self.by_address.entry(network).or_default();
        if *held >= most {
            return Err(Crowded::Here);
        }
        *held += 1;
        Ok(())
    }
}

impl Admission {
    /// So many places, of which one address has at most so many.
    pub fn new(most: usize, per_address: usize) -> Self {
        let (counts, lobby) = (Mutex::default(), Mutex::default());
        Self { shared: Arc::new(Shared { most, per_address, counts, lobby }) }
    }

    /// Takes a place, and a part of the share of an address if one is named.
    pub fn admit(&self, address: Option<IpAddr>) -> Result<Place, Crowded> {
        let mut counts = self.shared.counts.lock();
        if counts.all >= self.shared.most {
            return Err(Crowded::Everywhere);
        }
        let network = address.map(network_of);
        if let Some(network) = network {
            counts.claim(network, self.shared.per_address)?;
        }
        counts.all += 1;
        drop(counts);
        let claim = network.map(|network| Claim { shared: self.shared.clone(), network });
        Ok(Place { shared: self.shared.clone(), _claim: claim })
    }

    /// Claims a part of an address's share for what has a place already.
    pub fn claim(&self, address: IpAddr) -> Result<Claim, Crowded> {
        let network = network_of(address);
        self.shared.counts.lock().claim(network, self.shared.per_address)?;
        Ok(Claim { shared: self.shared.clone(), network })
    }

    /// How many places are taken.
    pub fn taken(&self) -> usize {
        self.shared.counts.lock().all
    }

    /// Lets a connection without a place say what it wants; it is told to go when more come
    /// than there is room for.
    pub(super) fn wait(&self) -> Waiting {
        let leave = Arc::new(CancellationToken::new());
        let mut lobby = self.shared.lobby.lock();
        lobby.retain(|other| other.strong_count() > 0);
        if lobby.len() >= LOBBY
            && let Some(oldest) = lobby.pop_front().and_then(|oldest| oldest.upgrade())
        {
            oldest.cancel();
        }
        lobby.push_back(Arc::downgrade(&leave));
        drop(lobby);
        Waiting { leave }
    }
}

impl Default for Admission {
    fn default() -> Self {
        Self::new(100_000, 100_000)
    }
}

/// One place, until it is dropped.
#[derive(Debug)]
pub struct Place {
    shared: Arc<Shared>,
    _claim: Option<Claim>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.counts.lock().all -= 1;
    }
}

/// A part of an address's share, until it is dropped.
#[derive(Debug)]
pub struct Claim {
    shared: Arc<Shared>,
    network: IpAddr,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut counts = self.shared.counts.lock();
        if let Some(held) = counts.by_address.get_mut(&self.network) {
            *held -= 1;
            if *held == 0 {
                counts.by_address.remove(&self.network);
            }
        }
    }
}

/// A connection without a place, until it has one or ends.
#[derive(Debug)]
pub(super) struct Waiting {
    leave: Arc<CancellationToken>,
}

impl Waiting {
    /// Is cancelled when the connection has to go.
    pub(super) fn told_to_go(&self) -> CancellationToken {
        CancellationToken::clone(&self.leave)
    }
}

/// What counts as one address: an IPv6 host has a whole /64.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn places_are_counted_in_all_and_by_address() {
        let admission = Admission::new(4, 2);
        let first = admission.admit(Some(ip("192.0.2.1"))).unwrap();
        let _second = admission.admit(Some(ip("::ffff:192.0.2.1"))).unwrap();
        assert_eq!(admission.admit(Some(ip("192.0.2.1"))).unwrap_err(), Crowded::Here);
        let _other = admission.admit(Some(ip("2001:db8::1"))).unwrap();
        drop(first);
        let claim = admission.claim(ip("192.0.2.1")).unwrap();
        assert_eq!(admission.admit(Some(ip("192.0.2.1"))).unwrap_err(), Crowded::Here);
        drop(claim);
        let _again = admission.admit(Some(ip("192.0.2.1"))).unwrap();
        let _proxy = admission.admit(None).unwrap();
        assert_eq!(admission.taken(), 4);
        assert_eq!(admission.admit(Some(ip("203.0.113.1"))).unwrap_err(), Crowded::Everywhere);
        assert_eq!(admission.admit(Some(ip("192.0.2.1"))).unwrap_err(), Crowded::Everywhere);
    }

    #[test]
    fn an_ipv6_host_has_a_whole_network() {
        let admission = Admission::new(10, 1);
        let _one = admission.admit(Some(ip("2001:db8:0:1::1"))).unwrap();
        assert_eq!(admission.admit(Some(ip("2001:db8:0:1:ffff::"))).unwrap_err(), Crowded::Here);
        let _next = admission.admit(Some(ip("2001:db8:0:2::1"))).unwrap();
    }

    #[test]
    fn nothing_is_kept_of_who_has_gone() {
        let admission = Admission::new(2, 1);
        for n in 0..100_u8 {
            drop(admission.admit(Some(ip(&format!("192.0.2.{n}")))));
            drop(admission.claim(ip("198.51.100.7")));
        }
        assert_eq!(admission.taken(), 0);
        assert!(admission.shared.counts.lock().by_address.is_empty());
    }

    #[test]
    fn the_oldest_without_a_place_gives_way() {
        let admission = Admission::new(0, 0);
        let waiting: Vec<_> = (0..LOBBY).map(|_| admission.wait()).collect();
        assert!(waiting.iter().all(|one| !one.told_to_go().is_cancelled()));
        let _late = admission.wait();
        assert!(waiting[0].told_to_go().is_cancelled());
        assert!(!waiting[1].told_to_go().is_cancelled());
    }
}
