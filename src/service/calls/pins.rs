//! Old clients forward to accounts, not to connections: the connection that answers first is
//! the one the sender goes on talking to.
//!
//! Without this, two open pages of one account would both answer an offer.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::domain::{ConnectionId, Principal};

/// After how much silence between two accounts all connections are told again.
const IDLE: Duration = Duration::from_mins(1);
/// Pairs at which silent ones are looked for.
const SWEPT: usize = 1024;

/// Who talks to which connection of whom.
#[derive(Debug, Default)]
pub(super) struct Pins(Mutex<HashMap<(Principal, Principal), Talk>>);

/// One account has sent something to another.
#[derive(Clone, Copy, Debug)]
struct Talk {
    last: Instant,
    /// The connection of the other that answered.
    pinned: Option<ConnectionId>,
}

impl Talk {
    fn is_idle(&self, now: Instant) -> bool {
        now.duration_since(self.last) > IDLE
    }
}

impl Pins {
    /// Something goes from a connection to an account, whose connections are these: which
    /// of them is to get it; none for all.
    pub(super) fn route(
        &self,
        from: (Principal, Option<ConnectionId>),
        to: (Principal, &[ConnectionId]),
        now: Instant,
    ) -> Option<ConnectionId> {
        let mut talks = self.0.lock();
        if talks.len() >= SWEPT {
            talks.retain(|_, talk| !talk.is_idle(now));
        }
        let ((sender, connection), (target, connections)) = (from, to);
        // If the other has said something before, this is an answer.
        if let Some(talk) = talks.get_mut(&(target, sender))
            && !talk.is_idle(now)
        {
            talk.last = now;
            talk.pinned = talk.pinned.or(connection);
        }
        let talk = talks.entry((sender, target)).or_insert(Talk { last: now, pinned: None });
        if talk.is_idle(now) {
            talk.pinned = None;
        }
        talk.last = now;
        talk.pinned = talk.pinned.filter(|pinned| connections.contains(pinned));
        talk.pinned
    }

    /// A connection speaks for nobody any more.
    pub(super) fn gone(&self, connection: ConnectionId) {
        for talk in self.0.lock().values_mut() {
            talk.pinned = talk.pinned.filter(|pinned| *pinned != connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::UserId;

    #[test]
    fn the_first_connection_that_answers_is_the_one_that_is_told() {
        let pins = Pins::default();
        let [ann, bob] = [1, 2].map(|id| Principal::User(UserId::new(id)));
        let [desk, phone, tab] = [1, 2, 3].map(ConnectionId::new);
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let call = |now| pins.route((ann, Some(desk)), (bob, &[phone, tab]), now);
        let answer = |from, now| pins.route((bob, Some(from)), (ann, &[desk]), now);
        // An offer rings everywhere, until one answers.
        assert_eq!(call(after(0)), None);
        assert_eq!(call(after(1)), None);
        assert_eq!(answer(phone, after(2)), None);
        assert_eq!(answer(tab, after(2)), None);
        assert_eq!(call(after(3)), Some(phone));
        // And whom the caller answered in turn is told what the callee says.
        assert_eq!(answer(phone, after(4)), Some(desk));
        // A minute of talk keeps it, a minute of silence ends it.
        assert_eq!(call(after(60)), Some(phone));
        assert_eq!(call(after(121)), None);
        // So does the end of the connection.
        answer(tab, after(122));
        assert_eq!(call(after(123)), Some(tab));
        pins.gone(tab);
        assert_eq!(call(after(124)), None);
        // One that is not there any more is not told.
        answer(tab, after(125));
        assert_eq!(pins.route((ann, Some(desk)), (bob, &[phone]), after(126)), None);
    }

    #[test]
    fn who_speaks_first_answers_nothing() {
        let pins = Pins::default();
        let [ann, bob] = [1, 2].map(|id| Principal::User(UserId::new(id)));
        let [desk, phone] = [1, 2].map(ConnectionId::new);
        let now = Instant::now();
        assert_eq!(pins.route((bob, Some(phone)), (ann, &[desk]), now), None);
        assert_eq!(pins.route((bob, Some(phone)), (ann, &[desk]), now), None);
        assert_eq!(pins.route((ann, Some(desk)), (bob, &[phone]), now), None);
        assert_eq!(pins.route((bob, Some(phone)), (ann, &[desk]), now), Some(desk));
    }
}
