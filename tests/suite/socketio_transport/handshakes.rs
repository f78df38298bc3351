//! Handshakes that break off leave nothing behind.

use std::time::Duration;

use klatsch::transport::socketio::SocketIoSettings;
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use super::Server;

/// How a client breaks off.
#[derive(Clone, Copy, Debug)]
enum Break {
    /// Closes the stream as soon as it has asked.
    Close,
    /// Resets it.
    Reset,
    /// Resets it when the answer begins to come.
    ResetOnAnswer,
}

async fn ask(server: &Server, query: &str, is_websocket: bool) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let upgrade = if is_websocket {
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    } else {
        ""
    };
    let request = format!("GET /socket.io/?{query} HTTP/1.1\r\nHost: x\r\n{upgrade}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn break_off(mut stream: TcpStream, how: Break) {
    if matches!(how, Break::ResetOnAnswer) {
        let _ = stream.read(&mut [0; 20]).await;
    }
    if !matches!(how, Break::Close) {
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
}

async fn handshake(server: &Server, version: u8) -> String {
    let mut stream = ask(server, &format!("EIO={version}&transport=polling"), false).await;
    let mut answer = [0; 1024];
    let len = stream.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..len]).into_owned();
    answer.split_once("sid\":\"").unwrap_or_else(|| panic!("{answer}")).1[..16].to_owned()
}

async fn break_one(server: &Server, kind: &str, version: u8, how: Break) {
    let websocket = format!("EIO={version}&transport=websocket");
    match kind {
        "websocket" => break_off(ask(server, &websocket, true).await, how).await,
        "polling" => {
            let query = format!("EIO={version}&transport=polling");
            break_off(ask(server, &query, false).await, how).await;
        }
        "poll" => {
            let query =
                format!("EIO={version}&transport=polling&sid={}", handshake(server, version).await);
            break_off(ask(server, &query, false).await, how).await;
        }
        _ => {
            let query = format!("{websocket}&sid={}", handshake(server, version).await);
            break_off(ask(server, &query, true).await, how).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_broken_handshakes_of_each_kind_leave_no_session() {
    let settings = SocketIoSettings {
        ping_interval: Duration::from_secs(1),
        ping_timeout: Duration::from_secs(1),
        connect_timeout: Duration::from_secs(1),
        ..SocketIoSettings::default()
    };
    let server = std::sync::Arc::new(Server::start(settings).await);
    for kind in ["websocket", "polling", "poll", "upgrade"] {
        for version in [3, 4] {
            let mut attempts = JoinSet::new();
            for n in 0..500 {
                let how = [Break::Close, Break::Reset, Break::ResetOnAnswer][n % 3];
                let server = server.clone();
                attempts.spawn(async move { break_one(&server, kind, version, how).await });
                if attempts.len() >= 50 {
                    attempts.join_next().await.unwrap().unwrap();
                }
            }
            while let Some(attempt) = attempts.join_next().await {
                attempt.unwrap();
            }
        }
    }
    server.until("no session is left", |server| server.io.sessions() == 0).await;
    server.until("no guest is left", |server| server.guests.sinks.lock().unwrap().is_empty()).await;
    assert_eq!(server.io.connections(), 0);
}
