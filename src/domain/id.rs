//! Identifiers. Every noun has its own, so a circle can never be joined with
//! the number of a conversation.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! numbered {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(i64);

        impl $name {
            /// Wraps a number that storage or a client handed us.
            pub const fn new(raw: i64) -> Self {
                Self(raw)
            }

            /// The bare number, for storage and wires only.
            pub const fn get(self) -> i64 {
                self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

numbered! {
    /// A person with an account.
    UserId,
    /// A machine with an account; it speaks for its circle.
    DeviceId,
    /// People around one device.
    CircleId,
    /// A user's place in a circle.
    CircleLinkId,
    /// An invitation into a circle; it exists while it is pending.
    InviteId,
    /// Anything messages are posted to: a direct pair, a group, a room.
    ConversationId,
    /// A member's place in a conversation; kept when the membership ends.
    LinkId,
    /// A message, over all conversations.
    MessageId,
    /// A file that was announced, whether or not its bytes have arrived.
    MediaId,
    /// A priced picture of members-chat.
    SmileId,
    /// One login of an account: of a token, a browser or a device.
    LoginId,
    /// Place of a message within its conversation, counted from one without gaps.
    Seq,
    /// Number of the last change in a conversation; a message carries the one it changed at.
    Revision,
    /// Where a message stands among all that were shown, in the counter of the message ids.
    Place,
}

macro_rules! random {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new one that nobody can guess.
            #[expect(clippy::disallowed_methods, reason = "this is the one place that makes them")]
            pub fn random() -> Self {
                Self(Uuid::new_v4())
            }

            /// Wraps what storage or a client handed us.
            pub const fn new(raw: Uuid) -> Self {
                Self(raw)
            }

            /// The bare value, for storage and wires only.
            pub const fn get(self) -> Uuid {
                self.0
            }
        }
    )+};
}

random! {
    /// A file's public name: random, and no clue to anything.
    FileId,
    /// A call; known to those who take part in it.
    CallId,
    /// A connection's place in the room of a call.
    PeerId,
}

/// One live connection, of whatever dialect; given anew at each start of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(u64);

impl ConnectionId {
    /// Wraps the number that the hub counts.
    pub const fn new(raw: u64) -> Self {
        Self(raw)
    }
}

/// The id of either kind of account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Principal {
    /// A person.
    User(UserId),
    /// A machine.
    Device(DeviceId),
}

impl Principal {
    /// The user, if it is one.
    pub const fn user(self) -> Option<UserId> {
        match self {
            Self::User(id) => Some(id),
            Self::Device(_) => None,
        }
    }

    /// The device, if it is one.
    pub const fn device(self) -> Option<DeviceId> {
        match self {
            Self::User(_) => None,
            Self::Device(id) => Some(id),
        }
    }
}
