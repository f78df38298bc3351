//! What only those are told who asked for more than the original document has, as frames; pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::encode::{Keys, MessageFrame, frame, kind, message_frame, name, number, timestamp};
use crate::domain::{
    ConversationId, Description, Kind, LetterStatus, MessageId, Party, Principal, Receipt,
    ShownPage, Timestamp, User, UserId,
};
use crate::transport::websocket::Utf8Bytes;
use crate::wire::plain;

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
    let face = |user: &Arc<User>| name(&Party::User(user.clone()));
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
    page: &ShownPage,
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
