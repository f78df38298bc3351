//! A client of raw `WebSockets` that hears every frame in order, and can vanish without a word.
//!
//! It answers the server's pings only while it reads: who reads one frame and stops has
//! proved nothing about that frame.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::world::DEADLINE;

/// A connection; dropping it breaks it without a goodbye.
pub(crate) struct Raw {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    probes: u8,
}

/// What a client hears.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Heard {
    Text(String),
    Bytes(Vec<u8>),
    /// The server said goodbye, with code and reason.
    Closed(u16, String),
    /// The connection broke.
    Lost,
}

impl Raw {
    /// Connects, with further headers in the handshake.
    pub(crate) async fn connect(url: &str, headers: &[(&str, &str)]) -> Self {
        match Self::try_connect(url, headers).await {
            Ok(raw) => raw,
            Err(status) => panic!("{url} answers {status}"),
        }
    }

    /// The same; the status where no connection was opened.
    pub(crate) async fn try_connect(url: &str, headers: &[(&str, &str)]) -> Result<Self, u16> {
        Self::open(url, headers, None).await
    }

    /// Connects with so few bytes of room for what is not read that the system does not widen it.
    pub(crate) async fn connect_with_room(url: &str, headers: &[(&str, &str)], room: u32) -> Self {
        match Self::open(url, headers, Some(room)).await {
            Ok(raw) => raw,
            Err(status) => panic!("{url} answers {status}"),
        }
    }

    async fn open(url: &str, headers: &[(&str, &str)], room: Option<u32>) -> Result<Self, u16> {
        let mut request = url.into_client_request().expect("an address");
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a header's name");
            let value = HeaderValue::from_str(value).expect("a header's value");
            request.headers_mut().insert(name, value);
        }
        let connecting = async {
            let Some(room) = room else {
                return tokio_tungstenite::connect_async(request).await;
            };
            let address = request.uri().authority().expect("an address").as_str().parse();
            let socket = TcpSocket::new_v4()?;
            socket.set_recv_buffer_size(room)?;
            let stream = socket.connect(address.expect("numbers")).await?;
            tokio_tungstenite::client_async(request, MaybeTlsStream::Plain(stream)).await
        };
        match timeout(DEADLINE, connecting).await.expect("an answer in time") {
            Ok((stream, _)) => Ok(Self { stream, probes: 0 }),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{url}: {error}"),
        }
    }

    /// Sends a text.
    pub(crate) async fn send(&mut self, text: impl Into<String>) {
        self.put(Message::text(text.into())).await;
    }

    /// Sends a JSON value.
    pub(crate) async fn send_json(&mut self, value: &Value) {
        self.send(value.to_string()).await;
    }

    /// Sends bytes.
    pub(crate) async fn send_bytes(&mut self, bytes: Vec<u8>) {
        self.put(Message::binary(bytes)).await;
    }

    /// Sends any frame; that the connection has ended is for the reader to find out.
    pub(crate) async fn put(&mut self, message: Message) {
        let _ = timeout(DEADLINE, self.stream.send(message)).await.expect("it is read in time");
    }

    /// The next thing that is heard.
    pub(crate) async fn next(&mut self) -> Heard {
        // Pings that come meanwhile are no reason to wait for ever.
        let heard = timeout(3 * DEADLINE, async {
            loop {
                match self.read().await {
                    Some(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
                    other => return heard(other),
                }
            }
        });
        heard.await.expect("something is heard in time")
    }

    /// The next thing that is heard within a time, for what has no other end.
    pub(crate) async fn next_within(&mut self, time: Duration) -> Option<Heard> {
        timeout(time, self.next()).await.ok()
    }

    /// The next text.
    pub(crate) async fn text(&mut self) -> String {
        match self.next().await {
            Heard::Text(text) => text,
            other => panic!("not a text: {other:?}"),
        }
    }

    /// The next text, which is JSON.
    pub(crate) async fn json(&mut self) -> Value {
        let text = self.text().await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
    }

    /// The next text, which is this JSON.
    #[track_caller]
    pub(crate) fn reads(&mut self, value: Value) -> impl Future<Output = ()> + '_ {
        let here = std::panic::Location::caller();
        async move {
            let read = self.json().await;
            assert_eq!(read, value, "at {here}");
        }
    }

    /// Nothing has been sent: the answer to a ping comes first. Whatever may have caused
    /// something must be done by now.
    #[track_caller]
    pub(crate) fn reads_nothing(&mut self) -> impl Future<Output = ()> + '_ {
        let here = std::panic::Location::caller();
        async move {
            let read = self.drain().await;
            assert!(read.is_empty(), "at {here}: {read:?}");
        }
    }

    /// Everything that was sent before the server answers a ping.
    pub(crate) async fn drain(&mut self) -> Vec<Heard> {
        self.probes = self.probes.wrapping_add(1);
        let probe = vec![b'?', self.probes];
        self.put(Message::Ping(probe.clone().into())).await;
        let mut all = Vec::new();
        loop {
            match self.read().await {
                Some(Message::Pong(payload)) if payload == probe => return all,
                Some(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) => {}
                other => {
                    let last = heard(other);
                    let ends = matches!(last, Heard::Closed(..) | Heard::Lost);
                    all.push(last);
                    if ends {
                        return all;
                    }
                }
            }
        }
    }

    /// The code and reason with which the server ends the connection, which is the next thing.
    pub(crate) async fn closed(&mut self) -> (u16, String) {
        match self.next().await {
            Heard::Closed(code, reason) => (code, reason),
            other => panic!("not closed: {other:?}"),
        }
    }

    /// Says goodbye, and waits until the server has answered; what was sent before that.
    pub(crate) async fn close(mut self) -> Vec<Heard> {
        self.put(Message::Close(None)).await;
        let mut all = Vec::new();
        loop {
            match self.next().await {
                Heard::Closed(..) | Heard::Lost => return all,
                other => all.push(other),
            }
        }
    }

    /// Vanishes without a word.
    pub(crate) fn vanish(self) {
        drop(self);
    }

    async fn read(&mut self) -> Option<Message> {
        let next = timeout(DEADLINE, self.stream.next()).await;
        next.expect("a frame in time").and_then(Result::ok)
    }
}

fn heard(message: Option<Message>) -> Heard {
    match message {
        Some(Message::Text(text)) => Heard::Text(text.to_string()),
        Some(Message::Binary(bytes)) => Heard::Bytes(bytes.to_vec()),
        Some(Message::Close(Some(frame))) => {
            Heard::Closed(frame.code.into(), frame.reason.to_string())
        }
        Some(Message::Close(None)) => Heard::Closed(1005, String::new()),
        Some(Message::Ping(_) | Message::Pong(_) | Message::Frame(_)) | None => Heard::Lost,
    }
}
