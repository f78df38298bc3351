//! What crosses between Socket.IO and here.

use serde_json::json;

use crate::support::raw::Raw;

use super::{DOCUMENTED, hears, keys, open_group, open_personal, post_office, say, with};

/// Conformance check 13, from there to here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_io_message_arrives_as_words() {
    let world = post_office().await;
    let (mut ann, bob) = (world.person("ann").await, world.person("bob").await);
    let mut b = world.client_of(&bob).await;
    let personal = open_personal(&mut b, &ann).await;
    let group = open_group(&mut b, &[&ann]).await;
    for (id, r#type) in [(personal, "personal"), (group, "group")] {
        let message = json!({"conversation_id": id, "text_message": "hi"});
        ann.asks("message", message).await;
        let heard = hears(&mut b, "hi").await;
        assert_eq!(keys(&heard), DOCUMENTED);
        assert_eq!((&heard["type"], &heard["conv_id"]), (&json!(r#type), &json!(id)));
        assert_eq!(heard["sender"], "ann Lee");
    }
    // A conversation that began there is simply there.
    let circle = world.circle(&ann, &[&bob]).await;
    let id = world.conversation(circle, &ann, &bob).await;
    let heard = hears(&mut b, "hi").await;
    assert_eq!((&heard["conv_id"], &heard["type"]), (&json!(id), &json!("group")));
    say(&mut b, "group", id, "hello").await;
}

/// Conformance check 13, from here to there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_from_here_arrive_as_a_socket_io_message() {
    let world = post_office().await;
    let (ann, mut bob) = (world.person("ann").await, world.person("bob").await);
    let mut a = world.fan_of(&ann).await;
    a.json().await;
    let personal = open_personal(&mut a, &bob).await;
    let group = open_group(&mut a, &[&bob]).await;
    // A group is told at once, a pair with its first message (RULINGS 56).
    let invited = bob.told("conversation").await;
    assert_eq!((&invited["event"], &invited["conversation_id"]), (&json!("invite"), &json!(group)));
    for (id, r#type) in [(personal, "personal"), (group, "group")] {
        bob.joins(id).await;
        let message = say(&mut a, r#type, id, "hi").await;
        let heard = bob.told("message").await;
        assert_eq!(heard["conversation_id"], json!(id));
        assert_eq!(heard["message"]["content"], "hi");
        assert_eq!(heard["message"]["id"], json!(message));
        assert_eq!(heard["media_list"], json!([]));
        assert_eq!(heard["status"], "done");
    }
    // A read mark from there acts as `seen` here.
    let read = json!({"conversation_id": personal, "seq": 1});
    bob.asks("read", read).await;
    let told = a.json().await;
    assert_eq!((&told["type"], &told["user_id"]), (&json!("seen"), &json!(bob.id)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_arrive_as_lines_when_their_bytes_are_there() {
    for public_url in ["", "https://chat.example.org"] {
        let url = serde_json::from_value(json!(public_url)).unwrap();
        let world = with(|settings| settings.public_url = url).await;
        let (mut ann, bob) = (world.person("ann").await, world.person("bob").await);
        let mut b = world.stranger_to_letters("").await;
        b.send(bob.token.as_str()).await;
        b.text().await;
        let id = open_personal(&mut b, &ann).await;
        let message = json!({"conversation_id": id, "text_message": "look", "files": ["cat.png"]});
        let announced = ann.asks("message", message).await;
        let later = json!({"conversation_id": id, "text_message": "later"});
        ann.asks("message", later).await;
        hears(&mut b, "later").await;
        let media = ann.told("media").await["media_list"][0]["id"].clone();
        world.upload(&ann.token, &media, "cat.png", b"meow").await;
        let heard = b.json().await;
        assert_eq!(heard["message_id"], announced["message_id"]);
        let words = heard["msg"].as_str().unwrap();
        let line = format!("look\n[file cat.png] {public_url}/storage?uuid=");
        assert!(words.starts_with(&line), "{words}");
        // Who comes later finds it in the order in which it appeared.
        b.vanish();
        let mut b = world.stranger_to_letters("").await;
        b.send(bob.token.as_str()).await;
        b.text().await;
        loop {
            // Unless it was confirmed by then, what came before it comes before it again.
            let words = b.json().await["msg"].as_str().unwrap().to_owned();
            if words.starts_with(&line) {
                break;
            }
            assert_eq!(words, "later");
        }
        b.reads_nothing().await;
    }
}

/// multichat 13.4: a room is a group for those who have a place in it and are here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_is_a_group_for_those_who_have_joined_it() {
    let world = post_office().await;
    let (mut ann, bob) = (world.person("ann").await, world.person("bob").await);
    let mut b = world.fan_of(&bob).await;
    b.json().await;
    let room = world.command(&["room", "add", "Lobby", "--description", "For all"]);
    let room = serde_json::from_str::<serde_json::Value>(&room).unwrap()["id"].as_i64().unwrap();
    let told = json!({"msg": "hi", "conv_id": room, "type": "group"});
    b.send_json(&told).await;
    assert_eq!(b.json().await["code"], "conversation_not_found");
    ann.joins(room).await;
    ann.asks("message", json!({"conversation_id": room, "text_message": "nobody hears"})).await;
    let multichat = format!("ws://{}/chat/stream/?token={}", world.address, bob.token);
    let mut page = Raw::connect(&multichat, &[]).await;
    page.send_json(&json!({"command": "join", "room": room, "history": 0})).await;
    assert_eq!(page.json().await["title"], "Lobby");
    ann.asks("message", json!({"conversation_id": room, "text_message": "hello"})).await;
    let heard = hears(&mut b, "hello").await;
    assert_eq!((&heard["conv_id"], &heard["type"]), (&json!(room), &json!("group")));
    assert_eq!(page.json().await["message"], "hello");
    // Back as in any group.
    let id = say(&mut b, "group", room, "hi").await;
    let heard = page.json().await;
    assert_eq!((&heard["message"], &heard["id"]), (&json!("hi"), &json!(id)));
    b.send_json(&json!({"msg": "hi", "conv_id": room, "type": "personal"})).await;
    assert_eq!(b.json().await["code"], "wrong_conversation_type");
    b.send_json(&json!({"type": "conv_info", "conv_id": room})).await;
    let info = b.json().await;
    assert_eq!(
        (&info["kind"], &info["group_name"], &info["description"], &info["member"]),
        (&json!("group"), &json!("Lobby"), &json!("For all"), &json!([ann.id, bob.id]))
    );
    b.send_json(&json!({"type": "conversations"})).await;
    assert_eq!(b.json().await["conversations"][0]["conv_id"], room);
    // Who is away misses it: rooms keep nothing for anybody.
    b.close().await;
    ann.asks("message", json!({"conversation_id": room, "text_message": "missed"})).await;
    let mut b = world.fan_of(&bob).await;
    assert_eq!(b.json().await, json!({"type": "backlog_done", "count": 0}));
    // Who loses access hears and says nothing further.
    let staff = format!("ws://{}/chat/stream/?features=&token={}", world.address, ann.token);
    world.command(&["user", "set", &ann.email, "--staff"]);
    let mut keeper = Raw::connect(&staff, &[]).await;
    keeper.json().await;
    let update = json!({"command": "room_update", "room": room, "staff_only": true});
    keeper.send_json(&update).await;
    keeper.json().await;
    ann.asks("message", json!({"conversation_id": room, "text_message": "staff alone"})).await;
    b.send_json(&told).await;
    assert_eq!(b.json().await["code"], "conversation_not_found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_appears_by_its_name() {
    let world = post_office().await;
    let (mut ann, root) = (world.person("ann").await, world.person("root").await);
    world.promote(&root);
    let circle = world.circle(&ann, &[]).await;
    let (_, username, password) = world.device(&root, &ann, circle).await;
    let token = world.device_token(&username, &password).await;
    let first = json!({"device_token": token, "email": ann.email, "text_message": "tea is ready"});
    world.ok("/device/message/first-message", first).await;
    let mut a = world.client_of(&ann).await;
    let heard = hears(&mut a, "tea is ready").await;
    assert_eq!((&heard["sender"], &heard["sender_id"]), (&json!("Kitchen"), &json!(null)));
    ann.peer.heard().await;
}
