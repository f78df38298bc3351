//! What clients that know calls ask and are told: servers, ringing, rooms.
//!
//! The server owns the states of a call; what the parties say to each other it does not read.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::{CallId, CallState, ConversationId, DeviceId, PeerId, Principal, UserId};

/// What is asked about calls.
#[derive(Clone, Debug)]
pub enum CallCommand {
    /// Which servers a browser's connection needs, with a password for them.
    IceServers {
        /// What the client itself called us, where no name is configured.
        host: Option<String>,
    },
    /// Begin a call.
    Start {
        /// Whom.
        with: Callee,
        /// What it is about, in the words of clients.
        media: CallMedia,
    },
    /// Take part in a call that rings here.
    Accept(CallId),
    /// Do not.
    Decline(CallId),
    /// Give up a call that nobody has accepted.
    Cancel(CallId),
    /// Take part no longer.
    HangUp {
        /// In which call.
        call: CallId,
        /// Whether it did not work.
        failed: bool,
    },
    /// Come into the room of a conversation or call.
    JoinRoom {
        /// Which.
        room: CallRoom,
        /// What one brings, in the words of clients.
        media: CallMedia,
        /// Proves that one was there before a connection was lost.
        resume: Option<String>,
        /// What the client itself called us, where no name is configured.
        host: Option<String>,
    },
    /// Go out of a room.
    LeaveRoom(CallRoom),
    /// Say something to one or all who are in a room.
    ForwardInRoom {
        /// Which.
        room: CallRoom,
        /// To whom; none for everybody else.
        to: Option<PeerId>,
        /// What, exactly as it was said.
        data: Arc<RawValue>,
    },
}

/// A description by clients for clients, as JSON.
pub type CallMedia = Option<Arc<str>>;

/// Whom a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Callee {
    /// The others of a conversation.
    Conversation(ConversationId),
    /// A user.
    User(UserId),
    /// A device.
    Device(DeviceId),
}

/// Where peers find each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallRoom {
    /// The room of a conversation.
    Conversation(ConversationId),
    /// The room of a call.
    Call(CallId),
}

/// What is told about calls to the one who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallReply {
    /// Servers for a browser's connection.
    IceServers(IceServers),
    /// What became of the call.
    Call(CallNotice),
    /// One is in the room.
    Joined(Box<JoinedRoom>),
    /// Out of it.
    Left,
    /// It was passed on.
    Forwarded,
    /// Nothing at all: the original knew no such rooms.
    Silence,
}

/// What a browser's connection is made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IceServers {
    /// Addresses of STUN servers.
    pub stun: Vec<String>,
    /// Addresses of TURN servers.
    pub turn: Vec<String>,
    /// What TURN servers take.
    pub username: String,
    /// The keyed hash of the username.
    pub credential: String,
    /// For how many seconds they take it.
    pub ttl: i64,
}

/// Why a call is in its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallReason {
    /// Another connection of the same account was faster.
    Elsewhere,
    /// Nobody could be rung.
    Offline,
    /// Nobody answered in time.
    Timeout,
    /// A connection was lost and did not come back.
    Lost,
    /// Somebody has gone, and the others go on.
    Left,
}

impl CallReason {
    /// How the wire spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Elsewhere => "elsewhere",
            Self::Offline => "offline",
            Self::Timeout => "timeout",
            Self::Lost => "lost",
            Self::Left => "left",
        }
    }
}

/// A call is in a state now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallNotice {
    /// Which call.
    pub call: CallId,
    /// In which state, as the one who is told sees it.
    pub state: CallState,
    /// Why.
    pub reason: Option<CallReason>,
    /// Whose doing it is.
    pub by: Principal,
    /// What the caller wants.
    pub media: CallMedia,
    /// Where, if it has a conversation.
    pub conversation: Option<ConversationId>,
}

/// Somebody in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallPeer {
    /// Which of their connections.
    pub id: PeerId,
    /// Who.
    pub who: Principal,
    /// What they bring.
    pub media: CallMedia,
    /// Whether the one who is told gives way to them, and makes them offers.
    pub polite: bool,
}

/// One is in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedRoom {
    /// Which.
    pub room: CallRoom,
    /// What one is called there.
    pub peer: PeerId,
    /// Proves after a lost connection that one was there.
    pub resume: String,
    /// The others.
    pub peers: Vec<CallPeer>,
    /// Servers for connections to them.
    pub servers: IceServers,
}

/// What can become of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerChange {
    /// Is there, or there again.
    Joined,
    /// Was lost and may come back.
    Reconnecting,
    /// Is gone.
    Left,
}

/// What happens around calls; told only to those who know them.
#[derive(Clone, Debug)]
pub enum CallEvent {
    /// A call is in a state now.
    Call(CallNotice),
    /// Somebody comes into a room, is lost, or goes.
    Peer {
        /// Which room.
        room: CallRoom,
        /// Who.
        peer: CallPeer,
        /// What.
        change: PeerChange,
    },
    /// Somebody in a room says something.
    Said {
        /// Which room.
        room: CallRoom,
        /// Which peer.
        from: PeerId,
        /// Who.
        sender: Principal,
        /// Exactly what was said.
        data: Arc<RawValue>,
    },
}
