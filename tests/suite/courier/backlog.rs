//! What waits, and what comes while it is being read.

use std::collections::BTreeMap;
use std::time::Duration;

use klatsch::settings::{Backlog, DeliveryConfirm};
use serde_json::{Value, json};

use super::{
    DOCUMENTED, hears, is_timestamp, keys, open_group, open_personal, post_office, say, with,
};
use crate::support::raw::{Heard, Raw};
use crate::support::site::Site;
use crate::support::world::{DEADLINE, Person, World};

async fn words_waiting(client: &mut Raw) -> Vec<String> {
    let heard = client.drain().await;
    let words = heard.into_iter().map(|heard| match heard {
        Heard::Text(text) => serde_json::from_str::<Value>(&text).unwrap()["msg"].clone(),
        other => panic!("{other:?}"),
    });
    words.map(|word| word.as_str().unwrap().to_owned()).collect()
}

/// Conformance checks 4 and 12: to somebody who is away.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_comes_in_order_over_all_conversations() {
    let world = post_office().await;
    let (ann, bob, cy) =
        (world.person("ann").await, world.person("bob").await, world.person("cy").await);
    let (mut a, mut c) = (world.client_of(&ann).await, world.client_of(&cy).await);
    let personal = open_personal(&mut a, &bob).await;
    let other = open_personal(&mut c, &bob).await;
    let group = open_group(&mut a, &[&ann, &bob, &cy]).await;
    let mut sent = Vec::new();
    for number in 0..4 {
        sent.push(say(&mut a, "personal", personal, &format!("p{number}")).await);
        sent.push(say(&mut c, "personal", other, &format!("o{number}")).await);
        sent.push(say(&mut a, "group", group, &format!("g{number}")).await);
        hears(&mut c, &format!("g{number}")).await;
    }
    let mut b = world.client_of(&bob).await;
    let first = b.json().await;
    let aliases = ["id", "message", "sender_id"];
    assert_eq!(keys(&first), [&DOCUMENTED[..], &aliases].concat());
    assert_eq!((&first["id"], &first["message"]), (&first["message_id"], &first["msg"]));
    assert_eq!(first["sender_id"], json!(ann.id));
    assert!(is_timestamp(&first["timestamp"]));
    let mut received = vec![first["message_id"].as_i64().unwrap()];
    while received.len() < sent.len() {
        received.push(b.json().await["message_id"].as_i64().unwrap());
    }
    assert_eq!(received, sent);
    b.reads_nothing().await;
    // Live frames never have the aliases.
    say(&mut a, "personal", personal, "live").await;
    assert_eq!(keys(&hears(&mut b, "live").await), DOCUMENTED);
    // Reading on has confirmed it, so nothing comes again.
    b.reads_nothing().await;
    assert!(b.close().await.is_empty());
    let mut b = world.client_of(&bob).await;
    b.reads_nothing().await;
}

/// Conformance check 4: after a broken connection it comes again, with the same id; and so it
/// does after a proper goodbye, which anybody in between may say in the client's name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_confirmed_comes_again() {
    let world = post_office().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let mut a = world.client_of(&ann).await;
    let id = open_personal(&mut a, &bob).await;
    let sent = say(&mut a, "personal", id, "Still there?").await;
    for _ in 0..3 {
        // Reading one frame answers no ping behind it.
        let mut b = world.client_of(&bob).await;
        assert_eq!(hears(&mut b, "Still there?").await["message_id"], json!(sent));
        b.vanish();
        let mut b = world.client_of(&bob).await;
        assert_eq!(hears(&mut b, "Still there?").await["message_id"], json!(sent));
        b.close().await;
    }
    let mut b = world.client_of(&bob).await;
    hears(&mut b, "Still there?").await;
    b.reads_nothing().await;
    b.close().await;
    let mut b = world.client_of(&bob).await;
    b.reads_nothing().await;
    // What a client has seen it has received.
    say(&mut a, "personal", id, "seen").await;
    let seen = hears(&mut b, "seen").await["message_id"].clone();
    b.send_json(&json!({"message_id": seen, "type": "seen"})).await;
    b.send("probe").await;
    assert_eq!(b.json().await["code"], "bad_format");
    b.vanish();
    let mut b = world.client_of(&bob).await;
    b.reads_nothing().await;
}

/// Conformance check 6.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_while_the_backlog_runs_comes_behind_it_and_once() {
    let world = post_office().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let (mut a, mut again) = (world.client_of(&ann).await, world.client_of(&ann).await);
    let id = open_personal(&mut a, &bob).await;
    // More than the buffers between the two ends hold, so that the backlog cannot be out.
    let long = "x".repeat(8000);
    for number in 0..2000 {
        let message = json!({"msg": format!("{number} {long}"), "conv_id": id, "type": "personal"});
        a.send_json(&message).await;
        if number % 100 == 99 {
            for _ in 0..100 {
                a.json().await;
            }
        }
    }
    let mut b = world.client_of(&bob).await;
    for number in 0..10 {
        let words = b.json().await["msg"].as_str().unwrap().to_owned();
        assert!(words.starts_with(&format!("{number} ")));
    }
    for number in 2000..2010 {
        let words = format!("{number} late");
        say(&mut again, "personal", id, &words).await;
    }
    for number in 10..2010 {
        let words = b.json().await["msg"].as_str().unwrap().to_owned();
        assert!(words.starts_with(&format!("{number} ")), "{number}: {}", &words[..20]);
    }
    b.reads_nothing().await;
}

/// Frames behind the first one are handled after what waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_right_behind_the_first_wait_for_the_backlog() {
    let world = post_office().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let mut a = world.client_of(&ann).await;
    let id = open_personal(&mut a, &bob).await;
    for number in 0..450 {
        say(&mut a, "personal", id, &number.to_string()).await;
    }
    let mut b = world.stranger_to_letters("?extras=1").await;
    b.send(bob.id.to_string()).await;
    b.send_json(&json!({"msg": "mine", "conv_id": id, "type": "personal"})).await;
    b.send_json(&json!({"type": "conv_info", "conv_id": id})).await;
    assert_eq!(b.text().await, format!("user id {} received", bob.id));
    for number in 0..450 {
        hears(&mut b, &number.to_string()).await;
    }
    b.reads(json!({"type": "backlog_done", "count": 450})).await;
    assert_eq!(keys(&b.json().await), ["message_id"]);
    assert_eq!(b.json().await["type"], "conv_info");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_put_out_or_came_later_gets_nothing_that_is_not_theirs() {
    let world = post_office().await;
    let (ann, bob, cy) =
        (world.person("ann").await, world.person("bob").await, world.person("cy").await);
    let mut a = world.client_of(&ann).await;
    let id = open_group(&mut a, &[&ann, &bob]).await;
    say(&mut a, "group", id, "before cy").await;
    let invite = json!({"token": ann.token, "conversation_id": id, "email": cy.email});
    world.ok("/conversation/invite", invite).await;
    say(&mut a, "group", id, "with cy").await;
    let kick = json!({"token": ann.token, "conversation_id": id, "email": bob.email});
    world.ok("/conversation/kick", kick).await;
    say(&mut a, "group", id, "without bob").await;
    let mut b = world.client_of(&bob).await;
    b.reads_nothing().await;
    b.send_json(&json!({"msg": "let me in", "conv_id": id, "type": "group"})).await;
    assert_eq!(b.json().await["code"], "conversation_not_found");
    let mut c = world.client_of(&cy).await;
    assert_eq!(words_waiting(&mut c).await, ["with cy", "without bob"]);
}

/// 9.3: the state is per user, but what is read elsewhere waits for a courier client all the
/// same, once it has ever been one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_other_dialects_have_read_waits_for_who_uses_letters() {
    for (backlog, waiting) in [(Backlog::PerDialect, &["later"][..]), (Backlog::PerUser, &[])] {
        let world = with(|settings| settings.courier.backlog = backlog).await;
        let (ann, mut bob) = (world.person("ann").await, world.person("bob").await);
        let mut a = world.client_of(&ann).await;
        let id = open_personal(&mut a, &bob).await;
        let read = async |bob: &mut Person, seq: i64| {
            let read = json!({"conversation_id": id, "seq": seq});
            bob.asks("read", read).await;
        };
        say(&mut a, "personal", id, "earlier").await;
        bob.joins(id).await;
        read(&mut bob, 1).await;
        // Bob has never been a courier client: what he has read does not wait for him.
        let mut b = world.client_of(&bob).await;
        b.reads_nothing().await;
        b.close().await;
        say(&mut a, "personal", id, "later").await;
        read(&mut bob, 2).await;
        let mut b = world.client_of(&bob).await;
        assert_eq!(words_waiting(&mut b).await, waiting, "{backlog:?}");
        // A close proves nothing: until an answered ping has confirmed it, it comes again.
        let confirmed = async {
            loop {
                b.drain().await;
                b.close().await;
                b = world.client_of(&bob).await;
                let again = words_waiting(&mut b).await;
                if again.is_empty() {
                    break;
                }
                assert_eq!(again, waiting, "{backlog:?}");
            }
        };
        tokio::time::timeout(DEADLINE, confirmed).await.expect("it is confirmed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn written_can_count_as_delivered() {
    let world = with(|settings| settings.courier.delivery_confirm = DeliveryConfirm::Write).await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let mut a = world.fan_of(&ann).await;
    a.json().await;
    let id = open_personal(&mut a, &bob).await;
    for words in ["waiting", "waiting too"] {
        say(&mut a, "personal", id, words).await;
    }
    let mut b = world.client_of(&bob).await;
    hears(&mut b, "waiting").await;
    let delivered = a.json().await;
    assert_eq!(delivered["type"], "delivered");
    assert_eq!(delivered["message_id"].as_array().unwrap().len(), 2);
    b.vanish();
    let mut b = world.client_of(&bob).await;
    b.reads_nothing().await;
    say(&mut a, "personal", id, "live").await;
    assert_eq!(a.json().await["type"], "delivered");
    b.vanish();
    let mut b = world.client_of(&bob).await;
    b.reads_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_aliases_can_be_left_out() {
    let world = with(|settings| settings.courier.backlog_aliases = false).await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let mut a = world.client_of(&ann).await;
    let id = open_personal(&mut a, &bob).await;
    say(&mut a, "personal", id, "hi").await;
    let mut b = world.client_of(&bob).await;
    assert_eq!(keys(&hears(&mut b, "hi").await), DOCUMENTED);
}

/// RULINGS 62: broken while messages flow, again and again; everything comes at least once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_breaks_off_misses_nothing() {
    const MESSAGES: i64 = 400;
    // Connections that have broken off count until the server notices.
    let world = with(|settings| settings.limits.sockets_per_user = 100.try_into().unwrap()).await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let mut a = world.client_of(&ann).await;
    let id = open_personal(&mut a, &bob).await;
    let sending = tokio::spawn(async move {
        for number in 0..MESSAGES {
            say(&mut a, "personal", id, &number.to_string()).await;
        }
    });
    let mut times: BTreeMap<i64, u32> = BTreeMap::new();
    let (mut last, mut patience) = (-1, 1);
    while last < MESSAGES - 1 {
        let mut b = world.client_of(&bob).await;
        let mut before = -1;
        for _ in 0..patience {
            let Some(Heard::Text(text)) = b.next_within(Duration::from_secs(20)).await else {
                break;
            };
            let frame: Value = serde_json::from_str(&text).unwrap();
            let number: i64 = frame["msg"].as_str().unwrap().parse().unwrap();
            assert!(number > before, "{number} behind {before}");
            before = number;
            *times.entry(number).or_default() += 1;
            if number == MESSAGES - 1 {
                break;
            }
        }
        last = last.max(before);
        patience += 7;
        b.vanish();
    }
    sending.await.unwrap();
    assert_eq!(times.len() as i64, MESSAGES);
}

/// RULINGS 62: also when the server is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_server_was_killed_nothing_is_missing() {
    let site = Site::new().set("LIMITS__FRAMES_PER_SECOND", "10000");
    let mut tokens = Vec::new();
    for name in ["ann", "bob"] {
        tokens.push(site.person(name).await);
    }
    let open = async |url: &str, token: &str| {
        let url = format!("{}/courier", url.replace("http", "ws"));
        let mut client = Raw::connect(&url, &[]).await;
        client.send(token).await;
        client.text().await;
        client
    };
    let server = site.start().await;
    let (mut a, mut b) = (open(&server.url, &tokens[0]).await, open(&server.url, &tokens[1]).await);
    let begin = json!({"conv_id": "x", "member": [2], "type": "init_personal"});
    a.send_json(&begin).await;
    let id = a.json().await["db_conv_id"].as_i64().unwrap();
    for number in 0..30 {
        say(&mut a, "personal", id, &number.to_string()).await;
    }
    // Ten are read; whatever the pings have confirmed by then need not come again.
    for number in 0..10 {
        hears(&mut b, &number.to_string()).await;
    }
    server.kill().await;
    let server = site.start().await;
    let mut b = open(&server.url, &tokens[1]).await;
    let mut heard = Vec::new();
    while heard.last() != Some(&29) {
        heard.push(b.json().await["msg"].as_str().unwrap().parse::<i64>().unwrap());
    }
    assert!(heard[0] <= 10, "{heard:?}");
    assert!(heard.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{heard:?}");
    b.reads_nothing().await;
}

/// A message changed or removed before it was delivered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_is_what_is_left_of_it() {
    let world: World = post_office().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let mut a = world.client_of(&ann).await;
    let id = open_personal(&mut a, &bob).await;
    let edited = say(&mut a, "personal", id, "first").await;
    let removed = say(&mut a, "personal", id, "gone").await;
    let edit = json!({"token": ann.token, "message_id": edited, "text_content": "second"});
    world.ok("/message/update", edit).await;
    let remove = json!({"token": ann.token, "message_id": removed});
    world.ok("/message/delete", remove).await;
    let mut b = world.client_of(&bob).await;
    assert_eq!(words_waiting(&mut b).await, ["second"]);
}
