//! The Socket.IO transport with the clients of every generation, and with broken ones.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use klatsch::transport::{
    Close, Received, Sink, Transport,
    listener::{ListenerSettings, serve},
    socketio::{Data, Frame, Packet, SocketIo, SocketIoSettings, SocketSink, SocketTransport},
};
use serde_json::{Value, json, value::RawValue};
use tokio::{net::TcpListener, sync::broadcast};
use tokio_util::sync::CancellationToken;

use crate::support::node::{GENERATIONS, Node, Way};

/// A server that answers on the channel it was asked on.
struct Server {
    address: SocketAddr,
    io: SocketIo,
    to_all: broadcast::Sender<Frame>,
    shutdown: CancellationToken,
}

impl Server {
    async fn start(settings: SocketIoSettings) -> Self {
        let (to_all, _) = broadcast::channel(1 << 16);
        let announcements = to_all.clone();
        let io = SocketIo::new(settings, move |transport| {
            tokio::spawn(talk(transport, announcements.subscribe()));
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let listening = ListenerSettings {
            user_timeout: Duration::from_secs(3),
            ..ListenerSettings::default()
        };
        tokio::spawn(serve(listener, io.routes(), listening, shutdown.clone()));
        Self { address, io, to_all, shutdown }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
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

async fn talk(mut transport: SocketTransport, mut announcements: broadcast::Receiver<Frame>) {
    let sink = transport.sink();
    loop {
        let done = tokio::select! {
            received = transport.receive() => match received {
                Some(Received::Frame(packet)) => answer(&sink, packet, &mut transport),
                Some(Received::Heartbeat) => Ok(()),
                None => return,
            },
            Ok(frame) = announcements.recv() => sink.send(frame),
        };
        if done.is_err() {
            sink.close(Close::TooSlow);
        }
    }
}

fn answer(
    sink: &SocketSink,
    packet: Packet,
    transport: &mut SocketTransport,
) -> Result<(), klatsch::transport::Full> {
    let answer = match packet.data {
        Data::Json(value) => value,
        other => json!(format!("{other:?}")),
    };
    match packet.channel.as_str() {
        "trust" => transport.trust(),
        "leave" => sink.close(Close::Violation),
        "stop" => sink.close(Close::Shutdown),
        _ => {}
    }
    let json = raw(&answer);
    match packet.ack {
        Some(to) => sink.send(Frame::Ack { to, json }),
        None => sink.send(Frame::Emit { channel: packet.channel.into(), json }),
    }
}

fn texts() -> Vec<String> {
    let mixed: String = "aé日😀\"\\Ã©\n\u{2028}".repeat(2000);
    ["hi", "é", "日本", "😀", "Ã©é", &mixed].map(str::to_owned).to_vec()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_generation_talks_on_every_transport() {
    let server = Server::start(SocketIoSettings::default()).await;
    let node = Node::start();
    for generation in GENERATIONS {
        for way in Way::ALL {
            for base64 in [false, true] {
                let opts = json!({"forceBase64": base64});
                let mut client = node.open(generation, way, &server.url(), opts).await;
                client.connected(way).await;
                for text in texts() {
                    client.emit("echo", json!({"text": text}));
                    let name = &client.name.clone();
                    assert_eq!(client.event("echo").await["text"], *text, "{name}");
                    let answer = client.ask("acked", json!([text, 1])).await;
                    assert_eq!(answer, json!([text, 1]), "{name}");
                }
                let state = client.perform("state", json!({})).await;
                let transport = if way == Way::Polling { "polling" } else { "websocket" };
                assert_eq!(state["transport"], transport, "{}", client.name);
                client.perform("close", json!({})).await;
            }
        }
    }
}
