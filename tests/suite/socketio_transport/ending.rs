//! Connections end when they should, and no other does.

use std::time::Duration;

use klatsch::transport::socketio::{InboxBounds, SocketIoSettings};
use serde_json::{Value, json};

use super::Server;
use crate::support::node::{Node, Report, Way};

const SOME: [&str; 3] = ["sio136", "sio250", "sio48"];

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_reader_is_let_go_and_the_others_notice_nothing() {
    let settings = SocketIoSettings { sink_frames: 64, ..SocketIoSettings::default() };
    let server = Server::start(settings).await;
    let node = Node::start();
    for generation in SOME {
        for way in Way::ALL {
            let mut healthy = node.connect(generation, Way::WebSocket, &server.url()).await;
            let mut polling = node.connect(generation, Way::Polling, &server.url()).await;
            let paused = node.connect(generation, way, &server.url()).await;
            paused.perform("pause", &json!({})).await;
            let text = "x".repeat(20_000);
            let mut sent = 0;
            while server.io.connections() == 3 {
                assert!(sent < 1000, "{} is still there", paused.name);
                server.announce(&json!({"n": sent, "text": text})).await;
                sent += 1;
                if sent % 20 == 0 {
                    // The others may be no slower than Node.
                    healthy.ask("echo", 1).await;
                    polling.ask("echo", 1).await;
                }
            }
            for reader in [&mut healthy, &mut polling] {
                for n in 0..sent {
                    assert_eq!(reader.event("news").await["n"], n, "{}", reader.name);
                }
                let leftovers = reader.reported();
                assert!(!leftovers.iter().any(|r| matches!(r, Report::Life(..))), "{leftovers:?}");
                reader.command("close", &json!({}));
            }
            paused.command("close", &json!({}));
            server.until("all have left", |server| server.io.sessions() == 0).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_takes_nothing_is_given_up_by_the_kernel() {
    let server = Server::start(SocketIoSettings::default()).await;
    let node = Node::start();
    let paused = node.connect("sio48", Way::WebSocket, &server.url()).await;
    paused.perform("pause", &json!({})).await;
    // Too much for the kernel, too little for the sink.
    let text = "x".repeat(1_000_000);
    for n in 0..30 {
        server.announce(&json!({"n": n, "text": text})).await;
    }
    server.until("it has gone", |server| server.io.sessions() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn last_words_are_heard_before_the_end() {
    let server = Server::start(SocketIoSettings::default()).await;
    let node = Node::start();
    for generation in SOME {
        for way in Way::ALL {
            for (channel, is_final) in [("leave", true), ("stop", false)] {
                let mut client = node.connect(generation, way, &server.url()).await;
                client.emit(channel, "last words");
                assert_eq!(client.event(channel).await, "last words", "{}", client.name);
                let reason = client.life("disconnect").await.remove(0);
                let told = reason == "io server disconnect";
                assert_eq!(told, is_final, "{} {channel}: {reason}", client.name);
            }
        }
    }
    server.until("all have left", |server| server.io.sessions() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_overruns_the_inbox_is_cut_off() {
    let inbox = InboxBounds { packets: 100, bytes: 1 << 20, untrusted_bytes: 10_000 };
    let settings = SocketIoSettings { inbox, ..SocketIoSettings::default() };
    let server = Server::start(settings).await;
    let node = Node::start();
    let burst = |count: usize, len: usize| {
        json!({"event": "count", "count": count,
            "extra": {"last": count - 1, "text": "x".repeat(len)}})
    };
    for way in Way::ALL {
        let mut stranger = node.connect("sio48", way, &server.url()).await;
        stranger.emit("nap", 1);
        stranger.perform("burst", &burst(20, 1000)).await;
        stranger.life("disconnect").await;

        let mut friend = node.connect("sio48", way, &server.url()).await;
        friend.ask("trust", Value::Null).await;
        friend.emit("nap", 1);
        friend.perform("burst", &burst(20, 1000)).await;
        assert_eq!(friend.event("counted").await, 20, "{}", friend.name);
        friend.emit("nap", 1);
        friend.perform("burst", &burst(200, 1)).await;
        friend.life("disconnect").await;
    }
    server.until("all have left", |server| server.io.sessions() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_vanishes_is_missed() {
    let settings = SocketIoSettings {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(700),
        ..SocketIoSettings::default()
    };
    let server = Server::start(settings).await;
    let node = Node::start();
    for generation in SOME {
        let _killed = {
            let client = node.connect(generation, Way::WebSocket, &server.url()).await;
            client.perform("kill", &json!({})).await;
            client
        };
        let _silent = {
            let client = node.connect(generation, Way::Polling, &server.url()).await;
            client.perform("pause", &json!({})).await;
            client
        };
    }
    drop(node);
    server.until("all have left", |server| server.io.sessions() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_down_takes_leave_of_all_and_welcomes_nobody() {
    let server = Server::start(SocketIoSettings::default()).await;
    let node = Node::start();
    let mut clients = Vec::new();
    for generation in SOME {
        for way in Way::ALL {
            clients.push(node.connect(generation, way, &server.url()).await);
        }
    }
    let before = tokio::time::Instant::now();
    server.io.drain(Duration::from_millis(500)).await;
    assert!(before.elapsed() >= Duration::from_millis(400));
    assert!(before.elapsed() < Duration::from_secs(5));
    assert_eq!(server.io.connections(), 0);
    for client in &mut clients {
        let reason = client.life("disconnect").await.remove(0);
        assert_ne!(reason, "io server disconnect", "{} would not come back", client.name);
    }
    server.until("all have left", |server| server.io.sessions() == 0).await;
    let late = reqwest::get(server.path("EIO=4&transport=polling")).await.unwrap();
    assert_eq!(late.status(), 503);
}
