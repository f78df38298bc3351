//! Who holds which allocations, over all listeners.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use stun::agent::TransactionId;

use super::credentials::Claim;
use crate::domain::Principal;

/// One client of one listener, as the ledger names it.
pub(super) type Place = (LineId, SocketAddr);

/// One listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct LineId(pub(super) usize);

/// How much may be held.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) per_account: usize,
    pub(super) total: usize,
    pub(super) peers: usize,
}

/// Why nothing more may be held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exceeded {
    Account,
    Total,
}

#[derive(Debug)]
struct Held {
    claim: Claim,
    /// Of the request that it was made by.
    transaction: TransactionId,
    /// What that request was answered, once it was.
    answer: Option<Arc<[u8]>>,
    /// How many were made before it.
    age: u64,
    peers: HashSet<IpAddr>,
}

/// One allocation at the moment when it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Holding {
    pub(super) place: Place,
    pub(super) claim: Claim,
    pub(super) transaction: TransactionId,
}

/// The allocations that exist, or are about to.
#[derive(Debug)]
pub(super) struct Ledger {
    bounds: Bounds,
    held: Mutex<HashMap<Place, Held>>,
    made: AtomicU64,
}

impl Ledger {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { bounds, held: Mutex::default(), made: AtomicU64::new(0) }
    }

    /// Whose allocation it is.
    pub(super) fn holder(&self, place: Place) -> Option<Principal> {
        self.held.lock().get(&place).map(|held| held.claim.principal)
    }

    /// Whether an allocation was made, or is being made, by this very request: networks repeat
    /// datagrams, and clients do when they wait too long.
    pub(super) fn is_made_by(&self, place: Place, transaction: TransactionId) -> bool {
        self.held.lock().get(&place).is_some_and(|held| held.transaction == transaction)
    }

    /// Enters an allocation that is about to be made, if another one is allowed.
    pub(super) fn enter(
        &self,
        place: Place,
        claim: Claim,
        transaction: TransactionId,
    ) -> Result<(), Exceeded> {
        let mut held = self.held.lock();
        let own = held.values().filter(|held| held.claim.principal == claim.principal).count();
        if own >= self.bounds.per_account {
            return Err(Exceeded::Account);
        }
        if held.len() >= self.bounds.total {
            return Err(Exceeded::Total);
        }
        let age = self.made.fetch_add(1, Ordering::Relaxed);
        let peers = HashSet::new();
        held.insert(place, Held { claim, transaction, answer: None, age, peers });
        Ok(())
    }

    /// Notes what the request that made an allocation is answered.
    pub(super) fn note_answer(&self, place: Place, transaction: TransactionId, answer: &[u8]) {
        if let Some(held) = self.held.lock().get_mut(&place)
            && held.transaction == transaction
        {
            held.answer = Some(answer.into());
        }
    }

    /// What the request that made an allocation was answered; nothing while it is being made.
    pub(super) fn answer(&self, place: Place) -> Option<Arc<[u8]>> {
        self.held.lock().get(&place)?.answer.clone()
    }

    /// An allocation has ended, or was not made after all.
    pub(super) fn strike(&self, place: Place) -> bool {
        self.held.lock().remove(&place).is_some()
    }

    /// Notes whom an allocation talks to, if it may talk to so many.
    pub(super) fn add_peers(&self, place: Place, peers: &[SocketAddr]) -> bool {
        let mut held = self.held.lock();
        let Some(held) = held.get_mut(&place) else { return false };
        let new: HashSet<_> =
            peers.iter().map(SocketAddr::ip).filter(|ip| !held.peers.contains(ip)).collect();
        if held.peers.len() + new.len() > self.bounds.peers {
            return false;
        }
        held.peers.extend(new);
        true
    }

    /// Everything that is held now.
    pub(super) fn holdings(&self) -> Vec<Holding> {
        let held = self.held.lock();
        let holding = |(place, held): (&Place, &Held)| Holding {
            place: *place,
            claim: held.claim,
            transaction: held.transaction,
        };
        held.iter().map(holding).collect()
    }

    /// The places of an account's allocations, the oldest first.
    pub(super) fn places_of(&self, principal: Principal) -> Vec<Place> {
        let held = self.held.lock();
        let own = held.iter().filter(|(_, held)| held.claim.principal == principal);
        let mut own: Vec<_> = own.map(|(place, held)| (held.age, *place)).collect();
        own.sort_unstable_by_key(|(age, _)| *age);
        own.into_iter().map(|(_, place)| place).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Timestamp, UserId};

    fn claim(user: i64) -> Claim {
        let principal = Principal::User(UserId::new(user));
        Claim { principal, expires: Timestamp::from_secs(9), made: Timestamp::from_secs(1) }
    }

    fn place(port: u16) -> Place {
        (LineId(0), SocketAddr::from(([127, 0, 0, 1], port)))
    }

    #[test]
    fn an_account_and_all_together_hold_so_many() {
        let ledger = Ledger::new(Bounds { per_account: 2, total: 3, peers: 2 });
        let enter = |place, claim| ledger.enter(place, claim, TransactionId::new());
        assert_eq!(enter(place(1), claim(1)), Ok(()));
        assert_eq!(enter(place(2), claim(1)), Ok(()));
        assert_eq!(enter(place(3), claim(1)), Err(Exceeded::Account));
        assert_eq!(enter(place(3), claim(2)), Ok(()));
        assert_eq!(enter(place(4), claim(3)), Err(Exceeded::Total));
        assert!(ledger.strike(place(1)));
        assert_eq!(enter(place(4), claim(1)), Ok(()));
        assert_eq!(ledger.holder(place(3)), Some(claim(2).principal));
        assert_eq!(ledger.holder(place(1)), None);
        let request = TransactionId::new();
        assert!(ledger.strike(place(4)));
        assert_eq!(ledger.enter(place(4), claim(1), request), Ok(()));
        assert!(ledger.is_made_by(place(4), request) && !ledger.is_made_by(place(3), request));
        let peer = |n| SocketAddr::from(([10, 0, 0, n], 1));
        assert!(ledger.add_peers(place(2), &[peer(1), peer(2)]));
        assert!(ledger.add_peers(place(2), &[peer(2)]));
        assert!(!ledger.add_peers(place(2), &[peer(3)]));
    }
}
