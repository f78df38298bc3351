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

/// A house with a room, in which one is heard by a page and the other's pages come and go.
struct Stage {
    house: House,
    room: i64,
    /// ann's page, which has joined the room.
    a: Seat,
    bob: i64,
    /// Of a browser of bob's.
    cookie: String,
}

impl Stage {
    async fn set() -> Self {
        let set = |settings: &mut klatsch::settings::Settings| {
            settings.multichat.resume_seconds = KEPT;
        };
        let house = House::with(set).await;
        let (ann, bob) = (house.person("ann"), house.person("bob"));
        let room = house.room("Lobby").await;
        let cookie = house.cookie(bob);
        let mut a = house.browser(ann).await;
        a.join(room).await;
        Self { house, room, a, bob, cookie }
    }

    /// bob's page, which has joined nothing by itself.
    async fn page(&self) -> Seat {
        self.house.page(&self.cookie).await
    }

    /// The same, which joins the room, and ann hears of it.
    async fn joined(&mut self) -> Seat {
        let mut page = self.page().await;
        page.join(self.room).await;
        self.a.of_type(4).await;
        page
    }
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
    let mut stage = Stage::set().await;
    let (room, other) = (stage.room, stage.house.room("Other").await);
    let mut b = stage.joined().await;
    b.join(other).await;
    stage.a.say(room, "read").await;
    assert_eq!(b.json().await["message"], "read");
    // It answers the server's pings before it is lost.
    b.packets().await;
    b.packets().await;
    b.vanish();
    for text in ["one", "two", "three"] {
        stage.a.say(room, text).await;
    }
    let mut b = stage.page().await;
    for text in ["one", "two", "three"] {
        let packet = b.json().await;
        assert_eq!((&packet["message"], &packet["replay"]), (&json!(text), &json!(true)));
    }
    b.reads_nothing().await;
    b.say(room, "back").await;
    assert_eq!(stage.a.json().await["message"], "back");
    b.say(other, "here too").await;
    stage.a.reads_nothing().await;
    b.asks(
        json!({ "command": "join", "room": room }),
        json!({ "join": room.to_string(), "title": "Lobby" }),
    )
    .await;
    // And once more, from the place where it has come back.
    b.packets().await;
    b.vanish();
    stage.a.say(room, "four").await;
    let mut b = stage.page().await;
    assert_eq!(b.json().await["message"], "four");
    b.reads_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_confirmed_is_shown_again() {
    let mut stage = Stage::set().await;
    let room = stage.room;
    let b = stage.joined().await;
    stage.a.say(room, "seen by nobody").await;
    // It never reads, so it never answers a ping.
    b.vanish();
    stage.a.say(room, "later").await;
    let mut b = stage.page().await;
    for text in ["seen by nobody", "later"] {
        assert_eq!(b.json().await["message"], text);
    }
}

/// Two tabs of one browser in one room: each comes back to a place of its own, whichever is
/// lost first and however soon the other follows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tabs_that_are_lost_one_after_the_other_both_come_back() {
    let mut stage = Stage::set().await;
    let (room, mut said) = (stage.room, 0);
    let mut tabs = vec![stage.joined().await, stage.joined().await];
    for round in 0..4 {
        for _ in 0..2 {
            for tab in &mut tabs {
                // What was shown has arrived.
                tab.packets().await;
                tab.packets().await;
            }
            // The one that has been there for longer.
            tabs.remove(0).vanish();
            said += 1;
            let text = format!("{round} {said}");
            stage.a.say(room, &text).await;
            tabs.push(stage.page().await);
            for tab in &mut tabs {
                assert_eq!(tab.json().await["message"], json!(text));
            }
        }
    }
    // Both lost, and back in the other order.
    for mut tab in tabs {
        tab.packets().await;
        tab.packets().await;
        tab.vanish();
    }
    stage.a.say(room, "both").await;
    let mut tabs = [stage.page().await, stage.page().await];
    stage.a.say(room, "and now").await;
    for tab in &mut tabs {
        for text in ["both", "and now"] {
            assert_eq!(tab.json().await["message"], text);
        }
    }
    stage.a.reads_nothing().await;
}

/// Who was there all the time takes nobody's place: it is kept for a tab that comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_is_left_to_those_who_come_after_its_loss() {
    let mut stage = Stage::set().await;
    let room = stage.room;
    // A tab that has joined nothing, and one that is in the room, opened later.
    let mut idle = stage.page().await;
    let mut here = stage.joined().await;
    here.packets().await;
    here.packets().await;
    here.vanish();
    stage.a.say(room, "missed").await;
    idle.reads_nothing().await;
    let mut back = stage.page().await;
    assert_eq!(back.json().await["message"], "missed");
    stage.a.say(room, "live").await;
    assert_eq!(back.json().await["message"], "live");
    idle.reads_nothing().await;
    stage.a.reads_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_is_left_or_reloaded_takes_its_rooms_along() {
    let mut stage = Stage::set().await;
    let room = stage.room;
    for code in [1001, 1000] {
        let b = stage.joined().await;
        leave_page(b, code).await;
        stage.a.reads(gone(room, "bob")).await;
        let mut b = stage.page().await;
        b.packets().await;
        let send = json!({ "command": "send", "room": room, "message": "hi" });
        b.asks(send, json!({ "error": "ROOM_ACCESS_DENIED" })).await;
        leave_page(b, 1001).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_is_given_up_when_its_time_is_over() {
    let mut stage = Stage::set().await;
    let room = stage.room;
    stage.joined().await.vanish();
    let half = Duration::from_secs(u64::from(KEPT) / 2);
    assert_eq!(stage.a.next_within(half).await, None);
    stage.a.reads(gone(room, "bob")).await;
    let mut b = stage.page().await;
    let send = json!({ "command": "send", "room": room, "message": "hi" });
    b.asks(send, json!({ "error": "ROOM_ACCESS_DENIED" })).await;
    // Programs are not resumed: they leave at once, and join behind what they have.
    let mut c = stage.house.program(stage.bob, "").await;
    c.join(room).await;
    stage.a.json().await;
    c.vanish();
    stage.a.reads(gone(room, "bob")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_pages_of_one_login_do_not_take_each_other_s_rooms() {
    let mut stage = Stage::set().await;
    let (one, two) = (stage.room, stage.house.room("Two").await);
    let mut first = stage.joined().await;
    // A second page opens while the first lives: it answers, keeps its room, and the second
    // has none; a word into the room waits until that is known.
    let answering = tokio::spawn(async move {
        let heard = first.json().await;
        (first, heard)
    });
    let mut second = stage.page().await;
    second.join(two).await;
    let send = json!({ "command": "send", "room": one, "message": "hi" });
    second.asks(send, json!({ "error": "ROOM_ACCESS_DENIED" })).await;
    stage.a.say(one, "to the first").await;
    let (mut first, heard) = answering.await.unwrap();
    assert_eq!(heard["message"], "to the first");
    second.reads_nothing().await;
    // Both are lost, and both come back: each has a place in what was joined.
    first.packets().await;
    second.packets().await;
    first.vanish();
    second.vanish();
    let mut back = stage.page().await;
    back.packets().await;
    back.say(one, "one").await;
    back.say(two, "two").await;
    assert_eq!(stage.a.json().await["message"], "one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_back_before_the_loss_is_noticed_takes_over_and_its_words_wait() {
    let mut stage = Stage::set().await;
    let room = stage.room;
    let lost = stage.joined().await;
    // It lives on, but answers nothing any more.
    let mut b = stage.page().await;
    b.send_json(&json!({ "command": "send", "room": room, "message": "first" })).await;
    b.send_json(&json!({ "command": "send", "room": room, "message": "second" })).await;
    stage.a.say(room, "meanwhile").await;
    let read = b.json().await;
    assert_eq!((&read["message"], &read["replay"]), (&json!("meanwhile"), &json!(true)));
    for text in ["first", "second"] {
        assert_eq!(b.json().await["message"], text);
        assert_eq!(stage.a.json().await["message"], text);
    }
    stage.a.reads_nothing().await;
    drop(lost);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn access_is_looked_at_again_when_a_room_is_taken_over() {
    let stage = Stage::set().await;
    let room = stage.house.staff_room("Staff").await;
    let staff = |is: bool| {
        let flag = if is { "--staff" } else { "--no-staff" };
        stage.house.world.command(&["user", "set", "bob@example.org", flag]);
    };
    let mut c = stage.house.browser(stage.house.user("chief", &["--staff"])).await;
    c.join(room).await;
    staff(true);
    let mut b = stage.page().await;
    b.join(room).await;
    c.json().await;
    b.vanish();
    staff(false);
    let mut b = stage.page().await;
    let send = json!({ "command": "send", "room": room, "message": "hi" });
    b.asks(send, json!({ "error": "ROOM_ACCESS_DENIED" })).await;
    c.reads(gone(room, "bob")).await;
}

/// What is written down about a room ends with the place in it, however that ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_can_come_back_to_nothing_is_kept() {
    let mut stage = Stage::set().await;
    let (first, second) = (stage.room, stage.house.room("Second").await);
    let database = stage.house.world.folder().join("klatsch.db");
    let database = rusqlite::Connection::open(database).unwrap();
    let kept = || {
        let mut all = database
            .prepare("SELECT conversation_id FROM multichat_parked ORDER BY 1, login_id")
            .unwrap();
        let rows = all.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<Result<Vec<i64>, _>>().unwrap()
    };
    let mut b = stage.joined().await;
    b.join(second).await;
    assert_eq!(kept(), [first, first, second]);
    let keeper = stage.house.user("boss", &["--staff"]);
    let mut keeper = stage.house.program(keeper, "?features=").await;
    keeper.of_type(20).await;
    // Those who are not staff are put out, also who is away for a moment.
    b.vanish();
    let close = json!({ "command": "room_update", "room": first, "staff_only": true });
    keeper.send_json(&close).await;
    keeper.of_type(12).await;
    until(|| kept() == [second]).await;
    keeper.send_json(&json!({ "command": "room_delete", "room": second })).await;
    keeper.of_type(13).await;
    until(|| kept().is_empty()).await;
}

/// Waits for a state.
async fn until(is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(crate::support::world::DEADLINE, waiting).await.expect("it comes to be");
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
