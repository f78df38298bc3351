//! Commits whose answers are lost: what was stored is told once, in its order.

use std::time::Duration;

use sea_orm::{ConnectionTrait, Database as Connector};
use serde_json::{Value, json};

use super::{message, until_it_is};
use crate::support::databases::{self, Database, Server};
use crate::support::proxy::Proxy;
use crate::support::raw::{Heard, Raw};
use crate::support::site::{Frame, Gone, Site, Wire};

/// A server whose database is reached by a way that can be cut.
struct Stage {
    site: Site,
    proxy: Proxy,
    database: Database,
}

impl Stage {
    async fn set(server: &Server) -> Self {
        let database = server.database().await;
        let proxy = Proxy::start(&server.socket()).await;
        let site = Site::new()
            .set("DATABASE__URL", server.url_by(proxy.port, &database))
            .set("DATABASE__TIMEOUT", "1");
        Self { site, proxy, database }
    }
}

/// The texts that a reader hears, until the last one.
async fn hears(wire: &mut Wire, last: &str) -> Vec<String> {
    let mut heard = Vec::new();
    loop {
        let Frame::Event(channel, event) = wire.next().await.expect("it stays connected") else {
            continue;
        };
        if channel != "message" {
            continue;
        }
        let told = &event["message"]["content"];
        let text = told.as_str().or_else(|| event["event"].as_str()).unwrap_or_default();
        heard.push(text.to_owned());
        if text == last {
            return heard;
        }
    }
}

async fn join(site_url: &str, token: &str, room: i64) -> Wire {
    let mut wire = Wire::open(site_url, token).await.expect("it connects");
    wire.ask("join_conversation", &json!({ "conversation_id": room })).await.unwrap();
    wire
}

async fn say(url: &str, token: &str, room: i64, text: &str) -> Result<Value, Gone> {
    Wire::open(url, token).await?.ask("message", &message(room, text)).await
}

/// Tries until it is acknowledged.
async fn insist(url: &str, token: &str, room: i64, text: &str) -> Value {
    loop {
        if let Ok(answer) = say(url, token, room, text).await
            && answer["success"] == true
        {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Says it while answers to commits are lost, until nobody knows whether it was stored. What was surely not stored,
/// as something else was being written, is said again.
async fn say_in_doubt(lose: impl AsyncFn(bool), url: &str, token: &str, room: i64, text: &str) {
    // Who comes and goes is written down too: nobody does, so that the message's commit is the first.
    let _present = Wire::open(url, token).await.expect("it connects");
    loop {
        lose(true).await;
        let answer = say(url, token, room, text).await;
        lose(false).await;
        match answer {
            Err(Gone) => return,
            Ok(answer) if answer["code"] == "unknown" => return,
            Ok(answer) => assert_eq!(answer["code"], "unavailable", "{answer}"),
        }
        // Until something else can be written.
        let client = reqwest::Client::new();
        until_it_is(200, || {
            let body = json!({ "token": token, "name": "Tea" });
            client.post(format!("{url}/circle/create")).json(&body)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_whose_commit_was_not_answered_is_told_in_its_place() {
    for server in [databases::postgres(), databases::mariadb()].into_iter().flatten() {
        for cut in [true, false] {
            let stage = Stage::set(server).await;
            let room = stage.site.room().await;
            let (ann, bob) = (stage.site.person("ann").await, stage.site.person("bob").await);
            let process = stage.site.start().await;
            let mut reader = join(&process.url, &bob, room).await;
            insist(&process.url, &ann, room, "one").await;

            let lose = async |lose| stage.proxy.swallow_commits(lose, cut);
            say_in_doubt(lose, &process.url, &ann, room, "two").await;

            insist(&process.url, &ann, room, "three").await;
            let again = insist(&process.url, &ann, room, "two").await;
            insist(&process.url, &ann, room, "four").await;
            let heard = hears(&mut reader, "four").await;
            assert_eq!(heard, ["one", "two", "three", "four"], "{} {cut}", stage.database.name);
            let page = reader.ask("sync", &json!({ "conversation_id": room })).await.unwrap();
            assert_eq!(page["messages"][1]["id"], again["message_id"]);
            assert_eq!(page["messages"].as_array().unwrap().len(), 4);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_told_although_nobody_writes_again() {
    for server in [databases::postgres(), databases::mariadb()].into_iter().flatten() {
        let stage = Stage::set(server).await;
        let room = stage.site.room().await;
        let (ann, bob) = (stage.site.person("ann").await, stage.site.person("bob").await);
        let process = stage.site.start().await;
        let mut reader = join(&process.url, &bob, room).await;
        insist(&process.url, &ann, room, "one").await;
        let lose = async |lose| stage.proxy.swallow_commits(lose, false);
        say_in_doubt(lose, &process.url, &ann, room, "two").await;
        assert_eq!(hears(&mut reader, "two").await, ["one", "two"], "{}", stage.database.name);
    }
}

/// Courier's cursor is moved by what the client confirms: it must not pass what was never told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_courier_client_gets_what_was_in_doubt() {
    for server in [databases::postgres(), databases::mariadb()].into_iter().flatten() {
        let stage = Stage::set(server).await;
        let (ann, bob) = (stage.site.person("ann").await, stage.site.person("bob").await);
        let process = stage.site.start().await;
        let courier = format!("{}/courier", process.url.replace("http", "ws"));
        let mut reader = Raw::connect(&courier, &[]).await;
        reader.send(&bob).await;
        assert_eq!(reader.text().await, "user id 2 received");
        // Whether it was stored, as far as that was told.
        let write = async |text: &str| {
            let mut writer = Raw::connect(&courier, &[]).await;
            writer.send(&ann).await;
            assert_eq!(writer.text().await, "user id 1 received");
            let open = json!({ "conv_id": 1, "member": [2], "type": "init_personal" });
            writer.send_json(&open).await;
            let opened = writer.json().await;
            let letter =
                json!({ "msg": text, "conv_id": opened["db_conv_id"], "type": "personal" });
            writer.send_json(&letter).await;
            match writer.next().await {
                Heard::Text(text) => Some(text.contains("message_id")),
                _ => None,
            }
        };
        // Nobody comes and goes, which would be written down too.
        let mut present = Raw::connect(&courier, &[]).await;
        present.send(&ann).await;
        assert_eq!(present.text().await, "user id 1 received");
        assert_eq!(write("one").await, Some(true));
        assert_eq!(reader.json().await["msg"], "one");
        // The conversation is known already, so this concerns the message alone.
        loop {
            stage.proxy.swallow_commits(true, false);
            let stored = write("two").await;
            stage.proxy.swallow_commits(false, false);
            if stored.is_none() {
                break;
            }
            assert_eq!(stored, Some(false));
            let client = reqwest::Client::new();
            until_it_is(200, || {
                let body = json!({ "token": ann, "name": "Tea" });
                client.post(format!("{}/circle/create", process.url)).json(&body)
            })
            .await;
        }
        while write("three").await != Some(true) {}
        for text in ["two", "three"] {
            assert_eq!(reader.json().await["msg"], text, "{}", stage.database.name);
        }
        // Confirmed by the answer to a ping; nothing waits, and nothing comes again.
        reader.drain().await;
        reader.close().await;
        let mut back = Raw::connect(&courier, &[]).await;
        back.send(&bob).await;
        assert_eq!(back.text().await, "user id 2 received");
        back.reads_nothing().await;
    }
}

/// The same of what is not a message: somebody is put out while the answer is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_changes_whose_commit_was_not_answered_are_told() {
    for server in [databases::postgres(), databases::mariadb()].into_iter().flatten() {
        for cut in [true, false] {
            let stage = Stage::set(server).await;
            let room = stage.site.room().await;
            let (ann, bob) = (stage.site.person("ann").await, stage.site.person("bob").await);
            let process = stage.site.start().await;
            let mut reader = join(&process.url, &bob, room).await;
            let one = insist(&process.url, &ann, room, "one").await;

            let edit = json!({
                "token": ann, "message_id": one["message_id"], "text_content": "won",
            });
            let client = reqwest::Client::new();
            let url = format!("{}/message/update", process.url);
            loop {
                stage.proxy.swallow_commits(true, cut);
                let answer = client.post(&url).json(&edit).send().await.unwrap();
                stage.proxy.swallow_commits(false, cut);
                let said = (answer.status().as_u16(), answer.text().await.unwrap());
                // It may be found out in time.
                if said.0 == 200 || said.0 == 503 && said.1.contains("unknown") {
                    break;
                }
                assert_eq!(said.0, 503, "{said:?}");
                until_it_is(200, || {
                    let body = json!({ "token": ann, "name": "Tea" });
                    client.post(format!("{}/circle/create", process.url)).json(&body)
                })
                .await;
            }
            insist(&process.url, &ann, room, "two").await;
            let heard = hears(&mut reader, "two").await;
            assert_eq!(heard, ["one", "update", "two"], "{} {cut}", stage.database.name);
        }
    }
}

/// A standby that does not answer keeps every commit open; afterwards all of them count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_that_waited_for_a_standby_are_told() {
    let Some(server) = databases::Server::postgres() else { return };
    let database = server.database().await;
    let site = Site::new().set("DATABASE__URL", &database.url).set("DATABASE__TIMEOUT", "1");
    let room = site.room().await;
    let (ann, bob) = (site.person("ann").await, site.person("bob").await);
    let process = site.start().await;
    let mut reader = join(&process.url, &bob, room).await;
    insist(&process.url, &ann, room, "one").await;

    let operator = Connector::connect(&database.url).await.unwrap();
    let standby = async |name: &str| {
        let set = format!("ALTER SYSTEM SET synchronous_standby_names = '{name}'");
        operator.execute_unprepared(&set).await.unwrap();
        operator.execute_unprepared("SELECT pg_reload_conf()").await.unwrap();
        loop {
            let show = sea_orm::Statement::from_string(
                sea_orm::DbBackend::Postgres,
                "SELECT current_setting('synchronous_standby_names') AS now",
            );
            let row = operator.query_one_raw(show).await.unwrap().unwrap();
            if row.try_get::<String>("", "now").unwrap() == name {
                return;
            }
        }
    };
    let lose = async |lose: bool| {
        standby(if lose { "s1" } else { "" }).await;
        // Read again by each process of the server in its own time.
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    say_in_doubt(lose, &process.url, &ann, room, "two").await;
    insist(&process.url, &ann, room, "three").await;
    insist(&process.url, &ann, room, "two").await;
    insist(&process.url, &ann, room, "four").await;
    assert_eq!(hears(&mut reader, "four").await, ["one", "two", "three", "four"]);
    operator.close().await.unwrap();
}
