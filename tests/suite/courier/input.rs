//! Frames that make no sense, are too large, or are not even text.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{Frame, FrameHeader};

use super::{hears, open_personal, post_office, say};
use crate::support::raw::{Heard, Raw};

/// Conformance check 9.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_makes_no_sense_is_told_and_the_connection_goes_on() {
    let world = post_office().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let mut a = world.client_of(&ann).await;
    let id = open_personal(&mut a, &bob).await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_key = format!("{{\"type\":\"personal\",\"conv_id\":1,\"x\":{deep}}}");
    let long = format!("{{\"type\":\"{}\"}}", "x".repeat(10_000));
    let table: &[(&str, &str, Option<&str>)] = &[
        ("", "bad_format", None),
        ("{", "bad_format", None),
        ("[1, 2]", "bad_format", None),
        ("\"hi\"", "bad_format", None),
        ("null", "bad_format", None),
        (&deep, "bad_format", None),
        (&deep_key, "bad_format", Some("msg")),
        ("{}", "bad_format", Some("type")),
        ("{\"type\": 5}", "bad_format", Some("type")),
        ("{\"type\": \"\\ud800\"}", "unknown_type", None),
        ("{\"type\": \"lecturer\"}", "unknown_type", None),
        (&long, "unknown_type", None),
        ("{\"type\": \"personal\"}", "bad_format", Some("conv_id")),
        ("{\"type\": \"personal\", \"conv_id\": 1}", "bad_format", Some("msg")),
        ("{\"type\": \"personal\", \"conv_id\": 1, \"msg\": 5}", "bad_format", Some("msg")),
        ("{\"type\": \"personal\", \"conv_id\": 1, \"msg\": \" \\n\\t\"}", "empty_message", None),
        ("{\"type\": \"personal\", \"conv_id\": 1, \"msg\": \"\\u0000\"}", "empty_message", None),
        (
            "{\"type\": \"personal\", \"conv_id\": 9007199254740993, \"msg\": \"x\"}",
            "conversation_not_found",
            None,
        ),
        ("{\"type\": \"seen\"}", "bad_format", Some("message_id")),
        ("{\"type\": \"seen\", \"message_id\": [1.5]}", "bad_format", Some("message_id")),
        ("{\"type\": \"seen\", \"message_id\": [[1]]}", "bad_format", Some("message_id")),
        (
            "{\"type\": \"init_group\", \"conv_id\": 1, \"member\": [2]}",
            "bad_format",
            Some("group_name"),
        ),
        (
            "{\"type\": \"init_group\", \"conv_id\": 1, \"member\": [2], \"group_name\": \" \"}",
            "bad_format",
            Some("group_name"),
        ),
        (
            "{\"type\": \"init_group\", \"conv_id\": 1, \"member\": [2], \"group_name\": \"G\", \"description\": 5}",
            "bad_format",
            Some("description"),
        ),
        ("{\"type\": \"init_personal\", \"conv_id\": 1}", "bad_format", Some("member")),
        (
            "{\"type\": \"init_personal\", \"conv_id\": 1, \"member\": [9007199254740993]}",
            "bad_format",
            Some("member"),
        ),
        // Of two keys of the same name the last one counts.
        ("{\"type\": \"personal\", \"type\": \"lecturer\"}", "unknown_type", None),
    ];
    for (frame, code, field) in table {
        let shown: String = frame.chars().take(80).collect();
        a.send(*frame).await;
        let error = a.json().await;
        assert_eq!(error["type"], "error", "{shown}");
        assert_eq!(error["code"], *code, "{shown}: {error}");
        assert_eq!(error["field"].as_str(), *field, "{shown}: {error}");
        assert!(error["error"].as_str().is_some_and(|text| !text.is_empty()));
    }
    // Told back as it came, whatever a reader makes of it.
    a.send("{\"type\": \"personal\", \"conv_id\": 1e400, \"msg\": \"x\"}").await;
    assert!(a.text().await.ends_with(",\"conv_id\":1e400}"));
    a.send_bytes(b"{\"type\": \"lecturer\"}".to_vec()).await;
    assert_eq!(a.json().await["code"], "unknown_type");
    let strange = "\u{1}\u{7f}\u{202e}\u{1f600}\r\n<b>&amp;</b>\\\"";
    say(&mut a, "personal", id, strange).await;
    let mut b = world.client_of(&bob).await;
    hears(&mut b, strange).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_lists_and_frames_have_a_largest_size() {
    let world = post_office().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let mut a = world.client_of(&ann).await;
    let id = open_personal(&mut a, &bob).await;
    say(&mut a, "personal", id, &"ü".repeat(8192)).await;
    let group = |name: usize, description: usize| {
        json!({
            "type": "init_group", "conv_id": 1, "member": [bob.id], "group_name": "n".repeat(name),
            "description": "d".repeat(description),
        })
    };
    let seen = |ids: Vec<i64>| json!({"type": "seen", "message_id": ids});
    for (frame, code, field, limit) in [
        (
            json!({"type": "personal", "conv_id": id, "msg": "ü".repeat(8193)}),
            "text_too_long",
            Some("msg"),
            8192,
        ),
        (group(201, 0), "text_too_long", Some("group_name"), 200),
        (group(1, 2001), "text_too_long", Some("description"), 2000),
        (seen((0..1001).collect()), "too_many_ids", None, 1000),
    ] {
        a.send_json(&frame).await;
        let error = a.json().await;
        assert_eq!((&error["code"], &error["limit"]), (&json!(code), &json!(limit)));
        assert_eq!(error["field"].as_str(), field);
    }
    a.send_json(&seen((0..1000).collect())).await;
    a.send_json(&group(200, 2000)).await;
    assert_eq!(a.json().await["type"], "group");

    // The largest frame is read, one byte more is the end.
    let padded = |bytes: usize| {
        let head = "{\"type\": \"lecturer\", \"x\": \"";
        format!("{head}{}\"}}", "x".repeat(bytes - head.len() - 2))
    };
    a.send(padded(1 << 20)).await;
    assert_eq!(a.json().await["code"], "unknown_type");
    a.send(padded((1 << 20) + 1)).await;
    assert_eq!(a.closed().await.0, 1009);
    let mut a = world.client_of(&ann).await;
    a.send(padded(16 << 20)).await;
    assert_eq!(a.closed().await.0, 1009);
    // The first message has a bound of its own.
    let mut first = world.stranger_to_letters("").await;
    first.send(format!("{}{}", " ".repeat(16_383), 1)).await;
    assert_eq!(first.text().await, "user id 1 received");
    for bytes in [16_385, 1 << 20] {
        let mut first = world.stranger_to_letters("").await;
        first.send("x".repeat(bytes)).await;
        assert_eq!(first.closed().await.0, 1009, "{bytes}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_utf_8_ends_the_connection() {
    let world = post_office().await;
    let ann = world.person("ann").await;
    let mut a = world.client_of(&ann).await;
    let header =
        FrameHeader { opcode: OpCode::Data(Data::Text), is_final: true, ..FrameHeader::default() };
    a.put(Message::Frame(Frame::from_payload(header, vec![0xff, 0xfe].into()))).await;
    assert_eq!(a.closed().await.0, 1007);
    let mut a = world.client_of(&ann).await;
    a.send_bytes(vec![0xff, 0xfe]).await;
    assert_eq!(a.closed().await.0, 1007);
}

/// Whatever is sent, the connection ends with a code or answers the next frame.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_is_sent_breaks_the_server() {
    let world = post_office().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let mut a = world.fan_of(&ann).await;
    a.json().await;
    open_personal(&mut a, &bob).await;
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-3_i64..10).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    let value = scalar.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-z_]{1,8}", inner, 0..4)
                .prop_map(|map| Value::from(map.into_iter().collect::<serde_json::Map<_, _>>())),
        ]
    });
    let kind = proptest::sample::select(vec![
        "init_personal",
        "personal",
        "init_group",
        "group",
        "seen",
        "status",
        "conv_info",
        "conversations",
        "history",
        "typing",
        "error",
        "",
    ]);
    let key = proptest::sample::select(vec![
        "conv_id",
        "member",
        "msg",
        "group_name",
        "description",
        "message_id",
        "client_ref",
        "before_id",
        "limit",
        "is_typing",
    ]);
    let frame =
        (kind, proptest::collection::btree_map(key, value, 0..6)).prop_map(|(kind, map)| {
            let mut frame = json!({ "type": kind });
            for (key, value) in map {
                frame[key] = value;
            }
            frame.to_string()
        });
    let mut runner = TestRunner::new(Config { cases: 1, ..Config::default() });
    for _ in 0..300 {
        let text = frame.new_tree(&mut runner).unwrap().current();
        a.send(text.clone()).await;
        a.send("{\"type\": \"probe\"}").await;
        loop {
            match a.next().await {
                Heard::Text(answer) => {
                    let answer: Value = serde_json::from_str(&answer).unwrap();
                    if answer["request"] == "probe" {
                        break;
                    }
                    assert_ne!(answer["code"], "internal", "{text}: {answer}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }
    let mut garbage = TestRunner::new(Config { cases: 1, ..Config::default() });
    for _ in 0..100 {
        let bytes = proptest::collection::vec(any::<u8>(), 0..200);
        let bytes = bytes.new_tree(&mut garbage).unwrap().current();
        let mut client: Raw = world.stranger_to_letters("").await;
        client.send_bytes(bytes).await;
        assert!(matches!(client.next().await, Heard::Closed(1007 | 1008, _)));
    }
}
