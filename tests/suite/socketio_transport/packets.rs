//! What is sent arrives, and as it was meant.

use klatsch::transport::socketio::SocketIoSettings;
use serde_json::{Value, json};

use super::Server;
use crate::support::node::{GENERATIONS, Node, Way};

fn texts() -> Vec<String> {
    let mixed: String = "aé日😀\"\\Ã©\n\u{2028}".repeat(6000);
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
                let name = client.name.clone();
                for text in texts() {
                    client.emit("echo", json!({"text": text}));
                    assert_eq!(client.event("echo").await["text"], *text, "{name}");
                    let answer = client.ask("acked", json!([text, 1])).await;
                    assert_eq!(answer, json!([text, 1]), "{name}");
                }
                let state = client.perform("state", &json!({})).await;
                let transport = if way == Way::Polling { "polling" } else { "websocket" };
                assert_eq!(state["transport"], transport, "{name}");
                client.perform("close", &json!({})).await;
            }
        }
    }
    server.until("all have left", |server| server.io.sessions() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn python_talks_on_every_transport() {
    let server = Server::start(SocketIoSettings::default()).await;
    for environment in ["python", "python-eio3"] {
        let Some(python) = Node::start_python(environment) else { continue };
        for way in Way::ALL {
            let mut client = python.connect(environment, way, &server.url()).await;
            // It escapes everything, which makes the longest text longer than strangers may send.
            client.ask("trust", Value::Null).await;
            for text in texts() {
                client.emit("echo", json!({"text": text}));
                assert_eq!(client.event("echo").await["text"], *text, "{}", client.name);
                assert_eq!(client.ask("acked", text.clone()).await, *text, "{}", client.name);
            }
            let burst = json!({"event": "count", "count": 3000, "extra": {"last": 2999}});
            client.command("burst", &burst);
            assert_eq!(client.event("counted").await, 3000, "{}", client.name);
            client.perform("close", &json!({})).await;
        }
    }
    server.until("all have left", |server| server.io.sessions() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_of_every_kind_stay_what_they_are() {
    let server = Server::start(SocketIoSettings::default()).await;
    let node = Node::start();
    let kinds = [
        json!(null),
        json!(true),
        json!(1.5),
        json!(""),
        json!([]),
        json!([[1], 2]),
        json!({}),
        json!({"z": 1, "a": {"_placeholder": false}}),
    ];
    for generation in ["sio136", "sio48"] {
        let mut client = node.connect(generation, Way::WebSocket, &server.url()).await;
        for kind in &kinds {
            client.emit("echo", kind.clone());
            assert_eq!(client.event("echo").await, *kind, "{}", client.name);
            assert_eq!(client.ask("echo", kind.clone()).await, *kind, "{}", client.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_packets_leave_the_connection_open() {
    let settings = SocketIoSettings { event_bytes: 1000, ..SocketIoSettings::default() };
    let server = Server::start(settings).await;
    let node = Node::start();
    let large = format!(r#"2["a","{}"]"#, "x".repeat(2000));
    let table = [
        (r#"2["a"]"#, json!("Missing")),
        (r#"2["a",1,2,3]"#, json!(1)),
        (r#"2["a","half of \ud83d"]"#, json!("half of \u{FFFD}")),
        (r#"2["a",1e999]"#, json!("Unreadable")),
        (&large, json!("TooLarge")),
    ];
    for generation in ["sio136", "sio250", "sio48"] {
        for way in [Way::Polling, Way::WebSocket] {
            let mut client = node.connect(generation, way, &server.url()).await;
            for (packet, answer) in &table {
                client.perform("raw", &json!({"text": packet})).await;
                assert_eq!(client.event("a").await, *answer, "{} {packet}", client.name);
            }
            // Not the transport's own `disconnect`, for all its name.
            client.perform("raw", &json!({"text": r#"2["disconnect",{"x":1}]"#})).await;
            assert_eq!(client.event("heard").await, json!({"x": 1}), "{}", client.name);
            // The oldest WebSocket module for Node cannot send bytes any more.
            if (generation, way) != ("sio136", Way::WebSocket) {
                client.perform("bytes", &json!({"event": "a"})).await;
                assert_eq!(client.event("a").await, "Binary", "{}", client.name);
            }
            client.emit("a", "still here");
            assert_eq!(client.event("a").await, "still here", "{}", client.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_json_ends_the_connection() {
    let server = Server::start(SocketIoSettings::default()).await;
    let node = Node::start();
    for way in [Way::Polling, Way::WebSocket] {
        for packet in [r#"2["a",{"b":}]"#, r#"2["a",1] and more"#, r#"2{"a":1}"#, "2", "9"] {
            let mut client = node.connect("sio48", way, &server.url()).await;
            client.perform("raw", &json!({"text": packet})).await;
            client.life("disconnect").await;
        }
    }
    server.until("all have left", |server| server.io.sessions() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_posts_arrive_from_all_who_poll() {
    let server = Server::start(SocketIoSettings::default()).await;
    let node = Node::start();
    let extra = json!({"last": 49, "text": "é".repeat(20_000)});
    for generation in GENERATIONS {
        let mut client = node.connect(generation, Way::Polling, &server.url()).await;
        client.ask("trust", Value::Null).await;
        let burst = json!({"event": "count", "count": 50, "extra": extra});
        client.perform("burst", &burst).await;
        assert_eq!(client.event("counted").await, 50, "{}", client.name);
    }
}
