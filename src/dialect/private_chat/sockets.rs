//! Which pages are open: for each user and opponent the number of sockets.
//!
//! A message goes to the page that is open on its author, and to other pages of its reader
//! only if there is none; so each session asks here about its own user.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::domain::UserId;

/// A user, and whom their page is open on.
type Pair = (UserId, UserId);

/// All open pages. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Sockets {
    open: Arc<Mutex<HashMap<Pair, usize>>>,
}

/// One open page; it counts until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    sockets: Sockets,
    pair: Pair,
}

impl Sockets {
    /// One more page of `owner` is open on `opponent`.
    pub(super) fn take(&self, owner: UserId, opponent: UserId) -> Seat {
        let pair = (owner, opponent);
        *self.open.lock().entry(pair).or_default() += 1;
        Seat { sockets: self.clone(), pair }
    }

    /// Whether any page of `owner` is open on `opponent`.
    pub(super) fn are_open(&self, owner: UserId, opponent: UserId) -> bool {
        self.open.lock().contains_key(&(owner, opponent))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut open = self.sockets.open.lock();
        if let Some(count) = open.get_mut(&self.pair) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.pair);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_open_while_one_of_its_pages_is() {
        let sockets = Sockets::default();
        let (ann, bob) = (UserId::new(1), UserId::new(2));
        let first = sockets.take(ann, bob);
        let second = sockets.take(ann, bob);
        drop(first);
        assert!(sockets.are_open(ann, bob));
        assert!(!sockets.are_open(bob, ann));
        drop(second);
        assert!(!sockets.are_open(ann, bob));
        assert!(sockets.open.lock().is_empty());
    }
}
