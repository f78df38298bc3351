//! Handshakes, bad input, and who may do what.

use serde_json::{Value, json};

use super::house::House;
use crate::support::raw::Raw;

/// Headers of a handshake.
type Headers<'a> = Vec<(&'a str, &'a str)>;

/// Conformance check 9.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_needs_a_login_and_a_page_of_ours() {
    let house = House::open().await;
    let bob = house.person("bob");
    let (cookie, token, url) = (house.cookie(bob), house.token(bob), house.world.url());
    let bearer = format!("Bearer {token}");
    let bare = house.address("").trim_end_matches('/').to_owned();
    let queried = house.address(&format!("?token={token}&html=raw&features=own"));
    let table: Vec<(String, Headers<'_>, u16)> = vec![
        (house.address(""), vec![], 403),
        (house.address(""), vec![("cookie", "sessionid=guess")], 403),
        (house.address("?token=guess"), vec![("cookie", &cookie)], 403),
        (house.address(""), vec![("cookie", &cookie)], 101),
        (house.address(""), vec![("cookie", &cookie), ("origin", &url)], 101),
        (house.address(""), vec![("cookie", &cookie), ("origin", "http://evil.example")], 403),
        (house.address(""), vec![("cookie", &cookie), ("origin", "null")], 403),
        (bare, vec![("cookie", &cookie)], 101),
        (house.address("?unknown=1"), vec![("cookie", &cookie)], 101),
        (queried, vec![("origin", "http://evil.example")], 101),
        (
            house.address(""),
            vec![("authorization", &bearer), ("origin", "http://evil.example")],
            101,
        ),
    ];
    for (address, headers, status) in table {
        let answer = Raw::try_connect(&address, &headers).await;
        assert_eq!(answer.map_or_else(|status| status, |_| 101), status, "{address} {headers:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_may_be_let_in_to_be_told_why_nothing_works() {
    let set = |settings: &mut klatsch::settings::Settings| {
        settings.multichat.anonymous = klatsch::settings::Anonymous::Accept;
    };
    let house = House::with(set).await;
    let room = house.room("Lobby").await;
    let mut page = Raw::connect(&house.address(""), &[]).await;
    let told = json!({ "error": "USER_HAS_TO_LOGIN" });
    page.asks(json!({ "command": "join", "room": room }), told.clone()).await;
    page.asks(json!({ "command": "send", "room": room, "message": "hi" }), told).await;
    page.send_json(&json!({ "command": "dance" })).await;
    page.reads_nothing().await;
    // Who is unknown has at most 256 KiB held.
    page.send("x".repeat((256 << 10) + 1)).await;
    assert_eq!(page.closed().await.0, 1009);
    // There is no cookie that a foreign page could lean on.
    let evil = [("origin", "http://evil.example")];
    let mut page = Raw::connect(&house.address(""), &evil).await;
    let told = json!({ "error": "USER_HAS_TO_LOGIN" });
    page.asks(json!({ "command": "rooms" }), told).await;
}

/// Conformance check 6.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_is_named_by_a_number_or_its_digits() {
    let house = House::open().await;
    let bob = house.person("bob");
    let room = house.room("Lobby").await;
    let mut page = house.browser(bob).await;
    for name in [json!(room), json!(room.to_string()), json!(format!("0{room}"))] {
        let ask = json!({ "command": "join", "room": name });
        page.asks(ask, json!({ "join": room.to_string(), "title": "Lobby" })).await;
    }
    let odd = [
        json!(null),
        json!("abc"),
        json!(-1),
        json!(1.5),
        json!([1]),
        json!({}),
        json!(true),
        json!(1e21),
        json!(""),
        json!("-1"),
        json!("+1"),
        json!(" 1"),
        json!("1180591620717411303424"),
        json!(0),
        json!("0"),
        json!(9_007_199_254_740_992_i64),
        json!(999),
    ];
    for command in ["join", "leave"] {
        for name in &odd {
            let ask = json!({ "command": command, "room": name });
            page.asks(ask, json!({ "error": "ROOM_INVALID" })).await;
        }
        page.asks(json!({ "command": command }), json!({ "error": "ROOM_INVALID" })).await;
    }
    let huge = format!(r#"{{"command":"join","room":{}}}"#, "1180591620717411303424");
    page.send(huge).await;
    page.reads(json!({ "error": "ROOM_INVALID" })).await;
    page.say(room, "still here").await;
}

/// Conformance check 7, and bad input.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_is_answered_and_breaks_nothing() {
    let house = House::open().await;
    let bob = house.person("bob");
    let room = house.room("Lobby").await;
    let mut page = house.browser(bob).await;
    let mut program = house.program(bob, "?features=").await;
    program.of_type(20).await;
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let odd = [
        "",
        "hello",
        "[]",
        "\"join\"",
        "1",
        "null",
        "{",
        "{\"command\":\"join\"",
        &deep,
        r#"{"command":"send","message":1e999}"#,
    ];
    for text in odd {
        page.send(text).await;
        page.reads(json!({ "error": "BAD_REQUEST" })).await;
    }
    page.send_bytes(vec![0xff; 10]).await;
    page.reads(json!({ "error": "BAD_REQUEST" })).await;
    for ignored in [json!({}), json!({ "command": "dance" }), json!({ "command": 7 })] {
        page.send_json(&ignored).await;
        let unknown = json!({ "error": "UNKNOWN_COMMAND" });
        program.asks(ignored, unknown).await;
    }
    page.reads_nothing().await;
    page.send(format!(r#"{{"command":"dance","command":"join","room":9,"room":{room}}}"#)).await;
    page.reads(json!({ "join": room.to_string(), "title": "Lobby" })).await;
    let texts: [(Value, &str); 5] = [
        (json!(null), "MESSAGE_INVALID"),
        (json!(1), "MESSAGE_INVALID"),
        (json!(["hi"]), "MESSAGE_INVALID"),
        (json!("x".repeat(8193)), "MESSAGE_TOO_LONG"),
        (json!("é".repeat(8193)), "MESSAGE_TOO_LONG"),
    ];
    for (text, code) in texts {
        let ask = json!({ "command": "send", "room": room, "message": text });
        page.asks(ask, json!({ "error": code })).await;
    }
    page.asks(json!({ "command": "send", "room": room }), json!({ "error": "MESSAGE_INVALID" }))
        .await;
    page.send_json(&json!({ "command": "send", "room": room, "message": "\u{0}" })).await;
    page.reads_nothing().await;
    for verbatim in [" ", "\t\u{1}\u{7f}", "\u{202e}𝒳👩‍👩‍👧", &"é".repeat(8192)] {
        page.say(room, verbatim).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_are_too_large_or_no_text_end_the_connection() {
    let house = House::open().await;
    let bob = house.person("bob");
    let room = house.room("Lobby").await;
    let limit = 1_048_576;
    let mut page = house.browser(bob).await;
    page.join(room).await;
    let filler = |size: usize| {
        let frame = |fill: &str| format!(r#"{{"command":"leave","room":{room},"x":"{fill}"}}"#);
        frame(&"x".repeat(size - frame("").len()))
    };
    page.send(filler(limit)).await;
    page.reads(json!({ "leave": room.to_string() })).await;
    page.of_type(5).await;
    page.send(filler(limit + 1)).await;
    assert_eq!(page.closed().await.0, 1009);
    let mut page = house.browser(bob).await;
    page.send("x".repeat(16 << 20)).await;
    assert_eq!(page.closed().await.0, 1009);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_too_fast_is_told_so_once_and_who_goes_on_is_let_go() {
    let set = |settings: &mut klatsch::settings::Settings| {
        settings.limits.frames_per_second = 1.try_into().unwrap();
        settings.limits.frames_burst = 2;
    };
    let house = House::with(set).await;
    let bob = house.person("bob");
    let room = house.room("Lobby").await;
    let mut page = house.browser(bob).await;
    page.join(room).await;
    for _ in 0..10 {
        page.send_json(&json!({ "command": "send", "room": room, "message": "hi", "ref": "r" }))
            .await;
    }
    let complaint = json!({
        "error": "RATE_LIMITED", "command": "send", "room": room.to_string(), "ref": "r",
    });
    page.until(&complaint).await;
    assert!(!page.packets().await.contains(&complaint));
    for _ in 0..300 {
        page.send_json(&json!({ "command": "typing", "room": room, "typing": true })).await;
    }
    assert!(!page.packets().await.contains(&json!({ "error": "RATE_LIMITED" })));
    for _ in 0..260 {
        page.send_json(&json!({ "command": "leave" })).await;
    }
    let (code, reason) = loop {
        if let crate::support::raw::Heard::Closed(code, reason) = page.next().await {
            break (code, reason);
        }
    };
    assert_eq!((code, reason.as_str()), (1008, "flood"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_too_many_is_let_go() {
    let house = House::with(|settings| settings.limits.sockets_per_user = 2.try_into().unwrap());
    let house = house.await;
    let bob = house.person("bob");
    let cookie = house.cookie(bob);
    let mut first = house.page(&cookie).await;
    let _second = house.page(&cookie).await;
    first.packets().await;
    let mut third = house.page(&cookie).await;
    assert_eq!(third.closed().await.0, 1013);
    first.reads_nothing().await;
}
