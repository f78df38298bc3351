//! Messages and acknowledgements as frames, as the original document has them; pure.

use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::codec::About;
use crate::domain::{ConversationId, Kind, Message, MessageId, Party, Timestamp, UserId};
use crate::transport::websocket::Utf8Bytes;
use crate::wire::plain;

/// Compact JSON.
pub(super) fn frame(value: &impl Serialize) -> Utf8Bytes {
    // Maps with keys that are strings, and nothing that could fail.
    serde_json::to_string(value).unwrap_or_default().into()
}

/// The answer to a first message.
pub(super) fn greeting(user: UserId) -> Utf8Bytes {
    format!("user id {user} received").into()
}

/// `2026-01-05 11:53:30.923631`, always UTC and always with six digits.
pub(super) fn timestamp(time: Timestamp) -> String {
    let time = jiff::Timestamp::from_microsecond(time.micros()).unwrap_or_default();
    let civil = time.to_zoned(TimeZone::UTC).datetime();
    let micros = civil.subsec_nanosecond() / 1_000;
    format!("{}.{micros:06}", civil.strftime("%Y-%m-%d %H:%M:%S"))
}

/// The name of an author or reader.
pub(super) fn name(party: &Party) -> String {
    match party {
        Party::Device(device) => device.name.clone(),
        Party::User(user) => {
            let full = format!("{} {}", user.first_name.trim(), user.last_name.trim());
            let local = user.email.split('@').next().unwrap_or_default();
            match (full.trim(), local) {
                ("", "") => "Deleted user".to_owned(),
                ("", local) => local.to_owned(),
                (full, _) => full.to_owned(),
            }
        }
    }
}

/// A kind of conversation as this dialect knows it: rooms are groups.
pub(super) const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Direct => "personal",
        Kind::Group | Kind::Room => "group",
    }
}

/// The number of an author; devices have none here.
pub(super) fn number(party: &Party) -> Option<UserId> {
    party.principal().user()
}

/// A message as everybody is shown it, with keys that some ask for.
#[derive(Serialize)]
pub(super) struct MessageFrame<'a> {
    conv_id: ConversationId,
    message_id: MessageId,
    msg: &'a str,
    sender: String,
    timestamp: String,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<MessageId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    /// A device's is `null`.
    #[serde(skip_serializing_if = "Option::is_none")]
    sender_id: Option<Value>,
}

/// Which keys a message has beside the document's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Keys {
    /// The names that the original gave waiting messages.
    pub(super) aliases: bool,
    /// The number of the author.
    pub(super) sender: bool,
}

/// A message with these keys.
pub(super) fn message_frame<'a>(
    message: &Message,
    words: &'a str,
    sender: &Party,
    of: Kind,
    keys: Keys,
) -> MessageFrame<'a> {
    MessageFrame {
        conv_id: message.conversation,
        message_id: message.id,
        msg: words,
        sender: name(sender),
        timestamp: timestamp(message.sent),
        r#type: kind(of),
        id: keys.aliases.then_some(message.id),
        message: keys.aliases.then_some(words),
        sender_id: (keys.aliases || keys.sender).then(|| json!(number(sender))),
    }
}

/// A message for a receiver; nothing if there is nothing to show.
pub(super) fn message(
    message: &Message,
    sender: &Party,
    of: Kind,
    public_url: &str,
    keys: Keys,
) -> Option<Utf8Bytes> {
    let words = plain::words(message, public_url)?;
    Some(frame(&message_frame(message, &words, sender, of, keys)))
}

/// A conversation that was made, or found.
pub(super) fn opened(about: &About, made: ConversationId, of: Kind) -> Utf8Bytes {
    #[derive(Serialize)]
    struct Opened<'a> {
        local_conv_id: Option<&'a RawValue>,
        db_conv_id: ConversationId,
        r#type: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        client_ref: Option<&'a str>,
    }
    frame(&Opened {
        local_conv_id: raw_name(about),
        db_conv_id: made,
        r#type: kind(of),
        client_ref: reference(about),
    })
}

/// A message was stored.
pub(super) fn posted(about: &About, message: MessageId) -> Utf8Bytes {
    #[derive(Serialize)]
    struct Posted<'a> {
        message_id: MessageId,
        #[serde(skip_serializing_if = "Option::is_none")]
        client_ref: Option<&'a str>,
    }
    frame(&Posted { message_id: message, client_ref: reference(about) })
}

/// The conversation as the client calls it.
pub(super) fn raw_name(about: &About) -> Option<&RawValue> {
    about.called.as_ref().map(|called| &*called.raw)
}

/// The client's own name for its request.
pub(super) fn reference(about: &About) -> Option<&str> {
    about.reference.as_ref().map(crate::domain::ClientRef::as_str)
}
