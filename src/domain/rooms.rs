//! What clients of rooms ask, and what they are told: joining, older messages, lists, and the
//! rooms that a lost connection leaves behind.

use std::sync::Arc;
use std::time::Duration;

use super::{Conversation, ConversationId, MessageId, Place, Shown};

/// What may be asked about rooms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomCommand {
    /// Join a room, and read what was said before.
    Join {
        /// Which.
        room: ConversationId,
        /// What to read.
        past: Past,
        /// Whether members' groups count as rooms.
        groups: bool,
        /// How long the place is kept when the connection is lost, if it is.
        keep: Option<Duration>,
    },
    /// Leave a room, whether or not one is in it.
    Leave {
        /// Which.
        room: ConversationId,
        /// Whether members' groups count as rooms.
        groups: bool,
    },
    /// Read older messages.
    Read {
        /// Where.
        room: ConversationId,
        /// What to read.
        past: Past,
    },
    /// Read on behind what was shown.
    ReadOn(Vec<(ConversationId, Place)>),
    /// Show one message again to its author.
    Show(MessageId),
    /// Tell that everything up to a message was seen.
    MarkRead {
        /// Where.
        room: ConversationId,
        /// Up to which.
        message: MessageId,
    },
    /// Which rooms there are.
    List {
        /// Whether members' groups count as rooms.
        groups: bool,
    },
    /// Who is in a room.
    ListPresent(ConversationId),
    /// Make a room.
    Create {
        /// Its title.
        title: String,
        /// Whether it is for staff.
        staff: bool,
    },
    /// Change a room.
    Update {
        /// Which.
        room: ConversationId,
        /// Its new title.
        title: Option<String>,
        /// Whether it is for staff from now on.
        staff: Option<bool>,
    },
    /// Remove a room.
    Remove(ConversationId),
    /// Take over the rooms that a lost connection of the same login has left.
    Resume {
        /// Whether the login's other connections have to prove that they are there.
        doubt: bool,
        /// How long the places are kept when this connection is lost as well.
        keep: Duration,
    },
    /// The connection was lost: keep its places for a while.
    Park {
        /// How long.
        keep: Duration,
    },
}

/// Which messages to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Past {
    /// The newest, at most so many.
    Newest(usize),
    /// The newest before this one.
    Before(MessageId, usize),
    /// The oldest after this one.
    After(MessageId, usize),
}

/// Some messages, ascending, and whether there are more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// The messages.
    pub messages: Vec<Shown>,
    /// Whether there are more in the direction that was asked for.
    pub more: bool,
}

/// A room in which messages were missed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missed {
    /// Which.
    pub room: ConversationId,
    /// Up to where it was read; what comes live behind it is new.
    pub upto: Place,
    /// The messages.
    pub messages: Vec<Shown>,
}

/// What clients of rooms are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoomReply {
    /// Nothing that needs saying.
    Done,
    /// The room was joined.
    Joined {
        /// As it is now.
        room: Arc<Conversation>,
        /// What was said before; none where the connection had joined already.
        replay: Option<Replay>,
        /// Who is in it.
        present: Vec<String>,
    },
    /// The room was left.
    Left(Arc<Conversation>),
    /// Messages that were asked for.
    Replay(Replay),
    /// What was to be read on.
    Continued {
        /// Room by room.
        rooms: Vec<Missed>,
        /// Whether there is more.
        more: bool,
    },
    /// One message.
    Shown(Shown),
    /// Rooms by title.
    Rooms(Vec<Arc<Conversation>>),
    /// Who is in a room, by name.
    Present(Vec<String>),
    /// A room was made, changed or removed.
    Kept {
        /// As it is now, or was at its end.
        room: Arc<Conversation>,
        /// Whether everybody is told.
        told: bool,
    },
    /// What was taken over.
    Resumed {
        /// Which rooms.
        rooms: Vec<Missed>,
        /// Whether other connections have to prove that they are there.
        doubted: bool,
    },
}
