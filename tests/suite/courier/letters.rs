//! Conversations of two and groups, and the words in them.

use serde_json::json;

use super::{DOCUMENTED, hears, is_timestamp, keys, open_group, open_personal, post_office, say};

/// Conformance check 2.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pair_has_one_conversation_however_often_both_ask() {
    let world = post_office().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let (mut a, mut b) = (world.client_of(&ann).await, world.client_of(&bob).await);
    let mut found = std::collections::BTreeSet::new();
    for _ in 0..50 {
        let (one, other) = tokio::join!(open_personal(&mut a, &bob), open_personal(&mut b, &ann));
        found.extend([one, other]);
    }
    assert_eq!(found.len(), 1);
    // Both ends may be named, in any order, and more than once.
    for members in [json!([ann.id, bob.id]), json!([bob.id, ann.id, bob.id]), json!([bob.id])] {
        let open = json!({"conv_id": 1, "member": members, "type": "init_personal"});
        a.send_json(&open).await;
        assert_eq!(a.json().await["db_conv_id"].as_i64(), found.first().copied());
    }
    // Nothing was said, so nobody was told.
    b.reads_nothing().await;
}

/// Conformance check 3.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_local_name_is_told_back_as_it_came() {
    let world = post_office().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let mut client = world.client_of(&ann).await;
    for name in [
        "5",
        "\"x1\"",
        "0",
        "-7",
        "1.50",
        "1e3",
        "\"\"",
        "\"1\"",
        "\"\\u00e9\\n\"",
        "123456789012345678901234567890",
    ] {
        let open =
            format!("{{\"conv_id\":{name},\"member\":[{}],\"type\":\"init_personal\"}}", bob.id);
        client.send(open).await;
        let answer = client.text().await;
        let expected =
            format!("{{\"local_conv_id\":{name},\"db_conv_id\":1,\"type\":\"personal\"}}");
        assert_eq!(answer, expected);
    }
    for (name, code) in [("true", "bad_format"), ("null", "bad_format"), ("[5]", "bad_format")] {
        let open =
            format!("{{\"conv_id\":{name},\"member\":[{}],\"type\":\"init_personal\"}}", bob.id);
        client.send(open).await;
        let error = client.json().await;
        assert_eq!((&error["code"], &error["field"]), (&json!(code), &json!("conv_id")));
    }
}

/// Conformance checks 4 and 12: to somebody who is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_personal_message_has_the_documented_keys() {
    let world = post_office().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let (mut a, mut b) = (world.client_of(&ann).await, world.client_of(&bob).await);
    let id = open_personal(&mut a, &bob).await;
    // What waits is out: it would have more keys.
    b.reads_nothing().await;
    a.send_json(&json!({
        "msg": "A simple\u{0} message", "conv_id": id, "type": "personal",
        // Nobody's to say.
        "sender": "Mallory", "timestamp": "never", "message_id": 77, "colour": "red",
    }))
    .await;
    let answer = a.json().await;
    assert_eq!(keys(&answer), ["message_id"]);
    let heard = hears(&mut b, "A simple message").await;
    assert_eq!(keys(&heard), DOCUMENTED);
    assert_eq!(heard["conv_id"], json!(id));
    assert_eq!(heard["message_id"], answer["message_id"]);
    assert_eq!(heard["sender"], "ann Lee");
    assert_eq!(heard["type"], "personal");
    assert!(is_timestamp(&heard["timestamp"]), "{heard}");
    a.reads_nothing().await;
    b.reads_nothing().await;
}

/// Conformance check 5.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_member_of_a_group_gets_a_message_once() {
    let world = post_office().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let (cy, dan) = (world.person("cy").await, world.person("dan").await);
    let (mut a, mut b) = (world.fan_of(&ann).await, world.client_of(&bob).await);
    a.reads(json!({"type": "backlog_done", "count": 0})).await;
    let id = open_group(&mut a, &[&ann, &bob, &cy, &dan]).await;
    let message = say(&mut a, "group", id, "Welcome all").await;
    let heard = hears(&mut b, "Welcome all").await;
    assert_eq!(keys(&heard), DOCUMENTED);
    assert_eq!((&heard["type"], &heard["message_id"]), (&json!("group"), &json!(message)));
    b.reads_nothing().await;
    let delivered = a.json().await;
    assert_eq!((&delivered["type"], &delivered["user_id"]), (&json!("delivered"), &json!(bob.id)));

    let mut c = world.client_of(&cy).await;
    let waited = hears(&mut c, "Welcome all").await;
    assert_eq!((&waited["type"], &waited["message_id"]), (&json!("group"), &json!(message)));
    c.reads_nothing().await;
    let delivered = a.json().await;
    assert_eq!((&delivered["type"], &delivered["user_id"]), (&json!("delivered"), &json!(cy.id)));
    a.send_json(&json!({"type": "status", "message_id": message})).await;
    let sent = json!({
        "message_id": message, "status": "sent", "members": 3, "delivered": 2, "seen": 0,
    });
    a.reads(json!({"type": "status", "statuses": [sent]})).await;
    let mut d = world.client_of(&dan).await;
    hears(&mut d, "Welcome all").await;
    d.reads_nothing().await;
    b.reads_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_put_out_learns_nothing_of_own_messages() {
    let world = post_office().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let (mut a, mut b) = (world.client_of(&ann).await, world.fan_of(&bob).await);
    b.reads(json!({"type": "backlog_done", "count": 0})).await;
    let id = open_group(&mut a, &[&ann, &bob]).await;
    let message = say(&mut b, "group", id, "Am I in?").await;
    let mut statuses = async || {
        b.send_json(&json!({"type": "status", "message_id": message})).await;
        loop {
            let told = b.json().await;
            if told["type"] == "status" {
                return told["statuses"].as_array().unwrap().len();
            }
        }
    };
    assert_eq!(statuses().await, 1);
    let kick = json!({"token": ann.token, "conversation_id": id, "email": bob.email});
    world.ok("/conversation/kick", kick).await;
    assert_eq!(statuses().await, 0);
}

/// Conformance check 8.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn which_conversation_is_meant() {
    let world = post_office().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let (cy, dan) = (world.person("cy").await, world.person("dan").await);
    let (mut a, mut b) = (world.client_of(&ann).await, world.client_of(&bob).await);
    let mut c = world.client_of(&cy).await;
    let personal = open_personal(&mut a, &bob).await;
    let group = open_group(&mut a, &[&ann, &bob]).await;
    let foreign = open_personal(&mut c, &dan).await;
    let message =
        |r#type: &str, id: &serde_json::Value| json!({"msg": "?", "conv_id": id, "type": r#type});
    for (r#type, id, code) in [
        ("personal", json!(group), "wrong_conversation_type"),
        ("group", json!(personal), "wrong_conversation_type"),
        ("personal", json!(foreign), "conversation_not_found"),
        ("group", json!(foreign), "conversation_not_found"),
        ("personal", json!(77), "conversation_not_found"),
        ("personal", json!("nobody"), "conversation_not_found"),
        ("personal", json!(-1), "conversation_not_found"),
    ] {
        a.send_json(&message(r#type, &id)).await;
        let error = a.json().await;
        assert_eq!(error["code"], code, "{error}");
        assert_eq!((&error["type"], &error["request"]), (&json!("error"), &json!(r#type)));
        assert_eq!(error["conv_id"], id);
    }
    b.reads_nothing().await;

    // A name that was just given, before its answer has arrived; and never replaced.
    let open = json!({"conv_id": 8001, "member": [dan.id], "type": "init_personal"});
    a.send_json(&open).await;
    a.send_json(&message("personal", &json!(8001))).await;
    let opened = a.json().await["db_conv_id"].clone();
    assert!(a.json().await["message_id"].is_i64());
    let mut d = world.client_of(&dan).await;
    assert_eq!(hears(&mut d, "?").await["conv_id"], opened);
    // Its own number wins over a name of the same digits; names are of one connection.
    let open = json!({"conv_id": personal, "member": [dan.id], "type": "init_personal"});
    a.send_json(&open).await;
    a.json().await;
    say(&mut a, "personal", personal, "to bob").await;
    hears(&mut b, "to bob").await;
    d.reads_nothing().await;
    let mut again = world.client_of(&ann).await;
    again.send_json(&message("personal", &json!(8001))).await;
    assert_eq!(again.json().await["code"], "conversation_not_found");
    // Ids may be strings of digits.
    say(&mut a, "personal", personal, "x").await;
    a.send_json(&message("personal", &json!(personal.to_string()))).await;
    assert!(a.json().await["message_id"].is_i64());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wrong_people_make_no_conversation() {
    let world = post_office().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let (cy, gone) = (world.person("cy").await, world.person("gone").await);
    world.command(&["user", "set", &gone.id.to_string(), "--no-active"]);
    let mut client = world.client_of(&ann).await;
    let group = |members: serde_json::Value| json!({"conv_id": 5, "member": members, "type": "init_group", "group_name": "G"});
    let personal = |members: serde_json::Value| json!({"conv_id": 5, "member": members, "type": "init_personal"});
    for (frame, code) in [
        (personal(json!([ann.id])), "bad_members"),
        (personal(json!([])), "bad_members"),
        (personal(json!([bob.id, cy.id])), "bad_members"),
        (personal(json!([ann.id, bob.id, cy.id])), "bad_members"),
        (personal(json!([ann.id, 99])), "unknown_user"),
        (personal(json!([gone.id])), "unknown_user"),
        (personal(json!("2")), "bad_format"),
        (personal(json!([1.5])), "bad_format"),
        (personal(json!([null])), "bad_format"),
        (group(json!([ann.id])), "bad_members"),
        (group(json!([])), "bad_members"),
        (group(json!([bob.id, 98, 99])), "unknown_user"),
    ] {
        client.send_json(&frame).await;
        let error = client.json().await;
        assert_eq!(error["code"], code, "{frame}: {error}");
        assert_eq!(error["local_conv_id"], json!(5), "{error}");
        if code == "unknown_user" && frame["type"] == "init_group" {
            assert_eq!(error["user_ids"], json!([98, 99]));
        }
    }
    let documented = json!({
        "type": "error", "code": "unknown_user", "error": "No such user: 99.",
        "request": "init_personal", "local_conv_id": 5, "user_ids": [99],
    });
    client.send_json(&personal(json!([ann.id, 99]))).await;
    client.reads(documented).await;
}

/// Conformance check 10.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_connections_of_one_user_both_hear() {
    let world = post_office().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let mut a = world.client_of(&ann).await;
    let (mut one, mut two) = (world.client_of(&bob).await, world.client_of(&bob).await);
    let id = open_personal(&mut a, &bob).await;
    say(&mut a, "personal", id, "to both").await;
    hears(&mut one, "to both").await;
    hears(&mut two, "to both").await;
    one.close().await;
    say(&mut a, "personal", id, "to the other").await;
    hears(&mut two, "to the other").await;
    two.reads_nothing().await;
    // One's own further connections cannot show whose a message is, and do not get it.
    let mut a_too = world.client_of(&ann).await;
    say(&mut a, "personal", id, "mine").await;
    hears(&mut two, "mine").await;
    a_too.reads_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_reference_creates_nothing_anew_even_after_a_restart_of_the_client() {
    let world = post_office().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let mut b = world.client_of(&bob).await;
    let group = json!({
        "conv_id": 9, "member": [bob.id], "type": "init_group", "group_name": " G\u{0} ",
        "client_ref": "g1",
    });
    let mut groups = std::collections::BTreeSet::new();
    let mut messages = std::collections::BTreeSet::new();
    for _ in 0..2 {
        let mut client = world.client_of(&ann).await;
        for _ in 0..2 {
            client.send_json(&group).await;
            let opened = client.json().await;
            assert_eq!(keys(&opened), ["local_conv_id", "db_conv_id", "type", "client_ref"]);
            assert_eq!(opened["client_ref"], "g1");
            groups.insert(opened["db_conv_id"].as_i64().unwrap());
            let message = json!({
                "msg": "once", "conv_id": 9, "type": "group", "client_ref": "m1",
            });
            client.send_json(&message).await;
            let posted = client.json().await;
            assert_eq!(keys(&posted), ["message_id", "client_ref"]);
            messages.insert(posted["message_id"].as_i64().unwrap());
        }
    }
    assert_eq!((groups.len(), messages.len()), (1, 1));
    hears(&mut b, "once").await;
    b.reads_nothing().await;
    let mut client = world.client_of(&ann).await;
    let lost = json!({"msg": "x", "conv_id": 77, "type": "group", "client_ref": "m2"});
    client.send_json(&lost).await;
    assert_eq!(client.json().await["client_ref"], "m2");
    for wrong in [json!(""), json!("x".repeat(65)), json!(5)] {
        let message = json!({"msg": "x", "conv_id": 9, "type": "group", "client_ref": wrong});
        client.send_json(&message).await;
        let error = client.json().await;
        assert_eq!((&error["code"], &error["field"]), (&json!("bad_format"), &json!("client_ref")));
    }
}
