//! What clients send: a JSON object with a `type`, and what each type means.
//!
//! Reading goes in two steps, because a key inside a packet must be proven before anything
//! else about it counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::encode::Mistake;
use crate::domain::{ClientRef, MessageId};
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
    keys: BTreeMap<String, Box<RawValue>>,
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
    if is_deep(text) {
        return Err(Mistake::bad_json("too many levels"));
    }
    let mut keys: BTreeMap<String, Box<RawValue>> =
        serde_json::from_str(text).map_err(|_| Mistake::bad_json("not a JSON object"))?;
    let reference = keys.get("ref").filter(|raw| is_reference(raw)).cloned().map(Arc::from);
    let Some(request) = keys.get("type").and_then(|raw| parse::<String>(raw)) else {
        return Err(Mistake::bad_packet("type").of(None, reference));
    };
    let Some(kind) = Kind::named(&request, extras) else {
        return Err(Mistake::unknown_type(&request).of(Some(request), reference));
    };
    let key = keys.remove("session_key").map(|raw| match parse(&raw) {
        Some(text) => Key::Text(text),
        None => Key::Other,
    });
    Ok(Some(Packet { kind, request, key, reference, keys }))
}

/// Whether a frame is one of those that a page sends on its own; a guess, for pacing.
pub(super) fn is_light(frame: &Frame, extras: bool) -> bool {
    #[derive(Deserialize)]
    struct Head<'a> {
        #[serde(borrow, rename = "type")]
        kind: std::borrow::Cow<'a, str>,
    }
    let Frame::Text(text) = frame else { return false };
    // Such packets are short; nobody hides a large one behind their names.
    if text.len() > 1024 {
        return false;
    }
    let head = serde_json::from_str::<Head<'_>>(text);
    head.is_ok_and(|head| Kind::named(&head.kind, extras).is_some_and(Kind::is_light))
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
        let own = |raw: &RawValue| extras.then(|| parse::<String>(raw)).flatten();
        let reference = self.reference.as_deref().and_then(own).and_then(ClientRef::new);
        Ok(Meaning::Post(Post { to, text, reference, aside: self.aside(extras) }))
    }

    /// The keys that are passed on, if they are not too many.
    fn aside(&self, extras: bool) -> Option<Arc<RawValue>> {
        let is_known = |key: &str| OWN.contains(&key) || (extras && key == "ref");
        let further: BTreeMap<_, _> = self.keys.iter().filter(|(key, _)| !is_known(key)).collect();
        if further.is_empty() || further.len() > FURTHER {
            return None;
        }
        let json = serde_json::value::to_raw_value(&further).ok()?;
        (json.get().len() <= FURTHER_BYTES).then(|| Arc::from(json))
    }

    fn text(&self) -> Result<String, Mistake> {
        self.keys
            .get("message")
            .and_then(|raw| parse(raw))
            .ok_or_else(|| Mistake::bad_packet("message"))
    }

    fn username(&self) -> Result<Option<String>, Mistake> {
        match self.keys.get("username") {
            None => Ok(None),
            Some(raw) => parse(raw).map(Some).ok_or_else(|| Mistake::bad_packet("username")),
        }
    }

    /// Whether what stands under `typing` counts as true, as scripts have it.
    fn typing(&self) -> Result<bool, Mistake> {
        let raw = self.keys.get("typing").ok_or_else(|| Mistake::bad_packet("typing"))?;
        Ok(!matches!(raw.get(), "false" | "null" | "0" | "0.0" | "-0" | "\"\"" | "[]" | "{}"))
    }

    fn message_id(&self, key: &'static str) -> Result<MessageId, Mistake> {
        let mistake = || Mistake::bad_packet(key);
        let raw = self.keys.get(key).ok_or_else(mistake)?;
        let id = match parse::<i64>(raw) {
            Some(id) => id,
            None => digits(&parse::<String>(raw).ok_or_else(mistake)?).ok_or_else(mistake)?,
        };
        (1..=LARGEST).contains(&id).then_some(MessageId::new(id)).ok_or_else(mistake)
    }

    fn limit(&self) -> Result<u32, Mistake> {
        match self.keys.get("limit") {
            None => Ok(PAGE),
            Some(raw) => {
                parse(raw).filter(|limit| *limit > 0).ok_or_else(|| Mistake::bad_packet("limit"))
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

fn parse<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Option<T> {
    serde_json::from_str(raw.get()).ok()
}

/// A number, or a text of at most 64 characters.
fn is_reference(raw: &RawValue) -> bool {
    match serde_json::from_str(raw.get()) {
        Ok(serde_json::Value::Number(_)) => raw.get().len() <= REFERENCE,
        Ok(serde_json::Value::String(text)) => text.chars().count() <= REFERENCE,
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
