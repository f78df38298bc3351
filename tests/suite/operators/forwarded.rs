//! Whose a request is behind proxies, and who is taken for a program of this machine.

use reqwest::StatusCode;
use serde_json::json;

use crate::support::world::World;

async fn behind(proxies: &[&str]) -> World {
    let proxies = json!(proxies);
    World::with(|settings| {
        settings.http.trusted_proxies = serde_json::from_value(proxies).unwrap();
    })
    .await
}

/// A failed login, as a proxy hands it on.
async fn fail(world: &World, account: &str, forwarded: Option<&str>) -> StatusCode {
    let client = reqwest::Client::new();
    let body = json!({ "email": account, "password": "wrong" });
    let mut request = client.post(format!("{}/account/login", world.url())).json(&body);
    if let Some(line) = forwarded {
        request = request.header("x-forwarded-for", line);
    }
    request.send().await.unwrap().status()
}

async fn is_slowed(world: &World, account: &str, forwarded: Option<&str>) -> bool {
    fail(world, account, forwarded).await == StatusCode::TOO_MANY_REQUESTS
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_behind_a_gateway_has_limits_of_their_own() {
    let world = behind(&["127.0.0.0/8"]).await;
    let account = "nobody@example.org";
    // The port is another one with each connection.
    for port in 51_100..51_110 {
        assert!(!is_slowed(&world, account, Some(&format!("203.0.113.1:{port}"))).await);
    }
    for same in [
        "203.0.113.1:60000",
        "203.0.113.1",
        "\"203.0.113.1:1\"",
        "::ffff:203.0.113.1",
        "[::ffff:203.0.113.1]:7",
        " 203.0.113.1 ",
        "9.9.9.9, 203.0.113.1:5, 127.0.0.3:80",
    ] {
        assert!(is_slowed(&world, account, Some(same)).await, "{same}");
    }
    for other in ["203.0.113.2:51101", "[2001:db8::1]:51101", "203.0.113.1, 203.0.113.9"] {
        assert!(!is_slowed(&world, account, Some(other)).await, "{other}");
    }
    // What cannot be read is neither the proxy nor anybody that can.
    for unreadable in ["unknown", "203.0.113.1:x", "_a", "[::1", "chat.example"] {
        for _ in 0..2 {
            assert!(!is_slowed(&world, account, Some(unreadable)).await, "{unreadable}");
        }
    }
    assert!(is_slowed(&world, account, Some("hidden")).await);
    assert!(!is_slowed(&world, account, None).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_trusted_is_not_believed() {
    let world = behind(&["10.0.0.0/8"]).await;
    for n in 1..=10 {
        let line = format!("203.0.113.{n}");
        assert!(!is_slowed(&world, "nobody@example.org", Some(&line)).await);
    }
    assert!(is_slowed(&world, "nobody@example.org", Some("203.0.113.99")).await);
}
