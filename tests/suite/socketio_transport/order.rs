//! Nothing overtakes, nothing is lost.

use std::{sync::atomic::Ordering, time::Duration};

use futures_util::{SinkExt, StreamExt};
use klatsch::transport::socketio::SocketIoSettings;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::Server;
use crate::support::node::{GENERATIONS, Node, Way};

#[tokio::test(flavor = "multi_thread")]
async fn three_thousand_packets_sent_on_connecting_arrive_in_order() {
    let server = Server::start(SocketIoSettings::default()).await;
    let node = Node::start();
    let burst = json!({"event": "count", "count": 3000, "extra": {"last": 2999}});
    for generation in GENERATIONS {
        for way in Way::ALL {
            let command = json!({"client": generation, "burst": burst});
            let mut client = node.open_with(command, way, &server.url()).await;
            assert_eq!(client.event("counted").await, 3000, "{}", client.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_at_an_upgrade() {
    const ROUND: usize = 20;
    let server = Server::start(SocketIoSettings::default()).await;
    let node = Node::start();
    let burst = json!({"event": "echo", "count": 40, "extra": {"text": "é".repeat(1000)}});
    for generation in GENERATIONS {
        let mut clients = Vec::new();
        for _ in 0..ROUND {
            let command = json!({"client": generation, "burst": burst});
            clients.push(node.open_with(command, Way::Upgrade, &server.url()).await);
        }
        // While they change over, large news come as well.
        server
            .until("all are here", |server| server.guests.sinks.lock().unwrap().len() == ROUND)
            .await;
        for n in 0..5 {
            server.announce(&json!({"n": n, "text": "x".repeat(40_000)})).await;
        }
        for client in &mut clients {
            let (mut echoes, mut news) = (0, 0);
            while echoes < 40 || news < 5 {
                match client.next().await {
                    crate::support::node::Report::Event(event, args) => {
                        let counter = if event == "news" { &mut news } else { &mut echoes };
                        assert_eq!(args[0]["n"], *counter, "{} {event}", client.name);
                        *counter += 1;
                    }
                    crate::support::node::Report::Life(life, args) => {
                        assert!(life == "connect" || life == "upgrade", "{life} {args:?}");
                    }
                }
            }
            client.command("close", &json!({}));
        }
        server.until("all have left", |server| server.io.sessions() == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_news_cuts_no_healthy_reader() {
    const READERS: usize = 200;
    const NEWS: usize = 500;
    let server = Server::start(SocketIoSettings::default()).await;
    let address = server.path("EIO=4&transport=websocket").replace("http", "ws");
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let (mut socket, _) = tokio_tungstenite::connect_async(&address).await.unwrap();
        socket.send(Message::text("40")).await.unwrap();
        readers.push(tokio::spawn(async move {
            let mut read = 0;
            while read < NEWS {
                let message = socket.next().await.unwrap().unwrap().into_text().unwrap();
                read += usize::from(message.starts_with("42[\"news\""));
            }
            socket
        }));
    }
    server
        .until("all are here", |server| server.guests.sinks.lock().unwrap().len() == READERS)
        .await;
    let news = json!({"text": "x".repeat(200)});
    for _ in 0..NEWS {
        server.announce(&news).await;
    }
    let mut sockets = Vec::new();
    for reader in readers {
        sockets.push(reader.await.unwrap());
    }
    assert_eq!(server.io.connections(), READERS);
}

#[tokio::test(flavor = "multi_thread")]
async fn heartbeats_are_told() {
    let settings = SocketIoSettings {
        ping_interval: Duration::from_millis(200),
        ping_timeout: Duration::from_secs(2),
        ..SocketIoSettings::default()
    };
    let node = Node::start();
    for generation in GENERATIONS {
        for way in Way::ALL {
            let server = Server::start(settings.clone()).await;
            let mut client = node.connect(generation, way, &server.url()).await;
            let beats = |server: &Server| server.guests.heartbeats.load(Ordering::Relaxed);
            let before = beats(&server);
            server.until(&client.name, |server| beats(server) >= before + 2).await;
            client.emit("echo", 1);
            assert_eq!(client.event("echo").await, 1, "{}", client.name);
        }
    }
}
