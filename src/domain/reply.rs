//! What the one who asked is told when a command was carried out.

use std::collections::BTreeSet;

use super::{
    CallReply, ChatReply, ConnectionId, DialogReply, LetterReply, Media, MessageId, Party, Place,
    PresenceMark, Refusal, Revision, RoomReply, Seq, Shown, UserId, Written,
};

/// What became of a command.
pub type Outcome = Result<Reply, Refusal>;

/// A message that was stored, or had been stored before under the same reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// Which it is.
    pub message: MessageId,
    /// Its place in the conversation.
    pub seq: Seq,
    /// The conversation's change that stored it.
    pub revision: Revision,
    /// Its files, in the order they were announced.
    pub medias: Vec<Media>,
    /// Whether it had been stored before.
    pub duplicate: bool,
}

/// Coins that a message cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// How many.
    pub price: i64,
    /// What was left.
    pub balance: i64,
}

/// Some messages of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// In the order that was asked for.
    pub messages: Vec<Written>,
    /// From where to go on; the conversation's newest change when there is no more.
    pub revision: Revision,
    /// Whether there are more.
    pub more: bool,
}

/// Some messages of a conversation in the order in which they were shown, without removed ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownPage {
    /// Ascending by place.
    pub messages: Vec<Shown>,
    /// From where to go on, in the direction that was asked for.
    pub reached: Place,
    /// Whether there may be more.
    pub more: bool,
}

/// Where a STUN or TURN server can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IceServer {
    /// Its name, or empty.
    pub domain: String,
    /// Its address, or empty.
    pub ip: String,
    /// Its port.
    pub port: u16,
}

/// For whom a connection speaks from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identified {
    /// Who it is.
    pub who: Party,
    /// The connection's own number.
    pub connection: ConnectionId,
    /// The connection is told of presence as it changes from here on; none if it spoke for the
    /// same account before, and goes on.
    pub since: Option<PresenceMark>,
}

/// A conversation that is listened to, and of whom everything may be shown there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attending {
    /// Whether all who are in it share a circle.
    pub in_circle: bool,
    /// Whether it brings nobody together.
    pub is_room: bool,
    /// With whom the listener shares something, where that is not everybody.
    pub known: BTreeSet<UserId>,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The client is who it says.
    Identified(Identified),
    /// The client is nobody (any more).
    Forgotten,
    /// Nothing that needs saying.
    Done,
    /// The conversation is listened to; of whom there everything may be shown.
    Attending(Attending),
    /// Everything up to here is read now, if that is new.
    ReadUpTo(Option<Seq>),
    /// A message was stored.
    Posted(Posted),
    /// A message says what was asked for.
    Edited {
        /// As it is now.
        message: Box<Shown>,
        /// Whether it had said something else.
        changed: bool,
    },
    /// What is told about a chat of two members.
    Chats(ChatReply),
    /// What is told about rooms.
    Rooms(RoomReply),
    /// What is told about dialogs.
    Dialogs(DialogReply),
    /// What is told about letters.
    Letters(LetterReply),
    /// Messages that were asked for.
    Page(Page),
    /// What a TURN server takes.
    TurnCredentials {
        /// Expiry and account.
        username: String,
        /// The keyed hash of the username.
        password: String,
    },
    /// Where servers are.
    Servers(Vec<IceServer>),
    /// What is told about calls.
    Calls(CallReply),
}
