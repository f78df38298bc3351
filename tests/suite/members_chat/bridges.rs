//! What is said here, read by NEO, and the other way round.

use serde_json::{Value, json};

use super::{Member, Town, file, id, text, undated};
use crate::support::world::Peer;

async fn neo(town: &Town, member: &Member, chat: &Value) -> Peer {
    let mut peer = town.world.peer(&member.token).await;
    peer.join(chat.as_i64().unwrap()).await;
    peer
}

/// Conformance check 10.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neo_reads_what_is_said_here() {
    let town = Town::open().await;
    let (ann, bob) = (town.member("ann").await, town.member("bob").await);
    let (smile, smile_file) = town.smile(&town.root().await, 5).await;
    let mut a = town.chat(&ann, &bob).await;
    a.send("hello").await;
    let chat = a.json().await["chat_id"].clone();
    let mut peer = neo(&town, &bob, &chat).await;
    a.send("hi").await;
    let echo = a.json().await;
    let heard = peer.expect("message").await;
    assert_eq!((&heard["conversation_id"], &heard["status"]), (&chat, &json!("done")));
    assert_eq!(
        (&heard["message"]["content"], &heard["message"]["id"]),
        (&json!("hi"), &echo["id"])
    );
    assert_eq!(heard["media_list"], json!([]));
    a.send_json(&json!({ "type": "smile", "smile_id": smile })).await;
    a.json().await;
    let heard = peer.expect("message").await;
    assert_eq!((&heard["message"]["content"], &heard["status"]), (&json!(""), &json!("done")));
    let picture = heard["media_list"][0].clone();
    assert_eq!(heard["media_list"].as_array().unwrap().len(), 1);
    a.send_bytes(file(r#"{"name":"a b.txt","type":"text/plain","text":"look"}"#, b"bytes")).await;
    a.json().await;
    let heard = peer.expect("message").await;
    assert_eq!((&heard["message"]["content"], &heard["status"]), (&json!("look"), &json!("done")));
    let attached = heard["media_list"][0].clone();
    // Both can be read like any file of NEO, and nobody can bring other bytes.
    for (media, bytes, mime) in
        [(&picture, super::PNG, "image/png"), (&attached, b"bytes", "text/plain")]
    {
        let url = format!("{}/media/file/{}", town.world.url(), media["id"]);
        let answer = town.http.get(url).header("authorization", &bob.token).send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], mime);
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        assert_eq!(answer.bytes().await.unwrap(), bytes);
        let part = reqwest::multipart::Part::bytes(b"other".to_vec()).file_name("x");
        let form = reqwest::multipart::Form::new().part("file", part);
        let url = format!("{}/media/upload/{}", town.world.url(), media["id"]);
        let answer = town.http.post(url).header("authorization", &ann.token).multipart(form);
        assert_eq!(answer.send().await.unwrap().status(), 403);
    }
    // Taken from the message, the smile's own file stays.
    let (mut extras, _) = town.open_with(&bob, &ann, "&extras=1").await;
    extras.json().await;
    let delete = json!({ "token": ann.token, "media_id": picture["id"] });
    town.world.ok("/media/delete", delete).await;
    extras.reads(json!({ "type": "deleted", "id": id(&echo) + 1, "chat_id": chat })).await;
    let (_, history) = town.open_with(&bob, &ann, "").await;
    assert_eq!(
        history.iter().map(|one| one["type"].as_str().unwrap()).collect::<Vec<_>>(),
        ["text", "text", "file"]
    );
    assert_eq!(town.fetch(&json!(smile_file)).await.0, 200);
    a.send_json(&json!({ "type": "smile", "smile_id": smile })).await;
    assert_eq!(a.json().await["smile_file_uuid"], smile_file);
}

/// Conformance check 10.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_neo_says_is_read_here() {
    let town = Town::open().await;
    let (ann, bob) = (town.member("ann").await, town.member("bob").await);
    let (mut a, mut b) = (town.chat(&ann, &bob).await, town.chat(&bob, &ann).await);
    a.send("hello").await;
    let first = a.json().await;
    let chat = first["chat_id"].clone();
    b.json().await;
    let mut peer = neo(&town, &ann, &chat).await;
    let words = json!({ "conversation_id": chat, "text_message": "hi" });
    assert_eq!(peer.ask("message", words).await["success"], true);
    for raw in [&mut a, &mut b] {
        let heard = raw.json().await;
        let expected = json!({
            "id": id(&heard), "member_id": ann.id, "chat_id": chat, "type": "text", "text": "hi",
        });
        assert_eq!(undated(heard), expected);
    }
    let empty = json!({ "conversation_id": chat, "text_message": "" });
    assert_eq!(peer.ask("message", empty).await["success"], true);
    let with_files = json!({
        "conversation_id": chat, "text_message": "look", "files": ["cat.png", "dog.txt"],
    });
    assert_eq!(peer.ask("message", with_files).await["success"], true);
    b.reads_nothing().await;
    let heard = peer.heard().await;
    let (_, announced) = heard.iter().find(|(channel, _)| channel == "media").unwrap();
    let medias = announced["media_list"].as_array().unwrap().clone();
    for (media, bytes) in medias.iter().zip([super::PNG, b"woof"]) {
        b.reads_nothing().await;
        town.world
            .upload(&ann.token, &media["id"], media["identifier"].as_str().unwrap_or("x"), bytes)
            .await;
    }
    let shown = b.json().await;
    assert_eq!(shown["type"], "file");
    assert_eq!(
        town.fetch(&shown["file_uuid"]).await,
        (200, "image/png".into(), super::PNG.to_vec())
    );
    let (words, line) = text(&shown).split_once('\n').unwrap();
    let (name, url) = line.split_once(": ").unwrap();
    assert_eq!((words, name), ("look", "dog.txt"));
    let woof = url.strip_prefix("/storage?uuid=").unwrap();
    assert_eq!(town.fetch(&json!(woof)).await.2, b"woof");
    assert_eq!(a.json().await, shown);
    b.reads_nothing().await;
    // Edited and removed, without extras: only the next history knows.
    let (mut extras, _) = town.open_with(&bob, &ann, "&extras=1").await;
    extras.json().await;
    let edit = json!({ "token": ann.token, "message_id": first["id"], "text_content": "hello!" });
    town.world.ok("/message/update", edit).await;
    let edited = extras.json().await;
    assert_eq!((&edited["type"], &edited["kind"]), (&json!("edited"), &json!("text")));
    assert_eq!((&edited["text"], &edited["id"]), (&json!("hello!"), &first["id"]));
    let delete = json!({ "token": ann.token, "message_id": id(&first) + 1 });
    town.world.ok("/message/delete", delete).await;
    extras.reads(json!({ "type": "deleted", "id": id(&first) + 1, "chat_id": chat })).await;
    b.reads_nothing().await;
    let (_, history) = town.open_with(&bob, &ann, "").await;
    let texts: Vec<_> = history.iter().map(text).collect();
    assert_eq!(texts[0], "hello!");
    assert_eq!(texts.len(), 2, "{texts:?}");
}
