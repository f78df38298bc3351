//! The server's own STUN and TURN with foreign clients: coturn's tools and a browser.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

use crate::neo_events::Home;
use crate::support::programs::{Program, node, skipped};
use crate::support::world::World;

const PATIENCE: Duration = Duration::from_mins(4);
const SECRET: &str = "north";

/// Ann and Bob with a relay whose secret is known, and the relay's port.
async fn home() -> (Home, String) {
    home_with(256).await
}

/// The same, where an account may hold so many allocations.
async fn home_with(allocations: usize) -> (Home, String) {
    let world = World::with(|settings| {
        settings.turn.secret = serde_json::from_value(SECRET.into()).unwrap();
        settings.turn.allocations_per_account = allocations.try_into().unwrap();
    })
    .await;
    let home = Home::in_world(world).await;
    let url = format!("{}/webrtc/ice-servers", home.world.url());
    let asked = reqwest::Client::new().get(url).header("authorization", &home.ann.token);
    let told: Value = asked.send().await.unwrap().json().await.unwrap();
    let stun = told["iceServers"][0]["urls"][0].as_str().unwrap().to_owned();
    (home, stun.strip_prefix("stun:127.0.0.1:").unwrap().to_owned())
}

/// One of coturn's tools; nothing, and a line about it, where coturn is not installed.
pub(crate) async fn tool(name: &str, words: Vec<String>) -> Option<Output> {
    let mut command = Command::new(name);
    command.args(words);
    let ran = tokio::task::spawn_blocking(move || command.output()).await.unwrap();
    if ran.is_err() {
        skipped(&format!("{name}: coturn is not installed"));
    }
    ran.ok()
}

pub(crate) fn said(output: &Output) -> String {
    [&output.stdout[..], &output.stderr[..]].map(String::from_utf8_lossy).concat()
}

/// What `turnutils_uclient` is told: two clients that send each other 100 messages through the relay, without
/// channels: its own are those of RFC 5766, up to 0x7FFF.
pub(crate) fn load(extra: &[&str], user: i64, secret: &str, port: &str) -> Vec<String> {
    let user = format!("u{user}");
    let common = ["-y", "-s", "-c", "-m", "2", "-n", "100", "-l", "400", "-u", &user, "-W", secret];
    let last = ["-p", port, "127.0.0.1"];
    common.iter().chain(extra).chain(&last).map(|word| (*word).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn coturns_clients_lose_nothing_over_udp_and_tcp() {
    let (home, port) = home().await;
    let words = ["-p", &port, "127.0.0.1"].map(str::to_owned).to_vec();
    let Some(stun) = tool("turnutils_stunclient", words).await else { return };
    assert!(said(&stun).contains("UDP reflexive addr: 127.0.0.1"), "{}", said(&stun));
    for extra in [&[][..], &["-t"]] {
        let words = load(extra, home.ann.id, SECRET, &port);
        let Some(turn) = tool("turnutils_uclient", words).await else { return };
        let said = said(&turn);
        assert!(turn.status.success(), "{extra:?}: {said}");
        assert!(said.contains("Total lost packets 0 (0.000000%)"), "{extra:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn coturns_clients_are_refused_with_a_wrong_secret() {
    let (home, port) = home().await;
    for extra in [&[][..], &["-t"]] {
        let words = load(extra, home.ann.id, "south", &port);
        let Some(turn) = tool("turnutils_uclient", words).await else { return };
        let said = said(&turn);
        assert!(
            !turn.status.success() && said.contains("Cannot complete Allocation"),
            "{extra:?}: {said}"
        );
    }
}

/// Runs a script of the browser, if there are a browser and Node.
pub(crate) async fn in_browser(script: &str, words: Vec<String>) -> Option<String> {
    let browser = std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
    if !Path::new(&browser).exists() {
        skipped(&format!("{script}, for want of Chromium"));
        return None;
    }
    let mut script = node(script)?;
    script.args(words);
    let told = tokio::task::spawn_blocking(move || Program::start(&mut script).finish(PATIENCE));
    Some(told.await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_reach_each_other_through_the_relay() {
    // A few calls at once, and no more: the script knows how many.
    let (home, _) = home_with(12).await;
    let (conversation, tokens) =
        (home.conversation.to_string(), [&home.ann.token, &home.bob.token]);
    let mut words = vec![home.world.url(), conversation];
    words.extend(tokens.map(Clone::clone));
    let Some(told) = in_browser("tests/browser/calls.mjs", words).await else { return };
    assert!(told.contains("ok: pages reach each other through the relay"), "{told}");
}

/// Six of the pairs of stacks that `make pairs` tries, each stack at least once.
#[tokio::test(flavor = "multi_thread")]
async fn stacks_of_all_kinds_meet_through_the_relay() {
    let (home, _) = home().await;
    let Some(mut script) = node("tests/pairs/pairs.mjs") else { return };
    let pairs = [
        "Firefox ESR,Chromium,udp",
        "Chromium,Firefox ESR,tcp",
        "aiortc,werift,tcp",
        "werift,@roamhq/wrtc,udp",
        "@roamhq/wrtc,node-datachannel,udp",
        "node-datachannel,aiortc,udp",
    ];
    script.args([home.world.url(), home.ann.token.clone()]).args(pairs);
    let told = tokio::task::spawn_blocking(move || Program::start(&mut script).finish(PATIENCE));
    let told = told.await.unwrap();
    assert!(told.contains("ok: pairs meet through the relay"), "{told}");
    for line in told.lines().filter(|line| line.starts_with("skipped: ")) {
        skipped(line.trim_start_matches("skipped: "));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_call_each_other_with_the_example() {
    let (home, _) = home().await;
    let mut words = vec![home.world.url()];
    for person in [&home.ann, &home.bob] {
        words.extend([person.id.to_string(), person.token.clone()]);
    }
    let Some(told) = in_browser("tests/browser/call.mjs", words).await else { return };
    assert!(told.contains("ok: two people call each other"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_new_people_meet_and_call_each_other_with_the_example() {
    let world = World::open().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let mut words = vec![world.url()];
    for person in [&ann, &bob] {
        words.extend([person.id.to_string(), person.token.clone()]);
    }
    words.push(bob.email.clone());
    let Some(told) = in_browser("tests/browser/call.mjs", words).await else { return };
    assert!(told.contains("have met") && told.contains("ok: two people call"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_says_what_works_and_what_does_not() {
    let (home, _) = home().await;
    let url = home.world.url();
    let told = home.world.command(&["doctor", &url, "--json", "--token", &home.ann.token]);
    let parts: Vec<Value> =
        told.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let names: Vec<_> = parts.iter().map(|part| part["part"].as_str().unwrap()).collect();
    assert_eq!(names, ["polling", "websocket", "stun", "turn_udp", "turn_tcp"]);
    assert!(parts.iter().all(|part| part["works"] == true), "{told}");
    assert!(told.contains("TURN over TCP relays."), "{told}");
    // Without a token it only looks whether somebody is there.
    let told = home.world.command(&["doctor", &url]);
    assert!(told.contains("asks for credentials") && told.starts_with("✓ "), "{told}");
    // A token that is none is the token's fault, and nobody else's.
    let ran = Command::new(env!("CARGO_BIN_EXE_klatsch"))
        .args(["doctor", &url, "--token", "none"])
        .output()
        .unwrap();
    let said = said(&ran);
    assert!(!ran.status.success() && said.contains("does not take the token"), "{said}");
    assert_eq!(said.matches('✗').count(), 1, "{said}");
    assert!(!said.contains("proxy") && !said.contains("Open that port"), "{said}");

    let world = World::with(|settings| {
        let nowhere = serde_json::json!([{ "ip": "127.0.0.1", "port": 1 }]);
        settings.webrtc.stun = serde_json::from_value(nowhere.clone()).unwrap();
        settings.webrtc.turn = serde_json::from_value(nowhere).unwrap();
    })
    .await;
    let ran = Command::new(env!("CARGO_BIN_EXE_klatsch")).args(["doctor", &world.url()]).output();
    let ran = ran.unwrap();
    let said = self::said(&ran);
    assert!(!ran.status.success(), "{said}");
    assert!(said.contains("does not work") && said.contains("Open that port for UDP"), "{said}");
}

/// A proxy that ends TLS before a server: its address, and its certificate's file.
async fn tls_before(world: &World) -> (String, tempfile::NamedTempFile) {
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), signed.cert.pem()).unwrap();
    let key = PrivatePkcs8KeyDer::from(signed.signing_key.serialize_der());
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![signed.cert.der().clone()], key.into()).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = world.url().strip_prefix("http://").unwrap().to_owned();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, server) = (acceptor.clone(), server.clone());
            tokio::spawn(async move {
                let Ok(mut near) = acceptor.accept(stream).await else { return };
                let mut far = TcpStream::connect(server).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    (format!("https://localhost:{port}"), file)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_looks_through_tls() {
    let (home, _) = home().await;
    let (url, certificate) = tls_before(&home.world).await;
    let look = async |trusted: Option<&Path>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_klatsch"));
        command.args(["doctor", &url, "--token", &home.ann.token]).env_remove("SSL_CERT_DIR");
        match trusted {
            Some(file) => command.env("SSL_CERT_FILE", file),
            None => command.env_remove("SSL_CERT_FILE"),
        };
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    };
    let ran = look(Some(certificate.path())).await;
    assert!(ran.status.success(), "{}", said(&ran));
    assert!(said(&ran).contains("TURN over TCP relays."), "{}", said(&ran));
    let ran = look(None).await;
    assert!(!ran.status.success(), "{}", said(&ran));
}
