//! Opt-in extras: typing, seen, delivered, presence, edits, and more about files and prices.

use klatsch::store::UserChange;
use serde_json::json;

use super::{Town, file, id, is_date};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn typing_and_presence_reach_the_other_side_that_asked_for_extras() {
    let town = Town::open().await;
    let (ann, bob) = (town.member("ann").await, town.member("bob").await);
    let (mut a, _) = town.open_with(&ann, &bob, "&extras=1").await;
    a.reads(json!({ "type": "presence", "member_id": bob.id, "online": false })).await;
    let mut plain = town.chat(&ann, &bob).await;
    let (mut b, _) = town.open_with(&bob, &ann, "&extras=1").await;
    b.reads(json!({ "type": "presence", "member_id": ann.id, "online": true })).await;
    a.reads(json!({ "type": "presence", "member_id": bob.id, "online": true })).await;
    b.send("hi").await;
    let chat = b.json().await["chat_id"].clone();
    a.json().await;
    plain.json().await;
    b.send_json(&json!({ "type": "typing", "is_typing": true })).await;
    let typing =
        |on| json!({ "type": "typing", "is_typing": on, "member_id": bob.id, "chat_id": chat });
    a.reads(typing(true)).await;
    b.send_json(&json!({ "type": "typing", "is_typing": false })).await;
    a.reads(typing(false)).await;
    b.send_json(&json!({ "type": "typing" })).await;
    // That her message was delivered comes in between.
    let answers = [b.json().await, b.json().await];
    assert!(answers.iter().any(|one| one["type"] == "delivered"), "{answers:?}");
    assert!(answers.iter().any(|one| one["field"] == "is_typing"), "{answers:?}");
    // A message ends what was begun.
    b.send_json(&json!({ "type": "typing", "is_typing": true })).await;
    b.send("there").await;
    assert_eq!(b.json().await["text"], "there");
    a.reads(typing(true)).await;
    let mut rest = [a.json().await, a.json().await];
    rest.sort_by_key(|frame| frame["type"].to_string());
    assert_eq!((&rest[0]["text"], &rest[1]), (&json!("there"), &typing(false)));
    plain.json().await;
    b.vanish();
    a.reads(json!({ "type": "presence", "member_id": bob.id, "online": false })).await;
    plain.reads_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sender_learns_what_was_delivered_and_what_was_seen() {
    let town = Town::open().await;
    let (ann, bob) = (town.member("ann").await, town.member("bob").await);
    let (mut a, _) = town.open_with(&ann, &bob, "&extras=1").await;
    a.json().await;
    a.send("one").await;
    let one = a.json().await;
    a.send("two").await;
    let two = a.json().await;
    let chat = one["chat_id"].clone();
    let (mut b, history) = town.open_with(&bob, &ann, "&extras=1").await;
    assert_eq!(history.len(), 2);
    b.json().await;
    a.reads(json!({ "type": "presence", "member_id": bob.id, "online": true })).await;
    // Reading on answers the server's ping.
    b.reads_nothing().await;
    let delivered = a.json().await;
    assert!(is_date(&delivered["date"]));
    let expected = json!({
        "type": "delivered", "message_id": [id(&one), id(&two)], "member_id": bob.id,
        "chat_id": chat, "date": delivered["date"],
    });
    assert_eq!(delivered, expected);
    b.send_json(&json!({ "type": "seen", "message_id": [two["id"].to_string(), 999] })).await;
    let seen = a.json().await;
    assert_eq!((&seen["type"], &seen["message_id"]), (&json!("seen"), &json!([id(&two)])));
    assert_eq!(seen["member_id"], bob.id);
    b.send_json(&json!({ "type": "seen", "message_id": [id(&one), id(&two)] })).await;
    assert_eq!(a.json().await["message_id"], json!([id(&one)]));
    b.send_json(&json!({ "type": "seen", "message_id": "x" })).await;
    assert_eq!(b.json().await["field"], "message_id");
    b.send_json(&json!({ "type": "seen", "message_id": [id(&one)] })).await;
    b.reads_nothing().await;
    a.reads_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_open_chat_means_seen_where_the_operator_says_so() {
    let town = Town::with(|settings| settings.members_chat.open_chat_means_seen = true).await;
    let (ann, bob) = (town.member("ann").await, town.member("bob").await);
    let (mut a, _) = town.open_with(&ann, &bob, "&extras=1").await;
    a.json().await;
    let mut b = town.chat(&bob, &ann).await;
    a.json().await;
    a.send("hi").await;
    let echo = a.json().await;
    b.json().await;
    b.reads_nothing().await;
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let told = a.json().await;
        assert_eq!(told["message_id"], json!([id(&echo)]));
        kinds.push(told["type"].as_str().unwrap().to_owned());
    }
    kinds.sort();
    assert_eq!(kinds, ["delivered", "seen"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_say_more_and_a_charged_echo_its_price() {
    let town = Town::open().await;
    let (ann, bob) = (town.poor("ann").await, town.poor("bob").await);
    town.give(&ann, 12).await;
    let (mut a, _) = town.open_with(&ann, &bob, "&extras=1").await;
    a.json().await;
    let (mut b, _) = town.open_with(&bob, &ann, "&extras=1").await;
    b.json().await;
    a.json().await;
    let mut plain = town.chat(&bob, &ann).await;
    a.send_bytes(file(r#"{"name":"cat.png","type":"image/png"}"#, b"abc")).await;
    let echo = a.json().await;
    assert_eq!((&echo["price"], &echo["balance"]), (&json!(5), &json!(7)));
    let more = (&echo["file_name"], &echo["file_size"], &echo["file_type"]);
    assert_eq!(more, (&json!("cat.png"), &json!(3), &json!("image/png")));
    let seen = b.json().await;
    assert_eq!((seen.get("price"), &seen["file_size"]), (None, &json!(3)));
    let seen = plain.json().await;
    assert_eq!((seen.get("file_name"), seen.as_object().unwrap().len()), (None, 7));
    town.change(&ann, UserChange { employee: Some(true), ..UserChange::default() }).await;
    // Delivered marks come in between.
    a.send("free").await;
    let echo = loop {
        let frame = a.json().await;
        if frame["type"] == "text" {
            break frame;
        }
        assert_eq!(frame["type"], "delivered");
    };
    assert!(echo.get("price").is_none(), "{echo}");
    let (_, history) = town.open_with(&ann, &bob, "&extras=1").await;
    assert_eq!((&history[0]["file_name"], history[0].get("price")), (&json!("cat.png"), None));
}
