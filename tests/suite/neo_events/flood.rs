//! Many at once: healthy readers are never cut, a paused one is, and catches up.

use serde_json::json;

use super::Home;
use crate::support::node::{Client, GENERATIONS, Node, Report, Way};
use crate::support::world::World;

const SENDERS: usize = 200;
const EACH: usize = 10;

async fn crowd() -> Home {
    let world = World::with(|settings| {
        settings.limits.sockets_per_user = 1000.try_into().unwrap();
    })
    .await;
    Home::in_world(world).await
}

/// A real client that has joined.
async fn reader(home: &Home, node: &Node, client: &str, way: Way) -> Client {
    let mut reader = node.connect(client, way, &home.world.url()).await;
    reader.emit("authenticate", json!({ "token": home.bob.token }));
    reader.emit("join_conversation", home.here());
    assert_eq!(reader.event("success").await, "User authenticated");
    let joined = reader.event("success").await;
    assert!(joined.as_str().unwrap().starts_with("joined"), "{joined}");
    reader
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_messages_at_once_cut_no_healthy_reader() {
    let mut home = crowd().await;
    let node = Node::start();
    let mut readers = Vec::new();
    for generation in GENERATIONS {
        for way in Way::ALL {
            readers.push(reader(&home, &node, generation, way).await);
        }
    }
    let mut senders = Vec::new();
    for n in 0..SENDERS {
        let mut sender = home.world.peer(&home.ann.token).await;
        // Some of the senders listen as well.
        if n % 20 == 0 {
            sender.join(home.conversation).await;
        }
        senders.push(sender);
    }
    for n in 0..EACH {
        for (who, sender) in senders.iter().enumerate() {
            sender.emit("message", home.words(&format!("{who}.{n}")));
        }
    }
    let mut orders = Vec::new();
    for reader in &mut readers {
        let mut seqs = Vec::new();
        while seqs.len() < SENDERS * EACH {
            match reader.next().await {
                Report::Event(channel, args) => {
                    assert_eq!(channel, "message", "{}", reader.name);
                    seqs.push(args[0]["message"]["seq"].as_i64().unwrap());
                }
                Report::Life(turn, args) => panic!("{}: {turn} {args:?}", reader.name),
            }
        }
        orders.push(seqs);
    }
    let expected: Vec<_> = (2..).take(SENDERS * EACH).collect();
    for (seqs, reader) in orders.iter().zip(&readers) {
        assert!(*seqs == expected, "{}: not each place once and in order", reader.name);
    }
    for (who, mut sender) in senders.into_iter().enumerate() {
        let heard = sender.heard().await;
        let told = |wanted: &str| heard.iter().filter(|(channel, _)| channel == wanted).count();
        let messages = if who % 20 == 0 { SENDERS * EACH } else { 0 };
        assert_eq!((told("success"), told("message")), (EACH, messages));
        assert_eq!(heard.len(), EACH + messages);
    }
    // The two that were there all the time.
    assert_eq!(home.ann.peer.heard().await.len(), SENDERS * EACH);
    assert_eq!(home.bob.peer.heard().await.len(), SENDERS * EACH);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_reader_is_let_go_comes_back_and_catches_up() {
    let world = World::with(|settings| {
        settings.limits.sink_frames = 64.try_into().unwrap();
    })
    .await;
    let mut home = Home::in_world(world).await;
    let node = Node::start();
    for (client, way) in [("sio48", Way::WebSocket), ("sio136", Way::Polling)] {
        let mut paused = reader(&home, &node, client, way).await;
        let newest = json!({ "conversation_id": home.conversation, "limit": 1 });
        let newest = home.ann.peer.ask("history", newest).await;
        let mut since = newest["messages"][0]["revision"].clone();
        paused.perform("pause", &json!({})).await;
        let text = "x".repeat(8000);
        let online = json!({ "token": home.ann.token, "user_id": home.bob.id });
        // The account's only connection, so that its end can be seen from outside.
        home.bob.peer.say(r#"42["disconnect"]"#);
        home.bob.peer.ended().await;
        let mut sent = 0;
        loop {
            for _ in 0..50 {
                home.ann.peer.emit("message", home.words(&text));
                sent += 1;
            }
            // The one who reads hears everything meanwhile.
            let heard = home.ann.peer.heard().await;
            assert_eq!(heard.iter().filter(|(channel, _)| channel == "message").count(), 50);
            let info = home.world.ok("/user/info", online.clone()).await;
            if info["content"]["isOnline"] == false {
                break;
            }
            assert!(sent < 3000, "{} is still there", paused.name);
        }
        paused.command("resume", &json!({}));
        paused.life("disconnect").await;
        let back = reader(&home, &node, client, way).await;
        let mut caught_up = 0;
        loop {
            let ask = json!({
                "conversation_id": home.conversation, "since": since, "limit": 200,
            });
            let page = back.ask("sync", ask).await;
            since = page["revision"].clone();
            caught_up += page["messages"].as_array().unwrap().len();
            if page["more"] == false {
                break;
            }
        }
        assert_eq!(caught_up, sent, "{}", back.name);
        back.command("close", &json!({}));
        home.bob.peer = home.world.peer(&home.bob.token).await;
    }
}
