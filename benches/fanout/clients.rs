//! A crowd of raw WebSocket clients that speak just enough to be in the room.

use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// How many of a crowd speak: who is served in order has one message under way.
const SPEAKERS: usize = 8;

/// How clients talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// Engine.IO 4 by WebSocket.
    SocketIo,
    /// The bytes of an event, bare.
    Bare,
    /// A raw WebSocket of this dialect.
    Raw(Dialect),
}

/// The raw dialects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    PrivateChat,
    MembersChat,
    Multichat,
    Courier,
}

impl Dialect {
    pub(crate) const ALL: [Self; 4] =
        [Self::PrivateChat, Self::MembersChat, Self::Multichat, Self::Courier];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::PrivateChat => "private-chat",
            Self::MembersChat => "members-chat",
            Self::Multichat => "multichat",
            Self::Courier => "courier",
        }
    }
}

/// Connections that are all in the room; the first few speak in turn.
pub(crate) struct Crowd {
    /// Who speaks, and how.
    speakers: Vec<(Wire, mpsc::UnboundedSender<String>)>,
    heard: mpsc::UnboundedReceiver<Instant>,
    size: usize,
    conversation: Option<i64>,
}

/// A server as its clients see it.
pub(crate) struct Door {
    wires: Vec<Wire>,
    address: String,
    access: Option<Access>,
}

impl Door {
    /// Makes accounts and a conversation where the server has such; clients will take these
    /// ways in turn.
    pub(crate) async fn open(wires: &[Wire], address: &str) -> Self {
        let access = match wires[0] {
            Wire::SocketIo | Wire::Raw(_) => Access::ask(address).await,
            Wire::Bare => None,
        };
        Self { wires: wires.to_vec(), address: address.to_owned(), access }
    }
}

impl Crowd {
    /// Connects `size` clients by identity, and into the room where there is one.
    pub(crate) async fn gather(door: &Door, size: usize) -> Self {
        let Door { wires, address, access } = door;
        let (tell, heard) = mpsc::unbounded_channel();
        let mut speakers = Vec::new();
        for number in 0..size {
            let wire = wires[number % wires.len()];
            let mut socket = connect(wire, address, access.as_ref()).await;
            if let (Some(access), Wire::SocketIo) = (access, wire) {
                access.enter(&mut socket).await;
            }
            let (mut write, read) = socket.split();
            let (say, mut said) = mpsc::unbounded_channel::<String>();
            tokio::spawn(async move {
                while let Some(text) = said.recv().await {
                    // When a server is stopped its clients find out by reading.
                    let _ = write.send(Message::text(text)).await;
                }
            });
            tokio::spawn(listen(read, say.clone(), tell.clone()));
            if speakers.len() < SPEAKERS {
                speakers.push((wire, say));
            }
        }
        let conversation = access.as_ref().map(|access| access.conversation);
        Self { speakers, heard, size, conversation }
    }

    /// Sends so many messages, at most `under_way` of them not yet heard by all; gives the
    /// times until each listener heard, in milliseconds, ascending.
    pub(crate) async fn play(&mut self, messages: usize, under_way: usize) -> Vec<f64> {
        let mut latencies = Vec::with_capacity(messages * self.size);
        let mut begun = std::collections::VecDeque::new();
        let mut heard_of_first = 0;
        let mut sent = 0;
        let mut finished = 0;
        while finished < messages {
            while sent < messages && begun.len() < under_way {
                let (wire, speaker) = &self.speakers[sent % self.speakers.len()];
                speaker.send(self.message(*wire, sent)).unwrap();
                begun.push_back(Instant::now());
                sent += 1;
            }
            let heard = tokio::time::timeout(Duration::from_secs(30), self.heard.recv()).await;
            let Ok(Some(at)) = heard else {
                panic!(
                    "of {sent} messages {finished} were heard by all, and one {heard_of_first} times"
                );
            };
            latencies.push(at.duration_since(begun[0]).as_secs_f64() * 1000.0);
            heard_of_first += 1;
            if heard_of_first == self.size {
                heard_of_first = 0;
                finished += 1;
                begun.pop_front();
            }
        }
        latencies.sort_by(f64::total_cmp);
        latencies
    }

    fn message(&self, wire: Wire, number: usize) -> String {
        let text = format!(
            "message number {number:06} of about eighty bytes, which is what people write at once"
        );
        match (wire, self.conversation) {
            (Wire::SocketIo, Some(id)) => {
                format!("42{}", json!(["message", { "conversation_id": id, "text_message": text }]))
            }
            // The bytes that our server's event has, so that all carry the same load.
            (Wire::Raw(_), Some(id)) => {
                json!({ "command": "send", "room": id, "message": text }).to_string()
            }
            (Wire::SocketIo | Wire::Raw(_), None) | (Wire::Bare, _) => {
                format!("42{}", json!(["message", event(&text)]))
            }
        }
    }
}

/// An event as large as ours.
fn event(text: &str) -> Value {
    json!({
        "conversation_id": 1,
        "message": {
            "id": 100_000, "link_id": 1, "sent": "2026-11-21T15:02:58.123619", "read": null,
            "content": text, "medias": 0, "seq": 100_000, "revision": 100_000,
        },
        "time": "2026-11-21T15:02:58.123619",
        "sender": {
            "id": 1, "email": "ann@example.org", "first_name": "Ann", "last_name": "Lee",
            "birthday": "1990-12-25T00:00:00", "created": "2026-11-21T15:02:54.317906",
            "updated": "2026-11-21T15:02:54.317906", "isOnline": true, "type": "DEFAULT",
        },
        "media_list": [],
        "status": "done",
    })
}

/// What it takes to be let into a conversation; servers without accounts need none.
struct Access {
    token: String,
    user: i64,
    other: i64,
    conversation: i64,
}

impl Access {
    async fn ask(address: &str) -> Option<Self> {
        let http = reqwest::Client::new();
        let post = async |path: &str, body: Value| -> Option<Value> {
            let url = format!("http://{address}{path}");
            let answer = http.post(url).body(body.to_string()).send().await.ok()?;
            answer.json().await.ok()
        };
        for name in ["ann", "bob"] {
            let account = json!({
                "email": format!("{name}@example.org"), "password": "password",
                "first_name": name, "last_name": "Lee", "birthday": "1990-12-25",
            });
            post("/account/create", account).await?;
        }
        let login =
            |name: &str| json!({ "email": format!("{name}@example.org"), "password": "password" });
        let token = post("/account/login", login("ann")).await?["token"].as_str()?.to_owned();
        let other = post("/account/login", login("bob")).await?["token"].as_str()?.to_owned();
        let circle = post("/circle/create", json!({ "token": token, "name": "c" })).await?;
        let circle = &circle["content"]["id"];
        let invite = json!({ "token": token, "circle_id": circle, "email": "bob@example.org" });
        post("/circle/invite", invite).await?;
        let info = post("/user/info", json!({ "token": other })).await?;
        let invite = &info["content"]["invites"][0]["id"];
        post("/circle/join", json!({ "token": other, "invite_id": invite })).await?;
        let first = json!({ "token": token, "circle_id": circle, "email": "bob@example.org" });
        let conversation =
            post("/message/first-message", first).await?["conversation_id"].as_i64()?;
        let id_of = async |token: &str| {
            let info = post("/user/info", json!({ "token": token })).await?;
            info["content"]["id"].as_i64()
        };
        let (user, other) = (id_of(&token).await?, id_of(&other).await?);
        Some(Self { token, user, other, conversation })
    }

    fn path(&self, dialect: Dialect) -> String {
        let Self { token, other, .. } = self;
        match dialect {
            Dialect::PrivateChat => format!("/private-chat/{token}/bob"),
            Dialect::MembersChat => format!("/members/chat/?other_member_id={other}"),
            Dialect::Multichat => format!("/chat/stream/?token={token}"),
            Dialect::Courier => format!("/courier?token={token}"),
        }
    }

    /// The first words of a client, each of which is answered.
    fn greeting(&self, dialect: Dialect) -> Vec<String> {
        vec![match dialect {
            Dialect::PrivateChat => json!({ "type": "check-online" }).to_string(),
            Dialect::MembersChat => format!("Bearer {}", self.token),
            Dialect::Multichat => {
                json!({ "command": "join", "room": self.conversation, "history": 0 }).to_string()
            }
            Dialect::Courier => self.user.to_string(),
        }]
    }

    async fn enter(&self, socket: &mut Socket) {
        for (event, argument) in [
            ("authenticate", json!({ "token": self.token })),
            ("join_conversation", json!({ "conversation_id": self.conversation })),
        ] {
            let packet = format!("42{}", json!([event, argument]));
            socket.send(Message::text(packet)).await.unwrap();
            loop {
                let text = next_text(socket).await;
                assert!(!text.starts_with("42[\"error\""), "{text}");
                if text.starts_with("42[\"success\"") {
                    break;
                }
            }
        }
    }
}

async fn connect(wire: Wire, address: &str, access: Option<&Access>) -> Socket {
    let path = match (wire, access) {
        (Wire::SocketIo, _) => "/socket.io/?EIO=4&transport=websocket".to_owned(),
        (Wire::Raw(dialect), Some(access)) => access.path(dialect),
        (Wire::Bare | Wire::Raw(_), _) => "/".to_owned(),
    };
    let (mut socket, _) = connect_async(format!("ws://{address}{path}")).await.unwrap();
    if let (Wire::Raw(dialect), Some(access)) = (wire, access) {
        for words in access.greeting(dialect) {
            socket.send(Message::text(words)).await.unwrap();
            next_text(&mut socket).await;
        }
    }
    if wire == Wire::SocketIo {
        assert!(next_text(&mut socket).await.starts_with('0'));
        socket.send(Message::text("40")).await.unwrap();
        assert!(next_text(&mut socket).await.starts_with("40"));
    }
    socket
}

/// The next text but heartbeats, which may come right behind a handshake and are answered.
async fn next_text(socket: &mut Socket) -> String {
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Text(text) if text == "2" => socket.send(Message::text("3")).await.unwrap(),
            Message::Text(text) => return text.to_string(),
            _ => {}
        }
    }
}

/// Tells when a message of the room arrives, and answers heartbeats.
async fn listen(
    mut read: futures_util::stream::SplitStream<Socket>,
    say: mpsc::UnboundedSender<String>,
    tell: mpsc::UnboundedSender<Instant>,
) {
    while let Some(Ok(received)) = read.next().await {
        let Message::Text(text) = received else { continue };
        if text.starts_with("42[\"message\"") || text.starts_with("{\"msg_type\":0,") {
            let _ = tell.send(Instant::now());
        } else if text == "2" {
            let _ = say.send("3".to_owned());
        }
    }
}
