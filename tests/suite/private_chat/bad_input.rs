//! What is no packet, too large, too fast, or never read.

use serde_json::{Value, json};

use super::stage::{Stage, arrives, message, plain, until_settled};
use crate::support::raw::Heard;

/// Conformance check 9.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mistakes_are_told_and_everybody_goes_on() {
    let stage = Stage::open().await;
    let (ann, bob) = (stage.user("ann").await, stage.user("bob").await);
    let mut a = stage.bound(&ann, "bob").await;
    let mut b = stage.bound(&bob, "ann").await;
    let deep = format!("{{\"type\":\"online\",\"x\":{}1{}}}", "[".repeat(9000), "]".repeat(9000));
    let long = message("bob", &"é".repeat(8193)).to_string();
    let table: Vec<(&str, &str, Value)> = vec![
        ("hi", "bad_json", json!(null)),
        ("[]", "bad_json", json!(null)),
        ("7", "bad_json", json!(null)),
        ("null", "bad_json", json!(null)),
        ("{\"type\":\"online\"", "bad_json", json!(null)),
        (&deep, "bad_json", json!(null)),
        ("{}", "bad_packet", json!("type")),
        (r#"{"type":7,"ref":5}"#, "bad_packet", json!("type")),
        (r#"{"type":"dance"}"#, "unknown_type", json!(null)),
        (r#"{"type":"history"}"#, "unknown_type", json!(null)),
        (r#"{"type":"new-message"}"#, "bad_packet", json!("message")),
        (r#"{"type":"new-message","message":5}"#, "bad_packet", json!("message")),
        (r#"{"type":"new-message","message":"x","username":1}"#, "bad_packet", json!("username")),
        (r#"{"type":"is-typing"}"#, "bad_packet", json!("typing")),
        (r#"{"type":"read_message"}"#, "bad_packet", json!("message_id")),
        (r#"{"type":"read_message","message_id":1.5}"#, "bad_packet", json!("message_id")),
        (r#"{"type":"read_message","message_id":-1}"#, "bad_packet", json!("message_id")),
        (
            r#"{"type":"read_message","message_id":9007199254740992}"#,
            "bad_packet",
            json!("message_id"),
        ),
        (r#"{"type":"read_message","message_id":"0x10"}"#, "bad_packet", json!("message_id")),
        (&long, "text_too_long", json!(null)),
    ];
    for (packet, code, field) in table {
        a.send(packet).await;
        let error = a.json().await;
        assert_eq!(error["type"], "error", "{error}");
        assert_eq!(error["code"], code, "{packet:.100} {error}");
        assert_eq!(error["field"], field, "{packet:.100} {error}");
        assert!(error["error"].as_str().is_some_and(|text| text.len() > 10), "{error}");
        assert!(error.as_object().unwrap().contains_key("request"), "{error}");
        if code == "text_too_long" {
            assert_eq!(error["limit"], 8192);
        }
    }
    a.send_bytes(b"{\"type\":\"online\"}".to_vec()).await;
    assert_eq!(a.json().await["code"], "bad_json");
    a.send(r#"{"type":"nothing","ref":7}"#).await;
    let error = a.json().await;
    assert_eq!((&error["ref"], &error["request"]), (&json!(7), &json!("nothing")));
    // Passed over without a word.
    for packet in [
        "",
        r#"{"type":"new-message","message":""}"#,
        r#"{"type":"new-message","message":"\u0000"}"#,
        r#"{"type":"is-typing","typing":false}"#,
    ] {
        a.send(packet).await;
    }
    assert_eq!(until_settled(&mut a).await, Vec::<Value>::new());
    // The last of two keys counts; white space is a message.
    a.send(
        r#"{"type":"online","type":"new-message","message":"a","message":" ","username":"bob"}"#,
    )
    .await;
    assert_eq!(plain(a.json().await), arrives("ann", "bob", " "));
    assert_eq!(plain(b.json().await), arrives("ann", "bob", " "));
    let longest = "é".repeat(8192);
    a.send_json(&message("bob", &longest)).await;
    assert_eq!(a.json().await["message"], longest);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_can_be_switched_off_but_for_unknown_users() {
    let stage = Stage::with(|settings| settings.private_chat.errors = false).await;
    let (ann, _) = (stage.user("ann").await, stage.user("bob").await);
    let mut a = stage.chat(&ann, "bob").await;
    a.send("rubbish").await;
    a.send(r#"{"type":"dance"}"#).await;
    a.send_json(&message("ghost", "hi")).await;
    a.reads(json!({"type": "user-not-found", "username": "ghost"})).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_are_too_large_or_no_text_end_the_connection_with_their_code() {
    let stage =
        Stage::with(|settings| settings.private_chat.max_frame_bytes = 2000.try_into().unwrap())
            .await;
    let (ann, _) = (stage.user("ann").await, stage.user("bob").await);
    let mut fits = stage.bound(&ann, "bob").await;
    let head = message("bob", "").to_string().len();
    fits.send_json(&message("bob", &"x".repeat(2000 - head))).await;
    assert_eq!(fits.json().await["type"], "new-message");
    fits.send_json(&message("bob", &"x".repeat(2001 - head))).await;
    assert_eq!(fits.closed().await.0, 1009);
    let mut large = stage.bound(&ann, "bob").await;
    large.send("x".repeat(16 << 20)).await;
    assert_eq!(large.closed().await.0, 1009);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_too_fast_is_told_and_at_last_let_go() {
    let stage =
        Stage::with(|settings| settings.limits.frames_per_second = 1.try_into().unwrap()).await;
    let (ann, bob) = (stage.user("ann").await, stage.user("bob").await);
    let mut a = stage.chat(&ann, "bob").await;
    let mut b = stage.chat(&bob, "ann").await;
    for _ in 0..10 {
        a.send(r#"{"type":"online","ref":"r"}"#).await;
    }
    let error = loop {
        let packet = a.json().await;
        if packet["type"] == "error" {
            break packet;
        }
    };
    assert_eq!((&error["code"], &error["ref"]), (&json!("rate_limited"), &json!("r")));
    assert!(error["retry_after_ms"].as_i64().unwrap() > 0);
    for _ in 0..400 {
        a.send(r#"{"type":"online"}"#).await;
    }
    let end = loop {
        match a.next().await {
            Heard::Text(_) => {}
            other => break other,
        }
    };
    assert_eq!(end, Heard::Closed(1008, "flood".to_owned()));
    until_settled(&mut b).await;
}
