//! The servers, each in a process and on a core of its own; ours is the one that is shipped.

use std::io::BufRead as _;
use std::process::{Child, Command, Stdio};

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::routing::any;
use futures_util::SinkExt as _;
use serde_json::Value;
use serde_json::value::RawValue;
use socketioxide::SocketIo;
use socketioxide::extract::{AckSender, Data, SocketRef, TryData};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::Contender;
use crate::usage::{self, Usage};

/// What is measured is not how much somebody may send.
const UNBOUNDED: [(&str, &str); 6] = [
    ("KLATSCH_LIMITS__SOCKETS_PER_USER", "10000"),
    ("KLATSCH_LIMITS__FRAMES_PER_SECOND", "1000000"),
    ("KLATSCH_NEO__EVENTS_PER_SECOND", "1000000"),
    ("KLATSCH_NEO__EVENTS_BURST", "1000000"),
    ("KLATSCH_LIMITS__CONNECTIONS", "100000"),
    ("RUST_LOG", "error"),
];

/// An idle connection is one that hears of nobody.
const IDLE: [(&str, &str); 1] = [("KLATSCH_MULTICHAT__NOTIFY_ENTER_LEAVE", "false")];

/// A server in a process and on a core of its own.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
    _data: tempfile::TempDir,
}

impl Server {
    /// Starts a contender and waits until it listens.
    pub(crate) fn start(contender: Contender) -> Self {
        Self::start_with(contender, &[])
    }

    /// The same, to see what its idle connections cost.
    pub(crate) fn start_idle(contender: Contender) -> Self {
        Self::start_with(contender, &IDLE)
    }

    fn start_with(contender: Contender, variables: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut command = if contender.is_klatsch() {
            let mut command = Command::new(env!("CARGO_BIN_EXE_klatsch"));
            command.arg("serve").env("KLATSCH_DATA_DIR", data.path()).envs(UNBOUNDED);
            for own in ["KLATSCH_BENCH_ROUNDS", "KLATSCH_BENCH_ONLY"] {
                command.env_remove(own);
            }
            for part in ["HTTP", "TURN", "COURIER", "PRIVATE_CHAT"] {
                command.env(format!("KLATSCH_{part}__LISTEN"), "127.0.0.1:0");
            }
            command
        } else {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["serve", contender.name()]);
            command
        };
        command.envs(variables.iter().copied());
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        usage::pin_to_core(child.id(), 0);
        let lines = std::io::BufReader::new(child.stdout.take().unwrap()).lines();
        let mut told = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
        let http = told.find(|told| told["part"] == "http").expect("it listens");
        let address = http["address"].as_str().unwrap().to_owned();
        // What else it tells is read as well, or it could not tell it.
        std::thread::spawn(move || told.for_each(drop));
        Self { child, address, _data: data }
    }
}

impl Server {
    /// What it has used so far.
    pub(crate) fn usage(&self) -> Usage {
        Usage::of(self.child.id())
    }

    /// Memory it holds once it neither takes nor gives back any, in KiB.
    pub(crate) async fn settled_kib(&self) -> f64 {
        let mut last = f64::NAN;
        let mut same = 0;
        for _ in 0..40 {
            tokio::time::sleep(Duration::from_millis(250)).await;
            let now = self.usage().resident_kib;
            same = if (now - last).abs() < 64.0 { same + 1 } else { 0 };
            last = now;
            if same == 8 {
                break;
            }
        }
        last
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves the contender of this name.
pub(crate) fn serve(name: &str) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        match name {
            "plain socketioxide" => plain_socketioxide().await,
            _ => bare_axum().await,
        }
    });
}

async fn listen() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    println!("{}", serde_json::json!({ "part": "http", "address": address }));
    listener
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
    // The library's own buffers of 128 KiB are cleared at each read, which would cost most.
    let upgrade = upgrade.read_buffer_size(4 << 10).write_buffer_size(4 << 10);
    upgrade.on_upgrade(move |socket| converse(room, socket))
}

async fn converse(room: Room, mut socket: WebSocket) {
    let (sender, mut queue) = mpsc::unbounded_channel::<Utf8Bytes>();
    room.lock().unwrap().push(sender);
    loop {
        tokio::select! {
            text = queue.recv() => {
                let Some(text) = text else { return };
                let mut written = socket.feed(Message::Text(text)).await;
                // What has come meanwhile goes into the same write.
                while let Ok(text) = queue.try_recv() {
                    written = written.and(socket.feed(Message::Text(text)).await);
                }
                if written.and(socket.flush().await).is_err() {
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
