//! A server, its users, and their pages as plain WebSocket clients.

use klatsch::settings::Settings;
use serde_json::{Value, json};

use crate::support::raw::Raw;
use crate::support::world::World;

/// Somebody with an account.
pub(super) struct User {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) email: String,
    /// An access token, which is a session key as well.
    pub(super) token: String,
}

/// A server and a way to its port.
pub(super) struct Stage {
    pub(super) world: World,
    base: String,
}

impl Stage {
    pub(super) async fn open() -> Self {
        Self::with(|_| {}).await
    }

    /// One that is set up otherwise.
    pub(super) async fn with(set: impl FnOnce(&mut Settings)) -> Self {
        let world = World::with(set).await;
        let base = format!("ws://{}", world.port_of("private-chat"));
        Self { world, base }
    }

    /// Where pages connect.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Registers `NAME@example.org`, who is called NAME.
    pub(super) async fn user(&self, name: &str) -> User {
        let email = format!("{name}@example.org");
        let new = json!({
            "email": email, "password": "secret", "first_name": name, "last_name": "Lee",
            "birthday": "1990-12-25",
        });
        self.world.ok("/account/create", new).await;
        let token = self.world.log_in(&email, "secret").await;
        let info = self.world.ok("/user/info", json!({ "token": token })).await;
        let id = info["content"]["id"].as_i64().unwrap();
        User { id, name: name.to_owned(), email, token }
    }

    /// A browser's login: the key for the address, and the cookie.
    pub(super) fn session(&self, user: &User) -> (String, String) {
        let line = self.world.command(&["session", "add", &user.email]);
        let made: Value = serde_json::from_str(&line).unwrap();
        let text = |key: &str| made[key].as_str().unwrap().to_owned();
        (text("session_key"), text("sessionid"))
    }

    /// A program of a user's that is bound to another.
    pub(super) async fn chat(&self, user: &User, with: &str) -> Raw {
        self.connect(&user.token, with, "", &[]).await
    }

    /// One that knows the extras.
    pub(super) async fn rich(&self, user: &User, with: &str) -> Raw {
        self.connect(&user.token, with, "?extras=1", &[]).await
    }

    /// A page in a browser: it has an origin, and says at once what a page says. The answer
    /// to its question who is online is returned.
    pub(super) async fn page(&self, user: &User, with: &str) -> (Raw, Value) {
        let mut page = self.connect(&user.token, with, "", &[("origin", "http://host")]).await;
        let key = &user.token;
        page.send_json(&json!({"type": "online", "session_key": key})).await;
        let ask = json!({"type": "check-online", "session_key": key, "username": with});
        page.send_json(&ask).await;
        let online = page.json().await;
        assert_eq!(online["type"], "gone-online", "{online}");
        (page, online["usernames"].clone())
    }

    /// Any handshake that succeeds; when this returns the socket is bound.
    pub(super) async fn connect(
        &self,
        key: &str,
        with: &str,
        query: &str,
        headers: &[(&str, &str)],
    ) -> Raw {
        let url = format!("{}/{key}/{with}{query}", self.base);
        Raw::connect(&url, headers).await
    }

    /// The same, once the server has found out who it is.
    pub(super) async fn bound(&self, user: &User, with: &str) -> Raw {
        let mut chat = self.chat(user, with).await;
        until_settled(&mut chat).await;
        chat
    }
}

/// Waits until everything that was sent before was carried out.
pub(super) async fn settle(chat: &mut Raw) {
    // An unknown channel is answered in its turn.
    chat.send(r#"{"type":"settled?"}"#).await;
    let answer = chat.json().await;
    assert_eq!(answer["code"], "unknown_type", "{answer}");
}

/// What comes until the server has carried out everything that was sent before.
pub(super) async fn until_settled(chat: &mut Raw) -> Vec<Value> {
    chat.send(r#"{"type":"settled?"}"#).await;
    let mut read = Vec::new();
    loop {
        let packet = chat.json().await;
        if packet["code"] == "unknown_type" {
            return read;
        }
        read.push(packet);
    }
}

/// A message that is sent.
pub(super) fn message(to: &str, text: &str) -> Value {
    json!({"type": "new-message", "username": to, "message": text})
}

/// A message that arrives, without what differs from run to run.
pub(super) fn arrives(from: &str, to: &str, text: &str) -> Value {
    json!({"type": "new-message", "username": to, "message": text, "sender_name": from})
}

/// A message without its number and date.
pub(super) fn plain(mut packet: Value) -> Value {
    let keys = packet.as_object_mut().expect("a packet");
    let id = keys.remove("message_id");
    assert!(id.as_ref().is_none_or(Value::is_i64), "{id:?}");
    keys.remove("created");
    packet
}
