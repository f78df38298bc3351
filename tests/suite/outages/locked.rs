//! SQLite while others hold its write lock: a backup, an operator's shell.

use std::time::{Duration, Instant};

use klatsch::clock::Clock;
use klatsch::store::{Options, Store, StoreError};
use rusqlite::Connection;
use sea_orm::ConnectionTrait;
use serde_json::json;

use crate::support::databases;
use crate::support::site::{Site, Wire};

/// Another process with the write lock.
fn hold(file: &std::path::Path) -> Connection {
    let other = Connection::open(file).unwrap();
    other.busy_timeout(Duration::from_secs(30)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    other
}

async fn add(store: &Store, value: i64) -> Result<(), StoreError> {
    store
        .write(async |tx| {
            let word = format!("INSERT INTO counters (name, value) VALUES ('n{value}', {value})");
            tx.execute_unprepared(&word).await?;
            Ok(())
        })
        .await
}

/// A statement that waits for the lock may be given up before its turn comes; it must not begin a transaction then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_gave_up_while_others_held_the_lock_leaves_nothing_behind() {
    let database = databases::sqlite();
    let mut options = Options::at(&database.url);
    options.deadline = Duration::from_millis(300);
    let store = Store::open(&options, Clock::system()).await.unwrap();
    store.migrate().await.unwrap();
    let file = database.url.strip_prefix("sqlite:").unwrap();

    let other = hold(file.as_ref());
    let held = Instant::now();
    let mut value = 0;
    while held.elapsed() < Duration::from_secs(2) {
        value += 1;
        let refused = add(&store, value).await;
        assert!(refused.as_ref().is_err_and(StoreError::is_transient), "{refused:?}");
    }
    // Released while a write waits, so that its statement may begin as it is given up.
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { add(&store, 1_000).await.is_ok() }
    });
    tokio::time::sleep(Duration::from_millis(290)).await;
    other.execute_batch("COMMIT").unwrap();
    let stored = waiting.await.unwrap();

    add(&store, 2_000).await.expect("writes go on");
    let count = |db: &Connection| -> i64 {
        let sql = "SELECT count(*) FROM counters WHERE name LIKE 'n%'";
        db.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(count(&other), 1 + i64::from(stored), "what was refused is not stored");
    // And others can write, too.
    other.execute_batch("BEGIN IMMEDIATE; COMMIT").unwrap();
}

/// The same of a whole server: everything is told as unavailable, then everything goes on, and so does the command line.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_goes_on_after_a_backup_held_the_lock() {
    let site = Site::new().set("DATABASE__TIMEOUT", "1");
    let room = site.room().await;
    let token = site.person("ann").await;
    let server = site.start().await;
    let mut wire = Wire::open(&server.url, &token).await.unwrap();
    let client = reqwest::Client::new();
    let circle = async || {
        let body = json!({ "token": token, "name": "Tea" });
        let answer = client.post(format!("{}/circle/create", server.url)).json(&body).send().await;
        answer.unwrap().status().as_u16()
    };
    assert_eq!(circle().await, 200);

    let other = hold(&site.database());
    let held = Instant::now();
    let mut refused = 0;
    while held.elapsed() < Duration::from_secs(4) {
        let text = json!({ "conversation_id": room, "text_message": "meanwhile" });
        let (status, answer) = tokio::join!(circle(), wire.ask("message", &text));
        assert_eq!(status, 503);
        assert_eq!(answer.unwrap()["code"], "unavailable");
        refused += 1;
    }
    assert!(refused > 1);
    other.execute_batch("COMMIT").unwrap();

    assert_eq!(circle().await, 200);
    let text = json!({ "conversation_id": room, "text_message": "afterwards" });
    assert_eq!(wire.ask("message", &text).await.unwrap()["success"], true);
    // From another process.
    site.person("bob").await;
    assert_eq!(circle().await, 200);
}
