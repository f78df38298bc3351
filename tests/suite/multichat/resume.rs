//! Coming back after a loss: conformance check 11, and what programs do instead.

use std::time::Duration;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::house::{House, Seat};
use crate::support::raw::Raw;
use crate::support::site::{Process, Site};

/// How long a lost connection's rooms are kept here, in seconds.
const KEPT: u32 = 8;

async fn house() -> House {
    House::with(|settings| settings.multichat.resume_seconds = KEPT).await
}

fn gone(room: i64, who: &str) -> Value {
    json!({ "msg_type": 5, "room": room.to_string(), "username": who })
}

/// Says goodbye with a code, as pages do that are left.
async fn leave_page(mut page: Seat, code: u16) {
    let frame = CloseFrame { code: code.into(), reason: "".into() };
    page.put(Message::Close(Some(frame))).await;
    page.drain().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_was_lost_gets_its_rooms_and_what_it_missed_and_nobody_notices() {
    let house = house().await;
    let (ann, bob) = (house.person("ann"), house.person("bob"));
    let (room, other) = (house.room("Lobby").await, house.room("Other").await);
    let cookie = house.cookie(bob);
    let mut a = house.browser(ann).await;
    a.join(room).await;
    let mut b = house.page(&cookie).await;
    b.join(room).await;
    b.join(other).await;
    a.json().await;
    a.say(room, "read").await;
    assert_eq!(b.json().await["message"], "read");
    // It answers the server's pings before it is lost.
    b.packets().await;
    b.packets().await;
    b.vanish();
    for text in ["one", "two", "three"] {
        a.say(room, text).await;
    }
    let mut b = house.page(&cookie).await;
    for text in ["one", "two", "three"] {
        let packet = b.json().await;
        assert_eq!((&packet["message"], &packet["replay"]), (&json!(text), &json!(true)));
    }
    b.reads_nothing().await;
    b.say(room, "back").await;
    assert_eq!(a.json().await["message"], "back");
    b.say(other, "here too").await;
    a.reads_nothing().await;
    b.asks(
        json!({ "command": "join", "room": room }),
        json!({ "join": room.to_string(), "title": "Lobby" }),
    )
    .await;
    // And once more, from the place where it has come back.
    b.packets().await;
    b.vanish();
    a.say(room, "four").await;
    let mut b = house.page(&cookie).await;
    assert_eq!(b.json().await["message"], "four");
    b.reads_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_confirmed_is_shown_again() {
    let house = house().await;
    let (ann, bob) = (house.person("ann"), house.person("bob"));
    let room = house.room("Lobby").await;
    let cookie = house.cookie(bob);
    let mut a = house.browser(ann).await;
    a.join(room).await;
    let mut b = house.page(&cookie).await;
    b.join(room).await;
    a.json().await;
    a.say(room, "seen by nobody").await;
    // It never reads, so it never answers a ping.
    b.vanish();
    a.say(room, "later").await;
    let mut b = house.page(&cookie).await;
    for text in ["seen by nobody", "later"] {
        assert_eq!(b.json().await["message"], text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_is_left_or_reloaded_takes_its_rooms_along() {
    let house = house().await;
    let (ann, bob) = (house.person("ann"), house.person("bob"));
    let room = house.room("Lobby").await;
    let cookie = house.cookie(bob);
    let mut a = house.browser(ann).await;
    a.join(room).await;
    for code in [1001, 1000] {
        let mut b = house.page(&cookie).await;
        b.join(room).await;
        a.json().await;
        leave_page(b, code).await;
        a.reads(gone(room, "bob")).await;
        let mut b = house.page(&cookie).await;
        b.packets().await;
        let send = json!({ "command": "send", "room": room, "message": "hi" });
        b.asks(send, json!({ "error": "ROOM_ACCESS_DENIED" })).await;
        leave_page(b, 1001).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_is_given_up_when_its_time_is_over() {
    let house = house().await;
    let (ann, bob) = (house.person("ann"), house.person("bob"));
    let room = house.room("Lobby").await;
    let cookie = house.cookie(bob);
    let mut a = house.browser(ann).await;
    a.join(room).await;
    let mut b = house.page(&cookie).await;
    b.join(room).await;
    a.json().await;
    b.vanish();
    assert_eq!(a.next_within(Duration::from_secs(u64::from(KEPT) / 2)).await, None);
    a.reads(gone(room, "bob")).await;
    let mut b = house.page(&cookie).await;
    let send = json!({ "command": "send", "room": room, "message": "hi" });
    b.asks(send, json!({ "error": "ROOM_ACCESS_DENIED" })).await;
    // Programs are not resumed: they leave at once, and join behind what they have.
    let mut c = house.program(bob, "").await;
    c.join(room).await;
    a.json().await;
    c.vanish();
    a.reads(gone(room, "bob")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_pages_of_one_login_do_not_take_each_other_s_rooms() {
    let house = house().await;
    let (ann, bob) = (house.person("ann"), house.person("bob"));
    let (one, two) = (house.room("One").await, house.room("Two").await);
    let cookie = house.cookie(bob);
    let mut a = house.browser(ann).await;
    a.join(one).await;
    let mut first = house.page(&cookie).await;
    first.join(one).await;
    a.json().await;
    // A second page opens while the first lives: it answers, keeps its room, and the second
    // has none; a word into the room waits until that is known.
    let answering = tokio::spawn(async move {
        let heard = first.json().await;
        (first, heard)
    });
    let mut second = house.page(&cookie).await;
    second.join(two).await;
    let send = json!({ "command": "send", "room": one, "message": "hi" });
    second.asks(send, json!({ "error": "ROOM_ACCESS_DENIED" })).await;
    a.say(one, "to the first").await;
    let (mut first, heard) = answering.await.unwrap();
    assert_eq!(heard["message"], "to the first");
    second.reads_nothing().await;
    // Both are lost, and both come back: each has a place in what was joined.
    first.packets().await;
    second.packets().await;
    first.vanish();
    second.vanish();
    let mut back = house.page(&cookie).await;
    back.packets().await;
    back.say(one, "one").await;
    back.say(two, "two").await;
    assert_eq!(a.json().await["message"], "one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_back_before_the_loss_is_noticed_takes_over_and_its_words_wait() {
    let house = house().await;
    let (ann, bob) = (house.person("ann"), house.person("bob"));
    let room = house.room("Lobby").await;
    let cookie = house.cookie(bob);
    let mut a = house.browser(ann).await;
    a.join(room).await;
    let mut lost = house.page(&cookie).await;
    lost.join(room).await;
    a.json().await;
    // It lives on, but answers nothing any more.
    let mut b = house.page(&cookie).await;
    b.send_json(&json!({ "command": "send", "room": room, "message": "first" })).await;
    b.send_json(&json!({ "command": "send", "room": room, "message": "second" })).await;
    a.say(room, "meanwhile").await;
    let read = b.json().await;
    assert_eq!((&read["message"], &read["replay"]), (&json!("meanwhile"), &json!(true)));
    for text in ["first", "second"] {
        assert_eq!(b.json().await["message"], text);
        assert_eq!(a.json().await["message"], text);
    }
    a.reads_nothing().await;
    drop(lost);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn access_is_looked_at_again_when_a_room_is_taken_over() {
    let house = house().await;
    let boss = house.user("boss", &["--staff"]);
    let chief = house.user("chief", &["--staff"]);
    let room = house.staff_room("Staff").await;
    let cookie = house.cookie(boss);
    let mut c = house.browser(chief).await;
    c.join(room).await;
    let mut b = house.page(&cookie).await;
    b.join(room).await;
    c.json().await;
    b.vanish();
    house.world.command(&["user", "set", &boss.to_string(), "--no-staff"]);
    let mut b = house.page(&cookie).await;
    let send = json!({ "command": "send", "room": room, "message": "hi" });
    b.asks(send, json!({ "error": "ROOM_ACCESS_DENIED" })).await;
    c.reads(gone(room, "boss")).await;
}

async fn page_of(process: &Process, cookie: &str) -> Raw {
    let address = format!("{}/chat/stream/", process.url.replace("http", "ws"));
    Raw::connect(&address, &[("cookie", cookie), ("origin", &process.url)]).await
}

async fn program_of(process: &Process, token: &str) -> Raw {
    let address = format!("{}/chat/stream/?token={token}", process.url.replace("http", "ws"));
    Raw::connect(&address, &[]).await
}

/// Waits until it stands in the database that a page has certainly received this message.
async fn until_written_down(site: &Site, message: i64) {
    let deadline = std::time::Instant::now() + crate::support::world::DEADLINE;
    let confirmed = || {
        let database = rusqlite::Connection::open(site.database()).unwrap();
        let newest = "SELECT max(confirmed_shown) FROM multichat_parked";
        database.query_row(newest, [], |row| row.get::<_, Option<i64>>(0)).unwrap()
    };
    while confirmed() < Some(message) {
        assert!(std::time::Instant::now() < deadline, "it is not written down");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A planned stop of the server, and a crash: pages come back into their rooms, programs join
/// behind the last message they have; nothing is lost and nothing comes twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_back_knows_who_was_where() {
    let site =
        Site::new().set("LIMITS__FRAMES_PER_SECOND", "10000").set("LIMITS__DRAIN_SECONDS", "0");
    let (ann, bob) = (site.person("ann").await, site.person("bob").await);
    let room = site.room().await;
    let session = site.run(&["session", "add", "bob@example.org"]).await;
    let session: Value = serde_json::from_str(&session).unwrap();
    let cookie = format!("sessionid={}", session["sessionid"].as_str().unwrap());
    for crash in [false, true] {
        let process = site.start().await;
        let mut page = page_of(&process, &cookie).await;
        page.packets().await;
        page.send_json(&json!({ "command": "join", "room": room })).await;
        page.packets().await;
        let mut writer = program_of(&process, &ann).await;
        writer.join(room).await;
        let mut reader = program_of(&process, &bob).await;
        reader.join(room).await;
        let mut last = Value::Null;
        let say = |text: String| json!({ "command": "send", "room": room, "message": text });
        for number in 0..20 {
            let words = number.to_string();
            writer.send_json(&say(words.clone())).await;
            while reader.json().await["message"] != words {}
        }
        let mut read = 0;
        while read < 20 {
            let packet = page.json().await;
            if packet["msg_type"] == 0 {
                last = packet.clone();
                read += 1;
            }
        }
        page.packets().await;
        page.packets().await;
        until_written_down(&site, last["id"].as_i64().unwrap()).await;
        // The page reads nothing of this any more.
        for number in 20..30 {
            let words = number.to_string();
            writer.send_json(&say(words.clone())).await;
            while reader.json().await["message"] != words {}
        }
        if crash {
            process.kill().await;
        } else {
            process.terminate();
            process.ended().await;
        }
        let process = site.start().await;
        let mut back = page_of(&process, &cookie).await;
        for number in 20..30 {
            let packet = back.json().await;
            let shown = (&packet["message"], &packet["replay"]);
            assert_eq!(shown, (&json!(number.to_string()), &json!(true)), "crash: {crash}");
        }
        back.reads_nothing().await;
        back.say(room, "back").await;
        let mut reader = program_of(&process, &bob).await;
        reader.send_json(&json!({ "command": "join", "room": room, "after": last["id"] })).await;
        let texts: Vec<_> =
            reader.packets().await.into_iter().skip(1).map(|one| one["message"].clone()).collect();
        let mut expected: Vec<_> = (20..30).map(|number| json!(number.to_string())).collect();
        expected.push(json!("back"));
        assert_eq!(texts, expected);
        leave_page(back, 1001).await;
        process.terminate();
        process.ended().await;
    }
}
