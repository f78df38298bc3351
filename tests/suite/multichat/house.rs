//! People with browsers and programs, and rooms, in a server that runs.

use klatsch::settings::Settings;
use serde_json::{Value, json};

use crate::support::raw::Raw;
use crate::support::world::World;

/// A server with rooms.
pub(crate) struct House {
    pub(crate) world: World,
    /// Somebody who may make rooms.
    keeper: i64,
}

/// A connection of somebody.
pub(crate) type Seat = Raw;

impl House {
    pub(crate) async fn open() -> Self {
        Self::with(|_| {}).await
    }

    /// One that is set up otherwise.
    pub(crate) async fn with(set: impl FnOnce(&mut Settings)) -> Self {
        let world = World::with(|settings| {
            settings.limits.frames_per_second = 100_000.try_into().unwrap();
            set(settings);
        });
        let mut house = Self { world: world.await, keeper: 0 };
        house.keeper = house.user("keeper", &["--staff"]);
        house
    }

    pub(crate) fn command(&self, words: &[&str]) -> Value {
        serde_json::from_str(&self.world.command(words)).unwrap_or_default()
    }

    /// Somebody with a name; their number.
    pub(crate) fn person(&self, name: &str) -> i64 {
        self.user(name, &[])
    }

    /// The same with flags.
    pub(crate) fn user(&self, name: &str, flags: &[&str]) -> i64 {
        let email = format!("{}@example.org", name.to_lowercase().replace(['<', '>', '/'], "x"));
        let mut words = vec!["user", "add", &email, "--username", name, "--password", "secret"];
        words.extend(flags);
        self.command(&words)["id"].as_i64().unwrap()
    }

    pub(crate) async fn room(&self, title: &str) -> i64 {
        self.made(title, false).await
    }

    pub(crate) async fn staff_room(&self, title: &str) -> i64 {
        self.made(title, true).await
    }

    /// Made over a connection, so that everybody who listens has heard of it by now.
    async fn made(&self, title: &str, staff: bool) -> i64 {
        let mut keeper = self.program(self.keeper, "?features=").await;
        keeper.of_type(20).await;
        let create = json!({ "command": "room_create", "title": title, "staff_only": staff });
        keeper.send_json(&create).await;
        let room = keeper.of_type(11).await;
        keeper.close().await;
        room["room"].as_str().unwrap().parse().unwrap()
    }

    /// A fresh browser login; the cookie.
    pub(crate) fn cookie(&self, user: i64) -> String {
        let session = self.command(&["session", "add", &user.to_string()]);
        format!("sessionid={}", session["sessionid"].as_str().unwrap())
    }

    pub(crate) fn token(&self, user: i64) -> String {
        self.world.command(&["user", "token", &user.to_string()])
    }

    pub(crate) fn address(&self, query: &str) -> String {
        format!("ws://{}/chat/stream/{query}", self.world.address)
    }

    /// A page of a browser that has this cookie.
    pub(crate) async fn page(&self, cookie: &str) -> Seat {
        let origin = self.world.url();
        Raw::connect(&self.address(""), &[("cookie", cookie), ("origin", &origin)]).await
    }

    /// A page of a browser of its own.
    pub(crate) async fn browser(&self, user: i64) -> Seat {
        self.page(&self.cookie(user)).await
    }

    /// A program.
    pub(crate) async fn program(&self, user: i64, query: &str) -> Seat {
        let bearer = format!("Bearer {}", self.token(user));
        Raw::connect(&self.address(query), &[("authorization", &bearer)]).await
    }
}

impl Raw {
    /// Joins a room; the acknowledgement, and what was said before.
    pub(crate) async fn join(&mut self, room: i64) -> Vec<Value> {
        self.send_json(&json!({ "command": "join", "room": room.to_string() })).await;
        let ack = self.json().await;
        assert_eq!(ack["join"], room.to_string(), "{ack}");
        let rest = self.packets().await;
        [ack].into_iter().chain(rest).collect()
    }

    /// Says something, and reads it.
    pub(crate) async fn say(&mut self, room: i64, text: &str) -> Value {
        self.send_json(&json!({ "command": "send", "room": room, "message": text })).await;
        let heard = self.json().await;
        assert_eq!(heard["message"], text, "{heard}");
        heard
    }

    /// Everything that has been sent.
    pub(crate) async fn packets(&mut self) -> Vec<Value> {
        let all = self.drain().await;
        all.into_iter()
            .map(|heard| match heard {
                crate::support::raw::Heard::Text(text) => serde_json::from_str(&text).unwrap(),
                other => panic!("not a text: {other:?}"),
            })
            .collect()
    }

    /// The next packet of a type, passing over all others.
    pub(crate) async fn of_type(&mut self, kind: i64) -> Value {
        loop {
            let packet = self.json().await;
            if packet["msg_type"] == kind {
                return packet;
            }
        }
    }

    /// Passes over everything up to this packet.
    pub(crate) async fn until(&mut self, wanted: &Value) {
        loop {
            if self.json().await == *wanted {
                return;
            }
        }
    }

    /// Asks, and reads exactly this.
    pub(crate) async fn asks(&mut self, ask: Value, answer: Value) {
        self.send_json(&ask).await;
        let read = self.json().await;
        assert_eq!(read, answer, "to {ask}");
    }
}

/// A packet without what is different each time.
pub(crate) fn bare(mut packet: Value) -> Value {
    let Some(keys) = packet.as_object_mut() else { return packet };
    for key in ["id", "sent", "edited"] {
        keys.remove(key);
    }
    packet
}
