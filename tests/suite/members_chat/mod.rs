//! members-chat over real sockets: what its page promises, check by check.

mod bad_input;
mod bridges;
mod crash;
mod extras;
mod files;
mod http;
mod money;
mod opening;
mod page;
mod worked;

use klatsch::settings::Settings;
use klatsch::store::{Amount, UserChange};
use serde_json::{Value, json};

use crate::support::raw::Raw;
use crate::support::world::World;

/// A server on which nobody is too fast.
pub(super) struct Town {
    pub(super) world: World,
    http: reqwest::Client,
}

/// Somebody with an account.
pub(super) struct Member {
    pub(super) id: i64,
    pub(super) token: String,
}

impl Town {
    pub(super) async fn open() -> Self {
        Self::with(|_| {}).await
    }

    pub(super) async fn with(set: impl FnOnce(&mut Settings)) -> Self {
        let world = World::with(|settings| {
            settings.limits.frames_per_second =
                const { std::num::NonZeroU32::new(10_000).unwrap() };
            settings.limits.sockets_per_user = const { std::num::NonZeroUsize::new(50).unwrap() };
            set(settings);
        })
        .await;
        Self { world, http: reqwest::Client::new() }
    }

    /// Registers `NAME@example.org` with coins for many messages, and logs in.
    pub(super) async fn member(&self, name: &str) -> Member {
        let member = self.poor(name).await;
        self.give(&member, 1_000_000).await;
        member
    }

    /// The same without coins.
    pub(super) async fn poor(&self, name: &str) -> Member {
        let email = format!("{name}@example.org");
        let new = json!({ "email": email, "password": "123", "repeat_password": "123" });
        let (status, made) = self.world.post("/auth/register", new).await;
        assert_eq!(status, 201, "{made}");
        let login = json!({ "email": email, "password": "123" });
        let (status, answer) = self.world.post("/auth/login", login).await;
        assert_eq!(status, 200, "{answer}");
        let token = answer["access_token"].as_str().unwrap().to_owned();
        assert_eq!(answer["member_id"], made["id"]);
        Member { id: made["id"].as_i64().unwrap(), token }
    }

    /// Changes an account, as the command line would.
    pub(super) async fn change(&self, member: &Member, change: UserChange) {
        let store = self.world.store().await;
        let id = klatsch::domain::UserId::new(member.id);
        store.change_user(id, change).await.unwrap();
    }

    /// Gives coins.
    pub(super) async fn give(&self, member: &Member, coins: i64) {
        let balance = Some(Amount::More(coins));
        self.change(member, UserChange { balance, ..UserChange::default() }).await;
    }

    /// What somebody has.
    pub(super) async fn balance(&self, member: &Member) -> i64 {
        self.get("/members/me", &member.token).await.1["balance"].as_i64().unwrap()
    }

    /// Gets JSON with a token.
    pub(super) async fn get(&self, path: &str, token: &str) -> (u16, Value) {
        let request = self.http.get(format!("{}{path}", self.world.url()));
        let answer = request.bearer_auth(token).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    /// A superuser.
    pub(super) async fn root(&self) -> Member {
        let root = self.poor("root").await;
        self.change(&root, UserChange { superuser: Some(true), ..UserChange::default() }).await;
        root
    }

    /// Makes a smile: its number and the public name of its picture.
    pub(super) async fn smile(&self, root: &Member, price: i64) -> (i64, String) {
        let picture = reqwest::multipart::Part::bytes(PNG.to_vec()).file_name("cat.png");
        let form =
            reqwest::multipart::Form::new().part("file", picture).text("price", price.to_string());
        let request = self.http.post(format!("{}/storage/smiles", self.world.url()));
        let answer = request.bearer_auth(&root.token).multipart(form).send().await.unwrap();
        assert_eq!(answer.status(), 201);
        let smile: Value = answer.json().await.unwrap();
        (smile["id"].as_i64().unwrap(), smile["file_uuid"].as_str().unwrap().to_owned())
    }

    /// A stored file: status, type and bytes.
    pub(super) async fn fetch(&self, uuid: &Value) -> (u16, String, Vec<u8>) {
        let uuid = uuid.as_str().unwrap();
        let url = format!("{}/storage?uuid={uuid}", self.world.url());
        let answer = self.http.get(url).send().await.unwrap();
        let mime = answer.headers()["content-type"].to_str().unwrap().to_owned();
        (answer.status().as_u16(), mime, answer.bytes().await.unwrap().to_vec())
    }

    /// The address of the chat with somebody.
    pub(super) fn address(&self, other: i64, more: &str) -> String {
        format!("ws://{}/members/chat/?other_member_id={other}{more}", self.world.address)
    }

    /// Connects and says who it is; the history comes next.
    pub(super) async fn begin(&self, me: &Member, other: &Member, more: &str) -> Raw {
        let mut raw = Raw::connect(&self.address(other.id, more), &[]).await;
        raw.send(format!("Bearer {}", me.token)).await;
        raw
    }

    /// Opens a chat with more in its address; the connection and the history.
    pub(super) async fn open_with(
        &self,
        me: &Member,
        other: &Member,
        more: &str,
    ) -> (Raw, Vec<Value>) {
        let mut raw = self.begin(me, other, more).await;
        let history = raw.json().await;
        let Value::Array(history) = history else { panic!("{history}") };
        (raw, history)
    }

    /// Opens a chat; its history is passed over.
    pub(super) async fn chat(&self, me: &Member, other: &Member) -> Raw {
        self.open_with(me, other, "").await.0
    }
}

/// A picture of one pixel.
pub(super) const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0";

/// A file frame.
pub(super) fn file(head: &str, bytes: &[u8]) -> Vec<u8> {
    [b"!", head.as_bytes(), b"#", bytes].concat()
}

/// An id in a frame.
pub(super) fn id(frame: &Value) -> i64 {
    frame["id"].as_i64().unwrap_or_else(|| panic!("no id in {frame}"))
}

/// What a frame says.
pub(super) fn text(frame: &Value) -> &str {
    frame["text"].as_str().unwrap_or_else(|| panic!("no text in {frame}"))
}

/// Whether a date has the form of the page: six digits behind the point, no zone.
pub(super) fn is_date(date: &Value) -> bool {
    let shape = "dddd-dd-ddTdd:dd:dd.dddddd";
    date.as_str().is_some_and(|date| {
        date.len() == shape.len()
            && date.bytes().zip(shape.bytes()).all(|(byte, form)| match form {
                b'd' => byte.is_ascii_digit(),
                form => byte == form,
            })
    })
}

/// A frame without its date, which is a good one.
pub(super) fn undated(mut frame: Value) -> Value {
    assert!(is_date(&frame["date"]), "{frame}");
    frame.as_object_mut().unwrap().remove("date");
    frame
}
