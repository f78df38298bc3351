//! Five dialects that speak by five that listen: what is said in one is read in all others.
//!
//! The page `docs/rosetta.md` is what this test saw; it fails when the page is not current.
//! `KLATSCH_UPDATE=1` writes it anew.

mod order;
mod page;
mod voice;

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::programs::{Program, node};
use crate::support::raw::Raw;
use crate::support::server::Running;
use crate::support::world::{DEADLINE, Person, World};
use page::{Page, Row, scrubbed};
use voice::{DIALECTS, Said, Voice};

/// The dialects in which two people talk.
const PAIR: [&str; 4] = ["neo", "private-chat", "members-chat", "courier"];
/// The dialects in which a group talks.
const GROUP: [&str; 3] = ["neo", "multichat", "courier"];

/// Ann and Bob, with a conversation of two and a group.
struct Stage {
    world: World,
    ann: Person,
    bob: Person,
    pair: i64,
    group: i64,
    smile: i64,
}

impl Stage {
    async fn set() -> Self {
        let world = World::with(|settings| {
            settings.members_chat.billed_dialects.clear();
            settings.limits.frames_per_second = std::num::NonZero::new(100_000).unwrap();
            settings.limits.frames_burst = 100_000;
            settings.limits.sockets_per_user = std::num::NonZero::new(100).unwrap();
            settings.neo.events_per_second = std::num::NonZero::new(100_000).unwrap();
            settings.neo.events_burst = std::num::NonZero::new(100_000).unwrap();
        })
        .await;
        let (ann, bob) = (world.person("ann").await, world.person("bob").await);
        let mut letters = courier(&world, &ann).await;
        let member = [ann.id, bob.id];
        let init = json!({ "type": "init_personal", "conv_id": 1, "member": member });
        letters.send_json(&init).await;
        let pair = letters.json().await["db_conv_id"].as_i64().unwrap();
        let init = json!({
            "type": "init_group", "conv_id": 2, "member": member, "group_name": "Tea",
        });
        letters.send_json(&init).await;
        let group = letters.json().await["db_conv_id"].as_i64().unwrap();
        // Both exist for everybody once something was said in them.
        for (kind, conv_id) in [("personal", pair), ("group", group)] {
            letters.send_json(&json!({ "type": kind, "conv_id": conv_id, "msg": "first" })).await;
            letters.json().await;
        }
        let mut reply = courier(&world, &bob).await;
        for (kind, conv_id) in [("personal", pair), ("group", group)] {
            reply.send_json(&json!({ "type": kind, "conv_id": conv_id, "msg": "second" })).await;
            while reply.json().await["message_id"].is_null() {}
        }
        letters.close().await;
        reply.close().await;
        world.promote(&ann);
        let smile = upload_smile(&world, &ann).await;
        Self { world, ann, bob, pair, group, smile }
    }

    /// Connections of somebody in each of these dialects.
    async fn voices(&self, dialects: &[&'static str], who: &Person, is_pair: bool) -> Vec<Voice> {
        let other = if who.id == self.ann.id { &self.bob } else { &self.ann };
        let conversation = if is_pair { self.pair } else { self.group };
        let mut voices = Vec::new();
        for dialect in dialects {
            let voice = Voice::open(&self.world, dialect, who, other, conversation).await;
            voices.push(if is_pair { voice } else { voice.in_a_group() });
        }
        voices
    }
}

async fn courier(world: &World, person: &Person) -> Raw {
    let url = format!("ws://{}/courier?token={}", world.address, person.token);
    let mut raw = Raw::connect(&url, &[]).await;
    raw.send(person.id.to_string()).await;
    raw.text().await;
    raw
}

async fn upload_smile(world: &World, admin: &Person) -> i64 {
    let part = reqwest::multipart::Part::bytes(b"\x89PNG\r\n\x1a\nsmile".to_vec());
    let form = reqwest::multipart::Form::new().part("file", part.file_name("smile.png"));
    let request = reqwest::Client::new().post(format!("{}/storage/smiles", world.url()));
    let answer = request.bearer_auth(&admin.token).multipart(form).send().await.unwrap();
    answer.json::<Value>().await.unwrap()["id"].as_i64().unwrap()
}

/// Everything that all of them heard, scrubbed; waits until nothing is under way.
async fn heard(speakers: &mut [Voice], listeners: &mut [Voice]) -> (Vec<Vec<Value>>, Vec<Row>) {
    let mut own = Vec::new();
    for speaker in speakers.iter_mut() {
        own.push(speaker.heard().await);
    }
    let mut rows = Vec::new();
    for listener in listeners.iter_mut() {
        rows.push(Row::new(listener.dialect, listener.heard().await));
    }
    (own, rows)
}

/// Posts words and finds out how the message is called.
async fn post(stage: &Stage, speakers: &mut [Voice], which: usize, words: &str) -> Said {
    speakers[which].say(words).await;
    speakers[which].heard().await;
    newest(stage, speakers[which].conversation()).await
}

async fn newest(stage: &Stage, conversation: i64) -> Said {
    let list = json!({
        "token": stage.ann.token, "conversation_id": conversation, "quantity": 1, "latest": true,
    });
    let list = stage.world.ok("/conversation/message/list", list).await;
    let message = &list["content"][0];
    let id = message["id"].as_i64().unwrap_or_else(|| panic!("{list}"));
    Said { id, seq: message["seq"].as_i64().unwrap() }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_in_one_dialect_is_read_in_all_others() {
    let stage = Stage::set().await;
    let mut page = Page::new();
    for (dialects, is_pair) in [(&PAIR[..], true), (&GROUP[..], false)] {
        conversation(&stage, &mut page, dialects, is_pair).await;
    }
    presence(&stage, &mut page).await;
    page.check();
}

async fn conversation(
    stage: &Stage,
    page: &mut Page,
    dialects: &'static [&'static str],
    is_pair: bool,
) {
    let mut speakers = stage.voices(dialects, &stage.ann, is_pair).await;
    let mut listeners = stage.voices(dialects, &stage.bob, is_pair).await;
    heard(&mut speakers, &mut listeners).await;
    page.place(is_pair);
    for which in 0..speakers.len() {
        let name = speakers[which].dialect;
        speakers[which].say(&format!("hello from {name}")).await;
        let (own, rows) = heard(&mut speakers[which..=which], &mut listeners).await;
        page.deed(name, "posts words", &own[0], rows);
        heard(&mut speakers, &mut listeners).await;
        let said = newest(stage, speakers[which].conversation()).await;

        // private-chat tells of typing once a second at most.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        for (typing, deed) in [(true, "begins to type"), (false, "ceases to type")] {
            if speakers[which].type_(typing).await {
                let (own, rows) = heard(&mut speakers[which..=which], &mut listeners).await;
                page.deed(name, deed, &own[0], rows);
                heard(&mut speakers, &mut listeners).await;
            }
        }
        // What has no end of its own ends with a message.
        post(stage, &mut speakers, which, "and on").await;
        heard(&mut speakers, &mut listeners).await;

        listeners[which].read(said).await;
        let rows = told_of_reading(&mut speakers).await;
        page.deed(name, "reads it (what the author is told)", &[], rows);
        heard(&mut speakers, &mut listeners).await;

        if speakers[which].edit(&stage.world, said, "changed words").await {
            let (own, rows) = heard(&mut speakers[which..=which], &mut listeners).await;
            page.deed(name, "edits it", &own[0], rows);
            heard(&mut speakers, &mut listeners).await;
        }
        if speakers[which].delete(&stage.world, said).await {
            let (own, rows) = heard(&mut speakers[which..=which], &mut listeners).await;
            page.deed(name, "deletes it", &own[0], rows);
            heard(&mut speakers, &mut listeners).await;
        }
        if speakers[which].send_file(&stage.world, "look").await {
            let (own, rows) = heard(&mut speakers[which..=which], &mut listeners).await;
            page.deed(name, "sends a file", &own[0], rows);
            heard(&mut speakers, &mut listeners).await;
        }
        if name == "members-chat" {
            speakers[which].smile(stage.smile).await;
            let (own, rows) = heard(&mut speakers[which..=which], &mut listeners).await;
            page.deed(name, "sends a smile", &own[0], rows);
            heard(&mut speakers, &mut listeners).await;
        }
    }
    delivered(stage, page, &mut speakers, &mut listeners).await;
    for voice in speakers.into_iter().chain(listeners) {
        voice.close().await;
    }
}

/// What the author is told of a reader: marks are written together, a moment later.
async fn told_of_reading(speakers: &mut [Voice]) -> Vec<Row> {
    let mut frames = vec![Vec::new(); speakers.len()];
    let told = async {
        while frames.iter().any(Vec::is_empty) {
            for (speaker, frames) in speakers.iter_mut().zip(&mut frames) {
                let heard = speaker.heard().await;
                frames.extend(heard.into_iter().filter(|frame| frame["type"] != "delivered"));
            }
        }
    };
    tokio::time::timeout(DEADLINE, told).await.expect("every author's connection is told");
    let rows = speakers.iter().zip(frames);
    rows.map(|(speaker, frames)| Row::new(speaker.dialect, frames)).collect()
}

/// An author is told of an arrival when the reader's connection has proved it.
async fn delivered(
    stage: &Stage,
    page: &mut Page,
    speakers: &mut [Voice],
    listeners: &mut [Voice],
) {
    let Some(author) = speakers.iter().position(|voice| voice.dialect == "courier") else { return };
    let said = post(stage, speakers, author, "has it come?").await;
    let told = |frame: &Value| {
        frame["type"] == "delivered"
            && frame["message_id"].as_array().is_some_and(|ids| ids.contains(&json!(said.id)))
    };
    // Reading answers pings.
    for listener in listeners.iter_mut() {
        listener.heard().await;
    }
    let frame = loop {
        let frame = speakers[author].next().await;
        if told(&frame) {
            break frame;
        }
    };
    page.deed("courier", "is told that it has arrived", &[scrubbed(frame)], Vec::new());
}

/// Coming and going is told in every dialect that can say it, once.
async fn presence(stage: &Stage, page: &mut Page) {
    // Only the watchers are left, and Ann's own first connection.
    let mut watchers = stage.voices(&PAIR, &stage.bob, true).await;
    watchers.extend(stage.voices(&["multichat"], &stage.bob, false).await);
    let mut gone = stage.world.peer(&stage.ann.token).await;
    stage.world.ok("/account/logout", json!({ "token": stage.ann.token })).await;
    gone.heard().await;
    settled(stage, &mut watchers).await;
    for dialect in DIALECTS {
        let token = stage.world.log_in(&stage.ann.email, "secret").await;
        let ann = Person {
            id: stage.ann.id,
            email: stage.ann.email.clone(),
            token,
            peer: stage.world.stranger().await,
        };
        let place = if dialect == "multichat" { stage.group } else { stage.pair };
        for watcher in &mut watchers {
            watcher.heard().await;
        }
        let voice = Voice::open(&stage.world, dialect, &ann, &stage.bob, place).await;
        page.deed(dialect, "comes online", &[], told(&mut watchers, dialect, true).await);
        voice.close().await;
        page.deed(dialect, "goes offline", &[], told(&mut watchers, dialect, false).await);
    }
}

/// Waits until nobody believes any more that Ann is here.
async fn settled(stage: &Stage, watchers: &mut [Voice]) {
    let id = stage.ann.id;
    loop {
        for watcher in watchers.iter_mut() {
            watcher.heard().await;
        }
        let info = json!({ "token": stage.bob.token, "user_id": id });
        let info = stage.world.ok("/user/info", info).await;
        if info["content"]["isOnline"] == false {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// What each watcher is told of it. Multichat knows who is in a room, and nothing else.
async fn told(watchers: &mut [Voice], dialect: &str, online: bool) -> Vec<Row> {
    let mut rows = Vec::new();
    for watcher in watchers.iter_mut() {
        let mut frames = Vec::new();
        if watcher.dialect != "multichat" || dialect == "multichat" {
            loop {
                let frame = watcher.next().await;
                let is_news = page::is_presence(&frame, online);
                frames.push(frame);
                if is_news {
                    break;
                }
            }
        }
        frames.extend(watcher.heard().await);
        rows.push(Row::new(watcher.dialect, frames));
    }
    rows
}

#[test]
fn the_example_prints_what_each_dialect_reads() {
    let Some(mut example) = node("examples/rosetta.mjs") else { return };
    let server = Running::start();
    let told = Program::start(example.arg(&server.url)).finish(Duration::from_mins(1));
    for dialect in DIALECTS {
        let line = told.lines().find(|line| line.starts_with(&format!("{dialect}: ")));
        assert!(
            line.is_some_and(|line| line.contains("Coffee?")),
            "{dialect} reads nothing:\n{told}"
        );
    }
}
