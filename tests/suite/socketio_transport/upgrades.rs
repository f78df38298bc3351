//! A WebSocket beside a session that polls: what becomes of it concerns the session only when
//! the client has changed over.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use klatsch::transport::socketio::SocketIoSettings;
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest},
};

use super::Server;

const DEADLINE: Duration = Duration::from_secs(20);

type WebSocket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A session that polls, request by request.
struct Session<'a> {
    server: &'a Server,
    http: Client,
    version: u8,
    sid: String,
}

impl<'a> Session<'a> {
    async fn open(server: &'a Server, version: u8) -> Self {
        let http = Client::new();
        let query = format!("EIO={version}&transport=polling&b64=1");
        let handshake = http.get(server.path(&query)).send().await.unwrap();
        assert_eq!(handshake.headers()["cache-control"], "no-store");
        let handshake = handshake.text().await.unwrap();
        let sid = handshake.split_once("sid\":\"").unwrap().1[..16].to_owned();
        let session = Self { server, http, version, sid };
        if version == 4 {
            assert_eq!(session.post("40").await, StatusCode::OK);
        }
        // The first heartbeat, too, so that nothing is left that a poll could bring.
        let mut brought = String::new();
        while !(brought.contains("40") && (version == 3 || brought.contains('2'))) {
            brought.push_str(&session.poll().await.replace("40{", "40"));
        }
        session
    }

    fn query(&self, transport: &str) -> String {
        let Self { version, sid, .. } = self;
        format!("EIO={version}&transport={transport}&b64=1&sid={sid}")
    }

    async fn post(&self, packet: &str) -> StatusCode {
        let body = match self.version {
            3 => format!("{}:{packet}", packet.len()),
            _ => packet.to_owned(),
        };
        let request = self.http.post(self.server.path(&self.query("polling")));
        request.header("content-type", "text/plain").body(body).send().await.unwrap().status()
    }

    fn get(&self) -> impl Future<Output = Response> + Send + 'static {
        let request = self.http.get(self.server.path(&self.query("polling"))).send();
        async { timeout(DEADLINE, request).await.unwrap().unwrap() }
    }

    async fn poll(&self) -> String {
        let response = self.get().await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["cache-control"], "no-store");
        response.text().await.unwrap()
    }

    /// Asks, and gets the answer by the next poll.
    async fn is_served(&self) {
        assert_eq!(self.post(r#"42["hello","you"]"#).await, StatusCode::OK);
        let mut reply = self.poll().await;
        // The heartbeat comes when it wants.
        if reply == "2" {
            reply = self.poll().await;
        }
        assert!(reply.contains(r#"42["hello","you"]"#), "{reply}");
    }

    async fn websocket(&self) -> WebSocket {
        connect(self.server, &self.query("websocket")).await.unwrap()
    }
}

async fn connect(server: &Server, query: &str) -> Result<WebSocket, Error> {
    let url = format!("ws://{}/socket.io/?{query}", server.address);
    connect_async(url).await.map(|(websocket, _)| websocket)
}

async fn say(websocket: &mut WebSocket, text: &str) {
    websocket.send(Message::text(text)).await.unwrap();
}

async fn hear(websocket: &mut WebSocket) -> Message {
    loop {
        let message = timeout(DEADLINE, websocket.next()).await.unwrap().unwrap().unwrap();
        // The heartbeat comes when it wants.
        if !message.is_pong() && message != Message::text("2") {
            return message;
        }
    }
}

async fn refusal(server: &Server, query: &str) -> u16 {
    match connect(server, query).await {
        Err(Error::Http(response)) => response.status().as_u16(),
        other => panic!("{query}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_that_fails_does_not_cost_the_session() {
    let server = Server::start(SocketIoSettings::default()).await;
    for version in [3, 4] {
        let session = Session::open(&server, version).await;
        // Gone without a word, before and after the probe.
        drop(session.websocket().await);
        session.is_served().await;
        let mut probed = session.websocket().await;
        say(&mut probed, "2probe").await;
        assert_eq!(hear(&mut probed).await, Message::text("3probe"));
        drop(probed);
        session.is_served().await;
        // Closed in order.
        let mut closed = session.websocket().await;
        closed.close(None).await.unwrap();
        session.is_served().await;
        // Nonsense: it alone is closed.
        for nonsense in
            [Message::text("9"), Message::binary(vec![0; 300]), Message::text("x".repeat(300))]
        {
            let mut websocket = session.websocket().await;
            websocket.send(nonsense).await.unwrap();
            assert!(matches!(hear(&mut websocket).await, Message::Close(_)));
            session.is_served().await;
        }
        // Silent, twenty at once.
        let mut silent = Vec::new();
        for _ in 0..20 {
            silent.push(session.websocket().await);
        }
        session.is_served().await;
        // Even now another may succeed.
        let mut websocket = session.websocket().await;
        say(&mut websocket, "2probe").await;
        assert_eq!(hear(&mut websocket).await, Message::text("3probe"));
        say(&mut websocket, "5").await;
        say(&mut websocket, r#"42["hello","you"]"#).await;
        assert_eq!(hear(&mut websocket).await, Message::text(r#"42["hello","you"]"#));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn polls_wait_as_ever_beside_a_silent_websocket() {
    let server = Server::start(SocketIoSettings::default()).await;
    for version in [3, 4] {
        let session = Session::open(&server, version).await;
        let nothing = if version == 3 { "1:6" } else { "6" };
        let mut websocket = session.websocket().await;
        let poll = tokio::spawn(session.get());
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(!poll.is_finished(), "nothing was said yet");
        say(&mut websocket, "2probe").await;
        assert_eq!(hear(&mut websocket).await, Message::text("3probe"));
        assert_eq!(poll.await.unwrap().text().await.unwrap(), nothing, "one is let go");
        let poll = tokio::spawn(session.get());
        tokio::time::sleep(Duration::from_millis(1500)).await;
        assert!(!poll.is_finished(), "and no second one");
        assert_eq!(session.post(r#"42["hello","you"]"#).await, StatusCode::OK);
        let reply = poll.await.unwrap().text().await.unwrap();
        assert!(reply.contains(r#"42["hello","you"]"#), "{reply}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_needs_no_probe_and_loses_nothing() {
    let server = Server::start(SocketIoSettings::default()).await;
    for version in [3, 4] {
        let session = Session::open(&server, version).await;
        assert_eq!(session.post(r#"42["before","a"]"#).await, StatusCode::OK);
        let mut websocket = session.websocket().await;
        // All in one go, so that it arrives in one piece or in any other.
        for text in ["5", r#"42["b","b"]"#, "2probe", "5", r#"42["c","c"]"#] {
            websocket.feed(Message::text(text)).await.unwrap();
        }
        websocket.flush().await.unwrap();
        let mut heard = Vec::new();
        while heard.len() < 4 {
            heard.push(hear(&mut websocket).await.into_text().unwrap().to_string());
        }
        heard.sort();
        let expected = ["3probe", r#"42["b","b"]"#, r#"42["before","a"]"#, r#"42["c","c"]"#];
        assert_eq!(heard, expected);
        assert_ne!(session.get().await.status(), StatusCode::OK, "polling is over");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn packets_out_of_season_are_passed_over() {
    let server = Server::start(SocketIoSettings::default()).await;
    for version in [3, 4] {
        let query = format!("EIO={version}&transport=websocket");
        let mut websocket = connect(&server, &query).await.unwrap();
        assert!(hear(&mut websocket).await.into_text().unwrap().starts_with('0'));
        if version == 4 {
            say(&mut websocket, "40").await;
        }
        assert!(hear(&mut websocket).await.into_text().unwrap().starts_with("40"));
        for packet in ["5", "6", "3probe", "0{}"] {
            say(&mut websocket, packet).await;
        }
        if version == 4 {
            // In the third a long one is taken for a heartbeat, and answered.
            say(&mut websocket, &"6".repeat(300)).await;
        }
        say(&mut websocket, "2probe").await;
        assert_eq!(hear(&mut websocket).await, Message::text("3probe"));
        say(&mut websocket, r#"42["hello","you"]"#).await;
        assert_eq!(hear(&mut websocket).await, Message::text(r#"42["hello","you"]"#));

        let session = Session::open(&server, version).await;
        for packet in ["5", "6", "3probe", "2probe", "0{}"] {
            assert_eq!(session.post(packet).await, StatusCode::OK, "{packet}");
        }
        session.is_served().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_official_server_takes_is_taken() {
    let server = Server::start(SocketIoSettings::default()).await;
    let http = Client::new();
    for query in [
        "EIO=2&transport=polling&b64=1",
        "EIO=1&transport=polling&b64=1",
        "EIO=4&transport=polling&sid=",
    ] {
        let response = http.get(server.path(query)).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{query}");
        assert!(response.text().await.unwrap().contains("\"sid\":"), "{query}");
    }
    let table = [
        (
            "EIO=4&transport=polling&sid=abcdefghijklmnop",
            json!({"code": 1, "message": "Session ID unknown"}),
        ),
        ("EIO=4&transport=polling&sid=short", json!({"code": 1, "message": "Session ID unknown"})),
        ("EIO=4&transport=carrier-pigeon", json!({"code": 0, "message": "Transport unknown"})),
        ("EIO=4&transport=websocket", json!({"code": 3, "message": "Bad request"})),
    ];
    for (query, expected) in table {
        let response = http.get(server.path(query)).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(response.headers()["cache-control"], "no-store");
        assert_eq!(response.json::<Value>().await.unwrap(), expected, "{query}");
    }
    for sid in ["abcdefghijklmnop", "short", "AAAAAAAAAAAAAAAA"] {
        assert_eq!(refusal(&server, &format!("EIO=4&transport=websocket&sid={sid}")).await, 400);
    }
    let url = format!("ws://{}/socket.io/?EIO=4&transport=websocket", server.address);
    let session = Session::open(&server, 4).await;
    for url in [url.clone(), format!("{url}&sid={}", session.sid)] {
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "chat, more".parse().unwrap());
        let (_websocket, response) = connect_async(request).await.unwrap();
        assert_eq!(response.headers()["sec-websocket-protocol"], "chat");
    }
}
