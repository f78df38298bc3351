//! What clients are sent. Usernames in a packet are the receiver's in both copies, so one
//! rendering serves both ends of a dialog.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::Manners;
use crate::domain::{Aside, Message, MessageId, Refusal, RefusalKind, Timestamp};
use crate::transport::websocket::Utf8Bytes;
use crate::wire::plain;

/// How texts are written for one socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// As they are.
    Raw,
    /// For a page that takes them for HTML.
    Escaped,
    /// As they are, with what the original did not know.
    Extras,
}

impl Style {
    /// Its number among the renditions of an event.
    pub(super) const fn rendition(self) -> u8 {
        match self {
            Self::Raw => 0,
            Self::Escaped => 1,
            Self::Extras => 2,
        }
    }

    fn text(self, text: &str) -> String {
        if self == Self::Escaped { escape(text) } else { text.to_owned() }
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// JSON with every text in it escaped; whatever else stands there stays as it was sent, numbers
/// that no type of ours holds included.
fn escape_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    let mut rest = json;
    // None of these characters stands outside of a text.
    while let Some(at) = rest.find(['\\', '&', '<', '>']) {
        let (before, found) = rest.split_at(at);
        escaped.push_str(before);
        let (len, c) = if let Some(digits) = found.strip_prefix("\\u").and_then(|u| u.get(..4)) {
            (6, u32::from_str_radix(digits, 16).ok().and_then(char::from_u32))
        } else if found.starts_with('\\') {
            (2, None)
        } else {
            (1, found.chars().next())
        };
        let (found, behind) = found.split_at(len);
        escaped.push_str(match c {
            Some('&') => "&amp;",
            Some('<') => "&lt;",
            Some('>') => "&gt;",
            _ => found,
        });
        rest = behind;
    }
    escaped.push_str(rest);
    escaped
}

fn packet(value: &Value) -> Utf8Bytes {
    value.to_string().into()
}

/// A message as its readers get it.
#[derive(Clone, Copy)]
pub(super) struct Copy<'a> {
    pub(super) message: &'a Message,
    pub(super) author: &'a str,
    pub(super) receiver: &'a str,
    pub(super) aside: Option<&'a Aside>,
    /// The sender's own reference, in the copy that answers it.
    pub(super) reference: Option<&'a Arc<RawValue>>,
}

/// A message, if there is anything to show of it.
pub(super) fn new_message(copy: Copy<'_>, style: Style, manners: &Manners) -> Option<Utf8Bytes> {
    let mut keys = content(copy, style, manners)?;
    keys.shift_insert(0, "type".to_owned(), "new-message".into());
    let mut text = Value::Object(keys).to_string();
    if let Some(reference) = copy.reference {
        append(&mut text, "ref", reference.get());
    }
    if let Some(aside) = copy.aside {
        pass_on(&mut text, &aside.json, style);
    }
    Some(text.into())
}

/// The keys of a message without its type.
fn content(copy: Copy<'_>, style: Style, manners: &Manners) -> Option<Map<String, Value>> {
    let Copy { message, author, receiver, .. } = copy;
    let words = plain::words(message, &manners.public_url)?;
    let mut keys = Map::new();
    keys.insert("username".to_owned(), receiver.into());
    keys.insert("message".to_owned(), style.text(&words).into());
    keys.insert("created".to_owned(), manners.dates.format(message.sent).into());
    keys.insert("sender_name".to_owned(), style.text(author).into());
    keys.insert("message_id".to_owned(), message.id.get().into());
    if style == Style::Extras {
        keys.insert("sent".to_owned(), exact(message.sent).into());
    }
    Some(keys)
}

/// Keys that the sender added, behind the server's.
fn pass_on(text: &mut String, json: &RawValue, style: Style) {
    type Keys = std::collections::BTreeMap<String, Box<RawValue>>;
    let Ok(keys) = serde_json::from_str::<Keys>(json.get()) else { return };
    for (key, raw) in keys {
        let taken = style == Style::Extras && (key == "sent" || key == "ref");
        if taken {
            continue;
        }
        if style == Style::Escaped {
            append(text, &escape(&key), &escape_json(raw.get()));
        } else {
            append(text, &key, raw.get());
        }
    }
}

/// One more key of an object that has some.
fn append(object: &mut String, key: &str, json: &str) {
    object.pop();
    object.push(',');
    object.push_str(&Value::from(key).to_string());
    object.push(':');
    object.push_str(json);
    object.push('}');
}

fn exact(time: Timestamp) -> String {
    let time = jiff::Timestamp::from_microsecond(time.micros()).unwrap_or_default();
    format!("{time:.6}")
}

/// New words of a message; it is told as removed when none are left.
pub(super) fn edited(copy: Copy<'_>, manners: &Manners) -> Utf8Bytes {
    let Copy { message, author, receiver, .. } = copy;
    let Some(words) = plain::words(message, &manners.public_url) else {
        return deleted(message.id, author, receiver);
    };
    let edited = manners.dates.format(message.edited.unwrap_or(message.sent));
    packet(&json!({
        "type": "message-edited",
        "username": receiver,
        "sender_name": author,
        "message_id": message.id,
        "message": words,
        "edited": edited,
    }))
}

/// A message that is gone.
pub(super) fn deleted(message: MessageId, author: &str, receiver: &str) -> Utf8Bytes {
    packet(&json!({
        "type": "message-deleted",
        "username": receiver,
        "sender_name": author,
        "message_id": message,
    }))
}

/// Messages of a dialog, each with whether its reader has seen it.
pub(super) fn history<'a>(
    with: &str,
    messages: impl Iterator<Item = (Copy<'a>, bool)>,
    more: bool,
    reference: Option<&Arc<RawValue>>,
    manners: &Manners,
) -> Utf8Bytes {
    let value: Vec<_> = messages
        .filter_map(|(copy, read)| {
            let mut keys = content(copy, Style::Extras, manners)?;
            keys.insert("read".to_owned(), read.into());
            Some(Value::Object(keys))
        })
        .collect();
    answer(&json!({"type": "history", "username": with, "value": value, "more": more}), reference)
}

/// An answer with the reference of its question.
pub(super) fn answer(value: &Value, reference: Option<&Arc<RawValue>>) -> Utf8Bytes {
    let mut text = value.to_string();
    if let Some(reference) = reference {
        append(&mut text, "ref", reference.get());
    }
    text.into()
}

/// Users who are online: first those whose names the old page can put into a selector, and
/// among these whom the socket is bound to.
pub(super) fn gone_online(mut names: Vec<String>, opponent: &str) -> Utf8Bytes {
    names.sort_unstable_by(|one, other| {
        let key = |name: &String| (!is_plain(name), name != opponent);
        (key(one), one).cmp(&(key(other), other))
    });
    names.dedup();
    packet(&json!({"type": "gone-online", "usernames": names}))
}

/// The same for somebody who has just come, before the opponent.
pub(super) fn came_online(who: &str, opponent: Option<&str>) -> Utf8Bytes {
    let mut names: Vec<_> = std::iter::once(who).chain(opponent).collect();
    names.sort_by_key(|name| !is_plain(name));
    packet(&json!({"type": "gone-online", "usernames": names}))
}

fn is_plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// A user who is offline.
pub(super) fn gone_offline(who: &str) -> Utf8Bytes {
    packet(&json!({"type": "gone-offline", "username": who}))
}

/// The opponent types; only those with extras hear of the end.
pub(super) fn typing(who: &str, typing: bool) -> Utf8Bytes {
    if typing {
        packet(&json!({"type": "opponent-typing", "username": who}))
    } else {
        packet(&json!({"type": "opponent-typing", "username": who, "typing": false}))
    }
}

/// The opponent has read a message.
pub(super) fn read(who: &str, message: MessageId) -> Utf8Bytes {
    packet(&json!({"type": "opponent-read-message", "username": who, "message_id": message}))
}

/// Everybody who is active.
pub(super) fn users_changed(users: &[(String, Uuid)]) -> Utf8Bytes {
    #[derive(Serialize)]
    struct Active<'a> {
        username: &'a str,
        uuid: &'a Uuid,
    }
    let value: Vec<_> = users.iter().map(|(username, uuid)| Active { username, uuid }).collect();
    packet(&json!({"type": "users-changed", "value": value}))
}

/// A dialog came into being.
pub(super) fn new_dialog(with: &str) -> Utf8Bytes {
    packet(&json!({"type": "new-dialog", "username": with}))
}

/// There is no such user.
pub(super) fn user_not_found(name: &str) -> Utf8Bytes {
    packet(&json!({"type": "user-not-found", "username": name}))
}

/// What was wrong with a packet.
#[derive(Clone, Debug)]
pub(super) struct Mistake {
    code: &'static str,
    text: String,
    request: Option<String>,
    reference: Option<Arc<RawValue>>,
    further: Vec<(&'static str, Value)>,
}

impl Mistake {
    fn new(code: &'static str, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), request: None, reference: None, further: Vec::new() }
    }

    /// It could not be read.
    pub(super) fn bad_json(why: &str) -> Self {
        Self::new("bad_json", format!("A packet is one JSON object in a text frame: {why}."))
    }

    /// A key is missing or of the wrong type.
    pub(super) fn bad_packet(field: &'static str) -> Self {
        let text = format!("The key {field} is missing or of the wrong type.");
        Self::new("bad_packet", text).with("field", field)
    }

    /// There is no such channel.
    pub(super) fn unknown_type(name: &str) -> Self {
        let name: String = name.chars().take(64).collect();
        Self::new("unknown_type", format!("There is no channel {name}."))
    }

    /// The key inside the packet is not this user's.
    pub(super) fn bad_session() -> Self {
        Self::new("bad_session", "The session key does not belong to this connection's user.")
    }

    /// The message is too long.
    pub(super) fn too_long(limit: usize) -> Self {
        let text = format!("A message may have at most {limit} characters.");
        Self::new("text_too_long", text).with("limit", limit)
    }

    /// Too many packets.
    pub(super) fn too_fast(retry_after: Duration) -> Self {
        let millis = u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX).max(1);
        Self::new("rate_limited", "Too many packets; this one was ignored.")
            .with("retry_after_ms", millis)
    }

    /// A command was not carried out.
    pub(super) fn refused(refusal: &Refusal) -> Self {
        if refusal.is_our_fault() {
            return Self::new("internal", "The server could not do this; nothing was stored.");
        }
        let RefusalKind::TooPoor { price, balance } = refusal.kind() else {
            return Self::new(refusal.code(), refusal.to_string());
        };
        Self::new(refusal.code(), "A message costs more coins than there are.")
            .with("price", price)
            .with("balance", balance)
    }

    fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.further.push((key, value.into()));
        self
    }

    /// The packet that was wrong.
    pub(super) fn of(mut self, request: Option<String>, reference: Option<Arc<RawValue>>) -> Self {
        self.request = request;
        self.reference = reference;
        self
    }

    /// As a packet.
    pub(super) fn encode(&self) -> Utf8Bytes {
        let mut keys = Map::new();
        keys.insert("type".to_owned(), "error".into());
        keys.insert("code".to_owned(), self.code.into());
        keys.insert("error".to_owned(), self.text.as_str().into());
        let request: Option<String> =
            self.request.as_ref().map(|request| request.chars().take(64).collect());
        keys.insert("request".to_owned(), request.into());
        keys.extend(self.further.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        answer(&Value::Object(keys), self.reference.as_ref())
    }
}
