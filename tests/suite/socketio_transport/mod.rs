//! The Socket.IO transport with the clients of every generation, and with broken ones.

mod ending;
mod handshakes;
mod official;
mod order;
mod packets;
mod polling;
mod upgrades;

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use klatsch::transport::{
    Close, Full, Received, Sink, Transport,
    listener::{ListenerSettings, serve},
    socketio::{Data, Frame, Packet, SocketIo, SocketIoSettings, SocketSink, SocketTransport},
};
use serde_json::{Value, json, value::RawValue};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// A server that answers on the channel it was asked on, and does a few things by name.
struct Server {
    address: SocketAddr,
    io: SocketIo,
    guests: Arc<Guests>,
    shutdown: CancellationToken,
}

/// Who is there.
#[derive(Default)]
struct Guests {
    sinks: Mutex<Vec<SocketSink>>,
    heartbeats: AtomicUsize,
}

impl Server {
    async fn start(settings: SocketIoSettings) -> Self {
        let guests = Arc::new(Guests::default());
        let io = SocketIo::new(settings, {
            let guests = guests.clone();
            move |transport| {
                tokio::spawn(talk(transport, guests.clone()));
            }
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let listening = ListenerSettings {
            user_timeout: Duration::from_secs(2),
            ..ListenerSettings::default()
        };
        tokio::spawn(serve(listener, io.routes(), listening, shutdown.clone()));
        Self { address, io, guests, shutdown }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn path(&self, query: &str) -> String {
        format!("{}/socket.io/?{query}", self.url())
    }

    /// Sends an event to everybody; who has no room is let go.
    async fn announce(&self, argument: &Value) {
        let sinks = self.guests.sinks.lock().unwrap().clone();
        let json = raw(argument);
        for sink in sinks {
            if sink.send(Frame::emit("news", json.clone())).is_err() {
                sink.close(Close::TooSlow);
            }
            tokio::task::yield_now().await;
        }
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !holds(self) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), waiting).await;
        let (sessions, connections) = (self.io.sessions(), self.io.connections());
        assert!(waited.is_ok(), "{what}: {sessions} sessions, {connections} connections");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

fn raw(value: &Value) -> Arc<RawValue> {
    serde_json::value::to_raw_value(value).unwrap().into()
}

async fn talk(mut transport: SocketTransport, guests: Arc<Guests>) {
    let sink = transport.sink();
    guests.sinks.lock().unwrap().push(sink.clone());
    let mut expected = 0;
    while let Some(received) = transport.receive().await {
        let Received::Frame(packet) = received else {
            guests.heartbeats.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        match (packet.channel.as_str(), &packet.data) {
            ("nap", _) => tokio::time::sleep(Duration::from_millis(500)).await,
            ("trust", _) => transport.trust(),
            ("leave", _) => {
                answer(&sink, packet).unwrap();
                sink.close(Close::Violation);
                continue;
            }
            ("stop", _) => {
                answer(&sink, packet).unwrap();
                sink.close(Close::Shutdown);
                continue;
            }
            ("count", Data::Json(json)) => {
                let value: serde_json::Value = serde_json::from_str(json.get()).unwrap();
                // Says how far it came in order, when the last one is there.
                expected += i64::from(value["n"] == expected);
                if value["n"] == value["last"] {
                    let frame = Frame::emit("counted", raw(&json!(expected)));
                    sink.send(frame).unwrap();
                }
                continue;
            }
            _ => {}
        }
        if answer(&sink, packet).is_err() {
            sink.close(Close::TooSlow);
        }
    }
    guests.sinks.lock().unwrap().retain(|other| !other.is_same(&sink));
}

fn answer(sink: &SocketSink, packet: Packet) -> Result<(), Full> {
    let answer = match packet.data {
        Data::Json(json) => serde_json::from_str(json.get()).unwrap(),
        other => json!(format!("{other:?}")),
    };
    let json = raw(&answer);
    sink.send(match packet.ack {
        Some(to) => Frame::Ack { to, json },
        // Newer clients break off if they are sent their own word.
        None if packet.channel == "disconnect" => Frame::emit("heard", json),
        None => Frame::Emit { channel: packet.channel.into(), json },
    })
}
