//! One connection in one dialect: it says things, and shows what it hears.

use serde_json::{Value, json};

use crate::support::raw::{Heard, Raw};
use crate::support::world::{Peer, Person, World};

/// The five languages, in the order of the page.
pub(super) const DIALECTS: [&str; 5] =
    ["neo", "private-chat", "members-chat", "multichat", "courier"];

/// A message as its speaker can name it afterwards.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    pub(super) id: i64,
    pub(super) seq: i64,
}

/// A connection.
pub(super) struct Voice {
    pub(super) dialect: &'static str,
    conversation: i64,
    /// The other end, where there is one.
    opponent: String,
    token: String,
    wire: Wire,
}

enum Wire {
    Neo(Box<Peer>),
    Raw(Box<Raw>),
}

impl Voice {
    /// Opens a connection that knows everything its dialect offers, and is in the conversation.
    pub(super) async fn open(
        world: &World,
        dialect: &'static str,
        person: &Person,
        other: &Person,
        conversation: i64,
    ) -> Self {
        let token = person.token.as_str();
        let address = world.address;
        let opponent = other.email.split('@').next().unwrap().to_owned();
        let wire = match dialect {
            "neo" => {
                let mut peer = world.peer(token).await;
                peer.join(conversation).await;
                peer.ask("sync", json!({ "conversation_id": conversation, "since": 0 })).await;
                Wire::Neo(peer.into())
            }
            "private-chat" => {
                let url = format!("ws://{address}/private-chat/{token}/{opponent}?extras=1");
                let mut raw = Raw::connect(&url, &[]).await;
                raw.send_json(&json!({ "type": "online" })).await;
                raw.send_json(&json!({ "type": "check-online" })).await;
                while raw.json().await["type"] != "gone-online" {}
                Wire::Raw(raw.into())
            }
            "members-chat" => {
                let url =
                    format!("ws://{address}/members/chat/?other_member_id={}&extras=1", other.id);
                let mut raw = Raw::connect(&url, &[]).await;
                raw.send(format!("Bearer {token}")).await;
                assert!(raw.json().await.is_array());
                Wire::Raw(raw.into())
            }
            "multichat" => {
                let features = "own,history,rooms,members,typing,read";
                let url = format!("ws://{address}/chat/stream/?token={token}&features={features}");
                let mut raw = Raw::connect(&url, &[]).await;
                raw.send_json(&json!({ "command": "join", "room": conversation })).await;
                while raw.json().await["msg_type"] != 9 {}
                Wire::Raw(raw.into())
            }
            _ => {
                let url = format!("ws://{address}/courier?token={token}&extras=1");
                let mut raw = Raw::connect(&url, &[]).await;
                raw.send(person.id.to_string()).await;
                assert_eq!(raw.text().await, format!("user id {} received", person.id));
                while raw.json().await["type"] != "backlog_done" {}
                Wire::Raw(raw.into())
            }
        };
        Self { dialect, conversation, opponent, token: token.to_owned(), wire }
    }

    /// Where it speaks.
    pub(super) const fn conversation(&self) -> i64 {
        self.conversation
    }

    /// Everything that was sent to it up to now, and everything it asked for is done.
    pub(super) async fn heard(&mut self) -> Vec<Value> {
        match &mut self.wire {
            Wire::Neo(peer) => {
                let heard = peer.heard().await;
                heard.into_iter().map(|(channel, payload)| json!([channel, payload])).collect()
            }
            Wire::Raw(raw) => raw
                .drain()
                .await
                .into_iter()
                .map(|heard| match heard {
                    Heard::Text(text) => serde_json::from_str(&text).unwrap(),
                    other => panic!("{other:?}"),
                })
                .collect(),
        }
    }

    /// The next thing it hears.
    pub(super) async fn next(&mut self) -> Value {
        match &mut self.wire {
            Wire::Neo(peer) => {
                let (channel, payload) = peer.event().await;
                json!([channel, payload])
            }
            Wire::Raw(raw) => raw.json().await,
        }
    }

    async fn put(&mut self, value: Value) {
        match &mut self.wire {
            Wire::Neo(peer) => {
                let [channel, payload] = value.as_array().unwrap().as_slice() else { panic!() };
                peer.emit(channel.as_str().unwrap(), payload.clone());
            }
            Wire::Raw(raw) => raw.send_json(&value).await,
        }
    }

    /// Posts words, without waiting for anything.
    pub(super) async fn say(&mut self, words: &str) {
        let here = self.conversation;
        let frame = match self.dialect {
            "neo" => json!(["message", { "conversation_id": here, "text_message": words }]),
            "private-chat" => {
                json!({ "type": "new-message", "username": self.opponent, "message": words })
            }
            "members-chat" => json!({ "type": "text", "text": words }),
            "multichat" => json!({ "command": "send", "room": here, "message": words }),
            _ => json!({ "type": self.courier_kind(), "conv_id": here, "msg": words }),
        };
        self.put(frame).await;
    }

    /// What courier calls the conversation: pairs have an opponent there, groups have not.
    fn courier_kind(&self) -> &'static str {
        if self.opponent.is_empty() { "group" } else { "personal" }
    }

    /// The conversation is a group.
    pub(super) fn in_a_group(mut self) -> Self {
        self.opponent.clear();
        self
    }

    /// Tells that it is typing, or no longer; whether its dialect can say that.
    pub(super) async fn type_(&mut self, typing: bool) -> bool {
        let here = self.conversation;
        let frame = match self.dialect {
            "neo" => json!(["writing", { "conversation_id": here, "is_writing": typing }]),
            // There is no word for the end.
            "private-chat" if typing => {
                json!({ "type": "is-typing", "username": self.opponent, "typing": true })
            }
            "private-chat" => return false,
            "members-chat" => json!({ "type": "typing", "is_typing": typing }),
            "multichat" => json!({ "command": "typing", "room": here, "typing": typing }),
            _ => json!({ "type": "typing", "conv_id": here, "is_typing": typing }),
        };
        self.put(frame).await;
        true
    }

    /// Marks a message as read.
    pub(super) async fn read(&mut self, said: Said) {
        let (here, id) = (self.conversation, said.id);
        let frame = match self.dialect {
            "neo" => json!(["read", { "conversation_id": here, "seq": said.seq }]),
            "private-chat" => {
                json!({ "type": "read_message", "username": self.opponent, "message_id": id })
            }
            "multichat" => json!({ "command": "read", "room": here, "id": id }),
            _ => json!({ "type": "seen", "message_id": [id] }),
        };
        self.put(frame).await;
    }

    /// Changes the words of a message; whether its dialect can.
    pub(super) async fn edit(&mut self, world: &World, said: Said, words: &str) -> bool {
        let (here, id) = (self.conversation, said.id);
        match self.dialect {
            "neo" => {
                let body = json!({ "token": self.token, "message_id": id, "text_content": words });
                world.ok("/message/update", body).await;
            }
            "private-chat" => {
                let frame = json!({ "type": "edit-message", "message_id": id, "message": words });
                self.put(frame).await;
            }
            "multichat" => {
                let frame = json!({ "command": "edit", "room": here, "id": id, "message": words });
                self.put(frame).await;
            }
            _ => return false,
        }
        true
    }

    /// Removes a message; whether its dialect can.
    pub(super) async fn delete(&mut self, world: &World, said: Said) -> bool {
        let (here, id) = (self.conversation, said.id);
        match self.dialect {
            "neo" => {
                let body = json!({ "token": self.token, "message_id": id });
                world.ok("/message/delete", body).await;
            }
            "private-chat" => {
                self.put(json!({ "type": "delete-message", "message_id": id })).await;
            }
            "multichat" => {
                self.put(json!({ "command": "delete", "room": here, "id": id })).await;
            }
            _ => return false,
        }
        true
    }

    /// Posts a picture with words; whether its dialect has files.
    pub(super) async fn send_file(&mut self, world: &World, words: &str) -> bool {
        let bytes = b"\x89PNG\r\n\x1a\nnot much of a picture";
        match &mut self.wire {
            Wire::Neo(peer) => {
                let announced = json!({
                    "conversation_id": self.conversation, "text_message": words, "files": ["cat.png"],
                });
                peer.emit("message", announced);
                let media = loop {
                    let (channel, payload) = peer.event().await;
                    if channel == "media" {
                        break payload["media_list"][0]["id"].clone();
                    }
                };
                world.upload(&self.token, &media, "cat.png", bytes).await;
            }
            Wire::Raw(raw) if self.dialect == "members-chat" => {
                let head = json!({
                    "name": "cat.png", "size": bytes.len(), "type": "image/png", "text": words,
                });
                raw.send_bytes([b"!", head.to_string().as_bytes(), b"#", bytes].concat()).await;
            }
            Wire::Raw(_) => return false,
        }
        true
    }

    /// Posts a smile.
    pub(super) async fn smile(&mut self, id: i64) {
        self.put(json!({ "type": "smile", "smile_id": id })).await;
    }

    /// Leaves in an orderly way.
    pub(super) async fn close(self) {
        match self.wire {
            Wire::Neo(mut peer) => {
                peer.emit("disconnect", json!({}));
                peer.ended().await;
            }
            Wire::Raw(raw) => {
                raw.close().await;
            }
        }
    }
}
