//! What one account may claim: how often it asks, how many logins it has, how much it is shown.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::raw::{Heard, Raw};
use crate::support::site::Site;
use crate::support::world::World;

/// Above its pace an account is told to wait; nobody else is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_paced_per_account() {
    let world = World::with(|settings| {
        settings.limits.requests_per_second = 1.try_into().unwrap();
        settings.limits.requests_burst = 20;
    })
    .await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let http = reqwest::Client::new();
    let ask = async |token: &str| {
        let body = json!({ "token": token });
        let url = format!("{}/user/info", world.url());
        http.post(url).body(body.to_string()).send().await.expect("an answer")
    };
    let mut refused = None;
    // Far more than can be earned anew while this runs.
    for _ in 0..200 {
        let answer = ask(&ann.token).await;
        if answer.status() == 429 {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status(), 200);
    }
    let refused = refused.expect("too many in too short a time");
    let wait: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
    let body = refused.text().await.unwrap();
    assert!(body.contains("limits.requests_per_second"), "{body}");
    assert_eq!(ask(&bob.token).await.status(), 200);
    // The other API counts the same.
    let me = http.get(format!("{}/members/me", world.url())).bearer_auth(&ann.token);
    let mut last = 200;
    for _ in 0..200 {
        last = me.try_clone().unwrap().send().await.unwrap().status().as_u16();
        if last == 429 {
            break;
        }
    }
    assert_eq!(last, 429);
    tokio::time::sleep(Duration::from_secs(wait + 1)).await;
    assert_eq!(ask(&ann.token).await.status(), 200);
}

/// Those without an account share their address, which has ten times as much.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_are_paced_per_address() {
    let world = World::with(|settings| {
        settings.limits.requests_per_second = 1.try_into().unwrap();
        settings.limits.requests_burst = 4;
    })
    .await;
    let ann = world.person("ann").await;
    let mut statuses = Vec::new();
    for _ in 0..400 {
        let (status, _) = world.post("/email/available", json!({ "email": "x@y.z" })).await;
        statuses.push(status);
        if status == 429 {
            break;
        }
    }
    assert!(statuses.len() > 20, "ten times the burst of one account, less what came before");
    assert_eq!(statuses.last(), Some(&429));
    let (status, _) = world.post("/user/info", json!({ "token": ann.token })).await;
    assert_eq!(status, 200, "who has an account does not suffer from its neighbours");
}

/// Of more than a hundred logins the oldest end, and their connections with them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_has_a_hundred_logins_and_the_oldest_end() {
    let site = Site::new().set("LIMITS__REQUESTS_PER_SECOND", "10000");
    let first = site.person("ann").await;
    let server = site.start().await;
    let base = server.url.replace("http", "ws");
    let mut raw = Raw::connect(&format!("{base}/courier"), &[]).await;
    raw.send(first.clone()).await;
    raw.text().await;
    let second = site.run(&["user", "token", "ann@example.org"]).await;
    // As if it had logged in every second for weeks, before there was a limit.
    fill(&site, 1, 300);
    let third = site.run(&["user", "token", "ann@example.org"]).await;
    loop {
        if let Heard::Closed(code, reason) = raw.next().await {
            assert_eq!((code, reason.as_str()), (1008, "login ended"));
            break;
        }
    }
    assert_eq!(living(&site, 1), 100);
    let http = reqwest::Client::new();
    let mut found = Vec::new();
    for token in [first, second, third] {
        let me = http.get(format!("{}/members/me", server.url)).bearer_auth(token);
        found.push(me.send().await.unwrap().status().as_u16());
    }
    assert_eq!(found, [401, 401, 200]);
    server.kill().await;
}

/// A change of password and a deactivation end very many logins without keeping others waiting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_thousand_logins_end_while_others_write() {
    let site = Site::new();
    site.run(&["user", "add", "ann@example.org", "--password", "secret"]).await;
    let ann = site.run(&["user", "token", "ann@example.org"]).await;
    let bob = site.person("bob").await;
    let server = site.start().await;
    let http = reqwest::Client::new();
    fill(&site, 1, 100_000);
    let post = async |path: &str, body: serde_json::Value| {
        let url = format!("{}{path}", server.url);
        let answer = http.post(url).body(body.to_string()).send().await.expect("an answer");
        answer.status().as_u16()
    };
    let change = json!({
        "token": ann, "email": "ann@example.org", "previous_password": "secret",
        "new_password": "other",
    });
    let others = async {
        let mut slowest = Duration::ZERO;
        for number in 0..40 {
            let begun = Instant::now();
            let push = json!({ "token": bob, "android_token": format!("t{number}") });
            assert_eq!(post("/android/token", push).await, 200);
            slowest = slowest.max(begun.elapsed());
        }
        slowest
    };
    let begun = Instant::now();
    let (changed, slowest) = tokio::join!(post("/account/modify/password", change), others);
    assert_eq!(changed, 200);
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert!(slowest < Duration::from_secs(5), "others waited {slowest:?}");
    assert_eq!(living(&site, 1), 1, "the one that asked");
    fill(&site, 1, 100_000);
    site.run(&["user", "set", "ann@example.org", "--no-active"]).await;
    assert_eq!(living(&site, 1), 0);
    assert_eq!(post("/user/info", json!({ "token": ann })).await, 401);
    server.kill().await;
}

/// Puts living logins into a server's database from beside.
fn fill(site: &Site, user: i64, logins: i64) {
    let db = rusqlite::Connection::open(site.database()).unwrap();
    db.busy_timeout(Duration::from_secs(30)).unwrap();
    let words = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2)
        INSERT INTO logins (principal, kind, created_at, expires_at)
        SELECT ?1, 0, 0, 4000000000000000 FROM n";
    db.execute(words, [user, logins]).unwrap();
}

fn living(site: &Site, user: i64) -> i64 {
    let db = rusqlite::Connection::open(site.database()).unwrap();
    db.busy_timeout(Duration::from_secs(30)).unwrap();
    let words = "SELECT count(*) FROM logins WHERE principal = ?1 AND ended_at IS NULL";
    db.query_row(words, [user], |row| row.get(0)).unwrap()
}
