//! The worked example of the page, step by step.

use serde_json::{Value, json};

use crate::support::world::{Person, World, undated};

fn user(person: &Person, name: &str, dates: &str) -> Value {
    let birthday = if dates == "<iso>" { "<iso>" } else { "<http>" };
    json!({
        "id": person.id, "email": person.email, "first_name": name, "last_name": "Lee",
        "birthday": birthday, "created": dates, "updated": dates, "isOnline": true,
        "type": "DEFAULT",
    })
}

/// What clients see of a message, without the additive keys.
fn known(mut message: Value) -> Value {
    for key in ["seq", "revision"] {
        let value = message["message"].as_object_mut().unwrap().remove(key);
        assert!(value.is_some_and(|value| value.is_i64()), "{key}");
    }
    undated(message)
}

fn without_places(mut content: Value) -> Value {
    match &mut content {
        Value::Object(keys) => {
            keys.retain(|key, _| key != "seq" && key != "revision");
            keys.values_mut().for_each(|value| *value = without_places(value.take()));
        }
        Value::Array(items) => {
            for value in items {
                *value = without_places(value.take());
            }
        }
        _ => {}
    }
    content
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::too_many_lines, reason = "one story from beginning to end")]
async fn the_worked_example_happens_as_the_page_tells_it() {
    let world = World::open().await;
    // 1. Register and log in.
    let (mut ann, mut bob) = (world.person("ann").await, world.person("bob").await);
    let (a, b) = (ann.token.clone(), bob.token.clone());

    // 2. Circle.
    let made = world.ok("/circle/create", json!({ "token": a, "name": "Family" })).await;
    let circle = made["content"]["id"].as_i64().unwrap();
    let family = json!({
        "id": circle, "name": "Family", "created": "<http>", "updated": "<http>", "device": -1,
    });
    assert_eq!(undated(made), json!({ "success": true, "content": family }));

    // 3. Sockets; everything at once.
    for peer in [&ann.peer, &bob.peer] {
        let token = if std::ptr::eq(peer, &raw const ann.peer) { &a } else { &b };
        peer.emit("authenticate", json!({ "token": token }));
        peer.emit("join_circle", json!({ "circle_id": circle }));
    }
    assert_eq!(ann.peer.expect("success").await, "User authenticated");
    assert_eq!(ann.peer.expect("success").await, format!("joined circle_{circle}"));
    assert_eq!(bob.peer.expect("success").await, "User authenticated");
    assert!(bob.peer.expect("error").await.is_string());

    // 4. Invite and join.
    let wish = json!({ "token": a, "circle_id": circle, "email": bob.email });
    assert_eq!(world.ok("/circle/invite", wish).await, json!({ "success": true }));
    let invited = bob.peer.expect("circle_invite").await;
    let invite = invited["circle_invite_id"].as_i64().unwrap();
    let expected = json!({ "event": "invite", "circle_id": circle, "circle_invite_id": invite });
    assert_eq!(invited, expected);
    let info = world.ok("/user/info", json!({ "token": b })).await;
    let mut expected = user(&bob, "bob", "<http>");
    let more = json!({
        "hangout": false, "facebook": false, "ios_token": false, "circles": [],
        "conversations": [], "medias": [],
        "invites": [{
            "id": invite, "user": bob.id, "created": "<http>", "updated": "<http>",
            "circle": family,
        }],
    });
    expected.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    assert_eq!(undated(info)["content"], expected);
    world.ok("/circle/join", json!({ "token": b, "invite_id": invite })).await;
    let joined =
        json!({ "event": "join", "user": bob.email, "user_id": bob.id, "circle_id": circle });
    assert_eq!(ann.peer.expect("circle").await, joined);

    // 5. Conversation by first message.
    let first = json!({
        "token": a, "circle_id": circle, "email": bob.email, "text_message": "hi",
    });
    let first = world.ok("/message/first-message", first).await;
    let conversation = first["conversation_id"].as_i64().unwrap();
    let hi = first["message_id"].as_i64().unwrap();
    let expected = json!({
        "success": true, "conversation_id": conversation, "message_id": hi, "media_list": [],
    });
    assert_eq!(first, expected);
    let invited = json!({ "conversation_id": conversation, "event": "invite" });
    assert_eq!(bob.peer.expect("conversation").await, invited);
    let which = json!({ "token": b, "conversation_id": conversation });
    let shown = world.ok("/conversation/info", which).await["content"].clone();
    let (ann_link, bob_link) = (shown["links"][0]["id"].clone(), shown["links"][1]["id"].clone());
    assert!(ann_link.is_i64() && bob_link.is_i64());
    let said = json!({
        "id": hi, "link_id": ann_link, "sent": "<http>", "read": null, "content": "hi",
        "medias": 0,
    });
    let simple = json!({
        "id": conversation, "name": "Conversation", "created": "<http>", "updated": "<http>",
        "circle_id": circle, "device_access": false,
    });
    let link = |id: &Value, privilege: &str, user: Value, messages: Value| {
        json!({
            "id": id, "privilege": privilege, "created": "<http>", "updated": "<http>",
            "circle_id": circle, "user_id": user, "conversation_id": simple,
            "messages": messages,
        })
    };
    let expected = json!({
        "id": conversation, "name": "Conversation", "device_access": false,
        "created": "<http>", "updated": "<http>", "circle": family,
        "links": [
            link(&ann_link, "ADMIN", user(&ann, "ann", "<http>"), json!([said])),
            link(&bob_link, "STANDARD", user(&bob, "bob", "<http>"), json!([])),
        ],
        "messages": [said],
    });
    assert_eq!(without_places(undated(shown)), expected);

    // 6. Rooms, writing, message.
    ann.peer.join(conversation).await;
    bob.peer.join(conversation).await;
    bob.peer.emit("writing", json!({ "conversation_id": conversation, "is_writing": true }));
    let writing = json!({
        "conversation_id": conversation, "device": false, "user": bob.email, "user_id": bob.id,
        "is_writing": true,
    });
    assert_eq!(ann.peer.expect("writing").await, writing);
    let mut heard = [bob.peer.event().await, bob.peer.event().await];
    heard.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(heard[0].0, "success");
    assert_eq!(heard[1], ("writing".to_owned(), writing));
    bob.peer.emit("message", json!({ "conversation_id": conversation, "text_message": "hello" }));
    let receipt = bob.peer.expect("success").await;
    let hello = receipt["message_id"].as_i64().unwrap();
    assert_eq!(receipt, json!({ "received": true, "message_id": hello }));
    let expected = json!({
        "conversation_id": conversation,
        "message": {
            "id": hello, "link_id": bob_link, "sent": "<iso>", "read": null,
            "content": "hello", "medias": 0,
        },
        "time": "<iso>", "sender": user(&bob, "bob", "<iso>"), "media_list": [],
        "status": "done",
    });
    for peer in [&mut ann.peer, &mut bob.peer] {
        let message = peer.expect("message").await;
        assert_eq!(message["time"], message["message"]["sent"]);
        assert_eq!(message["sender"]["birthday"], "1990-12-25T00:00:00");
        assert_eq!(known(message), expected);
    }

    // 7. A picture.
    let look = json!({
        "conversation_id": conversation, "text_message": "look", "files": ["cat.png"],
    });
    ann.peer.emit("message", look);
    let announced = ann.peer.expect("media").await;
    let media = announced["media_list"][0]["id"].clone();
    let receipt = ann.peer.expect("success").await;
    let look = receipt["message_id"].clone();
    assert_eq!(receipt, json!({ "received": true, "message_id": look }));
    let expected = json!({
        "media_list": [{
            "id": media, "filename": null, "extension": null, "identifier": "cat.png",
            "uploaded": "False",
        }],
        "message_id": look,
    });
    assert_eq!(announced, expected);
    let said = json!({
        "id": look, "link_id": ann_link, "sent": "<iso>", "read": null, "content": "look",
        "medias": 1,
    });
    let pending = json!({ "conversation_id": conversation, "message": said, "status": "pending" });
    for peer in [&mut ann.peer, &mut bob.peer] {
        assert_eq!(known(peer.expect("message").await), pending);
    }
    world.upload(&a, &media, "cat.png", b"\x89PNG\r\n\x1a\nmeow").await;
    let cat = json!({
        "id": media, "filename": "cat", "extension": ".png", "identifier": "cat.png",
        "uploaded": "True",
    });
    let expected = json!({
        "conversation_id": conversation, "message": said, "sender": user(&ann, "ann", "<iso>"),
        "media": cat, "media_list": [cat], "time": "<iso>", "status": "done",
    });
    for peer in [&mut ann.peer, &mut bob.peer] {
        assert_eq!(known(peer.expect("message").await), expected);
    }
    let which = json!({ "token": b, "media_id": media });
    let data = world.ok("/media/retrieve", which).await["data"].clone();
    assert!(data.as_str().unwrap().starts_with("data:image/png;base64,iVBORw0KGg"), "{data}");

    // 8. A call.
    ann.peer.say(r#"42["webrtc_credentials"]"#);
    let config = ann.peer.expect("webrtc_config").await;
    let username = config["username"].as_str().unwrap();
    assert!(username.ends_with(&format!(":u{}", ann.id)), "{username}");
    assert!(config["password"].is_string() && config.as_object().unwrap().len() == 2);
    ann.peer.say(r#"42["webrtc_stun_info"]"#);
    let servers = ann.peer.expect("webrtc_config").await;
    assert!(servers[0]["port"].is_i64(), "{servers}");
    let offer = json!({ "type": "sdp", "data": { "type": "offer", "sdp": "v=0…" } });
    for (content, from_ann) in [
        (json!({ "user_id": bob.id, "message": "CALLING" }), true),
        (json!({ "email": ann.email, "message": "READY" }), false),
        (json!({ "user_id": bob.id, "message": offer }), true),
    ] {
        let (from, to) = if from_ann { (&mut ann, &mut bob) } else { (&mut bob, &mut ann) };
        let told = from.peer.succeed("webrtc_forward", content.clone()).await;
        assert_eq!(told, "Message forwarded");
        let signal = json!({ "sender_id": from.id, "is_device": false, "content": content });
        assert_eq!(to.peer.expect("webrtc_config").await, signal);
        assert_eq!(to.peer.expect("webrtc_forward").await, signal);
    }
    ann.peer.fail("webrtc_forward", json!({ "user_id": 999, "message": "CALLING" })).await;

    // 9. Leaving.
    ann.peer.succeed("leave_conversation", json!({ "conversation_id": conversation })).await;
    world.ok("/account/logout", json!({ "token": b })).await;
    let left = json!({ "event": "disconnect", "user": bob.email, "circle_id": circle });
    assert_eq!(ann.peer.expect("circle").await, left);
    let (status, answer) = world.post("/user/info", json!({ "token": b })).await;
    assert_eq!((status, &answer["success"]), (401, &json!(false)));
    assert!(answer["message"].is_string());
    ann.peer.quiet().await;
    bob.peer.quiet().await;
}
