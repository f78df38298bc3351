//! The worked example of the page, and the program in `examples/`.

use serde_json::json;

use std::collections::HashMap;
use std::time::Duration;

use klatsch::settings::TrustUserId;
use serde_json::Value;

use super::{hears, open_personal, post_office, say, with};
use crate::support::programs::{Program, node, repository};
use crate::support::raw::Raw;

/// Section 17 of the page, as Ada, Ben, Cy and Eve live it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_worked_example_works() {
    let world = with(|settings| settings.courier.trust_user_id = TrustUserId::Never).await;
    let (ada, ben, cy) =
        (world.person("ada").await, world.person("ben").await, world.person("cy").await);
    assert_eq!((ada.id, ben.id, cy.id), (1, 2, 3));
    let mut a = world.stranger_to_letters(&format!("?token={}", ada.token)).await;
    a.send("1").await;
    assert_eq!(a.text().await, "user id 1 received");
    a.send("{\"conv_id\": 5, \"member\": [1, 2], \"type\": \"init_personal\"}").await;
    a.reads(json!({"local_conv_id": 5, "db_conv_id": 1, "type": "personal"})).await;
    a.send("{\"msg\": \"Hello Ben\", \"conv_id\": 1, \"type\": \"personal\"}").await;
    a.reads(json!({"message_id": 1})).await;
    let group = json!({
        "conv_id": 6, "member": [1, 2, 3], "group_name": "Livescore",
        "description": "A research group", "type": "init_group",
    });
    a.send_json(&group).await;
    a.reads(json!({"local_conv_id": 6, "db_conv_id": 2, "type": "group"})).await;
    a.send("{\"msg\": \"Welcome all\", \"conv_id\": 2, \"type\": \"group\"}").await;
    a.reads(json!({"message_id": 2})).await;

    let mut b = world.stranger_to_letters("").await;
    b.send_json(&json!({"token": ben.token, "extras": true})).await;
    assert_eq!(b.text().await, "user id 2 received");
    for (id, conversation, words, r#type) in
        [(1, 1, "Hello Ben", "personal"), (2, 2, "Welcome all", "group")]
    {
        let mut frame = b.json().await;
        frame["timestamp"] = json!("then");
        assert_eq!(
            frame,
            json!({
                "conv_id": conversation, "message_id": id, "msg": words, "sender": "ada Lee",
                "timestamp": "then", "type": r#type, "id": id, "message": words, "sender_id": 1,
            })
        );
    }
    b.reads(json!({"type": "backlog_done", "count": 2})).await;
    b.send("{\"message_id\": [1, 2], \"type\": \"seen\"}").await;
    b.reads_nothing().await;
    a.reads_nothing().await;
    b.send("{\"conv_id\": \"x1\", \"member\": [2, 1], \"type\": \"init_personal\"}").await;
    b.reads(json!({"local_conv_id": "x1", "db_conv_id": 1, "type": "personal"})).await;
    b.send("{\"msg\": \"Hi Ada\", \"conv_id\": 1, \"type\": \"personal\"}").await;
    b.reads(json!({"message_id": 3})).await;
    let heard = a.json().await;
    assert_eq!((&heard["message_id"], &heard["sender"]), (&json!(3), &json!("ben Lee")));
    a.send("{\"message_id\": [3], \"type\": \"seen\"}").await;
    a.reads_nothing().await;
    let mut told = b.json().await;
    if told["type"] == "delivered" {
        told = b.json().await;
    }
    assert_eq!((&told["type"], &told["message_id"]), (&json!("seen"), &json!([3])));
    b.send("{\"msg\": \"?\", \"conv_id\": 77, \"type\": \"personal\"}").await;
    b.reads(json!({
        "type": "error", "code": "conversation_not_found", "error": "No conversation 77.",
        "request": "personal", "conv_id": 77,
    }))
    .await;
    a.vanish();
    b.send("{\"msg\": \"Still there?\", \"conv_id\": 1, \"type\": \"personal\"}").await;
    b.reads(json!({"message_id": 4})).await;
    let mut a = world.stranger_to_letters(&format!("?token={}", ada.token)).await;
    a.send("1").await;
    assert_eq!(a.text().await, "user id 1 received");
    assert_eq!(a.json().await["message_id"], 4);
    let mut c = world.stranger_to_letters("").await;
    c.send(cy.token.clone()).await;
    assert_eq!(c.text().await, "user id 3 received");
    assert_eq!(c.json().await["message_id"], 2);

    let mut eve = Raw::connect(&world.courier_url(""), &[]).await;
    eve.send("1").await;
    assert_eq!(eve.closed().await, (1008, "bare user id refused".to_owned()));
}

/// A text with the tokens of the page's people in it.
fn with_tokens(text: &str, tokens: &HashMap<&str, String>) -> String {
    tokens.iter().fold(text.to_owned(), |text, (name, token)| text.replace(name, token))
}

/// JSON or plain text, without what differs each time.
fn comparable(text: &str) -> Value {
    let mut value = serde_json::from_str(text).unwrap_or_else(|_| json!(text));
    if let Some(timestamp) = value.get_mut("timestamp") {
        *timestamp = json!("…");
    }
    value
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_exchange_of_the_page_for_authors_goes_as_it_is_written() {
    let page = std::fs::read_to_string(repository("docs/dialects/courier.md")).unwrap();
    let exchange = page.split("<!-- exchange -->\n```\n").nth(1).unwrap();
    let exchange = exchange.split("```").next().unwrap();
    let world = with(|settings| settings.courier.trust_user_id = TrustUserId::Never).await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let tokens = HashMap::from([("T1", ann.token.clone()), ("T2", bob.token.clone())]);
    let mut clients: HashMap<&str, Raw> = HashMap::new();
    let mut lines = 0;
    for line in exchange.lines() {
        let mut words = line.splitn(3, ' ');
        let (who, way) = (words.next().unwrap(), words.next().unwrap());
        let text = words.next().unwrap();
        if !clients.contains_key(who) {
            clients.insert(who, world.stranger_to_letters("").await);
        }
        let client = clients.get_mut(who).unwrap();
        match way {
            ">" => client.send(with_tokens(text, &tokens)).await,
            "<" => assert_eq!(comparable(&client.text().await), comparable(text), "{line}"),
            _ => loop {
                let heard = comparable(&client.text().await);
                if heard["type"] != "delivered" {
                    assert_eq!(heard, comparable(text), "{line}");
                    break;
                }
            },
        }
        lines += 1;
    }
    assert!(lines > 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_talks_with_the_server() {
    const PATIENCE: Duration = Duration::from_mins(1);
    let Some(mut example) = node("examples/courier-client.mjs") else { return };
    let world = post_office().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let mut a = world.client_of(&ann).await;
    let id = open_personal(&mut a, &bob).await;
    say(&mut a, "personal", id, "Coffee?").await;
    let (url, other) = (world.courier_url(""), ann.id.to_string());
    example.args([&url, &bob.token, &other, "With", "cake!"]);
    let mut program = Program::start(&mut example);
    let waiting = tokio::task::spawn_blocking(move || {
        program.wait_for("ann Lee: Coffee?", PATIENCE);
        program.wait_for("stored as", PATIENCE);
        program
    });
    hears(&mut a, "With cake!").await;
    let mut program = waiting.await.unwrap();
    say(&mut a, "personal", id, "Good.").await;
    let waiting = tokio::task::spawn_blocking(move || {
        program.wait_for("ann Lee: Good.", PATIENCE);
    });
    waiting.await.unwrap();
}
