//! What members-chat asks for: one chat of two members, its past first, then what is sent.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;

use super::{
    Charge, ClientRef, ConversationId, Draft, Message, MessageId, Place, PresenceMark, SmileId,
    Text, UserId,
};

/// What a connection asks about its chat.
#[derive(Clone, Debug)]
pub enum ChatCommand {
    /// Listen to the chat with another member, and read what was said there.
    Open {
        /// Who.
        other: UserId,
        /// How many of the newest messages, if the client cares.
        limit: Option<u32>,
        /// Only messages that were shown before this one.
        before: Option<MessageId>,
        /// Whether the client wants to hear who is online.
        presence: bool,
    },
    /// Read on behind what was shown.
    ReadOn {
        /// Where.
        conversation: ConversationId,
        /// Behind which place.
        after: Place,
    },
    /// Send words.
    Say(Draft),
    /// Send a smile.
    Smile {
        /// Where.
        conversation: ConversationId,
        /// Which.
        smile: SmileId,
        /// The client's own name for it.
        reference: Option<ClientRef>,
    },
    /// Send a file.
    File(FileDraft),
}

/// A file with its words, before it is stored.
#[derive(Clone)]
pub struct FileDraft {
    /// Where to.
    pub conversation: ConversationId,
    /// Its bytes.
    pub bytes: Bytes,
    /// The name its sender gave it, made safe.
    pub name: String,
    /// The type its sender gave it, or the most general one.
    pub mime: String,
    /// The words, perhaps none.
    pub text: Text,
    /// The client's own name for it.
    pub reference: Option<ClientRef>,
}

impl std::fmt::Debug for FileDraft {
    /// Keeps bytes and words out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FileDraft")
            .field("conversation", &self.conversation)
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// What is told about a chat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatReply {
    /// The connection listens to its chat.
    Opened(Opened),
    /// Messages that were to be read on, ascending by place.
    Continued {
        /// The messages.
        messages: Vec<Arc<Message>>,
        /// Whether there are more.
        more: bool,
    },
    /// A message was stored.
    Sent(Sent),
}

/// A chat as it is when a connection begins to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Which it is.
    pub conversation: ConversationId,
    /// What was said, ascending by place.
    pub history: Vec<Arc<Message>>,
    /// Whether everything that had not reached the reader is part of that.
    pub whole: bool,
    /// Whether the other member is online.
    pub online: bool,
    /// As of when.
    pub seen: PresenceMark,
    /// Kept while the history is under way.
    pub turn: ReadingTurn,
}

/// The right to have a history under way; nobody else of the account has one meanwhile.
#[derive(Clone)]
pub struct ReadingTurn(Arc<dyn Any + Send + Sync>);

impl ReadingTurn {
    /// Whatever ends when it is dropped.
    pub fn new(turn: impl Any + Send + Sync) -> Self {
        Self(Arc::new(turn))
    }
}

impl std::fmt::Debug for ReadingTurn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReadingTurn(..)")
    }
}

impl PartialEq for ReadingTurn {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ReadingTurn {}

/// A message that was stored, now or before under the same reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Which it is.
    pub message: MessageId,
    /// What it cost.
    pub charge: Option<Charge>,
    /// The message itself, where it had been stored before.
    pub before: Option<Arc<Message>>,
}

/// The newest place of a history, or zero.
pub fn last_place(history: &[Arc<Message>]) -> Place {
    history.last().and_then(|message| message.place).unwrap_or(Place::new(0))
}
