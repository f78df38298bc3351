//! The worked example of the page, packet by packet.

use serde_json::{Value, json};

use super::house::{House, bare};

fn message(room: &str, who: &str, text: &str, own: bool) -> Value {
    json!({ "msg_type": 0, "room": room, "username": who, "message": text, "own": own })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::too_many_lines, reason = "it is one story")]
async fn the_worked_example_goes_as_it_is_written() {
    let house = House::open().await;
    let (lobby, staff) = (house.room("Lobby").await, house.staff_room("Staff").await);
    let (one, two) = (lobby.to_string(), staff.to_string());
    let alice = house.user("alice", &["--staff"]);
    let (bob, carol, dave) = (house.person("bob"), house.person("carol"), house.person("dave"));
    let mut earlier = house.program(bob, "").await;
    earlier.join(lobby).await;
    earlier.say(lobby, "anyone here?").await;
    earlier.close().await;

    let mut a = house.browser(alice).await;
    let mut b = house.browser(bob).await;
    let join = |room: &str| json!({ "command": "join", "room": room });
    a.asks(join(&one), json!({ "join": one, "title": "Lobby" })).await;
    let replay = |own| {
        let mut packet = message(&one, "bob", "anyone here?", own);
        packet["replay"] = true.into();
        packet
    };
    assert_eq!(bare(a.json().await), replay(false));
    b.asks(join(&one), json!({ "join": one, "title": "Lobby" })).await;
    assert_eq!(bare(b.json().await), replay(true));
    a.reads(json!({ "msg_type": 4, "room": one, "username": "bob" })).await;

    let said = b.say(lobby, "hello").await;
    let id = said["id"].as_i64().unwrap();
    assert_eq!(bare(said.clone()), message(&one, "bob", "hello", true));
    let sent = said["sent"].as_str().unwrap();
    assert!(sent.len() == 27 && sent.ends_with('Z') && &sent[19..20] == ".", "{sent}");
    assert_eq!(bare(a.json().await), message(&one, "bob", "hello", false));
    b.send_json(&json!({ "command": "send", "room": one, "message": "" })).await;
    b.asks(join(&two), json!({ "error": "ROOM_ACCESS_DENIED" })).await;
    b.asks(join("99"), json!({ "error": "ROOM_INVALID" })).await;
    let let_me_in = json!({ "command": "send", "room": two, "message": "let me in" });
    b.asks(let_me_in, json!({ "error": "ROOM_ACCESS_DENIED" })).await;
    a.asks(join(&two), json!({ "join": two, "title": "Staff" })).await;

    let mut c = house.program(carol, "?features=own,history,rooms").await;
    c.reads(json!({
        "msg_type": 20, "features": ["own", "history", "rooms"], "username": "carol",
        "staff": false, "max_message": 8192,
    }))
    .await;
    c.reads(json!({ "msg_type": 10, "rooms": [
        { "room": one, "title": "Lobby", "staff_only": false, "joined": false },
        { "room": two, "title": "Staff", "staff_only": true, "joined": false },
    ] }))
    .await;
    c.asks(
        json!({ "command": "join", "room": one, "history": 1, "ref": 1 }),
        json!({ "join": one, "title": "Lobby", "ref": 1 }),
    )
    .await;
    let mut history = c.json().await;
    history["messages"][0] = bare(history["messages"][0].take());
    let past = message(&one, "bob", "hello", false);
    let expected =
        json!({ "msg_type": 9, "room": one, "messages": [past], "more": true, "ref": 1 });
    assert_eq!(history, expected);
    for page in [&mut a, &mut b] {
        page.reads(json!({ "msg_type": 4, "room": one, "username": "carol" })).await;
    }
    c.send_json(&json!({ "command": "send", "room": lobby, "message": "hi bob", "ref": "s1" }))
        .await;
    let own = c.json().await;
    let mut expected = message(&one, "carol", "hi bob", true);
    expected["msg_type"] = 6.into();
    expected["ref"] = "s1".into();
    assert_eq!(bare(own.clone()), expected);
    for page in [&mut a, &mut b] {
        assert_eq!(bare(page.json().await), message(&one, "carol", "hi bob", false));
    }
    let its = own["id"].clone();
    let edit =
        json!({ "command": "edit", "room": one, "id": its, "message": "hi Bob", "ref": "e1" });
    c.send_json(&edit).await;
    let edited = c.json().await;
    assert_eq!(edited["sent"], own["sent"]);
    let expected = json!({
        "msg_type": 7, "room": one, "id": its, "username": "carol", "message": "hi Bob",
        "sent": own["sent"], "edited": edited["edited"], "own": true, "ref": "e1",
    });
    assert_eq!(edited, expected);
    for page in [&mut a, &mut b] {
        let mut heard = edited.clone();
        heard["own"] = false.into();
        heard.as_object_mut().unwrap().remove("ref");
        page.reads(heard).await;
    }
    c.asks(
        json!({ "command": "edit", "room": one, "id": id, "message": "x", "ref": "e2" }),
        json!({ "error": "MESSAGE_ACCESS_DENIED", "command": "edit", "room": one, "id": id, "ref": "e2" }),
    )
    .await;

    let mut peer = house.world.peer(&house.token(dave)).await;
    peer.succeed("message", json!({ "conversation_id": lobby, "text_message": "from afar" })).await;
    for seat in [&mut a, &mut b, &mut c] {
        assert_eq!(bare(seat.json().await), message(&one, "dave", "from afar", false));
    }

    let mut s = house.program(alice, "").await;
    s.send_json(&json!({ "command": "room_create", "title": "Music", "staff_only": false })).await;
    let made = s.json().await;
    let music = made["room"].clone();
    let added = json!({ "msg_type": 11, "room": music, "title": "Music", "staff_only": false });
    assert_eq!(made, added);
    for seat in [&mut a, &mut b, &mut c] {
        seat.reads(added.clone()).await;
    }

    a.asks(json!({ "command": "leave", "room": one }), json!({ "leave": one })).await;
    let gone = |who: &str| json!({ "msg_type": 5, "room": one, "username": who });
    for seat in [&mut a, &mut b, &mut c] {
        seat.reads(gone("alice")).await;
    }
    c.close().await;
    b.reads(gone("carol")).await;
    house.world.command(&["room", "remove", &one]);
    let removed = json!({ "msg_type": 13, "room": one, "title": "Lobby" });
    b.reads(json!({ "leave": one })).await;
    b.reads(removed.clone()).await;
    a.reads(removed).await;
    for seat in [&mut a, &mut b] {
        seat.reads_nothing().await;
    }
}
