//! Nobody misses anything, in any dialect (RULINGS 62): a connection breaks without a word while
//! messages flow, and the server is killed; whoever comes back gets every missed message by the
//! means of its own dialect.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::raw::{Heard, Raw};
use crate::support::site::{Process, Site};

/// How many messages flow before and after each break.
const SOME: usize = 60;

/// Ann, who writes; Bob, who comes and goes; where they talk.
struct Place {
    ann: String,
    bob: String,
    bob_id: i64,
    ann_id: i64,
    pair: i64,
    group: i64,
}

/// What Ann was told is stored.
#[derive(Clone, Default)]
struct Stored(Arc<Mutex<Vec<i64>>>);

impl Stored {
    fn len(&self) -> usize {
        self.0.lock().len()
    }

    async fn until(&self, count: usize) {
        let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
        while self.len() < count {
            assert!(tokio::time::Instant::now() < deadline, "{} of {count} stored", self.len());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn furnish(site: &Site, url: &str) -> Place {
    let (ann, bob) = (site.person("ann").await, site.person("bob").await);
    let socket = url.replacen("http", "ws", 1);
    let mut letters = Raw::connect(&format!("{socket}/courier?token={ann}"), &[]).await;
    letters.send("1").await;
    assert_eq!(letters.text().await, "user id 1 received");
    let member = [1, 2];
    letters.send_json(&json!({ "type": "init_personal", "conv_id": 1, "member": member })).await;
    let pair = letters.json().await["db_conv_id"].as_i64().unwrap();
    let group =
        json!({ "type": "init_group", "conv_id": 2, "member": member, "group_name": "Tea" });
    letters.send_json(&group).await;
    let group = letters.json().await["db_conv_id"].as_i64().unwrap();
    Place { ann, bob, ann_id: 1, bob_id: 2, pair, group }
}

/// Ann writes until she is told to stop, or the server is gone.
fn write(
    url: &str,
    place: &Place,
    here: i64,
    stored: &Stored,
    stop: &Arc<AtomicBool>,
) -> JoinHandle<()> {
    let (stored, stop) = (stored.clone(), Arc::clone(stop));
    let url = format!("{url}/message/send");
    let token = place.ann.clone();
    tokio::spawn(async move {
        let http = reqwest::Client::new();
        while !stop.load(Ordering::Relaxed) {
            let words = json!({
                "token": token, "conversation_id": here, "text_message": "one of many",
            });
            let Ok(answer) = http.post(&url).json(&words).send().await else { return };
            let Ok(answer) = answer.json::<Value>().await else { return };
            if let Some(id) = answer["message_id"].as_i64() {
                stored.0.lock().push(id);
            }
        }
    })
}

/// Bob as a client of one dialect: what he has read survives his connections.
struct Reader {
    dialect: &'static str,
    read: BTreeSet<i64>,
    /// The last change that `sync` told of.
    revision: i64,
}

impl Reader {
    fn here(&self, place: &Place) -> i64 {
        if self.dialect == "multichat" { place.group } else { place.pair }
    }

    /// Connects, and takes in what he missed.
    async fn connect(&mut self, url: &str, place: &Place) -> Raw {
        let socket = url.replacen("http", "ws", 1);
        let token = &place.bob;
        match self.dialect {
            "neo" => self.connect_neo(&socket, place).await,
            "private-chat" => {
                let url = format!("{socket}/private-chat/{token}/ann?extras=1");
                let mut raw = Raw::connect(&url, &[]).await;
                let mut before = None;
                loop {
                    let wish = json!({ "type": "history", "username": "ann", "limit": 200, "before": before });
                    let wish = without_nothing(wish);
                    raw.send_json(&wish).await;
                    let page = loop {
                        let frame = raw.json().await;
                        self.note(&frame);
                        if frame["type"] == "history" {
                            break frame;
                        }
                    };
                    let messages = page["value"].as_array().unwrap();
                    let ids = messages.iter().filter_map(|message| message["message_id"].as_i64());
                    self.read.extend(ids);
                    before = messages.first().map(|first| first["message_id"].clone());
                    if page["more"] != true {
                        return raw;
                    }
                }
            }
            "members-chat" => {
                let url = format!("{socket}/members/chat/?other_member_id={}", place.ann_id);
                let mut raw = Raw::connect(&url, &[]).await;
                raw.send(format!("Bearer {token}")).await;
                let history = raw.json().await;
                let ids = history.as_array().unwrap().iter().filter_map(|one| one["id"].as_i64());
                self.read.extend(ids);
                raw
            }
            "multichat" => self.connect_multichat(&socket, place).await,
            _ => {
                let url = format!("{socket}/courier?token={token}&extras=1");
                let mut raw = Raw::connect(&url, &[]).await;
                raw.send(place.bob_id.to_string()).await;
                raw.text().await;
                loop {
                    let frame = raw.json().await;
                    if frame["type"] == "backlog_done" {
                        return raw;
                    }
                    self.note(&frame);
                }
            }
        }
    }

    async fn connect_neo(&mut self, socket: &str, place: &Place) -> Raw {
        let token = &place.bob;
        let url = format!("{socket}/socket.io/?EIO=4&transport=websocket");
        let mut raw = Raw::connect(&url, &[]).await;
        raw.send("40").await;
        while !raw.text().await.starts_with("40") {}
        let here = self.here(place);
        for packet in [
            json!(["authenticate", { "token": token }]),
            json!(["join_conversation", { "conversation_id": here }]),
        ] {
            raw.send(format!("42{packet}")).await;
            while !raw.text().await.starts_with("42[\"success\"") {}
        }
        loop {
            let since = json!(["sync", { "conversation_id": here, "since": self.revision }]);
            raw.send(format!("427{since}")).await;
            let answer = loop {
                let text = raw.text().await;
                self.note_neo(&text);
                if let Some(answer) = text.strip_prefix("437") {
                    break serde_json::from_str::<Value>(answer).unwrap()[0].take();
                }
            };
            let messages = answer["messages"].as_array().unwrap();
            self.read.extend(messages.iter().filter_map(|message| message["id"].as_i64()));
            self.revision = answer["revision"].as_i64().unwrap();
            if answer["more"] == false {
                return raw;
            }
        }
    }

    async fn connect_multichat(&mut self, socket: &str, place: &Place) -> Raw {
        let token = &place.bob;
        let url = format!("{socket}/chat/stream/?token={token}&features=history");
        let mut raw = Raw::connect(&url, &[]).await;
        raw.json().await;
        loop {
            let after = self.read.last().copied().unwrap_or_default();
            let room = place.group;
            let join = json!({ "command": "join", "room": room, "after": after });
            raw.send_json(&join).await;
            let page = loop {
                let frame = raw.json().await;
                self.note(&frame);
                if frame["msg_type"] == 9 {
                    break frame;
                }
            };
            let messages = page["messages"].as_array().unwrap();
            self.read.extend(messages.iter().filter_map(|message| message["id"].as_i64()));
            if page["more"] == false {
                return raw;
            }
            raw.send_json(&json!({ "command": "leave", "room": room })).await;
            while raw.json().await.get("leave").is_none() {}
        }
    }

    fn note_neo(&mut self, text: &str) {
        let Some(event) = text.strip_prefix("42") else { return };
        let event: Value = serde_json::from_str(event).unwrap();
        if event[0] == "message" {
            self.read.extend(event[1]["message"]["id"].as_i64());
        }
    }

    fn note(&mut self, frame: &Value) {
        let shows =
            frame["message"].is_string() || frame["msg"].is_string() || frame["text"].is_string();
        let id = if frame["message_id"].is_i64() { &frame["message_id"] } else { &frame["id"] };
        if shows && (self.dialect != "neo") {
            self.read.extend(id.as_i64());
        }
    }

    /// Reads live messages until there are so many more, or the connection is gone.
    async fn listen(&mut self, raw: &mut Raw, more: usize) {
        let enough = self.read.len() + more;
        while self.read.len() < enough {
            match raw.next().await {
                Heard::Text(text) if self.dialect == "neo" => {
                    if text == "2" {
                        raw.send("3").await;
                    }
                    self.note_neo(&text);
                }
                Heard::Text(text) => self.note(&serde_json::from_str(&text).unwrap()),
                _ => return,
            }
        }
    }
}

fn without_nothing(mut wish: Value) -> Value {
    if let Some(keys) = wish.as_object_mut() {
        keys.retain(|_, value| !value.is_null());
    }
    wish
}

async fn nothing_is_missed(dialect: &'static str) {
    let site = Site::new()
        .set("MEMBERS_CHAT__BILLED_DIALECTS", "")
        .set("LIMITS__FRAMES_PER_SECOND", "1000")
        .set("COURIER__TRUST_USER_ID", "never");
    let mut server: Process = site.start().await;
    let place = furnish(&site, &server.url).await;
    let mut bob = Reader { dialect, read: BTreeSet::new(), revision: 0 };
    let here = bob.here(&place);
    let stored = Stored::default();
    let stop = Arc::new(AtomicBool::new(false));

    let writing = write(&server.url, &place, here, &stored, &stop);
    let mut raw = bob.connect(&server.url, &place).await;
    bob.listen(&mut raw, SOME).await;
    raw.vanish();
    stored.until(stored.len() + SOME).await;

    let mut raw = bob.connect(&server.url, &place).await;
    bob.listen(&mut raw, SOME).await;
    server.kill().await;
    writing.await.unwrap();
    bob.listen(&mut raw, usize::MAX / 2).await;
    drop(raw);

    server = site.start().await;
    let writing = write(&server.url, &place, here, &stored, &stop);
    stored.until(stored.len() + SOME).await;
    let mut raw = bob.connect(&server.url, &place).await;
    bob.listen(&mut raw, SOME / 2).await;
    stop.store(true, Ordering::Relaxed);
    writing.await.unwrap();
    raw.vanish();
    bob.connect(&server.url, &place).await;

    let stored = stored.0.lock().clone();
    let missing: Vec<_> = stored.iter().filter(|id| !bob.read.contains(id)).collect();
    assert!(missing.is_empty(), "{dialect} misses {missing:?} of {}", stored.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_io_client_misses_nothing() {
    nothing_is_missed("neo").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_chat_client_misses_nothing() {
    nothing_is_missed("private-chat").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_members_chat_client_misses_nothing() {
    nothing_is_missed("members-chat").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_multichat_client_misses_nothing() {
    nothing_is_missed("multichat").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_courier_client_misses_nothing() {
    nothing_is_missed("courier").await;
}
