//! What clients of private-chat ask beside what all ask, and what they are told.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::value::RawValue;
use uuid::Uuid;

use super::{
    ClientRef, ConversationId, Credentials, MessageId, Posted, PresenceMark, Shown, ShownPage,
    Text, User, UserId,
};

/// What may be asked about dialogs. Users are named as clients name them.
#[derive(Clone, Debug)]
pub enum DialogCommand {
    /// Find the user at the other end, and hear from now on whether they are online.
    Meet(String),
    /// Refuse unless these credentials are the caller's own.
    Vouch(Credentials),
    /// Post a message to a user; opens the dialog.
    Post {
        /// To whom.
        to: String,
        /// The words.
        text: Text,
        /// The client's own name for it.
        reference: Option<ClientRef>,
        /// What listeners of the same dialect are told beside it.
        aside: Option<Arc<RawValue>>,
        /// Whether a dialog is opened where there is none.
        open: bool,
    },
    /// Tell a user that one is typing to them.
    Type {
        /// To whom.
        to: String,
        /// Whether a dialog is opened where there is none.
        open: bool,
    },
    /// Tell everybody who has a dialog with the caller that they are online; the connection
    /// counts again if it had rested.
    Announce,
    /// The connection is about to go, and makes the caller online no more.
    Rest,
    /// Who of those with whom the caller has a dialog is online, and perhaps one more user.
    ListOnline(Option<UserId>),
    /// Who is online, and to hear from now on when that changes.
    ListActive {
        /// Who of them is named.
        listed: Listed,
        /// Whether a client asks, so that those who have asked before hear of it too.
        asked: bool,
    },
    /// The newest messages of a dialog before one of them.
    Read {
        /// With whom.
        with: String,
        /// Before which message.
        before: Option<MessageId>,
        /// At most how many.
        limit: u32,
    },
    /// All dialogs, the newest activity first.
    List,
    /// Show a message of one's own once more.
    Show(MessageId),
    /// Say something else in a message of one's own.
    Edit {
        /// Which.
        message: MessageId,
        /// The new words.
        text: Text,
    },
    /// Remove a message of one's own.
    Remove {
        /// Which.
        message: MessageId,
    },
}

/// Who is listed among the active users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// Everybody.
    All,
    /// Those with whom the reader has a dialog.
    Contacts,
    /// Nobody.
    Nobody,
}

/// What the client is told about dialogs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DialogReply {
    /// The user at the other end.
    Met {
        /// Who.
        user: Arc<User>,
        /// The conversation with them, if there is one.
        conversation: Option<ConversationId>,
    },
    /// A message was stored.
    Posted {
        /// What it became.
        posted: Posted,
        /// Where.
        conversation: ConversationId,
        /// To whom.
        to: Arc<User>,
    },
    /// There is no dialog, and none was to be opened: nothing was done.
    Dropped,
    /// Nothing that needs saying.
    Done,
    /// Who is online.
    Online {
        /// Users, by handle.
        names: Vec<String>,
        /// As of when.
        seen: PresenceMark,
    },
    /// Users by handle, each with a random name for the time they are online.
    Active(Vec<(String, Uuid)>),
    /// Messages of a dialog.
    Page {
        /// The messages.
        page: ShownPage,
        /// With whom.
        with: Arc<User>,
        /// Which of them their reader has seen.
        seen: BTreeSet<MessageId>,
    },
    /// Dialogs.
    Dialogs(Vec<Dialog>),
    /// One message, and to whom it was written.
    Shown {
        /// The message.
        shown: Shown,
        /// To whom.
        to: Arc<User>,
    },
}

/// One dialog in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialog {
    /// Who is at the other end.
    pub with: Arc<User>,
    /// Messages of theirs that were not seen; the count stops at a thousand.
    pub unread: usize,
    /// The newest message that is shown.
    pub newest: Option<MessageId>,
}
