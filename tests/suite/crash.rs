//! The server is killed in full flight, again and again: what it acknowledged is there, once and in order.

use std::time::Duration;

use rusqlite::Connection;
use tokio_util::sync::CancellationToken;

use crate::support::load::{Load, Reader, Writer};
use crate::support::site::{Frame, Site, Wire};

const ROUNDS: u32 = 20;
const WRITERS: usize = 6;

/// Everything a connection hears until its end: places and texts.
async fn hear(mut wire: Wire) -> Vec<(u64, String)> {
    let mut heard = Vec::new();
    while let Ok(frame) = wire.next().await {
        if let Frame::Event(channel, event) = frame
            && channel == "message"
        {
            let message = &event["message"];
            let text = message["content"].as_str().unwrap().to_owned();
            heard.push((message["seq"].as_u64().unwrap(), text));
        }
    }
    heard
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_was_acknowledged_survives_being_killed() {
    let site = Site::new();
    let room = site.room().await;
    let mut reader = Reader::new(&site, "reader", room).await;
    let mut writers = Vec::new();
    for number in 0..WRITERS {
        writers.push(Writer::new(&site, &format!("w{number}"), room, 8).await);
    }
    let mut heard: Vec<(u64, String)> = Vec::new();
    let mut heard_in_all = 0;
    for _ in 0..ROUNDS {
        let server = site.start().await;
        reader.catch_up(&server.url).await;
        for writer in &writers {
            reader.check(writer);
        }
        for (seq, text) in &heard {
            let place = reader.place(text).map(|place| place as u64);
            assert_eq!(place, Some(*seq), "{text} was told and is not stored");
        }
        let hearing = tokio::spawn(hear(reader.listen(&server.url).await));
        let first = reader.count() as u64 + 1;
        let mut writing = tokio::task::JoinSet::new();
        for mut writer in writers.drain(..) {
            let url = server.url.clone();
            writing.spawn(async move {
                let ended = writer.write(&url, &CancellationToken::new()).await;
                assert!(ended.is_err(), "nobody stops by himself");
                writer
            });
        }
        tokio::time::sleep(Duration::from_millis(rand::random_range(20..600))).await;
        server.kill().await;
        writers = writing.join_all().await;
        // A listener hears the history without a hole; that all of it is stored is seen above.
        heard = hearing.await.unwrap();
        for (expected, (seq, text)) in (first..).zip(&heard) {
            assert_eq!(*seq, expected, "{text}");
        }
        heard_in_all += heard.len();
    }
    let server = site.start().await;
    let stop = CancellationToken::new();
    stop.cancel();
    for writer in &mut writers {
        writer.write(&server.url, &stop).await.expect("the rest is said");
    }
    reader.catch_up(&server.url).await;
    reader.check_all(&writers);
    let told: usize = writers.iter().map(|writer| writer.acknowledged().len()).sum();
    assert!(told > 200 && heard_in_all > 100, "{told} stored, {heard_in_all} heard: no load");
    server.kill().await;

    let db = Connection::open(site.database()).unwrap();
    let sound: String = db.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
    let numbers = "SELECT count(*), max(seq), count(DISTINCT id), max(last_seq), max(last_revision) \
                   FROM messages JOIN conversation_heads USING (conversation_id)";
    let numbers: [i64; 5] = db
        .query_row(numbers, [], |row| {
            Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?])
        })
        .unwrap();
    assert_eq!(numbers, [told as i64; 5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_was_killed_while_it_made_its_database_starts_again() {
    for pause in [5, 30, 60, 120] {
        let site = Site::new();
        for _ in 0..2 {
            let mut child = site.spawn();
            tokio::time::sleep(Duration::from_millis(pause)).await;
            child.kill().await.unwrap();
        }
        let server = site.start().await;
        let room = site.room().await;
        let writer = Writer::new(&site, "ann", room, 1).await;
        let load = Load::start(vec![writer], &server.url);
        load.until_stored(3).await;
        assert_eq!(load.faults(), (0, 0));
    }
}
