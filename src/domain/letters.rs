//! What clients of letters ask, and what they are told: conversations of two and groups by
//! numbers, and what waits for them.

use super::{
    ClientRef, Conversation, ConversationId, Kind, MessageId, Place, Shown, ShownPage, Text, User,
    UserId,
};
use std::sync::Arc;

/// What may be asked about letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LetterCommand {
    /// Read on in what waits.
    Collect(Collecting),
    /// Everything up to a place counts as having reached the client.
    Arrived {
        /// Where.
        conversation: ConversationId,
        /// Up to where.
        place: Place,
    },
    /// The conversation with another user, made if there is none.
    OpenPersonal(UserId),
    /// Make a group.
    OpenGroup {
        /// Who belongs to it beside the one who asks.
        members: Vec<UserId>,
        /// Its title.
        title: String,
        /// What it is about, perhaps nothing.
        description: String,
        /// The client's own name for it, so that asking twice makes one.
        reference: Option<ClientRef>,
    },
    /// Post words.
    Post {
        /// Where.
        to: Addressee,
        /// Which kind of conversation it has to be.
        kind: Kind,
        /// The words.
        text: Text,
        /// The client's own name for it.
        reference: Option<ClientRef>,
    },
    /// How far one's own messages have come.
    Status(Vec<MessageId>),
    /// Who is in a conversation, and what it is called.
    Describe(Addressee),
    /// The same of all conversations of two and groups.
    DescribeAll,
    /// The newest messages before one.
    ReadBefore {
        /// Where.
        of: Addressee,
        /// Before which; none for the newest.
        before: Option<MessageId>,
        /// At most how many.
        limit: u32,
    },
    /// Tell that one is typing, or no longer.
    SetTyping {
        /// Where.
        to: Addressee,
        /// Started, or stopped.
        typing: bool,
    },
}

/// The conversation that a client means by a number or a name of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addressee {
    /// Which has the number that was said, if it was one.
    pub numbered: Option<ConversationId>,
    /// Which the client gave this name on this connection.
    pub named: Option<ConversationId>,
}

/// Where in the waiting messages a client is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collecting {
    /// Conversations that may have more; none for all.
    pub from: Option<Vec<ConversationId>>,
    /// Behind which place.
    pub after: Place,
}

impl Collecting {
    /// From the oldest on.
    pub const fn all() -> Self {
        Self { from: None, after: Place::new(0) }
    }
}

/// What was found for a client of letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LetterReply {
    /// Messages that wait, in the order of their places.
    Waiting {
        /// Each with the kind of its conversation.
        messages: Vec<(Kind, Shown)>,
        /// Where to read on, if there may be more.
        next: Option<Collecting>,
    },
    /// The conversation is there.
    Opened(ConversationId),
    /// Of those named, these do not exist or may not be used.
    UnknownUsers(Vec<UserId>),
    /// More members than a group may have.
    TooManyMembers {
        /// How many are allowed.
        limit: usize,
    },
    /// The message is stored.
    Posted(MessageId),
    /// How far messages have come, in the order of their ids.
    Statuses(Vec<LetterStatus>),
    /// A conversation.
    Described(Description),
    /// Conversations, oldest first.
    AllDescribed(Vec<Description>),
    /// Messages in the order of their places.
    Read {
        /// Where.
        conversation: ConversationId,
        /// Of which kind.
        kind: Kind,
        /// The messages.
        page: ShownPage,
    },
    /// Nothing that needs saying.
    Done,
}

/// How far a message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LetterStatus {
    /// Which.
    pub message: MessageId,
    /// To how many it was addressed.
    pub members: usize,
    /// How many have received it, those who have seen it included.
    pub delivered: usize,
    /// How many have seen it.
    pub seen: usize,
}

/// A conversation and who is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The conversation.
    pub conversation: Conversation,
    /// Its members, oldest first.
    pub members: Vec<Arc<User>>,
}
