//! Polling as old and strange clients do it, request by request.

use std::time::Duration;

use klatsch::transport::socketio::SocketIoSettings;
use reqwest::{Client, Method, Response};

use super::Server;

fn sid_in(handshake: &str) -> String {
    let (_, rest) =
        handshake.split_once("sid\\\":\\\"").or(handshake.split_once("sid\":\"")).unwrap();
    rest[..16].to_owned()
}

async fn text(response: Response) -> String {
    assert_eq!(response.status(), 200);
    response.text().await.unwrap()
}

#[tokio::test]
async fn a_client_without_a_version_speaks_the_third() {
    let server = Server::start(SocketIoSettings::default()).await;
    let http = Client::new();
    let response = http.get(server.path("transport=polling&b64=1")).send().await.unwrap();
    let cookie = response.headers()["set-cookie"].to_str().unwrap().to_owned();
    let handshake = text(response).await;
    assert!(handshake.starts_with('1'), "{handshake}");
    let sid = sid_in(&handshake);
    assert_eq!(cookie, format!("io={sid}; Path=/; HttpOnly; SameSite=Lax"));
    let session = format!("transport=polling&b64=1&sid={sid}");
    assert_eq!(text(http.get(server.path(&session)).send().await.unwrap()).await, "2:40");
    let body = r#"11:42["a","é"]"#;
    let post = http.post(server.path(&session)).header("content-type", "text/plain").body(body);
    assert_eq!(text(post.send().await.unwrap()).await, "ok");
    let reply = text(http.get(server.path(&session)).send().await.unwrap()).await;
    assert_eq!(reply, r#"16:42["a","\u00e9"]"#);
}

#[tokio::test]
async fn bytes_may_come_as_text() {
    let settings = SocketIoSettings { event_bytes: 1000, ..SocketIoSettings::default() };
    let server = Server::start(settings).await;
    let http = Client::new();
    let handshake = http.get(server.path("EIO=3&transport=polling&b64=1")).send().await.unwrap();
    let session = format!("EIO=3&transport=polling&b64=1&sid={}", sid_in(&text(handshake).await));
    assert_eq!(text(http.get(server.path(&session)).send().await.unwrap()).await, "2:40");
    let head = r#"39:451-["a",{"_placeholder":true,"num":0}]"#;
    for (bytes, answer) in [("AQID".to_owned(), "Binary"), ("AQID".repeat(1000), "TooLarge")] {
        let body = format!("{head}{}:b4{bytes}", bytes.len() + 2);
        let post = http.post(server.path(&session)).header("content-type", "text/plain").body(body);
        assert_eq!(text(post.send().await.unwrap()).await, "ok");
        let reply = text(http.get(server.path(&session)).send().await.unwrap()).await;
        assert!(reply.ends_with(&format!("42[\"a\",\"{answer}\"]")), "{reply}");
    }
}

#[tokio::test]
async fn scripts_are_served_to_those_who_can_take_nothing_else() {
    let server = Server::start(SocketIoSettings::default()).await;
    let http = Client::new();
    let handshake =
        http.get(server.path("EIO=3&transport=polling&b64=1&j=0")).send().await.unwrap();
    assert_eq!(handshake.headers()["content-type"], "text/javascript; charset=UTF-8");
    let handshake = text(handshake).await;
    assert!(handshake.starts_with("___eio[0](\""), "{handshake}");
    let session = format!("EIO=3&transport=polling&b64=1&j=1&sid={}", sid_in(&handshake));
    let reply = text(http.get(server.path(&session)).send().await.unwrap()).await;
    assert_eq!(reply, r#"___eio[1]("2:40");"#);
    let form = "d=17%3A42%5B%22a%22%2C%22%C3%A9%5C%5Cn%F0%9F%98%80%22%5D";
    let post = http.post(server.path(&session)).body(form);
    let post = post.header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(post.send().await.unwrap().status(), 400, "the length is wrong on purpose");

    let handshake =
        text(http.get(server.path("EIO=3&transport=polling&b64=1&j=0")).send().await.unwrap())
            .await;
    let session = format!("EIO=3&transport=polling&b64=1&j=1&sid={}", sid_in(&handshake));
    text(http.get(server.path(&session)).send().await.unwrap()).await;
    let form = form.replacen("17", "15", 1);
    let post = http.post(server.path(&session)).body(form);
    let post = post.header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(text(post.send().await.unwrap()).await, "ok");
    let reply = text(http.get(server.path(&session)).send().await.unwrap()).await;
    assert_eq!(reply, r#"___eio[1]("30:42[\"a\",\"\\u00e9\\n\\ud83d\\ude00\"]");"#);
}

#[tokio::test]
async fn a_body_that_is_too_large_ends_its_session() {
    let settings = SocketIoSettings { untrusted_body_bytes: 1000, ..SocketIoSettings::default() };
    let server = Server::start(settings).await;
    let http = Client::new();
    for version in ["3&b64=1", "4"] {
        let handshake = http.get(server.path(&format!("EIO={version}&transport=polling")));
        let handshake = text(handshake.send().await.unwrap()).await;
        assert!(version != "4" || handshake.contains("\"maxPayload\":1000"), "{handshake}");
        let session = format!("EIO={version}&transport=polling&sid={}", sid_in(&handshake));
        if version == "4" {
            text(http.post(server.path(&session)).body("40").send().await.unwrap()).await;
        }
        text(http.get(server.path(&session)).send().await.unwrap()).await;
        assert_eq!(server.io.sessions(), 1);
        let post = http.post(server.path(&session)).body("x".repeat(2000)).send().await.unwrap();
        assert_eq!(post.status(), 413);
        server.until("it has ended", |server| server.io.sessions() == 0).await;
    }
}

#[tokio::test]
async fn many_small_packets_in_one_post_are_no_burden() {
    let server = Server::start(SocketIoSettings::default()).await;
    let http = Client::new();
    let handshake =
        text(http.get(server.path("EIO=3&transport=polling&b64=1")).send().await.unwrap()).await;
    let session = format!("EIO=3&transport=polling&sid={}", sid_in(&handshake));
    // Read by a decoder whose time grows with the square, this would take minutes.
    let body = "1:2".repeat(80_000);
    let post = http.post(server.path(&session)).body(body).timeout(Duration::from_mins(2));
    assert_eq!(text(post.send().await.unwrap()).await, "ok");
}

#[tokio::test]
async fn pages_may_read_the_answers_if_they_are_allowed_to_ask() {
    let here = "https://chat.example";
    let settings =
        SocketIoSettings { allowed_origins: vec![here.to_owned()], ..SocketIoSettings::default() };
    let server = Server::start(settings).await;
    let http = Client::new();
    let path = server.path("EIO=3&transport=polling");
    for method in [Method::GET, Method::OPTIONS] {
        let response =
            http.request(method.clone(), &path).header("origin", here).send().await.unwrap();
        assert!(response.status().is_success());
        assert_eq!(response.headers()["access-control-allow-origin"], here);
        assert_eq!(response.headers()["access-control-allow-credentials"], "true");
        let foreign = http.request(method, &path).header("origin", "https://evil.example");
        let response = foreign.send().await.unwrap();
        assert_eq!(response.status(), 403);
        assert!(!response.headers().contains_key("access-control-allow-origin"));
    }
    assert_eq!(http.get(&path).send().await.unwrap().status(), 200);
}
