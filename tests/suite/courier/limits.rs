//! How much one client may claim, and how the server goes down.

use serde_json::json;

use super::{hears, open_group, open_personal, post_office, say, with};
use crate::support::raw::Heard;
use crate::support::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_too_fast_is_told_and_at_last_let_go() {
    let world = World::with(|settings| {
        settings.limits.frames_per_second = 1.try_into().unwrap();
        settings.limits.frames_burst = 5;
    })
    .await;
    let ann = world.person("ann").await;
    let mut a = world.client_of(&ann).await;
    for _ in 0..4 {
        a.send("{}").await;
        assert_eq!(a.json().await["code"], "bad_format");
    }
    let hasty = json!({"msg": "x", "conv_id": 7, "type": "personal", "client_ref": "r"});
    for _ in 0..250 {
        a.send_json(&hasty).await;
    }
    let mut refused = 0;
    loop {
        match a.next().await {
            Heard::Text(text) => {
                let error: serde_json::Value = serde_json::from_str(&text).unwrap();
                if error["code"] == "conversation_not_found" {
                    refused = 0;
                    continue;
                }
                assert_eq!(error["code"], "rate_limited");
                assert!(
                    error["retry_after_ms"].as_u64().is_some_and(|ms| (1..=1000).contains(&ms))
                );
                assert_eq!((&error["request"], &error["conv_id"]), (&json!("personal"), &json!(7)));
                assert_eq!(error["client_ref"], "r");
                refused += 1;
            }
            Heard::Closed(code, reason) => {
                assert_eq!((code, reason.as_str()), (1008, "flood"));
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(refused, 199);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_have_a_largest_size_and_users_a_pace_of_making_them() {
    let world = with(|settings| {
        settings.limits.group_members = 3.try_into().unwrap();
        settings.limits.groups_per_minute = 2.try_into().unwrap();
    })
    .await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let (cy, dan) = (world.person("cy").await, world.person("dan").await);
    let mut a = world.client_of(&ann).await;
    let group = |members: &[i64]| json!({"conv_id": 1, "member": members, "type": "init_group", "group_name": "G"});
    a.send_json(&group(&[bob.id, cy.id, dan.id])).await;
    let error = a.json().await;
    assert_eq!((&error["code"], &error["limit"]), (&json!("group_too_large"), &json!(3)));
    open_group(&mut a, &[&bob, &cy]).await;
    open_group(&mut a, &[&bob]).await;
    a.send_json(&group(&[bob.id])).await;
    let error = a.json().await;
    assert_eq!(error["code"], "rate_limited");
    assert!(error["retry_after_ms"].as_u64().is_some_and(|ms| ms > 0), "{error}");
    // Others are not slowed.
    let mut b = world.client_of(&bob).await;
    open_group(&mut b, &[&ann]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_cost_coins_where_operators_say_so() {
    let world = with(|settings| {
        settings.members_chat.billed_dialects = vec![klatsch::settings::BilledDialect::Courier];
        settings.members_chat.default_price = 5;
        settings.members_chat.initial_balance = 7;
    })
    .await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let (mut a, mut b) = (world.client_of(&ann).await, world.client_of(&bob).await);
    let id = open_personal(&mut a, &bob).await;
    say(&mut a, "personal", id, "paid").await;
    hears(&mut b, "paid").await;
    a.send_json(&json!({"msg": "too dear", "conv_id": id, "type": "personal"})).await;
    let error = a.json().await;
    assert_eq!(error["code"], "insufficient_balance");
    assert_eq!((&error["price"], &error["balance"]), (&json!(5), &json!(2)));
    b.reads_nothing().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_never_reads_is_let_go_and_finds_everything_later() {
    let world = with(|settings| {
        settings.limits.sink_bytes = (1 << 20).try_into().unwrap();
        settings.limits.sink_frames = 256.try_into().unwrap();
    })
    .await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let mut a = world.client_of(&ann).await;
    let id = open_personal(&mut a, &bob).await;
    let mut b = world.client_of(&bob).await;
    let long = "x".repeat(8000);
    for number in 0..1500 {
        say(&mut a, "personal", id, &format!("{number} {long}")).await;
    }
    let (mut heard, mut next) = (0, 0);
    let end = loop {
        match b.next().await {
            Heard::Text(text) => {
                let frame: serde_json::Value = serde_json::from_str(&text).unwrap();
                let words = frame["msg"].as_str().unwrap();
                assert!(words.starts_with(&format!("{heard} ")));
                heard += 1;
            }
            other => break other,
        }
    };
    assert!(matches!(end, Heard::Closed(1013, _) | Heard::Lost), "{end:?}");
    assert!(heard < 1500);
    b.vanish();
    let mut b = world.client_of(&bob).await;
    while next < 1499 {
        let frame = b.json().await;
        let words = frame["msg"].as_str().unwrap();
        next = words.split(' ').next().unwrap().parse().unwrap();
        assert!(next <= heard, "{next} behind {heard}");
        heard = heard.max(next + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn going_down_says_so_and_leaves_nothing_undelivered_twice() {
    let world = post_office().await;
    let ann = world.person("ann").await;
    let mut a = world.client_of(&ann).await;
    drop(world);
    assert_eq!(a.closed().await.0, 1001);
}
