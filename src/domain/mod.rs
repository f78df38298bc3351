//! What the server talks about: no wires, no sockets, no tables.

mod attachment;
mod call;
mod calling;
mod chats;
mod circle;
mod command;
mod conversation;
mod dialogs;
mod event;
mod id;
mod letters;
mod message;
mod name;
mod party;
mod presence;
mod receipt;
mod refusal;
mod reply;
mod rooms;
mod time;

pub use attachment::{Media, MediaOwner};
pub use call::{CallState, Leg, LegInput, Signal, Target};
pub use calling::{
    CallCommand, CallEvent, CallMedia, CallNotice, CallPeer, CallReason, CallReply, CallRoom,
    Callee, IceServers, JoinedRoom, PeerChange,
};
pub use chats::{ChatCommand, ChatReply, FileDraft, Opened, ReadingTurn, Sent, last_place};
pub use circle::{Circle, CircleLink, Invite, Privilege};
pub use command::{Command, Credentials};
pub use conversation::{Access, Conversation, Kind, Membership, Role};
pub use dialogs::{Dialog, DialogCommand, DialogReply, Listed};
pub use event::{Aside, CircleChange, ConversationChange, Event, Listing, Topic};
pub use id::{
    CallId, CircleId, CircleLinkId, ConnectionId, ConversationId, DeviceId, FileId, InviteId,
    LinkId, LoginId, MediaId, MessageId, PeerId, Place, Principal, Revision, Seq, SmileId, UserId,
};
pub use letters::{Addressee, Collecting, Description, LetterCommand, LetterReply, LetterStatus};
pub use message::{
    Attached, Authorship, ClientRef, Dialect, Draft, Message, MessageKind, Shown, Smile, Text,
    TextTooLong, Written,
};
pub use name::{Email, Username};
pub use party::{Device, Party, User};
pub use presence::{PresenceChanges, PresenceMark};
pub use receipt::{Marked, Receipt};
pub use refusal::{Refusal, RefusalKind};
pub use reply::{
    Attending, Charge, IceServer, Identified, Outcome, Page, Posted, Reply, ShownPage,
};
pub use rooms::{Missed, Past, Replay, RoomCommand, RoomReply};
pub use time::Timestamp;
