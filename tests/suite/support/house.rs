//! A server without ports: all routes on a database of a test's own, and ears on its hub.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, header};
use klatsch::auth::{Auth, Secrets};
use klatsch::clock::Clock;
use klatsch::domain::{CircleChange, ConversationChange, Event, Party, Timestamp, Topic, UserId};
use klatsch::http::{self, Web, layers};
use klatsch::hub::{ConnectionId, Delivery, Listener};
use klatsch::rtc::{Introductions, RelayCredentials};
use klatsch::service::{Parts, PresenceTeller, Services, Typing};
use klatsch::settings::Settings;
use klatsch::store::log::Log;
use klatsch::store::{Files, Store, UserChange};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use super::databases::{Database, sqlite};

/// Everything that a server has but its ports.
pub(crate) struct House {
    pub(crate) router: Router,
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    _database: Database,
    dir: TempDir,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl House {
    /// One with the defaults.
    pub(crate) async fn open() -> Self {
        Self::with(|_| {}).await
    }

    /// One that is set up otherwise.
    pub(crate) async fn with(set: impl FnOnce(&mut Settings)) -> Self {
        Self::on(sqlite(), set).await
    }

    /// One on a given database.
    pub(crate) async fn on(database: Database, set: impl FnOnce(&mut Settings)) -> Self {
        let dir = tempfile::tempdir().expect("a directory can be made");
        let data_dir = dir.path().to_owned();
        let mut settings = Settings { data_dir, ..Settings::default() };
        set(&mut settings);
        // A held clock, so that windows of failed logins do not depend on the machine.
        let clock = Clock::held_at(Timestamp::from_secs(1_539_248_400));
        let options = klatsch::store::Options::at(&database.url);
        let store = Store::open(&options, clock.clone()).await.expect("the database opens");
        store.migrate().await.expect("the schema can be made");
        let secrets = Secrets::open(dir.path(), &settings.auth.token_secret, &settings.turn.secret)
            .expect("secrets can be made");
        let (log, _) = Log::start(&store).expect("the log starts");
        let services = Services::new(Parts {
            store: store.clone(),
            files: Files::open(dir.path()).await.expect("a directory for files"),
            log,
            rtc: Introductions {
                stun: Vec::new(),
                turn: Vec::new(),
                host: None,
                secure: None,
                listens: true,
                relays: true,
                port: Arc::new(3478.into()),
                credentials: RelayCredentials::new("secret", 86_400),
            },
            presence: PresenceTeller::start(store.clone()).0,
            typing: Typing::start(store.clone()),
            auth: Auth::new(&settings.auth, &settings.limits, &secrets, &clock),
            clock: clock.clone(),
            accounts: settings.auth.clone(),
            limits: settings.limits.clone(),
            neo: settings.neo.clone(),
            members_chat: settings.members_chat.clone(),
            courier: settings.courier.clone(),
        });
        let web = Web::new(
            services,
            settings.http.clone(),
            settings.limits.clone(),
            settings.public_url.clone(),
            Arc::new(|| "klatsch_up 1\n".to_owned()),
        )
        .guarding_storage(settings.storage_requires_auth);
        let router = layers::around(http::router(web), &settings.http);
        Self { router, store, clock, _database: database, dir }
    }

    /// Where files lie.
    pub(crate) fn data_dir(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// Sends a request as it is.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("the router answers");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = to_bytes(response.into_body(), 64 << 20).await.expect("a body");
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into());
        Answer { status, headers, body }
    }

    /// Posts a JSON object.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        let body = Body::from(body.to_string());
        self.send(Request::post(path).body(body).expect("a request")).await
    }

    /// Gets with a token in the header.
    pub(crate) async fn get(&self, path: &str, token: &str) -> Answer {
        let request = Request::get(path).header(header::AUTHORIZATION, token);
        self.send(request.body(Body::empty()).expect("a request")).await
    }

    /// Registers `NAME@example.org` and logs in; the token.
    pub(crate) async fn person(&self, name: &str) -> String {
        let email = format!("{name}@example.org");
        let new = json!({
            "email": email, "password": "secret", "first_name": name, "last_name": "Lee",
            "birthday": "1990-12-25",
        });
        let made = self.post("/account/create", new).await;
        assert_eq!(made.status, 201, "{made:?}");
        self.log_in(name).await
    }

    /// Logs `NAME@example.org` in once more; the token.
    pub(crate) async fn log_in(&self, name: &str) -> String {
        let body = json!({ "email": format!("{name}@example.org"), "password": "secret" });
        let answer = self.post("/account/login", body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text("token")
    }

    /// The same, as an administrator.
    pub(crate) async fn administrator(&self, name: &str) -> String {
        let token = self.person(name).await;
        let id = self.id_of(&token).await;
        let change = UserChange { superuser: Some(true), ..UserChange::default() };
        self.store.change_user(UserId::new(id), change).await.expect("a change");
        token
    }

    /// The number of the user whose token it is.
    pub(crate) async fn id_of(&self, token: &str) -> i64 {
        let answer = self.post("/user/info", json!({ "token": token })).await;
        answer.body["content"]["id"].as_i64().expect("an id")
    }

    /// Makes a circle with members; its number.
    pub(crate) async fn circle(&self, owner: &str, members: &[&str]) -> i64 {
        let made = self.post("/circle/create", json!({"token": owner, "name": "Home"})).await;
        let id = made.body["content"]["id"].as_i64().expect("a circle");
        for member in members {
            let info = self.post("/user/info", json!({ "token": member })).await;
            let email = info.body["content"]["email"].clone();
            let wish = json!({ "token": owner, "circle_id": id, "email": email });
            assert_eq!(self.post("/circle/invite", wish).await.status, 200);
            let info = self.post("/user/info", json!({ "token": member })).await;
            let invite = info.body["content"]["invites"][0]["id"].clone();
            let join = json!({ "token": member, "invite_id": invite });
            assert_eq!(self.post("/circle/join", join).await.status, 200);
        }
        id
    }

    /// Listens to topics.
    pub(crate) fn ear(&self, topics: &[Topic]) -> Arc<Ear> {
        let ear = Arc::new(Ear::default());
        let id = self.store.hub().attach(Arc::clone(&ear) as Arc<dyn Listener>);
        *ear.connection.lock() = Some(id);
        for topic in topics {
            self.store.hub().subscribe(id, *topic);
        }
        ear
    }
}

impl Answer {
    /// A key that holds a text.
    pub(crate) fn text(&self, key: &str) -> String {
        self.body[key].as_str().unwrap_or_else(|| panic!("{key} in {self:?}")).to_owned()
    }

    /// Whether it is a failure envelope with this status and a sentence.
    pub(crate) fn is_failure(&self, status: u16) -> bool {
        self.status == status
            && self.body["success"] == json!(false)
            && self.body["message"].as_str().is_some_and(|text| !text.is_empty())
            && self.body.as_object().is_some_and(|keys| keys.len() == 2)
    }
}

/// Hears events and notes them in short.
#[derive(Default)]
pub(crate) struct Ear {
    heard: Mutex<Vec<String>>,
    pub(crate) connection: Mutex<Option<ConnectionId>>,
}

impl Ear {
    /// What was heard since the last time.
    pub(crate) fn heard(&self) -> Vec<String> {
        std::mem::take(&mut self.heard.lock())
    }
}

impl Listener for Ear {
    fn offer(&self, delivery: &Arc<Delivery>) {
        self.heard.lock().push(short(delivery.event()));
    }
}

fn short(event: &Event) -> String {
    match event {
        Event::CircleChanged { circle, change } => {
            format!("circle {circle}: {}", in_circle(change))
        }
        Event::ConversationChanged { conversation, change } => {
            format!("conversation {conversation}: {}", in_conversation(change))
        }
        Event::LoginEnded { deactivated, .. } => format!("login ended, {deactivated}"),
        Event::MessagePosted { message, .. } => format!("message {}", message.text),
        other => format!("{other:?}"),
    }
}

fn in_circle(change: &CircleChange) -> String {
    match change {
        CircleChange::Invited(id) => format!("invite {id}"),
        CircleChange::Joined(who) => format!("join {}", name(who)),
        CircleChange::Quit(who) => format!("quit {}", name(who)),
        CircleChange::Kicked { user, by } => format!("kick {} by {}", name(user), name(by)),
        CircleChange::Connected(who) => format!("connect {}", name(who)),
        CircleChange::Disconnected(who) => format!("disconnect {}", name(who)),
        other => format!("{other:?}"),
    }
}

fn in_conversation(change: &ConversationChange) -> String {
    match change {
        ConversationChange::Kicked { user, by } => format!("kick {} by {}", name(user), name(by)),
        ConversationChange::Quit(who) => format!("quit {}", name(who)),
        other => format!("{other:?}"),
    }
}

fn name(party: &Party) -> String {
    match party {
        Party::User(user) => user.username.clone(),
        Party::Device(device) => device.username.clone(),
    }
}
