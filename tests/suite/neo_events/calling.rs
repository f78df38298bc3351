//! Calls and rooms that the server knows of (RULINGS 63, 64; docs/calls.md).

use serde_json::{Value, json};

use super::Home;
use crate::support::world::{Peer, World};

/// A call in the conversation of Ann and Bob.
fn start(home: &Home) -> Value {
    json!({ "action": "start", "conversation_id": home.conversation, "media": { "audio": true } })
}

fn act(action: &str, call: &Value) -> Value {
    json!({ "action": action, "call_id": call["call_id"] })
}

/// Makes a connection a new client's.
async fn know(peer: &mut Peer) -> Value {
    let servers = peer.ask("webrtc_ice_servers", json!({})).await;
    assert_eq!(servers["success"], true, "{servers}");
    servers
}

/// The next state on the channel of calls; messages are passed over, who comes and goes, and what was made before.
async fn state(peer: &mut Peer) -> (String, Value) {
    let mut heard = peer.event().await;
    while ["message", "presence", "circle", "circle_invite", "conversation"].contains(&&*heard.0) {
        heard = peer.event().await;
    }
    let (channel, told) = heard;
    assert_eq!(channel, "webrtc_call", "{told}");
    (told["state"].as_str().unwrap().to_owned(), told["reason"].clone())
}

fn is(state: &str) -> (String, Value) {
    (state.to_owned(), Value::Null)
}

/// The words of the newest message.
async fn newest(peer: &mut Peer, conversation: i64) -> Value {
    let page = peer.ask("history", json!({ "conversation_id": conversation, "limit": 1 })).await;
    page["messages"][0]["content"].clone()
}

/// Waits until the newest message says this.
async fn written(peer: &mut Peer, conversation: i64, words: &str) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(15);
    while newest(peer, conversation).await != words {
        assert!(std::time::Instant::now() < deadline, "never said: {words}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn browsers_are_told_what_their_connections_are_made_with() {
    let mut home = Home::open().await;
    let told = know(&mut home.ann.peer).await;
    home.ann.peer.quiet().await;
    home.ann.peer.emit("webrtc_ice_servers", json!({}));
    let event = home.ann.peer.expect("webrtc_ice_servers").await;
    home.ann.peer.expect("success").await;
    assert_eq!(event["iceServers"][0]["urls"], told["iceServers"][0]["urls"]);
    let client = reqwest::Client::new();
    let url = format!("{}/webrtc/ice-servers", home.world.url());
    let asked = client.get(&url).header("authorization", &home.ann.token).send().await.unwrap();
    let rest: Value = asked.json().await.unwrap();
    assert_eq!((&rest["ttl"], &rest["success"]), (&json!(86_400), &json!(true)));
    assert_eq!(rest["iceServers"][1]["urls"], told["iceServers"][1]["urls"]);
    assert_eq!(client.get(&url).send().await.unwrap().status(), 401);
    let mut stranger = home.world.stranger().await;
    let refused = stranger.ask("webrtc_ice_servers", json!({})).await;
    assert_eq!(refused["code"], "unidentified");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_rings_is_answered_and_leaves_a_message() {
    let mut home = Home::open().await;
    let mut old = home.world.peer(&home.bob.token).await;
    let mut phone = home.world.peer(&home.bob.token).await;
    for peer in [&mut phone, &mut home.bob.peer] {
        know(peer).await;
    }
    let call = home.ann.peer.ask("webrtc_call", start(&home)).await;
    assert_eq!((&call["success"], &call["state"]), (&json!(true), &json!("ringing")), "{call}");
    let ring = phone.expect("webrtc_call").await;
    let by = json!({ "user_id": home.ann.id, "is_device": false });
    assert_eq!((&ring["state"], &ring["by"]), (&json!("ringing"), &by));
    assert_eq!((&ring["media"], &ring["room"]), (&json!({ "audio": true }), &call["room"]));
    assert_eq!(state(&mut home.bob.peer).await, is("ringing"));
    let accepted = phone.ask("webrtc_call", act("accept", &call)).await;
    assert_eq!(accepted["state"], "accepted", "{accepted}");
    assert_eq!(state(&mut phone).await, is("active"));
    assert_eq!(state(&mut home.bob.peer).await, ("accepted".to_owned(), json!("elsewhere")));
    assert_eq!(state(&mut home.ann.peer).await, is("accepted"));
    assert_eq!(state(&mut home.ann.peer).await, is("active"));
    let late = home.bob.peer.ask("webrtc_call", act("accept", &call)).await;
    assert_eq!(late["code"], "conflict");
    phone.emit("webrtc_call", act("hangup", &call));
    assert_eq!(state(&mut phone).await, is("ended"));
    phone.expect("success").await;
    assert_eq!(state(&mut home.ann.peer).await, is("ended"));
    written(&mut home.bob.peer, home.conversation, "Call, 0:00").await;
    // An old client was told of nothing but the message.
    assert!(old.heard().await.iter().all(|(channel, _)| channel == "message"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_rings_who_is_not_a_new_client() {
    let mut home = Home::open().await;
    let call = home.ann.peer.ask("webrtc_call", start(&home)).await;
    assert_eq!((&call["state"], &call["reason"]), (&json!("missed"), &json!("offline")));
    written(&mut home.ann.peer, home.conversation, "Missed call").await;
    home.bob.peer.heard().await;
    // By number: their direct conversation is made for it.
    let by_number = json!({ "action": "start", "user_id": home.bob.id });
    let call = home.ann.peer.ask("webrtc_call", by_number).await;
    assert_ne!(call["conversation_id"], json!(home.conversation), "{call}");
    let direct = call["conversation_id"].as_i64().unwrap();
    written(&mut home.ann.peer, direct, "Missed call").await;
    // Strangers look like people who are not there.
    let stranger = home.world.person("sam").await;
    for id in [stranger.id, 987_654] {
        let call = json!({ "action": "start", "user_id": id });
        assert_eq!(home.ann.peer.ask("webrtc_call", call).await["code"], "offline");
    }
    for wrong in [json!({}), json!({ "action": "start" }), json!({ "action": "accept" })] {
        assert_eq!(home.ann.peer.ask("webrtc_call", wrong.clone()).await["code"], "malformed");
        home.ann.peer.heard().await;
        home.ann.peer.fail("webrtc_call", wrong).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_at_once_talk_and_a_lost_caller_has_cancelled() {
    let mut home = Home::open().await;
    know(&mut home.bob.peer).await;
    know(&mut home.ann.peer).await;
    let first = home.ann.peer.ask("webrtc_call", start(&home)).await;
    assert_eq!(state(&mut home.bob.peer).await, is("ringing"));
    let second = home.bob.peer.ask("webrtc_call", start(&home)).await;
    assert_eq!((&second["call_id"], &second["state"]), (&first["call_id"], &json!("accepted")));
    let hung = home.bob.peer.ask("webrtc_call", act("hangup", &first)).await;
    assert_eq!(hung["state"], "ended");
    assert_eq!(state(&mut home.bob.peer).await, is("active"));
    for expected in ["accepted", "active", "ended"] {
        assert_eq!(state(&mut home.ann.peer).await, is(expected));
    }
    home.ann.peer.heard().await;
    home.bob.peer.heard().await;
    let call = home.ann.peer.ask("webrtc_call", start(&home)).await;
    assert_eq!(call["state"], "ringing");
    assert_eq!(state(&mut home.bob.peer).await, is("ringing"));
    home.ann.peer.say(r#"42["disconnect"]"#);
    home.ann.peer.ended().await;
    assert_eq!(state(&mut home.bob.peer).await, ("cancelled".to_owned(), json!("lost")));
    written(&mut home.bob.peer, home.conversation, "Cancelled call").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_meet_in_the_room_of_a_conversation() {
    let mut home = Home::open().await;
    let _phone = home.world.peer(&home.bob.token).await;
    let room = json!({ "conversation_id": home.conversation, "media": "camera" });
    let ann = home.ann.peer.ask("webrtc_join_room", room.clone()).await;
    assert_eq!((&ann["success"], &ann["peers"]), (&json!(true), &json!([])), "{ann}");
    assert!(ann["ice_servers"].is_array() && ann["ttl"].is_number(), "{ann}");
    let bob = home.bob.peer.ask("webrtc_join_room", room.clone()).await;
    let peer = json!({
        "peer_id": ann["peer_id"], "user_id": home.ann.id, "is_device": false,
        "media": "camera", "polite": true,
    });
    assert_eq!(bob["peers"], json!([peer]));
    let told = home.ann.peer.expect("webrtc_room").await;
    assert_eq!((&told["event"], &told["room"]), (&json!("joined"), &ann["room"]));
    assert_eq!(told["peer"]["peer_id"], bob["peer_id"]);
    assert_eq!(told["peer"]["polite"], false);
    let data = json!({ "z": 1, "a": { "sdp": "v=0" } });
    let say = |to: &Value| json!({ "room": ann["room"], "to": to, "data": data });
    let forwarded = home.bob.peer.ask("webrtc_room_forward", say(&ann["peer_id"])).await;
    assert_eq!(forwarded, json!({ "success": true }));
    let heard = home.ann.peer.expect("webrtc_room_forward").await;
    let expected = json!({
        "room": ann["room"], "from": bob["peer_id"], "sender_id": home.bob.id,
        "is_device": false, "data": data,
    });
    assert_eq!(heard.to_string(), expected.to_string());
    let nobody = home.bob.peer.ask("webrtc_room_forward", say(&home.ann.id.into())).await;
    assert_eq!(nobody["code"], "malformed");
    let large = json!({ "room": ann["room"], "data": "x".repeat(70_000) });
    assert_eq!(home.bob.peer.ask("webrtc_room_forward", large).await["code"], "malformed");

    // Bob's connection is lost, though he stays online; what is said meanwhile reaches him when he is back.
    home.bob.peer.say(r#"42["disconnect"]"#);
    home.bob.peer.ended().await;
    assert_eq!(home.ann.peer.expect("webrtc_room").await["event"], "reconnecting");
    for n in 0..3 {
        let data = json!({ "room": ann["room"], "data": n });
        home.ann.peer.ask("webrtc_room_forward", data).await;
    }
    let mut back = home.world.peer(&home.bob.token).await;
    let mut again = room.clone();
    again["resume"] = bob["resume"].clone();
    assert_eq!(back.ask("webrtc_join_room", again).await["peer_id"], bob["peer_id"]);
    for n in 0..3 {
        assert_eq!(back.expect("webrtc_room_forward").await["data"], n);
    }
    assert_eq!(home.ann.peer.expect("webrtc_room").await["event"], "joined");

    // Carl does not take part, and what he says of rooms is heard by nobody.
    let mut carl = home.carl().await;
    assert_eq!(carl.peer.ask("webrtc_join_room", room).await["success"], false);
    carl.peer.heard().await;
    carl.peer.emit("webrtc_room_forward", say(&ann["peer_id"]));
    carl.peer.emit("webrtc_leave_room", json!({ "room": ann["room"] }));
    carl.peer.quiet().await;
    let left = back.ask("webrtc_leave_room", json!({ "room": ann["room"] })).await;
    assert_eq!(left["success"], true);
    assert_eq!(home.ann.peer.expect("webrtc_room").await["event"], "left");
    home.ann.peer.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_room_of_a_call_is_for_those_who_take_part() {
    let mut home = Home::open().await;
    know(&mut home.bob.peer).await;
    let call = home.ann.peer.ask("webrtc_call", start(&home)).await;
    let room = json!({ "call_id": call["call_id"] });
    assert_eq!(home.ann.peer.ask("webrtc_join_room", room.clone()).await["success"], true);
    let early = home.bob.peer.ask("webrtc_join_room", room.clone()).await;
    assert_eq!(early["code"], "forbidden");
    home.bob.peer.ask("webrtc_call", act("accept", &call)).await;
    let joined = home.bob.peer.ask("webrtc_join_room", room).await;
    assert_eq!(joined["peers"].as_array().unwrap().len(), 1, "{joined}");
    assert_eq!(joined["room"], call["room"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_client_that_answers_first_is_the_one_that_is_told() {
    let world = World::open().await;
    let mut home = Home::in_world(world).await;
    let mut phone = home.world.peer(&home.bob.token).await;
    let to_bob = |message: &str| json!({ "user_id": home.bob.id, "message": message });
    let to_ann = json!({ "user_id": home.ann.id, "message": "READY" });
    home.ann.peer.succeed("webrtc_forward", to_bob("CALLING")).await;
    assert_eq!(home.bob.peer.heard().await.len(), 2);
    assert_eq!(phone.heard().await.len(), 2);
    phone.succeed("webrtc_forward", to_ann).await;
    home.ann.peer.heard().await;
    home.ann.peer.succeed("webrtc_forward", to_bob("OFFER")).await;
    assert_eq!(phone.heard().await.len(), 2);
    home.bob.peer.quiet().await;
    phone.say(r#"42["disconnect"]"#);
    phone.ended().await;
    home.ann.peer.succeed("webrtc_forward", to_bob("AGAIN")).await;
    assert_eq!(home.bob.peer.heard().await.len(), 2);
}

/// An active call of Ann and Bob, with both in its room.
async fn talk(home: &mut Home) -> Value {
    know(&mut home.bob.peer).await;
    let call = home.ann.peer.ask("webrtc_call", start(home)).await;
    home.bob.peer.ask("webrtc_call", act("accept", &call)).await;
    for peer in [&mut home.ann.peer, &mut home.bob.peer] {
        let joined = peer.ask("webrtc_join_room", json!({ "call_id": call["call_id"] })).await;
        assert_eq!(joined["success"], true, "{joined}");
        peer.ask("webrtc_join_room", home_room(home.conversation)).await;
    }
    for peer in [&mut home.ann.peer, &mut home.bob.peer] {
        peer.heard().await;
    }
    call
}

fn home_room(conversation: i64) -> Value {
    json!({ "conversation_id": conversation })
}

/// What Ann is told of a Bob who has no part any more: the call's end, and that his place in
/// the conversation's room is empty.
async fn left_alone(home: &mut Home) {
    let room = format!("conversation:{}", home.conversation);
    let mut told = Vec::new();
    while told.len() < 2 {
        match home.ann.peer.event().await {
            (channel, event) if channel == "webrtc_call" => told.push(event["state"].clone()),
            (channel, event) if channel == "webrtc_room" && event["room"] == room => {
                told.push(event["event"].clone());
            }
            _ => {}
        }
    }
    assert_eq!(told, ["ended", "left"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_put_out_of_a_conversation_is_out_of_its_call_at_once() {
    for way in ["/conversation/kick", "/conversation/quit", "/circle/kick", "/circle/quit"] {
        let mut home = Home::open().await;
        let call = talk(&mut home).await;
        let who = if way.ends_with("kick") { &home.ann } else { &home.bob };
        let mut body = json!({
            "token": who.token, "conversation_id": home.conversation, "circle_id": home.circle,
        });
        if way.ends_with("kick") {
            body["email"] = home.bob.email.clone().into();
        }
        home.world.ok(way, body).await;
        left_alone(&mut home).await;
        let heard = home.bob.peer.heard().await;
        let ended = |(channel, told): &(String, Value)| {
            channel == "webrtc_call" && told["state"] == "ended"
        };
        assert!(heard.iter().any(ended), "{way}: {heard:?}");
        let again = home.bob.peer.ask("webrtc_call", act("accept", &call)).await;
        assert_eq!(again["success"], false, "{way}: {again}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_deactivated_or_logged_out_is_out_of_the_call_at_once() {
    for deactivated in [true, false] {
        let mut home = Home::open().await;
        talk(&mut home).await;
        if deactivated {
            home.world.command(&["user", "set", &home.bob.id.to_string(), "--no-active"]);
        } else {
            home.world.ok("/account/logout", json!({ "token": home.bob.token })).await;
        }
        left_alone(&mut home).await;
        written(&mut home.ann.peer, home.conversation, "Call, 0:00").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_called_where_it_takes_part() {
    let mut home = Home::open().await;
    let admin = home.world.person("root").await;
    home.world.promote(&admin);
    let (id, username, password) = home.world.device(&admin, &home.ann, home.circle).await;
    let token = home.world.device_token(&username, &password).await;
    let mut door = home.world.peer(&token).await;
    know(&mut door).await;
    home.ann.peer.heard().await;
    // Without access it is none of the conversation's.
    let call = home.ann.peer.ask("webrtc_call", start(&home)).await;
    assert_eq!(call["state"], "missed");
    door.quiet().await;
    let which = json!({ "token": home.ann.token, "conversation_id": home.conversation });
    home.world.ok("/conversation/device/set", which).await;
    let call = home.ann.peer.ask("webrtc_call", start(&home)).await;
    assert_eq!(call["state"], "ringing", "{call}");
    assert_eq!(state(&mut door).await, is("ringing"));
    let accepted = door.ask("webrtc_call", act("accept", &call)).await;
    assert_eq!(accepted["by"], json!({ "device_id": id, "is_device": true }), "{accepted}");
    door.ask("webrtc_call", act("hangup", &call)).await;
    written(&mut home.ann.peer, home.conversation, "Call, 0:00").await;
    // Called by its number there is no conversation of the two that could say so.
    let by_number = json!({ "action": "start", "device_id": id });
    let call = home.ann.peer.ask("webrtc_call", by_number).await;
    assert_eq!((&call["state"], &call["conversation_id"]), (&json!("ringing"), &Value::Null));
    door.heard().await;
    door.ask("webrtc_call", act("accept", &call)).await;
    home.ann.peer.heard().await;
    // Who leaves the circle has nothing in common with it any more.
    home.world
        .ok("/circle/quit", json!({ "token": home.ann.token, "circle_id": home.circle }))
        .await;
    let mut told = state(&mut door).await;
    while told != is("ended") {
        told = state(&mut door).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_before_anybody_came_is_heard() {
    let mut home = Home::open().await;
    let ann = home.ann.peer.ask("webrtc_join_room", home_room(home.conversation)).await;
    for n in 0..3 {
        let said = json!({ "room": ann["room"], "data": n });
        assert_eq!(home.ann.peer.ask("webrtc_room_forward", said).await["success"], true);
    }
    home.bob.peer.ask("webrtc_join_room", home_room(home.conversation)).await;
    for n in 0..3 {
        let heard = home.bob.peer.expect("webrtc_room_forward").await;
        assert_eq!((&heard["data"], &heard["from"]), (&json!(n), &ann["peer_id"]));
    }
}

/// What became of calls is written down beside everything else: a database that stands still, and an account with
/// many calls, keep nobody from hearing that a peer is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_peer_is_told_while_what_became_of_others_calls_waits_to_be_written() {
    let mut home = Home::open().await;
    let (mut cid, mut dan) = (home.world.person("cid").await, home.world.person("dan").await);
    let circle = home.world.circle(&cid, &[&dan]).await;
    let conversation = home.world.conversation(circle, &cid, &dan).await;
    for peer in [&mut home.ann.peer, &mut cid.peer, &mut dan.peer] {
        know(peer).await;
    }
    let with = json!({ "action": "start", "conversation_id": conversation, "media": "audio" });
    assert_eq!(cid.peer.ask("webrtc_call", with).await["state"], "ringing");
    assert_eq!(state(&mut dan.peer).await, is("ringing"));

    let db = rusqlite::Connection::open(home.world.folder().join("klatsch.db")).unwrap();
    db.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
    db.execute_batch("BEGIN IMMEDIATE").unwrap();
    // Bob is no new client: each of these is over at once, and nothing of it can be written.
    let (mut missed, mut refused) = (0, 0);
    for _ in 0..100 {
        let told = home.ann.peer.ask("webrtc_call", start(&home)).await;
        match (told["state"].as_str(), told["code"].as_str()) {
            (Some("missed"), _) => missed += 1,
            (_, Some("rate_limited")) => refused += 1,
            _ => panic!("{told}"),
        }
    }
    assert!((1..=40).contains(&missed) && refused > 0, "{missed} {refused}");
    drop(cid);
    assert_eq!(state(&mut dan.peer).await, ("cancelled".to_owned(), json!("lost")));
    // All that while the database stood still.
    db.execute_batch("COMMIT").unwrap();
}
