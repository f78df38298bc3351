//! Between private-chat and Socket.IO.

use serde_json::{Value, json};

use super::stage::{Stage, User, arrives, message, plain, until_settled};
use crate::support::raw::Raw;

/// The direct conversation of two users, as Socket.IO knows it.
async fn conversation(stage: &Stage, user: &User) -> i64 {
    let info = stage.world.ok("/user/info", json!({ "token": user.token })).await;
    let all = info["content"]["conversations"].as_array().unwrap();
    assert_eq!(all.len(), 1, "{info}");
    all[0]["conversation_id"].as_i64().or_else(|| all[0]["id"].as_i64()).unwrap()
}

async fn next(chat: &mut Raw, kind: &str) -> Value {
    loop {
        let packet = chat.json().await;
        if packet["type"] == kind {
            return packet;
        }
    }
}

/// Conformance check 16.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_typing_and_marks_cross_both_ways() {
    let stage = Stage::open().await;
    let (ann, bob) = (stage.user("ann").await, stage.user("bob").await);
    let mut a = stage.rich(&ann, "bob").await;
    let mut b = stage.bound(&bob, "ann").await;
    b.send_json(&message("ann", "hi")).await;
    next(&mut a, "new-dialog").await;
    let id = conversation(&stage, &ann).await;
    let mut neo = stage.world.peer(&ann.token).await;
    neo.succeed("join_conversation", json!({ "conversation_id": id })).await;
    until_settled(&mut a).await;
    until_settled(&mut b).await;

    neo.emit("message", json!({"conversation_id": id, "text_message": "coming"}));
    assert_eq!(plain(next(&mut b, "new-message").await), arrives("ann", "bob", "coming"));
    let own = next(&mut a, "new-message").await;
    assert_eq!(own["message"], "coming");
    assert_eq!(neo.expect("success").await["message"], json!("Message sent")["message"]);
    neo.expect("message").await;

    b.send_json(&json!({"type": "is-typing", "typing": true})).await;
    b.send_json(&json!({"type": "is-typing", "typing": true})).await;
    assert_eq!(
        neo.expect("writing").await,
        json!({
            "conversation_id": id, "device": false, "user": "bob@example.org",
            "user_id": bob.id, "is_writing": true,
        })
    );
    a.reads(json!({"type": "opponent-typing", "username": "bob"})).await;
    b.send_json(&message("ann", "waiting")).await;
    let told = neo.expect("message").await;
    assert_eq!(told["message"]["content"], "waiting");
    assert_eq!(told["status"], "done");
    assert_eq!(neo.expect("writing").await["is_writing"], false);
    next(&mut a, "new-message").await;
    a.reads(json!({"type": "opponent-typing", "username": "bob", "typing": false})).await;

    b.send_json(&json!({"type": "read_message", "message_id": own["message_id"]})).await;
    a.reads(json!({"type": "opponent-read-message", "username": "bob", "message_id": own["message_id"]}))
        .await;
    let update = neo.expect("message").await;
    assert_eq!((&update["event"], &update["message_id"]), (&json!("update"), &own["message_id"]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_a_group_or_a_circle_appears_here() {
    let stage = Stage::open().await;
    let (mut ann, bob) = (stage.world.person("ann").await, stage.world.person("bob").await);
    let circle = stage.world.circle(&ann, &[&bob]).await;
    let user = User {
        id: bob.id,
        name: "bob".to_owned(),
        email: bob.email.clone(),
        token: bob.token.clone(),
    };
    let mut on_ann = stage.bound(&user, "ann").await;
    let group = stage.world.conversation(circle, &ann, &bob).await;
    ann.peer.succeed("join_conversation", json!({ "conversation_id": group })).await;
    ann.peer.emit("message", json!({"conversation_id": group, "text_message": "hello all"}));
    ann.peer.emit("writing", json!({"conversation_id": group, "is_writing": true}));
    ann.peer.expect("success").await;
    ann.peer.expect("message").await;
    assert_eq!(until_settled(&mut on_ann).await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_with_files_appears_when_they_have_arrived() {
    let stage = Stage::open().await;
    let (ann, bob) = (stage.user("ann").await, stage.user("bob").await);
    let mut b = stage.bound(&bob, "ann").await;
    b.send_json(&message("ann", "hi")).await;
    until_settled(&mut b).await;
    let id = conversation(&stage, &ann).await;
    let sent = json!({
        "token": ann.token, "conversation_id": id, "text_message": "look", "files": ["cat.png"],
    });
    let answer = stage.world.ok("/message/send", sent).await;
    assert_eq!(until_settled(&mut b).await, Vec::<Value>::new());
    let media = &answer["media_list"][0];
    stage.world.upload(&ann.token, &media["id"], "cat.png", b"cat").await;
    let packet = next(&mut b, "new-message").await;
    let text = packet["message"].as_str().unwrap();
    let (words, line) = text.split_once('\n').unwrap();
    assert_eq!(words, "look");
    assert!(line.starts_with("[file cat.png] /storage?uuid="), "{line}");
}
