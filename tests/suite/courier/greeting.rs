//! The first message, and who is let in by it.

use std::time::Duration;

use klatsch::settings::TrustUserId;
use serde_json::json;

use super::{post_office, setting, with};
use crate::support::programs::skipped;
use crate::support::raw::{Heard, Raw};
use crate::support::server::{Running, klatsch};
use crate::support::world::World;

/// Sends a first message; what is heard first.
async fn first(world: &World, query: &str, headers: &[(&str, &str)], text: &str) -> Heard {
    let mut client = Raw::connect(&world.courier_url(query), headers).await;
    client.send(text).await;
    client.next().await
}

fn received(id: i64) -> Heard {
    Heard::Text(format!("user id {id} received"))
}

fn refused(reason: &str) -> Heard {
    Heard::Closed(1008, reason.to_owned())
}

/// Conformance check 1, trust on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bare_number_is_believed_where_operators_trust_it() {
    for trust in [TrustUserId::Local, TrustUserId::Always] {
        let world = with(|settings| settings.courier.trust_user_id = trust).await;
        let ann = world.person("ann").await;
        let id = ann.id;
        for text in [
            format!("{id}"),
            format!("\"{id}\""),
            format!("{{\"user_id\": {id}}}"),
            format!("{{\"user_id\": \"{id}\"}}"),
            format!("00{id}"),
            format!(" {id}\n"),
        ] {
            assert_eq!(first(&world, "", &[], &text).await, received(id), "{text}");
        }
        let mut bytes = world.stranger_to_letters("").await;
        bytes.send_bytes(id.to_string().into_bytes()).await;
        assert_eq!(bytes.next().await, received(id));
        assert_eq!(first(&world, "", &[], "99").await, refused("unknown user id"));
        for text in ["abc", "", "0", "-1", "[1]", "{}", "12345678901234567"] {
            let heard = first(&world, "", &[], text).await;
            assert_eq!(heard, refused("authorization required"), "{text:?}");
        }
    }
}

/// Conformance check 1, trust off.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_trust_a_token_is_needed() {
    let world = with(|settings| settings.courier.trust_user_id = TrustUserId::Never).await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let (id, token) = (ann.id, ann.token.as_str());
    // Whether there is such a user is not told.
    for text in [format!("{id}"), "99".to_owned()] {
        assert_eq!(first(&world, "", &[], &text).await, refused("bare user id refused"));
    }
    for text in [
        token.to_owned(),
        format!("Bearer {token}"),
        format!("bearer {token}"),
        json!({"token": token}).to_string(),
        json!({"access_token": token}).to_string(),
        json!({"token": token, "user_id": id}).to_string(),
    ] {
        assert_eq!(first(&world, "", &[], &text).await, received(id), "{text}");
    }
    let query = format!("?token={token}");
    let bearer = format!("Bearer {token}");
    let header = [("authorization", bearer.as_str())];
    assert_eq!(first(&world, &query, &[], &format!("{id}")).await, received(id));
    assert_eq!(first(&world, "", &header, &format!("{id}")).await, received(id));
    assert_eq!(first(&world, &query, &[], token).await, received(id));

    let mismatch = || refused("user mismatch");
    assert_eq!(first(&world, &query, &[], &format!("{}", bob.id)).await, mismatch());
    assert_eq!(first(&world, &query, &[], &bob.token).await, mismatch());
    let other = json!({"token": token, "user_id": bob.id}).to_string();
    assert_eq!(first(&world, "", &[], &other).await, mismatch());
    assert_eq!(first(&world, "", &[], "a.b.c").await, refused("invalid token"));
    // A bad token in the handshake is told at once.
    let mut client = world.stranger_to_letters("?token=a.b.c").await;
    assert_eq!(client.next().await, refused("invalid token"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn local_trust_ends_at_this_machine_and_at_foreign_pages() {
    let world = post_office().await;
    let ann = world.person("ann").await;
    let id = ann.id.to_string();
    let table = [
        (("origin", "http://localhost:8000"), true),
        (("origin", "http://127.0.0.1"), true),
        (("origin", "http://[::1]:3000"), true),
        (("origin", "https://evil.example"), false),
        (("origin", "http://localhost.evil.example"), false),
        (("origin", "null"), false),
        (("x-forwarded-for", "127.0.0.1"), false),
        (("forwarded", "for=127.0.0.1"), false),
        (("x-real-ip", "127.0.0.1"), false),
        (("x-forwarded-proto", "http"), false),
        (("x-forwarded-host", "chat.example"), false),
        (("X-Forwarded-Port", "3128"), false),
        (("via", "1.1 varnish"), false),
    ];
    for (header, believed) in table {
        let heard = first(&world, "", &[header], &id).await;
        let wanted = if believed { received(ann.id) } else { refused("bare user id refused") };
        assert_eq!(heard, wanted, "{header:?}");
    }
    let networks = with(|settings| {
        settings.courier.trust_user_id = TrustUserId::Always;
        settings.courier.trusted_networks = setting(json!(["10.0.0.0/8"]));
    });
    let world = networks.await;
    let ann = world.person("ann").await;
    let heard = first(&world, "", &[], &ann.id.to_string()).await;
    assert_eq!(heard, refused("bare user id refused"));
    assert_eq!(first(&world, "", &[], &ann.token).await, received(ann.id));
}

/// What a bare id is answered at an address.
async fn greet(url: &str, id: i64) -> Heard {
    let mut client = Raw::connect(url, &[]).await;
    client.send(id.to_string()).await;
    client.next().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forwarder_on_this_machine_is_not_the_programs_behind_it() {
    // The main listener is where forwarders lead, whether or not they say that they are some.
    let world = post_office().await;
    let ann = world.person("ann").await;
    for path in ["courier", "courier/", "/courier", "courier?extras=1"] {
        let heard = greet(&format!("ws://{}/{path}", world.address), ann.id).await;
        assert_eq!(heard, refused("bare user id refused"), "{path}");
    }
    assert_eq!(greet(&world.courier_url(""), ann.id).await, received(ann.id));
    // Where clients come by a public address, or from a proxy that is known, nobody is local.
    let published = with(|settings| settings.public_url = setting(json!("http://localhost:8000")));
    let proxied = with(|settings| settings.http.trusted_proxies = setting(json!(["127.0.0.0/8"])));
    for world in [published.await, proxied.await] {
        let ann = world.person("ann").await;
        let heard = greet(&world.courier_url(""), ann.id).await;
        assert_eq!(heard, refused("bare user id refused"));
        assert_eq!(first(&world, "", &[], &ann.token).await, received(ann.id));
    }
    let always = with(|settings| {
        settings.courier.trust_user_id = TrustUserId::Always;
        settings.public_url = setting(json!("https://chat.example"));
    });
    let world = always.await;
    let ann = world.person("ann").await;
    for url in [format!("ws://{}/courier", world.address), world.courier_url("")] {
        assert_eq!(greet(&url, ann.id).await, received(ann.id), "{url}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_calls_another_address_of_this_machine_is_not_local() {
    // Nothing is sent: the way out tells which address of ours is no loopback one.
    let out = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let ours = out.connect("192.0.2.1:9").and_then(|()| out.local_addr());
    let Some(ours) = ours.ok().map(|address| address.ip()).filter(|ip| !ip.is_loopback()) else {
        return skipped("a call to another address of this machine, for it has none");
    };
    let everywhere = with(|settings| settings.courier.listen = setting(json!("0.0.0.0:0")));
    let world = everywhere.await;
    let ann = world.person("ann").await;
    let port = world.port_of("courier").port();
    let heard = greet(&format!("ws://{ours}:{port}/"), ann.id).await;
    assert_eq!(heard, refused("bare user id refused"));
    assert_eq!(greet(&format!("ws://127.0.0.1:{port}/"), ann.id).await, received(ann.id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_other_origins_stay_outside_where_a_list_says_so() {
    let world = with(|settings| {
        settings.courier.allowed_origins = setting(json!(["https://chat.example"]));
    })
    .await;
    let url = world.courier_url("");
    let evil = Raw::try_connect(&url, &[("origin", "https://evil.example")]).await;
    assert_eq!(evil.err(), Some(403));
    assert!(Raw::try_connect(&url, &[("origin", "https://chat.example")]).await.is_ok());
    assert!(Raw::try_connect(&url, &[]).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_nothing_is_let_go() {
    let world = with(|settings| settings.courier.auth_timeout = setting(json!(1))).await;
    let mut client = world.stranger_to_letters("").await;
    assert_eq!(client.closed().await, (1008, "authorization timeout".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_path_of_its_port_is_courier_and_on_the_main_one_two() {
    let world = post_office().await;
    let ann = world.person("ann").await;
    let port = world.port_of("courier");
    let main = world.address;
    for url in [
        format!("ws://{port}"),
        format!("ws://{port}/any/path%20"),
        format!("ws://{port}//"),
        format!("ws://{main}/courier"),
        format!("ws://{main}/courier/"),
    ] {
        let mut client = Raw::connect(&url, &[]).await;
        client.send(ann.token.as_str()).await;
        assert_eq!(client.next().await, received(ann.id), "{url}");
    }
    for url in [format!("http://{port}/"), format!("http://{main}/courier")] {
        let answer = reqwest::get(&url).await.unwrap();
        assert_eq!(answer.status(), 426, "{url}");
        assert_eq!(answer.headers()["upgrade"], "websocket", "{url}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_that_ends_takes_its_connections_with_it() {
    let world = post_office().await;
    let (ann, admin) = (world.person("ann").await, world.person("root").await);
    let mut by_number = world.client_of(&ann).await;
    let mut by_token = world.stranger_to_letters("").await;
    by_token.send(ann.token.clone()).await;
    by_token.text().await;
    let change = json!({
        "token": world.log_in(&ann.email, "secret").await,
        "email": ann.email, "previous_password": "secret", "new_password": "secreter",
    });
    world.ok("/account/modify/password", change).await;
    let ended = (1008, "login ended".to_owned());
    assert_eq!(by_number.closed().await, ended);
    assert_eq!(by_token.closed().await, ended);

    // The next believed number has a login of its own again; deactivation ends that too.
    let mut client = world.client_of(&ann).await;
    world.promote(&admin);
    world.command(&["user", "set", &ann.id.to_string(), "--no-active"]);
    assert_eq!(client.closed().await, (1008, "user inactive".to_owned()));
    let heard = first(&world, "", &[], &ann.id.to_string()).await;
    assert_eq!(heard, refused("user inactive"));
    let heard = first(&world, "", &[], &admin.token).await;
    assert_eq!(heard, received(admin.id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_has_only_so_many_connections() {
    let world = with(|settings| settings.limits.sockets_per_user = 2.try_into().unwrap()).await;
    let ann = world.person("ann").await;
    // One is the Socket.IO connection of `person`.
    let held = world.client_of(&ann).await;
    let mut one_more = world.stranger_to_letters("").await;
    one_more.send(ann.id.to_string()).await;
    assert_eq!(one_more.closed().await.0, 1013);
    held.close().await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        match first(&world, "", &[], &ann.id.to_string()).await {
            heard if heard == received(ann.id) => break,
            heard => assert!(tokio::time::Instant::now() < deadline, "{heard:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trusting_everybody_is_shouted_about() {
    let trust = ("KLATSCH_COURIER__TRUST_USER_ID", "always");
    let server = tokio::task::spawn_blocking(move || Running::start_with(&[trust]));
    let server = server.await.unwrap();
    let page = reqwest::get(format!("{}/metrics", server.url)).await.unwrap().text().await.unwrap();
    let gauge = "klatsch_insecure_settings{setting=\"courier.trust_user_id\"} 1";
    assert!(page.contains(gauge), "{page}");
    let data = tempfile::tempdir().unwrap();
    let check =
        klatsch(data.path()).args(["check", "--json"]).env(trust.0, trust.1).output().unwrap();
    let said: serde_json::Value = serde_json::from_slice(&check.stdout).unwrap();
    let warnings = said["warnings"].to_string();
    assert!(warnings.contains("courier.trust_user_id"), "{warnings}");
}
