//! The wire of rooms, outwards: acknowledgements, packets and errors (its page's sections 5,
//! 6, 8 and 10).

use serde_json::{Map, Value, json};

use super::codec::Mention;
use super::style::{Feature, Style};
use crate::domain::{Access, Replay, Shown, Timestamp};
use crate::domain::{Conversation, ConversationId, Listing, Message, MessageId, Party, Principal};
use crate::transport::websocket::Utf8Bytes;
use crate::wire::plain;

/// The types of packets.
mod kind {
    pub(super) const MESSAGE: u8 = 0;
    pub(super) const MUTED: u8 = 3;
    pub(super) const ENTER: u8 = 4;
    pub(super) const LEAVE: u8 = 5;
    pub(super) const OWN: u8 = 6;
    pub(super) const EDITED: u8 = 7;
    pub(super) const DELETED: u8 = 8;
    pub(super) const HISTORY: u8 = 9;
    pub(super) const ROOM_LIST: u8 = 10;
    pub(super) const ROOM_ADDED: u8 = 11;
    pub(super) const ROOM_CHANGED: u8 = 12;
    pub(super) const ROOM_REMOVED: u8 = 13;
    pub(super) const TYPING: u8 = 14;
    pub(super) const READ: u8 = 15;
    pub(super) const MEMBERS: u8 = 16;
    pub(super) const WELCOME: u8 = 20;
}

/// A packet that can still be added to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Packet(Map<String, Value>);

impl Packet {
    fn new(value: Value) -> Self {
        if let Value::Object(keys) = value { Self(keys) } else { Self(Map::new()) }
    }

    fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.insert(key.to_owned(), value.into());
        self
    }

    fn with_some(self, key: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// The packet as the answer to a command that has named itself.
    pub(super) fn answering(self, reference: Option<&Value>) -> Self {
        self.with_some("ref", reference.cloned())
    }

    /// The packet as it is sent.
    pub(super) fn frame(self) -> Utf8Bytes {
        Value::Object(self.0).to_string().into()
    }
}

fn id_text(room: ConversationId) -> String {
    room.to_string()
}

/// `YYYY-MM-DDTHH:MM:SS.ffffffZ`.
pub(super) fn moment(time: Timestamp) -> String {
    let time = jiff::Timestamp::from_microsecond(time.micros()).unwrap_or_default();
    let civil = time.to_zoned(jiff::tz::TimeZone::UTC).datetime();
    let micros = civil.subsec_nanosecond() / 1_000;
    format!("{}.{micros:06}Z", civil.strftime("%Y-%m-%dT%H:%M:%S"))
}

pub(super) fn joined(room: &Conversation, style: &Style) -> Packet {
    Packet::new(json!({ "join": id_text(room.id), "title": style.text(&room.title) }))
}

pub(super) fn left(room: ConversationId) -> Packet {
    Packet::new(json!({ "leave": id_text(room) }))
}

/// An error; it says more only to a command that has named itself.
pub(super) fn error(code: &str, mention: &Mention) -> Packet {
    let packet = Packet::new(json!({ "error": code }));
    let Some(reference) = &mention.reference else { return packet };
    packet
        .with("command", mention.command.as_str())
        .with_some("room", mention.room.map(id_text))
        .with_some("id", mention.id.map(MessageId::get))
        .with("ref", reference.clone())
}

/// Whether a message is shown again, and to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Showing<'a> {
    pub(super) style: &'a Style,
    pub(super) public_url: &'a str,
    pub(super) who: Option<Principal>,
}

impl Showing<'_> {
    fn is_own(&self, author: Principal) -> bool {
        self.who == Some(author)
    }

    /// A message; nothing if there is nothing to show of it.
    pub(super) fn message(
        &self,
        message: &Message,
        sender: &Party,
        replay: bool,
    ) -> Option<Packet> {
        let words = plain::words(message, self.public_url)?;
        let (style, own) = (self.style, self.is_own(message.author));
        let typed = own && style.has(Feature::Own);
        let packet = Packet::new(json!({
            "msg_type": if typed { kind::OWN } else { kind::MESSAGE },
            "room": id_text(message.conversation),
            "username": style.text(sender.handle()),
            "message": style.text(&words),
        }));
        if style.plain {
            return Some(packet);
        }
        Some(
            packet
                .with("id", message.id.get())
                .with("sent", moment(message.sent))
                .with("own", own)
                .with_some("edited", message.edited.map(moment))
                .with_some("replay", replay.then_some(true)),
        )
    }

    /// A message that says something else now; one that has nothing to show any more is gone.
    pub(super) fn edited(&self, message: &Message, sender: &Party) -> Option<Packet> {
        let words = plain::words(message, self.public_url)?;
        let edited = message.edited.unwrap_or(message.sent);
        Some(Packet::new(json!({
            "msg_type": kind::EDITED,
            "room": id_text(message.conversation),
            "id": message.id,
            "username": self.style.text(sender.handle()),
            "message": self.style.text(&words),
            "sent": moment(message.sent),
            "edited": moment(edited),
            "own": self.is_own(message.author),
        })))
    }

    pub(super) fn deleted(&self, message: &Message, sender: &Party, by: &Party) -> Packet {
        Packet::new(json!({
            "msg_type": kind::DELETED,
            "room": id_text(message.conversation),
            "id": message.id,
            "username": self.style.text(sender.handle()),
            "by": self.style.text(by.handle()),
            "own": self.is_own(message.author),
        }))
    }

    /// Earlier messages in one packet.
    pub(super) fn history(&self, room: ConversationId, replay: &Replay) -> Packet {
        let messages = self.all(&replay.messages, false);
        let messages: Vec<_> = messages.into_iter().map(|packet| Value::Object(packet.0)).collect();
        Packet::new(json!({
            "msg_type": kind::HISTORY,
            "room": id_text(room),
            "messages": messages,
            "more": replay.more,
        }))
    }

    /// Earlier messages in a packet each.
    pub(super) fn all(&self, messages: &[Shown], replay: bool) -> Vec<Packet> {
        let messages = messages.iter();
        messages.filter_map(|one| self.message(&one.message, &one.sender, replay)).collect()
    }
}

/// For pages that cannot change what they have shown.
pub(super) fn edit_notice(packet: &Packet) -> Option<Packet> {
    let keys = &packet.0;
    let text = |key: &str| keys.get(key).and_then(Value::as_str);
    let author = text("username")?;
    let notice = match (text("message"), text("by")) {
        (Some(words), _) => format!("{author} edited a message: {words}"),
        (None, Some(by)) if by == author => format!("{author} deleted a message"),
        (None, Some(by)) => format!("{by} deleted a message of {author}"),
        (None, None) => return None,
    };
    let room = text("room")?;
    Some(Packet::new(json!({ "msg_type": kind::MUTED, "room": room, "message": notice })))
}

pub(super) fn moved(room: ConversationId, who: &Party, present: bool, style: &Style) -> Packet {
    let kind = if present { kind::ENTER } else { kind::LEAVE };
    let username = style.text(who.handle());
    Packet::new(json!({ "msg_type": kind, "room": id_text(room), "username": username }))
}

pub(super) fn listed(room: &Conversation, change: Listing, style: &Style) -> Packet {
    let kind = match change {
        Listing::Added => kind::ROOM_ADDED,
        Listing::Changed => kind::ROOM_CHANGED,
        Listing::Removed => kind::ROOM_REMOVED,
    };
    let title = style.text(&room.title);
    let packet = Packet::new(json!({ "msg_type": kind, "room": id_text(room.id), "title": title }));
    match change {
        Listing::Added | Listing::Changed => packet.with("staff_only", is_staff_only(room)),
        Listing::Removed => packet,
    }
}

fn is_staff_only(room: &Conversation) -> bool {
    room.access == Access::Staff
}

/// The rooms there are, and which of them were joined.
pub(super) fn room_list<'a>(
    rooms: impl IntoIterator<Item = &'a Conversation>,
    is_joined: impl Fn(ConversationId) -> bool,
    style: &Style,
) -> Packet {
    let rooms = rooms.into_iter().map(|room| {
        json!({
            "room": id_text(room.id), "title": style.text(&room.title),
            "staff_only": is_staff_only(room), "joined": is_joined(room.id),
        })
    });
    let rooms: Vec<_> = rooms.collect();
    Packet::new(json!({ "msg_type": kind::ROOM_LIST, "rooms": rooms }))
}

pub(super) fn members(room: ConversationId, names: &[String], style: &Style) -> Packet {
    let names: Vec<_> = names.iter().map(|name| style.text(name)).collect();
    Packet::new(json!({ "msg_type": kind::MEMBERS, "room": id_text(room), "usernames": names }))
}

pub(super) fn typing(room: ConversationId, who: &Party, typing: bool, style: &Style) -> Packet {
    let username = style.text(who.handle());
    Packet::new(json!({
        "msg_type": kind::TYPING, "room": id_text(room), "username": username, "typing": typing,
    }))
}

pub(super) fn read(room: ConversationId, who: &Party, id: MessageId, style: &Style) -> Packet {
    let username = style.text(who.handle());
    Packet::new(
        json!({ "msg_type": kind::READ, "room": id_text(room), "username": username, "id": id }),
    )
}

/// The first packet of a connection that has asked for features.
pub(super) fn welcome(features: &[Feature], username: &str, staff: bool, longest: usize) -> Packet {
    let features: Vec<_> = features.iter().map(|feature| feature.as_str()).collect();
    Packet::new(json!({
        "msg_type": kind::WELCOME, "features": features, "username": username, "staff": staff,
        "max_message": longest,
    }))
}
