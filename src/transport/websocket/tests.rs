use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::routing::any;
use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::transport::listener::{self, ListenerSettings};
use crate::transport::{Close, Farewell, Received, Sink, Transport};

const DEADLINE: Duration = Duration::from_secs(20);

type Client = WebSocketStream<MaybeTlsStream<TcpStream>>;

fn settings() -> RawSettings {
    RawSettings {
        frame_bytes: 1 << 20,
        first_frame_bytes: None,
        sink_frames: 64,
        sink_bytes: 1 << 20,
        ping: Duration::from_secs(20),
        silence: Duration::from_mins(1),
    }
}

struct Server {
    address: SocketAddr,
    sockets: mpsc::UnboundedReceiver<RawSocket>,
    stop: CancellationToken,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Server {
    async fn start(settings: RawSettings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, sockets) = mpsc::unbounded_channel();
        let open = any(move |request: Request| async move {
            upgrade(request, settings, move |socket| async move {
                let _ = sender.send(socket);
            })
        });
        let stop = CancellationToken::new();
        let router = Router::new().route("/", open);
        tokio::spawn(listener::serve(listener, router, ListenerSettings::default(), stop.clone()));
        Self { address, sockets, stop }
    }

    async fn connect(&mut self) -> (RawSocket, Client) {
        let (client, _) = connect_async(format!("ws://{}/", self.address)).await.unwrap();
        (self.sockets.recv().await.unwrap(), client)
    }
}

async fn pair(settings: RawSettings) -> (Server, RawSocket, Client) {
    let mut server = Server::start(settings).await;
    let (socket, client) = server.connect().await;
    (server, socket, client)
}

async fn received(socket: &mut RawSocket) -> Option<Received<Frame>> {
    timeout(DEADLINE, socket.receive()).await.expect("something comes in, or the end")
}

async fn read(client: &mut Client) -> Message {
    let message = timeout(DEADLINE, client.next()).await.expect("a message comes");
    message.expect("the connection lives").expect("a sound message")
}

async fn close_code(client: &mut Client) -> (u16, String) {
    loop {
        if let Message::Close(Some(frame)) = read(client).await {
            return (frame.code.into(), frame.reason.to_string());
        }
    }
}

#[tokio::test]
async fn frames_travel_both_ways_and_a_pong_proves_what_was_written() {
    let (_server, mut socket, mut client) = pair(settings()).await;
    let sink = socket.sink();
    sink.send("one".into()).unwrap();
    sink.send("two".into()).unwrap();
    assert_eq!(sink.probe(), 2);
    client.send(Message::text("three")).await.unwrap();
    // Reading answers pings.
    let reading = tokio::spawn(async move {
        let mut seen = Vec::new();
        while let Some(Ok(message)) = client.next().await {
            client.flush().await.unwrap();
            if let Message::Text(text) = message {
                seen.push(text.to_string());
            }
        }
        seen
    });
    let (mut proof, mut frame) = (0, None);
    while proof < 2 || frame.is_none() {
        match received(&mut socket).await.unwrap() {
            Received::Arrived(position) => proof = position,
            Received::Frame(said) => frame = Some(said),
            Received::Heartbeat => unreachable!("raw sockets know better"),
        }
    }
    assert_eq!(frame, Some(Frame::from("three")));
    drop(socket);
    assert_eq!(reading.await.unwrap(), ["one", "two"]);
}

#[tokio::test]
async fn a_proper_goodbye_proves_nothing() {
    let (_server, mut socket, mut client) = pair(settings()).await;
    socket.sink().send("one".into()).unwrap();
    socket.sink().probe();
    let reading = async {
        assert_eq!(read(&mut client).await, Message::text("one"));
        client.close(None).await.unwrap();
        while client.next().await.is_some_and(|message| message.is_ok()) {}
    };
    let ((), last) = tokio::join!(reading, async move {
        let mut last = 0;
        while let Some(received) = received(&mut socket).await {
            if let Received::Arrived(position) = received {
                last = position;
            }
        }
        (last, socket.farewell())
    });
    assert_eq!(last, (0, Farewell::Theirs(1005)));
}

#[tokio::test]
async fn a_connection_that_breaks_proves_nothing() {
    let (_server, mut socket, client) = pair(settings()).await;
    socket.sink().send("one".into()).unwrap();
    socket.sink().probe();
    drop(client);
    assert_eq!(received(&mut socket).await, None);
    assert_eq!(socket.farewell(), Farewell::Lost);
}

#[tokio::test]
async fn the_client_is_told_why_the_server_ends_a_connection() {
    let (_server, mut socket, mut client) = pair(settings()).await;
    socket.sink().send("last words".into()).unwrap();
    socket.sink().close(Close::Refused("login ended"));
    let ending = tokio::spawn(async move { received(&mut socket).await });
    assert_eq!(read(&mut client).await, Message::text("last words"));
    assert_eq!(close_code(&mut client).await, (1008, "login ended".to_owned()));
    while client.next().await.is_some_and(|message| message.is_ok()) {}
    assert_eq!(ending.await.unwrap(), None);
}

#[tokio::test]
async fn a_frame_above_the_limit_is_told_so_however_large_it_is() {
    for size in [(1 << 20) + 1, 17 << 20] {
        let (_server, mut socket, client) = pair(settings()).await;
        let ending = tokio::spawn(async move { received(&mut socket).await });
        let (mut write, mut reading) = client.split();
        let writing = tokio::spawn(async move {
            let _ = write.send(Message::binary(vec![7; size])).await;
        });
        let close = loop {
            let next = timeout(DEADLINE, reading.next()).await.unwrap();
            if let Message::Close(frame) = next.unwrap().unwrap() {
                break frame.unwrap();
            }
        };
        assert_eq!(u16::from(close.code), 1009);
        writing.await.unwrap();
        drop(reading);
        assert_eq!(ending.await.unwrap(), None);
    }
}

#[tokio::test]
async fn the_first_frame_is_small_until_the_client_is_trusted() {
    let first = RawSettings { first_frame_bytes: Some(16_384), ..settings() };
    let (_server, mut socket, mut client) = pair(first.clone()).await;
    let ending = tokio::spawn(async move { received(&mut socket).await });
    client.send(Message::text("x".repeat(16_385))).await.unwrap();
    assert_eq!(close_code(&mut client).await.0, 1009);
    drop(client);
    ending.await.unwrap();

    let (_server, mut socket, mut client) = pair(first).await;
    client.send(Message::text("x".repeat(16_384))).await.unwrap();
    client.send(Message::text("y".repeat(100_000))).await.unwrap();
    assert_eq!(
        received(&mut socket).await,
        Some(Received::Frame("x".repeat(16_384).as_str().into()))
    );
    socket.trust();
    let long = received(&mut socket).await;
    assert_eq!(long, Some(Received::Frame("y".repeat(100_000).as_str().into())));
}

#[tokio::test]
async fn text_that_is_no_utf_8_is_told_so() {
    use tokio::io::AsyncWriteExt;
    let (_server, mut socket, mut client) = pair(settings()).await;
    let ending = tokio::spawn(async move { received(&mut socket).await });
    // A masked text frame of one byte that begins no character.
    client.get_mut().write_all(&[0x81, 0x81, 0, 0, 0, 0, 0xff]).await.unwrap();
    assert_eq!(close_code(&mut client).await.0, 1007);
    drop(client);
    ending.await.unwrap();
}

#[tokio::test]
async fn a_reader_that_never_reads_is_ended_and_its_memory_is_bounded() {
    let (_server, mut socket, _client) = pair(settings()).await;
    let sink = socket.sink();
    let ending = tokio::spawn(async move { received(&mut socket).await });
    let frame: Utf8Bytes = "x".repeat(100_000).into();
    let mut sent = 0;
    while sink.send(frame.clone()).is_ok() {
        sent += 1;
        assert!(sent < 1000, "somebody takes it all");
        tokio::task::yield_now().await;
    }
    sink.close(Close::TooSlow);
    assert_eq!(ending.await.unwrap(), None);
}

#[tokio::test]
async fn long_replies_are_written_as_the_client_reads() {
    let (_server, mut socket, mut client) = pair(settings()).await;
    let sink = socket.sink();
    for _ in 0..200 {
        sink.send_reply("x".repeat(100_000).into()).unwrap();
    }
    let reading = async {
        let mut bytes = 0;
        while bytes < 20_000_000 {
            bytes += read(&mut client).await.len();
        }
    };
    tokio::join!(reading, socket.flush());
}

#[tokio::test]
async fn a_client_that_is_doubted_and_silent_is_lost() {
    let (_server, mut socket, _client) = pair(settings()).await;
    socket.sink().doubt(Duration::from_millis(50));
    assert_eq!(received(&mut socket).await, None);
    assert_eq!(socket.farewell(), Farewell::Lost);
}

#[tokio::test]
async fn a_plain_request_is_told_what_is_spoken_here() {
    let server = Server::start(settings()).await;
    let answer = reqwest::get(format!("http://{}/", server.address)).await.unwrap();
    assert_eq!(answer.status(), 426);
    assert_eq!(answer.headers()["upgrade"], "websocket");
}

#[tokio::test]
async fn a_frame_that_is_too_large_can_be_sent_to_its_end_before_anything_is_read() {
    let (_server, mut socket, mut client) = pair(settings()).await;
    let serving = tokio::spawn(async move { while received(&mut socket).await.is_some() {} });
    client.send(Message::binary(vec![0; 16 << 20])).await.unwrap();
    assert_eq!(close_code(&mut client).await.0, 1009);
    drop(client);
    serving.await.unwrap();
}
