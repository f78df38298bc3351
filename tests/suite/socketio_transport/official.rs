//! The official server beside ours: the same handshakes, packets and changes of transport are
//! played against both. Where they differ, the table says why ours is to be so.

use std::{net::SocketAddr, path::Path, process::Stdio, time::Duration};

use futures_util::{SinkExt, StreamExt};
use klatsch::transport::socketio::SocketIoSettings;
use reqwest::{Client, Method, Response};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
    time::timeout,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest},
};

use super::Server;

const DEADLINE: Duration = Duration::from_secs(20);

/// What is played, step by step:
///
/// * `get QUERY`, `put QUERY`, `options QUERY`; `post QUERY BODY`;
/// * `poll COUNT` (the session's next packets), `send BODY` (posts it there), `hang` (polls and waits beside
///   the other steps) and `hung` (what came of it);
/// * `ws QUERY`, `upgrade` (a WebSocket of the session), `ws-chat QUERY` (offers a subprotocol);
/// * `> TEXT` says, `<` hears, `drop` breaks off, `close` says goodbye.
///
/// `^` stands for the separator of packets, `SID` for the session.
type Steps = &'static [&'static str];

const V4: &str = "get EIO=4&transport=polling";
const V3: &str = "get EIO=3&transport=polling&b64=1";
const W4: &str = "ws EIO=4&transport=websocket";
const W3: &str = "ws EIO=3&transport=websocket";

/// What both do alike.
const ALIKE: &[Steps] = &[
    // Handshakes.
    &[V4],
    &[V3],
    &["get transport=polling&b64=1"],
    &["get EIO=2&transport=polling&b64=1"],
    &["get EIO=1&transport=polling&b64=1"],
    &["get EIO=5&transport=polling&b64=1"],
    &["get EIO=x&transport=polling&b64=1"],
    &["get EIO=4&transport=polling&sid="],
    &["get EIO=4&transport=polling&t=abc&x=%20y"],
    &["get EIO=4&transport=polling&sid=abcdefghijklmnop"],
    &["get EIO=4&transport=polling&sid=short"],
    &["get EIO=4&transport=pigeon"],
    &["get EIO=4"],
    &["get transport=pigeon&sid=abcdefghijklmnop"],
    &["post EIO=4&transport=polling 40"],
    &["put EIO=4&transport=polling"],
    &["post EIO=4&transport=polling&sid=abcdefghijklmnop 40"],
    &["get EIO=4&transport=websocket"],
    &["get EIO=4&transport=websocket&sid=abcdefghijklmnop"],
    &[W4, "<"],
    &[W3, "<"],
    &["ws EIO=2&transport=websocket", "<"],
    &["ws transport=websocket", "<"],
    &["ws EIO=4&transport=websocket&sid=", "<"],
    &["ws EIO=4&transport=websocket&sid=abcdefghijklmnop"],
    &["ws EIO=3&transport=websocket&sid=short"],
    &["ws EIO=4&transport=pigeon"],
    &["ws-chat EIO=4&transport=websocket", "<"],
    // Packets by polling.
    &[V4, "send 40", "poll", "send 42[\"hello\",{\"a\":1}]", "poll"],
    &[V4, "send 40", "poll", "send 42[\"a\",1]^42[\"b\",2]", "poll 2"],
    &[V4, "send 40", "poll", "send 421[\"ask\",5]", "poll"],
    &[V4, "send 40", "poll", "send 3", "send 42[\"a\",1]", "poll"],
    &[V4, "send 40", "poll", "send 41", "send 40", "poll"],
    &[V4, "send 40", "poll", "send 5", "send 42[\"a\",1]", "poll"],
    &[V4, "send 40", "poll", "send 6^42[\"a\",1]", "poll"],
    &[V4, "send 40{\"token\":\"x\"}", "poll"],
    &[V4, "send 40/nowhere,", "poll"],
    &[V4, "send 40", "poll", "hang", "send 42[\"a\",\"é 日本 😀\"]", "hung"],
    &[V3, "poll", "send 13:42[\"hello\",1]", "poll"],
    &[V3, "poll", "send 10:420[\"a\",5]", "poll"],
    &[V3, "poll", "send 1:2", "poll"],
    &[V3, "poll", "send 1:5", "send 9:42[\"a\",1]", "poll"],
    &[V3, "poll", "send 1:6", "send 9:42[\"a\",1]", "poll"],
    // Packets by WebSocket.
    &[W4, "<", "> 40", "<", "> 42[\"hello\",{\"a\":1}]", "<"],
    &[W4, "<", "> 40", "<", "> 421[\"ask\",5]", "<"],
    &[W4, "<", "> 40", "<", "> 5", "> 42[\"a\",1]", "<"],
    &[W4, "<", "> 40", "<", "> 6", "> 42[\"a\",1]", "<"],
    &[W4, "<", "> 40", "<", "> 3", "> 42[\"a\",1]", "<"],
    &[W4, "<", "> 40", "<", "> 9", "<"],
    &[W4, "<", "> 40/nowhere,", "<"],
    &[W4, "<", "> 40", "<", "> 41", "> 40", "<"],
    &[W3, "<", "<", "> 42[\"hello\",{\"a\":1}]", "<"],
    &[W3, "<", "<", "> 2", "<"],
    &[W3, "<", "<", "> 40/nowhere?token=x,", "<"],
    &[V3, "poll", "send 19:40/nowhere?token=x,", "poll"],
    &[W3, "<", "<", "> 5", "> 42[\"a\",1]", "<"],
    &[W3, "<", "<", "> 0{}", "> 42[\"a\",1]", "<"],
    // Changes of transport.
    &[V4, "send 40", "poll", "upgrade", "> 2probe", "<", "> 5", "> 42[\"a\",1]", "<"],
    &[V4, "send 40", "poll", "upgrade", "> 5", "> 42[\"a\",1]", "<"],
    &[V4, "send 40", "poll", "upgrade", "drop", "send 42[\"a\",1]", "poll"],
    &[V4, "send 40", "poll", "upgrade", "close", "send 42[\"a\",1]", "poll"],
    &[V4, "send 40", "poll", "upgrade", "> 2probe", "<", "drop", "send 42[\"a\",1]", "poll"],
    &[V4, "send 40", "poll", "upgrade", "hang", "send 42[\"a\",1]", "hung"],
    &[
        V4,
        "send 40",
        "poll",
        "hang",
        "upgrade",
        "> 2probe",
        "<",
        "hung",
        "> 5",
        "> 42[\"a\",1]",
        "<",
    ],
    &[V4, "send 40", "poll", "upgrade", "> 42[\"a\",1]", "<", "send 42[\"a\",2]", "poll"],
    &[V4, "upgrade", "> 2probe", "<", "> 5", "> 40", "<"],
    &[V3, "poll", "upgrade", "> 2probe", "<", "> 5", "> 42[\"a\",1]", "<"],
    &[V3, "poll", "upgrade", "drop", "send 9:42[\"a\",1]", "poll"],
    &[V3, "poll", "hang", "upgrade", "> 2probe", "<", "hung", "> 5", "> 42[\"a\",1]", "<"],
];

/// What ours does otherwise, and why.
const OTHERWISE: &[(Steps, &str)] = &[
    (
        &["get EIO=3&transport=polling"],
        "without b64 the oldest clients in a browser read nothing but the binary framing",
    ),
    (
        &[V3, "poll", "send 11:42[\"a\",\"é\"]", "poll"],
        "with b64 text leaves in ASCII, for the oldest clients decode it twice",
    ),
    (
        &[W4, "<", "> 40", "<", "> 2probe", "<"],
        "packets out of season never end a session, and a probe is answered",
    ),
    (
        &[W4, "<", "> 40", "<", "> 2", "> 42[\"a\",1]", "<"],
        "a heartbeat proves life in whichever direction it goes",
    ),
    (&[W3, "<", "<", "> 2probe", "<"], "a probe is answered as one"),
    (&[W3, "<", "<", "> 3", "<"], "a heartbeat proves life in whichever direction it goes"),
    (
        &[V4, "send 40", "poll", "options EIO=4&transport=polling"],
        "old clients always ask first and with credentials, whatever the origin",
    ),
];

/// One of the two servers.
struct Player {
    http: Client,
    address: SocketAddr,
    sid: String,
    query: String,
    websocket: Option<WebSocketStream<MaybeTlsStream<TcpStream>>>,
    hanging: Option<tokio::task::JoinHandle<String>>,
}

impl Player {
    fn new(http: &Client, address: SocketAddr) -> Self {
        let (sid, query) = Default::default();
        Self { http: http.clone(), address, sid, query, websocket: None, hanging: None }
    }

    /// What happens, line by line.
    async fn play(mut self, steps: Steps) -> Vec<String> {
        let mut seen = Vec::new();
        for step in steps {
            let (word, rest) = step.split_once(' ').unwrap_or((step, ""));
            let saw = self.step(word, &rest.replace('^', "\u{1e}")).await;
            seen.push(format!("{step}: {}", saw.replace(&self.sid_or_nothing(), "SID")));
        }
        seen
    }

    fn sid_or_nothing(&self) -> String {
        if self.sid.is_empty() { "no session".to_owned() } else { self.sid.clone() }
    }

    async fn step(&mut self, word: &str, rest: &str) -> String {
        match word {
            "get" => {
                rest.clone_into(&mut self.query);
                let response = self.request(Method::GET, rest, "").await;
                let seen = tell(response).await;
                if let Some((_, found)) = seen.split_once("\"sid\":\"") {
                    found.split('"').next().unwrap().clone_into(&mut self.sid);
                }
                without_settings(&seen)
            }
            "put" => tell(self.request(Method::PUT, rest, "").await).await,
            "options" => {
                let response = self.request(Method::OPTIONS, rest, "").await;
                format!(
                    "{} {:?}",
                    response.status().as_u16(),
                    response.headers().get("access-control-allow-methods")
                )
            }
            "post" => {
                let (query, body) = rest.split_once(' ').unwrap();
                tell(self.request(Method::POST, query, body).await).await
            }
            "poll" => self.poll(rest.parse().unwrap_or(1)).await.replace(&self.sid, "SID"),
            "send" => tell(self.request(Method::POST, &self.session(), rest).await).await,
            "hang" => {
                let request = self.http.get(self.url("http", &self.session())).send();
                self.hanging = Some(tokio::spawn(async { tell(request.await.unwrap()).await }));
                // It is to be there before what follows.
                tokio::time::sleep(Duration::from_millis(300)).await;
                String::new()
            }
            "hung" => timeout(DEADLINE, self.hanging.take().unwrap()).await.unwrap().unwrap(),
            "ws" => self.connect(rest, None).await,
            "ws-chat" => self.connect(rest, Some("chat")).await,
            "upgrade" => {
                let query = self.session().replace("transport=polling", "transport=websocket");
                self.connect(&query, None).await
            }
            ">" => {
                let _ = self.websocket.as_mut().unwrap().send(Message::text(rest)).await;
                String::new()
            }
            "<" => without_settings(&self.hear().await),
            "drop" => {
                self.websocket = None;
                tokio::time::sleep(Duration::from_millis(100)).await;
                String::new()
            }
            "close" => {
                self.websocket.as_mut().unwrap().close(None).await.unwrap();
                self.hear().await
            }
            other => panic!("{other}"),
        }
    }

    /// Polls until so many packets have come.
    async fn poll(&self, count: usize) -> String {
        let mut all = Vec::new();
        while all.len() < count {
            let seen = tell(self.request(Method::GET, &self.session(), "").await).await;
            let Some(packets) = seen.strip_prefix("200 ") else { return seen };
            all.extend(
                packets.split('\u{1e}').filter(|packet| !is_heartbeat(packet)).map(String::from),
            );
        }
        format!("200 {}", all.join("^"))
    }

    fn session(&self) -> String {
        format!("{}&sid={}", self.query, self.sid)
    }

    fn url(&self, scheme: &str, query: &str) -> String {
        format!("{scheme}://{}/socket.io/?{query}", self.address)
    }

    async fn request(&self, method: Method, query: &str, body: &str) -> Response {
        let request = self.http.request(method.clone(), self.url("http", query));
        let request = match method {
            Method::POST => {
                request.header("content-type", "text/plain;charset=UTF-8").body(body.to_owned())
            }
            Method::OPTIONS => request.header("origin", "http://page.example"),
            _ => request,
        };
        timeout(DEADLINE, request.send()).await.unwrap().unwrap()
    }

    async fn connect(&mut self, query: &str, protocol: Option<&str>) -> String {
        let mut request = self.url("ws", query).into_client_request().unwrap();
        if let Some(protocol) = protocol {
            request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
        }
        match connect_async(request).await {
            Ok((websocket, response)) => {
                self.websocket = Some(websocket);
                format!("101 {:?}", response.headers().get("sec-websocket-protocol"))
            }
            Err(Error::Http(response)) => response.status().as_u16().to_string(),
            Err(error) => panic!("{query}: {error}"),
        }
    }

    async fn hear(&mut self) -> String {
        let websocket = self.websocket.as_mut().unwrap();
        loop {
            return match timeout(DEADLINE, websocket.next()).await.expect("nothing was said") {
                Some(Ok(Message::Pong(_) | Message::Ping(_))) => continue,
                Some(Ok(Message::Text(text))) if is_heartbeat(&text) => continue,
                Some(Ok(Message::Text(text))) => {
                    if self.sid.is_empty()
                        && let Some((_, found)) = text.split_once("\"sid\":\"")
                    {
                        found.split('"').next().unwrap().clone_into(&mut self.sid);
                    }
                    text.to_string()
                }
                Some(Ok(Message::Binary(bytes))) => format!("{bytes:?}"),
                _ => "closed".to_owned(),
            };
        }
    }
}

/// The first one comes at once from ours, and from theirs when the time has come.
fn is_heartbeat(packet: &str) -> bool {
    packet == "2"
}

async fn tell(response: Response) -> String {
    let status = response.status().as_u16();
    let bytes = response.bytes().await.unwrap();
    let text = String::from_utf8_lossy(&bytes);
    // What a refusal of a method or of a broken packet says is read by nobody.
    let has_code = text.contains("\"code\"");
    if status == 200 || has_code { format!("{status} {text}") } else { status.to_string() }
}

/// Without what is random, or depends on nothing but settings: the namespace's own id, times
/// and sizes, and the lengths that follow from them.
fn without_settings(seen: &str) -> String {
    let Some((before, _)) = seen.split_once("0{\"sid\"") else { return seen.to_owned() };
    if before.ends_with('4') {
        return seen.to_owned();
    }
    let upgrades = if seen.contains("[\"websocket\"]") { "may upgrade" } else { "may not upgrade" };
    let framed = before.split_once(' ').map_or("", |(_, framed)| framed);
    format!("{}0{{SID, {upgrades}}}", if framed.contains(':') { "measured " } else { "" })
}

/// The namespace has an id of its own in the fourth version.
fn without_ids(seen: Vec<String>) -> Vec<String> {
    let without = |line: String| match line.split_once("40{\"sid\":\"") {
        Some((before, rest)) => {
            let after = rest.split_once('"').map_or("", |(_, after)| after);
            format!("{before}40{{\"sid\":\"ITS{after}")
        }
        None => line,
    };
    seen.into_iter().map(without).collect()
}

async fn official() -> (Child, SocketAddr) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/node");
    assert!(
        folder.join("node_modules/socket.io").is_dir(),
        "the official server is not installed: run `npm ci` in tests/clients/node"
    );
    let mut process = Command::new("node")
        .arg("official.js")
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let port = timeout(DEADLINE, lines.next_line()).await.unwrap().unwrap().unwrap();
    (process, SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap())))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_official_server_and_ours_do_alike() {
    let (_process, theirs) = official().await;
    let ours = Server::start(SocketIoSettings::default()).await;
    let http = Client::new();
    let both = async |steps: Steps| {
        let play = |address| Player::new(&http, address).play(steps);
        let (theirs, ours) = tokio::join!(play(theirs), play(ours.address));
        (without_ids(theirs), without_ids(ours))
    };
    let mut wrong = Vec::new();
    for steps in ALIKE {
        let (theirs, ours) = both(steps).await;
        if theirs != ours {
            wrong.push(format!("theirs: {theirs:#?}\nours: {ours:#?}"));
        }
    }
    for (steps, why) in OTHERWISE {
        let (theirs, ours) = both(steps).await;
        if theirs == ours {
            wrong.push(format!("alike by now: {ours:#?} ({why})"));
        }
    }
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n"));
}
