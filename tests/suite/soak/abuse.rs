//! What a stranger, or one account, may try: each from an address of its own, in bounded numbers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_util::sync::CancellationToken;

use crate::support::site::Wire;

/// How long one try may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Another address of this machine than that of the honest.
const SOURCE: &str = "127.0.0.66:0";

/// What is attacked, and by whom.
#[derive(Clone)]
pub(super) struct Target {
    url: String,
    address: SocketAddr,
    room: i64,
    token: String,
}

/// Attacks under way: the name of each, and how often it has been tried.
pub(super) struct Attacks(JoinSet<(&'static str, usize)>);

impl Target {
    /// Fills a conversation, so that there is something large to ask for.
    pub(super) async fn prepare(url: &str, room: i64, token: String) -> Self {
        let mut wire = Wire::open(url, &token).await.expect("it is let in");
        for _ in 0..300 {
            let message = json!({ "conversation_id": room, "text_message": "w".repeat(8000) });
            let answer = wire.ask("message", &message).await.expect("it is answered");
            assert_eq!(answer["success"], true, "{answer}");
        }
        let address = url.strip_prefix("http://").unwrap().parse().unwrap();
        Self { url: url.to_owned(), address, room, token }
    }

    /// Starts all of them.
    pub(super) fn start(&self, stop: &CancellationToken) -> Attacks {
        let mut all = JoinSet::new();
        self.repeat(&mut all, stop, "sessions by polling", 20, Self::poll);
        self.repeat(&mut all, stop, "attachments", 300, Self::attach);
        self.repeat(&mut all, stop, "deep JSON", 500, Self::nest);
        self.repeat(&mut all, stop, "uploads without a boundary", 1000, Self::upload);
        self.repeat(&mut all, stop, "bodies that stop", 20, Self::stall);
        self.repeat(&mut all, stop, "streams of one byte", 20, Self::whisper);
        self.repeat(&mut all, stop, "a frame of 16 MiB", 2000, Self::flood);
        self.repeat(&mut all, stop, "large lists", 20, Self::list);
        self.repeat(&mut all, stop, "commands without a pause", 0, Self::command);
        self.repeat(&mut all, stop, "wrong passwords", 100, Self::guess);
        self.repeat(&mut all, stop, "calls", 500, Self::call);
        Attacks(all)
    }

    /// Tries again and again, with so many milliseconds between.
    fn repeat<F: Future<Output = std::io::Result<()>> + Send + 'static>(
        &self,
        all: &mut JoinSet<(&'static str, usize)>,
        stop: &CancellationToken,
        name: &'static str,
        pause: u64,
        attack: fn(Self) -> F,
    ) {
        let (target, stop) = (self.clone(), stop.clone());
        all.spawn(async move {
            let mut tries = 0;
            while !stop.is_cancelled() {
                // Refused, cut off or served: all of it is fine for who tries.
                let attempt = timeout(PATIENCE, attack(target.clone()));
                let _ = stop.run_until_cancelled(attempt).await;
                tries += 1;
                sleep(Duration::from_millis(pause)).await;
            }
            (name, tries)
        });
    }

    async fn connect(&self) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SOURCE.parse().unwrap())?;
        socket.connect(self.address).await
    }

    /// Sends a request as it is and reads all of the answer.
    async fn ask(&self, head: &str, body: &[u8]) -> std::io::Result<()> {
        let mut stream = self.connect().await?;
        let head = format!("{head}\r\nHost: x\r\nConnection: close\r\n");
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes()).await?;
        stream.write_all(body).await?;
        let mut part = vec![0; 64 << 10];
        while stream.read(&mut part).await? > 0 {}
        Ok(())
    }

    async fn post(&self, path: &str, body: &str) -> std::io::Result<()> {
        self.ask(&format!("POST {path} HTTP/1.1"), body.as_bytes()).await
    }

    async fn poll(self) -> std::io::Result<()> {
        self.ask("GET /socket.io/?EIO=3&transport=polling HTTP/1.1", b"").await
    }

    async fn attach(self) -> std::io::Result<()> {
        let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket", self.address);
        let stream = self.connect().await?;
        let opened = tokio_tungstenite::client_async(url, stream).await;
        let (mut socket, _) = opened.map_err(std::io::Error::other)?;
        let part = Bytes::from(vec![0; 300_000]);
        let mut frames = vec![Message::text("40"), Message::text("4564-[\"message\",{}]")];
        frames.extend(std::iter::repeat_with(|| Message::Binary(part.clone())).take(12));
        for frame in frames {
            socket.send(frame).await.map_err(std::io::Error::other)?;
        }
        sleep(Duration::from_secs(1)).await;
        Ok(())
    }

    async fn nest(self) -> std::io::Result<()> {
        let items = vec![r#"{"":0}"#; 140_000].join(",");
        let body = format!(r#"{{"email":"a@b","password":"x","x":[{items}]}}"#);
        self.post("/account/login", &body).await
    }

    async fn upload(self) -> std::io::Result<()> {
        let mut stream = self.connect().await?;
        let head = format!(
            "POST /media/upload/1 HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\n\
             Content-Type: multipart/form-data; boundary=never\r\nContent-Length: {}\r\n\r\n",
            self.token,
            64 << 20
        );
        stream.write_all(head.as_bytes()).await?;
        for _ in 0..128 {
            stream.write_all(&vec![b'-'; 64 << 10]).await?;
        }
        Ok(())
    }

    async fn stall(self) -> std::io::Result<()> {
        let mut stream = self.connect().await?;
        let head = "POST /account/login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{";
        stream.write_all(head.as_bytes()).await?;
        tokio::spawn(async move {
            sleep(Duration::from_secs(10)).await;
            drop(stream);
        });
        Ok(())
    }

    async fn whisper(self) -> std::io::Result<()> {
        let mut stream = self.connect().await?;
        stream.write_all(&[0]).await?;
        tokio::spawn(async move {
            sleep(Duration::from_secs(10)).await;
            drop(stream);
        });
        Ok(())
    }

    async fn flood(self) -> std::io::Result<()> {
        let url = format!("ws://{}/members/chat/?other_member_id=1", self.address);
        let stream = self.connect().await?;
        let opened = tokio_tungstenite::client_async(url, stream).await;
        let (mut socket, _) = opened.map_err(std::io::Error::other)?;
        let items = vec![r#"{"":0}"#; 2_300_000].join(",");
        for text in [format!("Bearer {}", self.token), format!("[{items}]")] {
            socket.send(Message::text(text)).await.map_err(std::io::Error::other)?;
        }
        while let Some(Ok(_)) = socket.next().await {}
        Ok(())
    }

    async fn list(self) -> std::io::Result<()> {
        let body = json!({ "token": self.token, "conversation_id": self.room });
        self.post("/conversation/info", &body.to_string()).await
    }

    async fn command(self) -> std::io::Result<()> {
        let message =
            json!({ "token": self.token, "conversation_id": self.room, "text_message": "hi" });
        self.post("/message/send", &message.to_string()).await
    }

    async fn guess(self) -> std::io::Result<()> {
        let body = json!({ "email": "honest0@example.org", "password": "wrong" });
        self.post("/account/login", &body.to_string()).await
    }

    async fn call(self) -> std::io::Result<()> {
        let gone = |_| std::io::Error::other("cut off");
        let mut wire = Wire::open(&self.url, &self.token).await.map_err(gone)?;
        for _ in 0..200 {
            let start = json!({ "action": "start", "conversation_id": self.room });
            let call = wire.ask("webrtc_call", &start).await.map_err(gone)?;
            let cancel = json!({ "action": "cancel", "call_id": call["call_id"] });
            wire.ask("webrtc_call", &cancel).await.map_err(gone)?;
        }
        Ok(())
    }
}

impl Attacks {
    /// Waits for the last tries; how often each was tried.
    pub(super) async fn finish(mut self) -> String {
        let mut tries = BTreeMap::new();
        while let Some(done) = self.0.join_next().await {
            let (name, count) = done.unwrap();
            tries.insert(name, count);
        }
        let tries: Vec<_> = tries.iter().map(|(name, count)| format!("{name} {count}")).collect();
        tries.join(", ")
    }
}
