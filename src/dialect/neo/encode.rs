//! The wire of the named channels, outwards: replies, refusals and events (NEO 3.2, 4).

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Value, json, value::RawValue};

use super::codec::{Asked, Tag};
use super::familiar::Strangers;
use super::{NeoManners, calls};
use crate::domain::{
    CircleChange, CircleId, ConversationChange, ConversationId, DeviceId, Dialect, Event,
    IceServer, MessageId, Page, Party, Posted, Principal, Receipt, Refusal, Reply, Signal,
    Timestamp,
};
use crate::session::{Delivery, Output};
use crate::transport::socketio::{AckId, Frame};
use crate::wire::neo::{self, Dates, MessageNotice};

/// For clients that know only the documented events.
const PLAIN: u8 = 0;
/// For clients that have used an additive event.
const EXTRAS: u8 = 1;
/// For those to whom the one whom it is about is a stranger.
const FIRST_STRANGE: u8 = 2;
/// For those to whom the one who did it is.
const SECOND_STRANGE: u8 = 4;

/// An `error`, which is always a string.
pub(super) fn error(refusal: &Refusal) -> Frame {
    emit("error", &json!(refusal.to_string()))
}

/// The acknowledgement of a refusal.
pub(super) fn refused(to: AckId, refusal: &Refusal) -> Frame {
    let answer =
        json!({ "success": false, "message": refusal.to_string(), "code": refusal.code() });
    Frame::Ack { to, json: raw(&answer) }
}

/// What the one who asked is told, in this order.
pub(super) fn reply(tag: Tag, reply: &Reply) -> Vec<Frame> {
    let (mut frames, answer) = match (tag.asked, reply) {
        (Asked::Message { files }, Reply::Posted(posted)) => return posting(tag, files, posted),
        (Asked::Sync | Asked::History, Reply::Page(page)) => {
            return acknowledge(tag, &page_answer(tag.asked, page));
        }
        (Asked::Read(_), _) => return acknowledge(tag, &json!({ "success": true })),
        (Asked::Credentials, Reply::TurnCredentials { username, password }) => {
            let config = json!({ "username": username, "password": password });
            (vec![emit("webrtc_config", &config)], "credentials sent".to_owned())
        }
        (Asked::Servers, Reply::Servers(servers)) => {
            let config = Value::Array(servers.iter().map(server).collect());
            (vec![emit("webrtc_config", &config)], "servers sent".to_owned())
        }
        (asked, Reply::Calls(reply)) => return calls::reply(tag, asked, reply),
        (Asked::Disconnect, _) => return Vec::new(),
        (asked, _) => {
            let text = success(asked);
            (vec![emit("success", &json!(text))], text)
        }
    };
    frames.extend(acknowledge(tag, &json!({ "success": true, "message": answer })));
    frames
}

/// The text of `success`; its end names the room that was joined (NEO 3.2).
fn success(asked: Asked) -> String {
    match asked {
        Asked::Authenticate => "User authenticated".to_owned(),
        Asked::JoinConversation(id) => format!("joined conversation_{id}"),
        Asked::LeaveConversation(id) => format!("left conversation_{id}"),
        Asked::JoinCircle(id) => format!("joined circle_{id}"),
        Asked::LeaveCircle(id) => format!("left circle_{id}"),
        Asked::Forward => "Message forwarded".to_owned(),
        Asked::Disconnect
        | Asked::Message { .. }
        | Asked::Writing
        | Asked::Credentials
        | Asked::Servers
        | Asked::IceServers
        | Asked::Call
        | Asked::JoinRoom
        | Asked::LeaveRoom
        | Asked::RoomForward
        | Asked::Sync
        | Asked::History
        | Asked::Read(_) => "ok".to_owned(),
    }
}

/// The names of the files first, then the receipt (NEO 4.3, 4.4).
fn posting(tag: Tag, files: bool, posted: &Posted) -> Vec<Frame> {
    let mut frames = Vec::new();
    if files {
        frames.push(emit("media", &neo::media_announced(posted.message, &posted.medias)));
    }
    frames.push(emit("success", &json!({ "received": true, "message_id": posted.message })));
    let answer = json!({ "success": true, "received": true, "message_id": posted.message });
    frames.extend(acknowledge(tag, &answer));
    frames
}

fn page_answer(asked: Asked, page: &Page) -> Value {
    let messages: Vec<_> = page.messages.iter().map(neo::message_entry).collect();
    let mut answer = json!({ "success": true, "messages": messages, "more": page.more });
    if asked == Asked::Sync {
        answer["revision"] = json!(page.revision);
    }
    answer
}

fn server(server: &IceServer) -> Value {
    json!({ "domain": server.domain, "ip": server.ip, "port": server.port })
}

pub(super) fn acknowledge(tag: Tag, answer: &Value) -> Vec<Frame> {
    tag.ack.map(|to| Frame::Ack { to, json: raw(answer) }).into_iter().collect()
}

/// What a connection is told of an event; rendered once for all of its kind.
pub(super) fn event(
    delivery: &Delivery,
    extras: bool,
    strangers: Strangers,
    manners: &NeoManners,
) -> Vec<Output<Frame>> {
    let Strangers { first, second } = strangers;
    let form = if extras { EXTRAS } else { PLAIN };
    let form = form + FIRST_STRANGE * u8::from(first) + SECOND_STRANGE * u8::from(second);
    let rendered =
        delivery.render((Dialect::Neo, form), |event| render(event, extras, strangers, manners));
    rendered.clone_outputs()
}

/// The frames of an event, and whether they may be lost.
struct Rendered {
    frames: Vec<Frame>,
    ephemeral: bool,
}

impl Rendered {
    fn clone_outputs(&self) -> Vec<Output<Frame>> {
        let output = if self.ephemeral { Output::Ephemeral } else { Output::Frame };
        self.frames.iter().cloned().map(output).collect()
    }
}

fn render(event: &Event, extras: bool, strangers: Strangers, manners: &NeoManners) -> Rendered {
    let Strangers { first, second } = strangers;
    let frames = match event {
        Event::MessagePosted { message, sender, .. } => {
            vec![emit("message", &neo::message_sent(message, &seen(sender, first)))]
        }
        Event::FileArrived { message, media, by } => {
            vec![emit("message", &neo::file_arrived(message, media, &seen(by, first)))]
        }
        Event::MessageEdited { message, .. } => {
            vec![notice(message.conversation, message.id, MessageNotice::Updated)]
        }
        Event::MessageRemoved { message, .. } => {
            vec![notice(message.conversation, message.id, MessageNotice::Deleted)]
        }
        Event::ReceiptAdvanced { .. } => receipt(event, extras),
        Event::TypingChanged { conversation, who, typing, dialect, changed, computed } => {
            // Of its own dialect everything that was said, of others what is news (RULINGS 46).
            let told = if *dialect == Dialect::Neo { !computed } else { *changed };
            let frame = || emit("writing", &writing(*conversation, &seen(who, first), *typing));
            told.then(frame).into_iter().collect()
        }
        // Not in the original: old clients are not told.
        Event::ConversationChanged { change: ConversationChange::Deleted, .. } if !extras => {
            Vec::new()
        }
        Event::ConversationChanged { conversation, change } => {
            let change = match change {
                ConversationChange::Kicked { user, by } => ConversationChange::Kicked {
                    user: seen(user, first).into_owned(),
                    by: seen(by, second).into_owned(),
                },
                ConversationChange::Quit(user) => {
                    ConversationChange::Quit(seen(user, first).into_owned())
                }
                ConversationChange::Updated
                | ConversationChange::Invited(_)
                | ConversationChange::Promoted(_)
                | ConversationChange::DeviceAdded
                | ConversationChange::DeviceRemoved(_)
                | ConversationChange::Deleted => change.clone(),
            };
            vec![emit("conversation", &neo::conversation_changed(*conversation, &change))]
        }
        Event::CircleChanged { circle, change } => vec![circle_change(*circle, change)],
        Event::PresenceChanged { who, online, last_seen, .. } if extras => {
            vec![emit("presence", &presence(who, *online, *last_seen))]
        }
        Event::SignalSent(signal) => forwarded(signal, manners),
        Event::Calling(event) if extras => calls::told(event).into_iter().collect(),
        // `FileArrived` has told here what `MessageCompleted` tells elsewhere.
        Event::MessageCompleted { .. }
        | Event::Calling(_)
        | Event::PresenceChanged { .. }
        | Event::PresenceAnnounced { .. }
        | Event::AttendanceChanged { .. }
        | Event::ActiveUsersChanged { .. }
        | Event::DialogBegun { .. }
        | Event::RoomListed { .. }
        | Event::LoginDoubted { .. }
        | Event::RoomsParked { .. }
        | Event::LoginEnded { .. } => Vec::new(),
    };
    let ephemeral = matches!(event, Event::TypingChanged { .. } | Event::PresenceChanged { .. });
    Rendered { frames, ephemeral }
}

/// Somebody as those see it who are told.
fn seen(party: &Party, strange: bool) -> Cow<'_, Party> {
    if strange { Cow::Owned(party.as_a_stranger()) } else { Cow::Borrowed(party) }
}

fn notice(conversation: ConversationId, message: MessageId, what: MessageNotice) -> Frame {
    emit("message", &neo::message_notice(conversation, message, what))
}

/// A read step shows as a changed message in direct conversations, and new
/// clients are told the place.
fn receipt(event: &Event, extras: bool) -> Vec<Frame> {
    let Event::ReceiptAdvanced { conversation, reader, to, messages, up_to, direct, .. } = event
    else {
        return Vec::new();
    };
    if *to != Receipt::Seen {
        return Vec::new();
    }
    let mut frames = Vec::new();
    if let (true, Principal::User(user)) = (extras, reader.principal()) {
        let read = json!({ "conversation_id": conversation, "user_id": user, "seq": up_to });
        frames.push(emit("read", &read));
    }
    if let (true, Some(newest)) = (direct, messages.last()) {
        frames.push(notice(*conversation, newest.message, MessageNotice::Updated));
    }
    frames
}

fn writing(conversation: ConversationId, who: &Party, typing: bool) -> Value {
    match who {
        Party::User(user) => json!({
            "conversation_id": conversation, "device": false, "user": user.email,
            "user_id": user.id, "is_writing": typing,
        }),
        Party::Device(_) => {
            json!({ "conversation_id": conversation, "device": true, "is_writing": typing })
        }
    }
}

fn circle_change(circle: CircleId, change: &CircleChange) -> Frame {
    let device = |id: &DeviceId, what: &str| json!({ "event": "device", "type": what, "device_id": id, "circle_id": circle });
    let member = |user: &Party, what: &str| json!({ "event": what, "user": name(user), "user_id": number(user), "circle_id": circle });
    let seen = |user: &Party, what: &str| json!({ "event": what, "user": name(user), "circle_id": circle });
    let payload = match change {
        CircleChange::Invited(invite) => {
            let invite =
                json!({ "event": "invite", "circle_id": circle, "circle_invite_id": invite });
            return emit("circle_invite", &invite);
        }
        CircleChange::DeviceCreated(_) => {
            return emit("device created", &json!({ "circle_id": circle }));
        }
        CircleChange::Updated => json!({ "event": "update", "circle_id": circle }),
        CircleChange::Joined(user) => member(user, "join"),
        CircleChange::Quit(user) => member(user, "quit"),
        CircleChange::Kicked { user, by } => json!({
            "event": "kick", "user": name(user), "user_id": number(user), "from": name(by),
            "circle_id": circle,
        }),
        CircleChange::Connected(user) => seen(user, "connect"),
        CircleChange::Disconnected(user) => seen(user, "disconnect"),
        CircleChange::DeviceUpdated(id) => device(id, "update"),
        CircleChange::DeviceConnected(id) => device(id, "connect"),
        CircleChange::DeviceDisconnected(id) => device(id, "disconnect"),
        CircleChange::Deleted => json!({ "event": "delete", "circle_id": circle }),
    };
    emit("circle", &payload)
}

/// How events name somebody: users by e-mail address, devices by user name.
fn name(party: &Party) -> &str {
    match party {
        Party::User(user) => &user.email,
        Party::Device(device) => &device.username,
    }
}

/// The number that stands beside the name.
fn number(party: &Party) -> i64 {
    match party {
        Party::User(user) => user.id.get(),
        Party::Device(device) => device.id.get(),
    }
}

fn presence(who: &Party, online: bool, last_seen: Option<Timestamp>) -> Value {
    let mut payload = match who.principal() {
        Principal::User(id) => json!({ "user_id": id, "online": online }),
        Principal::Device(id) => json!({ "device_id": id, "online": online }),
    };
    if let Some(time) = last_seen {
        payload["last_seen"] = Dates::Socket.json(time);
    }
    payload
}

/// The object that the sender emitted, untouched, on every configured channel.
fn forwarded(signal: &Signal, manners: &NeoManners) -> Vec<Frame> {
    let (sender, is_device) = match signal.from {
        Principal::User(id) => (id.get(), false),
        Principal::Device(id) => (id.get(), true),
    };
    let payload = RawValue::from_string(format!(
        r#"{{"sender_id":{sender},"is_device":{is_device},"content":{}}}"#,
        signal.content.get()
    ));
    let Ok(payload) = payload.map(Arc::<RawValue>::from) else { return Vec::new() };
    manners
        .forward_channels
        .iter()
        .map(|channel| Frame::Emit {
            channel: Cow::Owned(channel.clone()),
            json: Arc::clone(&payload),
        })
        .collect()
}

pub(super) fn emit(channel: &'static str, payload: &Value) -> Frame {
    Frame::emit(channel, raw(payload))
}

fn raw(value: &Value) -> Arc<RawValue> {
    serde_json::value::to_raw_value(value).map(Arc::from).expect("a JSON value is always writable")
}
