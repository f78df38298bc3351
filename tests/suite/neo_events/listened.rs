//! What the server listens to (NEO 3.2): each event with its success and its failures.

use serde_json::{Value, json};

use super::Home;

const NOBODY: i64 = 987_654;

/// The events with parameters, their keys, and whether they ask who one is.
fn events(home: &Home) -> Vec<(&'static str, Value, &'static [&'static str])> {
    let (circle, words) = (json!({ "circle_id": home.circle }), home.words("x"));
    let writing = json!({ "conversation_id": home.conversation, "is_writing": true });
    vec![
        ("join_conversation", home.here(), &["conversation_id"]),
        ("leave_conversation", home.here(), &["conversation_id"]),
        ("join_circle", circle.clone(), &["circle_id"]),
        ("leave_circle", circle, &["circle_id"]),
        ("message", words, &["conversation_id"]),
        ("writing", writing, &["conversation_id", "is_writing"]),
        ("webrtc_forward", json!({ "user_id": home.bob.id }), &["user_id"]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_answered_with_an_error_and_stays() {
    let home = Home::open().await;
    let mut stranger = home.world.stranger().await;
    stranger.quiet().await;
    for (event, argument, _) in events(&home) {
        stranger.fail(event, argument.clone()).await;
        let refused = stranger.ask(event, argument).await;
        assert_eq!(refused["code"], "unidentified", "{event}: {refused}");
        stranger.expect("error").await;
    }
    stranger.say(r#"42["webrtc_credentials"]"#);
    assert!(stranger.expect("error").await.is_string());
    for event in ["webrtc_stun_info", "webrtc_turn_info"] {
        stranger.say(format!("42[\"{event}\"]"));
        assert!(stranger.expect("webrtc_config").await.is_array());
    }
    // And may say who it is at any time.
    let token = json!({ "token": home.ann.token });
    assert_eq!(stranger.succeed("authenticate", token).await, "User authenticated");
    stranger.join(home.conversation).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_argument_or_key_is_an_error() {
    let mut home = Home::open().await;
    let mut events = events(&home);
    events.push(("authenticate", json!({ "token": home.ann.token }), &["token"]));
    let ann = &mut home.ann.peer;
    for (event, argument, keys) in events {
        ann.say(format!("42[\"{event}\"]"));
        assert!(ann.expect("error").await.is_string(), "{event}");
        for key in keys {
            let mut argument = argument.clone();
            argument.as_object_mut().unwrap().remove(*key);
            ann.fail(event, argument.clone()).await;
            argument[*key] = Value::Null;
            ann.fail(event, argument).await;
        }
    }
    ann.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn joining_and_leaving_decide_who_hears() {
    let mut home = Home::open().await;
    let mut carl = home.carl().await;
    let here = home.here();
    // Not a member, and no such conversation: the same.
    let refusal = carl.peer.fail("join_conversation", here.clone()).await;
    let unknown = json!({ "conversation_id": NOBODY });
    assert_eq!(carl.peer.fail("join_conversation", unknown.clone()).await, refusal);
    carl.peer.fail("message", home.words("from outside")).await;
    carl.peer.fail("message", json!({ "conversation_id": NOBODY, "text_message": "x" })).await;
    let writing = json!({ "conversation_id": home.conversation, "is_writing": true });
    carl.peer.fail("writing", writing.clone()).await;
    carl.peer.fail("join_circle", json!({ "circle_id": NOBODY })).await;
    // Leaving what was never joined, or never existed, is fine.
    carl.peer.succeed("leave_conversation", here.clone()).await;
    carl.peer.succeed("leave_conversation", unknown).await;
    carl.peer.succeed("leave_circle", json!({ "circle_id": home.circle })).await;
    // Ids may be texts.
    let text = json!({ "conversation_id": home.conversation.to_string() });
    assert!(home.ann.peer.succeed("leave_conversation", text.clone()).await.is_string());
    home.bob.peer.succeed("message", home.words("one")).await;
    assert_eq!(home.bob.peer.expect("message").await["message"]["content"], "one");
    home.ann.peer.quiet().await;
    // To send, one need not have joined.
    home.ann.peer.succeed("message", home.words("two")).await;
    assert_eq!(home.bob.peer.expect("message").await["message"]["content"], "two");
    home.ann.peer.quiet().await;
    // Joined twice is joined once.
    for _ in 0..2 {
        let success = home.ann.peer.succeed("join_conversation", text.clone()).await;
        let name = format!("conversation_{}", home.conversation);
        assert!(success.as_str().unwrap().ends_with(&name));
    }
    home.bob.peer.succeed("message", home.words("three")).await;
    let heard = home.ann.peer.heard().await;
    assert_eq!(heard.len(), 1, "{heard:?}");
    carl.peer.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn writing_reaches_the_room_as_it_was_sent() {
    let mut home = Home::open().await;
    let mut carl = home.carl().await;
    for (value, told) in
        [(json!(true), true), (json!(false), false), (json!("True"), true), (json!("false"), false)]
    {
        let here = json!({ "conversation_id": home.conversation, "is_writing": value });
        home.bob.peer.emit("writing", here);
        let expected = json!({
            "conversation_id": home.conversation, "device": false, "user": home.bob.email,
            "user_id": home.bob.id, "is_writing": told,
        });
        assert_eq!(home.ann.peer.expect("writing").await, expected);
        let heard = home.bob.peer.heard().await;
        let channels: Vec<_> = heard.iter().map(|(channel, _)| channel.as_str()).collect();
        assert_eq!(channels, ["success", "writing"]);
        assert!(heard[0].1.is_string());
    }
    for value in [json!(1), json!("yes"), json!([]), json!({})] {
        let here = json!({ "conversation_id": home.conversation, "is_writing": value });
        home.bob.peer.fail("writing", here).await;
    }
    home.ann.peer.quiet().await;
    carl.peer.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn acknowledgements_say_the_same_as_the_channels() {
    let mut home = Home::open().await;
    let ann = &mut home.ann.peer;
    let token = json!({ "token": home.ann.token });
    let ack = ann.ask("authenticate", token).await;
    assert_eq!(ack, json!({ "success": true, "message": "User authenticated" }));
    assert_eq!(ann.expect("success").await, "User authenticated");
    for (event, argument) in [
        ("join_conversation", json!({ "conversation_id": home.conversation })),
        ("leave_conversation", json!({ "conversation_id": home.conversation })),
        ("join_circle", json!({ "circle_id": home.circle })),
        ("leave_circle", json!({ "circle_id": home.circle })),
        ("writing", json!({ "conversation_id": home.conversation, "is_writing": true })),
        ("webrtc_forward", json!({ "user_id": home.bob.id })),
    ] {
        let ack = ann.ask(event, argument).await;
        let success = ann.expect("success").await;
        assert_eq!(ack, json!({ "success": true, "message": success }), "{event}");
    }
    let words = json!({ "conversation_id": home.conversation, "text_message": "x" });
    let ack = ann.ask("message", words).await;
    let mut success = ann.expect("success").await;
    success["success"] = true.into();
    assert_eq!(ack, success);
    assert_eq!(ack["received"], true);
    for (event, argument, code) in [
        ("message", json!({ "conversation_id": NOBODY }), "not_found"),
        ("join_conversation", json!({}), "malformed"),
        ("webrtc_forward", json!({ "user_id": NOBODY }), "offline"),
        ("authenticate", json!({ "token": "x" }), "unidentified"),
    ] {
        let ack = ann.ask(event, argument).await;
        let error = ann.expect("error").await;
        assert_eq!(ack, json!({ "success": false, "message": error, "code": code }), "{event}");
    }
    for event in ["webrtc_stun_info", "webrtc_turn_info", "webrtc_credentials"] {
        let ack = ann.ask(event, json!({ "superfluous": 1 })).await;
        assert_eq!(ack["success"], true, "{event}");
        ann.expect("webrtc_config").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explicit_disconnect_forgets_and_closes() {
    let mut home = Home::open().await;
    let mut phone = home.world.peer(&home.bob.token).await;
    phone.join(home.conversation).await;
    phone.say(r#"42["disconnect"]"#);
    phone.ended().await;
    // Only that connection.
    home.bob.peer.succeed("message", home.words("still here")).await;
    assert_eq!(home.ann.peer.expect("message").await["message"]["content"], "still here");
}
