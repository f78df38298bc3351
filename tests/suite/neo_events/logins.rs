//! Who a connection speaks for: authenticating again, several connections, and logins that
//! end while connections live (RULINGS 29 to 34, 70).

use std::time::{Duration, Instant};

use serde_json::json;

use super::Home;
use crate::support::world::{Peer, World};

/// The connection is open, speaks for nobody, and hears nothing.
async fn is_unbound(home: &mut Home, peer: &mut Peer) {
    peer.heard().await;
    let refused = peer.ask("join_conversation", home.here()).await;
    assert_eq!(refused["code"], "unidentified");
    peer.expect("error").await;
    home.ann.peer.heard().await;
    home.ann.peer.succeed("message", home.words("psst")).await;
    home.ann.peer.expect("message").await;
    let call = json!({ "user_id": home.bob.id, "message": "CALLING" });
    home.ann.peer.emit("webrtc_forward", call);
    home.ann.peer.heard().await;
    peer.quiet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn authenticating_again_is_answered_each_time_and_keeps_the_rooms() {
    let mut home = Home::open().await;
    for _ in 0..3 {
        let token = json!({ "token": home.bob.token });
        assert_eq!(home.bob.peer.succeed("authenticate", token).await, "User authenticated");
    }
    let again = home.world.log_in(&home.bob.email, "secret").await;
    home.bob.peer.succeed("authenticate", json!({ "token": again })).await;
    home.ann.peer.succeed("message", home.words("heard once")).await;
    home.ann.peer.expect("message").await;
    assert_eq!(home.bob.peer.heard().await.len(), 1);
    // It now lives as long as the login shown last.
    home.world.ok("/account/logout", json!({ "token": home.bob.token })).await;
    home.ann.peer.succeed("message", home.words("still heard")).await;
    assert_eq!(home.bob.peer.heard().await.len(), 1);
    home.world.ok("/account/logout", json!({ "token": again })).await;
    let mut peer = std::mem::replace(&mut home.bob.peer, home.world.stranger().await);
    is_unbound(&mut home, &mut peer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn authenticating_as_somebody_else_leaves_the_rooms() {
    let mut home = Home::open().await;
    let mut shared = home.world.peer(&home.bob.token).await;
    shared.join(home.conversation).await;
    shared.join_circle(home.circle).await;
    shared.succeed("authenticate", json!({ "token": home.ann.token })).await;
    home.bob.peer.succeed("message", home.words("to the room")).await;
    shared.quiet().await;
    // Signals follow the account.
    let call = json!({ "user_id": home.ann.id, "message": "CALLING" });
    home.bob.peer.emit("webrtc_forward", call);
    home.bob.peer.heard().await;
    assert_eq!(shared.heard().await.len(), 2);
    let call = json!({ "user_id": home.bob.id, "message": "CALLING" });
    home.ann.peer.emit("webrtc_forward", call);
    home.ann.peer.heard().await;
    shared.quiet().await;
    shared.join(home.conversation).await;
    shared.succeed("message", home.words("from ann")).await;
    assert_eq!(shared.expect("message").await["sender"]["id"], home.ann.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_authenticate_changes_nothing() {
    let world = World::with(|settings| {
        settings.auth.token_lifetime = serde_json::from_value(json!(1)).unwrap();
    })
    .await;
    let late = world.person("late").await.token;
    let started = Instant::now();
    drop(world);
    let mut home = Home::open().await;
    let ended = home.world.log_in(&home.bob.email, "secret").await;
    home.world.ok("/account/logout", json!({ "token": ended })).await;
    assert!(started.elapsed() < Duration::from_mins(5));
    for (token, said) in [
        (json!("x"), "User not found"),
        (json!(""), "User not found"),
        (json!(late), "User not found"),
        (json!(format!("{}x", home.bob.token)), "User not found"),
        (json!(ended), "Invalid token"),
    ] {
        let error = home.bob.peer.fail("authenticate", json!({ "token": token })).await;
        assert_eq!(error, said, "{token}");
    }
    for wrong in [json!({}), json!({ "token": 7 }), json!({ "token": null }), json!("x")] {
        home.bob.peer.fail("authenticate", wrong).await;
    }
    home.ann.peer.succeed("message", home.words("still there?")).await;
    home.bob.peer.expect("message").await;
    home.bob.peer.succeed("message", home.words("yes")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_is_no_user() {
    let world = World::with(|settings| {
        settings.auth.token_lifetime = serde_json::from_value(json!(1)).unwrap();
    })
    .await;
    let mut sam = world.person("sam").await;
    // Its lifetime is a second; when it is over, HTTP says so first.
    let deadline = Instant::now() + Duration::from_secs(20);
    while world.post("/token/verify", json!({ "token": sam.token })).await.0 != 401 {
        assert!(Instant::now() < deadline, "the token does not expire");
    }
    let mut late = world.stranger().await;
    let error = late.fail("authenticate", json!({ "token": sam.token })).await;
    assert_eq!(error, "User not found");
    // Who was there before stays bound (RULINGS 70).
    sam.peer.fail("authenticate", json!({ "token": sam.token })).await;
    sam.peer.say(r#"42["webrtc_credentials"]"#);
    assert!(sam.peer.expect("webrtc_config").await.is_object());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_online_while_one_connection_is_left() {
    let mut home = Home::open().await;
    let mut phone = home.world.peer(&home.bob.token).await;
    let ask = json!({ "token": home.ann.token, "user_id": home.bob.id });
    let online = async |home: &Home| {
        home.world.ok("/user/info", ask.clone()).await["content"]["isOnline"].clone()
    };
    assert_eq!(online(&home).await, true);
    phone.say(r#"42["disconnect"]"#);
    phone.ended().await;
    assert_eq!(online(&home).await, true);
    home.bob.peer.say(r#"42["disconnect"]"#);
    home.bob.peer.ended().await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while online(&home).await == true {
        assert!(Instant::now() < deadline, "bob is still online");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_logout_unbinds_the_connections_of_that_login_alone() {
    let mut home = Home::open().await;
    let other = home.world.log_in(&home.bob.email, "secret").await;
    let mut phone = home.world.peer(&other).await;
    phone.join(home.conversation).await;
    home.world.ok("/account/logout", json!({ "token": other })).await;
    is_unbound(&mut home, &mut phone).await;
    assert!(!home.bob.peer.heard().await.is_empty());
    phone.succeed("authenticate", json!({ "token": home.bob.token })).await;
    phone.join(home.conversation).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_ends_the_other_logins_at_once() {
    let mut home = Home::open().await;
    let other = home.world.log_in(&home.bob.email, "secret").await;
    let mut phone = home.world.peer(&other).await;
    phone.join(home.conversation).await;
    let change = json!({
        "token": home.bob.token, "email": home.bob.email, "previous_password": "secret",
        "new_password": "secret2",
    });
    home.world.ok("/account/modify/password", change).await;
    is_unbound(&mut home, &mut phone).await;
    let said = phone.fail("authenticate", json!({ "token": other })).await;
    assert_eq!(said, "Invalid token");
    // The one that asked goes on.
    assert!(!home.bob.peer.heard().await.is_empty());
    home.bob.peer.succeed("message", home.words("me again")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deactivation_by_another_process_ends_live_connections_unasked() {
    let mut home = Home::open().await;
    let mut phone = home.world.peer(&home.bob.token).await;
    phone.join(home.conversation).await;
    home.world.command(&["user", "set", &home.bob.id.to_string(), "--no-active"]);
    let done = Instant::now();
    // Over HTTP and at a new connection at once.
    let info = home.world.post("/user/info", json!({ "token": home.bob.token })).await;
    assert_eq!(info.0, 401);
    let mut late = home.world.stranger().await;
    late.fail("authenticate", json!({ "token": home.bob.token })).await;
    for peer in [&mut home.bob.peer, &mut phone] {
        loop {
            peer.say(r#"42["webrtc_credentials"]"#);
            if peer.event().await.0 == "error" {
                break;
            }
            // Two seconds are promised; a busy machine may be late with its looks.
            assert!(done.elapsed() < Duration::from_secs(5), "bob still speaks");
        }
    }
    is_unbound(&mut home, &mut phone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_connections_of_one_user_are_refused_and_change_nothing() {
    let world = World::with(|settings| {
        settings.limits.sockets_per_user = 2.try_into().unwrap();
    })
    .await;
    let mut home = Home::in_world(world).await;
    let mut second = home.world.peer(&home.bob.token).await;
    let mut third = home.world.peer(&home.ann.token).await;
    third.join(home.conversation).await;
    third.fail("authenticate", json!({ "token": home.bob.token })).await;
    // Still Ann, and still in the room.
    home.bob.peer.succeed("message", home.words("ann?")).await;
    third.expect("message").await;
    third.succeed("message", home.words("yes")).await;
    assert_eq!(third.expect("message").await["sender"]["id"], home.ann.id);
    // A place that becomes free is free.
    second.say(r#"42["disconnect"]"#);
    second.ended().await;
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        third.emit("authenticate", json!({ "token": home.bob.token }));
        if third.event().await.0 == "success" {
            break;
        }
        assert!(Instant::now() < deadline, "the place does not become free");
    }
}
