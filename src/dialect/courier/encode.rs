//! What a client is told, as frames; pure.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::codec::{About, Fault};
use crate::domain::{
    ConversationId, Description, Kind, LetterStatus, Message, MessageId, Party, Principal, Receipt,
    Refusal, RefusalKind, Timestamp, UserId,
};
use crate::transport::websocket::Utf8Bytes;
use crate::wire::plain;

/// Compact JSON.
fn frame(value: &impl Serialize) -> Utf8Bytes {
    // Maps with keys that are strings, and nothing that could fail.
    serde_json::to_string(value).unwrap_or_default().into()
}

/// The answer to a first message.
pub(super) fn greeting(user: UserId) -> Utf8Bytes {
    format!("user id {user} received").into()
}

/// `2026-01-05 11:53:30.923631`, always UTC and always with six digits.
fn timestamp(time: Timestamp) -> String {
    let time = jiff::Timestamp::from_microsecond(time.micros()).unwrap_or_default();
    let civil = time.to_zoned(TimeZone::UTC).datetime();
    let micros = civil.subsec_nanosecond() / 1_000;
    format!("{}.{micros:06}", civil.strftime("%Y-%m-%d %H:%M:%S"))
}

/// The name of an author or reader.
fn name(party: &Party) -> String {
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

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Direct => "personal",
        Kind::Group | Kind::Room => "group",
    }
}

/// The number of an author; devices have none here.
fn number(party: &Party) -> Option<UserId> {
    party.principal().user()
}

#[derive(Serialize)]
struct MessageFrame<'a> {
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

fn message_frame<'a>(
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

fn raw_name(about: &About) -> Option<&RawValue> {
    about.called.as_ref().map(|called| &*called.raw)
}

fn reference(about: &About) -> Option<&str> {
    about.reference.as_ref().map(crate::domain::ClientRef::as_str)
}

#[derive(Default, Serialize)]
struct ErrorFrame<'a> {
    r#type: &'static str,
    code: &'static str,
    error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    local_conv_id: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conv_id: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_ref: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_ids: Option<&'a [UserId]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    price: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    balance: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

impl<'a> ErrorFrame<'a> {
    fn new(about: &'a About, code: &'static str, error: impl Into<String>) -> Self {
        let name = raw_name(about);
        let (begins, error) = (about.is_beginning(), error.into());
        Self {
            r#type: "error",
            code,
            error,
            request: about.request.as_deref(),
            local_conv_id: name.filter(|_| begins),
            conv_id: name.filter(|_| !begins),
            client_ref: reference(about),
            ..Self::default()
        }
    }
}

/// A frame that makes no sense.
pub(super) fn fault(about: &About, fault: &Fault) -> Utf8Bytes {
    let error = |code, text: String| ErrorFrame::new(about, code, text);
    frame(&match fault {
        Fault::Format(None) => error("bad_format", "A frame is one JSON object.".to_owned()),
        Fault::Format(Some(field)) => ErrorFrame {
            field: Some(field),
            ..error("bad_format", format!("The field {field} is missing or of the wrong type."))
        },
        Fault::UnknownType => error("unknown_type", "No such type of frame.".to_owned()),
        Fault::Empty => error("empty_message", "The message is empty.".to_owned()),
        Fault::TooLong(field, limit) => ErrorFrame {
            field: Some(field),
            limit: Some(*limit),
            ..error("text_too_long", format!("{field} may have at most {limit} characters."))
        },
        Fault::TooMany(limit) => ErrorFrame {
            limit: Some(*limit),
            ..error("too_many_ids", format!("A frame may name at most {limit} messages."))
        },
    })
}

/// The wrong people for a conversation.
pub(super) fn bad_members(about: &About) -> Utf8Bytes {
    let text = "The members must be you and at least one other; for a personal conversation, one.";
    frame(&ErrorFrame::new(about, "bad_members", text))
}

/// More members than a group may have.
pub(super) fn group_too_large(about: &About, limit: usize) -> Utf8Bytes {
    let text = format!("A group may have at most {limit} members.");
    let error = ErrorFrame::new(about, "group_too_large", text);
    frame(&ErrorFrame { limit: Some(limit), ..error })
}

/// Users that do not exist, or may not be used.
pub(super) fn unknown_users(about: &About, users: &[UserId]) -> Utf8Bytes {
    let list: Vec<_> = users.iter().map(ToString::to_string).collect();
    let text = format!("No such user: {}.", list.join(", "));
    let error = ErrorFrame::new(about, "unknown_user", text);
    frame(&ErrorFrame { user_ids: Some(users), ..error })
}

/// A frame that came too soon.
pub(super) fn hurry(about: &About, retry_after_ms: u64) -> Utf8Bytes {
    let error = ErrorFrame::new(about, "rate_limited", "Too fast; the frame was dropped.");
    frame(&ErrorFrame { retry_after_ms: Some(retry_after_ms), ..error })
}

/// Something that may not be, or did not work.
pub(super) fn refused(about: &About, refusal: &Refusal) -> Utf8Bytes {
    let error = |code, text: String| ErrorFrame::new(about, code, text);
    let name = raw_name(about).map(RawValue::get).unwrap_or_default();
    frame(&match refusal.kind() {
        // Who does not belong to a conversation does not learn that it exists.
        RefusalKind::NotFound | RefusalKind::Forbidden => {
            error("conversation_not_found", format!("No conversation {name}."))
        }
        RefusalKind::Conflict => error(
            "wrong_conversation_type",
            format!("Conversation {name} is of the other kind: personal or group."),
        ),
        RefusalKind::TooPoor { price, balance } => ErrorFrame {
            price: Some(price),
            balance: Some(balance),
            ..error(
                "insufficient_balance",
                format!("{price} coins are needed, {balance} are there."),
            )
        },
        RefusalKind::TooOften { retry_after } => ErrorFrame {
            retry_after_ms: Some(retry_after * 1000),
            ..error("rate_limited", refusal.to_string())
        },
        RefusalKind::Malformed if about.is_beginning() => return bad_members(about),
        RefusalKind::Malformed
        | RefusalKind::Unidentified
        | RefusalKind::Expired
        | RefusalKind::WrongPassword
        | RefusalKind::Inactive
        | RefusalKind::TooLarge
        | RefusalKind::TooManyConnections
        | RefusalKind::Offline
        | RefusalKind::RoomFull
        | RefusalKind::Unavailable
        | RefusalKind::Unknown => {
            error("internal", "The server could not do this; nothing was stored.".to_owned())
        }
    })
}

/// A step of a reader, told to an author.
pub(super) fn receipt(
    conversation: ConversationId,
    reader: &Party,
    to: Receipt,
    messages: &[MessageId],
    at: Timestamp,
) -> Utf8Bytes {
    #[derive(Serialize)]
    struct Step<'a> {
        r#type: &'static str,
        conv_id: ConversationId,
        message_id: &'a [MessageId],
        user_id: Option<UserId>,
        sender: String,
        timestamp: String,
    }
    frame(&Step {
        r#type: match to {
            Receipt::Delivered => "delivered",
            Receipt::Seen => "seen",
        },
        conv_id: conversation,
        message_id: messages,
        user_id: number(reader),
        sender: name(reader),
        timestamp: timestamp(at),
    })
}

/// How far messages have come.
pub(super) fn statuses(found: &[LetterStatus]) -> Utf8Bytes {
    #[derive(Serialize)]
    struct One {
        message_id: MessageId,
        status: &'static str,
        members: usize,
        delivered: usize,
        seen: usize,
    }
    #[derive(Serialize)]
    struct All {
        r#type: &'static str,
        statuses: Vec<One>,
    }
    let statuses = found.iter().map(|one| One {
        message_id: one.message,
        // The lowest of all; nobody's is the first.
        status: match one {
            LetterStatus { members: 0, .. } => "sent",
            LetterStatus { members, seen, .. } if seen == members => "seen",
            LetterStatus { members, delivered, .. } if delivered == members => "delivered",
            LetterStatus { .. } => "sent",
        },
        members: one.members,
        delivered: one.delivered,
        seen: one.seen,
    });
    frame(&All { r#type: "status", statuses: statuses.collect() })
}

#[derive(Serialize)]
struct Info<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<&'static str>,
    conv_id: ConversationId,
    kind: &'static str,
    group_name: &'a str,
    description: &'a str,
    member: Vec<UserId>,
    names: BTreeMap<UserId, String>,
}

fn info<'a>(found: &'a Description, r#type: Option<&'static str>) -> Info<'a> {
    let face = |user: &std::sync::Arc<crate::domain::User>| name(&Party::User(user.clone()));
    Info {
        r#type,
        conv_id: found.conversation.id,
        kind: kind(found.conversation.kind),
        group_name: &found.conversation.title,
        description: &found.conversation.description,
        member: found.members.iter().map(|user| user.id).collect(),
        names: found.members.iter().map(|user| (user.id, face(user))).collect(),
    }
}

/// Who is in a conversation, and what it is called.
pub(super) fn described(found: &Description) -> Utf8Bytes {
    frame(&info(found, Some("conv_info")))
}

/// The same of all conversations.
pub(super) fn all_described(found: &[Description]) -> Utf8Bytes {
    #[derive(Serialize)]
    struct All<'a> {
        r#type: &'static str,
        conversations: Vec<Info<'a>>,
    }
    let conversations = found.iter().map(|one| info(one, None)).collect();
    frame(&All { r#type: "conversations", conversations })
}

/// Older messages.
pub(super) fn history(
    conversation: ConversationId,
    of: Kind,
    page: &crate::domain::ShownPage,
    public_url: &str,
) -> Utf8Bytes {
    #[derive(Serialize)]
    struct History<'a> {
        r#type: &'static str,
        conv_id: ConversationId,
        messages: Vec<MessageFrame<'a>>,
    }
    let words: Vec<_> =
        page.messages.iter().map(|one| plain::words(&one.message, public_url)).collect();
    let keys = Keys { sender: true, aliases: false };
    let messages = page.messages.iter().zip(&words).filter_map(|(one, words)| {
        Some(message_frame(&one.message, words.as_deref()?, &one.sender, of, keys))
    });
    frame(&History { r#type: "history", conv_id: conversation, messages: messages.collect() })
}

/// Everything that waited has been sent.
pub(super) fn backlog_done(count: u64) -> Utf8Bytes {
    #[derive(Serialize)]
    struct Done {
        r#type: &'static str,
        count: u64,
    }
    frame(&Done { r#type: "backlog_done", count })
}

/// Somebody types, or no longer.
pub(super) fn typing(conversation: ConversationId, who: &Party, typing: bool) -> Utf8Bytes {
    #[derive(Serialize)]
    struct Said {
        r#type: &'static str,
        conv_id: ConversationId,
        is_typing: bool,
        user_id: Option<UserId>,
        sender: String,
    }
    frame(&Said {
        r#type: "typing",
        conv_id: conversation,
        is_typing: typing,
        user_id: number(who),
        sender: name(who),
    })
}

/// Somebody came or went; devices are nobody here.
pub(super) fn presence(who: &Party, online: bool) -> Option<Utf8Bytes> {
    #[derive(Serialize)]
    struct Presence {
        r#type: &'static str,
        user_id: UserId,
        online: bool,
    }
    let Principal::User(user_id) = who.principal() else { return None };
    Some(frame(&Presence { r#type: "presence", user_id, online }))
}
