//! Joining, saying, leaving: who is told what, and in which order.

use klatsch::settings::NotifyPer;
use serde_json::{Value, json};

use super::house::{House, bare};

fn entered(room: i64, who: &str) -> Value {
    json!({ "msg_type": 4, "room": room.to_string(), "username": who })
}

fn gone(room: i64, who: &str) -> Value {
    json!({ "msg_type": 5, "room": room.to_string(), "username": who })
}

/// Conformance check 3.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledgements_and_errors_have_exactly_their_keys() {
    let house = House::open().await;
    let bob = house.person("bob");
    let room = house.room("Lobby").await;
    let id = room.to_string();
    let mut page = house.browser(bob).await;
    let (join, leave) = (json!({ "join": id, "title": "Lobby" }), json!({ "leave": id }));
    let ask = |command: &str| json!({ "command": command, "room": room });
    // Left without having been joined, joined twice: nothing but the acknowledgement.
    page.asks(ask("leave"), leave.clone()).await;
    page.asks(ask("join"), join.clone()).await;
    page.asks(ask("join"), join.clone()).await;
    page.reads_nothing().await;
    page.asks(ask("leave"), leave).await;
    page.reads(gone(room, "bob")).await;
    page.asks(
        json!({ "command": "send", "room": room, "message": "hi" }),
        json!({ "error": "ROOM_ACCESS_DENIED" }),
    )
    .await;
    let named = json!({ "command": "join", "room": "nowhere", "ref": 1.5 });
    page.asks(named, json!({ "error": "ROOM_INVALID", "command": "join", "ref": 1.5 })).await;
    let odd = json!({ "command": "join", "room": room, "ref": ["no name"] });
    page.asks(odd, join).await;
    let long = json!({ "command": "leave", "room": room, "ref": "x".repeat(65) });
    page.asks(long, json!({ "leave": id })).await;
    page.reads(gone(room, "bob")).await;
}

/// Conformance check 4.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_were_there_before_hear_who_comes_and_goes() {
    let house = House::open().await;
    let (ann, bob) = (house.person("ann"), house.person("bob"));
    let room = house.room("Lobby").await;
    let cookie = house.cookie(bob);
    let mut a = house.browser(ann).await;
    a.join(room).await;
    let mut first = house.page(&cookie).await;
    let mut second = house.program(bob, "?features=members").await;
    second.of_type(20).await;
    first.join(room).await;
    a.reads(entered(room, "bob")).await;
    second.send_json(&json!({ "command": "join", "room": room, "ref": "m" })).await;
    second.reads(json!({ "join": room.to_string(), "title": "Lobby", "ref": "m" })).await;
    let names = json!(["ann", "bob"]);
    second
        .reads(json!({ "msg_type": 16, "room": room.to_string(), "usernames": names, "ref": "m" }))
        .await;
    // With each acknowledgement.
    second.send_json(&json!({ "command": "join", "room": room })).await;
    second.reads(json!({ "join": room.to_string(), "title": "Lobby" })).await;
    second.reads(json!({ "msg_type": 16, "room": room.to_string(), "usernames": names })).await;
    for seat in [&mut a, &mut first] {
        seat.reads(entered(room, "bob")).await;
    }
    second.reads_nothing().await;
    // A goodbye, and an end without one, of a program that is not resumed.
    first
        .asks(json!({ "command": "leave", "room": room }), json!({ "leave": room.to_string() }))
        .await;
    first.reads(gone(room, "bob")).await;
    for seat in [&mut a, &mut second] {
        seat.reads(gone(room, "bob")).await;
    }
    second.vanish();
    a.reads(gone(room, "bob")).await;
    first.reads_nothing().await;
    // Somebody of another dialect comes and goes.
    let mut peer = house.world.peer(&house.token(bob)).await;
    peer.succeed("join_conversation", json!({ "conversation_id": room })).await;
    a.reads(entered(room, "bob")).await;
    a.asks(
        json!({ "command": "members", "room": room }),
        json!({ "msg_type": 16, "room": room.to_string(), "usernames": names }),
    )
    .await;
    peer.succeed("leave_conversation", json!({ "conversation_id": room })).await;
    a.reads(gone(room, "bob")).await;
    peer.succeed("join_conversation", json!({ "conversation_id": room })).await;
    a.reads(entered(room, "bob")).await;
    drop(peer);
    a.reads(gone(room, "bob")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_can_be_told_of_once() {
    let house = House::with(|settings| settings.multichat.notify_per = NotifyPer::User).await;
    let (ann, bob) = (house.person("ann"), house.person("bob"));
    let room = house.room("Lobby").await;
    let mut a = house.browser(ann).await;
    a.join(room).await;
    let mut first = house.program(bob, "").await;
    let mut second = house.program(bob, "").await;
    first.join(room).await;
    a.reads(entered(room, "bob")).await;
    second.join(room).await;
    first.close().await;
    a.reads_nothing().await;
    second.close().await;
    a.reads(gone(room, "bob")).await;
}

/// Conformance check 5.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notices_can_be_switched_off() {
    let house = House::with(|settings| settings.multichat.notify_enter_leave = false).await;
    let (ann, bob) = (house.person("ann"), house.person("bob"));
    let room = house.room("Lobby").await;
    let mut a = house.browser(ann).await;
    a.join(room).await;
    let mut b = house.program(bob, "").await;
    b.join(room).await;
    b.asks(json!({ "command": "leave", "room": room }), json!({ "leave": room.to_string() })).await;
    b.join(room).await;
    b.say(room, "the last word").await;
    b.close().await;
    assert_eq!(a.json().await["message"], "the last word");
    a.reads_nothing().await;
}

/// Conformance check 8.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_joins_during_a_storm_misses_nothing_and_reads_nothing_twice() {
    let set = |settings: &mut klatsch::settings::Settings| settings.multichat.history_max = 5_000;
    let house = House::with(set).await;
    let (ann, bob) = (house.person("ann"), house.person("bob"));
    let room = house.room("Lobby").await;
    let mut writer = house.program(ann, "").await;
    writer.join(room).await;
    let first = writer.say(room, "0").await["id"].clone();
    let storm = tokio::spawn(async move {
        let mut pace = tokio::time::interval(std::time::Duration::from_millis(2));
        for number in 1..=1_000 {
            pace.tick().await;
            writer
                .send_json(
                    &json!({ "command": "send", "room": room, "message": number.to_string() }),
                )
                .await;
            writer.json().await;
        }
        writer
    });
    let mut readers = Vec::new();
    for query in ["", "?features=history", "?features=own"] {
        for _ in 0..3 {
            let mut reader = house.program(bob, query).await;
            let first = first.clone();
            readers.push(tokio::spawn(async move {
                let join = json!({ "command": "join", "room": room, "after": first });
                reader.send_json(&join).await;
                let mut next = 1;
                while next <= 1_000 {
                    let packet = reader.json().await;
                    let several = packet["messages"].as_array().cloned();
                    for one in several.unwrap_or_else(|| vec![packet]) {
                        if let Some(text) = one["message"].as_str() {
                            assert_eq!(text, next.to_string());
                            next += 1;
                        }
                    }
                }
            }));
            tokio::time::sleep(std::time::Duration::from_millis(60)).await;
        }
    }
    for reader in readers {
        reader.await.unwrap();
    }
    storm.await.unwrap();
}

/// Conformance checks 12 and 17, from here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn own_messages_from_anywhere_are_own() {
    let house = House::open().await;
    let bob = house.person("bob");
    let room = house.room("Lobby").await;
    let mut page = house.browser(bob).await;
    let mut program = house.program(bob, "?features=own").await;
    program.of_type(20).await;
    page.join(room).await;
    program.send_json(&json!({ "command": "join", "room": room })).await;
    program.json().await;
    page.json().await;
    let mut peer = house.world.peer(&house.token(bob)).await;
    peer.succeed("join_conversation", json!({ "conversation_id": room })).await;
    peer.succeed("message", json!({ "conversation_id": room, "text_message": "me" })).await;
    let (shown, own) = (page.of_type(0).await, program.of_type(6).await);
    let expected = json!({ "msg_type": 0, "room": room.to_string(), "username": "bob", "message": "me", "own": true });
    assert_eq!(bare(shown), expected);
    assert_eq!((&own["own"], &own["message"]), (&json!(true), &json!("me")));
    let said = page.say(room, "back").await;
    let heard = loop {
        let (channel, argument) = peer.event().await;
        if channel == "message" && argument["message"]["content"] == "back" {
            break argument;
        }
    };
    assert_eq!((&heard["conversation_id"], &heard["message"]["id"]), (&json!(room), &said["id"]));
    assert_eq!((&heard["status"], &heard["message"]["medias"]), (&json!("done"), &json!(0)));
    // In replays as well.
    program.send_json(&json!({ "command": "history", "room": room, "ref": 7 })).await;
    let history = program.of_type(9).await;
    let kinds: Vec<_> =
        history["messages"].as_array().unwrap().iter().map(|one| one["msg_type"].clone()).collect();
    assert_eq!((kinds, &history["ref"]), (vec![json!(6), json!(6)], &json!(7)));
}

/// Conformance check 15.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_reference_stores_once() {
    let house = House::open().await;
    let (ann, bob) = (house.person("ann"), house.person("bob"));
    let room = house.room("Lobby").await;
    let mut a = house.browser(ann).await;
    a.join(room).await;
    let mut b = house.browser(bob).await;
    b.join(room).await;
    a.json().await;
    let send = |text: &str, name: Value| json!({ "command": "send", "room": room, "message": text, "ref": name });
    b.send_json(&send("once", json!("r1"))).await;
    let first = b.json().await;
    assert_eq!((&first["message"], &first["ref"]), (&json!("once"), &json!("r1")));
    b.asks(send("twice", json!("r1")), first.clone()).await;
    // A number names an answer, and nothing else.
    for _ in 0..2 {
        b.send_json(&send("again", json!(1))).await;
        assert_eq!(b.json().await["ref"], 1);
    }
    a.send_json(&send("mine", json!("r1"))).await;
    for text in ["once", "again", "again", "mine"] {
        assert_eq!(a.json().await["message"], text);
    }
    a.reads_nothing().await;
}

/// Conformance check 16.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_members_group_is_a_room_for_its_members() {
    let house = House::open().await;
    let world = &house.world;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let eve = house.person("eve");
    let mut page = house.browser(bob.id).await;
    let mut stranger = house.program(eve, "?features=rooms").await;
    stranger.of_type(10).await;
    let circle = world.circle(&ann, &[&bob]).await;
    let group = world.conversation(circle, &ann, &bob).await;
    let added = json!({ "msg_type": 11, "room": group.to_string(), "title": "Conversation", "staff_only": false });
    page.reads(added).await;
    page.asks(json!({ "command": "rooms" }), json!({ "msg_type": 10, "rooms": [
        { "room": group.to_string(), "title": "Conversation", "staff_only": false, "joined": false },
    ] }))
    .await;
    let join = json!({ "command": "join", "room": group });
    stranger.asks(join.clone(), json!({ "error": "ROOM_INVALID" })).await;
    stranger.asks(json!({ "command": "rooms" }), json!({ "msg_type": 10, "rooms": [] })).await;
    page.asks(join.clone(), json!({ "join": group.to_string(), "title": "Conversation" })).await;
    assert_eq!(page.json().await["message"], "hi");
    for command in ["room_update", "room_delete"] {
        let ask = json!({ "command": command, "room": group, "title": "x" });
        page.asks(ask.clone(), json!({ "error": "ROOM_ACCESS_DENIED" })).await;
        stranger.asks(ask, json!({ "error": "ROOM_INVALID" })).await;
    }
    let rename =
        json!({ "token": ann.token, "conversation_id": group, "conversation_name": "Family" });
    world.ok("/conversation/update", rename).await;
    page.reads(json!({ "msg_type": 12, "room": group.to_string(), "title": "Family", "staff_only": false })).await;
    let kick = json!({ "token": ann.token, "conversation_id": group, "email": bob.email });
    world.ok("/conversation/kick", kick).await;
    page.reads(json!({ "leave": group.to_string() })).await;
    page.reads(json!({ "msg_type": 13, "room": group.to_string(), "title": "Family" })).await;
    page.asks(join, json!({ "error": "ROOM_INVALID" })).await;
    stranger.reads_nothing().await;
}

/// Conformance check 17, towards here, with files.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_other_dialects_become_lines() {
    let house = House::open().await;
    let world = &house.world;
    let mut ann = world.person("ann").await;
    let bob = house.person("bob");
    let room = house.room("Lobby").await;
    let mut page = house.browser(bob).await;
    page.join(room).await;
    let message = json!({ "conversation_id": room, "text_message": "look", "files": ["cat.png"] });
    ann.peer.emit("message", message);
    let media = ann.peer.expect("media").await;
    page.reads_nothing().await;
    let id = &media["media_list"][0]["id"];
    world.upload(&ann.token, id, "cat.png", b"meow").await;
    let packet = page.of_type(0).await;
    let text = packet["message"].as_str().unwrap();
    assert!(text.starts_with("look\n[file cat.png] /storage?uuid="), "{text}");
    ann.peer.emit("message", json!({ "conversation_id": room, "text_message": "" }));
    page.reads_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn typing_and_reading_are_told_to_those_who_asked() {
    let house = House::open().await;
    let (ann, bob) = (house.person("ann"), house.person("bob"));
    let room = house.room("Lobby").await;
    let mut plain = house.browser(ann).await;
    let mut a = house.program(ann, "?features=typing,read").await;
    let mut b = house.program(bob, "?features=typing,read").await;
    for seat in [&mut a, &mut b] {
        seat.of_type(20).await;
    }
    for seat in [&mut plain, &mut a, &mut b] {
        seat.send_json(&json!({ "command": "join", "room": room })).await;
        while seat.json().await["join"].is_null() {}
    }
    b.reads_nothing().await;
    for seat in [&mut plain, &mut a] {
        seat.packets().await;
    }
    let typing = |typing: bool| json!({ "msg_type": 14, "room": room.to_string(), "username": "bob", "typing": typing });
    let say = |typing: bool| json!({ "command": "typing", "room": room, "typing": typing });
    for _ in 0..20 {
        b.send_json(&say(true)).await;
    }
    a.reads(typing(true)).await;
    b.send_json(&say(false)).await;
    a.reads(typing(false)).await;
    b.send_json(&say(true)).await;
    a.reads(typing(true)).await;
    let id = b.say(room, "done").await["id"].clone();
    let (mut told, mut heard) = (false, false);
    while !(told && heard) {
        let packet = a.json().await;
        told |= packet == typing(false);
        heard |= packet["message"] == "done";
    }
    a.send_json(&json!({ "command": "read", "room": room, "id": id })).await;
    b.reads(json!({ "msg_type": 15, "room": room.to_string(), "username": "ann", "id": id })).await;
    a.send_json(&json!({ "command": "read", "room": room, "id": id })).await;
    assert_eq!(plain.json().await["message"], "done");
    for seat in [&mut plain, &mut b] {
        seat.reads_nothing().await;
    }
    a.packets().await;
    let (nowhere, unknown) = (
        json!({ "command": "read", "room": room, "id": 999_999 }),
        json!({ "error": "MESSAGE_NOT_FOUND" }),
    );
    a.asks(nowhere, unknown).await;
    a.asks(
        json!({ "command": "typing", "room": 99, "typing": true }),
        json!({ "error": "ROOM_ACCESS_DENIED" }),
    )
    .await;
    // Who leaves types no more.
    b.send_json(&say(true)).await;
    a.reads(typing(true)).await;
    b.send_json(&json!({ "command": "leave", "room": room })).await;
    a.reads(typing(false)).await;
    a.reads(gone(room, "bob")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn as_much_of_the_past_is_shown_as_was_asked_for() {
    let set = |settings: &mut klatsch::settings::Settings| {
        settings.multichat.replay_on_join = 3;
        settings.multichat.history_max = 4;
        settings.multichat.rooms_per_connection = 2.try_into().unwrap();
    };
    let house = House::with(set).await;
    let bob = house.person("bob");
    let room = house.room("Lobby").await;
    let mut writer = house.program(bob, "").await;
    writer.join(room).await;
    let mut ids = Vec::new();
    for text in ["1", "2", "3", "4", "5", "6"] {
        ids.push(writer.say(room, text).await["id"].clone());
    }
    let texts = |packets: &[Value]| -> Vec<String> {
        packets.iter().filter_map(|one| one["message"].as_str().map(str::to_owned)).collect()
    };
    let mut page = house.browser(bob).await;
    let table = [
        (json!({}), vec!["4", "5", "6"]),
        (json!({ "history": 0 }), vec![]),
        (json!({ "history": 2 }), vec!["5", "6"]),
        (json!({ "history": 100 }), vec!["3", "4", "5", "6"]),
        (json!({ "history": "many" }), vec!["4", "5", "6"]),
        (json!({ "after": ids[0] }), vec!["2", "3", "4", "5"]),
        (json!({ "after": ids[4] }), vec!["6"]),
    ];
    for (more, expected) in table {
        let mut join = more.clone();
        join["command"] = "join".into();
        join["room"] = room.into();
        page.send_json(&join).await;
        let packets = page.packets().await;
        assert_eq!(texts(&packets), expected, "{more}");
        assert!(packets.iter().skip(1).all(|one| one["replay"] == true), "{packets:?}");
        page.send_json(&json!({ "command": "leave", "room": room })).await;
        page.packets().await;
    }
    page.join(room).await;
    let table = [
        (json!({}), vec!["3", "4", "5", "6"], true),
        (json!({ "before": ids[2] }), vec!["1", "2"], false),
        (json!({ "before": ids[5], "limit": 2 }), vec!["4", "5"], true),
    ];
    for (more, expected, older) in table {
        let mut ask = more.clone();
        ask["command"] = "history".into();
        ask["room"] = room.into();
        page.send_json(&ask).await;
        let packet = page.json().await;
        let messages = packet["messages"].as_array().unwrap();
        assert_eq!(
            (texts(messages), &packet["more"]),
            (expected.into_iter().map(str::to_owned).collect(), &json!(older)),
            "{more}"
        );
        assert!(messages.iter().all(|one| one.get("replay").is_none()));
    }
    for title in ["b", "c"] {
        let other = house.room(title).await;
        page.send_json(&json!({ "command": "join", "room": other, "ref": 1 })).await;
    }
    let last = page.packets().await;
    assert_eq!(last.last().unwrap()["error"], "RATE_LIMITED", "{last:?}");
    let nothing = json!({ "command": "history", "room": 77 });
    page.asks(nothing, json!({ "error": "ROOM_ACCESS_DENIED" })).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_messages_have_the_four_original_keys() {
    let house = House::with(|settings| settings.multichat.plain = true).await;
    let bob = house.person("bob");
    let room = house.room("Lobby").await;
    let mut page = house.browser(bob).await;
    let mut program = house.program(bob, "?features=own").await;
    program.of_type(20).await;
    page.join(room).await;
    let ask = json!({ "command": "send", "room": room, "message": "hi", "ref": "r" });
    let four =
        json!({ "msg_type": 0, "room": room.to_string(), "username": "bob", "message": "hi" });
    page.asks(ask, four).await;
    program.send_json(&json!({ "command": "join", "room": room })).await;
    assert_eq!(program.of_type(6).await["own"], true);
}
