//! Edits and deletions, rooms that come and go, rights that change, logins that end.

use serde_json::{Value, json};

use super::house::{House, Seat};

/// Conformance check 13.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_changed_by_those_who_may() {
    let house = House::open().await;
    let (ann, bob) = (house.person("ann"), house.person("bob"));
    let boss = house.user("boss", &["--staff"]);
    let (room, other) = (house.room("Lobby").await, house.room("Other").await);
    let mut a = house.browser(ann).await;
    let mut b = house.browser(bob).await;
    let mut s = house.browser(boss).await;
    for seat in [&mut s, &mut b, &mut a] {
        seat.join(room).await;
    }
    a.join(other).await;
    let elsewhere = a.say(other, "there").await["id"].clone();
    let said = a.say(room, "hello").await;
    let id = said["id"].clone();
    for seat in [&mut b, &mut s] {
        while seat.json().await["message"] != "hello" {}
    }
    let edit = |id: &Value, text: &str| json!({ "command": "edit", "room": room, "id": id, "message": text });
    let delete = |id: &Value| json!({ "command": "delete", "room": room, "id": id });
    let error = |code: &str| json!({ "error": code });
    b.asks(edit(&id, "mine"), error("MESSAGE_ACCESS_DENIED")).await;
    b.asks(delete(&id), error("MESSAGE_ACCESS_DENIED")).await;
    s.asks(edit(&id, "mine"), error("MESSAGE_ACCESS_DENIED")).await;
    a.asks(edit(&id, ""), error("MESSAGE_INVALID")).await;
    a.asks(json!({ "command": "edit", "room": room, "id": id }), error("MESSAGE_INVALID")).await;
    a.asks(edit(&id, &"x".repeat(8193)), error("MESSAGE_TOO_LONG")).await;
    for unknown in [&elsewhere, &json!(999_999), &json!("x"), &json!(null)] {
        a.asks(edit(unknown, "x"), error("MESSAGE_NOT_FOUND")).await;
        a.asks(delete(unknown), error("MESSAGE_NOT_FOUND")).await;
    }
    let absent = json!({ "command": "edit", "room": 99, "id": id, "message": "x" });
    a.asks(absent, error("ROOM_ACCESS_DENIED")).await;
    a.send_json(&edit(&id, "hello <all>")).await;
    let edited = a.json().await;
    let expected = json!({
        "msg_type": 7, "room": room.to_string(), "id": id, "username": "ann",
        "message": "hello &lt;all&gt;", "sent": said["sent"], "edited": edited["edited"], "own": true,
    });
    assert_eq!(edited, expected);
    for seat in [&mut b, &mut s] {
        let mut heard = expected.clone();
        heard["own"] = false.into();
        seat.reads(heard).await;
    }
    // Nothing is different: only who asked hears, and nothing moves.
    a.asks(edit(&id, "hello <all>"), expected.clone()).await;
    let mut late = house.program(bob, "").await;
    let replay = late.join(room).await;
    assert_eq!(
        (&replay[1]["message"], &replay[1]["edited"]),
        (&json!("hello <all>"), &edited["edited"])
    );
    late.close().await;
    // The others hear of it a moment later.
    for seat in [&mut a, &mut b, &mut s] {
        while seat.json().await["msg_type"] != 5 {}
    }
    s.send_json(&delete(&id)).await;
    let deleted = json!({ "msg_type": 8, "room": room.to_string(), "id": id, "username": "ann", "by": "boss", "own": false });
    s.reads(deleted.clone()).await;
    b.reads(deleted.clone()).await;
    let mut own = deleted;
    own["own"] = true.into();
    a.reads(own).await;
    a.asks(delete(&id), error("MESSAGE_NOT_FOUND")).await;
    a.asks(edit(&id, "x"), error("MESSAGE_NOT_FOUND")).await;
    let mut later = house.program(bob, "").await;
    assert_eq!(later.join(room).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authors_have_as_long_as_the_operator_says_and_old_pages_hear_of_it() {
    let set = |settings: &mut klatsch::settings::Settings| {
        settings.multichat.edit_window = 1;
        settings.multichat.page_edit_notice = true;
    };
    let house = House::with(set).await;
    let ann = house.user("ann", &["--staff"]);
    let bob = house.person("bob");
    let room = house.room("Lobby").await;
    let mut page = house.browser(ann).await;
    page.join(room).await;
    let mut b = house.program(bob, "?features=").await;
    b.of_type(20).await;
    b.send_json(&json!({ "command": "join", "room": room })).await;
    page.json().await;
    b.send_json(&json!({ "command": "send", "room": room, "message": "one" })).await;
    let id = b.of_type(0).await["id"].clone();
    let edit = json!({ "command": "edit", "room": room, "id": id, "message": "two", "ref": "e" });
    b.send_json(&edit).await;
    assert_eq!(b.of_type(7).await["ref"], "e");
    page.of_type(7).await;
    page.reads(
        json!({ "msg_type": 3, "room": room.to_string(), "message": "bob edited a message: two" }),
    )
    .await;
    let deadline = std::time::Instant::now() + crate::support::world::DEADLINE;
    let mut number = 3;
    let denied = loop {
        let text = number.to_string();
        number += 1;
        b.send_json(&json!({ "command": "edit", "room": room, "id": id, "message": text })).await;
        let answer = b.json().await;
        if answer["msg_type"] != 7 {
            break answer;
        }
        assert!(std::time::Instant::now() < deadline, "it may be edited for ever");
        page.of_type(7).await;
        page.of_type(3).await;
    };
    let over = json!({ "error": "MESSAGE_ACCESS_DENIED" });
    assert_eq!(denied, over);
    b.asks(json!({ "command": "delete", "room": room, "id": id }), over).await;
    page.packets().await;
    page.send_json(&json!({ "command": "delete", "room": room, "id": id })).await;
    page.of_type(8).await;
    page.reads(json!({ "msg_type": 3, "room": room.to_string(), "message": "ann deleted a message of bob" })).await;
}

async fn all(seats: &mut [&mut Seat], packet: Value) {
    for seat in seats {
        seat.reads(packet.clone()).await;
    }
}

/// Conformance check 10, for rooms.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn staff_keeps_rooms_and_who_loses_access_is_put_out_at_once() {
    let house = House::open().await;
    let boss = house.user("boss", &["--staff"]);
    let (ann, bob) = (house.person("ann"), house.person("bob"));
    let mut s = house.browser(boss).await;
    let mut a = house.browser(ann).await;
    let mut outside = house.program(bob, "").await;
    let error = |code: &str| json!({ "error": code });
    let create =
        json!({ "command": "room_create", "title": "Music", "staff_only": false, "ref": "c" });
    let mut denied = error("ROOM_ACCESS_DENIED");
    denied["command"] = "room_create".into();
    denied["ref"] = "c".into();
    a.asks(create.clone(), denied).await;
    for (title, code) in [
        (json!(""), "MESSAGE_INVALID"),
        (json!(null), "MESSAGE_INVALID"),
        (json!("x".repeat(256)), "MESSAGE_TOO_LONG"),
    ] {
        s.asks(json!({ "command": "room_create", "title": title }), error(code)).await;
    }
    s.send_json(&create).await;
    let mut added = s.json().await;
    assert_eq!(added["ref"], "c");
    added.as_object_mut().unwrap().remove("ref");
    let room = added["room"].clone();
    assert_eq!(
        added,
        json!({ "msg_type": 11, "room": room, "title": "Music", "staff_only": false })
    );
    all(&mut [&mut a, &mut outside], added).await;
    let id: i64 = room.as_str().unwrap().parse().unwrap();
    s.join(id).await;
    a.join(id).await;
    s.json().await;
    let update = |more: Value| {
        let mut ask = json!({ "command": "room_update", "room": room });
        ask.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        ask
    };
    let changed = |title: &str, staff: bool| json!({ "msg_type": 12, "room": room, "title": title, "staff_only": staff });
    s.send_json(&update(json!({ "title": "Jazz" }))).await;
    all(&mut [&mut s, &mut a, &mut outside], changed("Jazz", false)).await;
    // Nothing is different: only who asked hears.
    s.asks(update(json!({ "title": "Jazz" })), changed("Jazz", false)).await;
    s.asks(update(json!({ "title": "" })), error("MESSAGE_INVALID")).await;
    a.asks(update(json!({ "title": "Rock" })), error("ROOM_ACCESS_DENIED")).await;
    s.send_json(&update(json!({ "staff_only": true }))).await;
    a.reads(json!({ "leave": room })).await;
    s.reads(json!({ "msg_type": 5, "room": room, "username": "ann" })).await;
    all(&mut [&mut s, &mut a, &mut outside], changed("Jazz", true)).await;
    a.asks(
        json!({ "command": "send", "room": room, "message": "hi" }),
        error("ROOM_ACCESS_DENIED"),
    )
    .await;
    a.asks(json!({ "command": "join", "room": room }), error("ROOM_ACCESS_DENIED")).await;
    s.say(id, "among us").await;
    a.reads_nothing().await;
    a.asks(json!({ "command": "leave", "room": room }), json!({ "leave": room })).await;
    s.send_json(&json!({ "command": "room_delete", "room": room, "ref": 3 })).await;
    s.reads(json!({ "leave": room })).await;
    s.reads(json!({ "msg_type": 13, "room": room, "title": "Jazz", "ref": 3 })).await;
    all(&mut [&mut a, &mut outside], json!({ "msg_type": 13, "room": room, "title": "Jazz" }))
        .await;
    s.asks(json!({ "command": "room_delete", "room": room }), error("ROOM_INVALID")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_put_out_together_with_others_hears_nothing_of_them() {
    let house = House::open().await;
    let room = house.room("Lobby").await;
    let mut staff = house.browser(house.user("boss", &["--staff"])).await;
    staff.join(room).await;
    let mut others = Vec::new();
    for name in ["ann", "bob", "cem"] {
        let mut other = house.browser(house.person(name)).await;
        other.join(room).await;
        others.push(other);
    }
    for seat in others.iter_mut().chain([&mut staff]) {
        seat.packets().await;
    }
    let close = json!({ "command": "room_update", "room": room, "staff_only": true });
    staff.send_json(&close).await;
    let room = room.to_string();
    let changed = json!({ "msg_type": 12, "room": room, "title": "Lobby", "staff_only": true });
    for other in &mut others {
        other.reads(json!({ "leave": room })).await;
        other.reads(changed.clone()).await;
    }
    for name in ["ann", "bob", "cem"] {
        staff.reads(json!({ "msg_type": 5, "room": room, "username": name })).await;
    }
    staff.reads(changed).await;
}

/// Conformance check 10, for changes by the command line.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_operator_changes_is_told_within_two_seconds() {
    let house = House::open().await;
    let boss = house.user("boss", &["--staff"]);
    let chief = house.user("chief", &["--staff"]);
    let mut s = house.browser(boss).await;
    let mut c = house.browser(chief).await;
    let made = house.command(&["room", "add", "Staff", "--staff-only"]);
    let room = made["id"].as_i64().unwrap();
    all(
        &mut [&mut s, &mut c],
        json!({ "msg_type": 11, "room": room.to_string(), "title": "Staff", "staff_only": true }),
    )
    .await;
    c.join(room).await;
    s.join(room).await;
    c.json().await;
    house.world.command(&["user", "set", &boss.to_string(), "--no-staff"]);
    s.reads(json!({ "leave": room.to_string() })).await;
    c.reads(json!({ "msg_type": 5, "room": room.to_string(), "username": "boss" })).await;
    s.asks(json!({ "command": "join", "room": room }), json!({ "error": "ROOM_ACCESS_DENIED" }))
        .await;
    house.world.command(&["room", "remove", &room.to_string()]);
    c.reads(json!({ "leave": room.to_string() })).await;
    all(
        &mut [&mut c, &mut s],
        json!({ "msg_type": 13, "room": room.to_string(), "title": "Staff" }),
    )
    .await;
}

/// Conformance check 10, for logins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_ends_leaves_its_rooms_and_hears_nothing_more() {
    let house = House::open().await;
    let (ann, bob) = (house.person("ann"), house.person("bob"));
    let (one, two) = (house.room("One").await, house.room("Two").await);
    let mut a = house.browser(ann).await;
    a.join(one).await;
    let cookie = house.cookie(bob);
    let mut b = house.page(&cookie).await;
    b.join(one).await;
    b.join(two).await;
    a.json().await;
    let leave = format!("{}/accounts/logout/", house.world.url());
    let client =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let answer = client.get(&leave).header("cookie", &cookie).send().await.unwrap();
    assert_eq!(answer.status(), 302);
    b.reads(json!({ "leave": one.to_string() })).await;
    b.reads(json!({ "leave": two.to_string() })).await;
    let gone = json!({ "msg_type": 5, "room": one.to_string(), "username": "bob" });
    a.reads(gone.clone()).await;
    let told = json!({ "error": "USER_HAS_TO_LOGIN" });
    for command in ["join", "leave", "send", "rooms", "edit"] {
        b.asks(json!({ "command": command, "room": one, "message": "hi" }), told.clone()).await;
    }
    a.say(one, "alone").await;
    house.room("Three").await;
    a.of_type(11).await;
    b.reads_nothing().await;
    // Deactivation ends all logins of an account, here by another process.
    let mut c = house.browser(bob).await;
    c.join(one).await;
    a.json().await;
    house.world.command(&["user", "set", &bob.to_string(), "--no-active"]);
    c.reads(json!({ "leave": one.to_string() })).await;
    a.reads(gone).await;
    c.asks(json!({ "command": "join", "room": one }), told).await;
}

/// Conformance check 14, for programs; `page` has it for browsers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_get_safe_text_and_programs_get_it_as_typed() {
    let house = House::open().await;
    let name = "eve";
    let eve = house.user(name, &["--staff"]);
    let mut page = house.browser(eve).await;
    let mut program = house.program(eve, "").await;
    let title = "<script>t()</script> & co";
    program.send_json(&json!({ "command": "room_create", "title": title })).await;
    let room: i64 = program.json().await["room"].as_str().unwrap().parse().unwrap();
    let safe = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    assert_eq!(page.json().await["title"], safe(title));
    assert_eq!(program.join(room).await[0]["title"], title);
    assert_eq!(page.join(room).await[0]["title"], safe(title));
    assert_eq!(program.json().await["username"], name);
    let text = "<img src=x onerror=m()> \"'&amp;";
    program.send_json(&json!({ "command": "send", "room": room, "message": text })).await;
    let (raw, escaped) = (program.json().await, page.json().await);
    assert_eq!((&raw["message"], &raw["username"]), (&json!(text), &json!(name)));
    assert_eq!((&escaped["message"], &escaped["username"]), (&json!(safe(text)), &json!(name)));
}
