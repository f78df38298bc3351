//! Messages on the wire (NEO 4.3, 4.4): order for the emitter, files, changes, references.

use serde_json::{Value, json};

use super::Home;

#[tokio::test(flavor = "multi_thread")]
async fn the_emitter_hears_files_then_success_then_its_own_message() {
    let mut home = Home::open().await;
    let mut asides = home.world.peer(&home.ann.token).await;
    for (files, channels) in [
        (None, &["success", "message"][..]),
        (Some(json!([])), &["media", "success", "message"]),
        (Some(json!(["a.txt", ["b", 1], "c"])), &["media", "success", "message"]),
    ] {
        let mut words = home.words("look");
        if let Some(files) = &files {
            words["files"] = files.clone();
        }
        home.ann.peer.emit("message", words);
        let heard = home.ann.peer.heard().await;
        let order: Vec<_> = heard.iter().map(|(channel, _)| channel.as_str()).collect();
        assert_eq!(order, channels);
        let (message, success) = (&heard[heard.len() - 1].1, &heard[heard.len() - 2].1);
        assert_eq!(success["message_id"], message["message"]["id"]);
        let count = files.as_ref().map_or(0, |files| files.as_array().unwrap().len());
        assert_eq!(message["message"]["medias"], count);
        if let ("media", announced) = (heard[0].0.as_str(), &heard[0].1) {
            assert_eq!(announced["message_id"], success["message_id"]);
            let list = announced["media_list"].as_array().unwrap();
            assert_eq!(list.len(), count);
            let names: Vec<_> = list.iter().map(|media| media["identifier"].clone()).collect();
            let expected: &[&str] = if count == 0 { &[] } else { &["a.txt", r#"["b",1]"#, "c"] };
            assert_eq!(names, expected);
        }
        let status = if count == 0 { "done" } else { "pending" };
        assert_eq!(message["status"], status);
        // Others in the room hear the message alone, who has not joined hears nothing.
        let others = home.bob.peer.heard().await;
        assert_eq!(others, heard[heard.len() - 1..]);
        asides.quiet().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sent_over_http_is_heard_before_the_answer() {
    let mut home = Home::open().await;
    let letter = json!({
        "token": home.bob.token, "conversation_id": home.conversation, "text_message": "letter",
    });
    let sent = home.world.ok("/message/send", letter).await;
    let (heard, echo) = (home.ann.peer.heard().await, home.bob.peer.heard().await);
    assert_eq!(heard, echo);
    let [(channel, message)] = heard.as_slice() else { panic!("{heard:?}") };
    assert_eq!((channel.as_str(), &message["message"]["id"]), ("message", &sent["message_id"]));
    assert_eq!(message["message"]["content"], "letter");
    assert_eq!(message["sender"]["email"], home.bob.email);
    assert!(message["message"]["link_id"].is_i64());

    let id = sent["message_id"].clone();
    let edit = json!({ "token": home.bob.token, "message_id": id, "text_content": "note" });
    home.world.ok("/message/update", edit).await;
    let delete = json!({ "token": home.bob.token, "message_id": id });
    home.world.ok("/message/delete", delete).await;
    let notice = |event: &str| {
        let notice =
            json!({ "conversation_id": home.conversation, "message_id": id, "event": event });
        ("message".to_owned(), notice)
    };
    let expected = [notice("update"), notice("delete")];
    assert_eq!(home.ann.peer.heard().await, expected);
    assert_eq!(home.bob.peer.heard().await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_file_that_arrives_is_told_once() {
    let mut home = Home::open().await;
    let mut words = home.words("two");
    words["files"] = json!(["a.txt", "b"]);
    home.ann.peer.emit("message", words);
    let list = home.ann.peer.expect("media").await["media_list"].clone();
    home.ann.peer.heard().await;
    home.bob.peer.heard().await;
    let mut before = Value::Null;
    for (at, name) in ["a.txt", "../../b"].into_iter().enumerate() {
        home.world.upload(&home.ann.token, &list[at]["id"], name, b"words").await;
        let heard = home.bob.peer.heard().await;
        assert_eq!(heard, home.ann.peer.heard().await);
        let [(channel, done)] = heard.as_slice() else { panic!("{heard:?}") };
        assert_eq!((channel.as_str(), &done["status"]), ("message", &json!("done")));
        assert_eq!(done["media"]["id"], list[at]["id"]);
        assert_eq!(done["media"]["uploaded"], "True");
        assert_eq!(done["media_list"].as_array().unwrap().len(), 2);
        assert_eq!(done["time"], done["message"]["sent"]);
        assert!(!done["media"]["filename"].as_str().unwrap().contains('/'), "{done}");
        // A new revision each time, the same place.
        assert_ne!(done["message"]["revision"], before["message"]["revision"]);
        before = done.clone();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_reference_gets_the_first_answer_and_stores_nothing() {
    let mut home = Home::open().await;
    let mut words = home.words("once");
    words["client_ref"] = "r-1".into();
    words["files"] = json!(["a", "b"]);
    home.ann.peer.emit("message", words.clone());
    let first = home.ann.peer.heard().await;
    home.ann.peer.emit("message", words.clone());
    let again = home.ann.peer.heard().await;
    // Files and receipt as before; no message, for there is no new one.
    assert_eq!(again, first[..2]);
    // Also on another connection of the same person.
    let mut phone = home.world.peer(&home.ann.token).await;
    phone.emit("message", words.clone());
    assert_eq!(phone.heard().await, first[..2]);
    assert_eq!(home.bob.peer.heard().await.len(), 1);
    // Another person's reference of the same name is another one.
    home.bob.peer.emit("message", words.clone());
    let other = home.bob.peer.heard().await;
    assert_eq!(other.len(), 3);
    assert_ne!(other[1], first[1]);
    for wrong in [json!(""), json!("x".repeat(65)), json!(7)] {
        words["client_ref"] = wrong;
        home.ann.peer.heard().await;
        home.ann.peer.fail("message", words.clone()).await;
    }
    words["client_ref"] = "é".repeat(64).into();
    home.ann.peer.emit("message", words);
    assert_eq!(home.ann.peer.heard().await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_come_back_as_typed() {
    let mut home = Home::open().await;
    let longest = "😀".repeat(8192);
    for text in ["", " ", "é😀 日本", "<b>&amp;</b>", "a\u{1F}\n\t\"\\", &longest] {
        home.bob.peer.succeed("message", home.words(text)).await;
        for peer in [&mut home.ann.peer, &mut home.bob.peer] {
            assert_eq!(peer.expect("message").await["message"]["content"], text);
        }
    }
    home.bob.peer.succeed("message", home.words("a\0b")).await;
    assert_eq!(home.ann.peer.expect("message").await["message"]["content"], "ab");
    home.bob.peer.expect("message").await;
    // No text at all is an empty one; one too long is refused.
    home.bob.peer.succeed("message", home.here()).await;
    assert_eq!(home.bob.peer.expect("message").await["message"]["content"], "");
    home.bob.peer.fail("message", home.words(&"x".repeat(8193))).await;
}
