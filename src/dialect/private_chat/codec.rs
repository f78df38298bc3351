//! What clients send: a JSON object with a `type`, and what each type means.
//!
//! Reading goes in two steps, because a key inside a packet must be proven before anything
//! else about it counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::encode::Mistake;
use crate::domain::{ClientRef, MessageId};
use crate::json::{self, Object};
use crate::transport::websocket::Frame;

/// Levels of arrays and objects in each other.
const DEPTH: usize = 64;
/// Keys of a message beyond those the server knows.
const FURTHER: usize = 16;
/// Bytes of them.
const FURTHER_BYTES: usize = 4096;
/// Characters of a client's own reference.
const REFERENCE: usize = 64;
/// The largest number that every client reads exactly.
const LARGEST: i64 = (1 << 53) - 1;
/// Messages of a page of history that was not asked for in a size.
const PAGE: u32 = 50;
/// Keys that packets have.
const KEYS: [&str; 9] = [
    "type",
    "session_key",
    "ref",
    "username",
    "message",
    "message_id",
    "typing",
    "before",
    "limit",
];
/// Keys of a message that are the server's, or the client's alone.
const OWN: [&str; 7] =
    ["type", "session_key", "username", "message", "created", "sender_name", "message_id"];

/// The channels, and what only those with extras know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    NewMessage,
    NewUser,
    Online,
    Offline,
    CheckOnline,
    IsTyping,
    ReadMessage,
    History,
    Dialogs,
    EditMessage,
    DeleteMessage,
}

impl Kind {
    const ALL: [Self; 11] = [
        Self::NewMessage,
        Self::NewUser,
        Self::Online,
        Self::Offline,
        Self::CheckOnline,
        Self::IsTyping,
        Self::ReadMessage,
        Self::History,
        Self::Dialogs,
        Self::EditMessage,
        Self::DeleteMessage,
    ];

    /// Its name on the wire.
    const fn as_str(self) -> &'static str {
        match self {
            Self::NewMessage => "new-message",
            Self::NewUser => "new-user",
            Self::Online => "online",
            Self::Offline => "offline",
            Self::CheckOnline => "check-online",
            Self::IsTyping => "is-typing",
            Self::ReadMessage => "read_message",
            Self::History => "history",
            Self::Dialogs => "dialogs",
            Self::EditMessage => "edit-message",
            Self::DeleteMessage => "delete-message",
        }
    }

    fn named(name: &str, extras: bool) -> Option<Self> {
        let name = if name == "read-message" { "read_message" } else { name };
        let kind = Self::ALL.into_iter().find(|kind| kind.as_str() == name)?;
        (extras || !kind.is_extra()).then_some(kind)
    }

    const fn is_extra(self) -> bool {
        matches!(self, Self::History | Self::Dialogs | Self::EditMessage | Self::DeleteMessage)
    }

    /// Whether a page sends it on its own, with every key or message.
    const fn is_light(self) -> bool {
        matches!(self, Self::CheckOnline | Self::IsTyping | Self::ReadMessage)
    }
}

/// A packet whose type is known, and whose key is still to be proven.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) kind: Kind,
    /// The `type` as it was sent.
    pub(super) request: String,
    /// The key it carries.
    pub(super) key: Option<Key>,
    /// The client's own reference, as it was sent.
    pub(super) reference: Option<Arc<RawValue>>,
    keys: BTreeMap<&'static str, Box<RawValue>>,
    further: Further,
}

/// The keys of a message that are passed on; none once they are too many or too large.
#[derive(Clone, Debug, Default)]
struct Further {
    keys: BTreeMap<String, Box<RawValue>>,
    bytes: usize,
    is_over: bool,
}

impl Further {
    fn insert(&mut self, name: &str, raw: &RawValue) {
        if self.is_over {
            return;
        }
        let old = self.keys.remove(name).map_or(0, |old| name.len() + old.get().len());
        self.bytes = self.bytes - old + name.len() + raw.get().len();
        if self.keys.len() == FURTHER || self.bytes > FURTHER_BYTES {
            *self = Self { is_over: true, ..Self::default() };
        } else {
            self.keys.insert(name.to_owned(), raw.to_owned());
        }
    }

    fn json(&self) -> Option<Arc<RawValue>> {
        if self.keys.is_empty() {
            return None;
        }
        let json = serde_json::value::to_raw_value(&self.keys).ok()?;
        (json.get().len() <= FURTHER_BYTES).then(|| Arc::from(json))
    }
}

/// What stands under `session_key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Text(String),
    /// No text, and so nobody's.
    Other,
}

/// What a packet asks.
#[derive(Clone, Debug)]
pub(super) enum Meaning {
    Post(Post),
    ListActive,
    Announce,
    Rest,
    ListOnline,
    /// Typing to this user, or to the opponent.
    Type(Option<String>),
    MarkSeen(MessageId),
    Read {
        with: Option<String>,
        before: Option<MessageId>,
        limit: u32,
    },
    List,
    Edit {
        message: MessageId,
        text: String,
    },
    Remove(MessageId),
    /// Something that is passed over without a word.
    Nothing,
}

/// A message to be posted.
#[derive(Clone, Debug)]
pub(super) struct Post {
    /// To whom, if not to the opponent.
    pub(super) to: Option<String>,
    pub(super) text: String,
    /// Makes the sending repeatable.
    pub(super) reference: Option<ClientRef>,
    /// Keys that are passed on.
    pub(super) aside: Option<Arc<RawValue>>,
}

/// Reads a frame; nothing for an empty one.
pub(super) fn read(frame: &Frame, extras: bool) -> Result<Option<Packet>, Mistake> {
    let Frame::Text(text) = frame else { return Err(Mistake::bad_json("a binary frame")) };
    if text.is_empty() {
        return Ok(None);
    }
    let text = json::tidy(text);
    if is_deep(&text) {
        return Err(Mistake::bad_json("too many levels"));
    }
    let (mut keys, mut further) = (BTreeMap::new(), Further::default());
    json::visit(&text, |name, raw| {
        if let Some(known) = KEYS.iter().find(|known| **known == name) {
            keys.insert(*known, raw.to_owned());
        }
        let is_own = OWN.contains(&name) || (extras && name == "ref");
        if !is_own {
            further.insert(name, raw);
        }
    })
    .ok_or_else(|| Mistake::bad_json("not a JSON object"))?;
    let reference = keys.get("ref").filter(|raw| is_reference(raw)).cloned().map(Arc::from);
    let Some(request) = keys.get("type").and_then(|raw| json::string(raw)) else {
        return Err(Mistake::bad_packet("type").of(None, reference));
    };
    let Some(kind) = Kind::named(&request, extras) else {
        return Err(Mistake::unknown_type(&request).of(Some(request), reference));
    };
    let key = keys.remove("session_key").map(|raw| match json::string(&raw) {
        Some(text) => Key::Text(text),
        None => Key::Other,
    });
    Ok(Some(Packet { kind, request, key, reference, keys, further }))
}

/// Whether a frame is one of those that a page sends on its own; a guess, for pacing.
pub(super) fn is_light(frame: &Frame, extras: bool) -> bool {
    let Frame::Text(text) = frame else { return false };
    // Such packets are short; nobody hides a large one behind their names.
    if text.len() > 1024 {
        return false;
    }
    let text = json::tidy(text);
    let name = Object::read(&text, &["type"]).and_then(|head| json::string(head.get("type")?));
    name.is_some_and(|name| Kind::named(&name, extras).is_some_and(Kind::is_light))
}

impl Packet {
    /// What it asks.
    pub(super) fn meaning(&self, extras: bool) -> Result<Meaning, Mistake> {
        self.understand(extras).map_err(|mistake| self.blame(mistake))
    }

    /// A mistake of this packet.
    pub(super) fn blame(&self, mistake: Mistake) -> Mistake {
        mistake.of(Some(self.request.clone()), self.reference.clone())
    }

    fn understand(&self, extras: bool) -> Result<Meaning, Mistake> {
        if extras && self.keys.contains_key("ref") && self.reference.is_none() {
            return Err(Mistake::bad_packet("ref"));
        }
        Ok(match self.kind {
            Kind::NewMessage => return self.post(extras),
            Kind::NewUser => Meaning::ListActive,
            Kind::Online => Meaning::Announce,
            Kind::Offline => Meaning::Rest,
            Kind::CheckOnline => Meaning::ListOnline,
            Kind::IsTyping => {
                if self.typing()? {
                    Meaning::Type(self.username()?)
                } else {
                    Meaning::Nothing
                }
            }
            // An author that is not a name is ignored like a wrong one.
            Kind::ReadMessage => Meaning::MarkSeen(self.message_id("message_id")?),
            Kind::History => Meaning::Read {
                with: self.username()?,
                before: match self.keys.get("before") {
                    Some(raw) if raw.get() != "null" => Some(self.message_id("before")?),
                    _ => None,
                },
                limit: self.limit()?,
            },
            Kind::Dialogs => Meaning::List,
            Kind::EditMessage => {
                let (message, text) = (self.message_id("message_id")?, self.text()?);
                if is_empty(&text) { Meaning::Nothing } else { Meaning::Edit { message, text } }
            }
            Kind::DeleteMessage => Meaning::Remove(self.message_id("message_id")?),
        })
    }

    fn post(&self, extras: bool) -> Result<Meaning, Mistake> {
        let text = self.text()?;
        if is_empty(&text) {
            return Ok(Meaning::Nothing);
        }
        let to = self.username()?;
        let own = |raw: &RawValue| extras.then(|| json::string(raw)).flatten();
        let reference = self.reference.as_deref().and_then(own).and_then(ClientRef::new);
        Ok(Meaning::Post(Post { to, text, reference, aside: self.further.json() }))
    }

    fn text(&self) -> Result<String, Mistake> {
        self.keys
            .get("message")
            .and_then(|raw| json::string(raw))
            .ok_or_else(|| Mistake::bad_packet("message"))
    }

    fn username(&self) -> Result<Option<String>, Mistake> {
        match self.keys.get("username") {
            None => Ok(None),
            Some(raw) => json::string(raw).map(Some).ok_or_else(|| Mistake::bad_packet("username")),
        }
    }

    /// Whether what stands under `typing` counts as true, as scripts have it.
    fn typing(&self) -> Result<bool, Mistake> {
        let raw = self.keys.get("typing").ok_or_else(|| Mistake::bad_packet("typing"))?;
        let is_nothing = matches!(raw.get(), "false" | "null" | "\"\"" | "[]" | "{}");
        Ok(!is_nothing && json::integer(raw) != Some(0))
    }

    fn message_id(&self, key: &'static str) -> Result<MessageId, Mistake> {
        let mistake = || Mistake::bad_packet(key);
        let raw = self.keys.get(key).ok_or_else(mistake)?;
        let id = match json::integer(raw) {
            Some(id) => id,
            None => digits(&json::string(raw).ok_or_else(mistake)?).ok_or_else(mistake)?,
        };
        (1..=LARGEST).contains(&id).then_some(MessageId::new(id)).ok_or_else(mistake)
    }

    fn limit(&self) -> Result<u32, Mistake> {
        match self.keys.get("limit") {
            None => Ok(PAGE),
            Some(raw) => {
                let limit = json::integer(raw).and_then(|limit| u32::try_from(limit).ok());
                limit.filter(|limit| *limit > 0).ok_or_else(|| Mistake::bad_packet("limit"))
            }
        }
    }
}

/// Whether nothing is left of a text without its U+0000.
fn is_empty(text: &str) -> bool {
    text.chars().all(|c| c == '\0')
}

fn digits(text: &str) -> Option<i64> {
    let plain = (1..=16).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// A number, or a text of at most 64 characters.
fn is_reference(raw: &RawValue) -> bool {
    match raw.get().as_bytes().first() {
        Some(b'-' | b'0'..=b'9') => raw.get().len() <= REFERENCE,
        Some(b'"') => json::string(raw).is_some_and(|text| text.chars().count() <= REFERENCE),
        _ => false,
    }
}

/// Whether arrays and objects stand in each other more deeply than anybody needs.
fn is_deep(json: &str) -> bool {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => {
                depth += 1;
                if depth > DEPTH {
                    return true;
                }
            }
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}
