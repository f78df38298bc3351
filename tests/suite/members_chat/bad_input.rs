//! What clients should not send: each has one answer, and the socket goes on.

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

use super::{Town, text};

fn error(code: &str) -> Value {
    json!({ "type": "error", "code": code })
}

/// Conformance checks 5 and 9.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_text_frame_has_its_meaning_or_its_error() {
    let town = Town::open().await;
    let (ann, bob) = (town.member("ann").await, town.member("bob").await);
    let (mut a, mut b) = (town.chat(&ann, &bob).await, town.chat(&bob, &ann).await);
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_object = format!("{}1{}", r#"{"a":"#.repeat(8_000), "}".repeat(8_000));
    let nested = format!("{}1{}", "[".repeat(1000), "]".repeat(1000));
    let ok = |words: &str| Ok(words.to_owned());
    let table: Vec<(String, Result<String, Value>)> = vec![
        ("hey".into(), ok("hey")),
        ("\"hey\"".into(), ok("hey")),
        ("  two\nlines ".into(), ok("  two\nlines ")),
        (r#"{"type":"text","text":" kept "}"#.into(), ok(" kept ")),
        (r#"{"type":"text","text":"a","text":"b","x":null}"#.into(), ok("b")),
        ("5".into(), ok("5")),
        ("null".into(), ok("null")),
        ("[1]".into(), ok("[1]")),
        ("{broken".into(), ok("{broken")),
        ("\"open".into(), ok("\"open")),
        (r#""\ud800""#.into(), ok("\u{FFFD}")),
        ("!{}#x".into(), ok("!{}#x")),
        ("a\0b\u{1}\u{7f}\u{202e}".into(), ok("ab\u{1}\u{7f}\u{202e}")),
        ("9007199254740993".into(), ok("9007199254740993")),
        ("👩‍👩‍👧".into(), ok("👩‍👩‍👧")),
        ("x".repeat(8192), Ok("x".repeat(8192))),
        ("ü".repeat(8192), Ok("ü".repeat(8192))),
        ("x".repeat(8193), Err(error("text_too_long"))),
        (deep, Err(error("text_too_long"))),
        (deep_object, Err(error("bad_format"))),
        (
            format!(r#"{{"type":"text","text":"deep","x":{nested},"n":1e999,"s":"\ud800"}}"#),
            ok("deep"),
        ),
        (r#"{"type":"text","text":"\ud800"}"#.into(), ok("\u{FFFD}")),
        (String::new(), Err(error("empty_message"))),
        (" \t\r\n\u{a0}".into(), Err(error("empty_message"))),
        ("\0\0".into(), Err(error("empty_message"))),
        ("\"\"".into(), Err(error("empty_message"))),
        ("\"  \"".into(), Err(error("empty_message"))),
        (r#"{"type":"text","text":"\u0000 "}"#.into(), Err(error("empty_message"))),
        ("{}".into(), Err(error("bad_format"))),
        (r#"{"type":5}"#.into(), Err(error("bad_format"))),
        (r#"{"text":"hey"}"#.into(), Err(error("bad_format"))),
        (r#"{"type":"text"}"#.into(), Err(error("bad_format"))),
        (r#"{"type":"text","text":null}"#.into(), Err(error("bad_format"))),
        (r#"{"type":"text","text":"a","client_ref":5}"#.into(), Err(error("bad_format"))),
        (r#"{"type":"text","text":"a","client_ref":""}"#.into(), Err(error("bad_format"))),
        (r#"{"type":"smile"}"#.into(), Err(error("bad_format"))),
        (r#"{"type":"smile","smile_id":"x"}"#.into(), Err(error("bad_format"))),
        (r#"{"type":"smile","smile_id":1.5}"#.into(), Err(error("bad_format"))),
        (r#"{"type":"smile","smile_id":1e300}"#.into(), Err(error("bad_format"))),
        (r#"{"type":"smile","smile_id":99}"#.into(), Err(error("smile_not_found"))),
        (r#"{"type":"smile","smile_id":"99"}"#.into(), Err(error("smile_not_found"))),
        (r#"{"type":"smile","smile_id":0}"#.into(), Err(error("smile_not_found"))),
        (r#"{"type":"file","name":"x"}"#.into(), Err(error("file_needs_binary"))),
        (r#"{"type":"nonsense"}"#.into(), Err(error("unknown_type"))),
        (r#"{"type":"typing","is_typing":true}"#.into(), Err(error("unknown_type"))),
        (r#"{"type":"seen","message_id":[1]}"#.into(), Err(error("unknown_type"))),
    ];
    for (frame, verdict) in table {
        let shown: String = frame.chars().take(60).collect();
        a.send(frame).await;
        let answer = a.json().await;
        match verdict {
            Ok(words) => {
                assert_eq!(
                    (&answer["type"], text(&answer)),
                    (&json!("text"), words.as_str()),
                    "{shown}"
                );
                assert!(super::is_date(&answer["date"]));
                assert_eq!(b.json().await, answer);
            }
            Err(expected) => {
                assert_eq!(answer["type"], expected["type"], "{shown}: {answer}");
                assert_eq!(answer["code"], expected["code"], "{shown}: {answer}");
                assert!(answer["error"].is_string());
                a.send("still here").await;
                assert_eq!(text(&a.json().await), "still here", "{shown}");
                assert_eq!(text(&b.json().await), "still here", "{shown}");
            }
        }
    }
    a.send(r#"{"type":"smile","smile_id":99,"client_ref":"r"}"#).await;
    a.reads(json!({
        "type": "error", "code": "smile_not_found", "error": "There is no smile with id 99.",
        "smile_id": 99, "client_ref": "r",
    }))
    .await;
    a.send(r#"{"type":"text","text":7,"client_ref":"r"}"#).await;
    let wrong = a.json().await;
    assert_eq!((&wrong["field"], &wrong["client_ref"]), (&json!("text"), &json!("r")));
    b.reads_nothing().await;
    let (_, history) = town.open_with(&bob, &ann, "").await;
    assert!(history.iter().all(|one| one["text"].is_string() && super::is_date(&one["date"])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn text_that_is_not_utf8_ends_the_connection() {
    let town = Town::open().await;
    let (ann, bob) = (town.member("ann").await, town.member("bob").await);
    let mut a = town.chat(&ann, &bob).await;
    let broken = Frame::message(vec![b'a', 0xff, b'b'], OpCode::Data(Data::Text), true);
    a.put(Message::Frame(broken)).await;
    assert_eq!(a.closed().await.0, 1007);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_too_fast_is_told_so_and_a_flood_ends_the_connection() {
    let town = Town::with(|settings| {
        settings.limits.frames_per_second = const { std::num::NonZeroU32::new(1).unwrap() };
        settings.limits.frames_burst = 3;
    })
    .await;
    let (ann, bob) = (town.member("ann").await, town.member("bob").await);
    let mut a = town.chat(&ann, &bob).await;
    for number in 0..2 {
        a.send(format!("{number}")).await;
        assert_eq!(text(&a.json().await), number.to_string());
    }
    a.send(r#"{"type":"text","text":"x","client_ref":"r"}"#).await;
    let error = a.json().await;
    assert_eq!((&error["code"], &error["client_ref"]), (&json!("rate_limited"), &json!("r")));
    assert!(error["retry_after_ms"].as_u64().is_some_and(|millis| (1..=1000).contains(&millis)));
    for _ in 0..260 {
        a.send("flood").await;
    }
    let heard = a.drain().await;
    let last = heard.last().unwrap();
    assert_eq!(*last, crate::support::raw::Heard::Closed(1008, "flood".into()));
    let (_, history) = town.open_with(&bob, &ann, "").await;
    assert!(history.iter().all(|one| text(one) != "x"), "the frame was dropped");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_never_reads_is_let_go_and_catches_up() {
    const SAID: usize = 900;
    let town = Town::with(|settings| {
        settings.limits.sink_bytes = const { std::num::NonZeroUsize::new(256 << 10).unwrap() };
    })
    .await;
    let (ann, bob) = (town.member("ann").await, town.member("bob").await);
    let mut a = town.chat(&ann, &bob).await;
    let mut b = town.chat(&bob, &ann).await;
    let words = "x".repeat(8192);
    for _ in 0..SAID {
        a.send(words.clone()).await;
        a.text().await;
    }
    let mut heard = 0;
    let end = loop {
        match b.next().await {
            crate::support::raw::Heard::Text(_) => heard += 1,
            end => break end,
        }
    };
    assert!(heard < SAID, "it was let go");
    assert!(!matches!(end, crate::support::raw::Heard::Bytes(_)), "{end:?}");
    let (_, history) = town.open_with(&bob, &ann, "").await;
    assert_eq!(history.len(), SAID);
}
