//! One connection's events are carried out in the order sent, each to completion (FACTS 1 to 4).

use serde_json::{Value, json};

use super::Home;
use crate::support::node::{Client, Node, Report, Way};

const COUNT: usize = 100;

/// What is sent without waiting for anything: each event needs the one before.
fn pipelined(home: &Home) -> Vec<(&'static str, Value)> {
    let mut all = vec![
        ("authenticate", json!({ "token": home.ann.token })),
        ("join_circle", json!({ "circle_id": home.circle })),
        ("join_conversation", home.here()),
    ];
    all.extend((0..COUNT).map(|n| ("message", home.words(&format!("n{n}")))));
    all
}

/// Handlers that ran side by side would fail here: an event that overtakes `authenticate` is
/// an error, a message that overtakes the join is not heard, one that overtakes another
/// message is out of place.
fn check(name: &str, heard: &[(String, Value)]) {
    let mut expected = vec!["success"; 3];
    expected.extend(["success", "message"].repeat(COUNT));
    let channels: Vec<_> = heard.iter().map(|(channel, _)| channel.as_str()).collect();
    assert_eq!(channels, expected, "{name}");
    let (mut receipts, mut texts, mut places) = (Vec::new(), Vec::new(), Vec::new());
    for (channel, payload) in &heard[3..] {
        if channel == "success" {
            receipts.push(payload["message_id"].as_i64().unwrap());
        } else {
            texts.push(payload["message"]["content"].as_str().unwrap().to_owned());
            places.push(payload["message"]["seq"].as_i64().unwrap());
        }
    }
    assert_eq!(texts, (0..COUNT).map(|n| format!("n{n}")).collect::<Vec<_>>(), "{name}");
    assert!(receipts.is_sorted() && places.is_sorted(), "{name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_events_of_a_plain_websocket_are_done_in_order() {
    let mut home = Home::open().await;
    let mut peer = home.world.stranger().await;
    for (event, argument) in pipelined(&home) {
        peer.emit(event, argument);
    }
    check("plain", &peer.heard().await);
    // The others hear the same order.
    let heard = home.bob.peer.heard().await;
    let texts: Vec<_> = heard.iter().map(|(_, m)| m["message"]["content"].clone()).collect();
    assert_eq!(texts, (0..COUNT).map(|n| json!(format!("n{n}"))).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelined_events_of_old_and_new_clients_are_done_in_order() {
    let home = Home::open().await;
    let node = Node::start();
    for (client, way) in [
        ("sio136", Way::Polling),
        ("sio136", Way::Upgrade),
        ("sio48", Way::WebSocket),
        ("sio48", Way::Upgrade),
    ] {
        // Before the connection stands: the client sends them all when it does.
        let mut socket = node.open(client, way, &home.world.url(), json!({})).await;
        for (event, argument) in pipelined(&home) {
            socket.emit(event, argument);
        }
        check(&socket.name.clone(), &collect(&mut socket, 3 + 2 * COUNT).await);
        socket.command("close", &json!({}));
    }
}

async fn collect(client: &mut Client, count: usize) -> Vec<(String, Value)> {
    let mut heard = Vec::new();
    while heard.len() < count {
        if let Report::Event(channel, mut args) = client.next().await {
            assert_ne!(channel, "error", "{}: {args:?}", client.name);
            heard.push((channel, args.swap_remove(0)));
        }
    }
    heard
}
