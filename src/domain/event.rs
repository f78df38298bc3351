//! What happened, told to those who listen.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::{
    CallEvent, CircleId, ConnectionId, Conversation, ConversationId, DeviceId, Dialect, InviteId,
    LoginId, Marked, Media, Message, Party, Place, PresenceChanges, PresenceMark, Principal,
    Receipt, Seq, Signal, Timestamp, UserId,
};

/// What can be listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// What happens in a conversation.
    Conversation(ConversationId),
    /// What happens in a circle.
    Circle(CircleId),
    /// What concerns one account personally.
    Inbox(Principal),
    /// The end of one login.
    Login(LoginId),
    /// Everything that happens in a user's direct conversations and groups.
    Mail(UserId),
    /// Who enters and leaves a conversation, connection by connection.
    Attendance(ConversationId),
    /// Open and staff rooms that come, change and go.
    Rooms,
    /// Whether a user is online, for those who need not share anything with them.
    Presence(UserId),
    /// Who is online at all.
    ActiveUsers,
}

/// A fact, complete enough to be rendered without asking the database again.
///
/// Adding a variant breaks every dialect's `on_event` on purpose: each has to
/// say how it renders the fact, or that it keeps silent about it.
#[derive(Clone, Debug)]
pub enum Event {
    /// A message was stored; files of it may still be awaited.
    MessagePosted {
        /// As stored.
        message: Arc<Message>,
        /// Its author's face.
        sender: Party,
        /// What listeners of its dialect are told beside it.
        aside: Option<Aside>,
    },
    /// An awaited file of a message has arrived.
    FileArrived {
        /// As it is now, with all its files.
        message: Arc<Message>,
        /// The one that arrived.
        media: Media,
        /// Who brought it.
        by: Party,
    },
    /// The last awaited file has arrived (or is no longer awaited); the message appears
    /// where it was not shown before.
    MessageCompleted {
        /// As it is now.
        message: Arc<Message>,
        /// Its author's face.
        sender: Party,
    },
    /// The words, or a file, of a message were changed.
    MessageEdited {
        /// As it is now.
        message: Arc<Message>,
        /// Its author's face.
        sender: Party,
    },
    /// A message was removed.
    MessageRemoved {
        /// What is left of it.
        message: Arc<Message>,
        /// Its author's face.
        sender: Party,
        /// Who removed it.
        by: Party,
    },
    /// A reader has received or seen messages: what one step newly marked.
    ReceiptAdvanced {
        /// Where.
        conversation: ConversationId,
        /// Who.
        reader: Party,
        /// How far they have come.
        to: Receipt,
        /// What was newly marked, ascending, at most the newest 500.
        messages: Vec<Marked>,
        /// Everything up to here is marked.
        up_to: Seq,
        /// Whether the conversation is a direct one, whose author learns of it in every dialect.
        direct: bool,
        /// When.
        at: Timestamp,
    },
    /// Someone started or stopped typing.
    TypingChanged {
        /// Where.
        conversation: ConversationId,
        /// Who.
        who: Party,
        /// Started, or stopped.
        typing: bool,
        /// The language it was said in, or was begun in.
        dialect: Dialect,
        /// Whether it is news: other dialects are told of nothing else.
        changed: bool,
        /// Whether nobody said it: an end by silence, by a message or by the connection's end.
        computed: bool,
    },
    /// A connection began or ceased to listen to a conversation.
    AttendanceChanged {
        /// Where.
        conversation: ConversationId,
        /// Who.
        who: Party,
        /// Which of their connections.
        connection: ConnectionId,
        /// Began, or ceased.
        present: bool,
        /// Whether it is their first connection there, or was their last.
        alone: bool,
    },
    /// A conversation, or who belongs to it, has changed.
    ConversationChanged {
        /// Which.
        conversation: ConversationId,
        /// What is different now.
        change: ConversationChange,
    },
    /// A circle, or who belongs to it, has changed.
    CircleChanged {
        /// Which.
        circle: CircleId,
        /// What is different now.
        change: CircleChange,
    },
    /// Someone came online or went offline; told once to everybody whom it concerns.
    PresenceChanged {
        /// Who.
        who: Party,
        /// Came, or went.
        online: bool,
        /// When the last connection ended, for those who went.
        last_seen: Option<Timestamp>,
        /// To whom it is news.
        changes: PresenceChanges,
    },
    /// The same for those who have a dialog with them or wait for them alone, when a user of
    /// private-chat would hear it: also when somebody says so again, and not before they do.
    PresenceAnnounced {
        /// Who.
        who: Party,
        /// Came, or went.
        online: bool,
        /// To whom it is news.
        changes: PresenceChanges,
    },
    /// The users who are online are others than before, or their list was asked for; who has
    /// asked for it before is sent it again.
    ActiveUsersChanged {
        /// The connection that asked, which has its answer.
        asked_by: Option<ConnectionId>,
    },
    /// A direct conversation came into being; told to the end that did not begin it.
    DialogBegun {
        /// Which.
        conversation: ConversationId,
        /// Who began it.
        by: Party,
    },
    /// A conversation appeared in, changed in or vanished from the lists of those who are told.
    RoomListed {
        /// As it is now, or was at its end.
        room: Arc<Conversation>,
        /// What became of it.
        change: Listing,
    },
    /// A party of a call has something to tell another.
    SignalSent(Signal),
    /// Something happens around a call that the server knows of.
    Calling(CallEvent),
    /// Somebody has come back by a login: its other connections have to prove that they are there.
    LoginDoubted {
        /// Which.
        login: LoginId,
        /// Who has come back.
        by: ConnectionId,
    },
    /// A lost connection of a login has left rooms that can be taken over.
    RoomsParked {
        /// Which.
        login: LoginId,
    },
    /// A login has ended: what it identified is no longer identified.
    LoginEnded {
        /// Which.
        login: LoginId,
        /// Whether the account was deactivated, which the reason given to clients tells.
        deactivated: bool,
    },
}

impl Event {
    /// Whether one connection may go without being told: what the log can be asked for again,
    /// and what is of the moment.
    pub fn may_be_missed(&self, by: ConnectionId) -> bool {
        match self {
            Self::MessagePosted { .. }
            | Self::FileArrived { .. }
            | Self::MessageCompleted { .. }
            | Self::MessageEdited { .. }
            | Self::MessageRemoved { .. }
            | Self::ReceiptAdvanced { .. }
            | Self::TypingChanged { .. }
            | Self::PresenceChanged { .. }
            | Self::PresenceAnnounced { .. }
            | Self::ActiveUsersChanged { .. } => true,
            Self::AttendanceChanged { connection, .. } => *connection != by,
            Self::ConversationChanged { .. }
            | Self::CircleChanged { .. }
            | Self::DialogBegun { .. }
            | Self::RoomListed { .. }
            | Self::SignalSent(_)
            | Self::Calling(_)
            | Self::LoginDoubted { .. }
            | Self::RoomsParked { .. }
            | Self::LoginEnded { .. } => false,
        }
    }

    /// Whether somebody who has seen everybody's presence as of a mark is told: all but what
    /// happened before that, or was taken back since.
    pub fn is_news_after(&self, seen: PresenceMark) -> bool {
        match self {
            Self::PresenceChanged { changes, .. } | Self::PresenceAnnounced { changes, .. } => {
                changes.is_news_after(seen)
            }
            _ => true,
        }
    }

    /// The place at which it shows a message for the first time, if it does.
    pub fn shows_at(&self) -> Option<Place> {
        match self {
            Self::MessagePosted { message, .. } | Self::MessageCompleted { message, .. } => {
                message.place
            }
            _ => None,
        }
    }
}

/// A JSON object beside a message, for listeners of one dialect.
#[derive(Clone, Debug)]
pub struct Aside {
    /// Which dialect.
    pub dialect: Dialect,
    /// The object, exactly as it was sent.
    pub json: Arc<RawValue>,
}

/// What can become of a conversation in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listing {
    /// It is new, or can be seen from now on.
    Added,
    /// Its title or access changed.
    Changed,
    /// It is gone, or cannot be seen any more.
    Removed,
}

/// What can change about a conversation.
#[derive(Clone, Debug)]
pub enum ConversationChange {
    /// Its title, or whether the device takes part.
    Updated,
    /// Somebody was made a member; told to that account alone.
    Invited(Principal),
    /// A member was given the administrator's role; told to that member alone.
    Promoted(UserId),
    /// A member was put out.
    Kicked {
        /// Who.
        user: Party,
        /// By whom.
        by: Party,
    },
    /// A member left.
    Quit(Party),
    /// The circle's device takes part from now on.
    DeviceAdded,
    /// The circle's device no longer takes part.
    DeviceRemoved(Option<DeviceId>),
    /// It is gone.
    Deleted,
}

/// What can change about a circle.
#[derive(Clone, Debug)]
pub enum CircleChange {
    /// Its name.
    Updated,
    /// Somebody was invited; told to that user alone.
    Invited(InviteId),
    /// Somebody accepted an invitation.
    Joined(Party),
    /// A member left.
    Quit(Party),
    /// A member was put out.
    Kicked {
        /// Who.
        user: Party,
        /// By whom.
        by: Party,
    },
    /// A member logged in over HTTP.
    Connected(Party),
    /// A member logged out over HTTP.
    Disconnected(Party),
    /// It has a device now.
    DeviceCreated(DeviceId),
    /// Its device's name was changed.
    DeviceUpdated(DeviceId),
    /// Its device logged in over HTTP.
    DeviceConnected(DeviceId),
    /// Its device logged out over HTTP.
    DeviceDisconnected(DeviceId),
    /// It is gone.
    Deleted,
}
