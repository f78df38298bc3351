//! Addresses, keys, and how connections end.

use klatsch::domain::UserId;
use serde_json::{Value, json};

use super::stage::{Stage, arrives, message, plain, settle, until_settled};
use crate::support::raw::{Heard, Raw};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_addresses_take_keys_and_tokens() {
    let stage = Stage::open().await;
    let (ann, _) = (stage.user("ann").await, stage.user("bob").await);
    let (key, cookie) = stage.session(&ann);
    assert!(key.len() == 32 && key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
    let main = format!("ws://{}/private-chat", stage.world.address);
    for base in [stage.base(), main.as_str()] {
        for key in [&key, &ann.token] {
            for path in ["bob", "b%6fb", "bob/", "bob/more/of/it", "bob?html=raw"] {
                let mut chat = Raw::connect(&format!("{base}/{key}/{path}"), &[]).await;
                chat.send_json(&json!({"type": "new-message", "message": "hi"})).await;
                assert_eq!(plain(chat.json().await), arrives("ann", "bob", "hi"), "{path}");
                chat.close().await;
            }
        }
        // The cookie's value is no key.
        for wrong in [cookie.as_str(), "nonsense", "eyJhbGciOi.x.y"] {
            let mut chat = Raw::connect(&format!("{base}/{wrong}/bob"), &[]).await;
            assert_eq!(chat.closed().await, (1008, "invalid session".to_owned()), "{wrong}");
        }
        for path in ["", "/", "/onlyone", "/onlyone/", "//bob"] {
            let refused = Raw::try_connect(&format!("{base}{path}"), &[]).await;
            assert_eq!(refused.err(), Some(404), "{base}{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_opponent_is_told_and_the_socket_stays() {
    let stage = Stage::open().await;
    let (ann, _) = (stage.user("ann").await, stage.user("bob").await);
    for named in ["ghost", "Bob", "%00", "a%20b"] {
        let mut chat = stage.chat(&ann, named).await;
        let told = chat.json().await;
        assert_eq!(told["type"], "user-not-found", "{told}");
        assert_eq!(told.as_object().unwrap().len(), 2);
        chat.send_json(&message("ghost", "hi")).await;
        chat.reads(json!({"type": "user-not-found", "username": "ghost"})).await;
        chat.send_json(&message("bob", "hi")).await;
        assert_eq!(plain(chat.json().await), arrives("ann", "bob", "hi"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_ends_takes_its_sockets_along() {
    let stage = Stage::open().await;
    let (ann, bob) = (stage.user("ann").await, stage.user("bob").await);
    let mut a = stage.bound(&ann, "bob").await;
    stage.world.ok("/account/logout", json!({ "token": ann.token })).await;
    assert_eq!(a.closed().await, (1008, "login ended".to_owned()));
    let mut again = stage.chat(&ann, "bob").await;
    assert_eq!(again.closed().await, (1008, "invalid session".to_owned()));
    let mut b = stage.bound(&bob, "ann").await;
    stage.world.command(&["user", "set", &bob.email, "--no-active"]);
    let end = loop {
        match b.next().await {
            Heard::Text(presence) => assert!(presence.contains("gone-offline"), "{presence}"),
            end => break end,
        }
    };
    assert_eq!(end, Heard::Closed(1008, "user inactive".to_owned()));
    let mut again = stage.chat(&bob, "ann").await;
    assert_eq!(again.closed().await, (1008, "invalid session".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_beyond_the_limit_are_turned_away_also_after_an_offline() {
    let stage =
        Stage::with(|settings| settings.limits.sockets_per_user = 2.try_into().unwrap()).await;
    let (ann, _) = (stage.user("ann").await, stage.user("bob").await);
    let mut first = stage.bound(&ann, "bob").await;
    let _second = stage.bound(&ann, "bob").await;
    first.send_json(&json!({"type": "offline"})).await;
    settle(&mut first).await;
    let mut third = stage.chat(&ann, "bob").await;
    assert_eq!(third.closed().await.0, 1013);
    first.close().await;
    stage.bound(&ann, "bob").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_other_origins_can_be_kept_out() {
    let stage = Stage::with(|settings| {
        settings.private_chat.allowed_origins =
            serde_json::from_value(json!(["https://chat.example.org"])).unwrap();
    })
    .await;
    let (ann, _) = (stage.user("ann").await, stage.user("bob").await);
    let url = format!("{}/{}/bob", stage.base(), ann.token);
    let refused = Raw::try_connect(&url, &[("origin", "https://evil.example.org")]).await;
    assert_eq!(refused.err(), Some(403));
    let mut chat = Raw::connect(&url, &[("origin", "https://chat.example.org")]).await;
    settle(&mut chat).await;
    settle(&mut Raw::connect(&url, &[]).await).await;
}

/// Conformance check 10.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_of_another_user_inside_a_packet_has_no_effect() {
    let stage = Stage::open().await;
    let (ann, bob) = (stage.user("ann").await, stage.user("bob").await);
    let (key, _) = stage.session(&ann);
    let mut a = stage.bound(&ann, "bob").await;
    let mut b = stage.bound(&bob, "ann").await;
    for wrong in [json!(bob.token), json!("nonsense"), json!(""), json!(null), json!(7)] {
        let mut packet = message("bob", "forged");
        packet["session_key"] = wrong;
        packet["ref"] = "r1".into();
        a.send_json(&packet).await;
        let error = a.json().await;
        assert_eq!(error["code"], "bad_session", "{error}");
        assert_eq!((&error["request"], &error["ref"]), (&json!("new-message"), &json!("r1")));
        a.send_json(&json!({"type": "offline", "session_key": bob.token})).await;
        assert_eq!(a.json().await["code"], "bad_session");
    }
    assert_eq!(until_settled(&mut b).await, Vec::<Value>::new());
    // Another key of the same user is as good as the one in the address.
    let mut packet = message("bob", "mine");
    packet["session_key"] = key.into();
    a.send_json(&packet).await;
    assert_eq!(plain(a.json().await), arrives("ann", "bob", "mine"));
    assert_eq!(plain(b.json().await), arrives("ann", "bob", "mine"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_speaks_it_where_it_is_switched_off() {
    let stage = crate::support::world::World::with(|settings| {
        settings.private_chat.enabled = false;
    })
    .await;
    let url = format!("ws://{}/private-chat/key/bob", stage.address);
    assert_eq!(Raw::try_connect(&url, &[]).await.err(), Some(404));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_arrived_are_delivered_to_the_page_that_shows_them() {
    let stage = Stage::open().await;
    let (ann, bob) = (stage.user("ann").await, stage.user("bob").await);
    let mut a = stage.bound(&ann, "bob").await;
    let mut b = stage.bound(&bob, "ann").await;
    a.send_json(&message("bob", "there?")).await;
    let shown = b.json().await;
    assert_eq!(shown["message"], "there?");
    // Reading on answers the ping behind it.
    b.reads_nothing().await;
    b.close().await;
    let store = stage.world.store().await;
    let conversation =
        store.find_direct(UserId::new(ann.id), UserId::new(bob.id)).await.unwrap().unwrap();
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        let (member, _) =
            store.find_member(conversation.id, UserId::new(bob.id)).await.unwrap().unwrap();
        if member.delivered.get() == shown["message_id"].as_i64().unwrap() {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "{member:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_down_says_so() {
    let stage = Stage::open().await;
    let (ann, _) = (stage.user("ann").await, stage.user("bob").await);
    let mut a = stage.bound(&ann, "bob").await;
    drop(stage);
    match a.next().await {
        Heard::Closed(code, _) => assert_eq!(code, 1001),
        other => panic!("{other:?}"),
    }
}
