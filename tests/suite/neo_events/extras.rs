//! What new clients use: `sync`, `history`, `read`, presence (RULINGS 11, 42, 45, 66).

use klatsch::domain::UserId;
use serde_json::{Value, json};

use super::Home;

/// The places of the messages of a page.
fn places(page: &Value, key: &str) -> Vec<i64> {
    let messages = page["messages"].as_array().unwrap_or_else(|| panic!("{page}"));
    messages.iter().map(|message| message[key].as_i64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn sync_tells_everything_after_a_revision_once() {
    let mut home = Home::open().await;
    let id = home.conversation;
    let mut ids = Vec::new();
    for n in 0..4 {
        let posted = home.bob.peer.ask("message", home.words(&format!("m{n}"))).await;
        ids.push(posted["message_id"].clone());
    }
    let edit = json!({ "token": home.bob.token, "message_id": ids[0], "text_content": "new" });
    home.world.ok("/message/update", edit).await;
    let delete = json!({ "token": home.bob.token, "message_id": ids[1] });
    home.world.ok("/message/delete", delete).await;

    let mut since = 0;
    let mut seen = Vec::new();
    loop {
        let ask = json!({ "conversation_id": id, "since": since, "limit": 2 });
        let page = home.ann.peer.ask("sync", ask).await;
        assert_eq!(page["success"], true, "{page}");
        let revisions = places(&page, "revision");
        assert!(revisions.is_sorted() && revisions.iter().all(|r| *r > since), "{page}");
        since = page["revision"].as_i64().unwrap();
        assert!(revisions.iter().all(|revision| *revision <= since), "{page}");
        seen.extend(page["messages"].as_array().unwrap().clone());
        if page["more"] == false {
            break;
        }
    }
    let short: Vec<_> = seen
        .iter()
        .map(|m| {
            let flags = (m["deleted"] == true, !m["edited"].is_null() && m["edited"] != false);
            (m["seq"].as_i64().unwrap(), m["content"].as_str().unwrap(), flags)
        })
        .collect();
    let plain = (false, false);
    let expected = [
        (1, "hi", plain),
        (4, "m2", plain),
        (5, "m3", plain),
        (2, "new", (false, true)),
        (3, "", (true, false)),
    ];
    assert_eq!(short, expected);
    let again = home.ann.peer.ask("sync", json!({ "conversation_id": id, "since": since })).await;
    assert_eq!((&again["messages"], &again["more"]), (&json!([]), &json!(false)));
    assert_eq!(again["revision"], since);
    // A Message.content with socket dates.
    let message = &seen[0];
    for key in ["id", "sent", "link", "medias", "seq", "revision", "deleted", "edited"] {
        assert!(message.get(key).is_some(), "{key} in {message}");
    }
    assert!(message["medias"].is_array() && !message["sent"].as_str().unwrap().contains("GMT"));
}

#[tokio::test(flavor = "multi_thread")]
async fn history_reads_backwards_in_pages() {
    let mut home = Home::open().await;
    let id = home.conversation;
    for n in 0..59 {
        home.bob.peer.emit("message", home.words(&format!("m{n}")));
    }
    home.bob.peer.heard().await;
    home.ann.peer.heard().await;
    let ann = &mut home.ann.peer;
    let page = ann.ask("history", json!({ "conversation_id": id })).await;
    assert_eq!(places(&page, "seq"), (11..=60).collect::<Vec<_>>());
    assert_eq!((&page["success"], &page["more"]), (&json!(true), &json!(true)));
    let page = ann.ask("history", json!({ "conversation_id": id, "before": 11 })).await;
    assert_eq!(places(&page, "seq"), (1..=10).collect::<Vec<_>>());
    assert_eq!(page["more"], false);
    let ask = json!({ "conversation_id": id.to_string(), "before": "4", "limit": 2 });
    assert_eq!(places(&ann.ask("history", ask).await, "seq"), [2, 3]);
    let page = ann.ask("history", json!({ "conversation_id": id, "limit": 5000 })).await;
    assert_eq!(places(&page, "seq").len(), 60);
    ann.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn extras_answer_by_acknowledgement_alone() {
    let mut home = Home::open().await;
    let mut carl = home.carl().await;
    let id = home.conversation;
    for event in ["sync", "history", "read"] {
        let argument = json!({ "conversation_id": id, "since": 0, "seq": 1 });
        assert_eq!(home.ann.peer.ask(event, argument.clone()).await["success"], true, "{event}");
        home.ann.peer.quiet().await;
        // Without one: done in silence.
        home.ann.peer.emit(event, argument.clone());
        home.ann.peer.quiet().await;
        // A refusal is in the acknowledgement, or on `error` where there is none.
        let refused = carl.peer.ask(event, argument.clone()).await;
        assert_eq!(refused["success"], false, "{event}");
        assert!(refused["code"].is_string() && refused["message"].is_string(), "{refused}");
        carl.peer.quiet().await;
        carl.peer.fail(event, argument).await;
        carl.peer.fail(event, json!({ "conversation_id": 987_654, "seq": 1 })).await;
        carl.peer.fail(event, json!({ "seq": 1 })).await;
        carl.peer.fail(event, json!({ "conversation_id": [], "seq": 1 })).await;
    }
    for wrong in [json!(-1), json!("x"), json!(1.5), json!([])] {
        let sync = json!({ "conversation_id": id, "since": wrong });
        assert_eq!(home.ann.peer.ask("sync", sync).await["code"], "malformed");
        let read = json!({ "conversation_id": id, "seq": wrong });
        assert_eq!(home.ann.peer.ask("read", read).await["code"], "malformed");
    }
    // Who was refused has used nothing: still an old client.
    home.ann.peer.heard().await;
    carl.peer.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn read_tells_the_other_new_clients_in_the_room() {
    let mut home = Home::open().await;
    let id = home.conversation;
    for n in 0..3 {
        home.bob.peer.succeed("message", home.words(&format!("m{n}"))).await;
        home.bob.peer.expect("message").await;
    }
    let mut phone = home.world.peer(&home.ann.token).await;
    phone.join(id).await;
    home.ann.peer.heard().await;
    // Phone and Bob are new clients, an old one of Bob's is not.
    let mut old = home.world.peer(&home.bob.token).await;
    old.join(id).await;
    for peer in [&mut phone, &mut home.bob.peer] {
        peer.ask("history", json!({ "conversation_id": id })).await;
    }
    let read = home.ann.peer.ask("read", json!({ "conversation_id": id, "seq": 3 })).await;
    assert_eq!(read, json!({ "success": true }));
    let told = json!({ "conversation_id": id, "user_id": home.ann.id, "seq": 3 });
    for peer in [&mut phone, &mut home.bob.peer] {
        assert_eq!(peer.heard().await, [("read".to_owned(), told.clone())]);
    }
    home.ann.peer.quiet().await;
    // A group's old clients hear nothing, and a place that was passed is no news.
    old.quiet().await;
    for seq in [3, 2] {
        let read = home.ann.peer.ask("read", json!({ "conversation_id": id, "seq": seq })).await;
        assert_eq!(read["success"], true);
    }
    phone.quiet().await;
    home.bob.peer.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_is_told_once_and_to_new_clients_alone() {
    let mut home = Home::open().await;
    let mut carl = home.carl().await;
    let stranger = home.world.person("sam").await;
    carl.peer.ask("sync", json!({ "conversation_id": home.conversation, "since": 0 })).await;
    home.ann.peer.ask("sync", json!({ "conversation_id": home.conversation, "since": 0 })).await;
    let mut phone = home.world.peer(&home.bob.token).await;
    home.bob.peer.say(r#"42["disconnect"]"#);
    home.bob.peer.ended().await;
    home.ann.peer.quiet().await;
    phone.say(r#"42["disconnect"]"#);
    phone.ended().await;
    let gone = home.ann.peer.expect("presence").await;
    assert_eq!((&gone["user_id"], &gone["online"]), (&json!(home.bob.id), &json!(false)));
    assert!(gone["last_seen"].is_string(), "{gone}");
    let _back = home.world.peer(&home.bob.token).await;
    let _more = home.world.peer(&home.bob.token).await;
    let back = home.ann.peer.expect("presence").await;
    assert_eq!(back, json!({ "user_id": home.bob.id, "online": true }));
    // Sam shares nothing with Ann; Carl's `sync` was refused.
    let mut sam = stranger;
    sam.peer.say(r#"42["disconnect"]"#);
    sam.peer.ended().await;
    home.ann.peer.quiet().await;
    carl.peer.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_who_was_away_catches_up_by_sync() {
    let mut home = Home::open().await;
    let id = home.conversation;
    let page = home.ann.peer.ask("sync", json!({ "conversation_id": id, "since": 0 })).await;
    let since = page["revision"].clone();
    home.ann.peer.say(r#"42["disconnect"]"#);
    home.ann.peer.ended().await;
    for n in 0..250 {
        home.bob.peer.emit("message", home.words(&format!("m{n}")));
    }
    home.bob.peer.heard().await;
    let mut back = home.world.peer(&home.ann.token).await;
    back.join(id).await;
    home.bob.peer.succeed("message", home.words("live")).await;
    assert_eq!(back.expect("message").await["message"]["content"], "live");
    let (mut since, mut texts) = (since, Vec::new());
    loop {
        let ask = json!({ "conversation_id": id, "since": since, "limit": 200 });
        let page = back.ask("sync", ask).await;
        since = page["revision"].clone();
        let messages = page["messages"].as_array().unwrap();
        texts.extend(messages.iter().map(|m| m["content"].as_str().unwrap().to_owned()));
        if page["more"] == false {
            break;
        }
    }
    let mut expected: Vec<_> = (0..250).map(|n| format!("m{n}")).collect();
    expected.push("live".to_owned());
    assert_eq!(texts, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_a_direct_conversation_shows_on_its_newest_message() {
    let mut home = Home::open().await;
    // As another dialect would make it.
    let store = home.world.store().await;
    let (ann, bob) = (UserId::new(home.ann.id), UserId::new(home.bob.id));
    let direct = store.open_direct(ann, bob).await.unwrap().id.get();
    let words = |text: &str| json!({ "conversation_id": direct, "text_message": text });
    home.ann.peer.join(direct).await;
    home.bob.peer.quiet().await;
    // It comes into being with its first message.
    home.ann.peer.succeed("message", words("one")).await;
    let invited = json!({ "conversation_id": direct, "event": "invite" });
    assert_eq!(home.bob.peer.heard().await, [("conversation".to_owned(), invited)]);
    home.ann.peer.heard().await;
    let newest = home.ann.peer.ask("message", words("two")).await["message_id"].clone();
    home.ann.peer.heard().await;
    let mut phone = home.world.peer(&home.ann.token).await;
    phone.join(direct).await;
    phone.ask("history", json!({ "conversation_id": direct })).await;

    home.bob.peer.join(direct).await;
    let read = home.bob.peer.ask("read", json!({ "conversation_id": direct, "seq": 2 })).await;
    assert_eq!(read["success"], true);
    let update = json!({ "conversation_id": direct, "message_id": newest, "event": "update" });
    let update = ("message".to_owned(), update);
    assert_eq!(home.ann.peer.heard().await, std::slice::from_ref(&update));
    let read = json!({ "conversation_id": direct, "user_id": home.bob.id, "seq": 2 });
    assert_eq!(phone.heard().await, [("read".to_owned(), read), update]);
    // What clients then fetch carries the time.
    let page = phone.ask("history", json!({ "conversation_id": direct })).await;
    for message in page["messages"].as_array().unwrap() {
        assert!(message["read"].is_string(), "{message}");
    }
    // Nobody else may come in, or change anything.
    let mut carl = home.carl().await;
    carl.peer.fail("join_conversation", json!({ "conversation_id": direct })).await;
    let wish = json!({
        "token": home.ann.token, "conversation_id": direct, "email": carl.email,
    });
    assert_eq!(home.world.post("/conversation/invite", wish).await.0, 403);
}
