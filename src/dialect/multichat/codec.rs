//! The wire of rooms, inwards: what a frame asks for (its page's sections 4, 8 and 10).

use serde_json::Value;
use serde_json::value::RawValue;

use crate::domain::{ConversationId, MessageId};
use crate::json::{self, Object};
use crate::transport::websocket::Frame;

/// Characters of a client's own name for a command.
const REFERENCE: usize = 64;
/// Ids lie below it.
const TOO_LARGE: i64 = 1 << 53;

/// The keys that commands have; all others are passed over.
const KEYS: [&str; 12] = [
    "command",
    "room",
    "message",
    "id",
    "ref",
    "history",
    "after",
    "before",
    "limit",
    "title",
    "staff_only",
    "typing",
];

/// What the answer to a command will have to mention.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Mention {
    /// The client's own name for it; without one an answer mentions nothing else.
    pub(super) reference: Option<Value>,
    /// The command's name.
    pub(super) command: String,
    /// The room, if it could be read.
    pub(super) room: Option<ConversationId>,
    /// The message, if it could be read.
    pub(super) id: Option<MessageId>,
}

/// A command, and what its answer mentions.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked {
    pub(super) mention: Mention,
    pub(super) what: What,
}

/// What is asked for. `None` for a room or a text is one that cannot be read.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum What {
    Join {
        history: Option<usize>,
        after: Option<MessageId>,
    },
    Leave,
    Send {
        text: Option<String>,
    },
    History {
        before: Option<MessageId>,
        limit: Option<usize>,
    },
    Rooms,
    Create {
        title: Option<String>,
        staff: bool,
    },
    Update {
        /// If there is one, and if it is a text.
        title: Option<Result<String, Unreadable>>,
        staff: Option<bool>,
    },
    Remove,
    Edit {
        text: Option<String>,
    },
    Delete,
    Typing {
        typing: bool,
    },
    Read,
    Members,
    /// No command, or one that nobody knows.
    Unknown,
}

impl What {
    /// Whether it is about a room that has to be joined.
    pub(super) const fn needs_joining(&self) -> bool {
        match self {
            Self::Send { .. }
            | Self::History { .. }
            | Self::Edit { .. }
            | Self::Delete
            | Self::Typing { .. }
            | Self::Read
            | Self::Members => true,
            Self::Join { .. }
            | Self::Leave
            | Self::Rooms
            | Self::Create { .. }
            | Self::Update { .. }
            | Self::Remove
            | Self::Unknown => false,
        }
    }

    /// Whether it names a room.
    pub(super) const fn names_room(&self) -> bool {
        !matches!(self, Self::Rooms | Self::Create { .. } | Self::Unknown)
    }
}

/// Not a JSON object in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// Reads a frame.
pub(super) fn decode(frame: &Frame) -> Result<Asked, Unreadable> {
    let Frame::Text(text) = frame else { return Err(Unreadable) };
    let text = json::tidy(text);
    // Nobody can mean numbers beyond all bounds or towers of brackets.
    let keys = Object::read(&text, &KEYS).filter(|_| json::is_sound(&text)).ok_or(Unreadable)?;
    let keys = Keys(keys);
    let command = keys.text("command").unwrap_or_default();
    let what = match command.as_str() {
        "join" => What::Join { history: keys.quantity("history"), after: keys.message("after") },
        "leave" => What::Leave,
        "send" => What::Send { text: keys.text("message") },
        "history" => {
            What::History { before: keys.message("before"), limit: keys.quantity("limit") }
        }
        "rooms" => What::Rooms,
        "room_create" => What::Create {
            title: keys.text("title"),
            staff: keys.truth("staff_only") == Some(true),
        },
        "room_update" => What::Update {
            title: keys
                .get("title")
                .filter(|title| !json::is_null(title))
                .map(|title| json::string(title).ok_or(Unreadable)),
            staff: keys.truth("staff_only"),
        },
        "room_delete" => What::Remove,
        "edit" => What::Edit { text: keys.text("message") },
        "delete" => What::Delete,
        "typing" => What::Typing { typing: keys.truth("typing") == Some(true) },
        "read" => What::Read,
        "members" => What::Members,
        _ => What::Unknown,
    };
    let mention = Mention {
        reference: keys.reference(),
        command,
        room: keys.id("room").map(ConversationId::new),
        id: keys.message("id"),
    };
    Ok(Asked { mention, what })
}

/// Whether a page sends this on its own while somebody types.
pub(super) fn is_light(frame: &Frame) -> bool {
    let Frame::Text(text) = frame else { return false };
    text.len() < 512
        && text.contains("typing")
        && decode(frame).is_ok_and(|asked| matches!(asked.what, What::Typing { .. }))
}

struct Keys<'a>(Object<'a>);

impl<'a> Keys<'a> {
    fn get(&self, key: &'static str) -> Option<&'a RawValue> {
        debug_assert!(KEYS.contains(&key), "{key} is not declared");
        self.0.get(key)
    }

    fn text(&self, key: &'static str) -> Option<String> {
        json::string(self.get(key)?)
    }

    fn truth(&self, key: &'static str) -> Option<bool> {
        json::boolean(self.get(key)?)
    }

    /// An id: a positive integer below 2^53, or its digits in a text.
    fn id(&self, key: &'static str) -> Option<i64> {
        let raw = self.get(key)?;
        let written = || {
            let digits = json::string(raw)?;
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| digits.parse().ok()).flatten()
        };
        let id = json::integer(raw).or_else(written)?;
        (1..TOO_LARGE).contains(&id).then_some(id)
    }

    fn message(&self, key: &'static str) -> Option<MessageId> {
        self.id(key).map(MessageId::new)
    }

    fn quantity(&self, key: &'static str) -> Option<usize> {
        usize::try_from(json::integer(self.get(key)?)?).ok()
    }

    /// A short text or a number.
    fn reference(&self) -> Option<Value> {
        let raw = self.get("ref")?;
        if let Some(text) = json::string(raw) {
            return (text.chars().count() <= REFERENCE).then_some(Value::String(text));
        }
        let is_number = raw.get().starts_with(|c: char| c == '-' || c.is_ascii_digit());
        if is_number { serde_json::from_str(raw.get()).ok() } else { None }
    }
}
