//! Who is online, as pages are told: announcements, answers, and the traps of the old page.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::stage::{Stage, User, message, settle, until_settled};
use crate::support::raw::Raw;

fn online(names: &[&str]) -> Value {
    json!({"type": "gone-online", "usernames": names})
}

fn offline(name: &str) -> Value {
    json!({"type": "gone-offline", "username": name})
}

/// Two users have a dialog, and nobody has a socket.
async fn befriend(stage: &Stage, one: &User, other: &User) {
    let mut chat = stage.bound(one, &other.name).await;
    chat.send_json(&message(&other.name, "hello")).await;
    settle_with(&mut chat).await;
    chat.close().await;
}

async fn settle_with(chat: &mut Raw) {
    until_settled(chat).await;
}

/// The next packet about presence.
async fn next_presence(chat: &mut Raw) -> Value {
    loop {
        let packet = chat.json().await;
        if packet["type"].as_str().is_some_and(|name| name.starts_with("gone-")) {
            return packet;
        }
    }
}

/// The next list of active users.
async fn next_list(chat: &mut Raw) -> Value {
    loop {
        let packet = chat.json().await;
        if packet["type"] == "users-changed" {
            return packet;
        }
    }
}

/// Nobody has told this socket of presence by now.
async fn heard_no_presence(chat: &mut Raw) {
    let heard = until_settled(chat).await;
    assert!(
        heard.iter().all(|packet| !packet["type"].as_str().unwrap().starts_with("gone-")),
        "{heard:?}"
    );
}

async fn say(chat: &mut Raw, kind: &str) {
    chat.send_json(&json!({ "type": kind })).await;
}

/// Waits until a user has no counted connection any more.
async fn until_gone(stage: &Stage, watcher: &User, name: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut chat = stage.bound(watcher, name).await;
    loop {
        say(&mut chat, "check-online").await;
        let answer = next_presence(&mut chat).await;
        // That somebody has gone may be told before the answer is.
        let listed = answer["usernames"].as_array();
        if listed.is_some_and(|listed| !listed.contains(&name.into())) {
            break;
        }
        assert!(Instant::now() < deadline, "{answer}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    chat.close().await;
}

/// Conformance check 3.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_nobody_online_the_answer_is_an_empty_list() {
    let stage = Stage::open().await;
    let (ann, bob) = (stage.user("ann").await, stage.user("bob").await);
    befriend(&stage, &ann, &bob).await;
    let mut a = stage.chat(&ann, "bob").await;
    a.send_json(&json!({"type": "check-online", "username": "bob"})).await;
    a.reads(online(&[])).await;
}

/// The worked example's first half, and conformance check 4.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_announcement_never_makes_the_opponent_look_offline() {
    let stage = Stage::open().await;
    let (ann, bob) = (stage.user("ann").await, stage.user("bob").await);
    let (carol, dave) = (stage.user("carol").await, stage.user("dave").await);
    for other in [&bob, &carol, &dave] {
        befriend(&stage, &ann, other).await;
    }
    until_gone(&stage, &dave, "ann").await;
    until_gone(&stage, &carol, "dave").await;
    let mut c = stage.bound(&carol, "ann").await;
    say(&mut c, "online").await;
    settle(&mut c).await;
    let (mut a, answer) = stage.page(&ann, "bob").await;
    assert_eq!(answer, json!(["carol"]));
    assert_eq!(next_presence(&mut c).await, online(&["ann"]));
    // The opponent is offline: the third is told alone.
    let mut d = stage.bound(&dave, "ann").await;
    say(&mut d, "online").await;
    assert_eq!(next_presence(&mut a).await, online(&["dave"]));
    let (mut b, answer) = stage.page(&bob, "ann").await;
    assert_eq!(answer, json!(["ann"]));
    assert_eq!(next_presence(&mut a).await, online(&["bob"]));
    // The opponent is online: it is told with the third, who says so every time.
    say(&mut d, "online").await;
    assert_eq!(next_presence(&mut a).await, online(&["dave", "bob"]));
    say(&mut a, "check-online").await;
    assert_eq!(next_presence(&mut a).await, online(&["bob", "carol", "dave"]));
    // Nobody hears of whom they have no dialog with.
    heard_no_presence(&mut b).await;
    heard_no_presence(&mut c).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_bound_to_a_user_hears_of_them_without_a_dialog() {
    let stage = Stage::open().await;
    let (ann, bob) = (stage.user("ann").await, stage.user("bob").await);
    let mut a = stage.bound(&ann, "bob").await;
    let mut own = stage.bound(&bob, "bob").await;
    let mut b = stage.bound(&bob, "ann").await;
    say(&mut b, "online").await;
    assert_eq!(next_presence(&mut a).await, online(&["bob"]));
    // One's own sockets are told only where they are bound to oneself.
    assert_eq!(next_presence(&mut own).await, online(&["bob"]));
    heard_no_presence(&mut b).await;
    own.close().await;
    b.close().await;
    assert_eq!(next_presence(&mut a).await, offline("bob"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_stop_the_old_page_come_last() {
    let stage = Stage::open().await;
    let ann = stage.user("ann").await;
    let eve = stage.world.command(&["user", "add", "eve@example.org", "--username", "a@eve."]);
    let eve: Value = serde_json::from_str(&eve).unwrap();
    assert_eq!(eve["username"], "a@eve.");
    let token = stage.world.command(&["user", "token", "eve@example.org"]);
    let zoe = stage.user("zoe").await;
    let mut e = stage.connect(&token, "ann", "", &[]).await;
    e.send_json(&message("ann", "hi")).await;
    until_settled(&mut e).await;
    let mut z = stage.bound(&zoe, "ann").await;
    z.send_json(&message("ann", "hi")).await;
    until_settled(&mut z).await;
    let (mut a, answer) = stage.page(&ann, "a@eve.").await;
    assert_eq!(answer, json!(["zoe", "a@eve."]));
    say(&mut z, "online").await;
    assert_eq!(next_presence(&mut a).await, online(&["zoe", "a@eve."]));
    let (_, answer) = stage.page(&ann, "zoe").await;
    assert_eq!(answer, json!(["zoe", "a@eve."]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_that_says_nothing_is_announced_after_two_seconds() {
    let stage = Stage::open().await;
    let (ann, bob) = (stage.user("ann").await, stage.user("bob").await);
    let mut a = stage.bound(&ann, "bob").await;
    let begun = Instant::now();
    let _b = stage.bound(&bob, "ann").await;
    assert_eq!(next_presence(&mut a).await, online(&["bob"]));
    assert!(begun.elapsed() >= Duration::from_millis(1900), "{:?}", begun.elapsed());
    // A second one is no news.
    let _further = stage.bound(&bob, "ann").await;
    tokio::time::sleep(Duration::from_millis(2300)).await;
    heard_no_presence(&mut a).await;
}

/// Conformance check 12.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_goes_is_told_once_when_the_last_connection_has_gone() {
    let stage = Stage::with(|settings| {
        settings.limits.ping_seconds = serde_json::from_value(json!(1)).unwrap();
    })
    .await;
    let (ann, bob) = (stage.user("ann").await, stage.user("bob").await);
    let mut a = stage.bound(&ann, "bob").await;
    let (mut first, _) = stage.page(&bob, "ann").await;
    assert_eq!(next_presence(&mut a).await, online(&["bob"]));
    let (second, _) = stage.page(&bob, "ann").await;
    assert_eq!(next_presence(&mut a).await, online(&["bob"]));
    // One of two tabs.
    second.close().await;
    heard_no_presence(&mut a).await;
    // Said, and closed right behind it.
    say(&mut first, "offline").await;
    first.close().await;
    assert_eq!(next_presence(&mut a).await, offline("bob"));
    heard_no_presence(&mut a).await;
    // A later `online` makes the same socket count again.
    let (mut third, _) = stage.page(&bob, "ann").await;
    assert_eq!(next_presence(&mut a).await, online(&["bob"]));
    say(&mut third, "offline").await;
    assert_eq!(next_presence(&mut a).await, offline("bob"));
    say(&mut third, "online").await;
    assert_eq!(next_presence(&mut a).await, online(&["bob"]));
    // Lost without a word: it is not read any more, and so no ping is answered.
    let lost = Instant::now();
    let silent = third;
    assert_eq!(next_presence(&mut a).await, offline("bob"));
    assert!(lost.elapsed() < Duration::from_secs(8), "{:?}", lost.elapsed());
    drop(silent);
    // Vanished, which the operating system tells at once.
    let (fourth, _) = stage.page(&bob, "ann").await;
    assert_eq!(next_presence(&mut a).await, online(&["bob"]));
    fourth.vanish();
    assert_eq!(next_presence(&mut a).await, offline("bob"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_dialects_make_a_user_online_here_as_well() {
    let stage = Stage::open().await;
    let (ann, bob) = (stage.user("ann").await, stage.user("bob").await);
    let mut a = stage.bound(&ann, "bob").await;
    let neo = stage.world.peer(&bob.token).await;
    assert_eq!(next_presence(&mut a).await, online(&["bob"]));
    let (b, _) = stage.page(&bob, "ann").await;
    assert_eq!(next_presence(&mut a).await, online(&["bob"]));
    b.close().await;
    heard_no_presence(&mut a).await;
    drop(neo);
    assert_eq!(next_presence(&mut a).await, offline("bob"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn announcements_can_be_kept_to_those_who_are_bound() {
    let stage = Stage::with(|settings| {
        settings.private_chat.announce = serde_json::from_value(json!("bound")).unwrap();
    })
    .await;
    let (ann, bob) = (stage.user("ann").await, stage.user("bob").await);
    let carol = stage.user("carol").await;
    befriend(&stage, &ann, &bob).await;
    befriend(&stage, &carol, &bob).await;
    until_gone(&stage, &ann, "bob").await;
    let mut a = stage.bound(&ann, "bob").await;
    let mut c = stage.bound(&carol, "ann").await;
    let (_b, _) = stage.page(&bob, "ann").await;
    assert_eq!(next_presence(&mut a).await, online(&["bob"]));
    heard_no_presence(&mut c).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_for_the_list_first_of_all_stands_in_it() {
    let stage = Stage::open().await;
    for number in 0..20 {
        let user = stage.user(&format!("user{number}")).await;
        let mut chat = stage.chat(&user, &user.name).await;
        say(&mut chat, "new-user").await;
        let list = next_list(&mut chat).await;
        let names = list["value"].as_array().unwrap().iter().map(|entry| &entry["username"]);
        assert!(names.into_iter().any(|name| *name == user.name), "{list}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_asked_for_the_list_before_get_it_when_others_ask() {
    let stage = Stage::open().await;
    let (ann, bob) = (stage.user("ann").await, stage.user("bob").await);
    let (mut a, mut b) = (stage.page(&ann, "bob").await.0, stage.page(&bob, "ann").await.0);
    say(&mut a, "new-user").await;
    let list = next_list(&mut a).await;
    assert_eq!(list["value"].as_array().map(Vec::len), Some(2), "{list}");
    for _ in 0..2 {
        say(&mut b, "new-user").await;
        assert_eq!(next_list(&mut b).await, list);
        // Perhaps a second later: nobody gets it more often.
        assert_eq!(next_list(&mut a).await, list);
    }
    say(&mut a, "new-user").await;
    assert_eq!(next_list(&mut a).await, list);
    assert_eq!(next_list(&mut b).await, list);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_of_active_users_is_sorted_and_comes_again_when_it_changes() {
    let stage = Stage::open().await;
    let (ann, bob) = (stage.user("ann").await, stage.user("bob").await);
    let mut b = stage.bound(&bob, "ann").await;
    say(&mut b, "new-user").await;
    let names = |packet: &Value| {
        assert_eq!(packet["type"], "users-changed");
        let list = packet["value"].as_array().unwrap().clone();
        for entry in &list {
            assert_eq!(entry.as_object().unwrap().len(), 2, "{entry}");
            let uuid = uuid::Uuid::parse_str(entry["uuid"].as_str().unwrap()).unwrap();
            assert_eq!(uuid.get_version_num(), 4);
        }
        list.iter().map(|entry| entry["username"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let first = b.json().await;
    assert_eq!(names(&first), ["bob"]);
    let a = stage.bound(&ann, "bob").await;
    let more = stage.bound(&ann, "bob").await;
    // A silent socket is announced after two seconds, perhaps before the list comes.
    let second = next_list(&mut b).await;
    assert_eq!(names(&second), ["ann", "bob"]);
    assert_eq!(first["value"][0]["uuid"], second["value"][1]["uuid"]);
    drop((a, more));
    assert_eq!(names(&next_list(&mut b).await), ["bob"]);

    for (policy, expected) in [("contacts", vec![]), ("off", vec![])] {
        let stage = Stage::with(|settings| {
            settings.private_chat.user_list = serde_json::from_value(json!(policy)).unwrap();
        })
        .await;
        let bob = stage.user("bob").await;
        let mut b = stage.bound(&bob, "bob").await;
        say(&mut b, "new-user").await;
        b.reads(json!({"type": "users-changed", "value": expected.clone() as Vec<Value>})).await;
    }
}
