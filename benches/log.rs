//! Messages stored per second, on SQLite: by the log's batches, by one transaction for each, and by a bare loop.
//!
//! The three run in one process on one disk, so their ratios mean something where the numbers do not. Senders are
//! closed loops: each sends when its last message was answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use klatsch::clock::Clock;
use klatsch::store::log::{Batch, BatchWriter, NewRow};
use klatsch::store::{Durability, Options, Store, StoreError, Tx};
use rusqlite::{Connection, params};
use sea_orm::{ConnectionTrait, Statement, Value};
use tempfile::TempDir;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use uuid::Uuid;

const CONVERSATIONS: i64 = 1000;
const TEXT: &str =
    "eighty bytes of text, as many as a message in a chat has on an average working day";
const INSERT: &str = "INSERT INTO messages (id, conversation_id, seq, revision, shown, sender, link_id, client_key, \
    kind, text, media_count, awaited, created_at) VALUES (?1, ?2, ?3, ?3, ?1, 1, NULL, ?4, 0, ?5, 0, 0, 0)";
const SET_HEAD: &str =
    "UPDATE conversation_heads SET last_seq = ?2, last_revision = ?2 WHERE conversation_id = ?1";

fn main() {
    let secs = std::env::var("KLATSCH_BENCH_SECS").ok().and_then(|secs| secs.parse().ok());
    let time = Duration::from_secs(secs.unwrap_or(3));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("threads start");
    println!(
        "messages stored per second on SQLite; ratios against the bare loop with batches of that size"
    );
    for durability in [Durability::Full, Durability::Normal] {
        println!("\n{durability:?}: in flight |   log |  bare | log / bare");
        let alone = runtime.block_on(one_by_one(durability, 64, time));
        let mut first = None;
        for in_flight in [64, 512, 4096] {
            let log = runtime.block_on(group(durability, in_flight, time));
            let bare = bare(&runtime, durability, in_flight, time);
            println!("{in_flight:>17} | {log:>5.0} | {bare:>5.0} | {:.2}", log / bare);
            first.get_or_insert(log);
        }
        let gain = first.unwrap_or_default() / alone;
        println!(
            "one transaction for each message, 64 in flight: {alone:.0}; the log is {gain:.1} times that"
        );
    }
}

async fn open(durability: Durability) -> (TempDir, Store) {
    let dir = tempfile::tempdir_in(".").expect("a directory can be made");
    let mut options = Options::at(format!("sqlite:{}/bench.db", dir.path().display()));
    options.durability = durability;
    let store = Store::open(&options, Clock::system()).await.expect("the database opens");
    store.migrate().await.expect("the schema can be made");
    store
        .write(async |tx| {
            tx.execute_unprepared(
                "INSERT INTO users (id, email, email_key, username, first_name, last_name, created_at, updated_at, is_active, \
                 is_superuser, is_staff, is_employee, balance) VALUES (1, 'a', 'a', 'a', '', '', 0, 0, TRUE, FALSE, FALSE, \
                 FALSE, 0)",
            )
            .await?;
            for id in 1..=CONVERSATIONS {
                tx.execute_unprepared(&format!(
                    "INSERT INTO conversations (id, kind, access, title, description, device_access, created_at, \
                     updated_at) VALUES ({id}, 2, 1, '', '', FALSE, 0, 0)"
                ))
                .await?;
                tx.execute_unprepared(&format!("INSERT INTO conversation_heads VALUES ({id}, 0, 0)")).await?;
                tx.execute_unprepared(&format!(
                    "INSERT INTO members (id, conversation_id, user_id, role, live, joined_seq, created_at, updated_at, \
                     delivered_shown, read_shown, read_seq, courier_shown) VALUES ({id}, {id}, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0)"
                ))
                .await?;
            }
            Ok(())
        })
        .await
        .expect("conversations can be made");
    (dir, store)
}

fn row() -> NewRow {
    let conversation = 1 + i64::from(rand::random::<u16>()) % CONVERSATIONS;
    NewRow {
        conversation,
        sender: 1,
        link: Some(conversation),
        login: None,
        client_key: Uuid::now_v7().into_bytes(),
        kind: 0,
        text: TEXT.into(),
        smile: None,
        created_at: 0,
        medias: Vec::new(),
        deadline: tokio::time::Instant::now() + Duration::from_mins(1),
    }
}

/// Senders, a queue and the batch writer.
async fn group(durability: Durability, in_flight: usize, time: Duration) -> f64 {
    let (_dir, store) = open(durability).await;
    let (queue, mut waiting) = mpsc::channel::<(NewRow, oneshot::Sender<()>)>(8192);
    let writer = tokio::spawn(async move {
        let mut writer = BatchWriter::lean(store.clone()).expect("the log opens");
        let mut jobs = Vec::new();
        while waiting.recv_many(&mut jobs, 1024).await > 0 {
            let (rows, answers): (Vec<_>, Vec<_>) = jobs.drain(..).unzip();
            let batch = Arc::new(Batch { rows, marks: Vec::new() });
            let outcomes = writer.write(&mut store.turn().await, &batch).await;
            assert!(outcomes.iter().all(Result::is_ok));
            for answer in answers {
                let _ = answer.send(());
            }
        }
    });
    let begun = Instant::now();
    let mut senders = JoinSet::new();
    for _ in 0..in_flight {
        let queue = queue.clone();
        senders.spawn(async move {
            let mut sent = 0_u64;
            while begun.elapsed() < time {
                let (answer, answered) = oneshot::channel();
                queue.send((row(), answer)).await.expect("the writer runs");
                answered.await.expect("the writer answers");
                sent += 1;
            }
            sent
        });
    }
    drop(queue);
    let rate = per_second(senders, begun).await;
    writer.await.expect("the writer ends");
    rate
}

/// What a handler without a log would do: lock the head, insert, commit.
async fn one_by_one(durability: Durability, in_flight: usize, time: Duration) -> f64 {
    let (_dir, store) = open(durability).await;
    let begun = Instant::now();
    let mut senders = JoinSet::new();
    for _ in 0..in_flight {
        let store = store.clone();
        senders.spawn(async move {
            let mut sent = 0_u64;
            while begun.elapsed() < time {
                store.write(async |tx| store_one(tx, row()).await).await.expect("it is stored");
                sent += 1;
            }
            sent
        });
    }
    per_second(senders, begun).await
}

async fn store_one(tx: &Tx, row: NewRow) -> Result<(), StoreError> {
    let backend = tx.get_database_backend();
    let number = async |sql: &str, values: Vec<Value>| -> Result<i64, StoreError> {
        let statement = Statement::from_sql_and_values(backend, sql, values);
        let row = tx.query_one_raw(statement).await?;
        Ok(row.map(|row| row.try_get_by_index(0)).transpose()?.unwrap_or_default())
    };
    let seq = number(
        "UPDATE conversation_heads SET last_seq = last_seq + 1, last_revision = last_revision + 1 \
         WHERE conversation_id = ? RETURNING last_seq",
        vec![row.conversation.into()],
    )
    .await?;
    let id = number(
        "UPDATE counters SET value = value + 1 WHERE name = 'message' RETURNING value",
        Vec::new(),
    )
    .await?;
    let values: [Value; 5] = [
        id.into(),
        row.conversation.into(),
        seq.into(),
        row.client_key.to_vec().into(),
        row.text.into(),
    ];
    tx.execute_raw(Statement::from_sql_and_values(backend, INSERT, values)).await?;
    Ok(())
}

async fn per_second(senders: JoinSet<u64>, begun: Instant) -> f64 {
    let sent: u64 = senders.join_all().await.into_iter().sum();
    sent as f64 / begun.elapsed().as_secs_f64()
}

/// A loop over prepared statements with ready batches: no queue, no tasks, no answers, no look at what is there.
fn bare(
    runtime: &tokio::runtime::Runtime,
    durability: Durability,
    size: usize,
    time: Duration,
) -> f64 {
    let (dir, store) = runtime.block_on(open(durability));
    runtime.block_on(store.close()).expect("the store closes");
    let db = Connection::open(dir.path().join("bench.db")).expect("the database opens");
    let synchronous = if durability == Durability::Full { "FULL" } else { "NORMAL" };
    for (pragma, value) in
        [("synchronous", synchronous), ("wal_autocheckpoint", "4000"), ("cache_size", "-65536")]
    {
        db.pragma_update(None, pragma, value).expect("a pragma is taken");
    }
    let mut heads = vec![0_i64; CONVERSATIONS as usize + 1];
    let mut id = 0_i64;
    let mut insert = db.prepare(INSERT).expect("the statement is sound");
    let mut set_head = db.prepare(SET_HEAD).expect("the statement is sound");
    let begun = Instant::now();
    while begun.elapsed() < time {
        db.execute_batch("BEGIN IMMEDIATE").expect("the batch begins");
        for row in (0..size).map(|_| row()) {
            id += 1;
            let seq = &mut heads[row.conversation as usize];
            *seq += 1;
            insert
                .execute(params![id, row.conversation, *seq, &row.client_key[..], row.text])
                .expect("the message is stored");
            set_head.execute(params![row.conversation, *seq]).expect("the head is set");
        }
        db.execute_batch("COMMIT").expect("the batch is stored");
    }
    id as f64 / begun.elapsed().as_secs_f64()
}
