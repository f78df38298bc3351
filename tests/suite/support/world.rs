//! The full server on a free port with a folder of its own, people who use it, and a plain
//! WebSocket client that hears every frame in order.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use klatsch::app::{Address, App};
use klatsch::clock::Clock;
use klatsch::settings::Settings;
use klatsch::store::{Options, Store};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;

/// How long anything may take on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// A server that runs; it ends with this.
pub(crate) struct World {
    pub(crate) address: SocketAddr,
    /// Where dialects listen on ports of their own.
    ports: Vec<Address>,
    http: reqwest::Client,
    dir: TempDir,
    shutdown: CancellationToken,
}

/// Somebody with an account, and one connection that has said so.
pub(crate) struct Person {
    pub(crate) id: i64,
    pub(crate) email: String,
    pub(crate) token: String,
    pub(crate) peer: Peer,
}

/// What was heard: a channel and its argument.
pub(crate) type Heard = (String, Value);

impl World {
    pub(crate) async fn open() -> Self {
        Self::with(|_| {}).await
    }

    /// One that is set up otherwise.
    pub(crate) async fn with(set: impl FnOnce(&mut Settings)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings { data_dir: dir.path().to_owned(), ..Settings::default() };
        settings.http.listen = serde_json::from_value(json!("127.0.0.1:0")).unwrap();
        settings.courier.listen = serde_json::from_value(json!("127.0.0.1:0")).unwrap();
        settings.private_chat.listen = serde_json::from_value(json!("127.0.0.1:0")).unwrap();
        settings.turn.listen = serde_json::from_value(json!("127.0.0.1:0")).unwrap();
        settings.limits.drain_seconds = 0;
        set(&mut settings);
        let mut app = App::start(settings).await.unwrap();
        let listener = app.listen().await.unwrap();
        let address = listener.local_addr().unwrap();
        let ports = app.open_ports().await.unwrap();
        let shutdown = CancellationToken::new();
        tokio::spawn(app.serve(listener, shutdown.clone()));
        Self { address, ports, http: reqwest::Client::new(), dir, shutdown }
    }

    /// One that somebody else serves.
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self {
            address,
            ports: Vec::new(),
            http: reqwest::Client::new(),
            dir: tempfile::tempdir().unwrap(),
            shutdown: CancellationToken::new(),
        }
    }

    /// Where a dialect listens on a port of its own.
    pub(crate) fn port_of(&self, part: &str) -> SocketAddr {
        self.ports.iter().find(|open| open.part == part).expect("it has a port").address
    }

    /// Where it keeps everything.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.dir.path()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Posts a body; the status and what was answered.
    pub(crate) async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        let request = self.http.post(format!("{}{path}", self.url())).json(&body);
        let answer = tokio::time::timeout(DEADLINE, request.send()).await.unwrap().unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// Posts a body; it is a success.
    pub(crate) async fn ok(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.post(path, body.clone()).await;
        assert!(status < 300 && answer["success"] == true, "{path} {body}: {status} {answer}");
        answer
    }

    /// Uploads a file; it is a success.
    pub(crate) async fn upload(&self, token: &str, media: &Value, name: &str, bytes: &[u8]) {
        let part = reqwest::multipart::Part::bytes(bytes.to_vec()).file_name(name.to_owned());
        let form = reqwest::multipart::Form::new().part("file", part);
        let request = self.http.post(format!("{}/media/upload/{media}", self.url()));
        let answer = request.header("authorization", token).multipart(form).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    }

    /// Registers `NAME@example.org`, logs in, and connects.
    pub(crate) async fn person(&self, name: &str) -> Person {
        let email = format!("{name}@example.org");
        let new = json!({
            "email": email, "password": "secret", "first_name": name, "last_name": "Lee",
            "birthday": "1990-12-25",
        });
        self.ok("/account/create", new).await;
        let token = self.log_in(&email, "secret").await;
        let info = self.ok("/user/info", json!({ "token": token })).await;
        let id = info["content"]["id"].as_i64().unwrap();
        let peer = self.peer(&token).await;
        Person { id, email, token, peer }
    }

    /// Logs in once more; the token.
    pub(crate) async fn log_in(&self, email: &str, password: &str) -> String {
        let login = json!({ "email": email, "password": password });
        self.ok("/account/login", login).await["token"].as_str().unwrap().to_owned()
    }

    /// A connection that has said who it is.
    pub(crate) async fn peer(&self, token: &str) -> Peer {
        let mut peer = self.stranger().await;
        let success = peer.succeed("authenticate", json!({ "token": token })).await;
        assert_eq!(success, "User authenticated");
        peer
    }

    /// A connection that has not.
    pub(crate) async fn stranger(&self) -> Peer {
        Peer::connect(self.address).await
    }

    /// Makes a circle with members; its number.
    pub(crate) async fn circle(&self, owner: &Person, members: &[&Person]) -> i64 {
        let new = json!({ "token": owner.token, "name": "Family" });
        let circle = self.ok("/circle/create", new).await["content"]["id"].as_i64().unwrap();
        for member in members {
            self.bring(owner, member, circle).await;
        }
        circle
    }

    /// Invites somebody into a circle, who joins.
    pub(crate) async fn bring(&self, owner: &Person, member: &Person, circle: i64) {
        let wish = json!({ "token": owner.token, "circle_id": circle, "email": member.email });
        self.ok("/circle/invite", wish).await;
        let info = self.ok("/user/info", json!({ "token": member.token })).await;
        let invite = info["content"]["invites"][0]["id"].clone();
        let join = json!({ "token": member.token, "invite_id": invite });
        self.ok("/circle/join", join).await;
    }

    /// Makes a conversation of two by a first message; its number.
    pub(crate) async fn conversation(&self, circle: i64, from: &Person, to: &Person) -> i64 {
        let first = json!({
            "token": from.token, "circle_id": circle, "email": to.email, "text_message": "hi",
        });
        let answer = self.ok("/message/first-message", first).await;
        answer["conversation_id"].as_i64().unwrap()
    }

    /// Runs the command line beside the server, as another process.
    pub(crate) fn command(&self, words: &[&str]) -> String {
        let done = Command::new(env!("CARGO_BIN_EXE_klatsch"))
            .args(words)
            .env_clear()
            .env("KLATSCH_DATA_DIR", self.dir.path())
            .current_dir(self.dir.path())
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        assert!(done.status.success(), "{words:?}: {}", text(done.stderr));
        text(done.stdout).trim().to_owned()
    }

    /// A second way to its database, as another process has one.
    pub(crate) async fn store(&self) -> Store {
        let file = self.dir.path().join("klatsch.db");
        let options = Options::at(format!("sqlite:{}", file.display()));
        Store::open(&options, Clock::system()).await.unwrap()
    }

    /// Makes somebody an administrator.
    pub(crate) fn promote(&self, person: &Person) {
        self.command(&["user", "set", &person.id.to_string(), "--superuser"]);
    }

    /// Creates and activates the device of a member's circle: its number, user name and password.
    pub(crate) async fn device(
        &self,
        admin: &Person,
        member: &Person,
        circle: i64,
    ) -> (i64, String, String) {
        let token = admin.token.as_str();
        let new = json!({ "token": token, "circle_id": circle, "name": "Kitchen" });
        self.ok("/admin/device/create", new).await;
        let info = json!({ "token": member.token, "circle_id": circle });
        let info = self.ok("/circle/info", info).await;
        let id = info["content"]["device"]["id"].as_i64().unwrap();
        let which = json!({ "token": token, "device_id": id });
        let papers = self.ok("/admin/device/credentials", which).await["content"].clone();
        let activate = json!({ "token": token, "device_id": id, "activation_key": papers["key"] });
        self.ok("/admin/device/activate", activate).await;
        let text = |key: &str| papers[key].as_str().unwrap().to_owned();
        (id, text("username"), text("password"))
    }

    /// Logs a device in; the token.
    pub(crate) async fn device_token(&self, username: &str, password: &str) -> String {
        let login = json!({ "device_username": username, "device_password": password });
        let answer = self.ok("/device/authenticate", login).await;
        answer["device_token"].as_str().unwrap().to_owned()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

enum Frame {
    Event(String, Value),
    Ack(u64, Value),
    Ended,
}

/// A WebSocket that speaks Engine.IO 4 and keeps what it hears in order.
pub(crate) struct Peer {
    out: mpsc::UnboundedSender<Message>,
    frames: mpsc::UnboundedReceiver<Frame>,
    early: VecDeque<Heard>,
    asked: u64,
}

impl Peer {
    async fn connect(address: SocketAddr) -> Self {
        let url = format!("ws://{address}/socket.io/?EIO=4&transport=websocket");
        let (mut stream, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        stream.send(Message::text("40")).await.unwrap();
        let (out, mut queue) = mpsc::unbounded_channel::<Message>();
        let (heard, frames) = mpsc::unbounded_channel();
        let (ready, connected) = tokio::sync::oneshot::channel();
        let mut ready = Some(ready);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    wish = queue.recv() => match wish {
                        Some(message) => if stream.send(message).await.is_err() { break },
                        None => break,
                    },
                    said = stream.next() => match said {
                        Some(Ok(Message::Text(text))) => {
                            let frame = match text.as_str() {
                                "2" => {
                                    let _ = stream.send(Message::text("3")).await;
                                    continue;
                                }
                                text if text.starts_with("40") => {
                                    ready.take().map(|ready| ready.send(()));
                                    continue;
                                }
                                text => read(text),
                            };
                            if let Some(frame) = frame {
                                let _ = heard.send(frame);
                            }
                        }
                        Some(Ok(_)) => {}
                        Some(Err(_)) | None => break,
                    },
                }
            }
            let _ = heard.send(Frame::Ended);
        });
        tokio::time::timeout(DEADLINE, connected).await.unwrap().unwrap();
        Self { out, frames, early: VecDeque::new(), asked: 0 }
    }

    /// Sends an Engine.IO message as it is.
    pub(crate) fn say(&self, text: impl Into<String>) {
        let _ = self.out.send(Message::text(text.into()));
    }

    /// Sends bytes as they are.
    pub(crate) fn say_bytes(&self, bytes: &'static [u8]) {
        let _ = self.out.send(Message::binary(bytes));
    }

    /// Emits and does not wait.
    pub(crate) fn emit(&self, channel: &str, argument: Value) {
        self.say(format!("42{}", Value::Array(vec![channel.into(), argument])));
    }

    /// Emits and waits for the acknowledgement.
    pub(crate) async fn ask(&mut self, channel: &str, argument: Value) -> Value {
        self.asked += 1;
        self.say(format!("42{}{}", self.asked, json!([channel, argument])));
        loop {
            match self.frame().await {
                Frame::Event(channel, argument) => self.early.push_back((channel, argument)),
                Frame::Ack(id, answer) => {
                    assert_eq!(id, self.asked);
                    return answer;
                }
                Frame::Ended => panic!("the connection ended instead of an answer to {channel}"),
            }
        }
    }

    /// The next event.
    pub(crate) async fn event(&mut self) -> Heard {
        if let Some(early) = self.early.pop_front() {
            return early;
        }
        match self.frame().await {
            Frame::Event(channel, argument) => (channel, argument),
            Frame::Ack(id, answer) => panic!("nobody asked {id}: {answer}"),
            Frame::Ended => panic!("the connection ended"),
        }
    }

    /// The next event, which is on this channel.
    pub(crate) async fn expect(&mut self, channel: &str) -> Value {
        let (heard, argument) = self.event().await;
        assert_eq!(heard, channel, "{argument}");
        argument
    }

    /// Emits; the next event is its `success`.
    pub(crate) async fn succeed(&mut self, channel: &str, argument: Value) -> Value {
        self.emit(channel, argument.clone());
        let (heard, answer) = self.event().await;
        assert_eq!(heard, "success", "{channel} {argument}: {answer}");
        answer
    }

    /// Emits; the next event is its `error`, which is a text.
    pub(crate) async fn fail(&mut self, channel: &str, argument: Value) -> String {
        self.emit(channel, argument.clone());
        let (heard, answer) = self.event().await;
        assert_eq!(heard, "error", "{channel} {argument}: {answer}");
        answer.as_str().unwrap_or_else(|| panic!("not a text: {answer}")).to_owned()
    }

    /// Joins a conversation.
    pub(crate) async fn join(&mut self, conversation: i64) {
        let joined = json!({ "conversation_id": conversation });
        let success = self.succeed("join_conversation", joined).await;
        assert!(success.as_str().unwrap().ends_with(&format!("conversation_{conversation}")));
    }

    /// Joins a circle.
    pub(crate) async fn join_circle(&mut self, circle: i64) {
        let success = self.succeed("join_circle", json!({ "circle_id": circle })).await;
        assert!(success.as_str().unwrap().ends_with(&format!("circle_{circle}")));
    }

    /// Everything that was sent to this connection up to now: answers come in order, and this
    /// asks for one that nobody else causes.
    pub(crate) async fn heard(&mut self) -> Vec<Heard> {
        self.say(r#"42["webrtc_stun_info"]"#);
        let mut all = Vec::new();
        loop {
            let (channel, argument) = self.event().await;
            if channel == "webrtc_config" && argument.is_array() {
                return all;
            }
            all.push((channel, argument));
        }
    }

    /// Nothing was sent to this connection that was not looked at.
    pub(crate) async fn quiet(&mut self) {
        assert_eq!(self.heard().await, Vec::<Heard>::new());
    }

    /// Waits until the connection ends, passing over events.
    pub(crate) async fn ended(&mut self) {
        while !matches!(self.frame().await, Frame::Ended) {}
    }

    async fn frame(&mut self) -> Frame {
        let frame = tokio::time::timeout(DEADLINE, self.frames.recv()).await;
        frame.expect("nothing was heard in time").unwrap_or(Frame::Ended)
    }
}

fn read(text: &str) -> Option<Frame> {
    if let Some(event) = text.strip_prefix("42") {
        let mut event: Vec<Value> = serde_json::from_str(event).unwrap();
        assert_eq!(event.len(), 2, "one argument: {text}");
        let argument = event.pop()?;
        return Some(Frame::Event(event.pop()?.as_str()?.to_owned(), argument));
    }
    if let Some(ack) = text.strip_prefix("43") {
        let at = ack.find('[')?;
        let mut answer: Vec<Value> = serde_json::from_str(&ack[at..]).unwrap();
        assert_eq!(answer.len(), 1, "one argument: {text}");
        return Some(Frame::Ack(ack[..at].parse().ok()?, answer.pop()?));
    }
    text.starts_with("41").then_some(Frame::Ended)
}

/// Puts `<iso>` and `<http>` in the place of dates, so that the rest can be compared.
pub(crate) fn undated(mut value: Value) -> Value {
    match &mut value {
        Value::Object(keys) => keys.values_mut().for_each(|value| *value = undated(value.take())),
        Value::Array(items) => items.iter_mut().for_each(|value| *value = undated(value.take())),
        Value::String(text) if is_iso(text) => "<iso>".clone_into(text),
        Value::String(text) if is_http(text) => "<http>".clone_into(text),
        _ => {}
    }
    value
}

/// Like `2018-08-30T02:46:45.120311`, the fraction absent when zero.
fn is_iso(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(w, f)| (w, Some(f)));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let shaped = whole.len() == 19
        && whole.bytes().enumerate().all(|(at, byte)| match at {
            4 | 7 => byte == b'-',
            10 => byte == b'T',
            13 | 16 => byte == b':',
            _ => byte.is_ascii_digit(),
        });
    shaped && fraction.is_none_or(|f| f.len() == 6 && digits(f) && f != "000000")
}

/// Like `Thu, 30 Aug 2018 02:46:45 GMT`.
fn is_http(text: &str) -> bool {
    text.len() == 29 && text.ends_with(" GMT") && text.as_bytes()[3] == b','
}
