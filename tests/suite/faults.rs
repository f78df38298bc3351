//! Full disks, databases that go away, servers that start at once, and the orderly end.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::databases;
use crate::support::load::{Load, Reader, Writer, seen, until_stored};
use crate::support::programs::skipped;
use crate::support::site::{Process, Site, Wire};

/// The time a change has in these tests, so that they need not wait long.
const PATIENCE: Duration = Duration::from_secs(2);
/// What a machine with much to do may add to it.
const SLACK: Duration = Duration::from_secs(6);
/// More memory than a fault may cost, in kilobytes.
const MEMORY: u64 = 96 << 10;

/// A room with writers who wait for each answer, and a reader.
struct Stage {
    room: i64,
    reader: Reader,
    writers: Vec<Writer>,
}

impl Stage {
    async fn set(site: &Site) -> Self {
        let room = site.room().await;
        let reader = Reader::new(site, "reader", room).await;
        let mut writers = Vec::new();
        for name in ["ann", "bob", "cem", "dan"] {
            writers.push(Writer::new(site, name, room, 1).await);
        }
        Self { room, reader, writers }
    }
}

fn impatient() -> Site {
    Site::new().set("DATABASE__TIMEOUT", PATIENCE.as_secs().to_string())
}

/// Writes over HTTP; the status and the answer.
async fn make_circle(url: &str, token: &str) -> (u16, Value) {
    let body = json!({ "token": token, "name": "Tea" });
    let request = reqwest::Client::new().post(format!("{url}/circle/create")).json(&body);
    let response = request.send().await.expect("the server answers");
    (response.status().as_u16(), response.json().await.expect("an answer in JSON"))
}

/// A disk that takes nothing for a while, under load; then everything goes on by itself.
async fn survive_a_full_disk(
    site: &Site,
    server: Process,
    mut stage: Stage,
    fill: impl FnOnce(&Process),
    free: impl FnOnce(&Process),
) -> (usize, usize) {
    let token = stage.reader.token().to_owned();
    let load = Load::start(std::mem::take(&mut stage.writers), &server.url);
    load.until_stored(10).await;
    let memory = server.memory();

    fill(&server);
    let before = load.faults();
    load.until("everybody is told", |tally| seen(&tally.refused) + seen(&tally.cut) > 0).await;
    let (status, answer) = make_circle(&server.url, &token).await;
    assert_eq!(status, 503, "{answer}");
    assert!(server.memory() < memory + MEMORY, "{} after {memory}", server.memory());

    free(&server);
    load.until_stored(10).await;
    let (status, answer) = make_circle(&server.url, &token).await;
    assert_eq!(status, 200, "{answer}");
    let after = load.faults();
    let (writers, slowest) = load.finish().await;
    assert!(slowest < PATIENCE + SLACK, "{slowest:?}");
    stage.reader.catch_up(&server.url).await;
    stage.reader.check_all(&writers);

    server.terminate();
    assert!(server.ended().await.success(), "{}", site.log());
    (after.0 - before.0, after.1 - before.1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writing_errors_of_the_disk_are_told_and_pass() {
    let site = impatient();
    let stage = Stage::set(&site).await;
    // A limit on the size of files fails every write beyond it, once its signal is ignored.
    let server = site.start_within("trap '' XFSZ; exec \"$0\" serve").await;
    let journal = site.path().join("data/klatsch.db-wal");
    let limit = |server: &Process, limit: &str| {
        let words = ["--pid", &server.pid().to_string(), &format!("--fsize={limit}:")];
        assert!(Command::new("prlimit").args(words).status().unwrap().success());
    };
    let fill = |server: &Process| {
        let length = std::fs::metadata(&journal).unwrap().len();
        limit(server, &length.to_string());
    };
    let free = |server: &Process| limit(server, "unlimited");
    let (refused, cut) = survive_a_full_disk(&site, server, stage, fill, free).await;
    assert!(refused + cut > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_told_as_unavailable_and_passes() {
    let private = ["--user", "--map-root-user", "--mount", "sh", "-c", "mount -t tmpfs none /mnt"];
    let is_possible = Command::new("unshare").args(private).output();
    if !is_possible.is_ok_and(|output| output.status.success()) {
        skipped("the test with a full disk, which needs a mount of its own");
        return;
    }
    let site = impatient();
    let stage = Stage::set(&site).await;
    // The disk is seen by this server alone, and goes with it.
    let mount = "mv data kept && mkdir data && mount -t tmpfs -o size=6m none data && \
                 cp -a kept/. data && exec \"$0\" serve";
    let script = format!("exec unshare --user --map-root-user --mount sh -c '{mount}' \"$0\"");
    let server = site.start_within(&script).await;
    let ballast = |server: &Process| {
        let inside = format!("/proc/{}/root{}", server.pid(), site.path().display());
        Path::new(&inside).join("data/ballast")
    };
    let fill = |server: &Process| {
        let error = std::fs::write(ballast(server), vec![1; 16 << 20]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    };
    let free = |server: &Process| std::fs::remove_file(ballast(server)).unwrap();
    let (refused, cut) = survive_a_full_disk(&site, server, stage, fill, free).await;
    assert!(refused > 0, "nobody was refused");
    assert_eq!(cut, 0, "a full disk leaves no doubt, so nobody is cut off");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_killed_and_comes_back_loses_nothing() {
    for server in [databases::Server::postgres(), databases::Server::mariadb()] {
        let Some(mut database) = server else { continue };
        let site = impatient().set("DATABASE__URL", database.database().await.url);
        let mut stage = Stage::set(&site).await;
        let server = site.start().await;
        let load = Load::start(std::mem::take(&mut stage.writers), &server.url);
        load.until_stored(10).await;
        let memory = server.memory();
        // Back at once: whoever waits may not even notice.
        database.stop();
        database.resume();
        load.until_stored(10).await;
        // Away for longer than anybody waits.
        database.stop();
        let before: Vec<_> =
            load.tallies.iter().map(|tally| seen(&tally.refused) + seen(&tally.cut)).collect();
        let begun = Instant::now();
        let told = |place: usize| {
            let tally = &load.tallies[place];
            seen(&tally.refused) + seen(&tally.cut) > before[place]
        };
        while !(0..before.len()).all(told) {
            assert!(begun.elapsed() < PATIENCE + SLACK + SLACK, "nobody is told");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(server.memory() < memory + MEMORY, "{} after {memory}", server.memory());
        database.resume();
        load.until_stored(10).await;
        let (writers, slowest) = load.finish().await;
        assert!(slowest < PATIENCE + SLACK, "{slowest:?}");
        stage.reader.catch_up(&server.url).await;
        stage.reader.check_all(&writers);
        server.terminate();
        assert!(server.ended().await.success(), "{}", site.log());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_start_at_once_on_a_new_database_both_come_up() {
    let mut urls = vec![String::new()];
    for server in [databases::postgres(), databases::mariadb()].into_iter().flatten() {
        urls.push(server.database().await.url);
    }
    for url in urls {
        let site = Site::new().set("DATABASE__URL", url);
        let (one, other) = (site.spawn(), site.spawn());
        let (one, other) = tokio::join!(site.listening(one), site.listening(other));
        let room = site.room().await;
        let token = site.person("ann").await;
        let text = json!({ "conversation_id": room, "text_message": "hello" });
        let mut wire = Wire::open(&one.url, &token).await.expect("a token is good for both");
        assert_eq!(wire.ask("message", &text).await.unwrap()["success"], true);
        let mut wire = Wire::open(&other.url, &token).await.expect("a token is good for both");
        assert_eq!(wire.ask("message", &text).await.unwrap()["success"], true);
        let page = wire.ask("sync", &json!({ "conversation_id": room })).await.unwrap();
        let seqs: Vec<_> = page["messages"].as_array().unwrap().iter().map(|m| &m["seq"]).collect();
        assert_eq!(seqs, [1, 2]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_told_to_stop_lets_everybody_go_and_loses_nothing() {
    let site = Site::new().set("LIMITS__DRAIN_SECONDS", "2");
    let mut stage = Stage::set(&site).await;
    let server = site.start().await;
    let mut idle = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let mut wire = stage.reader.listen(&server.url).await;
        idle.spawn(async move { while wire.next().await.is_ok() {} });
    }
    let mut writing = tokio::task::JoinSet::new();
    let tallies: Vec<_> = stage.writers.iter().map(Writer::tally).collect();
    for mut writer in stage.writers.drain(..) {
        let url = server.url.clone();
        writing.spawn(async move {
            let ended = writer.write(&url, &CancellationToken::new()).await;
            assert!(ended.is_err(), "everybody is let go");
            writer
        });
    }
    until_stored(&tallies, 5).await;
    let begun = Instant::now();
    server.terminate();
    let status = server.ended().await;
    assert!(status.success(), "{status}: {}", site.log());
    assert!(begun.elapsed() < Duration::from_secs(2) + SLACK, "{:?}", begun.elapsed());
    idle.join_all().await;
    stage.writers = writing.join_all().await;
    assert!(!site.database().with_extension("db-wal").exists(), "the journal was written back");

    let server = site.start().await;
    stage.reader.catch_up(&server.url).await;
    stage.writers.iter().for_each(|writer| stage.reader.check(writer));
    assert!(stage.reader.count() >= stage.writers.iter().map(|w| w.acknowledged().len()).sum());
    assert!(stage.reader.count() > 0 && stage.room > 0);
    server.kill().await;
}
