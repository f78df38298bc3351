//! What clients send: words, objects with a `type`, and binary frames.
//!
//! Pure functions. What is wrong with a frame becomes an error with a stable code. Of an
//! object only the keys that count are looked into, however deep or large the others are.

use serde_json::Value;
use serde_json::value::RawValue;

use super::{ChatManners, MAX_ID};
use crate::domain::{
    ChatCommand, ClientRef, Command, ConversationId, Dialect, Draft, FileDraft, MessageId, SmileId,
    Text,
};
use crate::json::{self, Object};
use crate::session::Request;
use crate::transport::websocket::Frame;

/// Messages that one `seen` may name.
const SEEN: usize = 1000;
/// The keys that frames and heads of files have; all others are passed over.
pub(super) const KEYS: [&str; 8] =
    ["type", "client_ref", "text", "smile_id", "is_typing", "message_id", "name", "size"];

/// What the answer to a request has to mention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    /// The client says who it is.
    Bearer,
    /// The chat is opened.
    Open,
    /// A message is sent.
    Send {
        /// The client's own name for it.
        reference: Option<ClientRef>,
        /// The smile it is, if it is one.
        smile: Option<SmileId>,
    },
    /// What was missed while a reply was written is read.
    Missed,
    /// Nothing is answered.
    Quiet,
}

/// A frame that asks for nothing that could be done.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wrong {
    pub(super) code: &'static str,
    pub(super) text: String,
    pub(super) keys: Vec<(&'static str, Value)>,
    pub(super) reference: Option<ClientRef>,
}

impl Wrong {
    pub(super) fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), keys: Vec::new(), reference: None }
    }

    pub(super) fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.keys.push((key, value.into()));
        self
    }

    /// The same, about a frame that had this name.
    pub(super) fn to(self, reference: Option<ClientRef>) -> Self {
        Self { reference, ..self }
    }

    fn field(field: &str) -> Self {
        let text = format!("The field {field} is missing, or of the wrong type.");
        Self::new("bad_format", text).with("field", field)
    }
}

/// Where a connection talks, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chat {
    pub(super) conversation: ConversationId,
    pub(super) extras: bool,
}

/// What a frame asks for.
pub(super) fn decode(
    frame: &Frame,
    chat: Chat,
    manners: &ChatManners,
) -> Result<Request<Tag>, Wrong> {
    match frame {
        Frame::Text(text) if text.len() > manners.max_text_bytes => Err(too_long(manners)),
        Frame::Text(text) => decode_text(text, chat, manners),
        Frame::Binary(bytes) => {
            let sent = super::file_frame::read(bytes, manners)?;
            let tag = Tag::Send { reference: sent.reference.clone(), smile: None };
            let draft = FileDraft {
                conversation: chat.conversation,
                bytes: sent.bytes,
                name: sent.name,
                mime: sent.mime,
                text: sent.text,
                reference: sent.reference,
            };
            Ok(Request::run(Command::Chats(ChatCommand::File(draft)), tag))
        }
    }
}

/// The client's own name for a frame that is not carried out.
pub(super) fn reference_of(frame: &Frame, manners: &ChatManners) -> Option<ClientRef> {
    match frame {
        Frame::Binary(bytes) => super::file_frame::reference(bytes, manners),
        Frame::Text(text) if text.len() > manners.max_text_bytes => None,
        Frame::Text(text) => {
            let text = json::tidy(text.trim());
            reference_in(&Object::read(&text, &KEYS)?).ok().flatten()
        }
    }
}

fn decode_text(raw: &str, chat: Chat, manners: &ChatManners) -> Result<Request<Tag>, Wrong> {
    let trimmed = without_mark(raw.trim());
    refuse_token(trimmed)?;
    // Numbers, lists and whatever is broken are words.
    if trimmed.starts_with('{') {
        let trimmed = json::tidy(trimmed);
        if let Some(keys) = Object::read(&trimmed, &KEYS) {
            return decode_object(&keys, chat, manners);
        }
    }
    if trimmed.starts_with('"')
        && let Ok(said) = serde_json::from_str::<String>(&json::tidy(trimmed))
    {
        refuse_token(said.trim())?;
        return say(said, None, chat, manners);
    }
    say(raw.to_owned(), None, chat, manners)
}

/// What stands behind a byte order mark, if it is JSON; words keep theirs.
fn without_mark(text: &str) -> &str {
    let behind = text.strip_prefix('\u{FEFF}').map(str::trim_start);
    behind.filter(|rest| rest.starts_with(['{', '"'])).unwrap_or(text)
}

fn decode_object(
    keys: &Object<'_>,
    chat: Chat,
    manners: &ChatManners,
) -> Result<Request<Tag>, Wrong> {
    let (reference, sound) = match reference_in(keys) {
        Ok(reference) => (reference, true),
        Err(()) => (None, false),
    };
    let kind = string(keys, "type");
    let decoded = match kind.as_deref() {
        None => Err(Wrong::field("type")),
        Some(_) if !sound => Err(Wrong::field("client_ref")),
        Some("text") => match string(keys, "text") {
            Some(text) => say(text, reference.clone(), chat, manners),
            None => Err(Wrong::field("text")),
        },
        Some("smile") => match keys.get("smile_id").and_then(id) {
            Some(number) => Ok(smile(SmileId::new(number), reference.clone(), chat)),
            None => Err(Wrong::field("smile_id")),
        },
        Some("file") => {
            let text = "A file is sent in a binary frame: `!`, a JSON object, `#`, its bytes.";
            Err(Wrong::new("file_needs_binary", text))
        }
        Some("typing") if chat.extras => match keys.get("is_typing").and_then(json::boolean) {
            Some(typing) => {
                let (conversation, dialect) = (chat.conversation, Dialect::MembersChat);
                let command = Command::SetTyping { conversation, typing, dialect };
                Ok(Request::run(command, Tag::Quiet))
            }
            None => Err(Wrong::field("is_typing")),
        },
        Some("seen") if chat.extras => match keys.get("message_id").map(ids) {
            Some(Ids::Some(messages)) => {
                let command = Command::MarkSeen { messages, dialect: Dialect::MembersChat };
                Ok(Request::run(command, Tag::Quiet))
            }
            Some(Ids::TooMany) => {
                let text = format!("At most {SEEN} messages may be named at once.");
                Err(Wrong::new("bad_format", text).with("field", "message_id").with("limit", SEEN))
            }
            Some(Ids::Wrong) | None => Err(Wrong::field("message_id")),
        },
        Some(other) => {
            let other: String = other.chars().take(40).collect();
            Err(Wrong::new("unknown_type", format!("There is no message type {other:?}.")))
        }
    };
    decoded.map_err(|wrong| wrong.to(reference))
}

fn say(
    raw: String,
    reference: Option<ClientRef>,
    chat: Chat,
    manners: &ChatManners,
) -> Result<Request<Tag>, Wrong> {
    if raw.chars().all(|c| c.is_whitespace() || c == '\0') {
        return Err(Wrong::new("empty_message", "A message must say something."));
    }
    let text = limited(raw, manners)?;
    let tag = Tag::Send { reference: reference.clone(), smile: None };
    let draft = Draft { reference, ..Draft::words(chat.conversation, text, Dialect::MembersChat) };
    Ok(Request::run(Command::Chats(ChatCommand::Say(draft)), tag))
}

fn smile(smile: SmileId, reference: Option<ClientRef>, chat: Chat) -> Request<Tag> {
    let tag = Tag::Send { reference: reference.clone(), smile: Some(smile) };
    let conversation = chat.conversation;
    Request::run(Command::Chats(ChatCommand::Smile { conversation, smile, reference }), tag)
}

/// A text that is not too long.
pub(super) fn limited(raw: String, manners: &ChatManners) -> Result<Text, Wrong> {
    Text::new(raw, manners.max_text_chars).map_err(|_| too_long(manners))
}

fn too_long(manners: &ChatManners) -> Wrong {
    let limit = manners.max_text_chars;
    let text = format!("A text may have at most {limit} characters.");
    Wrong::new("text_too_long", text).with("limit", limit)
}

/// The client's own name for what an object asks, if it has a good one or none.
pub(super) fn reference_in(keys: &Object<'_>) -> Result<Option<ClientRef>, ()> {
    match keys.get("client_ref") {
        None => Ok(None),
        Some(raw) => json::string(raw).and_then(ClientRef::new).map(Some).ok_or(()),
    }
}

/// The text that stands under a key.
pub(super) fn string(keys: &Object<'_>, name: &str) -> Option<String> {
    json::string(keys.get(name)?)
}

/// An id, which may be written as a string of digits. Whether it names something is another
/// question.
fn id(raw: &RawValue) -> Option<i64> {
    let written = || super::digits(&json::string(raw)?);
    let number = json::integer(raw).or_else(written);
    number.filter(|number| (-MAX_ID..=MAX_ID).contains(number))
}

/// What stands where messages are named.
enum Ids {
    Some(Vec<MessageId>),
    TooMany,
    Wrong,
}

/// One id, or a list of them.
fn ids(raw: &RawValue) -> Ids {
    let named = match json::list(raw, SEEN) {
        Some(list) if list.len() > SEEN => return Ids::TooMany,
        Some(list) => list,
        None => vec![raw],
    };
    let named: Option<Vec<_>> = named.into_iter().map(|raw| id(raw).map(MessageId::new)).collect();
    named.map_or(Ids::Wrong, Ids::Some)
}

/// The token of a first frame.
pub(super) fn bearer(raw: &str) -> Option<String> {
    let trimmed = without_mark(raw.trim());
    // What sockets that encode everything as JSON send.
    if trimmed.starts_with('"') {
        let decoded: String = serde_json::from_str(&json::tidy(trimmed)).ok()?;
        return token_in(decoded.trim()).map(ToOwned::to_owned);
    }
    token_in(trimmed).map(ToOwned::to_owned)
}

fn token_in(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_at_checked("Bearer".len())?;
    let token = rest.trim_start_matches([' ', '\t']);
    let fits = scheme.eq_ignore_ascii_case("Bearer")
        && token.len() < rest.len()
        && !token.is_empty()
        && !token.contains(char::is_whitespace);
    fits.then_some(token)
}

/// A button pressed twice would publish the token to the other member.
fn refuse_token(trimmed: &str) -> Result<(), Wrong> {
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    let is_part = |part: &str| !part.is_empty() && part.bytes().all(is_base64url);
    let looks_like_one = token_in(trimmed)
        .is_some_and(|token| token.split('.').count() == 3 && token.split('.').all(is_part));
    if !looks_like_one {
        return Ok(());
    }
    Err(Wrong::new("already_authorized", "You have said who you are already."))
}
