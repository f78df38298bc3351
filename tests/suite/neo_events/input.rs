//! Bad input: an `error` that is a text, and the connection stays.

use serde_json::json;

use super::Home;
use crate::support::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn wrong_types_are_answered_and_the_connection_stays() {
    let mut home = Home::open().await;
    let ann = &mut home.ann.peer;
    let events = [
        "authenticate",
        "join_conversation",
        "leave_conversation",
        "join_circle",
        "leave_circle",
        "message",
        "writing",
        "webrtc_forward",
        "sync",
        "history",
        "read",
    ];
    for event in events {
        for argument in ["null", "true", "7", "\"text\"", "[]", "[[1]]", "1e999", "{}"] {
            ann.say(format!("42[\"{event}\",{argument}]"));
            assert!(ann.expect("error").await.is_string(), "{event} {argument}");
        }
        for key in ["token", "conversation_id", "circle_id", "user_id"] {
            for value in [
                json!(true),
                json!([]),
                json!({}),
                json!(1.5),
                json!(-1),
                json!(0),
                json!(1e300),
                json!("seven"),
                json!("' OR 1=1; DROP TABLE users; --"),
                json!("1 OR 1=1"),
                json!(" 1"),
                json!("99999999999999999999"),
                json!(u64::MAX),
            ] {
                let argument = json!({ key: value });
                ann.emit(event, argument.clone());
                let (channel, answer) = ann.event().await;
                assert_eq!(channel, "error", "{event} {argument}: {answer}");
                let text = answer.as_str().unwrap();
                for inside in ["sql", "SQL", "panicked", "DbErr", "src/"] {
                    assert!(!text.contains(inside), "{text}");
                }
            }
        }
        // Bytes where JSON is due.
        ann.say(format!("451-[\"{event}\",{{\"_placeholder\":true,\"num\":0}}]"));
        ann.say_bytes(b"\x01\x02\x03");
        assert!(ann.expect("error").await.is_string(), "{event}");
    }
    ann.quiet().await;
    ann.succeed("message", json!({ "conversation_id": home.conversation })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_that_look_like_sql_are_texts() {
    let mut home = Home::open().await;
    let text = "'); DROP TABLE messages; -- \" ` \\ %s {} $1 ?1 :x";
    let mut words = home.words(text);
    words["files"] = json!([text]);
    words["client_ref"] = text.into();
    home.bob.peer.emit("message", words);
    let announced = home.bob.peer.expect("media").await;
    assert_eq!(announced["media_list"][0]["identifier"], text);
    let message = home.ann.peer.expect("message").await;
    assert_eq!(message["message"]["content"], text);
    let call = json!({ "email": text });
    home.ann.peer.fail("webrtc_forward", call).await;
    home.ann.peer.fail("authenticate", json!({ "token": text })).await;
    let page = home.ann.peer.ask("history", home.here()).await;
    assert_eq!(page["messages"][1]["content"], text);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_parts_of_a_message_store_nothing() {
    let mut home = Home::open().await;
    let too_many: Vec<_> = (0..33).map(|n| n.to_string()).collect();
    for (key, value) in [
        ("text_message", json!(7)),
        ("text_message", json!(["x"])),
        ("text_message", json!("x".repeat(8193))),
        ("files", json!("a.png")),
        ("files", json!({ "0": "a.png" })),
        ("files", json!(too_many)),
        ("client_ref", json!({})),
    ] {
        let mut words = home.here();
        words[key] = value;
        home.ann.peer.fail("message", words).await;
    }
    home.bob.peer.quiet().await;
    let page = home.ann.peer.ask("history", home.here()).await;
    assert_eq!(page["messages"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_too_large_is_an_error() {
    let mut home = Home::open().await;
    let mut words = home.words("x");
    words["padding"] = "x".repeat(1 << 20).into();
    home.ann.peer.emit("message", words);
    assert!(home.ann.peer.expect("error").await.is_string());
    home.ann.peer.succeed("message", home.words("small")).await;
    home.ann.peer.expect("message").await;
    home.ann.peer.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_json_ends_the_connection_and_no_other() {
    let mut home = Home::open().await;
    let mut broken = home.world.peer(&home.ann.token).await;
    broken.say("42[\"message\",{\"conversation_id\":");
    broken.ended().await;
    home.ann.peer.succeed("message", home.words("fine here")).await;
    home.bob.peer.expect("message").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_joins_do_no_harm() {
    let world = World::with(|settings| {
        settings.neo.events_per_second = 1_000_000.try_into().unwrap();
        settings.neo.events_burst = 1_000_000.try_into().unwrap();
    })
    .await;
    let mut home = Home::in_world(world).await;
    let mut left = 10_000;
    while left > 0 {
        // As many as may wait at once.
        for _ in 0..1000 {
            let id = if left % 2 == 0 { home.conversation } else { home.conversation + left };
            home.ann.peer.emit("join_conversation", json!({ "conversation_id": id }));
            left -= 1;
        }
        let heard = home.ann.peer.heard().await;
        let joined = heard.iter().filter(|(channel, _)| channel == "success").count();
        assert_eq!((heard.len(), joined), (1000, 500));
    }
    home.bob.peer.succeed("message", home.words("once?")).await;
    assert_eq!(home.ann.peer.heard().await.len(), 1);
}
