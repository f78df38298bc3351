//! What is held of Socket.IO clients that have not said who they are.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::{DEADLINE, ask, status};
use crate::support::site::{Process, Site};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

const SOCKETS: usize = 100;

async fn connect(server: &Process, engine: u8) -> Socket {
    let base = server.url.replace("http", "ws");
    let url = format!("{base}/socket.io/?EIO={engine}&transport=websocket");
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    if engine == 4 {
        socket.send(Message::text("40")).await.unwrap();
    }
    while !next(&mut socket).await.is_some_and(|text| text.starts_with("40")) {}
    socket
}

async fn next(socket: &mut Socket) -> Option<String> {
    loop {
        match timeout(DEADLINE, socket.next()).await.expect("a frame, or the end") {
            Some(Ok(Message::Text(text))) => return Some(text.to_string()),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return None,
        }
    }
}

fn frame(opcode: Data, bytes: Vec<u8>, is_final: bool) -> Message {
    Message::Frame(Frame::message(bytes, OpCode::Data(opcode), is_final))
}

/// What somebody sends who wants much to be held.
fn greedy(kind: usize) -> Vec<Message> {
    let blob = || Bytes::from(vec![7; 300_000]);
    match kind {
        0 => {
            let mut all = vec![Message::text(r#"4564-["message",{}]"#)];
            all.extend((0..12).map(|_| Message::binary(blob())));
            all
        }
        1 => {
            let mut all = vec![frame(Data::Text, br#"42["message",""#.to_vec(), false)];
            all.extend((0..40).map(|_| frame(Data::Continue, vec![b'x'; 90_000], false)));
            all
        }
        2 => vec![Message::text(format!(r#"42["message","{}"]"#, "x".repeat(3_900_000)))],
        3 => {
            let mut all = vec![frame(Data::Text, b"4".to_vec(), false)];
            all.push(frame(Data::Continue, br#"564-["message",{}]"#.to_vec(), true));
            all.extend((0..12).map(|_| Message::binary(blob())));
            all
        }
        _ => {
            let mut all = vec![Message::text(r#"4564-["message",{}]"#)];
            all.extend((0..60).flat_map(|_| {
                [Message::binary(vec![7; 50_000]), Message::text(r#"42["webrtc_stun_info"]"#)]
            }));
            all
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn little_is_held_of_clients_that_have_not_said_who_they_are() {
    let site = Site::new();
    let server = site.start().await;
    for kind in 0..5 {
        let before = server.memory();
        let mut sockets = Vec::new();
        for n in 0..SOCKETS {
            sockets.push(connect(&server, if n % 2 == 0 { 4 } else { 3 }).await);
        }
        let sending = sockets.into_iter().map(|mut socket| {
            tokio::spawn(async move {
                for message in greedy(kind) {
                    if socket.send(message).await.is_err() {
                        break;
                    }
                }
                // They are let go.
                while next(&mut socket).await.is_some() {}
            })
        });
        let sending: Vec<_> = sending.collect();
        let mut most = 0;
        while sending.iter().any(|one| !one.is_finished()) {
            most = most.max(server.memory());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let bound = before + (SOCKETS as u64 * (256 + 64)) + (24 << 10);
        assert!(most < bound, "kind {kind}: {most} KiB, {before} KiB before");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_says_who_it_is_first_may_send_much_at_once() {
    let site = Site::new();
    let ann = site.person("ann").await;
    let server = site.start().await;
    for engine in [3, 4] {
        let mut socket = connect(&server, engine).await;
        let identity = json!(["authenticate", { "token": ann }]);
        socket.feed(Message::text(format!("42{identity}"))).await.unwrap();
        // Refused for what it says, and not for its size.
        let large =
            json!(["message", { "conversation_id": 1, "text_message": "x".repeat(900_000) }]);
        socket.send(Message::text(format!("421{large}"))).await.unwrap();
        let answer = loop {
            let text = next(&mut socket).await.expect("the connection stays open");
            if text.starts_with("431") {
                break text;
            }
        };
        assert!(answer.contains("false"), "{answer}");
    }
    // Many small ones, and attachments that come to their end, are no reason to go.
    let mut socket = connect(&server, 4).await;
    for _ in 0..20 {
        socket
            .send(Message::text(r#"451-["nothing",{"_placeholder":true,"num":0}]"#))
            .await
            .unwrap();
        socket.send(Message::binary(vec![7; 100_000])).await.unwrap();
        socket.send(Message::text(r#"42["webrtc_stun_info"]"#)).await.unwrap();
        while !next(&mut socket).await.expect("it stays").contains("webrtc_config") {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_posted_is_bounded_alike() {
    let site = Site::new();
    let ann = site.person("ann").await;
    let server = site.start().await;
    let begin = async || {
        let head = "GET /socket.io/?EIO=4&transport=polling HTTP/1.1";
        let answer = ask(&server, head, b"").await;
        let (_, rest) = answer.split_once("\"sid\":\"").unwrap();
        let sid = rest.split('"').next().unwrap();
        let path = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
        let post = format!("POST {path} HTTP/1.1");
        assert_eq!(status(&ask(&server, &post, b"40").await), 200);
        (post, format!("GET {path} HTTP/1.1"))
    };
    let large = format!(r#"421["message",{{"text_message":"{}"}}]"#, "x".repeat(600_000));
    let (post, _) = begin().await;
    assert_eq!(status(&ask(&server, &post, large.as_bytes()).await), 413);
    // What is posted right behind the token waits for it.
    let (post, poll) = begin().await;
    let identity = format!("42{}", json!(["authenticate", { "token": ann }]));
    assert_eq!(status(&ask(&server, &post, identity.as_bytes()).await), 200);
    assert_eq!(status(&ask(&server, &post, large.as_bytes()).await), 200);
    let mut heard = String::new();
    while !heard.contains("431") {
        heard.push_str(&ask(&server, &poll, b"").await);
    }
}
