//! Real proxies in front of the server, set up as `docs/proxies.md` shows.

mod kinds;

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::node::{Node, Way};
use crate::support::programs::repository;
use crate::support::raw::{Heard, Raw};
use crate::support::world::{Person, World};
use kinds::{Kind, Proxy, Setup};

/// Longer than the times of a hasty proxy.
const IDLE: Duration = Duration::from_secs(12);
/// The oldest clients that are spoken to, and the newest.
const CLIENTS: [&str; 3] = ["sio136", "sio250", "sio48"];

/// A server that shows life once a second and trusts the proxy, the proxy, and what is seen
/// from outside.
struct Stage {
    inside: World,
    outside: World,
    proxy: Proxy,
}

impl Stage {
    async fn with(kind: Kind, setup: Setup) -> Option<Self> {
        let inside = World::with(|settings| {
            let one = serde_json::from_value(json!(1)).unwrap();
            settings.neo.ping_interval = one;
            settings.limits.ping_seconds = one;
            if setup != Setup::Silent {
                let proxies = json!(["127.0.0.1"]);
                settings.http.trusted_proxies = serde_json::from_value(proxies).unwrap();
            }
        })
        .await;
        let proxy = kind.start(inside.address, setup)?;
        let outside = World::at(proxy.address);
        Some(Self { inside, outside, proxy })
    }

    fn socket(&self, path: &str) -> String {
        format!("ws://{}{path}", self.proxy.address)
    }

    fn session(&self, person: &Person) -> Value {
        let made = self.inside.command(&["session", "add", &person.email]);
        serde_json::from_str(&made).unwrap()
    }

    /// A connection of each raw dialect, each of them answered.
    async fn raw(&self, ann: &Person, bob: &Person) -> Vec<Raw> {
        let mut members = self.member(ann, bob).await;
        members.send("hello").await;
        members.json().await;
        let courier = self.letters(ann).await;
        let room = self.inside.command(&["room", "add", "Tea"]);
        let room: Value = serde_json::from_str(&room).unwrap();
        let url = self.socket(&format!("/chat/stream/?token={}", ann.token));
        let mut rooms = Raw::connect(&url, &[]).await;
        rooms.send_json(&json!({ "command": "join", "room": room["id"] })).await;
        rooms.json().await;
        let key = self.session(ann)["session_key"].as_str().unwrap().to_owned();
        let mut pair = Raw::connect(&self.socket(&format!("/private-chat/{key}/bob")), &[]).await;
        pair.send_json(&json!({ "type": "check-online" })).await;
        pair.json().await;
        vec![members, courier, rooms, pair]
    }

    async fn member(&self, who: &Person, other: &Person) -> Raw {
        let url = self.socket(&format!("/members/chat/?other_member_id={}", other.id));
        let mut member = Raw::connect(&url, &[]).await;
        member.send(format!("Bearer {}", who.token)).await;
        member.json().await;
        member
    }

    async fn letters(&self, who: &Person) -> Raw {
        let mut letters = Raw::connect(&self.socket("/courier"), &[]).await;
        letters.send(who.token.as_str()).await;
        assert_eq!(letters.text().await, format!("user id {} received", who.id));
        letters
    }

    /// A failed login from an address of this machine.
    async fn fail(&self, from: [u8; 4]) -> u16 {
        let client = reqwest::Client::builder().local_address(Some(from.into())).build().unwrap();
        let body = json!({ "email": "nobody@example.org", "password": "wrong" });
        let request = client.post(format!("{}/account/login", self.proxy.url())).json(&body);
        request.send().await.unwrap().status().as_u16()
    }
}

#[test]
fn the_docs_show_the_configurations_as_they_are() {
    let docs = std::fs::read_to_string(repository("docs/proxies.md")).unwrap();
    let shown: Vec<_> = docs.split("<!-- file:").skip(1).collect();
    let mut paths = Vec::new();
    for part in shown {
        let (path, rest) = part.split_once(" -->\n").unwrap();
        let code = rest.split_once('\n').unwrap().1.split("\n```").next().unwrap();
        let file = std::fs::read_to_string(repository(path)).unwrap();
        assert_eq!(code, file.trim_end(), "{path} differs from what the docs show");
        paths.push(path);
    }
    assert_eq!(paths, Kind::ALL.map(Kind::file));
}

async fn serves_everybody(kind: Kind) {
    let Some(stage) = Stage::with(kind, Setup::Shown).await else { return };
    let node = Node::start();
    let (ann, bob) = (stage.outside.person("ann").await, stage.outside.person("bob").await);
    for client in CLIENTS {
        for way in Way::ALL {
            let mut client = node.connect(client, way, &stage.proxy.url()).await;
            client.emit("authenticate", json!({ "token": ann.token }));
            assert_eq!(client.event("success").await, "User authenticated");
        }
    }
    stage.raw(&ann, &bob).await;
    tells_the_truth(&stage, &ann).await;
    carries_files(&stage, &ann, &bob).await;
    survives_a_reload(&stage, &ann, &bob).await;
}

/// Whose requests it forwards, and under which address it was called.
async fn tells_the_truth(stage: &Stage, ann: &Person) {
    for _ in 0..10 {
        assert_ne!(stage.fail([127, 0, 0, 9]).await, 429);
    }
    assert_eq!(stage.fail([127, 0, 0, 9]).await, 429);
    assert_ne!(stage.fail([127, 0, 0, 8]).await, 429);

    let cookie = format!("sessionid={}", stage.session(ann)["sessionid"].as_str().unwrap());
    let forged = [("x-forwarded-host", "evil.example"), ("x-forwarded-port", "1")];
    for headers in [&[][..], &forged] {
        let request = reqwest::Client::new().get(format!("{}/dialogs/", stage.proxy.url()));
        let request = request.header("cookie", &cookie);
        let request =
            headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let page = request.send().await.unwrap().text().await.unwrap();
        let wanted = format!("\"ws://{}/private-chat/\"", stage.proxy.address);
        assert!(page.contains(&wanted), "{wanted} in {page}");
    }
    // Nobody is taken for a program on this machine because the proxy is one.
    let mut bare = Raw::connect(&stage.socket("/courier"), &[]).await;
    bare.send(ann.id.to_string()).await;
    assert_eq!(bare.next().await, Heard::Closed(1008, "bare user id refused".to_owned()));
}

async fn carries_files(stage: &Stage, ann: &Person, bob: &Person) {
    let bytes: Vec<u8> = (0..20_u32 << 20).map(|at| (at % 251) as u8).collect();
    let mut peer = stage.outside.peer(&ann.token).await;
    let circle = stage.outside.circle(ann, &[bob]).await;
    let chat = stage.outside.conversation(circle, ann, bob).await;
    peer.succeed("join_conversation", json!({ "conversation_id": chat })).await;
    peer.emit(
        "message",
        json!({ "conversation_id": chat, "text_message": "", "files": ["big.bin"] }),
    );
    let media = peer.expect("media").await["media_list"][0].clone();
    stage.outside.upload(&ann.token, &media["id"], "big.bin", &bytes).await;
    let url = format!("{}/media/file/{}", stage.proxy.url(), media["id"]);
    let request = reqwest::Client::new().get(url).header("authorization", &ann.token);
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.bytes().await.unwrap() == bytes, "the file has changed on its way");
}

/// Who is connected stays so or comes back; what was not read yet comes then.
async fn survives_a_reload(stage: &Stage, ann: &Person, bob: &Person) {
    let mut a = stage.letters(ann).await;
    a.send_json(&json!({ "conv_id": "x", "member": [bob.id], "type": "init_personal" })).await;
    let chat = a.json().await["db_conv_id"].clone();
    let mut b = stage.letters(bob).await;
    stage.proxy.reload();
    // Some proxies let go of everybody.
    let mut a = stage.letters(ann).await;
    for number in 0..5 {
        let text = format!("after {number}");
        a.send_json(&json!({ "conv_id": chat, "msg": text, "type": "personal" })).await;
        a.json().await;
    }
    let mut missing: Vec<_> = (0..5).map(|number| format!("after {number}")).collect();
    while !missing.is_empty() {
        match b.next().await {
            Heard::Text(text) => {
                let frame: Value = serde_json::from_str(&text).unwrap();
                missing.retain(|text| frame["msg"] != text.as_str());
            }
            _ => b = stage.letters(bob).await,
        }
    }
    stage.raw(ann, bob).await;
}

async fn keeps_the_idle(kind: Kind) {
    let Some(stage) = Stage::with(kind, Setup::Hasty).await else { return };
    let node = Node::start();
    let (ann, bob) = (stage.outside.person("ann").await, stage.outside.person("bob").await);
    let mut clients = Vec::new();
    for client in CLIENTS {
        for way in Way::ALL {
            clients.push(node.connect(client, way, &stage.proxy.url()).await);
        }
    }
    let mut raw = stage.raw(&ann, &bob).await;
    // They read, and so answer what the server asks, and say nothing by themselves.
    let idle = raw.iter_mut().map(async |raw| {
        let deadline = tokio::time::Instant::now() + IDLE;
        while let Ok(heard) = tokio::time::timeout_at(deadline, raw.next()).await {
            assert!(matches!(heard, Heard::Text(_)), "{kind:?}: {heard:?}");
        }
    });
    futures_util::future::join_all(idle).await;
    for client in &mut clients {
        client.emit("authenticate", json!({ "token": ann.token }));
        assert_eq!(client.event("success").await, "User authenticated");
    }
}

/// Without a word of whose requests it forwards, and trusted by nobody.
async fn is_nobody_s_program(kind: Kind) {
    let Some(stage) = Stage::with(kind, Setup::Silent).await else { return };
    let bob = stage.outside.person("bob").await;
    for path in ["/courier", "/courier/", "//courier"] {
        let Ok(mut bare) = Raw::try_connect(&stage.socket(path), &[]).await else { continue };
        bare.send(bob.id.to_string()).await;
        let refused = Heard::Closed(1008, "bare user id refused".to_owned());
        assert_eq!(bare.next().await, refused, "{path}");
    }
}

macro_rules! each {
    ($($name:ident: $kind:expr;)+) => { $(
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn serves_everybody() {
                super::serves_everybody($kind).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn keeps_the_idle() {
                super::keeps_the_idle($kind).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn is_nobody_s_program() {
                super::is_nobody_s_program($kind).await;
            }
        }
    )+ };
}

each! {
    nginx: Kind::Nginx;
    haproxy: Kind::Haproxy;
    apache: Kind::Apache;
    caddy: Kind::Caddy;
    varnish: Kind::Varnish;
}
