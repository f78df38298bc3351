//! What clients get who ask for more, and nobody else.

use serde_json::json;

use super::{DOCUMENTED, hears, keys, open_group, open_personal, post_office, say};
use crate::support::raw::Heard;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conversations_and_their_members_can_be_asked_for() {
    let world = post_office().await;
    let (ann, bob, cy) =
        (world.person("ann").await, world.person("bob").await, world.person("cy").await);
    let mut a = world.fan_of(&ann).await;
    a.reads(json!({"type": "backlog_done", "count": 0})).await;
    let group = open_group(&mut a, &[&ann, &bob]).await;
    let personal = open_personal(&mut a, &bob).await;
    let names = json!({ann.id.to_string(): "ann Lee", bob.id.to_string(): "bob Lee"});
    let described = json!({
        "conv_id": group, "kind": "group", "group_name": "Livescore",
        "description": "A research group", "member": [ann.id, bob.id], "names": names,
    });
    a.send_json(&json!({"type": "conv_info", "conv_id": group})).await;
    let info = a.json().await;
    assert_eq!(info["type"], "conv_info");
    assert_eq!(keys(&info)[1..], keys(&described)[..]);
    // Nobody has said anything in the pair's yet: it has not come into being.
    a.send_json(&json!({"type": "conversations"})).await;
    a.reads(json!({"type": "conversations", "conversations": [described]})).await;
    say(&mut a, "personal", personal, "hi").await;
    a.send_json(&json!({"type": "conversations"})).await;
    let all = a.json().await;
    assert_eq!(all["conversations"][1]["kind"], "personal");
    assert_eq!(all["conversations"][1]["member"], json!([ann.id, bob.id]));
    let mut c = world.fan_of(&cy).await;
    c.json().await;
    for ask in [
        json!({"type": "conv_info", "conv_id": group}),
        json!({"type": "history", "conv_id": personal}),
        json!({"type": "typing", "conv_id": group, "is_typing": true}),
    ] {
        c.send_json(&ask).await;
        let error = c.json().await;
        assert_eq!(
            (&error["code"], &error["conv_id"]),
            (&json!("conversation_not_found"), &ask["conv_id"],)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_goes_back_from_a_message_and_changes_nothing() {
    let world = post_office().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let (mut a, mut b) = (world.fan_of(&ann).await, world.fan_of(&bob).await);
    a.json().await;
    b.json().await;
    let id = open_personal(&mut a, &bob).await;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(say(&mut a, "personal", id, &number.to_string()).await);
        hears(&mut b, &number.to_string()).await;
        b.reads_nothing().await;
        assert_eq!(a.json().await["type"], "delivered");
    }
    let own = say(&mut b, "personal", id, "mine").await;
    hears(&mut a, "mine").await;
    let ask = json!({"type": "history", "conv_id": id, "before_id": ids[4], "limit": 2});
    b.send_json(&ask).await;
    let history = b.json().await;
    assert_eq!((&history["type"], &history["conv_id"]), (&json!("history"), &json!(id)));
    let messages = history["messages"].as_array().unwrap();
    let words: Vec<_> = messages.iter().map(|message| message["msg"].as_str().unwrap()).collect();
    assert_eq!(words, ["2", "3"]);
    assert_eq!(keys(&messages[0]), [&DOCUMENTED[..], &["sender_id"]].concat());
    // One's own are in it; a limit that is too large is the largest.
    b.send_json(&json!({"type": "history", "conv_id": id, "limit": 100_000})).await;
    let history = b.json().await;
    let messages = history["messages"].as_array().unwrap();
    assert_eq!(messages.len(), 6);
    assert_eq!(
        (&messages[5]["message_id"], &messages[5]["sender_id"]),
        (&json!(own), &json!(bob.id),)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_s_other_connections_hear_one_s_own_messages() {
    let world = post_office().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let (mut a, mut a_too) = (world.fan_of(&ann).await, world.fan_of(&ann).await);
    a.json().await;
    a_too.json().await;
    let id = open_personal(&mut a, &bob).await;
    say(&mut a, "personal", id, "mine").await;
    let own = hears(&mut a_too, "mine").await;
    assert_eq!(own["sender_id"], json!(ann.id));
    a.reads_nothing().await;
    a_too.reads_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn typing_and_presence_are_told_to_those_who_ask() {
    let world = post_office().await;
    let (ann, mut bob) = (world.person("ann").await, world.person("bob").await);
    let mut a = world.fan_of(&ann).await;
    a.json().await;
    let id = open_personal(&mut a, &bob).await;
    say(&mut a, "personal", id, "hi").await;
    let mut b = world.fan_of(&bob).await;
    hears(&mut b, "hi").await;
    b.reads(json!({"type": "backlog_done", "count": 1})).await;
    b.reads_nothing().await;
    assert_eq!(a.json().await["type"], "delivered");
    for typing in [true, false] {
        a.send_json(&json!({"type": "typing", "conv_id": id, "is_typing": typing})).await;
        b.reads(json!({
            "type": "typing", "conv_id": id, "is_typing": typing, "user_id": ann.id,
            "sender": "ann Lee",
        }))
        .await;
    }
    a.reads_nothing().await;
    a.send_json(&json!({"type": "typing", "conv_id": id, "is_typing": "yes"})).await;
    assert_eq!(a.json().await["field"], "is_typing");
    // What another dialect says crosses as a change.
    bob.joins(id).await;
    bob.peer.emit("writing", json!({"conversation_id": id, "is_writing": true}));
    let typing = a.json().await;
    assert_eq!((&typing["is_typing"], &typing["user_id"]), (&json!(true), &json!(bob.id)));
    bob.peer.emit("writing", json!({"conversation_id": id, "is_writing": false}));
    assert_eq!(a.json().await["is_typing"], json!(false));
    // Gone is who has no connection of any dialect left; those hear of it to whom they wrote.
    say(&mut b, "personal", id, "yes").await;
    hears(&mut a, "yes").await;
    b.close().await;
    drop(bob);
    loop {
        let told = a.json().await;
        if told["type"] == "presence" {
            assert_eq!(told["online"], json!(false));
            break;
        }
        assert_eq!((&told["type"], &told["is_typing"]), (&json!("typing"), &json!(false)));
    }
}

/// Conformance check 11.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_ask_gets_the_documented_frames_alone() {
    let world = post_office().await;
    let (ann, bob, cy) =
        (world.person("ann").await, world.person("bob").await, world.person("cy").await);
    let (mut plain, mut fan) = (world.client_of(&ann).await, world.fan_of(&bob).await);
    fan.json().await;
    let id = open_personal(&mut plain, &bob).await;
    let message = say(&mut plain, "personal", id, "hi").await;
    hears(&mut fan, "hi").await;
    for frame in [
        json!({"type": "seen", "message_id": message}),
        json!({"type": "typing", "conv_id": id, "is_typing": true}),
        json!({"type": "typing", "conv_id": id, "is_typing": false}),
    ] {
        fan.send_json(&frame).await;
    }
    fan.reads_nothing().await;
    say(&mut fan, "personal", id, "hello").await;
    let visitor = world.client_of(&cy).await;
    visitor.close().await;
    let heard = plain.drain().await;
    let [Heard::Text(only)] = heard.as_slice() else { panic!("{heard:?}") };
    assert_eq!(keys(&serde_json::from_str(only).unwrap()), DOCUMENTED);
    // Nor can such a client ask for more.
    for frame in [
        json!({"type": "status", "message_id": [message]}),
        json!({"type": "conv_info", "conv_id": id}),
        json!({"type": "conversations"}),
        json!({"type": "history", "conv_id": id}),
        json!({"type": "typing", "conv_id": id, "is_typing": true}),
    ] {
        plain.send_json(&frame).await;
        assert_eq!(plain.json().await["code"], "unknown_type", "{frame}");
    }
}
