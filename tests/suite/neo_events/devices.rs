//! A household machine at the table: activated, logged in, talking where it may.

use serde_json::json;

use super::Home;
use crate::support::world::{Peer, World, undated};

/// A home with a device that is connected, and its number and token.
async fn furnished() -> (Home, i64, String, Peer) {
    let mut home = Home::open().await;
    let admin = home.world.person("root").await;
    home.world.promote(&admin);
    let (id, username, password) = home.world.device(&admin, &home.ann, home.circle).await;
    let token = home.world.device_token(&username, &password).await;
    let peer = home.world.peer(&token).await;
    home.ann.peer.heard().await;
    (home, id, token, peer)
}

async fn switch(world: &World, home: &Home, path: &str) {
    let which = json!({ "token": home.ann.token, "conversation_id": home.conversation });
    world.ok(path, which).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_joins_and_talks_where_it_has_access() {
    let (mut home, id, token, mut door) = furnished().await;
    let call = json!({ "email": home.ann.email });
    // Without access: like somebody who is not a member.
    door.fail("join_conversation", home.here()).await;
    door.fail("message", home.words("let me in")).await;
    let writing = json!({ "conversation_id": home.conversation, "is_writing": true });
    door.fail("writing", writing.clone()).await;
    door.fail("join_circle", json!({ "circle_id": home.circle + 1 })).await;
    door.join_circle(home.circle).await;

    // Switched on: the room is told.
    switch(&home.world, &home, "/conversation/device/set").await;
    let added = json!({ "event": "device", "type": "add", "conversation_id": home.conversation });
    assert_eq!(home.ann.peer.expect("conversation").await, added);
    assert_eq!(home.bob.peer.expect("conversation").await, added);
    door.join(home.conversation).await;
    door.succeed("message", home.words("ding")).await;
    let message = undated(door.expect("message").await);
    assert_eq!(undated(home.ann.peer.expect("message").await), message);
    let said = &message["message"];
    assert_eq!((&said["device_id"], said.get("link_id")), (&json!(id), None));
    assert_eq!(said["content"], "ding");
    let sender = &message["sender"];
    assert_eq!((&sender["id"], &sender["circle_id"]), (&json!(id), &json!(home.circle)));
    assert_eq!((&sender["is_online"], &sender["activated"]), (&json!(true), &json!(true)));
    home.bob.peer.heard().await;

    door.emit("writing", writing);
    let expected = json!({
        "conversation_id": home.conversation, "device": true, "is_writing": true,
    });
    assert_eq!(home.ann.peer.expect("writing").await, expected);
    home.bob.peer.heard().await;
    door.heard().await;
    // What it announces, it uploads; and over HTTP it speaks as well.
    let mut words = home.words("look");
    words["files"] = json!(["door.jpg"]);
    door.emit("message", words);
    let media = door.expect("media").await["media_list"][0]["id"].clone();
    door.heard().await;
    home.world.upload(&token, &media, "door.jpg", b"\xff\xd8\xff\xe0jpeg").await;
    let done = door.expect("message").await;
    assert_eq!((&done["sender"]["id"], &done["status"]), (&json!(id), &json!("done")));
    let send = json!({
        "device_token": token, "conversation_id": home.conversation, "text_message": "dong",
    });
    home.world.ok("/device/message/send", send).await;
    assert_eq!(door.expect("message").await["message"]["content"], "dong");

    // Calls: by its number, in both directions.
    home.ann.peer.heard().await;
    home.ann.peer.succeed("webrtc_forward", json!({ "device_id": id, "m": 1 })).await;
    assert_eq!(door.expect("webrtc_config").await["sender_id"], home.ann.id);
    door.expect("webrtc_forward").await;
    door.succeed("webrtc_forward", call).await;
    let signal = home.ann.peer.expect("webrtc_config").await;
    assert_eq!((&signal["sender_id"], &signal["is_device"]), (&json!(id), &json!(true)));
    door.say(r#"42["webrtc_credentials"]"#);
    let config = door.expect("webrtc_config").await;
    assert!(config["username"].as_str().unwrap().ends_with(&format!(":d{id}")), "{config}");

    // It has no place up to which it has read, but may catch up.
    let read = door.ask("read", json!({ "conversation_id": home.conversation, "seq": 1 })).await;
    assert_eq!(read["success"], false);
    let page = door.ask("sync", json!({ "conversation_id": home.conversation, "since": 0 })).await;
    assert_eq!(page["success"], true);

    // Switched off: told, put out, and deaf.
    home.ann.peer.heard().await;
    switch(&home.world, &home, "/conversation/device/remove").await;
    let removed =
        json!({ "event": "device", "type": "remove", "conversation_id": home.conversation });
    assert_eq!(home.ann.peer.expect("conversation").await, removed);
    assert_eq!(door.expect("conversation").await, removed);
    home.ann.peer.succeed("message", home.words("has it gone?")).await;
    door.quiet().await;
    door.fail("join_conversation", home.here()).await;
    door.fail("message", home.words("hello?")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn first_messages_invite_the_addressed_side() {
    let (mut home, _, token, mut door) = furnished().await;
    home.bob.peer.heard().await;
    let first = json!({
        "token": home.ann.token, "circle_id": home.circle, "text_message": "wake up",
    });
    let first = home.world.ok("/message/device/first-message", first).await;
    let invited = json!({ "event": "invite", "conversation_id": first["conversation_id"] });
    assert_eq!(door.heard().await, [("conversation".to_owned(), invited)]);
    home.ann.peer.quiet().await;
    home.bob.peer.quiet().await;
    door.join(first["conversation_id"].as_i64().unwrap()).await;

    let first = json!({ "device_token": token, "email": home.bob.email, "text_message": "parcel" });
    let first = home.world.ok("/device/message/first-message", first).await;
    let invited = json!({ "event": "invite", "conversation_id": first["conversation_id"] });
    assert_eq!(home.bob.peer.heard().await, [("conversation".to_owned(), invited)]);
    home.ann.peer.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_logout_of_a_device_unbinds_it() {
    let (home, _, token, mut door) = furnished().await;
    door.join_circle(home.circle).await;
    home.world.ok("/device/logout", json!({ "device_token": token })).await;
    door.heard().await;
    door.fail("join_circle", json!({ "circle_id": home.circle })).await;
    let rename = json!({ "token": home.ann.token, "circle_id": home.circle, "name": "X" });
    home.world.ok("/circle/update", rename).await;
    door.quiet().await;
    assert_eq!(door.fail("authenticate", json!({ "token": token })).await, "Invalid token");
}
