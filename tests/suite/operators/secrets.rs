//! No filter makes the log write what clients send to prove who they are.

use serde_json::{Value, json};

use crate::support::raw::Raw;
use crate::support::site::{Site, Wire};

const PASSWORD: &str = "correct-horse-battery";

/// Everything that makes the server see a secret.
async fn show_secrets(site: &Site, url: &str) -> Vec<String> {
    let sockets = url.replace("http", "ws");
    let client = reqwest::Client::new();
    let post = async |path: &str, body: Value| {
        client.post(format!("{url}{path}")).json(&body).send().await.unwrap()
    };
    let new = json!({
        "email": "bob@example.org", "password": PASSWORD, "first_name": "Bob", "last_name": "Lee",
        "birthday": "1990-12-25",
    });
    assert_eq!(post("/account/create", new).await.status(), 201);
    let login = json!({ "email": "bob@example.org", "password": PASSWORD });
    let bob: Value = post("/account/login", login).await.json().await.unwrap();
    let bob = bob["token"].as_str().unwrap().to_owned();
    let ann = site.run(&["user", "token", "ann@example.org"]).await;
    let session = site.run(&["session", "add", "ann@example.org"]).await;
    let session: Value = serde_json::from_str(&session).unwrap();
    let key = session["session_key"].as_str().unwrap().to_owned();
    let cookie = session["sessionid"].as_str().unwrap().to_owned();

    // Socket.IO by WebSocket, and by polling.
    let mut wire = Wire::open(url, &ann).await.unwrap();
    wire.ask("webrtc_ice_servers", &json!({})).await.unwrap();
    let polling = format!("{url}/socket.io/?EIO=4&transport=polling");
    let opened = client.get(&polling).send().await.unwrap().text().await.unwrap();
    let opened: Value = serde_json::from_str(&opened[1..]).unwrap();
    let polling = format!("{polling}&sid={}", opened["sid"].as_str().unwrap());
    let packets =
        format!("40{{\"token\":\"{ann}\"}}\x1e42[\"authenticate\",{{\"token\":\"{bob}\"}}]");
    client.post(&polling).body(packets).send().await.unwrap();
    client.get(&polling).send().await.unwrap();

    let mut members =
        Raw::connect(&format!("{sockets}/members/chat/?other_member_id=2"), &[]).await;
    members.send(format!("Bearer {ann}")).await;
    members.next().await;
    let mut courier = Raw::connect(&format!("{sockets}/courier"), &[]).await;
    courier.send(json!({ "token": ann }).to_string()).await;
    courier.next().await;
    let mut courier = Raw::connect(&format!("{sockets}/courier?token={bob}"), &[]).await;
    courier.send("2").await;
    courier.next().await;
    let mut rooms = Raw::connect(&format!("{sockets}/chat/stream/?token={ann}"), &[]).await;
    rooms.send(json!({ "command": "join", "room": 1 }).to_string()).await;
    rooms.next().await;
    let header = format!("sessionid={cookie}");
    drop(Raw::connect(&format!("{sockets}/chat/stream/"), &[("cookie", &header)]).await);
    let mut pair = Raw::connect(&format!("{sockets}/private-chat/{key}/bob"), &[]).await;
    pair.send_json(&json!({ "type": "check-online" })).await;
    pair.next().await;
    let page = client.get(format!("{url}/dialogs/")).header("cookie", header).send().await.unwrap();
    assert_eq!(page.status(), 200);
    vec![PASSWORD.to_owned(), ann, bob, key, cookie]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_loudest_log_holds_no_secret() {
    let named = "info,tungstenite=trace,tokio_tungstenite=trace,engineioxide=trace,\
                 socketioxide=trace,socketioxide_core=trace,hyper=trace,hyper_util=trace,h2=trace,\
                 tower=trace,axum=trace,sqlx=trace,sqlx::query=trace,sea_orm=trace,\
                 sea_orm::database=trace,rustls=trace,tokio=trace,turn=trace,stun=trace,\
                 [{token}]=trace";
    for filter in ["trace", named] {
        let site = Site::new().set("LOG", filter);
        site.run(&["user", "add", "ann@example.org"]).await;
        let server = site.start().await;
        let secrets = show_secrets(&site, &server.url).await;
        server.terminate();
        assert!(server.ended().await.success());
        let log = site.log();
        for secret in &secrets {
            assert!(!log.contains(secret.as_str()), "{filter}: {secret} stands in\n{log}");
        }
        // Our own words are written as ever.
        assert!(filter != "trace" || log.contains("DEBUG"), "{log}");
        assert!(!log.contains("Bearer ") && !log.contains("\"authenticate\""), "{log}");
    }
}
