//! What a client is told that asked for something wrong, as frames; pure.

use serde::Serialize;
use serde_json::value::RawValue;

use super::codec::{About, Fault};
use super::encode::{frame, raw_name, reference};
use crate::domain::{Refusal, RefusalKind, UserId};
use crate::transport::websocket::Utf8Bytes;

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
