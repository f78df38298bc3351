//! What a client may ask over its connection.

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;

use super::{
    CallCommand, ChatCommand, CircleId, ConversationId, Dialect, DialogCommand, Draft,
    LetterCommand, MessageId, Revision, RoomCommand, Seq, Target, Text, UserId,
};

/// What a client offers to show who it is.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// An access token, of a user or of a device.
    Token(String),
    /// An access token that must be this user's.
    TokenOf {
        /// The token.
        token: String,
        /// Whose it is said to be.
        user: UserId,
    },
    /// The key of a browser's login as it stands in addresses, or an access token.
    SessionKey(String),
    /// The secret of a browser's login, from its cookie.
    Cookie(String),
    /// Nothing but a user's number, which is believed as operators say.
    Number {
        /// Whose.
        user: UserId,
        /// Whether a program on this machine said it, and not for anybody else.
        local: bool,
    },
}

impl std::fmt::Debug for Credentials {
    /// Keeps secrets out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(..)")
    }
}

impl Command {
    /// Whether the answer lists everything of its kind that there is, however much that is.
    pub const fn lists_everything(&self) -> bool {
        matches!(
            self,
            Self::Letters(LetterCommand::DescribeAll) | Self::Dialogs(DialogCommand::List)
        )
    }
}

/// What a client may ask. Identity is asked for apart, see `session::Intent`.
#[derive(Clone, Debug)]
pub enum Command {
    /// Listen to a conversation.
    JoinConversation(ConversationId),
    /// Cease to listen to a conversation.
    LeaveConversation(ConversationId),
    /// Listen to a circle.
    JoinCircle(CircleId),
    /// Cease to listen to a circle.
    LeaveCircle(CircleId),
    /// Post a message.
    PostMessage(Draft),
    /// Change the words of a message.
    EditMessage {
        /// Where it was posted.
        conversation: ConversationId,
        /// Which.
        message: MessageId,
        /// What it says from now on.
        text: Text,
        /// How long its author may change it, if not for ever.
        within: Option<Duration>,
    },
    /// Remove a message.
    RemoveMessage {
        /// Where it was posted.
        conversation: ConversationId,
        /// Which.
        message: MessageId,
        /// How long its author may remove it, if not for ever.
        within: Option<Duration>,
    },
    /// What is asked about a chat of two members.
    Chats(ChatCommand),
    /// What is asked about rooms.
    Rooms(RoomCommand),
    /// What is asked about dialogs.
    Dialogs(DialogCommand),
    /// Tell that one is typing, or no longer.
    SetTyping {
        /// Where.
        conversation: ConversationId,
        /// Started, or stopped.
        typing: bool,
        /// The language it is said in.
        dialect: Dialect,
    },
    /// Everything that was touched after a revision, in its present state.
    Sync {
        /// Where.
        conversation: ConversationId,
        /// After which change; zero for everything.
        since: Revision,
        /// At most how many, if the client cares.
        limit: Option<u32>,
    },
    /// Messages before a place, the newest of them.
    ReadHistory {
        /// Where.
        conversation: ConversationId,
        /// Before which message (exclusive); none for the newest.
        before: Option<Seq>,
        /// At most how many, if the client cares.
        limit: Option<u32>,
    },
    /// Tell that everything up to a place was seen.
    MarkRead {
        /// Where.
        conversation: ConversationId,
        /// Up to where.
        seq: Seq,
    },
    /// Tell that these messages were seen, and no others; skips what was not addressed to the
    /// one who asks.
    MarkSeen {
        /// Which, of any conversations.
        messages: Vec<MessageId>,
        /// The language it is said in.
        dialect: Dialect,
    },
    /// Ask something about letters.
    Letters(LetterCommand),
    /// Ask for a name and password that the TURN server takes.
    TurnCredentials,
    /// Ask where the STUN servers are.
    StunServers {
        /// What the client itself called us, where no name is configured.
        host: Option<String>,
    },
    /// Ask where the TURN servers are.
    TurnServers {
        /// What the client itself called us, where no name is configured.
        host: Option<String>,
    },
    /// Ask something about calls that the server knows of.
    Calls(CallCommand),
    /// Forward a note to another party of a call.
    ForwardSignal {
        /// To whom.
        target: Target,
        /// What, exactly as it was said.
        content: Arc<RawValue>,
    },
}
