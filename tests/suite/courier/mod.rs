//! courier over real sockets, as the page of its specification checks it.

mod backlog;
mod bridge;
mod closes;
mod example;
mod extras;
mod greeting;
mod input;
mod letters;
mod limits;
mod marks;

use klatsch::settings::Settings;
use serde_json::{Value, json};

use crate::support::raw::Raw;
use crate::support::world::{Person, World};

/// A server whose clients need not mind their pace.
async fn post_office() -> World {
    with(|_| {}).await
}

async fn with(set: impl FnOnce(&mut Settings)) -> World {
    World::with(|settings| {
        settings.limits.frames_per_second = 10_000.try_into().unwrap();
        set(settings);
    })
    .await
}

/// Reads a setting as the configuration file would give it.
fn setting<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

impl World {
    fn courier_url(&self, query: &str) -> String {
        format!("ws://{}/{query}", self.port_of("courier"))
    }

    /// A connection that has not said anything.
    async fn stranger_to_letters(&self, query: &str) -> Raw {
        Raw::connect(&self.courier_url(query), &[]).await
    }

    /// A connection that has sent its number and was greeted.
    async fn client_of(&self, person: &Person) -> Raw {
        self.client_with(person, "").await
    }

    /// The same, with the extras.
    async fn fan_of(&self, person: &Person) -> Raw {
        self.client_with(person, "?extras=1").await
    }

    async fn client_with(&self, person: &Person, query: &str) -> Raw {
        let mut client = self.stranger_to_letters(query).await;
        client.send(person.id.to_string()).await;
        assert_eq!(client.text().await, format!("user id {} received", person.id));
        client
    }
}

impl Person {
    /// Asks over Socket.IO; what comes in between is kept for later.
    async fn asks(&mut self, channel: &str, argument: Value) -> Value {
        let answer = self.peer.ask(channel, argument.clone()).await;
        assert_eq!(answer["success"], true, "{channel} {argument}: {answer}");
        answer
    }

    /// The next event on this channel.
    async fn told(&mut self, channel: &str) -> Value {
        loop {
            let (heard, argument) = self.peer.event().await;
            if heard == channel {
                return argument;
            }
        }
    }

    /// Joins a conversation over Socket.IO.
    async fn joins(&mut self, conversation: i64) {
        self.asks("join_conversation", json!({"conversation_id": conversation})).await;
    }
}

/// Opens the conversation of two; its number.
async fn open_personal(client: &mut Raw, other: &Person) -> i64 {
    let open = json!({"conv_id": 5, "member": [other.id], "type": "init_personal"});
    client.send_json(&open).await;
    let opened = client.json().await;
    assert_eq!((&opened["local_conv_id"], &opened["type"]), (&json!(5), &json!("personal")));
    opened["db_conv_id"].as_i64().unwrap()
}

/// Makes a group; its number.
async fn open_group(client: &mut Raw, members: &[&Person]) -> i64 {
    let members: Vec<_> = members.iter().map(|member| member.id).collect();
    let open = json!({
        "conv_id": 6, "member": members, "group_name": "Livescore",
        "description": "A research group", "type": "init_group",
    });
    client.send_json(&open).await;
    let opened = client.json().await;
    assert_eq!((&opened["local_conv_id"], &opened["type"]), (&json!(6), &json!("group")));
    opened["db_conv_id"].as_i64().unwrap()
}

/// Sends words; the message's number.
async fn say(client: &mut Raw, r#type: &str, conversation: i64, words: &str) -> i64 {
    let message = json!({"msg": words, "conv_id": conversation, "type": r#type});
    client.send_json(&message).await;
    let answer = client.json().await;
    answer["message_id"].as_i64().unwrap_or_else(|| panic!("{answer}"))
}

/// The receiver's frame of a message.
async fn hears(client: &mut Raw, words: &str) -> Value {
    let heard = client.json().await;
    assert_eq!(heard["msg"], words, "{heard}");
    heard
}

/// The keys of a frame, in their order.
fn keys(frame: &Value) -> Vec<&str> {
    frame.as_object().unwrap().keys().map(String::as_str).collect()
}

/// The keys that the document gives a message.
const DOCUMENTED: [&str; 6] = ["conv_id", "message_id", "msg", "sender", "timestamp", "type"];

/// `2026-01-05 11:53:30.923631`.
fn is_timestamp(value: &Value) -> bool {
    let pattern = "dddd-dd-dd dd:dd:dd.dddddd";
    value.as_str().is_some_and(|text| {
        text.len() == pattern.len()
            && text.chars().zip(pattern.chars()).all(|(found, wanted)| match wanted {
                'd' => found.is_ascii_digit(),
                other => found == other,
            })
    })
}
