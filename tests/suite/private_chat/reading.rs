//! Typing notices and read marks.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::stage::{Stage, message, settle, until_settled};
use crate::support::raw::Raw;

fn seen(id: impl Into<Value>) -> Value {
    json!({"type": "read_message", "username": "ann", "message_id": id.into()})
}

fn read_by(name: &str, id: i64) -> Value {
    json!({"type": "opponent-read-message", "username": name, "message_id": id})
}

async fn next_message(chat: &mut Raw) -> i64 {
    loop {
        let packet = chat.json().await;
        if packet["type"] == "new-message" {
            return packet["message_id"].as_i64().unwrap();
        }
    }
}

/// Conformance check 7.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_marked_by_their_readers_alone_and_told_once() {
    let stage = Stage::open().await;
    let (ann, bob) = (stage.user("ann").await, stage.user("bob").await);
    let carol = stage.user("carol").await;
    let mut a = stage.bound(&ann, "bob").await;
    let mut b = stage.bound(&bob, "ann").await;
    let mut c = stage.bound(&carol, "ann").await;
    a.send_json(&message("bob", "read me")).await;
    let id = next_message(&mut a).await;
    assert_eq!(next_message(&mut b).await, id);
    until_settled(&mut b).await;
    // Of somebody else, one's own, unknown, out of range: nothing, without a word.
    c.send_json(&seen(id)).await;
    a.send_json(&seen(id)).await;
    b.send_json(&seen(id + 1000)).await;
    for chat in [&mut a, &mut b, &mut c] {
        assert_eq!(until_settled(chat).await, Vec::<Value>::new());
    }
    b.send_json(&seen(id)).await;
    a.reads(read_by("bob", id)).await;
    // Again, as text, under its other name, with a wrong author: no news.
    b.send_json(&seen(id)).await;
    b.send_json(&seen(id.to_string())).await;
    b.send_json(&json!({"type": "read-message", "message_id": id, "username": "carol"})).await;
    assert_eq!(until_settled(&mut b).await, Vec::<Value>::new());
    assert_eq!(until_settled(&mut a).await, Vec::<Value>::new());
    a.send_json(&message("bob", "by text")).await;
    let id = next_message(&mut a).await;
    b.send_json(&seen(id.to_string())).await;
    a.reads(read_by("bob", id)).await;
    // Only pages that are open on the reader hear of it.
    let mut elsewhere = stage.bound(&ann, "carol").await;
    a.send_json(&message("bob", "third")).await;
    let id = next_message(&mut a).await;
    b.send_json(&seen(id)).await;
    a.reads(read_by("bob", id)).await;
    assert_eq!(until_settled(&mut elsewhere).await, Vec::<Value>::new());
}

/// Conformance check 7, the burst.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hundred_marks_in_a_burst_are_all_taken() {
    let stage = Stage::with(|settings| {
        settings.limits.frames_per_second = 1000.try_into().unwrap();
    })
    .await;
    let (ann, bob) = (stage.user("ann").await, stage.user("bob").await);
    let mut a = stage.bound(&ann, "bob").await;
    let mut ids = Vec::new();
    for number in 0..300 {
        a.send_json(&message("bob", &number.to_string())).await;
    }
    for _ in 0..300 {
        ids.push(next_message(&mut a).await);
    }
    let mut b = stage.bound(&bob, "ann").await;
    let begun = Instant::now();
    for id in &ids {
        b.send_json(&seen(*id)).await;
    }
    let mut told = Vec::new();
    while told.len() < 300 {
        let packet = a.json().await;
        if packet["type"] == "opponent-read-message" {
            told.push(packet["message_id"].as_i64().unwrap());
        }
    }
    assert_eq!(told, ids);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let mut rest = until_settled(&mut b).await;
    // The other one has said nothing of itself, and is announced after 2 s.
    rest.retain(|packet| packet["type"] != "gone-online");
    assert_eq!(rest, Vec::<Value>::new());
}

/// Conformance check 8.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn typing_on_every_key_is_passed_on_once_a_second() {
    let stage = Stage::open().await;
    let (ann, bob) = (stage.user("ann").await, stage.user("bob").await);
    let carol = stage.user("carol").await;
    let mut a = stage.bound(&ann, "bob").await;
    let mut b = stage.bound(&bob, "ann").await;
    let mut elsewhere = stage.bound(&bob, "carol").await;
    b.send_json(&message("ann", "hi")).await;
    next_message(&mut a).await;
    until_settled(&mut a).await;
    until_settled(&mut b).await;
    let typing = json!({"type": "is-typing", "username": "ann", "typing": true});
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    for _ in 0..500 {
        pace.tick().await;
        b.send_json(&typing).await;
    }
    let about = |mut heard: Vec<Value>| {
        // Sockets that say nothing are announced after 2 s; the dialog may be told late.
        heard.retain(|packet| packet["type"] != "gone-online" && packet["type"] != "new-dialog");
        heard
    };
    assert_eq!(about(until_settled(&mut b).await), Vec::<Value>::new());
    let told = about(until_settled(&mut a).await);
    assert!((9..=11).contains(&told.len()), "{} notices", told.len());
    assert!(told.iter().all(|told| *told == json!({"type": "opponent-typing", "username": "bob"})));
    // No other page of either, and nothing for what is not true.
    assert_eq!(about(until_settled(&mut elsewhere).await), Vec::<Value>::new());
    tokio::time::sleep(Duration::from_millis(1100)).await;
    for value in [json!(false), json!(0), json!(""), json!(null)] {
        b.send_json(&json!({"type": "is-typing", "username": "ann", "typing": value})).await;
    }
    settle(&mut b).await;
    assert_eq!(until_settled(&mut a).await, Vec::<Value>::new());
    drop(carol);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_who_is_there_hears_typing_before_the_first_message() {
    let stage = Stage::open().await;
    let (ann, bob) = (stage.user("ann").await, stage.user("bob").await);
    let mut a = stage.bound(&ann, "bob").await;
    let mut b = stage.bound(&bob, "ann").await;
    b.send_json(&json!({"type": "is-typing", "typing": 1})).await;
    a.reads(json!({"type": "opponent-typing", "username": "bob"})).await;
}
