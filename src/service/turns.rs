//! One large answer at a time: whoever asks for a second one waits until the first has been taken.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Mutex as Queue, OwnedMutexGuard};

use super::Services;
use crate::domain::Principal;

/// Answers of more bytes are large.
pub const LARGE_ANSWER: usize = 64 << 10;

/// What an answer holds. An account has a turn for each, so that a long download of messages keeps no other list
/// waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bulk {
    /// All messages of a conversation or a device.
    Messages,
    /// What was said in a chat, as a connection opens it.
    History,
    /// Anything else: circles, conversations, members, files.
    Others,
}

/// Whose large answers are under way or waited for.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<Queues>);

/// Who holds the lock has the turn.
type Queues = HashMap<(Principal, Bulk), Arc<Queue<()>>>;

/// An account's turn to be given a large answer, as long as this is held.
#[derive(Debug)]
pub struct Turn {
    // Let go in this order.
    _held: OwnedMutexGuard<()>,
    _place: Place,
}

/// A place in an account's queue.
#[derive(Debug)]
struct Place {
    turns: Arc<Turns>,
    of: (Principal, Bulk),
}

impl Turns {
    async fn take(self: &Arc<Self>, of: (Principal, Bulk)) -> Turn {
        // Given up also by who ceases to wait.
        let place = Place { turns: Arc::clone(self), of };
        let queue = Arc::clone(self.0.lock().entry(of).or_default());
        Turn { _held: queue.lock_owned().await, _place: place }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut queues = self.turns.0.lock();
        // Nobody but this map knows of it.
        if queues.get(&self.of).is_some_and(|queue| Arc::strong_count(queue) == 1) {
            queues.remove(&self.of);
        }
    }
}

impl Services {
    /// Waits for an account's turn to be given an answer that may be large.
    pub async fn turn(&self, principal: Principal, of: Bulk) -> Turn {
        self.turns.take((principal, of)).await
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::domain::UserId;

    #[tokio::test]
    async fn one_turn_an_account_and_nothing_is_kept_of_those_who_have_none() {
        let turns = Arc::new(Turns::default());
        let [ann, bob] = [1, 2].map(|id| (Principal::User(UserId::new(id)), Bulk::History));
        let first = turns.take(ann).await;
        let other = turns.take(bob).now_or_never().expect("nobody else's turn counts");
        let mut second = Box::pin(turns.take(ann));
        assert!((&mut second).now_or_never().is_none());
        assert!(turns.take(ann).now_or_never().is_none(), "ceases to wait");
        drop((first, other));
        let second = second.await;
        assert_eq!(turns.0.lock().len(), 1);
        let third = turns.take(ann);
        drop(second);
        drop(third.await);
        assert!(turns.0.lock().is_empty());
        let held = turns.take(ann).await;
        let mut waiting = Box::pin(turns.take(ann));
        assert!((&mut waiting).now_or_never().is_none());
        drop(held);
        drop(waiting);
        assert!(turns.0.lock().is_empty());
    }
}
