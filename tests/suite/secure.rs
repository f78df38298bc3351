//! TLS on the main listener: every Socket.IO generation, raw sockets, the relay and the doctor
//! by it, and nothing without it.

use std::process::Command;
use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::relay::{in_browser, load, said, tool};
use crate::support::node::{GENERATIONS, Node, Way};
use crate::support::raw::Raw;
use crate::support::site::{Process, Site};

const SECRET: &str = "north, south, east and west of all";

/// A server with a certificate of its own, Ann and Bob, and what they have said.
struct House {
    site: Site,
    server: Process,
    ann: String,
    bob: String,
    chat: i64,
    certificate: String,
    roots: RootCertStore,
    _folder: TempDir,
}

impl House {
    async fn open() -> Self {
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let signed = rcgen::generate_simple_self_signed(names).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: String| {
            let file = folder.path().join(name);
            std::fs::write(&file, text).unwrap();
            file.into_os_string().into_string().unwrap()
        };
        let certificate = file("certificate.pem", signed.cert.pem());
        let key = file("key.pem", signed.signing_key.serialize_pem());
        let mut roots = RootCertStore::empty();
        roots.add(signed.cert.der().clone()).unwrap();
        let site = Site::new().set("MEMBERS_CHAT__DEFAULT_PRICE", "0");
        let (ann, bob) = (site.person("ann").await, site.person("bob").await);
        let chat = meet(&site, &ann, &bob).await;
        let site = site
            .set("HTTP__TLS_CERTIFICATE", &certificate)
            .set("HTTP__TLS_KEY", key)
            .set("TURN__LISTEN", "127.0.0.1:0")
            .set("TURN__SECRET", SECRET);
        let server = site.start().await;
        assert!(server.url.starts_with("https://127.0.0.1:"), "{}", server.url);
        Self { site, server, ann, bob, chat, certificate, roots, _folder: folder }
    }

    fn port(&self) -> &str {
        self.server.url.rsplit(':').next().unwrap()
    }

    /// A raw socket by TLS.
    async fn raw(&self, path: &str) -> WebSocketStream<TlsStream<TcpStream>> {
        let config = ClientConfig::builder().with_root_certificates(self.roots.clone());
        let connector = TlsConnector::from(Arc::new(config.with_no_client_auth()));
        let place = format!("127.0.0.1:{}", self.port());
        let stream = TcpStream::connect(&place).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = connector.connect(name, stream).await.unwrap();
        let url = format!("wss://{place}{path}");
        tokio_tungstenite::client_async(url, stream).await.unwrap().0
    }
}

/// Both have a word for the other, over a server that still listens without TLS.
async fn meet(site: &Site, ann: &str, bob: &str) -> i64 {
    let server = site.start().await;
    let base = server.url.replace("http", "ws");
    let mut chat = 0;
    for (token, other) in [(ann, 2), (bob, 1)] {
        let url = format!("{base}/members/chat/?other_member_id={other}");
        let mut raw = Raw::connect(&url, &[]).await;
        raw.send(format!("Bearer {token}")).await;
        raw.json().await;
        raw.send("hello").await;
        chat = raw.json().await["chat_id"].as_i64().unwrap();
        raw.close().await;
    }
    server.terminate();
    assert!(server.ended().await.success(), "{}", site.log());
    chat
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_generation_comes_by_tls() {
    let house = House::open().await;
    let (node, trusted) = (Node::start(), std::fs::read_to_string(&house.certificate).unwrap());
    for generation in GENERATIONS {
        for way in Way::ALL {
            let opts = json!({ "ca": trusted, "secure": true, "rejectUnauthorized": true });
            let mut client = node.open(generation, way, &house.server.url, opts).await;
            client.connected(way).await;
            client.emit("authenticate", json!({ "token": house.ann }));
            let success = client.event("success").await;
            assert_eq!(success, "User authenticated", "{generation} {way:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raw_sockets_come_by_tls_and_nothing_comes_without() {
    let house = House::open().await;
    let mut raw = house.raw("/members/chat/?other_member_id=2").await;
    raw.send(Message::text(format!("Bearer {}", house.ann))).await.unwrap();
    let history: Value = serde_json::from_str(&text(&mut raw).await).unwrap();
    assert_eq!(history.as_array().map(Vec::len), Some(2));
    raw.send(Message::text("by TLS")).await.unwrap();
    let echo: Value = serde_json::from_str(&text(&mut raw).await).unwrap();
    assert_eq!((&echo["text"], &echo["chat_id"]), (&json!("by TLS"), &json!(house.chat)));
    raw.close(None).await.unwrap();
    while raw.next().await.is_some_and(|received| received.is_ok()) {}

    let unprotected = house.server.url.replace("https", "http");
    let answer = reqwest::get(format!("{unprotected}/healthz")).await.unwrap();
    assert_eq!(answer.status(), 400);
    assert!(answer.text().await.unwrap().contains("must begin with https://"));
    // Who begins nothing, or breaks off in the middle, disturbs nobody.
    for words in [&b""[..], b"\x16", b"\x16\x03\x01\x00\xff", b"\x16\x03\x01\xff\xffnonsense"] {
        let mut stream =
            TcpStream::connect(unprotected.strip_prefix("http://").unwrap()).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, words).await.unwrap();
    }
    assert_eq!(
        house.raw("/members/chat/?other_member_id=2").await.close(None).await.ok(),
        Some(())
    );
}

async fn text(raw: &mut WebSocketStream<TlsStream<TcpStream>>) -> String {
    loop {
        if let Message::Text(text) = raw.next().await.unwrap().unwrap() {
            return text.to_string();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_relay_is_reached_by_tls() {
    let house = House::open().await;
    let words = load(&["-t", "-S"], 1, SECRET, house.port());
    if let Some(turn) = tool("turnutils_uclient", words).await {
        let said = said(&turn);
        assert!(turn.status.success(), "{said}");
        assert!(said.contains("Total lost packets 0 (0.000000%)"), "{said}");
    }
    let words = vec![
        house.server.url.clone(),
        house.chat.to_string(),
        house.ann.clone(),
        house.bob.clone(),
    ];
    let Some(told) = in_browser("tests/browser/calls.mjs", words).await else { return };
    assert!(told.contains("ok: pages reach each other through the relay"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_check_and_the_doctor_know_about_the_certificate() {
    let house = House::open().await;
    house.site.run(&["check"]).await;
    let url = house.server.url.replace("127.0.0.1", "localhost");
    let mut doctor = Command::new(env!("CARGO_BIN_EXE_klatsch"));
    doctor
        .args(["doctor", &url, "--token", &house.ann])
        .env_remove("SSL_CERT_DIR")
        .env("SSL_CERT_FILE", &house.certificate);
    let ran = tokio::task::spawn_blocking(move || doctor.output().unwrap()).await.unwrap();
    assert!(ran.status.success(), "{}", said(&ran));
    std::fs::write(&house.certificate, "no certificate").unwrap();
    let mut check = Command::new(env!("CARGO_BIN_EXE_klatsch"));
    check
        .arg("check")
        .current_dir(house.site.path())
        .env("KLATSCH_HTTP__TLS_CERTIFICATE", &house.certificate)
        .env("KLATSCH_HTTP__TLS_KEY", &house.certificate);
    let ran = check.output().unwrap();
    let refused = said(&ran);
    assert!(
        !ran.status.success() && refused.contains("(http.tls_certificate) is not usable"),
        "{refused}"
    );
}
