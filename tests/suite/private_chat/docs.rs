//! The handbook's page is true, and its example runs.

use std::collections::HashMap;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::stage::{Stage, message};
use crate::support::programs::{Program, repository, skipped};

/// Numbers and dates that differ from run to run: learned where they are read, and put in where they are sent.
fn fitted(mut expected: Value, read: &Value, ids: &mut HashMap<i64, i64>) -> Value {
    if let (Some(told), Some(real)) = (expected["message_id"].as_i64(), read["message_id"].as_i64())
    {
        expected["message_id"] = (*ids.entry(told).or_insert(real)).into();
    }
    if expected["created"].is_string() {
        assert_eq!(
            expected["created"].as_str().unwrap().len(),
            read["created"].as_str().unwrap().len()
        );
        expected["created"] = read["created"].clone();
    }
    expected
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_worked_exchange_of_the_handbook_really_happens() {
    let page = std::fs::read_to_string(repository("docs/dialects/private-chat.md")).unwrap();
    let exchange = page.split("```exchange\n").nth(1).unwrap().split("```").next().unwrap();
    let stage = Stage::open().await;
    let (alice, bob) = (stage.user("alice").await, stage.user("bob").await);
    let mut chats = HashMap::new();
    chats.insert("A", stage.bound(&alice, "bob").await);
    chats.insert("B", stage.bound(&bob, "alice").await);
    let (mut ids, mut lines) = (HashMap::<i64, i64>::new(), 0);
    for line in exchange.lines() {
        let (who, packet) = line.split_once(' ').unwrap();
        let mut packet: Value = serde_json::from_str(packet).unwrap();
        let chat = chats.get_mut(&who[..1]).unwrap();
        lines += 1;
        if who.ends_with('>') {
            if let Some(id) = packet["message_id"].as_i64() {
                packet["message_id"] = ids[&id].into();
            }
            chat.send_json(&packet).await;
        } else {
            let mut read = chat.json().await;
            // On a slow machine the server says for bob what he does not say within 2 s.
            while read["type"] == "gone-online" && packet["type"] != "gone-online" {
                read = chat.json().await;
            }
            assert_eq!(read, fitted(packet, &read, &mut ids), "{line}");
        }
    }
    assert!(lines > 15);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_says_something_and_reads_the_answer() {
    if !Command::new("python3").arg("--version").output().is_ok_and(|out| out.status.success()) {
        return skipped("the example of private-chat, for want of Python");
    }
    let stage = Stage::open().await;
    let (ann, bob) = (stage.user("ann").await, stage.user("bob").await);
    let mut b = stage.bound(&bob, "ann").await;
    let (base, token) = (stage.base().to_owned(), ann.token.clone());
    let script = repository("examples/private-chat-client.py");
    let mut python = Command::new("python3");
    python.arg(script).args([&base, &token, "bob", "hello", "there"]);
    let mut program = Program::start(&mut python);
    let said = loop {
        let packet = b.json().await;
        if packet["type"] == "new-message" {
            break packet;
        }
    };
    assert_eq!(said["message"], "hello there");
    b.send_json(&json!({"type": "is-typing", "typing": true})).await;
    b.send_json(&message("ann", &"long ".repeat(200))).await;
    let read = loop {
        let packet = b.json().await;
        if packet["type"] == "opponent-read-message" {
            break packet;
        }
    };
    assert_eq!(read["username"], "ann");
    tokio::task::spawn_blocking(move || {
        for line in ["online: bob", "ann: hello there", "bob is typing", "bob: long long"] {
            program.wait_for(line, Duration::from_secs(20));
        }
    })
    .await
    .unwrap();
}
