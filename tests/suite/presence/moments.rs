//! What used to be told late, wrongly, to the wrong ones or never.

use std::time::Duration;

use klatsch::store::Store;
use sea_orm::{ConnectOptions, ConnectionTrait, Database, DatabaseConnection, Statement};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::support::raw::{Heard, Raw};
use crate::support::world::{DEADLINE, Peer, Person, World};

/// Ann, who hears of presence over Socket.IO, and Bob, of the same circle, with a dialog.
struct Pair {
    world: World,
    ann: Person,
    bob: Person,
    circle: i64,
}

impl Pair {
    async fn open() -> Self {
        Self::in_world(World::open().await).await
    }

    async fn in_world(world: World) -> Self {
        let (mut ann, mut bob) = (world.person("ann").await, world.person("bob").await);
        let circle = world.circle(&ann, &[&bob]).await;
        let conversation = world.conversation(circle, &ann, &bob).await;
        ann.peer.heard().await;
        bob.peer.heard().await;
        ann.peer.ask("sync", json!({ "conversation_id": conversation, "since": 0 })).await;
        let mut page = Raw::connect(&page_url(&world, &ann, "bob"), &[]).await;
        page.send(r#"{"type":"new-message","username":"bob","message":"hi"}"#).await;
        while page.json().await["type"] != "new-message" {}
        page.close().await;
        Self { world, ann, bob, circle }
    }

    /// Ann's page on Bob, once it is bound.
    async fn page(&self, of: &Person, with: &str) -> Raw {
        let mut page = Raw::connect(&page_url(&self.world, of, with), &[]).await;
        settle(&mut page).await;
        page
    }

    async fn told(&mut self) -> bool {
        let told = self.ann.peer.expect("presence").await;
        assert_eq!(told["user_id"], json!(self.bob.id));
        told["online"].as_bool().unwrap()
    }
}

fn page_url(world: &World, of: &Person, with: &str) -> String {
    format!("ws://{}/{}/{with}", world.port_of("private-chat"), of.token)
}

/// What comes until everything that was sent before is carried out.
async fn settle(page: &mut Raw) -> Vec<Value> {
    page.send(r#"{"type":"settled?"}"#).await;
    let mut read = Vec::new();
    loop {
        let packet = page.json().await;
        if packet["code"] == "unknown_type" {
            return read;
        }
        read.push(packet);
    }
}

fn online(names: &[&str]) -> Value {
    json!({"type": "gone-online", "usernames": names})
}

fn offline(name: &str) -> Value {
    json!({"type": "gone-offline", "username": name})
}

/// Ends a connection of Socket.IO, and waits for that.
async fn leave(mut peer: Peer) {
    peer.say(r#"42["disconnect"]"#);
    peer.ended().await;
}

/// Somebody else keeps the database from being written to.
async fn block(world: &World) -> DatabaseConnection {
    let file = world.folder().join("klatsch.db");
    let mut options = ConnectOptions::new(format!("sqlite:{}", file.display()));
    options.max_connections(1).sqlx_logging(false);
    let db = Database::connect(options).await.unwrap();
    db.execute_unprepared("BEGIN IMMEDIATE").await.unwrap();
    db
}

async fn last_seen(store: &Store, user: i64) -> Option<i64> {
    let sql = format!("SELECT last_seen FROM users WHERE id = {user}");
    let statement = Statement::from_string(store.backend(), sql);
    let row = store.reads().query_one_raw(statement).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

/// An offline was told only once the database was written to, then perhaps of somebody who
/// was back; what came within that time was never told, and after an error nothing was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_are_told_while_nothing_can_be_written_and_written_afterwards() {
    let world = World::with(|settings| {
        settings.database.timeout = serde_json::from_value(json!(1)).unwrap();
    })
    .await;
    let mut pair = Pair::in_world(world).await;
    let store = pair.world.store().await;
    let mut page = pair.page(&pair.ann, "bob").await;
    let blockade = block(&pair.world).await;
    let mut bob = std::mem::replace(&mut pair.bob.peer, pair.world.stranger().await);
    for _ in 0..8 {
        leave(bob).await;
        assert!(!pair.told().await);
        assert_eq!(page.json().await, offline("bob"));
        bob = pair.world.peer(&pair.bob.token).await;
        assert!(pair.told().await);
        assert_eq!(page.json().await, online(&["bob"]));
    }
    leave(bob).await;
    assert!(!pair.told().await);
    // Longer than any attempt to write it may take.
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(last_seen(&store, pair.bob.id).await, None);
    blockade.execute_unprepared("COMMIT").await.unwrap();
    let begun = Instant::now();
    while last_seen(&store, pair.bob.id).await.is_none() {
        assert!(begun.elapsed() < DEADLINE, "it is written once that is possible");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_at_once_is_told_in_turns_and_online_at_the_end() {
    let mut pair = Pair::open().await;
    let carl = pair.world.person("carl").await;
    leave(carl.peer).await;
    let carl = Person { peer: pair.world.stranger().await, ..carl };
    pair.world.bring(&pair.ann, &carl, pair.circle).await;
    pair.ann.peer.heard().await;
    let mut bob = std::mem::replace(&mut pair.bob.peer, pair.world.stranger().await);
    for _ in 0..40 {
        let ((), next) = tokio::join!(leave(bob), pair.world.peer(&pair.bob.token));
        bob = next;
    }
    let _carl = pair.world.peer(&carl.token).await;
    let mut online = true;
    loop {
        let told = pair.ann.peer.expect("presence").await;
        if told["user_id"] == json!(carl.id) {
            break;
        }
        online = !online;
        assert_eq!((&told["user_id"], &told["online"]), (&json!(pair.bob.id), &json!(online)));
    }
    assert!(online, "he was there before Carl came");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_hears_what_happened_before_they_were_bound() {
    let mut pair = Pair::open().await;
    let mut bob = std::mem::replace(&mut pair.bob.peer, pair.world.stranger().await);
    let mut watch = pair.page(&pair.ann, "bob").await;
    for _ in 0..30 {
        leave(bob).await;
        assert_eq!(watch.json().await, offline("bob"));
        bob = pair.world.peer(&pair.bob.token).await;
        // It came after that, however late it is told.
        let mut late = pair.page(&pair.ann, "bob").await;
        assert_eq!(watch.json().await, online(&["bob"]));
        assert_eq!(settle(&mut late).await, Vec::<Value>::new());
        let heard = late.close().await;
        assert!(heard.is_empty(), "{heard:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_hears_what_happened_before_the_list_they_were_given() {
    let pair = Pair::open().await;
    leave(pair.bob.peer).await;
    let pair = Pair { bob: Person { peer: pair.world.stranger().await, ..pair.bob }, ..pair };
    let mut page = pair.page(&pair.ann, "bob").await;
    // Silent: for two seconds he is announced to nobody, and in the lists all the same.
    let silent = pair.page(&pair.bob, "ann").await;
    let mut other = pair.page(&pair.ann, "bob").await;
    page.send(r#"{"type":"check-online"}"#).await;
    assert_eq!(page.json().await, online(&["bob"]));
    sleep(Duration::from_millis(2500)).await;
    assert_eq!(settle(&mut page).await, Vec::<Value>::new(), "it is on the list");
    assert_eq!(settle(&mut other).await, Vec::<Value>::new(), "he was there before it");
    silent.close().await;
    assert_eq!(page.json().await, offline("bob"));
    assert_eq!(other.json().await, offline("bob"));
    // Gone before he is announced: who was told that he is there is told that he is not.
    let silent = pair.page(&pair.bob, "ann").await;
    page.send(r#"{"type":"check-online"}"#).await;
    assert_eq!(page.json().await, online(&["bob"]));
    silent.close().await;
    assert_eq!(page.json().await, offline("bob"));
    assert_eq!(settle(&mut other).await, Vec::<Value>::new(), "both before his turn");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_closes_within_two_seconds_is_announced_if_another_connection_stays() {
    let mut pair = Pair::open().await;
    leave(std::mem::replace(&mut pair.bob.peer, pair.world.stranger().await)).await;
    assert!(!pair.told().await);
    let mut page = pair.page(&pair.ann, "bob").await;
    let silent = pair.page(&pair.bob, "ann").await;
    assert!(pair.told().await, "others are told at once");
    let stays = pair.world.peer(&pair.bob.token).await;
    silent.close().await;
    assert_eq!(page.json().await, online(&["bob"]));
    leave(stays).await;
    assert_eq!(page.json().await, offline("bob"));
    assert!(!pair.told().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_says_so_is_announced_each_time() {
    let mut pair = Pair::open().await;
    leave(std::mem::replace(&mut pair.bob.peer, pair.world.stranger().await)).await;
    let mut page = pair.page(&pair.ann, "bob").await;
    let mut bob = pair.page(&pair.bob, "ann").await;
    for _ in 0..5 {
        bob.send(r#"{"type":"online"}"#).await;
    }
    settle(&mut bob).await;
    for _ in 0..5 {
        assert_eq!(page.json().await, online(&["bob"]));
    }
    bob.send(r#"{"type":"offline"}"#).await;
    let heard = bob.close().await;
    assert!(!heard.iter().any(|heard| matches!(heard, Heard::Text(text) if text.contains("gone"))));
    assert_eq!(page.json().await, offline("bob"));
    assert_eq!(settle(&mut page).await, Vec::<Value>::new());
}

/// A token whose login has ended brings nobody online, not even for a moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_refused_was_never_online() {
    let mut pair = Pair::open().await;
    leave(std::mem::replace(&mut pair.bob.peer, pair.world.stranger().await)).await;
    assert!(!pair.told().await);
    let mut page = pair.page(&pair.ann, "bob").await;
    let other = pair.world.log_in(&pair.bob.email, "secret").await;
    pair.world.ok("/account/logout", json!({ "token": other })).await;
    pair.ann.peer.heard().await;
    for _ in 0..10 {
        let mut stranger = pair.world.stranger().await;
        stranger.fail("authenticate", json!({ "token": other })).await;
    }
    assert_eq!(settle(&mut page).await, Vec::<Value>::new());
    pair.ann.peer.quiet().await;
}
