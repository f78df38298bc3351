//! What clients are sent: message objects, errors, and what those with extras hear.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::ChatManners;
use super::codec::{Tag, Wrong};
use crate::domain::{
    Charge, ClientRef, ConversationId, Marked, Message, Receipt, Refusal, RefusalKind, Timestamp,
    UserId,
};
use crate::transport::websocket::Utf8Bytes;
use crate::wire::members_chat::date;
use crate::wire::plain::address;

/// Bytes a history may have.
const HISTORY: usize = 32 << 20;

/// A message as this dialect shows it; nothing if it is not shown (yet, or any more), or
/// holds neither words nor a file.
pub(super) fn message(
    message: &Message,
    extras: bool,
    manners: &ChatManners,
) -> Option<Map<String, Value>> {
    message.place?;
    if message.deleted.is_some() {
        return None;
    }
    let mut object = head(message);
    if let Some(smile) = message.smile {
        object.insert("type".to_owned(), "smile".into());
        object.insert("smile_id".to_owned(), smile.id.get().into());
        object.insert("smile_file_uuid".to_owned(), smile.file.get().to_string().into());
        return Some(object);
    }
    let mut medias = message.medias.iter();
    let Some(first) = medias.next() else {
        object.insert("type".to_owned(), "text".into());
        object.insert("text".to_owned(), message.text.as_str().into());
        return (!message.text.is_empty()).then_some(object);
    };
    object.insert("type".to_owned(), "file".into());
    object.insert("file_uuid".to_owned(), first.file.get().to_string().into());
    // One message stays one frame: further files become lines.
    let further =
        medias.map(|one| format!("{}: {}", one.identifier, address(&manners.public_url, one.file)));
    let words = Some(message.text.clone()).filter(|text| !text.is_empty());
    let lines: Vec<_> = words.into_iter().chain(further).collect();
    object.insert("text".to_owned(), lines.join("\n").into());
    if extras {
        object.insert("file_name".to_owned(), first.identifier.as_str().into());
        object.insert("file_size".to_owned(), first.size.into());
        object.insert("file_type".to_owned(), first.mime.as_deref().into());
    }
    Some(object)
}

fn head(message: &Message) -> Map<String, Value> {
    let author = message.author.user().map(UserId::get);
    let mut object = Map::new();
    object.insert("id".to_owned(), message.id.get().into());
    object.insert("member_id".to_owned(), author.into());
    object.insert("chat_id".to_owned(), message.conversation.get().into());
    object.insert("date".to_owned(), date(message.sent).into());
    object
}

/// A message that was stored before, for the one who sent it; it may have been removed since.
pub(super) fn again(stored: &Message, extras: bool, manners: &ChatManners) -> Map<String, Value> {
    message(stored, extras, manners).unwrap_or_else(|| {
        let mut object = head(stored);
        object.insert("type".to_owned(), "text".into());
        object.insert("text".to_owned(), stored.text.as_str().into());
        object
    })
}

/// What only the sending socket is told.
pub(super) fn echo(
    mut object: Map<String, Value>,
    reference: Option<&ClientRef>,
    charge: Option<Charge>,
) -> Utf8Bytes {
    if let Some(reference) = reference {
        object.insert("client_ref".to_owned(), reference.as_str().into());
    }
    if let Some(Charge { price, balance }) = charge {
        object.insert("price".to_owned(), price.into());
        object.insert("balance".to_owned(), balance.into());
    }
    frame(object)
}

/// The past of a chat, and whether all of it was short enough.
pub(super) fn history(
    messages: &[Arc<Message>],
    extras: bool,
    manners: &ChatManners,
) -> (Utf8Bytes, bool) {
    let (mut newest_first, mut bytes, mut whole) = (Vec::new(), 2, true);
    for found in messages.iter().rev() {
        let Some(object) = message(found, extras, manners) else { continue };
        let text = Value::Object(object).to_string();
        bytes += text.len() + 1;
        if bytes > HISTORY {
            whole = false;
            break;
        }
        newest_first.push(text);
    }
    newest_first.reverse();
    (format!("[{}]", newest_first.join(",")).into(), whole)
}

/// A message that says something else now.
pub(super) fn edited(mut object: Map<String, Value>) -> Utf8Bytes {
    let kind = object.insert("type".to_owned(), "edited".into());
    object.insert("kind".to_owned(), kind.unwrap_or_default());
    frame(object)
}

/// A message that is not shown any more.
pub(super) fn deleted(message: &Message) -> Utf8Bytes {
    let (id, chat) = (message.id.get(), message.conversation.get());
    json!({ "type": "deleted", "id": id, "chat_id": chat }).to_string().into()
}

/// What a reader has received or seen.
pub(super) fn receipt(
    to: Receipt,
    messages: &[Marked],
    reader: UserId,
    chat: ConversationId,
    at: Timestamp,
) -> Utf8Bytes {
    let kind = match to {
        Receipt::Delivered => "delivered",
        Receipt::Seen => "seen",
    };
    let ids: Vec<_> = messages.iter().map(|marked| marked.message.get()).collect();
    let (reader, chat, at) = (reader.get(), chat.get(), date(at));
    json!({ "type": kind, "message_id": ids, "member_id": reader, "chat_id": chat, "date": at })
        .to_string()
        .into()
}

/// Somebody types, or no longer.
pub(super) fn typing(who: UserId, chat: ConversationId, is_typing: bool) -> Utf8Bytes {
    let (who, chat) = (who.get(), chat.get());
    json!({ "type": "typing", "is_typing": is_typing, "member_id": who, "chat_id": chat })
        .to_string()
        .into()
}

/// The other member came or went.
pub(super) fn presence(who: UserId, online: bool) -> Utf8Bytes {
    json!({ "type": "presence", "member_id": who.get(), "online": online }).to_string().into()
}

/// A frame was wrong.
pub(super) fn error(wrong: Wrong) -> Utf8Bytes {
    let Wrong { code, text, keys, reference } = wrong;
    let mut object = Map::new();
    object.insert("type".to_owned(), "error".into());
    object.insert("code".to_owned(), code.into());
    object.insert("error".to_owned(), text.into());
    if let Some(reference) = reference {
        object.insert("client_ref".to_owned(), reference.as_str().into());
    }
    object.extend(keys.into_iter().map(|(key, value)| (key.to_owned(), value)));
    frame(object)
}

/// What is said to who sends more than can be read.
pub(super) fn too_large(manners: &ChatManners) -> Utf8Bytes {
    error(super::file_frame::too_large(manners))
}

/// A request was refused.
pub(super) fn refusal(tag: Tag, refusal: &Refusal) -> Wrong {
    let (reference, smile) = match tag {
        Tag::Send { reference, smile } => (reference, smile),
        Tag::Bearer | Tag::Open | Tag::Missed | Tag::Quiet => (None, None),
    };
    let wrong = if let RefusalKind::TooPoor { price, balance } = refusal.kind() {
        let wrong = Wrong::new("insufficient_balance", refusal.to_string());
        wrong.with("price", price).with("balance", balance)
    } else if let (RefusalKind::NotFound, Some(smile)) = (refusal.kind(), smile) {
        let text = format!("There is no smile with id {smile}.");
        Wrong::new("smile_not_found", text).with("smile_id", smile.get())
    } else {
        Wrong::new("internal", "The server failed; nothing was stored or charged.")
    };
    wrong.to(reference)
}

/// An object as it travels.
pub(super) fn frame(object: Map<String, Value>) -> Utf8Bytes {
    Value::Object(object).to_string().into()
}
