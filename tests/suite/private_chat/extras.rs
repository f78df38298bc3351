//! What those get who ask for extras.

use serde_json::{Value, json};

use super::stage::{Stage, arrives, message, plain, settle, until_settled};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reference_comes_back_and_makes_sending_repeatable() {
    let stage = Stage::open().await;
    let (ann, bob) = (stage.user("ann").await, stage.user("bob").await);
    let mut a = stage.rich(&ann, "bob").await;
    settle(&mut a).await;
    let mut other = stage.rich(&ann, "bob").await;
    settle(&mut other).await;
    let mut b = stage.bound(&bob, "ann").await;
    let mut sent = message("bob", "<once>");
    sent["ref"] = "r1".into();
    a.send_json(&sent).await;
    let copy = a.json().await;
    assert_eq!((&copy["ref"], &copy["message"]), (&json!("r1"), &json!("<once>")));
    let exact = copy["sent"].as_str().unwrap();
    assert!(exact.len() == 27 && exact.ends_with('Z'), "{exact}");
    // Not passed on.
    let elsewhere = other.json().await;
    assert!(elsewhere["ref"].is_null() && !elsewhere["sent"].is_null(), "{elsewhere}");
    let arrived = b.json().await;
    assert_eq!(plain(arrived.clone()), arrives("ann", "bob", "<once>"));
    until_settled(&mut b).await;
    // Again, also over another socket and with other words: the first message once more.
    other.send_json(&json!({"type": "new-message", "message": "else", "ref": "r1"})).await;
    assert_eq!(other.json().await, copy);
    assert_eq!(until_settled(&mut b).await, Vec::<Value>::new());
    assert_eq!(until_settled(&mut a).await, Vec::<Value>::new());
    // A number is returned and means nothing else.
    for _ in 0..2 {
        a.send_json(&json!({"type": "new-message", "message": "n", "ref": 5})).await;
        assert_eq!(a.json().await["ref"], 5);
        assert_eq!(b.json().await["message"], "n");
    }
    a.send_json(&json!({"type": "new-message", "message": "n", "ref": "x".repeat(65)})).await;
    assert_eq!(a.json().await["field"], "ref");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_and_the_list_of_dialogs_say_what_was_read() {
    let stage = Stage::open().await;
    let (ann, bob) = (stage.user("ann").await, stage.user("bob").await);
    stage.user("carol").await;
    let mut a = stage.rich(&ann, "bob").await;
    settle(&mut a).await;
    let mut b = stage.rich(&bob, "ann").await;
    settle(&mut b).await;
    a.send_json(&json!({"type": "history"})).await;
    a.reads(json!({"type": "history", "username": "bob", "value": [], "more": false})).await;
    let mut ids = Vec::new();
    for text in ["one", "two", "three", "four"] {
        a.send_json(&message("bob", text)).await;
        ids.push(a.json().await["message_id"].as_i64().unwrap());
    }
    // Out of order: the second alone.
    b.send_json(&json!({"type": "read_message", "message_id": ids[1]})).await;
    a.reads(json!({"type": "opponent-read-message", "username": "bob", "message_id": ids[1]}))
        .await;
    until_settled(&mut b).await;
    b.send_json(
        &json!({"type": "history", "username": "ann", "limit": 3, "before": ids[3], "ref": 1}),
    )
    .await;
    let page = b.json().await;
    assert_eq!(
        (&page["more"], &page["ref"], &page["username"]),
        (&json!(false), &json!(1), &json!("ann"))
    );
    let value = page["value"].as_array().unwrap();
    let short: Vec<_> = value
        .iter()
        .map(|one| (one["message"].as_str().unwrap(), one["read"].as_bool().unwrap()))
        .collect();
    assert_eq!(short, [("one", false), ("two", true), ("three", false)]);
    assert!(value.iter().all(|one| one["type"].is_null() && one["sender_name"] == "ann"));
    b.send_json(&json!({"type": "history", "limit": 2})).await;
    let page = b.json().await;
    assert_eq!((&page["more"], page["value"].as_array().unwrap().len()), (&json!(true), 2));
    b.send_json(&json!({"type": "history", "before": 9_007_199_254_740_991_i64})).await;
    assert_eq!(b.json().await["value"].as_array().unwrap().len(), 4);
    b.send_json(&json!({"type": "dialogs"})).await;
    let entry = json!({"username": "ann", "online": true, "unread": 3, "last_message_id": ids[3]});
    b.reads(json!({"type": "dialogs", "value": [entry]})).await;
    a.send_json(&message("carol", "hi")).await;
    let id = a.json().await["message_id"].clone();
    a.send_json(&json!({"type": "dialogs"})).await;
    let list = a.json().await;
    assert_eq!(
        list["value"][0],
        json!({"username": "carol", "online": false, "unread": 0, "last_message_id": id})
    );
    assert_eq!(list["value"][1]["username"], "bob");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authors_edit_and_delete_and_those_with_extras_are_told() {
    let stage = Stage::open().await;
    let (ann, bob) = (stage.user("ann").await, stage.user("bob").await);
    let mut a = stage.rich(&ann, "bob").await;
    settle(&mut a).await;
    let mut b = stage.rich(&bob, "ann").await;
    settle(&mut b).await;
    let mut old = stage.bound(&bob, "ann").await;
    a.send_json(&message("bob", "first")).await;
    let id = a.json().await["message_id"].clone();
    until_settled(&mut b).await;
    until_settled(&mut old).await;
    b.send_json(&json!({"type": "edit-message", "message_id": id, "message": "mine"})).await;
    assert_eq!(b.json().await["code"], "forbidden");
    a.send_json(&json!({"type": "edit-message", "message_id": id, "message": "second", "ref": 1}))
        .await;
    for chat in [&mut a, &mut b] {
        let mut told = chat.json().await;
        let edited = told.as_object_mut().unwrap().remove("edited").unwrap();
        assert_eq!(edited.as_str().unwrap().len(), 19, "{edited}");
        let same = json!({
            "type": "message-edited", "username": "bob", "sender_name": "ann", "message_id": id,
            "message": "second",
        });
        assert_eq!(told, same);
    }
    a.send_json(&json!({"type": "delete-message", "message_id": id})).await;
    for chat in [&mut a, &mut b] {
        let gone = json!({
            "type": "message-deleted", "username": "bob", "sender_name": "ann", "message_id": id,
        });
        chat.reads(gone).await;
    }
    assert_eq!(until_settled(&mut old).await, Vec::<Value>::new());
    a.send_json(&json!({"type": "history"})).await;
    assert_eq!(a.json().await["value"], json!([]));
    a.send_json(&json!({"type": "delete-message", "message_id": 12345})).await;
    assert_eq!(a.json().await["code"], "not_found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_lost_while_messages_flowed_finds_them_all_in_the_history() {
    let stage = Stage::open().await;
    let (ann, bob) = (stage.user("ann").await, stage.user("bob").await);
    let mut a = stage.rich(&ann, "bob").await;
    until_settled(&mut a).await;
    let mut b = stage.bound(&bob, "ann").await;
    let (mut read, mut newest) = (Vec::new(), 0);
    for number in 0..=10 {
        b.send_json(&message("ann", &number.to_string())).await;
    }
    while read.len() < 5 {
        let packet = a.json().await;
        if packet["type"] == "new-message" {
            newest = packet["message_id"].as_i64().unwrap();
            read.push(packet["message"].clone());
        }
    }
    a.vanish();
    for number in 11..30 {
        b.send_json(&message("ann", &number.to_string())).await;
    }
    until_settled(&mut b).await;
    // Back, and from the newest backwards until something is known.
    let mut a = stage.rich(&ann, "bob").await;
    let (mut missed, mut before) = (Vec::new(), Value::Null);
    loop {
        a.send_json(&json!({"type": "history", "before": before, "limit": 7})).await;
        let page = loop {
            let packet = a.json().await;
            if packet["type"] == "history" {
                break packet;
            }
        };
        let value = page["value"].as_array().unwrap();
        let fresh: Vec<_> =
            value.iter().filter(|one| one["message_id"].as_i64().unwrap() > newest).collect();
        missed.splice(0..0, fresh.iter().map(|one| one["message"].clone()));
        if fresh.len() < value.len() || page["more"] == false {
            break;
        }
        before = value[0]["message_id"].clone();
    }
    read.extend(missed);
    let all: Vec<Value> = (0..30).map(|number| number.to_string().into()).collect();
    assert_eq!(read, all);
}
