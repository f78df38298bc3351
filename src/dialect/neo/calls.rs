//! The wire of calls that the server knows of, both ways (docs/calls.md).

use std::sync::Arc;

use serde_json::value::RawValue;
use serde_json::{Value, json};
use uuid::Uuid;

use super::codec::{Argument, Asked, SIGNAL_BYTES, Tag, mistyped, number};
use super::encode::{acknowledge, emit};
use crate::domain::{
    CallCommand, CallEvent, CallMedia, CallReply, CallRoom, Callee, Command, DeviceId, PeerId,
    Refusal, UserId,
};
use crate::json;
use crate::session::Intent;
use crate::transport::socketio::{Frame, Packet};
use crate::wire::neo;

/// Largest description of what a party brings, in bytes.
const MEDIA_BYTES: usize = 1024;
/// Longest proof of a place in a room.
const RESUME_BYTES: usize = 64;

type Asking = Option<(Asked, Intent)>;

/// What `webrtc_call` asks for.
pub(super) fn call(argument: &Argument<'_>) -> Result<CallCommand, Refusal> {
    let id = || {
        let id = argument.text("call_id")?;
        neo::read_call(&id).ok_or_else(|| mistyped("call_id", "the id of a call"))
    };
    match argument.text("action")?.as_str() {
        "start" => {
            let with = if argument.optional("conversation_id")?.is_some() {
                Callee::Conversation(argument.conversation()?)
            } else if let Some(id) = argument.optional("user_id")? {
                Callee::User(UserId::new(number(id, "user_id")?))
            } else if let Some(id) = argument.optional("device_id")? {
                Callee::Device(DeviceId::new(number(id, "device_id")?))
            } else {
                let text = "name whom to call by conversation_id, user_id or device_id";
                return Err(Refusal::malformed(text));
            };
            Ok(CallCommand::Start { with, media: media(argument)? })
        }
        "accept" => id().map(CallCommand::Accept),
        "decline" => id().map(CallCommand::Decline),
        "cancel" => id().map(CallCommand::Cancel),
        "hangup" => {
            let reason = argument.optional("reason")?.and_then(json::string);
            let failed = reason.as_deref() == Some("failed");
            Ok(CallCommand::HangUp { call: id()?, failed })
        }
        _ => Err(mistyped("action", "start, accept, decline, cancel or hangup")),
    }
}

/// `webrtc_join_room`, if it names a conversation or call.
pub(super) fn join(packet: &Packet, host: Option<String>) -> Result<Asking, Refusal> {
    let Ok(argument) = Argument::of(packet) else { return Ok(None) };
    let Some(room) = named(&argument)? else { return Ok(None) };
    let resume = match argument.optional("resume")? {
        None => None,
        Some(raw) => {
            let text = json::string(raw).filter(|text| text.len() <= RESUME_BYTES);
            Some(text.ok_or_else(|| mistyped("resume", "what an earlier join has answered"))?)
        }
    };
    let media = media(&argument)?;
    let command = CallCommand::JoinRoom { room, media, resume, host };
    Ok(Some((Asked::JoinRoom, Intent::Run(Command::Calls(command)))))
}

/// `webrtc_leave_room`, if it names a room.
pub(super) fn leave(packet: &Packet) -> Asking {
    let room = room(&Argument::of(packet).ok()?)?;
    Some((Asked::LeaveRoom, Intent::Run(Command::Calls(CallCommand::LeaveRoom(room)))))
}

/// `webrtc_room_forward`, if it names a room.
pub(super) fn forward(packet: &Packet) -> Result<Asking, Refusal> {
    let Ok(argument) = Argument::of(packet) else { return Ok(None) };
    let Some(room) = room(&argument) else { return Ok(None) };
    let to = match argument.optional("to")? {
        None => None,
        Some(id) => {
            let id = json::string(id).and_then(|id| Uuid::try_parse(&id).ok());
            Some(PeerId::new(id.ok_or_else(|| mistyped("to", "the id of a peer"))?))
        }
    };
    let data = argument.optional("data")?.unwrap_or(RawValue::NULL);
    if data.get().len() > SIGNAL_BYTES {
        return Err(Refusal::malformed("forwarded data may have at most 65536 bytes"));
    }
    let data: Arc<RawValue> = data.to_owned().into();
    let command = CallCommand::ForwardInRoom { room, to, data };
    Ok(Some((Asked::RoomForward, Intent::Run(Command::Calls(command)))))
}

/// The room that a conversation or call has.
fn named(argument: &Argument<'_>) -> Result<Option<CallRoom>, Refusal> {
    if argument.optional("conversation_id")?.is_some() {
        return argument.conversation().map(CallRoom::Conversation).map(Some);
    }
    let Some(id) = argument.optional("call_id")? else { return Ok(None) };
    let id = json::string(id).and_then(|id| neo::read_call(&id));
    Ok(Some(CallRoom::Call(id.ok_or_else(|| mistyped("call_id", "the id of a call"))?)))
}

/// A room by its name, or by its conversation or call.
fn room(argument: &Argument<'_>) -> Option<CallRoom> {
    let name = argument.optional("room").ok()?.and_then(json::string);
    name.and_then(|name| neo::read_room(&name)).or_else(|| named(argument).ok()?)
}

fn media(argument: &Argument<'_>) -> Result<CallMedia, Refusal> {
    let Some(media) = argument.optional("media")? else { return Ok(None) };
    if media.get().len() > MEDIA_BYTES {
        return Err(Refusal::malformed("media may have at most 1024 bytes"));
    }
    Ok(Some(media.get().into()))
}

/// What the one who asked is told: by acknowledgement, or on the event's own channel.
pub(super) fn reply(tag: Tag, asked: Asked, reply: &CallReply) -> Vec<Frame> {
    let (channel, answer) = match reply {
        CallReply::Silence => return Vec::new(),
        CallReply::IceServers(servers) => ("webrtc_ice_servers", neo::ice_servers(servers)),
        CallReply::Call(notice) => ("webrtc_call", neo::call_notice(notice)),
        CallReply::Joined(joined) => ("webrtc_join_room", neo::joined_room(joined)),
        CallReply::Left | CallReply::Forwarded => ("", json!({})),
    };
    if tag.ack.is_some() {
        let mut acknowledged = json!({ "success": true });
        if let (Value::Object(all), Value::Object(answer)) = (&mut acknowledged, answer) {
            all.extend(answer);
        }
        return acknowledge(tag, &acknowledged);
    }
    let mut frames = Vec::new();
    if !channel.is_empty() {
        frames.push(emit(channel, &answer));
    }
    let text = if asked == Asked::RoomForward { "Message forwarded" } else { "ok" };
    frames.push(emit("success", &json!(text)));
    frames
}

/// What a new client is told of an event.
pub(super) fn told(event: &CallEvent) -> Option<Frame> {
    let (channel, json) = neo::call_event(event);
    RawValue::from_string(json).ok().map(|json| Frame::emit(channel, Arc::from(json)))
}
