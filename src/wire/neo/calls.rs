//! What new clients are told about calls: servers, states, rooms (docs/calls.md).

use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::domain::{
    CallEvent, CallId, CallNotice, CallPeer, CallRoom, ConversationId, IceServers, JoinedRoom,
    PeerChange, Principal,
};

/// What a browser's `RTCPeerConnection` is made with, and for how many seconds it holds.
pub fn ice_servers(servers: &IceServers) -> Value {
    let mut list = Vec::new();
    if !servers.stun.is_empty() {
        list.push(json!({ "urls": servers.stun }));
    }
    if !servers.turn.is_empty() {
        list.push(json!({
            "urls": servers.turn, "username": servers.username, "credential": servers.credential,
        }));
    }
    json!({ "iceServers": list, "ttl": servers.ttl })
}

/// The name of a room.
fn room_name(room: CallRoom) -> String {
    match room {
        CallRoom::Conversation(id) => format!("conversation:{id}"),
        CallRoom::Call(id) => format!("call:{}", id.get()),
    }
}

/// The room of a name.
pub fn read_room(name: &str) -> Option<CallRoom> {
    match name.split_once(':')? {
        ("conversation", id) => {
            let id = id.parse().ok().filter(|id| *id > 0)?;
            Some(CallRoom::Conversation(ConversationId::new(id)))
        }
        ("call", id) => read_call(id).map(CallRoom::Call),
        _ => None,
    }
}

/// The call of an id.
pub fn read_call(id: &str) -> Option<CallId> {
    Uuid::try_parse(id).ok().map(CallId::new)
}

/// The state of a call.
pub fn call_notice(notice: &CallNotice) -> Value {
    json!({
        "call_id": notice.call,
        "state": notice.state.as_str(),
        "reason": notice.reason.map(crate::domain::CallReason::as_str),
        "by": party(notice.by),
        "media": notice.media.as_deref().map(read),
        "room": room_name(CallRoom::Call(notice.call)),
        "conversation_id": notice.conversation,
    })
}

/// One's own place in a room, the others, and servers for connections to them.
pub fn joined_room(joined: &JoinedRoom) -> Value {
    let JoinedRoom { room, peer: id, resume, peers, servers } = joined;
    let servers = ice_servers(servers);
    json!({
        "room": room_name(*room),
        "peer_id": id,
        "resume": resume,
        "peers": peers.iter().map(peer).collect::<Vec<_>>(),
        "ice_servers": servers["iceServers"],
        "ttl": servers["ttl"],
    })
}

/// The channel of an event, and what is told on it.
pub fn call_event(event: &CallEvent) -> (&'static str, String) {
    match event {
        CallEvent::Call(notice) => ("webrtc_call", call_notice(notice).to_string()),
        CallEvent::Peer { room, peer: who, change } => {
            let event = match change {
                PeerChange::Joined => "joined",
                PeerChange::Reconnecting => "reconnecting",
                PeerChange::Left => "left",
            };
            let told = json!({ "event": event, "room": room_name(*room), "peer": peer(who) });
            ("webrtc_room", told.to_string())
        }
        CallEvent::Said { room, from, sender, data } => {
            let told = json!({ "room": room_name(*room), "from": from });
            let mut told = told.to_string();
            let (id, is_device) = numbered(*sender);
            told.pop();
            let rest =
                format!(r#","sender_id":{id},"is_device":{is_device},"data":{}}}"#, data.get());
            ("webrtc_room_forward", told + &rest)
        }
    }
}

fn peer(peer: &CallPeer) -> Value {
    let mut told = Map::new();
    told.insert("peer_id".to_owned(), json!(peer.id));
    if let Value::Object(who) = party(peer.who) {
        told.extend(who);
    }
    told.insert("media".to_owned(), json!(peer.media.as_deref().map(read)));
    told.insert("polite".to_owned(), json!(peer.polite));
    Value::Object(told)
}

fn party(principal: Principal) -> Value {
    let (id, is_device) = numbered(principal);
    let key = if is_device { "device_id" } else { "user_id" };
    json!({ key: id, "is_device": is_device })
}

const fn numbered(principal: Principal) -> (i64, bool) {
    match principal {
        Principal::User(id) => (id.get(), false),
        Principal::Device(id) => (id.get(), true),
    }
}

fn read(json: &str) -> Value {
    serde_json::from_str(json).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_is_found_by_its_name() {
        let call = CallRoom::Call(CallId::random());
        for room in [CallRoom::Conversation(ConversationId::new(7)), call] {
            assert_eq!(read_room(&room_name(room)), Some(room));
        }
        for name in ["", "x", "conversation:", "conversation:0", "conversation:-1", "call:1", "a:1"]
        {
            assert_eq!(read_room(name), None, "{name}");
        }
    }

    #[test]
    fn servers_that_are_not_there_are_not_named() {
        let mut servers = IceServers {
            stun: vec!["stun:a:1".into()],
            turn: vec!["turn:a:1?transport=udp".into()],
            username: "u".into(),
            credential: "c".into(),
            ttl: 60,
        };
        let stun = json!({ "urls": ["stun:a:1"] });
        let turn =
            json!({ "urls": ["turn:a:1?transport=udp"], "username": "u", "credential": "c" });
        assert_eq!(ice_servers(&servers), json!({ "iceServers": [stun, turn], "ttl": 60 }));
        servers.turn.clear();
        assert_eq!(ice_servers(&servers), json!({ "iceServers": [stun], "ttl": 60 }));
    }
}
