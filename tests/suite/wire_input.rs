//! JSON of strangers: what it may cost, and what is taken of the forms that clients get wrong.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use futures_util::future::join_all;
use serde_json::json;

use crate::support::house::House;
use crate::support::raw::Raw;
use crate::support::site::{Process, Site};
use crate::support::world::World;

const MEBI: usize = 1 << 20;

/// Mebibytes of memory that a server holds at most while something happens, beyond what it
/// holds before.
pub(crate) async fn growth(server: &Process, work: impl Future<Output = ()>) -> u64 {
    let before = server.memory();
    let mut most = before;
    let mut work = std::pin::pin!(work);
    loop {
        let step = tokio::time::timeout(Duration::from_millis(5), &mut work).await;
        most = most.max(server.memory());
        if step.is_ok() {
            return (most - before) >> 10;
        }
    }
}

/// JSON that costs as a tree many times what it costs as a text.
fn dear(bytes: usize) -> String {
    format!("[{}{{}}]", "{\"\":0},".repeat(bytes / 7))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_of_strangers_cost_little_more_than_their_bytes() {
    let site = Site::new();
    let server = site.start().await;
    let http = reqwest::Client::new();
    let url = format!("{}/account/login", server.url);
    let body = format!(r#"{{"email":"a@b.c","x":{},"password":"p"}}"#, dear(MEBI - 100));
    let login = async |body: String| {
        let answer = http.post(&url).body(body).send().await.expect("an answer");
        answer.status().as_u16()
    };
    assert_eq!(login(r#"{"email":"a@b.c","password":"p"}"#.to_owned()).await, 404);
    let grown = growth(&server, async {
        let all = join_all((0..30).map(|_| login(body.clone()))).await;
        // Some are too many in too short a time; none is too expensive.
        assert!(all.iter().all(|status| [404, 413, 429].contains(status)), "{all:?}");
    });
    let grown = grown.await;
    // The bodies themselves may be there twice, as they come and in one piece.
    assert!(grown < 120, "{grown} MiB");
    server.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_giant_frame_of_members_chat_is_told_so_and_not_looked_into() {
    let site = Site::new();
    let ann = site.person("ann").await;
    site.person("bob").await;
    site.run(&["user", "set", "ann@example.org", "--employee"]).await;
    let server = site.start().await;
    let base = server.url.replace("http", "ws");
    let mut raw = Raw::connect(&format!("{base}/members/chat/?other_member_id=2"), &[]).await;
    raw.send(format!("Bearer {ann}")).await;
    raw.text().await;
    let frame = format!(r#"{{"type":"text","x":{}}}"#, dear(15 * MEBI));
    let grown = growth(&server, async {
        raw.send(frame).await;
        let told = raw.json().await;
        assert_eq!((&told["code"], &told["limit"]), (&json!("text_too_long"), &json!(8192)));
        // Words are no different.
        raw.send("x".repeat(2 * MEBI)).await;
        assert_eq!(raw.json().await["code"], "text_too_long");
    });
    let grown = grown.await;
    assert!(grown < 100, "{grown} MiB");
    raw.send("still here").await;
    let echo = raw.json().await;
    assert_eq!(echo["text"], "still here", "{echo}");
    server.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_and_frames_of_the_dialects_cost_little_more_than_their_bytes() {
    let site = Site::new();
    let ann = site.person("ann").await;
    let server = site.start().await;
    let base = server.url.replace("http", "ws");
    let mut courier = Raw::connect(&format!("{base}/courier"), &[]).await;
    courier.send(ann.clone()).await;
    courier.text().await;
    let mut events =
        Raw::connect(&format!("{base}/socket.io/?EIO=4&transport=websocket"), &[]).await;
    events.text().await;
    events.send("40").await;
    events.text().await;
    events.send(format!(r#"420["authenticate",{{"token":"{ann}"}}]"#)).await;
    let dear = dear(MEBI - 1000);
    let grown = growth(&server, async {
        courier.send(format!(r#"{{"type":"dance","x":{dear}}}"#)).await;
        assert_eq!(courier.json().await["code"], "unknown_type");
        events.send(format!(r#"421["read",{{"x":{dear}}}]"#)).await;
        while !events.text().await.starts_with("431") {}
    });
    let grown = grown.await;
    assert!(grown < 40, "{grown} MiB");
    server.kill().await;
}

/// `1.0` and `1e0` are 1, a byte order mark is none of JSON, half of a character is U+FFFD.
#[tokio::test]
async fn numbers_and_texts_are_taken_as_clients_write_them() {
    let house = House::open().await;
    let ann = house.person("ann").await;
    let bob = house.person("bob").await;
    let circle = house.circle(&ann, &[&bob]).await;
    let raw = async |path: &str, body: String| {
        house.send(Request::post(path).body(Body::from(body)).expect("a request")).await
    };
    let first = format!(
        "\u{FEFF}{{\"token\":\"{ann}\",\"email\":\"bob@example.org\",\"circle_id\":{circle}.0,\
         \"text_message\":\"cut \\ud83d\"}}"
    );
    let begun = raw("/message/first-message", first).await;
    assert_eq!(begun.status, 200, "{begun:?}");
    let id = begun.body["conversation_id"].as_i64().expect("an id");
    let forms = [format!("{id}.0"), format!("{id}e0"), format!("{id}.000E+0"), format!("{id}0e-1")];
    for form in forms {
        let shown =
            raw("/conversation/info", format!(r#"{{"token":"{ann}","conversation_id":{form}}}"#));
        let shown = shown.await;
        assert_eq!(shown.status, 200, "{form}");
        assert_eq!(shown.body["content"]["messages"][0]["content"], "cut \u{FFFD}");
    }
    for form in [format!("{id}.5"), "1e400".to_owned(), "0.1e0".to_owned()] {
        let body = format!(r#"{{"token":"{ann}","conversation_id":{form}}}"#);
        assert!([400, 406].contains(&raw("/conversation/info", body).await.status), "{form}");
    }
    let login = r#"{"email":"ann@example.org","password":"secret"}"#;
    assert_eq!(raw("/auth/login", format!("\u{FEFF}{login}")).await.status, 200);
    assert_eq!(raw("/auth/login", format!("\u{FEFF}\u{FEFF}{login}")).await.status, 422);
}

/// The same on the sockets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_sockets_take_numbers_and_texts_alike() {
    let world = World::open().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let circle = world.circle(&ann, &[&bob]).await;
    let conversation = world.conversation(circle, &ann, &bob).await;
    let mut peer = world.peer(&ann.token).await;
    peer.say(format!(r#"42["join_conversation",{{"conversation_id":{conversation}.0}}]"#));
    peer.expect("success").await;
    let text = format!(
        r#"42["message",{{"conversation_id":{conversation}e0,"text_message":"cut \ud83d"}}]"#
    );
    peer.say(text);
    peer.expect("success").await;
    let said = peer.expect("message").await;
    assert_eq!(said["message"]["content"], "cut \u{FFFD}", "{said}");

    let base = world.url().replace("http", "ws");
    let mut raw = Raw::connect(&format!("{base}/courier"), &[]).await;
    raw.send(format!("\u{FEFF}{{\"token\":\"{}\",\"extras\":true}}", bob.token)).await;
    raw.text().await;
    let opening = "\u{FEFF}{\"type\":\"init_personal\",\"conv_id\":\"a\",\"member\":[1.0,2e0]}";
    raw.send(opening).await;
    while !raw.text().await.contains("db_conv_id") {}
    raw.send(r#"{"type":"personal","conv_id":"a","msg":"cut \ud83d","client_ref":"r"}"#).await;
    while !raw.text().await.contains("client_ref") {}
    raw.send(r#"{"type":"history","conv_id":"a","limit":1.0}"#).await;
    let page = loop {
        let frame = raw.json().await;
        if frame["type"] == "history" {
            break frame;
        }
    };
    assert_eq!(page["messages"][0]["msg"], "cut \u{FFFD}", "{page}");
}

#[tokio::test]
async fn a_password_is_the_same_however_its_letters_are_put_together() {
    let house = House::open().await;
    let (composed, decomposed) = ("pässwörd", "pa\u{308}sswo\u{308}rd");
    let register = async |name: &str, password: &str| {
        let new = json!({
            "email": format!("{name}@example.org"), "password": password, "first_name": name,
            "last_name": "Lee", "birthday": "1990-12-25",
        });
        assert_eq!(house.post("/account/create", new).await.status, 201);
    };
    let log_in = async |name: &str, password: &str| {
        let body = json!({ "email": format!("{name}@example.org"), "password": password });
        house.post("/account/login", body).await.status
    };
    register("ann", decomposed).await;
    register("bob", composed).await;
    for name in ["ann", "bob"] {
        for password in [composed, decomposed] {
            assert_eq!(log_in(name, password).await, 200, "{name} {password:?}");
        }
        assert_eq!(log_in(name, "passwörd").await, 401);
    }
    // A hash of the bytes as they were typed, from before there was a normal form.
    let typed = {
        use argon2::password_hash::PasswordHasher as _;
        argon2::Argon2::default().hash_password(decomposed.as_bytes()).unwrap().to_string()
    };
    let change = klatsch::service::UserChange {
        password_hash: Some(Some(typed)),
        ..klatsch::service::UserChange::default()
    };
    let ann = klatsch::domain::UserId::new(1);
    house.store.change_user(ann, change).await.expect("a change");
    assert_eq!(log_in("ann", composed).await, 401, "nobody can know what it was");
    assert_eq!(log_in("ann", decomposed).await, 200);
    assert_eq!(log_in("ann", composed).await, 200, "it was renewed");
}
