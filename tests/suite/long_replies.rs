//! Replies longer than their readers take at once, while the conversation goes on: nothing is
//! missed and nobody is let go, for what finds no room meanwhile is read from the log.

use std::num::NonZeroUsize;

use klatsch::telemetry::Metrics;
use serde_json::{Value, json};

use crate::support::raw::Raw;
use crate::support::world::{Person, World};

/// Bytes that the system keeps for a reader; by itself it may keep all that is sent here.
const ROOM: u32 = 64 << 10;
/// Messages from before, so long that no socket takes them all.
const BEFORE: usize = 600;
/// Messages that come while nobody reads: many times what is held back for a connection.
const MEANWHILE: usize = 300;
/// Frames that a sink takes here; half as many are held back.
const SINK: NonZeroUsize = NonZeroUsize::new(64).unwrap();

/// What one client says, in the order in which every other is to read it.
struct Author {
    said: usize,
    raw: Raw,
    /// The frame for words.
    frame: Box<dyn Fn(&str) -> Value + Send>,
    /// A key that only the answer to it has.
    key: &'static str,
}

impl Author {
    /// Says something so many times, and waits until all of it was stored.
    async fn say(&mut self, times: usize, padding: &str) {
        for number in self.said..self.said + times {
            self.raw.send_json(&(self.frame)(&format!("{number} {padding}"))).await;
            while self.raw.json().await[self.key].is_null() {}
        }
        self.said += times;
    }
}

fn number(words: &str) -> usize {
    words.split(' ').next().unwrap().parse().unwrap()
}

/// How often connections of a dialect have read on.
fn readings(dialect: &str) -> u64 {
    let line = format!("klatsch_read_on_total{{dialect=\"{dialect}\"}} ");
    let page = Metrics::start().render();
    let count = page.lines().find_map(|found| found.strip_prefix(&line));
    count.map_or(0, |count| count.parse().unwrap())
}

/// A server with Ann and Bob, where nobody is too fast and sinks are small.
async fn town() -> (World, Person, Person) {
    let world = World::with(|settings| {
        settings.limits.frames_per_second = 100_000.try_into().unwrap();
        settings.limits.frames_burst = 100_000;
        settings.limits.sink_frames = SINK;
        settings.members_chat.billed_dialects.clear();
        settings.multichat.history_max = BEFORE;
    })
    .await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    (world, ann, bob)
}

/// Letters of these bytes that fill a message.
fn padding() -> String {
    "é".repeat(8_000)
}

/// Ann says more while Bob's reply waits in his socket; then he reads everything in order.
async fn goes_on(dialect: &str, mut ann: Author, mut bob: Raw, key: &str) {
    let before = readings(dialect);
    ann.say(MEANWHILE, "meanwhile").await;
    let mut next = 0;
    while next < BEFORE + MEANWHILE {
        let read = bob.json().await;
        let frames = if let Value::Array(history) = read { history } else { vec![read] };
        for words in frames.iter().filter_map(|frame| frame[key].as_str()) {
            assert_eq!(number(words), next, "{dialect}");
            next += 1;
        }
    }
    assert!(readings(dialect) > before, "{dialect} had room for everything");
    ann.say(1, "and on").await;
    let live = bob.json().await;
    assert_eq!(live[key], format!("{next} and on"), "{dialect}");
    bob.reads_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_of_a_chat_reads_on() {
    let (world, ann, bob) = town().await;
    let open = async |me: &Person, other: &Person, more: &str| {
        let path = format!("/members/chat/?other_member_id={}{more}", other.id);
        let url = format!("ws://{}{path}", world.address);
        let mut raw = Raw::connect_with_room(&url, &[], ROOM).await;
        raw.send(format!("Bearer {}", me.token)).await;
        raw
    };
    let mut raw = open(&ann, &bob, "").await;
    raw.reads(json!([])).await;
    let frame = Box::new(|words: &str| json!({ "type": "text", "text": words }));
    let mut author = Author { said: 0, raw, frame, key: "text" };
    author.say(BEFORE, &padding()).await;
    let reader = open(&bob, &ann, "&limit=600").await;
    goes_on("members-chat", author, reader, "text").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_replay_of_a_room_reads_on() {
    let (world, ann, bob) = town().await;
    let room = world.command(&["room", "add", "Lobby"]);
    let room: Value = serde_json::from_str(&room).unwrap();
    let room = room["id"].as_i64().unwrap();
    let join = async |who: &Person| {
        let bearer = format!("Bearer {}", who.token);
        let url = format!("ws://{}/chat/stream/", world.address);
        let mut raw = Raw::connect_with_room(&url, &[("authorization", &bearer)], ROOM).await;
        let join = json!({ "command": "join", "room": room, "history": BEFORE });
        raw.send_json(&join).await;
        raw
    };
    let raw = join(&ann).await;
    let frame =
        Box::new(move |words: &str| json!({ "command": "send", "room": room, "message": words }));
    let mut author = Author { said: 0, raw, frame, key: "message" };
    author.say(BEFORE, &padding()).await;
    let reader = join(&bob).await;
    // Ann hears that Bob has come, and his replay begins.
    while author.raw.json().await["msg_type"] != 4 {}
    goes_on("multichat", author, reader, "message").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_letters_read_on() {
    let (world, ann, bob) = town().await;
    let greet = async |who: &Person| {
        let url = format!("ws://{}/", world.port_of("courier"));
        let mut raw = Raw::connect_with_room(&url, &[], ROOM).await;
        raw.send(who.id.to_string()).await;
        assert_eq!(raw.text().await, format!("user id {} received", who.id));
        raw
    };
    let mut raw = greet(&ann).await;
    let member = [ann.id, bob.id];
    raw.send_json(&json!({ "type": "init_personal", "conv_id": 1, "member": member })).await;
    let letters = raw.json().await["db_conv_id"].as_i64().unwrap();
    let frame = Box::new(
        move |words: &str| json!({ "type": "personal", "conv_id": letters, "msg": words }),
    );
    let mut author = Author { said: 0, raw, frame, key: "message_id" };
    author.say(BEFORE, &padding()).await;
    let reader = greet(&bob).await;
    goes_on("courier", author, reader, "msg").await;
}
