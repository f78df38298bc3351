//! What came for a connection while a command of it ran or its reply was written.

use std::sync::Arc;

use crate::domain::{ConnectionId, Place};
use crate::hub::Delivery;

/// Deliveries that wait for a reply.
#[derive(Default)]
pub(super) struct Held {
    deliveries: Vec<Arc<Delivery>>,
    /// Whether something was dropped.
    dropped: bool,
    /// The first place among the messages that were dropped.
    missed: Option<Place>,
}

/// There is no room, and the connection cannot do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoRoom;

impl Held {
    /// Takes one more of at most so many. Where the connection `reads_on`, what it can do
    /// without is dropped from the first on that finds no room; for the rest there is as
    /// much room again.
    pub(super) fn take(
        &mut self,
        delivery: &Arc<Delivery>,
        most: usize,
        reads_on: Option<ConnectionId>,
    ) -> Result<(), NoRoom> {
        let event = delivery.event();
        let droppable = reads_on.is_some_and(|by| event.may_be_missed(by));
        let room = match (reads_on, droppable) {
            (Some(_), true) if self.dropped => 0,
            (Some(_), false) => most.saturating_mul(2),
            _ => most,
        };
        if self.deliveries.len() < room {
            self.deliveries.push(Arc::clone(delivery));
            return Ok(());
        }
        if !droppable {
            return Err(NoRoom);
        }
        self.dropped = true;
        if let Some(place) = event.shows_at() {
            self.missed = Some(self.missed.map_or(place, |missed| missed.min(place)));
        }
        Ok(())
    }

    /// How many wait.
    pub(super) const fn len(&self) -> usize {
        self.deliveries.len()
    }

    /// The first place among the messages that were dropped.
    pub(super) const fn missed(&self) -> Option<Place> {
        self.missed
    }
}

impl IntoIterator for Held {
    type Item = Arc<Delivery>;
    type IntoIter = std::vec::IntoIter<Arc<Delivery>>;

    fn into_iter(self) -> Self::IntoIter {
        self.deliveries.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ConversationChange, ConversationId, Event, LoginId};

    fn delivery(event: Event) -> Arc<Delivery> {
        Arc::new(Delivery::new(event))
    }

    fn typing() -> Arc<Delivery> {
        delivery(Event::ActiveUsersChanged { asked_by: None })
    }

    fn end() -> Arc<Delivery> {
        delivery(Event::LoginEnded { login: LoginId::new(1), deactivated: false })
    }

    #[test]
    fn who_cannot_read_on_is_told_that_there_is_no_room() {
        let mut held = Held::default();
        for taken in [Ok(()), Ok(()), Err(NoRoom)] {
            assert_eq!(held.take(&typing(), 2, None), taken);
        }
        assert_eq!(held.len(), 2);
    }

    #[test]
    fn who_reads_on_goes_without_what_can_be_missed_and_without_nothing_else() {
        let me = Some(ConnectionId::new(7));
        let mut held = Held::default();
        for _ in 0..5 {
            assert_eq!(held.take(&typing(), 2, me), Ok(()));
        }
        assert_eq!(held.len(), 2);
        let changed = Event::ConversationChanged {
            conversation: ConversationId::new(1),
            change: ConversationChange::Deleted,
        };
        assert_eq!(held.take(&delivery(changed), 2, me), Ok(()));
        assert_eq!(held.take(&end(), 2, me), Ok(()));
        assert_eq!(held.take(&end(), 2, me), Err(NoRoom));
        assert_eq!((held.len(), held.missed()), (4, None));
    }
}
