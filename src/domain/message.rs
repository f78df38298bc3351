//! Messages, before and after they are stored.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::{
    CircleId, ConversationId, Device, FileId, LinkId, Media, Membership, MessageId, Party, Place,
    Principal, Revision, Seq, SmileId, Timestamp,
};

/// Text that fits the column that stores it; may be blank, holds no U+0000.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text(String);

/// Why a text was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a text may have at most {limit} characters (limits.max_text_chars)")]
pub struct TextTooLong {
    /// How many characters are allowed.
    pub limit: usize,
}

impl Text {
    /// Takes a text of at most `limit` characters, without its U+0000.
    pub fn new(mut raw: String, limit: usize) -> Result<Self, TextTooLong> {
        raw.retain(|c| c != '\0');
        // Every character has at least one byte, so most texts need no counting.
        if raw.len() > limit && raw.chars().count() > limit {
            return Err(TextTooLong { limit });
        }
        Ok(Self(raw))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, given away.
    pub fn into_inner(self) -> String {
        self.0
    }
}

/// A client's own name for something it sends, so that sending twice stores once:
/// 1 to 64 characters, per sender and dialect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientRef(String);

impl ClientRef {
    /// Takes a reference of 1 to 64 characters.
    pub fn new(raw: String) -> Option<Self> {
        (1..=64).contains(&raw.chars().count()).then_some(Self(raw))
    }

    /// The reference as the client wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The wire languages; a reference counts in one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// The named channels of the Socket.IO interface, and its HTTP API.
    Neo,
    /// Two people, and a session key in the address.
    PrivateChat,
    /// Two members, files in binary frames, coins.
    MembersChat,
    /// Many rooms over one connection.
    Multichat,
    /// Personal and group letters, with a backlog.
    Courier,
    /// One that whoever embeds the server has added, by its name for logs and metrics.
    Other(&'static str),
}

impl Dialect {
    /// A name for logs, metrics and hashes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Neo => "neo",
            Self::PrivateChat => "private-chat",
            Self::MembersChat => "members-chat",
            Self::Multichat => "multichat",
            Self::Courier => "courier",
            Self::Other(name) => name,
        }
    }
}

/// A message before it is stored and numbered.
#[derive(Clone, Debug)]
pub struct Draft {
    /// Where to.
    pub conversation: ConversationId,
    /// The words, perhaps none.
    pub text: Text,
    /// Names of files whose bytes will follow.
    pub files: Vec<String>,
    /// A file whose bytes are there already.
    pub attached: Option<Box<Attached>>,
    /// A priced picture, in the place of words.
    pub smile: Option<Smile>,
    /// The client's own name for it.
    pub reference: Option<ClientRef>,
    /// The language it was said in.
    pub dialect: Dialect,
    /// A JSON object that listeners of the same dialect are told beside it, and nobody keeps.
    pub aside: Option<Arc<RawValue>>,
}

impl Draft {
    /// Words, and nothing else.
    pub const fn words(conversation: ConversationId, text: Text, dialect: Dialect) -> Self {
        Self {
            conversation,
            text,
            files: Vec::new(),
            attached: None,
            smile: None,
            reference: None,
            dialect,
            aside: None,
        }
    }
}

/// A file that comes with its message: its bytes are stored, and no row knows them yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// Under which name the bytes are stored.
    pub file: FileId,
    /// The name its sender gave it, made safe.
    pub name: String,
    /// The same without extension.
    pub filename: String,
    /// The extension with its dot, perhaps empty.
    pub extension: String,
    /// The type it is served with.
    pub mime: Option<String>,
    /// Number of bytes.
    pub size: u64,
}

/// A priced picture that anybody may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Smile {
    /// Which.
    pub id: SmileId,
    /// Its image.
    pub file: FileId,
}

/// What a message consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageKind {
    /// Words, perhaps with files that were announced.
    Text,
    /// A priced picture.
    Smile,
    /// A file that came with its message.
    File,
}

/// A message as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Which it is, over all conversations.
    pub id: MessageId,
    /// Where it was posted.
    pub conversation: ConversationId,
    /// Its place there.
    pub seq: Seq,
    /// The conversation's change that last touched it.
    pub revision: Revision,
    /// Its place among all that were shown; none while a file is awaited.
    pub place: Option<Place>,
    /// Who wrote it.
    pub author: Principal,
    /// The membership it was written under; none for devices.
    pub link: Option<LinkId>,
    /// What it consists of.
    pub kind: MessageKind,
    /// The words; empty when it was removed.
    pub text: String,
    /// The picture, for a smile.
    pub smile: Option<Smile>,
    /// When it was stored.
    pub sent: Timestamp,
    /// When its words were last changed.
    pub edited: Option<Timestamp>,
    /// When it was removed.
    pub deleted: Option<Timestamp>,
    /// By when the other end of a direct conversation had read it.
    pub read: Option<Timestamp>,
    /// How many files it has, arrived or awaited.
    pub media_count: u32,
    /// The files themselves, in their order; empty where only the count was asked for.
    pub medias: Vec<Media>,
}

/// A message with its author's face.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The message, with its files.
    pub message: Arc<Message>,
    /// Who wrote it.
    pub sender: Party,
}

/// By what right a message was written, as readers are shown it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorship {
    /// By a member, or a former one.
    Member {
        /// The membership, as it is now or as it ended.
        membership: Arc<Membership>,
        /// The conversation's circle.
        circle: Option<CircleId>,
    },
    /// By a device.
    Device(Arc<Device>),
    /// By somebody of whom nothing is left.
    Gone,
}

/// A message with what is shown beside it when it is read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The message, with its files.
    pub message: Message,
    /// By what right it was written.
    pub by: Authorship,
}
