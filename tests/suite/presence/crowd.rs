//! Two hundred people who come and go at random over all dialects, on a busy machine: whatever
//! anybody was told of them is in turns, and the truth at the end.
//!
//! It lasts four seconds; `KLATSCH_PRESENCE_SECS` lets it last longer.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use klatsch::auth::{Secrets, Tokens};
use klatsch::clock::Clock;
use klatsch::domain::{Principal, UserId};
use klatsch::settings::Settings;
use parking_lot::Mutex;
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep};

use crate::support::raw::{Heard, Raw};
use crate::support::world::{Peer, World};

const CIRCLES: i64 = 20;
const EACH: i64 = 10;
const DEADLINE: Duration = Duration::from_mins(1);

/// Everybody, with a token each; the first of each circle watches the others.
struct Crowd {
    world: World,
    tokens: HashMap<i64, String>,
    /// How often a connection was not let in.
    refused: AtomicUsize,
}

fn members(circle: i64) -> impl Iterator<Item = i64> {
    (circle * EACH + 2)..=(circle * EACH + EACH)
}

fn watcher(circle: i64) -> i64 {
    circle * EACH + 1
}

/// Each circle's first has a dialog with each of the others; it bears the other's number.
fn rows() -> Vec<String> {
    let mut sql = Vec::new();
    for circle in 0..CIRCLES {
        sql.push(format!(
            "INSERT INTO circles (id, name, created_at, updated_at) VALUES ({0}, 'c', 0, 0)",
            circle + 1
        ));
        for id in std::iter::once(watcher(circle)).chain(members(circle)) {
            sql.push(format!(
                "INSERT INTO users (id, email, email_key, username, first_name, last_name, created_at, updated_at, \
                 is_active, is_superuser, is_staff, is_employee, balance) VALUES ({id}, 'u{id}@example.org', \
                 'u{id}@example.org', 'u{id}', '', '', 0, 0, TRUE, FALSE, FALSE, FALSE, 0)"
            ));
            sql.push(format!(
                "INSERT INTO circle_members (circle_id, user_id, privilege, keeper, created_at, updated_at) VALUES \
                 ({0}, {id}, 'MEMBER', FALSE, 0, 0)",
                circle + 1
            ));
        }
        for other in members(circle) {
            let first = watcher(circle);
            sql.push(format!(
                "INSERT INTO conversations (id, kind, access, title, description, device_access, direct_low, \
                 direct_high, shown_since, created_at, updated_at) VALUES ({other}, 0, 0, '', '', FALSE, {first}, \
                 {other}, 1, 0, 0)"
            ));
            sql.push(format!("INSERT INTO conversation_heads VALUES ({other}, 0, 0)"));
            for user in [first, other] {
                sql.push(format!(
                    "INSERT INTO members (conversation_id, user_id, role, live, joined_seq, created_at, updated_at, \
                     delivered_shown, read_shown, read_seq, courier_shown) VALUES ({other}, {user}, 0, 1, 0, 0, 0, 0, \
                     0, 0, 0)"
                ));
            }
        }
    }
    sql
}

impl Crowd {
    async fn open() -> Self {
        let world = World::with(|settings| {
            settings.limits.frames_per_second = 10_000.try_into().unwrap();
            settings.limits.sockets_per_user = 50.try_into().unwrap();
            // Who is slow on a busy machine is slow, and not away.
            settings.database.timeout = serde_json::from_value(json!(60)).unwrap();
        })
        .await;
        let store = world.store().await;
        store
            .write(async |tx| {
                for sql in rows() {
                    tx.execute_unprepared(&sql).await?;
                }
                Ok(())
            })
            .await
            .unwrap();
        let settings = Settings::default();
        let secrets =
            Secrets::open(world.folder(), &settings.auth.token_secret, &settings.turn.secret);
        let tokens = Tokens::new(&secrets.unwrap().token, &settings.auth, Clock::system());
        let mut issued = HashMap::new();
        for id in 1..=CIRCLES * EACH {
            let principal = Principal::User(UserId::new(id));
            let expires = tokens.expiry(principal);
            let login = store.start_login(principal, expires).await.unwrap();
            issued.insert(id, tokens.issue(principal, login, expires));
        }
        Self { world, tokens: issued, refused: AtomicUsize::new(0) }
    }

    async fn neo(&self, id: i64) -> Peer {
        self.world.peer(&self.tokens[&id]).await
    }

    async fn courier(&self, id: i64) -> Raw {
        let url = format!("ws://{}/?extras=1", self.world.port_of("courier"));
        let mut client = Raw::connect(&url, &[]).await;
        client.send(id.to_string()).await;
        client
    }

    async fn page(&self, id: i64, with: i64) -> Raw {
        let base = self.world.port_of("private-chat");
        Raw::connect(&format!("ws://{base}/{}/u{with}", self.tokens[&id]), &[]).await
    }

    async fn chat(&self, id: i64, with: i64) -> Raw {
        let query = format!("?other_member_id={with}&extras=1");
        let url = format!("ws://{}/members/chat/{query}", self.world.address);
        let mut chat = Raw::connect(&url, &[]).await;
        chat.send(format!("Bearer {}", self.tokens[&id])).await;
        chat
    }

    /// Comes by any dialect, and again if the server has no time for it.
    async fn come(&self, id: i64, first: i64) -> Present {
        loop {
            let mut raw = match rand::random_range(0..5) {
                0 => {
                    let mut peer = self.neo(id).await;
                    return Present::while_running(async move {
                        loop {
                            let second = Duration::from_secs(1);
                            let _ = tokio::time::timeout(second, peer.event()).await;
                        }
                    });
                }
                1 => self.courier(id).await,
                2 => self.chat(id, first).await,
                // As the old page does it, or without a word.
                3 => {
                    let mut page = self.page(id, first).await;
                    page.send(r#"{"type":"online"}"#).await;
                    page.send(r#"{"type":"check-online"}"#).await;
                    page
                }
                _ => {
                    let mut page = self.page(id, first).await;
                    page.send(r#"{"type":"check-online"}"#).await;
                    page
                }
            };
            // The answer says that it is bound.
            if let Heard::Text(_) = raw.next().await {
                return Present::while_running(listen(raw, |_| ()));
            }
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Comes and goes; whether it is there in the end.
    async fn live(&self, id: i64, first: i64, until: Instant) -> Option<Present> {
        let pause = |most: u64| sleep(Duration::from_millis(rand::random_range(0..most)));
        pause(1000).await;
        while Instant::now() < until {
            let connection = self.come(id, first).await;
            pause(700).await;
            // Sometimes the next is there before the last has gone.
            let next = if rand::random() { Some(self.come(id, first).await) } else { None };
            drop(connection);
            pause(300).await;
            drop(next);
            pause(700).await;
        }
        if rand::random() { Some(self.come(id, first).await) } else { None }
    }
}

/// A connection that reads whatever comes; it breaks with this.
struct Present(AbortHandle);

impl Present {
    fn while_running(connection: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(connection).abort_handle())
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Reads for ever.
async fn listen(mut raw: Raw, mut told: impl FnMut(Value)) {
    loop {
        match raw.next_within(Duration::from_secs(1)).await {
            Some(Heard::Text(text)) => told(serde_json::from_str(&text).unwrap()),
            // The server's pings are answered meanwhile.
            None => {}
            Some(other) => panic!("the connection lives: {other:?}"),
        }
    }
}

/// What a connection has been told of everybody.
#[derive(Default)]
struct View {
    online: HashMap<i64, bool>,
    told: usize,
    wrong: String,
}

impl View {
    /// Somebody came or went; said twice only where somebody may say so again.
    fn note(&mut self, id: i64, online: bool, again: bool) {
        self.told += 1;
        let before = self.online.insert(id, online).unwrap_or_default();
        if before == online && !again {
            let _ = writeln!(self.wrong, "{id} was told to be {online} twice");
        }
    }
}

type Shared = Arc<Mutex<View>>;

async fn watch_neo(mut peer: Peer, view: Shared) {
    loop {
        let next = tokio::time::timeout(Duration::from_secs(1), peer.event()).await;
        if let Ok((channel, told)) = next
            && channel == "presence"
        {
            let id = told["user_id"].as_i64().unwrap();
            view.lock().note(id, told["online"] == json!(true), false);
        }
    }
}

async fn watch_raw(raw: Raw, view: Shared) {
    let number = |name: &Value| name.as_str().unwrap()[1..].parse::<i64>().unwrap();
    listen(raw, |told| {
        let mut view = view.lock();
        match told["type"].as_str() {
            Some("presence") => {
                let id = told["user_id"].as_i64().or(told["member_id"].as_i64());
                view.note(id.unwrap(), told["online"] == json!(true), false);
            }
            Some("gone-online") => {
                for name in told["usernames"].as_array().unwrap() {
                    view.note(number(name), true, true);
                }
            }
            Some("gone-offline") => view.note(number(&told["username"]), false, false),
            _ => {}
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_people_at_random_over_all_dialects_are_told_in_turns_and_truly() {
    let seconds = std::env::var("KLATSCH_PRESENCE_SECS").ok().and_then(|secs| secs.parse().ok());
    let crowd = Arc::new(Crowd::open().await);
    let (mut watching, mut views) = (JoinSet::new(), Vec::new());
    for circle in 0..CIRCLES {
        let (id, near) = (watcher(circle), watcher(circle) + 1);
        let fresh = |who: Vec<i64>, dialect| {
            let view = Shared::default();
            (view.clone(), (view, who, dialect))
        };
        let everybody: Vec<_> = members(circle).collect();
        let mut neo = crowd.neo(id).await;
        neo.ask("sync", json!({ "conversation_id": near, "since": 0 })).await;
        let (view, entry) = fresh(everybody.clone(), "NEO");
        watching.spawn(watch_neo(neo, view));
        views.push(entry);
        let (view, entry) = fresh(everybody.clone(), "private-chat");
        let mut page = crowd.page(id, near).await;
        page.send(r#"{"type":"check-online"}"#).await;
        page.json().await;
        watching.spawn(watch_raw(page, view));
        views.push(entry);
        let (view, entry) = fresh(vec![near], "members-chat");
        let mut chat = crowd.chat(id, near).await;
        chat.json().await;
        chat.json().await;
        watching.spawn(watch_raw(chat, view));
        views.push(entry);
        let (view, entry) = fresh(everybody, "courier");
        let mut client = crowd.courier(id).await;
        assert_eq!(client.text().await, format!("user id {id} received"));
        watching.spawn(watch_raw(client, view));
        views.push(entry);
    }
    let busy = Arc::new(AtomicBool::new(true));
    let load: Vec<_> = (0..2)
        .map(|_| {
            let busy = Arc::clone(&busy);
            std::thread::spawn(move || while busy.load(Ordering::Relaxed) {})
        })
        .collect();
    let until = Instant::now() + Duration::from_secs(seconds.unwrap_or(4));
    let mut people = JoinSet::new();
    for circle in 0..CIRCLES {
        for id in members(circle) {
            let crowd = Arc::clone(&crowd);
            people.spawn(async move { (id, crowd.live(id, watcher(circle), until).await) });
        }
    }
    let ends: HashMap<_, _> = people.join_all().await.into_iter().collect();
    busy.store(false, Ordering::Relaxed);
    let begun = Instant::now();
    loop {
        let (mut wrong, mut told) = (String::new(), 0);
        for (view, who, dialect) in &views {
            let view = view.lock();
            told += view.told;
            assert_eq!(view.wrong, "", "{dialect}");
            for id in who {
                let (truth, shown) = (ends[id].is_some(), view.online.get(id) == Some(&true));
                if truth != shown {
                    let _ = writeln!(wrong, "{dialect}: {id} is online: {truth}, shown: {shown}");
                }
            }
        }
        if wrong.is_empty() {
            let refused = crowd.refused.load(Ordering::Relaxed);
            println!("{told} changes were told, {refused} connections were not let in");
            break;
        }
        assert!(begun.elapsed() < DEADLINE, "{wrong}");
        sleep(Duration::from_millis(100)).await;
    }
    assert!(watching.try_join_next().is_none(), "everybody still watches");
    for thread in load {
        thread.join().unwrap();
    }
}
