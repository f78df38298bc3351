//! The three servers, each in a process of its own that prints its address and serves until
//! it is killed.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::routing::any;
use klatsch::app::App;
use klatsch::settings::Settings;
use serde_json::Value;
use serde_json::value::RawValue;
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef, TryData};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Serves the contender of this name.
pub(crate) fn serve(name: &str) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        match name {
            name if name.starts_with("klatsch") => klatsch().await,
            "plain socketioxide" => plain_socketioxide().await,
            _ => bare_axum().await,
        }
    });
}

async fn listen() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    listener
}

async fn klatsch() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings { data_dir: folder.path().to_owned(), ..Settings::default() };
    settings.limits.sockets_per_user = std::num::NonZero::new(10_000).unwrap();
    settings.limits.frames_per_second = std::num::NonZero::new(1_000_000).unwrap();
    settings.neo.events_per_second = std::num::NonZero::new(1_000_000).unwrap();
    settings.neo.events_burst = std::num::NonZero::new(1_000_000).unwrap();
    let app = App::start(settings).await.unwrap();
    let listener = listen().await;
    app.serve(listener, CancellationToken::new()).await;
}

/// A room broadcast, as the library's own documentation does it.
async fn plain_socketioxide() {
    let (layer, io) = SocketIo::builder().max_buffer_size(1024).build_layer();
    io.ns("/", async |socket: SocketRef, io: SocketIo| {
        socket.join("room");
        socket.on("message", async move |Data(text): Data<Box<RawValue>>, ack: AckSender| {
            let _ = io.to("room").emit("message", &text).await;
            let _ = ack.send(&serde_json::json!({ "success": true }));
        });
        socket.on("noop", async |TryData(_): TryData<Value>| {});
    });
    axum::serve(listen().await, Router::new().layer(layer)).await.unwrap();
}

type Room = Arc<Mutex<Vec<mpsc::UnboundedSender<Utf8Bytes>>>>;

/// The least that can be done: the same bytes, a queue and a task for each connection.
async fn bare_axum() {
    let room = Room::default();
    let router = Router::new().route("/", any(upgrade)).with_state(room);
    axum::serve(listen().await, router).await.unwrap();
}

async fn upgrade(State(room): State<Room>, upgrade: WebSocketUpgrade) -> axum::response::Response {
    upgrade.on_upgrade(move |socket| converse(room, socket))
}

async fn converse(room: Room, mut socket: WebSocket) {
    let (sender, mut queue) = mpsc::unbounded_channel::<Utf8Bytes>();
    room.lock().unwrap().push(sender);
    loop {
        tokio::select! {
            text = queue.recv() => {
                let Some(text) = text else { return };
                if socket.send(Message::Text(text)).await.is_err() {
                    return;
                }
            }
            received = socket.recv() => match received {
                Some(Ok(Message::Text(text))) => {
                    for sender in room.lock().unwrap().iter() {
                        let _ = sender.send(text.clone());
                    }
                }
                Some(Ok(_)) => {}
                _ => return,
            },
        }
    }
}
