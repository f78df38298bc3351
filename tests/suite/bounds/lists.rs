//! Lists: how much memory one costs, how many an account has under way, and how often the database is asked.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use super::{host, rest, say};
use crate::support::raw::Raw;
use crate::support::site::{Process, Site};
use crate::wire_input::growth;

/// How many messages are in the large conversation, and how long each is.
const MESSAGES: i64 = 1000;
const LETTERS: i64 = 32_000;

/// The database of a server, beside it.
fn database(site: &Site) -> rusqlite::Connection {
    let db = rusqlite::Connection::open(site.database()).unwrap();
    db.busy_timeout(Duration::from_secs(30)).unwrap();
    db
}

fn site() -> Site {
    Site::new().set("LIMITS__REQUESTS_PER_SECOND", "10000")
}

/// A server with a conversation of Ann (1) and Bob (2) that holds much, and their tokens.
async fn library(site: &Site) -> (Process, [String; 2]) {
    let tokens = [site.person("ann").await, site.person("bob").await];
    let server = site.start().await;
    let db = database(site);
    db.execute_batch(&format!(
        "INSERT INTO circles (id, name, created_at, updated_at) VALUES (1, 'Home', 0, 0);
         INSERT INTO circle_members (circle_id, user_id, privilege, keeper, created_at, updated_at)
         VALUES (1, 1, 'REGULAR', 1, 0, 0), (1, 2, 'REGULAR', 0, 0, 0);
         INSERT INTO devices (id, circle_id, live, name, username, password_hash, activation_key, activated, created_at,
             updated_at)
         VALUES (1, 1, 1, 'Hall', 'HALL', '', '', 1, 0, 0);
         INSERT INTO conversations (id, kind, access, title, description, circle_id, device_access, created_at,
             updated_at)
         VALUES (1, 1, 0, 'Tales', '', 1, 1, 0, 0);
         INSERT INTO conversation_heads (conversation_id, last_seq, last_revision) VALUES (1, {MESSAGES}, {MESSAGES});
         INSERT INTO members (id, conversation_id, user_id, role, live, joined_seq, created_at, updated_at,
             delivered_shown, read_shown, read_seq, courier_shown)
         VALUES (11, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0), (12, 1, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MESSAGES})
         INSERT INTO messages (id, conversation_id, seq, revision, shown, sender, link_id, client_key, kind, text,
             media_count, awaited, created_at)
         SELECT i, 1, i, i, i,
             CASE i % 3 WHEN 0 THEN -1 ELSE i % 3 END, CASE i % 3 WHEN 0 THEN NULL ELSE 10 + i % 3 END,
             randomblob(16), 0, printf('\"%d ', i) || substr(hex(zeroblob({LETTERS})), 1, {LETTERS}), 0, 0, 0 FROM n;
         UPDATE messages SET deleted_at = 1, text = '' WHERE id % 100 = 50;"
    ))
    .unwrap();
    (server, tokens)
}

/// What is answered, as it comes.
async fn post(server: &Process, path: &str, body: &Value) -> String {
    let url = format!("{}{path}", server.url);
    let answer = reqwest::Client::new().post(url).json(body).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    answer.text().await.unwrap()
}

fn ids(messages: &Value) -> Vec<i64> {
    messages.as_array().unwrap().iter().map(|message| message["id"].as_i64().unwrap()).collect()
}

/// Large answers cost little memory, however many are asked for, and are what they always were.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_answers_are_sent_piece_by_piece() {
    let site = site();
    let (server, [ann, bob]) = library(&site).await;
    let asked = json!({ "token": ann, "conversation_id": 1 });
    let listed = json!({ "token": ann, "conversation_id": 1, "quantity": 10_000 });
    let device = json!({ "token": ann, "device_id": 1 });
    // What the database keeps in memory is there whoever asks.
    post(
        &server,
        "/conversation/info",
        &json!({ "token": bob, "conversation_id": 1, "latest": 1 }),
    )
    .await;
    let mut answers = Vec::new();
    let grown = growth(&server, async {
        let many = [
            ("/conversation/info", &asked),
            ("/conversation/info", &asked),
            ("/conversation/info", &asked),
            ("/conversation/message/list", &listed),
            ("/device/info", &device),
        ];
        answers = join_all(many.map(|(path, body)| post(&server, path, body))).await;
    });
    let grown = grown.await;
    assert!(grown < 60, "{grown} MiB");

    let there: Vec<_> = (1..=MESSAGES).filter(|id| id % 100 != 50).collect();
    let by = |rest: i64| there.iter().copied().filter(|id| id % 3 == rest).collect::<Vec<_>>();
    let read = |text: &str| {
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(value.to_string(), text, "nothing but what has to be");
        assert_eq!(value["success"], true);
        value["content"].clone()
    };
    let keys = |value: &Value| -> Vec<_> { value.as_object().unwrap().keys().cloned().collect() };
    assert!(answers[0] == answers[1] && answers[0] == answers[2]);
    assert!(answers[0].starts_with(r#"{"success":true,"content":{"id":1,"name":"Tales","#));
    let info = read(&answers[0]);
    let names =
        ["id", "name", "created", "updated", "device_access", "circle", "links", "messages"];
    assert_eq!(keys(&info), names);
    assert_eq!(ids(&info["messages"]), there);
    let (anns, bobs) = (&info["links"][0], &info["links"][1]);
    let names = [
        "id",
        "created",
        "updated",
        "privilege",
        "user_id",
        "conversation_id",
        "circle_id",
        "messages",
    ];
    assert_eq!(keys(anns), names);
    assert_eq!((ids(&anns["messages"]), ids(&bobs["messages"])), (by(1), by(2)));
    assert_eq!(anns["messages"][0], info["messages"][0]);
    assert_eq!(info["messages"][0]["content"].as_str().unwrap().len() as i64, LETTERS + 3);
    let list = read(&answers[3]);
    assert_eq!(ids(&list), there);
    assert_eq!(
        (&list[0]["link"]["id"], &list[2]["device"]["username"]),
        (&json!(11), &json!("HALL"))
    );
    let device = read(&answers[4]);
    assert_eq!(ids(&device["messages"]), by(0));
    assert_eq!((&device["username"], &device["circle"]["id"]), (&json!("HALL"), &json!(1)));
    server.kill().await;
}

/// The head of an answer, which is not read any further.
async fn begin(server: &Process, token: &str) -> TcpStream {
    let body = json!({ "token": token, "conversation_id": 1 }).to_string();
    let request = format!(
        "POST /conversation/info HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        host(server),
        body.len()
    );
    say(server, request).await
}

/// An account is sent one large answer at a time; other accounts, and what is small, go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_large_answer_of_an_account_waits_for_the_first() {
    let site = site();
    let (server, [ann, bob]) = library(&site).await;
    let mut first = begin(&server, &ann).await;
    let mut head = [0; 12];
    first.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    let mut second = begin(&server, &ann).await;
    let gone = begin(&server, &ann).await;
    drop(gone);
    // A whole one of somebody else, and what else Ann's clients ask for.
    let whole = rest(&mut begin(&server, &bob).await).await;
    // Two of three stand under a member once more.
    assert!(whole.len() as i64 > (MESSAGES - 10) * LETTERS * 3 / 2);
    for path in ["/user/info", "/circle/list"] {
        post(&server, path, &json!({ "token": ann })).await;
    }
    let mut byte = [0; 1];
    assert!(second.peek(&mut byte).now_or_never().is_none(), "the first is under way");
    // One that breaks off lets the next go on.
    drop(first);
    let answer = rest(&mut second).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.len() > whole.len() - 1000);
    server.kill().await;
}

/// How often the server has asked the database.
async fn reads(server: &Process) -> i64 {
    let page = reqwest::get(format!("{}/metrics", server.url)).await.unwrap().text().await.unwrap();
    let line = page.lines().find_map(|line| line.strip_prefix("klatsch_database_reads_total "));
    line.expect("it is counted").parse().unwrap()
}

/// Gives Ann (1) circles with devices, invitations, groups, and dialogs with unread messages; `from` up to `to` of each.
fn fill(site: &Site, from: i64, to: i64) {
    database(site)
        .execute_batch(&format!(
            "CREATE TEMP TABLE n AS WITH RECURSIVE n(i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM n WHERE i < {to})
                 SELECT i FROM n;
             INSERT INTO users (id, email, email_key, username, first_name, last_name, created_at, updated_at, is_active,
                 is_superuser, is_staff, is_employee, balance)
             SELECT 100 + i, 'u' || i || '@x.org', 'u' || i || '@x.org', 'u' || i, 'U' || i, 'Lee', 0, 0, 1, 0, 0, 0, 0
             FROM n;
             INSERT INTO circles (id, name, created_at, updated_at) SELECT 1000 + i, 'c' || i, 0, 0 FROM n;
             INSERT INTO circles (id, name, created_at, updated_at) SELECT 5000 + i, 'i' || i, 0, 0 FROM n;
             INSERT INTO circle_members (circle_id, user_id, privilege, keeper, created_at, updated_at)
             SELECT 1000 + i, 1, 'REGULAR', 1, 0, 0 FROM n;
             INSERT INTO circle_invites (circle_id, user_id, created_at, updated_at) SELECT 5000 + i, 1, 0, 0 FROM n;
             INSERT INTO devices (circle_id, live, name, username, password_hash, activation_key, activated, created_at,
                 updated_at)
             SELECT 1000 + i, 1, 'd' || i, 'D' || i, '', '', 1, 0, 0 FROM n;
             INSERT INTO conversations (id, kind, access, title, description, device_access, direct_low, direct_high,
                 shown_since, created_at, updated_at)
             SELECT 10000 + i, 0, 0, '', '', 0, 1, 100 + i, 1, 0, 0 FROM n
             UNION ALL SELECT 20000 + i, 1, 0, 'g' || i, '', 0, NULL, NULL, NULL, 0, 0 FROM n;
             INSERT INTO conversation_heads (conversation_id, last_seq, last_revision)
             SELECT 10000 + i, 2, 2 FROM n UNION ALL SELECT 20000 + i, 0, 0 FROM n;
             INSERT INTO members (conversation_id, user_id, role, live, joined_seq, created_at, updated_at,
                 delivered_shown, read_shown, read_seq, courier_shown)
             SELECT id, 1, 0, 1, 0, 0, 0, 90000000, 0, 0, 90000000 FROM conversations
                 WHERE id - 10000 IN (SELECT i FROM n) OR id - 20000 IN (SELECT i FROM n)
             UNION ALL SELECT 10000 + i, 100 + i, 0, 1, 0, 0, 0, 0, 0, 0, 0 FROM n
             UNION ALL SELECT 20000 + i, 100 + m.j, 0, 1, 0, 0, 0, 0, 0, 0, 0 FROM n, (SELECT i AS j FROM n) AS m;
             INSERT INTO messages (id, conversation_id, seq, revision, shown, sender, client_key, kind, text, media_count,
                 awaited, created_at)
             SELECT 100000 + 10 * i + s, 10000 + i, s, s, 100000 + 10 * i + s, CASE s WHEN 1 THEN 100 + i ELSE 1 END,
                 randomblob(16), 0, 'x', 0, 0, 0 FROM n, (SELECT 1 AS s UNION ALL SELECT 2);
             DROP TABLE n;"
        ))
        .unwrap();
}

/// Everything that lists something of Ann's, and how often the database was asked for it.
async fn ask_for_all(server: &Process, ann: &str) -> BTreeMap<&'static str, (i64, Value)> {
    let mut asked = BTreeMap::new();
    for path in ["/circle/list", "/user/info", "/circle/info"] {
        let body = json!({ "token": ann, "circle_id": 1001 });
        let before = reads(server).await;
        let answer: Value = serde_json::from_str(&post(server, path, &body).await).unwrap();
        asked.insert(path, (reads(server).await - before, answer["content"].clone()));
    }
    let base = server.url.replace("http", "ws");
    let before = reads(server).await;
    let mut courier = Raw::connect(&format!("{base}/courier"), &[]).await;
    courier.send(json!({ "token": ann, "extras": true }).to_string()).await;
    while !courier.text().await.contains("backlog_done") {}
    asked.insert("backlog", (reads(server).await - before, Value::Null));
    let before = reads(server).await;
    courier.send_json(&json!({ "type": "conversations" })).await;
    let answer = courier.json().await;
    asked.insert("conversations", (reads(server).await - before, answer["conversations"].clone()));
    let mut chat = Raw::connect(&format!("{base}/private-chat/{ann}/nobody?extras=1"), &[]).await;
    assert_eq!(chat.json().await["type"], "user-not-found");
    let before = reads(server).await;
    chat.send_json(&json!({ "type": "dialogs" })).await;
    let answer = chat.json().await;
    asked.insert("dialogs", (reads(server).await - before, answer["value"].clone()));
    asked
}

/// Lists ask the database as often for many rows as for few.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_ask_the_database_as_often_for_many_rows_as_for_few() {
    let site = site();
    let ann = site.person("ann").await;
    let server = site.start().await;
    fill(&site, 1, 3);
    let few = ask_for_all(&server, &ann).await;
    fill(&site, 4, 60);
    let many = ask_for_all(&server, &ann).await;
    for (name, (asked, _)) in &many {
        let before = few[name].0;
        // Some are asked for in portions, and the server asks for this and that beside it.
        assert!(*asked <= before + 15, "{name}: {asked} times for 60, {before} times for 3");
    }
    let circles = many["/circle/list"].1.as_array().unwrap();
    assert_eq!(circles.len(), 60);
    assert!(circles.iter().all(|circle| circle["device"].as_i64().unwrap() > 0), "{circles:?}");
    assert_eq!(many["/user/info"].1["invites"].as_array().unwrap().len(), 60);
    assert_eq!(many["/circle/info"].1["users"].as_array().unwrap().len(), 1);
    let conversations = many["conversations"].1.as_array().unwrap();
    assert_eq!(conversations.len(), 120);
    let group = conversations.iter().find(|one| one["conv_id"] == 20_060).unwrap();
    let others: Vec<_> = (104..=160).collect();
    assert_eq!(group["member"].as_array().unwrap().len(), 1 + others.len());
    assert_eq!((&group["member"][0], &group["names"]["160"]), (&json!(1), &json!("U60 Lee")));
    let dialogs = many["dialogs"].1.as_array().unwrap();
    assert_eq!(dialogs.len(), 60);
    // The newest first; one of two messages is Ann's own.
    for (dialog, number) in dialogs.iter().zip((1..=60).rev()) {
        assert_eq!(dialog["username"], format!("u{number}"), "{dialog}");
        assert_eq!(dialog["unread"], 1, "{dialog}");
    }
    server.kill().await;
}
