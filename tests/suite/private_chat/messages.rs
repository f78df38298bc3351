//! Messages: to whom they go, in which form, and what is passed on.

use serde_json::{Value, json};

use super::stage::{Stage, arrives, message, plain, settle, until_settled};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_reaches_both_ends_with_the_receivers_name() {
    let stage = Stage::open().await;
    let (ann, bob) = (stage.user("ann").await, stage.user("bob").await);
    let mut a = stage.bound(&ann, "bob").await;
    let mut b = stage.bound(&bob, "ann").await;
    a.send_json(&message("bob", "hello")).await;
    let copy = a.json().await;
    assert_eq!(copy["type"], "new-message");
    assert_eq!(plain(copy.clone()), arrives("ann", "bob", "hello"));
    let first: Vec<Value> = vec![b.json().await, b.json().await];
    assert!(first.contains(&copy), "{first:?}");
    assert!(first.contains(&json!({"type": "new-dialog", "username": "ann"})), "{first:?}");
    b.send_json(&message("ann", "hi")).await;
    assert_eq!(plain(b.json().await), arrives("bob", "ann", "hi"));
    assert_eq!(plain(a.json().await), arrives("bob", "ann", "hi"));
    settle(&mut a).await;
    settle(&mut b).await;
}

/// Conformance check 2.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_to_somebody_else_never_shows_in_the_wrong_page() {
    let stage = Stage::open().await;
    let ann = stage.user("ann").await;
    stage.user("bob").await;
    stage.user("carol").await;
    let mut on_bob = stage.bound(&ann, "bob").await;
    let mut on_carol = stage.bound(&ann, "carol").await;
    on_carol.send_json(&message("carol", "lunch?")).await;
    assert_eq!(plain(on_carol.json().await), arrives("ann", "carol", "lunch?"));
    assert_eq!(until_settled(&mut on_bob).await, Vec::<Value>::new());
    // From the page that is open on somebody else: it gets its copy, and so does the right one.
    on_bob.send_json(&message("carol", "at one")).await;
    assert_eq!(plain(on_bob.json().await), arrives("ann", "carol", "at one"));
    assert_eq!(plain(on_carol.json().await), arrives("ann", "carol", "at one"));
    assert_eq!(until_settled(&mut on_bob).await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_right_page_all_others_of_the_receiver_hear_of_a_message_once() {
    let stage = Stage::open().await;
    let (ann, bob) = (stage.user("ann").await, stage.user("bob").await);
    let carol = stage.user("carol").await;
    let mut on_ann = stage.bound(&bob, "ann").await;
    let mut on_ghost = stage.bound(&bob, "bob").await;
    let mut c = stage.bound(&carol, "bob").await;
    c.send_json(&message("bob", "one")).await;
    assert_eq!(plain(c.json().await), arrives("carol", "bob", "one"));
    for page in [&mut on_ann, &mut on_ghost] {
        let mut heard: Vec<_> = until_settled(page).await;
        heard.retain(|packet| packet["type"] == "new-message");
        assert_eq!(
            heard.into_iter().map(plain).collect::<Vec<_>>(),
            [arrives("carol", "bob", "one")]
        );
    }
    let mut on_carol = stage.bound(&bob, "carol").await;
    c.send_json(&message("bob", "two")).await;
    assert_eq!(plain(on_carol.json().await), arrives("carol", "bob", "two"));
    for page in [&mut on_ann, &mut on_ghost] {
        assert_eq!(until_settled(page).await, Vec::<Value>::new());
    }
    drop(ann);
}

/// Conformance check 6.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dates_look_as_the_operator_says() {
    let stage = Stage::open().await;
    let (ann, _) = (stage.user("ann").await, stage.user("bob").await);
    let mut a = stage.chat(&ann, "bob").await;
    a.send_json(&message("bob", "when?")).await;
    let created = a.json().await["created"].as_str().unwrap().to_owned();
    let digits: String =
        created.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    assert_eq!(digits, "99.99.9999 99:99:99", "{created}");

    let stage = Stage::with(|settings| {
        settings.private_chat.datetime_format = r"\Z Y".to_owned();
        settings.private_chat.time_zone = "Asia/Tokyo".to_owned();
    })
    .await;
    let (ann, _) = (stage.user("ann").await, stage.user("bob").await);
    let mut a = stage.chat(&ann, "bob").await;
    a.send_json(&message("bob", "when?")).await;
    let created = a.json().await["created"].as_str().unwrap().to_owned();
    assert!(created.starts_with("Z 20") && created.len() == 6, "{created}");
}

/// Conformance checks 5 and 11.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn further_keys_are_passed_on_and_the_servers_keys_cannot_be_forged() {
    let stage = Stage::open().await;
    let (ann, bob) = (stage.user("ann").await, stage.user("bob").await);
    let mut a = stage.bound(&ann, "bob").await;
    let mut b = stage.bound(&bob, "ann").await;
    a.send(format!(
        r#"{{"type":"new-message","session_key":"{}","username":"bob","message":"x","sender_name":"carol",
            "message_id":77,"created":"yesterday","color":"blue","n":12345678901234567890123,"list":[1,{{"a":null}}]}}"#,
        ann.token
    ))
    .await;
    for chat in [&mut a, &mut b] {
        let text = chat.text().await;
        assert!(!text.contains(&ann.token) && !text.contains("session_key"), "{text}");
        assert!(text.contains("12345678901234567890123"), "{text}");
        let packet: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(packet["sender_name"], "ann");
        assert!(packet["message_id"] != 77 && packet["created"] != "yesterday", "{packet}");
        assert_eq!((&packet["color"], &packet["list"]), (&json!("blue"), &json!([1, {"a": null}])));
    }
    assert_eq!(b.json().await["type"], "new-dialog");
    // Too many, or too large: dropped, and the message arrives.
    let mut many = message("bob", "many");
    for number in 0..17 {
        many[format!("k{number}")] = number.into();
    }
    a.send_json(&many).await;
    assert_eq!(plain(b.json().await), arrives("ann", "bob", "many"));
    let mut large = message("bob", "large");
    large["blob"] = "x".repeat(4096).into();
    a.send_json(&large).await;
    assert_eq!(plain(b.json().await), arrives("ann", "bob", "large"));
}

/// Conformance check 13, for programs; the page is driven in a browser elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_get_texts_escaped_and_programs_as_they_are() {
    let stage = Stage::open().await;
    let (ann, bob) = (stage.user("ann").await, stage.user("bob").await);
    let mut program = stage.bound(&ann, "bob").await;
    let (mut page, _) = stage.page(&bob, "ann").await;
    let mut raw = stage.connect(&bob.token, "ann", "?html=raw", &[("origin", "http://h")]).await;
    settle(&mut raw).await;
    let mut escaped = stage.connect(&ann.token, "bob", "?html=escape", &[]).await;
    settle(&mut escaped).await;
    let mut said = message("bob", "<img src=x onerror=alert(1)> & \"'");
    said["note"] = json!({"deep": ["<b>"]});
    program.send_json(&said).await;
    let shown = "&lt;img src=x onerror=alert(1)&gt; &amp; \"'";
    for (chat, text, note) in [
        (&mut program, "<img src=x onerror=alert(1)> & \"'", "<b>"),
        (&mut raw, "<img src=x onerror=alert(1)> & \"'", "<b>"),
        (&mut page, shown, "&lt;b&gt;"),
        (&mut escaped, shown, "&lt;b&gt;"),
    ] {
        let packet = loop {
            let packet = chat.json().await;
            if packet["type"] == "new-message" {
                break packet;
            }
        };
        assert_eq!(packet["message"], text);
        assert_eq!(packet["note"], json!({"deep": [note]}));
    }
}

/// Conformance check 14.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_to_oneself_arrives_once() {
    let stage = Stage::open().await;
    let (ann, _) = (stage.user("ann").await, stage.user("bob").await);
    let mut self_page = stage.bound(&ann, "ann").await;
    let mut on_bob = stage.bound(&ann, "bob").await;
    self_page.send_json(&message("ann", "remember")).await;
    let heard = until_settled(&mut self_page).await;
    let id = heard[0]["message_id"].clone();
    let heard: Vec<_> = heard.into_iter().map(plain).collect();
    assert_eq!(heard, [arrives("ann", "ann", "remember")]);
    self_page.send_json(&json!({"type": "read_message", "message_id": id})).await;
    let read = json!({"type": "opponent-read-message", "username": "ann", "message_id": id});
    self_page.reads(read).await;
    assert_eq!(until_settled(&mut on_bob).await, Vec::<Value>::new());
    self_page.send_json(&json!({"type": "check-online"})).await;
    assert_eq!(self_page.json().await, json!({"type": "gone-online", "usernames": ["ann"]}));
}

/// Conformance check 15.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_messages_in_both_directions_at_once_make_one_dialog() {
    let stage = Stage::open().await;
    let (ann, bob) = (stage.user("ann").await, stage.user("bob").await);
    let mut a = stage.bound(&ann, "bob").await;
    let mut b = stage.bound(&bob, "ann").await;
    let (to_bob, to_ann) = (message("bob", "to bob"), message("ann", "to ann"));
    tokio::join!(a.send_json(&to_bob), b.send_json(&to_ann));
    let mut read = Vec::new();
    for chat in [&mut a, &mut b] {
        let mut two = Vec::new();
        while two.len() < 2 {
            let packet = chat.json().await;
            if packet["type"] == "new-message" {
                two.push(packet);
            }
        }
        read.push(two);
    }
    assert_eq!(read[0], read[1], "both read the same, in the same order");
    let info = stage.world.ok("/user/info", json!({ "token": ann.token })).await;
    let pairs = info["content"]["conversations"].as_array().unwrap();
    assert_eq!(pairs.len(), 1, "{info}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_auto_dialog_a_message_to_a_stranger_is_dropped() {
    let stage = Stage::with(|settings| settings.private_chat.auto_dialog = false).await;
    let (ann, bob) = (stage.user("ann").await, stage.user("bob").await);
    let mut a = stage.bound(&ann, "bob").await;
    let mut b = stage.bound(&bob, "ann").await;
    a.send_json(&message("bob", "hello?")).await;
    assert_eq!(until_settled(&mut a).await, Vec::<Value>::new());
    assert_eq!(until_settled(&mut b).await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_one_socket_keep_their_order() {
    let stage = Stage::open().await;
    let (ann, bob) = (stage.user("ann").await, stage.user("bob").await);
    let mut a = stage.bound(&ann, "bob").await;
    let mut b = stage.bound(&bob, "ann").await;
    for number in 0..30 {
        a.send_json(&message("bob", &number.to_string())).await;
    }
    let (mut texts, mut last) = (Vec::new(), 0);
    while texts.len() < 30 {
        let packet = b.json().await;
        if packet["type"] == "new-message" {
            let id = packet["message_id"].as_i64().unwrap();
            assert!(id > last, "{packet}");
            last = id;
            texts.push(packet["message"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(texts, (0..30).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_messages_cost_coins_who_has_none_is_told_the_price() {
    let stage = Stage::with(|settings| {
        settings.members_chat.billed_dialects =
            serde_json::from_value(json!(["private-chat"])).unwrap();
        settings.members_chat.initial_balance = 7;
    })
    .await;
    let (ann, _) = (stage.user("ann").await, stage.user("bob").await);
    let mut a = stage.bound(&ann, "bob").await;
    a.send_json(&message("bob", "for five")).await;
    assert_eq!(plain(a.json().await), arrives("ann", "bob", "for five"));
    a.send_json(&message("bob", "too dear")).await;
    let error = a.json().await;
    let told = (&error["code"], &error["price"], &error["balance"]);
    assert_eq!(told, (&json!("insufficient_balance"), &json!(5), &json!(2)), "{error}");
}
