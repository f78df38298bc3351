//! Clients of every generation over every transport in one conversation; the README's table
//! of them is made here.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use crate::neo_events::Home;
use crate::support::node::{Client, GENERATIONS, Node, Report, Way};
use crate::support::world::World;

const BEGIN: &str = "<!-- generations:begin -->\n";
const END: &str = "<!-- generations:end -->";
const PYTHONS: [&str; 2] = ["python-eio3", "python"];
const TEXTS: [&str; 3] = ["hello", "é à la crème", "😀 日本"];

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_every_generation_meet_in_one_conversation() {
    let world = World::with(|settings| {
        settings.limits.sockets_per_user = 100.try_into().unwrap();
    })
    .await;
    let home = Home::in_world(world).await;
    let node = Node::start();
    let mut clients = Vec::new();
    for generation in GENERATIONS {
        for way in Way::ALL {
            clients.push(node.connect(generation, way, &home.world.url()).await);
        }
    }
    let pythons = PYTHONS.map(|environment| (environment, Node::start_python(environment)));
    for (environment, python) in &pythons {
        let Some(python) = python else { continue };
        for way in Way::ALL {
            clients.push(python.connect(environment, way, &home.world.url()).await);
        }
    }
    for client in &mut clients {
        client.emit("authenticate", json!({ "token": home.ann.token }));
        client.emit("join_conversation", home.here());
        client.event("success").await;
        let joined = client.event("success").await;
        assert_eq!(joined, format!("joined conversation_{}", home.conversation));
    }
    let mut expected = BTreeSet::new();
    for client in &clients {
        for text in TEXTS {
            let text = format!("{}: {text}", client.name);
            client.emit("message", home.words(&text));
            expected.insert(text);
        }
    }
    let mut orders = Vec::new();
    for client in &mut clients {
        orders.push(conversation(client, expected.len()).await);
    }
    for (order, client) in orders.iter().zip(&clients) {
        let texts: BTreeSet<_> = order.iter().cloned().collect();
        assert_eq!(texts, expected, "{}: none missing, texts as typed", client.name);
        assert_eq!(*order, orders[0], "{}: the same order for all", client.name);
    }
    check_readme();
}

/// The texts in the order heard; none twice, and nothing after the last.
async fn conversation(client: &mut Client, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    let mut last = false;
    loop {
        let Report::Event(channel, args) = client.next().await else { continue };
        match channel.as_str() {
            "message" => {
                texts.push(args[0]["message"]["content"].as_str().unwrap().to_owned());
                assert!(texts.len() <= count, "{}: one too many", client.name);
            }
            "webrtc_config" => {
                assert_eq!(texts.len(), count, "{}", client.name);
                return texts;
            }
            channel => assert_eq!(channel, "success", "{}: {args:?}", client.name),
        }
        if texts.len() == count && !last {
            last = true;
            client.emit("webrtc_stun_info", json!({}));
        }
    }
}

/// The table of what has just been seen to work. Without Python its rows stand all the same: they
/// were seen where there is one.
fn table() -> String {
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    let read = |file: &str| std::fs::read_to_string(clients.join(file)).unwrap();
    let package: Value = serde_json::from_str(&read("node/package.json")).unwrap();
    let npm = GENERATIONS.map(|generation| {
        let version = package["dependencies"][generation].as_str().unwrap();
        format!("socket.io-client {}", version.rsplit('@').next().unwrap())
    });
    let pypi = PYTHONS.map(|environment| {
        let requirements = read(&format!("{environment}/requirements.txt"));
        let mut versions = requirements.lines().filter_map(|line| line.split_once("[client]=="));
        let (name, version) = versions.next().expect("the client's version is pinned");
        format!("{name} {version}")
    });
    let mut table = "| client | polling | websocket | polling, then websocket |\n".to_owned();
    table.push_str("| --- | :-: | :-: | :-: |\n");
    for client in npm.into_iter().chain(pypi) {
        table.extend(["| ", &client, " | ✓ | ✓ | ✓ |\n"]);
    }
    table
}

fn check_readme() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(BEGIN).expect("README.md has a place for the table");
    let (shown, after) = rest.split_once(END).expect("README.md has an end of the table");
    let table = table();
    if std::env::var_os("KLATSCH_UPDATE").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
    } else {
        assert!(
            shown == table,
            "README.md does not show this table; KLATSCH_UPDATE=1 in the environment writes it\n{table}"
        );
    }
}
