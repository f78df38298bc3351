//! Clients that hold the server up: handshakes a byte at a time, and readers who never read.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::support::raw::{Heard, Raw};
use crate::support::site::{Frame, Process, Site, Wire};
use crate::support::world::{DEADLINE, World};

/// Connections that a listener takes here.
const PLACES: usize = 12;
/// Those of them whose handshake never ends.
const SLOW: usize = 6;

/// Sends the head of an upgrade so slowly that it would take minutes, and whether the server
/// ended that.
async fn dribble(address: SocketAddr, path: String) -> bool {
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: chat\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    let (mut reading, mut writing) = TcpStream::connect(address).await.unwrap().into_split();
    let sending = tokio::spawn(async move {
        for byte in head.bytes() {
            if writing.write_all(&[byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    });
    let mut answer = Vec::new();
    let end = timeout(DEADLINE, reading.read_to_end(&mut answer)).await;
    let unfinished = !sending.is_finished();
    sending.abort();
    end.is_ok() && unfinished && !answer.starts_with(b"HTTP/1.1 101")
}

/// Comes, is answered, and goes, over and over.
async fn visit(url: String, word: String, answer: String, visits: &AtomicUsize) -> Infallible {
    loop {
        let mut visitor = Raw::connect(&url, &[]).await;
        visitor.send(word.clone()).await;
        // Its own presence may be told to it first.
        while !visitor.text().await.contains(&answer) {}
        visitor.close().await;
        visits.fetch_add(1, Ordering::Relaxed);
    }
}

/// How many of so many connections at once find a place.
async fn places(address: SocketAddr, wanted: usize) -> usize {
    let mut open = Vec::new();
    for _ in 0..wanted {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /places HTTP/1.1\r\nHost: chat\r\n\r\n").await.unwrap();
        let mut status = [0; 12];
        let read = timeout(DEADLINE, stream.read_exact(&mut status)).await;
        read.expect("an answer in time").expect("an answer");
        open.push((stream, status));
    }
    open.iter().filter(|(_, status)| !status.ends_with(b"503")).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_that_come_a_byte_at_a_time_are_ended_and_disturb_nobody() {
    let world = World::with(|settings| {
        settings.limits.head_seconds = serde_json::from_value(json!(2)).unwrap();
        settings.limits.connections = PLACES.try_into().unwrap();
        settings.limits.connections_per_address = PLACES;
    })
    .await;
    let new = json!({ "email": "ann@example.org", "password": "123", "repeat_password": "123" });
    let (_, made) = world.post("/auth/register", new).await;
    let (id, token) = (&made["id"], world.log_in("ann@example.org", "123").await);
    let (main, own, letters) =
        (world.address, world.port_of("private-chat"), world.port_of("courier"));
    let page = format!("/{token}/ann");
    let ask = || r#"{"type":"check-online"}"#.to_owned();
    let told = || r#"{"type":"gone-online","usernames":["ann"]}"#.to_owned();
    let greeted = format!("user id {id} received");
    for (address, path, visited, word, answer) in [
        (main, "/members/chat/?other_member_id=2", format!("/private-chat{page}"), ask(), told()),
        (
            main,
            "/socket.io/?EIO=4&transport=websocket",
            "/courier".into(),
            token.clone(),
            greeted.clone(),
        ),
        (own, page.as_str(), page.clone(), ask(), told()),
        (letters, "/", "/".into(), id.to_string(), greeted),
    ] {
        let mut slow = JoinSet::new();
        for _ in 0..SLOW {
            slow.spawn(dribble(address, path.to_owned()));
        }
        let visits = AtomicUsize::new(0);
        let ended = tokio::select! {
            ended = slow.join_all() => ended,
            never = visit(format!("ws://{address}{visited}"), word, answer, &visits) => match never {},
        };
        assert!(ended.into_iter().all(|ended| ended), "{path}");
        assert!(visits.into_inner() > 0, "{path}");
    }
    // Nothing is left of them: all places are free again, and there are no more than before.
    for address in [main, own, letters] {
        let deadline = Instant::now() + DEADLINE;
        while places(address, PLACES + 1).await != PLACES {
            assert!(Instant::now() < deadline, "{address}");
        }
    }
}

/// Messages and their length: in all, many times what may wait for a reader.
const FLOOD: (usize, usize) = (100_000, 1_000);
/// The same with fewer and longer ones.
const ROOM_FLOOD: (usize, usize) = (1_000, 60_000);
/// The same before the memory is looked at: more than the database's own memory holds.
const WARMING: (usize, usize) = (1_200, 60_000);
/// Connections that write at once.
const MOUTHS: usize = 8;
/// Kilobytes that may wait for one reader.
const SINK: u64 = 1 << 10;
/// Kilobytes that a server may need more while it is busy.
const BUSY: u64 = 40 << 10;

/// Has so many messages of this length posted, many at a time.
async fn flood(url: &str, token: &str, conversation: i64, size: (usize, usize)) {
    let (messages, length) = size;
    let message = json!({ "conversation_id": conversation, "text_message": "x".repeat(length) });
    let mut mouths = JoinSet::new();
    for _ in 0..MOUTHS {
        let mut wire = Wire::open(url, token).await.expect("the server answers");
        let message = message.clone();
        mouths.spawn(async move {
            let (mut said, mut stored) = (0, 0);
            while stored < messages / MOUTHS {
                while said < messages / MOUTHS && said < stored + 4 {
                    wire.put("message", &message).await.expect("the server reads");
                    said += 1;
                }
                if let Frame::Ack(_, answer) = wire.next().await.expect("the server answers") {
                    assert_eq!(answer["success"], true, "{answer}");
                    stored += 1;
                }
            }
        });
    }
    mouths.join_all().await;
}

/// The most memory a server has while this goes on, in kilobytes.
async fn peak(server: &Process, work: impl Future<Output = ()>) -> u64 {
    tokio::pin!(work);
    let (mut most, mut look) = (0, tokio::time::interval(Duration::from_millis(50)));
    loop {
        tokio::select! {
            () = &mut work => return most,
            _ = look.tick() => most = most.max(server.memory()),
        }
    }
}

/// Nobody reads what is sent to these: they are let go, and nothing piles up for them.
async fn starve(
    server: &Process,
    token: &str,
    conversation: i64,
    size: (usize, usize),
    readers: Vec<(&str, Raw)>,
) {
    let before = server.memory();
    let most = peak(server, flood(&server.url, token, conversation, size)).await;
    let bound = before + SINK * readers.len() as u64 + BUSY;
    assert!(most <= bound, "{most} KiB, {before} KiB before");
    for (dialect, mut reader) in readers {
        let mut heard = 0;
        let end = loop {
            match reader.next().await {
                Heard::Text(_) => heard += 1,
                end => break end,
            }
        };
        assert!(matches!(end, Heard::Closed(1013, _) | Heard::Lost), "{dialect}: {end:?}");
        assert!(heard < size.0, "{dialect} had room for everything");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_who_never_read_are_let_go_and_cost_no_memory() {
    let site = Site::new()
        .set("DATABASE__TIMEOUT", "60")
        .set("DATABASE__SYNCHRONOUS", "normal")
        .set("LIMITS__MAX_TEXT_CHARS", WARMING.1.to_string())
        .set("LIMITS__SINK_BYTES", (SINK << 10).to_string());
    let (ann, bob) = (site.person("ann").await, site.person("bob").await);
    site.run(&["user", "set", "ann@example.org", "--employee"]).await;
    let room = site.room().await;
    let server = site.start().await;
    let base = server.url.replace("http", "ws");
    let connect = async |path: &str| Raw::connect(&format!("{base}{path}"), &[]).await;

    let mut a = connect("/members/chat/?other_member_id=2").await;
    a.send(format!("Bearer {ann}")).await;
    a.reads(json!([])).await;
    a.send("hello").await;
    let chat = a.json().await["chat_id"].as_i64().unwrap();
    a.close().await;
    flood(&server.url, &ann, room, WARMING).await;
    let mut chats = connect("/members/chat/?other_member_id=1").await;
    chats.send(format!("Bearer {bob}")).await;
    assert_eq!(chats.json().await.as_array().map(Vec::len), Some(1));
    let mut letters = connect("/courier").await;
    letters.send(bob.as_str()).await;
    assert_eq!(letters.text().await, "user id 2 received");
    let mut page = connect(&format!("/private-chat/{bob}/ann")).await;
    page.send(r#"{"type":"check-online"}"#).await;
    assert_eq!(page.json().await["type"], "gone-online");
    let readers = vec![("members-chat", chats), ("courier", letters), ("private-chat", page)];
    starve(&server, &ann, chat, FLOOD, readers).await;

    let mut rooms = connect(&format!("/chat/stream/?token={bob}")).await;
    rooms.send_json(&json!({ "command": "join", "room": room })).await;
    assert_eq!(rooms.json().await["join"], room.to_string());
    starve(&server, &ann, room, ROOM_FLOOD, vec![("multichat", rooms)]).await;
    server.terminate();
    assert!(server.ended().await.success(), "{}", site.log());
}
