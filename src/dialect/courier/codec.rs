//! What a client's frame means; pure.
//!
//! A conversation goes by a number of ours or by a name of the client's own, which may be any
//! number or string and is told back exactly as it came.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::value::RawValue;

use super::CourierManners;
use crate::domain::{ClientRef, ConversationId, Kind, MessageId, Text, UserId};
use crate::json::{self, Object, string};

/// The largest id.
pub(super) const MOST: i64 = (1 << 53) - 1;
/// Ids that one frame may name.
const IDS: usize = 1000;
/// Longest name of a group, in characters.
const GROUP_NAME: usize = 200;
/// Longest description of a group, in characters.
const DESCRIPTION: usize = 2000;
/// Messages of a history, where the client does not care.
const HISTORY: u32 = 50;

/// Ids of members that one frame may name; those of a group are bounded by a setting.
const MEMBERS: usize = 100_000;
/// Bytes of a client's own name for a conversation.
const NAME_BYTES: usize = 4096;
/// The keys that frames have; all others are passed over.
const KEYS: [&str; 11] = [
    "type",
    "conv_id",
    "client_ref",
    "member",
    "group_name",
    "description",
    "msg",
    "message_id",
    "before_id",
    "limit",
    "is_typing",
];

/// A conversation as the client calls it.
#[derive(Clone, Debug)]
pub(super) struct Called {
    /// Exactly as it came.
    pub(super) raw: Box<RawValue>,
    /// The same name again has the same mark.
    pub(super) mark: u64,
    /// Which conversation has it for a number, if it is one.
    pub(super) numbered: Option<ConversationId>,
}

/// What an answer has to mention.
#[derive(Clone, Debug, Default)]
pub(super) struct About {
    /// The frame's `type`.
    pub(super) request: Option<String>,
    /// The conversation, by the client's name.
    pub(super) called: Option<Called>,
    /// The client's own name for the request.
    pub(super) reference: Option<ClientRef>,
}

impl About {
    /// Whether the conversation is one that the client begins.
    pub(super) fn is_beginning(&self) -> bool {
        self.request.as_deref().is_some_and(|request| request.starts_with("init_"))
    }
}

/// What a client wants.
#[derive(Debug)]
pub(super) enum Meaning {
    OpenPersonal { members: Vec<UserId> },
    OpenGroup { members: Vec<UserId>, title: String, description: String },
    Post { kind: Kind, text: Text },
    Seen(Vec<MessageId>),
    Status(Vec<MessageId>),
    Describe,
    DescribeAll,
    History { before: Option<MessageId>, limit: u32 },
    Typing(bool),
}

/// What is wrong with a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is no JSON object, or this field of it is missing or of another type.
    Format(Option<&'static str>),
    /// Nobody knows this `type`.
    UnknownType,
    /// It says nothing.
    Empty,
    /// A field is longer than it may be.
    TooLong(&'static str, usize),
    /// It names more ids than it may.
    TooMany(usize),
}

type Fields<'a> = Object<'a>;
type Read<T> = Result<T, Fault>;

/// What a frame means, and what an answer to it has to mention in any case.
pub(super) fn read(text: &str, manners: &CourierManners, extras: bool) -> (About, Read<Meaning>) {
    let mut about = About::default();
    let text = json::tidy(text);
    let Some(fields) = Object::read(&text, &KEYS) else {
        return (about, Err(Fault::Format(None)));
    };
    about.request = fields.get("type").and_then(string);
    about.called = fields.get("conv_id").and_then(called);
    let reference = optional(&fields, "client_ref", |raw| string(raw).and_then(ClientRef::new));
    if let Ok(reference) = &reference {
        about.reference.clone_from(reference);
    }
    let meaning = reference.and_then(|_| meaning(&fields, &about, manners, extras));
    (about, meaning)
}

fn meaning(
    fields: &Fields<'_>,
    about: &About,
    manners: &CourierManners,
    extras: bool,
) -> Read<Meaning> {
    let Some(request) = &about.request else { return Err(Fault::Format(Some("type"))) };
    let called = || about.called.as_ref().map(drop).ok_or(Fault::Format(Some("conv_id")));
    match request.as_str() {
        "init_personal" => {
            called()?;
            Ok(Meaning::OpenPersonal { members: members(fields)? })
        }
        "init_group" => {
            called()?;
            let members = members(fields)?;
            let title = required(fields, "group_name", string)?.replace('\0', "");
            let title = bounded(title.trim(), "group_name", GROUP_NAME)?;
            if title.is_empty() {
                return Err(Fault::Format(Some("group_name")));
            }
            let description = optional(fields, "description", string)?.unwrap_or_default();
            let description = description.replace('\0', "");
            let description = bounded(&description, "description", DESCRIPTION)?;
            Ok(Meaning::OpenGroup { members, title, description })
        }
        "personal" => {
            called()?;
            Ok(Meaning::Post { kind: Kind::Direct, text: words(fields, manners)? })
        }
        "group" => {
            called()?;
            Ok(Meaning::Post { kind: Kind::Group, text: words(fields, manners)? })
        }
        "seen" => Ok(Meaning::Seen(messages(fields)?)),
        "status" if extras => Ok(Meaning::Status(messages(fields)?)),
        "conv_info" if extras => called().map(|()| Meaning::Describe),
        "conversations" if extras => Ok(Meaning::DescribeAll),
        "history" if extras => {
            called()?;
            let before = optional(fields, "before_id", |raw| id(raw).map(MessageId::new))?;
            let limit = optional(fields, "limit", |raw| u32::try_from(json::integer(raw)?).ok())?;
            Ok(Meaning::History { before, limit: limit.unwrap_or(HISTORY) })
        }
        "typing" if extras => {
            called()?;
            required(fields, "is_typing", json::boolean).map(Meaning::Typing)
        }
        _ => Err(Fault::UnknownType),
    }
}

/// Whether a frame only says that somebody types.
pub(super) fn is_typing(text: &str) -> bool {
    // Short, and looked at closer only if the word is there.
    text.len() <= 256 && text.contains("\"typing\"") && {
        let fields = Object::read(text, &KEYS);
        fields
            .is_some_and(|fields| fields.get("type").and_then(string).as_deref() == Some("typing"))
    }
}

fn required<T>(
    fields: &Fields<'_>,
    name: &'static str,
    read: impl FnOnce(&RawValue) -> Option<T>,
) -> Read<T> {
    fields.get(name).and_then(read).ok_or(Fault::Format(Some(name)))
}

/// A field that may be left out, or empty.
fn optional<T>(
    fields: &Fields<'_>,
    name: &'static str,
    read: impl FnOnce(&RawValue) -> Option<T>,
) -> Read<Option<T>> {
    match fields.get(name).filter(|raw| raw.get() != "null") {
        Some(raw) => read(raw).map(Some).ok_or(Fault::Format(Some(name))),
        None => Ok(None),
    }
}

fn bounded(text: &str, name: &'static str, most: usize) -> Read<String> {
    if text.chars().count() > most {
        return Err(Fault::TooLong(name, most));
    }
    Ok(text.to_owned())
}

fn words(fields: &Fields<'_>, manners: &CourierManners) -> Read<Text> {
    let raw = required(fields, "msg", string)?;
    let limit = manners.max_text_chars;
    let text = Text::new(raw, limit).map_err(|_| Fault::TooLong("msg", limit))?;
    if text.as_str().trim().is_empty() {
        return Err(Fault::Empty);
    }
    Ok(text)
}

fn digits(text: &str) -> Option<i64> {
    let all = (1..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| all)
}

/// An id as a number, or as a string of digits.
fn id(raw: &RawValue) -> Option<i64> {
    let number = match raw.get().as_bytes().first()? {
        b'"' => digits(&string(raw)?),
        _ => json::integer(raw),
    };
    number.filter(|number| (1..=MOST).contains(number))
}

/// The number of a user.
pub(super) fn user_id(raw: &RawValue) -> Option<UserId> {
    id(raw).map(UserId::new)
}

fn members(fields: &Fields<'_>) -> Read<Vec<UserId>> {
    required(fields, "member", |raw| {
        let list = json::list(raw, MEMBERS).filter(|list| list.len() <= MEMBERS)?;
        let mut members: Vec<_> = list.into_iter().map(user_id).collect::<Option<_>>()?;
        members.sort_unstable();
        members.dedup();
        Some(members)
    })
}

/// Ids of messages, or one; numbers that are no ids are nobody's.
fn messages(fields: &Fields<'_>) -> Read<Vec<MessageId>> {
    let wrong = Fault::Format(Some("message_id"));
    let raw = fields.get("message_id").ok_or_else(|| wrong.clone())?;
    let list = json::list(raw, IDS).unwrap_or_else(|| vec![raw]);
    if list.len() > IDS {
        return Err(Fault::TooMany(IDS));
    }
    let mut ids = Vec::with_capacity(list.len());
    for raw in list {
        match id(raw) {
            Some(id) => ids.push(MessageId::new(id)),
            None if is_whole(raw) => {}
            None => return Err(wrong),
        }
    }
    ids.sort_unstable();
    ids.dedup();
    Ok(ids)
}

/// Whether it is a whole number of whatever size, or a string of one.
fn is_whole(raw: &RawValue) -> bool {
    let text = string(raw);
    if text.is_none() && json::integer(raw).is_some() {
        return true;
    }
    let text = text.as_deref().unwrap_or_else(|| raw.get());
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

/// A conversation as the client calls it: by any number or string.
fn called(raw: &RawValue) -> Option<Called> {
    if raw.get().len() > NAME_BYTES {
        return None;
    }
    let mut hasher = DefaultHasher::new();
    match raw.get().as_bytes().first()? {
        b'"' => (0, string(raw)?).hash(&mut hasher),
        b'-' | b'0'..=b'9' => (1, raw.get()).hash(&mut hasher),
        _ => return None,
    }
    let numbered = id(raw).map(ConversationId::new);
    Some(Called { raw: raw.to_owned(), mark: hasher.finish(), numbered })
}
