//! Of whom a connection is shown everything: addresses are for those who share something with a person.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::{
    Attending, ConversationChange, ConversationId, Event, Party, Principal, UserId,
};

/// What is known of the conversations that a connection listens to, and of the people there.
#[derive(Debug, Default)]
pub(super) struct Familiar {
    conversations: BTreeMap<ConversationId, Bond>,
    known: BTreeSet<UserId>,
}

/// What listening to a conversation has to do with knowing its people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bond {
    /// All of them are in one circle.
    Circle,
    /// Whoever writes is known.
    Writing,
    /// It brings nobody together.
    Room,
}

/// Which of the people that an event names are strangers to the listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Strangers {
    /// The one whom it is about.
    pub(super) first: bool,
    /// The one who did it, where that is another.
    pub(super) second: bool,
}

impl Familiar {
    /// The connection listens to a conversation.
    pub(super) fn join(&mut self, id: ConversationId, attending: &Attending) {
        let bond = match attending {
            Attending { in_circle: true, .. } => Bond::Circle,
            Attending { is_room: true, .. } => Bond::Room,
            _ => Bond::Writing,
        };
        self.conversations.insert(id, bond);
        self.known.extend(&attending.known);
    }

    /// It listens no longer.
    pub(super) fn leave(&mut self, id: ConversationId) {
        self.conversations.remove(&id);
    }

    /// Whoever writes in a direct conversation or a group is known from then on.
    pub(super) fn hear(&mut self, event: &Event) {
        if let Event::MessagePosted { message, sender, .. } = event
            && let Principal::User(user) = sender.principal()
            && self.conversations.get(&message.conversation) == Some(&Bond::Writing)
        {
            self.known.insert(user);
        }
    }

    /// Who in an event is a stranger to the one who listens.
    pub(super) fn strangers(&self, listener: Option<Principal>, event: &Event) -> Strangers {
        let Some((conversation, first, second)) = people(event) else {
            return Strangers::default();
        };
        let bond = self.conversations.get(&conversation);
        let strange = |party: &Party| {
            let Principal::User(user) = party.principal() else { return false };
            bond != Some(&Bond::Circle)
                && listener != Some(party.principal())
                && !self.known.contains(&user)
        };
        Strangers { first: strange(first), second: second.is_some_and(strange) }
    }
}

/// The people whom an event of a conversation shows.
fn people(event: &Event) -> Option<(ConversationId, &Party, Option<&Party>)> {
    match event {
        Event::MessagePosted { message, sender, .. } => Some((message.conversation, sender, None)),
        Event::FileArrived { message, by, .. } => Some((message.conversation, by, None)),
        Event::TypingChanged { conversation, who, .. } => Some((*conversation, who, None)),
        Event::ConversationChanged {
            conversation,
            change: ConversationChange::Kicked { user, by },
        } => Some((*conversation, user, Some(by))),
        Event::ConversationChanged { conversation, change: ConversationChange::Quit(user) } => {
            Some((*conversation, user, None))
        }
        Event::ConversationChanged { .. }
        | Event::MessageCompleted { .. }
        | Event::MessageEdited { .. }
        | Event::MessageRemoved { .. }
        | Event::ReceiptAdvanced { .. }
        | Event::AttendanceChanged { .. }
        | Event::CircleChanged { .. }
        | Event::PresenceChanged { .. }
        | Event::PresenceAnnounced { .. }
        | Event::ActiveUsersChanged { .. }
        | Event::DialogBegun { .. }
        | Event::RoomListed { .. }
        | Event::SignalSent(_)
        | Event::Calling(_)
        | Event::LoginDoubted { .. }
        | Event::RoomsParked { .. }
        | Event::LoginEnded { .. } => None,
    }
}
