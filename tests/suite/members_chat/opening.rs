//! Handshakes, authorization and the history.

use klatsch::store::UserChange;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::{Town, id, text, undated};
use crate::support::raw::{Heard, Raw};

fn closed(code: u16, reason: &str) -> Heard {
    Heard::Closed(code, reason.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_address_is_refused_before_the_upgrade() {
    let town = Town::open().await;
    let base = format!("{}/members/chat/", town.world.address);
    for (query, status) in [
        ("", 422),
        ("?other_member_id=", 422),
        ("?other_member_id=x", 422),
        ("?other_member_id=0", 422),
        ("?other_member_id=-1", 422),
        ("?other_member_id=1.5", 422),
        ("?other_member_id=9007199254740992", 422),
        ("?other_member_id=99999999999999999999", 422),
        ("?other_member_id=2&history_limit=1001", 422),
        ("?other_member_id=2&history_limit=-1", 422),
        ("?other_member_id=2&history_limit=x", 422),
        ("?other_member_id=2&before_id=0", 422),
    ] {
        let refused = Raw::try_connect(&format!("ws://{base}{query}"), &[]).await;
        assert_eq!(refused.err(), Some(status), "{query}");
        let answer = town.http.get(format!("http://{base}{query}")).send().await.unwrap();
        assert!(answer.headers().contains_key("x-request-id"));
        let body: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(body["code"], "validation_error", "{query}");
        assert!(body["detail"].is_string());
    }
    // Not redirected, whatever the form; whether the member exists is not told yet.
    for path in ["/members/chat/", "/members/chat"] {
        for query in ["other_member_id=999", "other_member_id=%202%20", "other_member_id=2&x=y"] {
            let url = format!("ws://{}{path}?{query}", town.world.address);
            let origin = [("origin", "null"), ("sec-websocket-protocol", "chat")];
            Raw::connect(&url, &origin[..1]).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_other_origins_are_let_in_unless_there_is_a_list() {
    let town = Town::with(|settings| {
        let list = serde_json::from_value(json!(["https://site.example"])).unwrap();
        settings.http.allowed_origins = list;
    })
    .await;
    let url = town.address(2, "");
    for (origin, verdict) in [("https://site.example", None), ("null", Some(403))] {
        let tried = Raw::try_connect(&url, &[("origin", origin)]).await;
        assert_eq!(tried.err(), verdict, "{origin}");
    }
    Raw::connect(&url, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_switches_the_dialect_off_has_nothing_at_its_address() {
    let town = Town::with(|settings| settings.members_chat.enabled = false).await;
    let tried = Raw::try_connect(&town.address(2, ""), &[]).await;
    assert_eq!(tried.err(), Some(404));
}

/// Conformance check 2.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_frame_is_the_history_and_a_refusal_is_a_close_alone() {
    let town = Town::open().await;
    let (ann, bob) = (town.member("ann").await, town.member("bob").await);
    let (off, gone) = (town.member("off").await, town.member("gone").await);
    town.change(&off, UserChange { active: Some(false), ..UserChange::default() }).await;
    let token = &ann.token;
    for first in [
        format!("Bearer {token}"),
        format!("  bearer \t {token}\n"),
        format!("\"Bearer {token}\""),
        format!("BEARER {token}"),
    ] {
        let mut raw = Raw::connect(&town.address(bob.id, ""), &[]).await;
        raw.send(first).await;
        raw.reads(json!([])).await;
        raw.reads_nothing().await;
    }
    let (required, invalid) = ("authorization required", "invalid token");
    let absent = "other member not found";
    let table = [
        (bob.id, "hey".to_owned(), 1008, required),
        (bob.id, String::new(), 1008, required),
        (bob.id, token.clone(), 1008, required),
        (bob.id, format!("Bearer{token}"), 1008, required),
        (bob.id, format!("Bearer {token} x"), 1008, required),
        (bob.id, "Bearer ".to_owned(), 1008, required),
        (bob.id, r#"{"type":"text","text":"hey"}"#.to_owned(), 1008, required),
        (bob.id, "Bearer nonsense".to_owned(), 1008, invalid),
        (bob.id, format!("Bearer {token}x"), 1008, invalid),
        (bob.id, format!("Bearer {}", off.token), 1008, "member inactive"),
        (ann.id, format!("Bearer {token}"), 4404, absent),
        (999, format!("Bearer {token}"), 4404, absent),
        (off.id, format!("Bearer {token}"), 4404, absent),
    ];
    for (other, first, code, reason) in table {
        let mut raw = Raw::connect(&town.address(other, ""), &[]).await;
        raw.send(first.clone()).await;
        assert_eq!(raw.next().await, closed(code, reason), "{other} {first}");
    }
    let mut raw = Raw::connect(&town.address(bob.id, ""), &[]).await;
    raw.send_bytes(format!("Bearer {token}").into_bytes()).await;
    assert_eq!(raw.next().await, closed(1008, required));
    drop(gone);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_are_over_and_devices_are_refused() {
    let town = Town::with(|settings| {
        settings.auth.token_lifetime = serde_json::from_value(json!(1)).unwrap();
    })
    .await;
    let (ann, bob) = (town.poor("ann").await, town.poor("bob").await);
    // Without leeway: it is over once its second is.
    let deadline = std::time::Instant::now() + crate::support::world::DEADLINE;
    loop {
        let mut raw = town.begin(&ann, &bob, "").await;
        match raw.next().await {
            Heard::Closed(code, reason) => {
                assert_eq!((code, reason.as_str()), (1008, "token expired"));
                break;
            }
            _ => assert!(std::time::Instant::now() < deadline, "it stays good"),
        }
        raw.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_nothing_is_let_go() {
    let town = Town::with(|settings| {
        settings.members_chat.auth_timeout = serde_json::from_value(json!(1)).unwrap();
    })
    .await;
    let mut raw = Raw::connect(&town.address(2, ""), &[]).await;
    assert_eq!(raw.next().await, closed(1008, "authorization timeout"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_frame_has_at_most_16384_bytes() {
    let town = Town::open().await;
    for (bytes, code) in [(16_384, 1008), (16_385, 1009), (1 << 20, 1009)] {
        let mut raw = Raw::connect(&town.address(2, ""), &[]).await;
        raw.send(format!("Bearer {}", "x".repeat(bytes - 7))).await;
        assert_eq!(raw.closed().await.0, code, "{bytes}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_behind_the_token_wait_for_the_history() {
    let town = Town::open().await;
    let (ann, bob) = (town.member("ann").await, town.member("bob").await);
    let mut raw = town.begin(&ann, &bob, "").await;
    for number in 0..5 {
        raw.send(format!("{number}")).await;
    }
    raw.reads(json!([])).await;
    for number in 0..5 {
        assert_eq!(text(&raw.json().await), number.to_string());
    }
    let mut refused = Raw::connect(&town.address(bob.id, ""), &[]).await;
    refused.send("Bearer nonsense").await;
    refused.send("hey").await;
    assert_eq!(refused.next().await, closed(1008, "invalid token"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_token_is_never_published() {
    let town = Town::open().await;
    let (ann, bob) = (town.member("ann").await, town.member("bob").await);
    let (mut a, mut b) = (town.chat(&ann, &bob).await, town.chat(&bob, &ann).await);
    for again in [
        format!("Bearer {}", ann.token),
        format!(" bearer {} ", ann.token),
        format!("\"Bearer {}\"", ann.token),
        "Bearer a.b.c".to_owned(),
    ] {
        a.send(again.clone()).await;
        let error = a.json().await;
        assert_eq!(
            (&error["type"], &error["code"]),
            (&json!("error"), &json!("already_authorized"))
        );
    }
    for words in ["Bearer of bad news", "Bearer a.b", "Bearer a..c", "Bearer a.b.c.d", "Bearer"] {
        a.send(words).await;
        assert_eq!(text(&a.json().await), words);
        assert_eq!(text(&b.json().await), words);
    }
    b.reads_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_is_bounded_but_never_leaves_out_what_was_not_delivered() {
    let town = Town::with(|settings| settings.members_chat.history_limit = 3).await;
    let (ann, bob) = (town.member("ann").await, town.member("bob").await);
    let mut a = town.chat(&ann, &bob).await;
    let mut ids = Vec::new();
    for number in 0..6 {
        a.send(format!("{number}")).await;
        ids.push(id(&a.json().await));
    }
    let numbers = |history: &[serde_json::Value]| history.iter().map(id).collect::<Vec<_>>();
    // Ann wrote them: to her the newest are enough. Bob has seen none.
    assert_eq!(numbers(&town.open_with(&ann, &bob, "").await.1), ids[3..]);
    assert_eq!(numbers(&town.open_with(&ann, &bob, "&history_limit=2").await.1), ids[4..]);
    assert_eq!(numbers(&town.open_with(&ann, &bob, "&history_limit=0").await.1), ids[6..]);
    let before = format!("&before_id={}", ids[4]);
    assert_eq!(numbers(&town.open_with(&bob, &ann, &before).await.1), ids[1..4]);
    let far = format!("&before_id={}&history_limit=2", 1_i64 << 52);
    assert_eq!(numbers(&town.open_with(&bob, &ann, &far).await.1), ids[4..]);
    for more in ["", "&history_limit=0", "&history_limit=1"] {
        let (raw, history) = town.open_with(&bob, &ann, more).await;
        assert_eq!(numbers(&history), ids, "{more}: nothing was confirmed yet");
        raw.vanish();
    }
    for code in [1000_u16, 1001] {
        let (mut raw, history) = town.open_with(&bob, &ann, "").await;
        assert_eq!(numbers(&history), ids);
        // A goodbye proves nothing: a proxy may have said it.
        raw.put(Message::Close(Some(CloseFrame { code: code.into(), reason: "".into() }))).await;
        raw.close().await;
    }
    let (mut b, history) = town.open_with(&bob, &ann, "").await;
    assert_eq!(numbers(&history), ids);
    b.reads_nothing().await;
    b.close().await;
    let deadline = std::time::Instant::now() + crate::support::world::DEADLINE;
    while numbers(&town.open_with(&bob, &ann, "&history_limit=1").await.1) != ids[5..] {
        assert!(std::time::Instant::now() < deadline, "what was confirmed is repeated");
    }
    assert!(town.open_with(&bob, &ann, "&history_limit=0").await.1.is_empty());
}

/// Conformance check 8.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_arrives_while_the_history_is_read_appears_exactly_once() {
    const SAID: usize = 300;
    let town = Town::open().await;
    let (ann, bob) = (town.member("ann").await, town.member("bob").await);
    let mut a = town.chat(&ann, &bob).await;
    let talking = tokio::spawn(async move {
        let mut ids = Vec::new();
        for number in 0..SAID {
            a.send(format!("{number}")).await;
            ids.push(id(&a.json().await));
        }
        ids
    });
    let mut listeners = Vec::new();
    while !talking.is_finished() && listeners.len() < 12 {
        let mut raw = town.begin(&bob, &ann, "").await;
        listeners.push(tokio::spawn(async move {
            let history = raw.json().await;
            let mut seen: Vec<_> = history.as_array().unwrap().iter().map(id).collect();
            while seen.len() < SAID {
                seen.push(id(&raw.json().await));
            }
            raw.reads_nothing().await;
            seen
        }));
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    }
    let ids = talking.await.unwrap();
    for listener in listeners {
        assert_eq!(listener.await.unwrap(), ids);
    }
}

/// Resume: the history shows what a lost connection has missed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_cut_off_gets_everything_again() {
    let town = Town::open().await;
    let (ann, bob) = (town.member("ann").await, town.member("bob").await);
    let (mut a, mut b) = (town.chat(&ann, &bob).await, town.chat(&bob, &ann).await);
    let mut ids = Vec::new();
    for number in 0..20 {
        if number == 10 {
            assert_eq!(id(&b.json().await), ids[0]);
            b.vanish();
            b = town.begin(&bob, &ann, "&history_limit=0").await;
            let missed = b.json().await;
            let missed: Vec<_> = missed.as_array().unwrap().iter().map(id).collect();
            assert!(ids.ends_with(&missed) && missed.len() >= 9, "{missed:?} of {ids:?}");
        }
        a.send(format!("{number}")).await;
        ids.push(id(&a.json().await));
    }
    for expected in &ids[10..] {
        assert_eq!(id(&b.json().await), *expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_sockets_and_ended_logins_are_told_by_a_close() {
    let town = Town::with(|settings| {
        settings.limits.sockets_per_user = const { std::num::NonZeroUsize::new(2).unwrap() };
    })
    .await;
    let (ann, bob) = (town.member("ann").await, town.member("bob").await);
    let mut first = town.chat(&ann, &bob).await;
    let mut second = town.chat(&ann, &bob).await;
    assert_eq!(town.begin(&ann, &bob, "").await.closed().await.0, 1013);
    let out = json!({ "token": ann.token });
    town.world.ok("/account/logout", out).await;
    for raw in [&mut first, &mut second] {
        assert_eq!(raw.next().await, closed(1008, "login ended"));
    }
    let mut b = town.chat(&bob, &ann).await;
    town.change(&bob, UserChange { active: Some(false), ..UserChange::default() }).await;
    assert_eq!(b.next().await, closed(1008, "member inactive"));
}

/// Conformance check 3.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_socket_of_the_pair_hears_a_message_and_no_other() {
    let town = Town::open().await;
    let (ann, bob, cem) =
        (town.member("ann").await, town.member("bob").await, town.member("cem").await);
    let (mut one, mut two) = (town.chat(&ann, &bob).await, town.chat(&ann, &bob).await);
    let (mut elsewhere, mut b) = (town.chat(&ann, &cem).await, town.chat(&bob, &ann).await);
    let mut c = town.chat(&cem, &ann).await;
    for round in 0..3 {
        one.send(format!("{round}")).await;
        let echo = one.json().await;
        let expected = json!({
            "id": id(&echo), "member_id": ann.id, "chat_id": echo["chat_id"],
            "type": "text", "text": round.to_string(),
        });
        assert_eq!(undated(echo.clone()), expected);
        for raw in [&mut two, &mut b] {
            assert_eq!(raw.json().await, echo);
        }
    }
    for raw in [&mut elsewhere, &mut c] {
        raw.reads_nothing().await;
    }
    one.put(Message::Close(None)).await;
    assert!(matches!(one.next().await, Heard::Closed(..)));
    b.reads_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_verb_is_refused_in_a_sentence() {
    let town = Town::open().await;
    let (status, told) = town.world.post("/members/chat/?other_member_id=2", json!({})).await;
    assert_eq!((status, &told["code"]), (405, &json!("method_not_allowed")));
    assert!(told["detail"].as_str().is_some_and(|detail| detail.contains("WebSocket")), "{told}");
}
