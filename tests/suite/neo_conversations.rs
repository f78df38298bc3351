//! The NEO API's conversations, messages and files, row by row of its page, with the events
//! they cause.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, header};
use klatsch::domain::{ConversationId, DeviceId, Event, Principal, Topic, UserId};
use klatsch::hub::{Delivery, Listener};
use klatsch::policy::MayKeepRooms;
use klatsch::wire::neo;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::support::house::{Answer, House};

const NOBODY: &str = "nobody@example.org";
const WHEN: &str = "Thu, 11 Oct 2018 09:00:00 GMT";
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01";

/// Notes what the named channels say of events.
#[derive(Default)]
struct Channels(Mutex<Vec<Value>>);

impl Channels {
    fn heard(&self) -> Vec<Value> {
        std::mem::take(&mut self.0.lock())
    }
}

impl Listener for Channels {
    fn offer(&self, delivery: &Arc<Delivery>) {
        use neo::MessageNotice::{Deleted, Updated};
        let payload = match delivery.event() {
            Event::MessagePosted { message, sender, .. } => neo::message_sent(message, sender),
            Event::FileArrived { message, media, by } => neo::file_arrived(message, media, by),
            Event::MessageEdited { message, .. } => {
                neo::message_notice(message.conversation, message.id, Updated)
            }
            Event::MessageRemoved { message, .. } => {
                neo::message_notice(message.conversation, message.id, Deleted)
            }
            Event::ConversationChanged { conversation, change } => {
                neo::conversation_changed(*conversation, change)
            }
            _ => return,
        };
        self.0.lock().push(payload);
    }
}

/// Ann, Bob and Eve, a circle of Ann and Bob with a device, and what Ann began with Bob.
struct Scene {
    house: House,
    ann: String,
    bob: String,
    eve: String,
    home: i64,
    device: (i64, String),
    talk: i64,
}

impl Scene {
    async fn set() -> Self {
        Self::with(House::open().await).await
    }

    async fn with(house: House) -> Self {
        let root = house.administrator("root").await;
        let (ann, bob) = (house.person("ann").await, house.person("bob").await);
        let eve = house.person("eve").await;
        let home = house.circle(&ann, &[&bob]).await;
        let device = device(&house, &root, home).await;
        let first = json!({
            "token": ann, "circle_id": home, "email": "bob@example.org", "text_message": "hi",
        });
        let begun = house.post("/message/first-message", first).await;
        assert_eq!(begun.status, 200, "{begun:?}");
        let talk = begun.body["conversation_id"].as_i64().expect("a conversation");
        Self { house, ann, bob, eve, home, device, talk }
    }

    fn listen(&self, topic: Topic) -> Arc<Channels> {
        let ear = Arc::new(Channels::default());
        let hub = self.house.store.hub();
        let id = hub.attach(Arc::clone(&ear) as Arc<dyn Listener>);
        hub.subscribe(id, topic);
        ear
    }

    fn room(&self) -> Arc<Channels> {
        self.listen(Topic::Conversation(ConversationId::new(self.talk)))
    }

    async fn inbox(&self, token: &str) -> Arc<Channels> {
        let user = UserId::new(self.house.id_of(token).await);
        self.listen(Topic::Inbox(Principal::User(user)))
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.house.post(path, body).await
    }

    /// Posts to a path that must succeed; what is under `content`.
    async fn content(&self, path: &str, body: Value) -> Value {
        let answer = self.post(path, body).await;
        assert_eq!(answer.status, 200, "{path} {answer:?}");
        answer.body["content"].clone()
    }

    /// Lets the device in.
    async fn let_device_in(&self) {
        let body = json!({"token": self.ann, "conversation_id": self.talk});
        let done = self.post("/conversation/device/add", body).await;
        assert_eq!(done.status, 200, "{done:?}");
    }

    /// Posts a message with these files; its number and theirs.
    async fn send(&self, token: &str, words: &str, files: Value) -> (i64, Vec<i64>) {
        let body = json!({
            "token": token, "conversation_id": self.talk, "text_message": words, "files": files,
        });
        let answer = self.post("/message/send", body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        numbers(&answer)
    }

    /// Refuses each body with its status.
    async fn refuses(&self, path: &str, table: Vec<(Value, u16)>) {
        for (body, status) in table {
            let answer = self.post(path, body.clone()).await;
            assert!(answer.is_failure(status), "{path} {body} {answer:?}");
        }
    }
}

fn numbers(answer: &Answer) -> (i64, Vec<i64>) {
    let medias = answer.body["media_list"].as_array().expect("a list");
    let medias = medias.iter().map(|media| media["id"].as_i64().expect("a number")).collect();
    (answer.body["message_id"].as_i64().expect("a number"), medias)
}

/// Makes and activates a circle's device; its number and token.
async fn device(house: &House, root: &str, circle: i64) -> (i64, String) {
    let wish = json!({"token": root, "circle_id": circle, "name": "Box"});
    assert_eq!(house.post("/admin/device/create", wish).await.status, 200);
    let standing = house.store.find_circle(klatsch::domain::CircleId::new(circle)).await;
    let id = standing.expect("an answer").expect("a circle").device.expect("a device").get();
    let asked = json!({"token": root, "device_id": id});
    let keys = house.post("/admin/device/credentials", asked).await.body["content"].clone();
    let key = json!({"token": root, "device_id": id, "activation_key": keys["key"]});
    assert_eq!(house.post("/admin/device/activate", key).await.status, 200);
    let login = json!({
        "device_username": keys["username"], "device_password": keys["password"],
    });
    (id, house.post("/device/authenticate", login).await.text("device_token"))
}

fn multipart(path: &str, token: &str, parts: &[(&str, Option<&str>, &[u8])]) -> Request<Body> {
    let mut body = Vec::new();
    for (part, name, bytes) in parts {
        let name = name.map(|name| format!("; filename=\"{name}\"")).unwrap_or_default();
        let head = format!("--x\r\nContent-Disposition: form-data; name=\"{part}\"{name}\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--x--\r\n");
    Request::post(path)
        .header(header::AUTHORIZATION, token)
        .header(header::CONTENT_TYPE, "multipart/form-data; boundary=x")
        .body(Body::from(body))
        .expect("a request")
}

async fn upload(house: &House, token: &str, media: i64, name: &str, bytes: &[u8]) -> Answer {
    let parts = [("media_id", None, b"1".as_slice()), ("file", Some(name), bytes)];
    house.send(multipart(&format!("/media/upload/{media}"), token, &parts)).await
}

/// A file as it comes over the wire.
async fn fetch(house: &House, media: i64, headers: &[(&str, &str)]) -> (u16, HeaderMap, Vec<u8>) {
    let mut request = Request::get(format!("/media/file/{media}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).expect("a request");
    let response = house.router.clone().oneshot(request).await.expect("an answer");
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = to_bytes(response.into_body(), 1 << 20).await.expect("a body").to_vec();
    (status, headers, bytes)
}

#[tokio::test]
async fn a_conversation_begins_with_a_first_message() {
    let house = House::open().await;
    let (ann, bob) = (house.person("ann").await, house.person("bob").await);
    let eve = house.person("eve").await;
    let home = house.circle(&ann, &[&bob]).await;
    let user = UserId::new(house.id_of(&bob).await);
    let ear = Arc::new(Channels::default());
    let id = house.store.hub().attach(Arc::clone(&ear) as Arc<dyn Listener>);
    house.store.hub().subscribe(id, Topic::Inbox(Principal::User(user)));

    let first = json!({
        "token": ann, "circle_id": home, "email": "bob@example.org", "text_message": "hi",
        "files": ["a.png", ["nested", 1]],
    });
    let begun = house.post("/message/first-message", first.clone()).await;
    assert_eq!(begun.status, 200, "{begun:?}");
    let talk = begun.body["conversation_id"].as_i64().expect("a conversation");
    let names = begun.body["media_list"].as_array().expect("a list").iter();
    let names: Vec<_> = names.map(|media| media["identifier"].clone()).collect();
    assert_eq!(names, [json!("a.png"), json!("[\"nested\",1]")]);
    assert_eq!(ear.heard(), [json!({"event": "invite", "conversation_id": talk})]);

    let asked = json!({"token": bob, "conversation_id": talk});
    let info = house.post("/conversation/info", asked).await;
    let content = &info.body["content"];
    assert_eq!(content["name"], "Conversation");
    assert_eq!(content["device_access"], false);
    assert_eq!(content["created"], WHEN);
    assert_eq!(content["circle"]["id"], home);
    let link = &content["links"][0];
    assert_eq!((&link["privilege"], &link["circle_id"]), (&json!("ADMIN"), &json!(home)));
    assert_eq!(link["user_id"]["email"], "ann@example.org");
    assert_eq!(link["conversation_id"]["id"], talk);
    assert_eq!(link["messages"], content["messages"]);
    let message = &content["messages"][0];
    assert_eq!(message["link_id"], link["id"], "a first message has its link");
    assert_eq!((&message["content"], &message["medias"]), (&json!("hi"), &json!(2)));
    assert_eq!(content["links"][1]["privilege"], "STANDARD");
    assert_eq!(content["links"][1]["messages"], json!([]));
    let twin = house.get(&format!("/conversation/info/{talk}"), &bob).await;
    assert_eq!(twin.body, info.body);

    let with = |key: &str, value: Value| {
        let mut body = first.clone();
        body[key] = value;
        body
    };
    let table = [
        (with("email", json!(NOBODY)), 404),
        (with("circle_id", json!(99)), 404),
        (with("token", json!(eve)), 403),
        (with("email", json!("eve@example.org")), 403),
        (with("email", json!("ann@example.org")), 400),
        (with("email", json!(7)), 400),
        (with("circle_id", json!("x")), 400),
        (with("files", json!("a.png")), 400),
        (with("files", json!(vec!["x"; 10_000])), 400),
        (with("text_message", json!("x".repeat(8193))), 400),
        (with("token", json!("nonsense")), 401),
    ];
    for (body, status) in table {
        let answer = house.post("/message/first-message", body).await;
        assert!(answer.is_failure(status), "{status} {answer:?}");
    }
}

#[tokio::test]
async fn nobody_begins_conversations_or_invites_without_pause() {
    let house = House::with(|settings| {
        settings.limits.groups_per_minute = 2.try_into().expect("not zero");
        settings.limits.group_members = 3.try_into().expect("not zero");
    })
    .await;
    let (ann, bob) = (house.person("ann").await, house.person("bob").await);
    let home = house.circle(&ann, &[&bob]).await;
    let first = |token: &str, email: &str| {
        let body =
            json!({ "token": token, "circle_id": home, "email": email, "text_message": "hi" });
        house.post("/message/first-message", body)
    };
    for _ in 0..2 {
        assert_eq!(first(&ann, "bob@example.org").await.status, 200);
    }
    let refused = first(&ann, "bob@example.org").await;
    assert!(refused.is_failure(429), "{refused:?}");
    assert!(refused.headers.contains_key(header::RETRY_AFTER));
    assert_eq!(first(&bob, "ann@example.org").await.status, 200, "others are not slowed");

    // Who asks the people of one group has not yet asked too many: Bob was the first of three.
    for (name, status) in [("cy", 200), ("dan", 200), ("eve", 429)] {
        house.person(name).await;
        let wish =
            json!({ "token": ann, "circle_id": home, "email": format!("{name}@example.org") });
        let answer = house.post("/circle/invite", wish).await;
        assert_eq!(answer.status, status, "{name} {answer:?}");
    }
}

#[tokio::test]
async fn users_and_devices_begin_conversations_with_each_other() {
    let scene = Scene::set().await;
    let (device, device_token) = &scene.device;
    let inbox = scene.listen(Topic::Inbox(Principal::Device(DeviceId::new(*device))));
    let first = json!({"token": scene.ann, "circle_id": scene.home, "text_message": "hello box"});
    let begun = scene.post("/message/device/first-message", first.clone()).await;
    let talk = begun.body["conversation_id"].clone();
    assert_eq!(inbox.heard(), [json!({"event": "invite", "conversation_id": talk})]);
    let body = json!({"device_token": device_token, "conversation_id": talk});
    let content = scene.content("/conversation/info", body).await;
    assert_eq!((&content["name"], &content["device_access"]), (&json!("Home"), &json!(true)));
    assert_eq!(content["links"].as_array().map(Vec::len), Some(1));
    assert_eq!(content["links"][0]["privilege"], "ADMIN");

    let inbox = scene.inbox(&scene.bob).await;
    let first = json!({"device_token": device_token, "email": "bob@example.org", "files": ["f"]});
    let begun = scene.post("/device/message/first-message", first).await;
    let talk = begun.body["conversation_id"].clone();
    assert_eq!(inbox.heard(), [json!({"event": "invite", "conversation_id": talk})]);
    let content =
        scene.content("/conversation/info", json!({"token": scene.bob, "conversation_id": talk}));
    let content = content.await;
    assert_eq!(content["name"], "NewConversation");
    assert_eq!(content["links"][0]["privilege"], "ADMIN");
    assert_eq!(content["messages"][0]["device_id"], *device);
    assert_eq!(content["messages"][0].get("link_id"), None);

    scene
        .refuses(
            "/message/device/first-message",
            vec![
                (json!({"token": scene.ann, "circle_id": 99}), 404),
                (json!({"token": scene.eve, "circle_id": scene.home}), 403),
                (json!({"device_token": device_token, "circle_id": scene.home}), 401),
            ],
        )
        .await;
    let elsewhere = scene.house.circle(&scene.eve, &[]).await;
    let without = json!({"token": scene.eve, "circle_id": elsewhere});
    scene.refuses("/message/device/first-message", vec![(without, 404)]).await;
    scene
        .refuses(
            "/device/message/first-message",
            vec![
                (json!({"device_token": device_token, "email": NOBODY}), 404),
                (json!({"device_token": device_token, "email": "eve@example.org"}), 403),
                (json!({"token": scene.ann, "email": "bob@example.org"}), 401),
            ],
        )
        .await;
}

#[tokio::test]
async fn conversations_are_listed_shown_and_renamed() {
    let scene = Scene::set().await;
    let (talk, device) = (scene.talk, &scene.device.1);
    let list = |token: &str| json!({"token": token, "circle_id": scene.home});
    let ann = scene.content("/conversation/list", list(&scene.ann)).await;
    let expected = json!([{
        "id": talk, "name": "Conversation", "created": WHEN, "updated": WHEN,
        "circle_id": scene.home, "device_access": false,
    }]);
    assert_eq!(ann, expected);
    let twin = scene.house.get(&format!("/conversation/list/{}", scene.home), &scene.ann).await;
    assert_eq!(twin.body["content"], expected);
    let by_device = json!({"device_token": device, "circle_id": scene.home});
    assert_eq!(scene.content("/conversation/list", by_device.clone()).await, json!([]));
    scene.refuses("/conversation/list", vec![(list(&scene.eve), 403)]).await;
    let unknown = json!({"token": scene.ann, "circle_id": 99});
    scene.refuses("/conversation/list", vec![(unknown, 404)]).await;

    let room = scene.room();
    let update = json!({"token": scene.ann, "conversation_id": talk, "conversation_name": "Tea"});
    let content = scene.content("//conversation/update", update.clone()).await;
    assert_eq!(content["name"], "Tea");
    assert_eq!(room.heard(), [json!({"event": "update", "conversation_id": talk})]);
    let on = json!({"token": scene.ann, "conversation_id": talk, "device_access": true});
    assert_eq!(scene.content("/conversation/update", on).await["device_access"], true);
    assert_eq!(scene.content("/conversation/list", by_device).await[0]["id"], talk);
    let by_device = json!({
        "device_token": device, "conversation_id": talk, "conversation_name": "Box's",
        "device_access": false,
    });
    assert_eq!(scene.content("/conversation/update", by_device.clone()).await["name"], "Box's");
    let put = Request::put("/conversation/update").body(Body::from(update.to_string()));
    assert_eq!(scene.house.send(put.expect("a request")).await.status, 200);

    let with = |token: &str, id: i64| json!({"token": token, "conversation_id": id});
    let long = json!({
        "token": scene.ann, "conversation_id": talk, "conversation_name": "x".repeat(121),
    });
    scene
        .refuses(
            "/conversation/update",
            vec![
                (with(&scene.bob, talk), 403),
                (with(&scene.eve, talk), 403),
                (with(&scene.ann, 999), 403),
                (by_device, 403),
                (long, 400),
                (json!({"token": scene.ann}), 400),
            ],
        )
        .await;
    scene
        .refuses(
            "/conversation/info",
            vec![
                (with(&scene.eve, talk), 403),
                (with(&scene.ann, 999), 404),
                (with(&scene.ann, i64::MAX), 404),
                (with(&scene.ann, -1), 404),
                (json!({"device_token": device, "conversation_id": talk}), 403),
            ],
        )
        .await;
}

#[tokio::test]
async fn members_are_invited_promoted_put_out_and_leave() {
    let scene = Scene::set().await;
    let talk = scene.talk;
    let carl = scene.house.person("carl").await;
    let with =
        |token: &str, email: &str| json!({"token": token, "conversation_id": talk, "email": email});
    let carl_in = with(&scene.bob, "carl@example.org");
    let unknown = json!({"token": scene.bob, "conversation_id": 999, "email": NOBODY});
    scene
        .refuses(
            "/conversation/invite",
            vec![
                (with(&scene.eve, "carl@example.org"), 403),
                (unknown, 404),
                (with(&scene.bob, NOBODY), 404),
                (with(&scene.bob, "ann@example.org"), 409),
                (carl_in.clone(), 403),
            ],
        )
        .await;
    let invite = json!({"token": scene.ann, "circle_id": scene.home, "email": "carl@example.org"});
    assert_eq!(scene.post("/circle/invite", invite).await.status, 200);
    let join = json!({"token": carl, "invite_id": 2});
    assert_eq!(scene.post("/circle/join", join).await.status, 200);
    let inbox = scene.inbox(&carl).await;
    assert_eq!(scene.post("/conversation/invite", carl_in).await.status, 200);
    assert_eq!(inbox.heard(), [json!({"event": "invite", "conversation_id": talk})]);

    for path in ["/conversation/promote", "/conversation/kick"] {
        let unknown =
            json!({"token": scene.ann, "conversation_id": 999, "email": "bob@example.org"});
        let table = vec![
            (with(&scene.eve, "bob@example.org"), 403),
            (unknown, 403),
            (with(&scene.ann, NOBODY), 404),
            (with(&scene.ann, "eve@example.org"), 403),
            (with(&scene.bob, "carl@example.org"), 403),
            (with(&scene.ann, "ann@example.org"), 400),
        ];
        scene.refuses(path, table).await;
    }
    let inbox = scene.inbox(&scene.bob).await;
    let promote = with(&scene.ann, "bob@example.org");
    assert_eq!(scene.post("/conversation/promote", promote).await.status, 200);
    assert_eq!(inbox.heard(), [json!({"event": "promoted", "conversation_id": talk})]);
    let info = json!({"token": scene.ann, "conversation_id": talk});
    let roles = async || {
        let content = scene.content("/conversation/info", info.clone()).await;
        let links = content["links"].as_array().expect("links").clone();
        links.iter().map(|link| link["privilege"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(roles().await, ["STANDARD", "ADMIN", "STANDARD"], "the promoter is one of many");

    let room = scene.room();
    let kick = with(&scene.bob, "carl@example.org");
    assert_eq!(scene.post("/conversation/kick", kick.clone()).await.status, 200);
    let told = json!({
        "event": "kick", "user": "carl@example.org", "user_id": null, "from": "bob@example.org",
        "conversation_id": talk,
    });
    let numbered = |mut heard: Vec<Value>| {
        assert!(heard.iter_mut().all(|told| told["user_id"].take().is_number()), "{heard:?}");
        heard
    };
    assert_eq!(numbered(room.heard()), [told]);
    scene.refuses("/conversation/kick", vec![(kick, 403)]).await;
    let info_of_carl = json!({"token": carl, "conversation_id": talk});
    scene.refuses("/conversation/info", vec![(info_of_carl, 403)]).await;

    let quit = |token: &str| json!({"token": token, "conversation_id": talk});
    assert_eq!(scene.post("/conversation/quit", quit(&scene.bob)).await.status, 200);
    let told = json!({
        "event": "quit", "user": "bob@example.org", "user_id": null, "conversation_id": talk,
    });
    assert_eq!(numbered(room.heard()), [told]);
    assert_eq!(roles().await, ["ADMIN"], "the oldest who remain take over");
    let unknown = json!({"token": scene.bob, "conversation_id": 999});
    let table = vec![(quit(&scene.bob), 403), (unknown, 403)];
    scene.refuses("/conversation/quit", table).await;
    assert_eq!(scene.post("/conversation/quit", quit(&scene.ann)).await.status, 200);
    scene.refuses("/conversation/info", vec![(info.clone(), 404)]).await;
}

#[tokio::test]
async fn the_device_is_let_in_and_out() {
    let scene = Scene::set().await;
    let (talk, device) = (scene.talk, scene.device.1.clone());
    let room = scene.room();
    let by = |token: &str| json!({"token": token, "conversation_id": talk});
    let by_device = json!({"device_token": device, "conversation_id": talk});
    let added = json!({"event": "device", "type": "add", "conversation_id": talk});
    let removed = json!({"event": "device", "type": "remove", "conversation_id": talk});
    scene
        .refuses(
            "/conversation/device/set",
            vec![
                (by(&scene.bob), 403),
                (by(&scene.eve), 403),
                (by_device.clone(), 403),
                (json!({"token": scene.ann, "conversation_id": 999}), 404),
            ],
        )
        .await;
    for path in ["/conversation/device/add", "/conversation/device/remove"] {
        let unknown = json!({"token": scene.ann, "conversation_id": 999});
        let table = vec![(by(&scene.bob), 403), (by_device.clone(), 401), (unknown, 403)];
        scene.refuses(path, table).await;
    }
    let table = [
        ("/conversation/device/set", by(&scene.ann), &added),
        ("/conversation/device/set", by(&scene.ann), &removed),
        ("/conversation/device/add", by(&scene.ann), &added),
        ("/conversation/device/set", by_device.clone(), &removed),
        ("/conversation/device/add", by(&scene.ann), &added),
        ("/conversation/device/remove", by(&scene.ann), &removed),
    ];
    for (path, body, told) in table {
        assert_eq!(scene.post(path, body).await.status, 200);
        assert_eq!(room.heard(), std::slice::from_ref(told), "{path}");
    }
    scene.refuses("/conversation/device/set", vec![(by_device, 403)]).await;
}

#[tokio::test]
async fn messages_are_sent_shown_edited_and_removed() {
    let scene = Scene::set().await;
    let talk = scene.talk;
    let room = scene.room();
    let (id, medias) = scene.send(&scene.bob, "hello\u{0}!", json!([])).await;
    assert!(medias.is_empty());
    let heard = room.heard();
    let [told] = heard.as_slice() else { panic!("{heard:?}") };
    assert_eq!((&told["status"], &told["media_list"]), (&json!("done"), &json!([])));
    assert_eq!(told["message"]["content"], "hello!");
    assert_eq!(told["sender"]["email"], "bob@example.org");
    assert_eq!(told["time"], told["message"]["sent"]);

    let show = |token: &str| json!({"token": token, "message_id": id});
    let info = scene.post("/message/info", show(&scene.ann)).await;
    let content = &info.body["content"];
    assert_eq!(content["content"], "hello!");
    assert_eq!(content["link"]["privilege"], "STANDARD");
    assert_eq!(content["link"]["id"], told["message"]["link_id"]);
    assert_eq!(content["medias"], json!([]));
    assert_eq!((&content["seq"], &content["revision"]), (&json!(2), &json!(2)));
    assert_eq!(scene.house.get(&format!("/message/info/{id}"), &scene.ann).await.body, info.body);
    let unknown = json!({"token": scene.ann, "message_id": 9999});
    scene.refuses("/message/info", vec![(show(&scene.eve), 403), (unknown.clone(), 404)]).await;

    let edit = |token: &str| json!({"token": token, "message_id": id, "text_content": "bye"});
    let untold = json!({"token": scene.bob, "message_id": id});
    let missing = json!({"token": scene.bob, "message_id": 9999, "text_content": "x"});
    scene
        .refuses(
            "/message/update",
            vec![(edit(&scene.ann), 403), (edit(&scene.eve), 403), (untold, 400), (missing, 404)],
        )
        .await;
    assert_eq!(scene.post("/message/update", edit(&scene.bob)).await.status, 200);
    let update = json!({"event": "update", "conversation_id": talk, "message_id": id});
    assert_eq!(room.heard(), [update]);
    let content = scene.content("/message/info", show(&scene.bob)).await;
    assert_eq!((&content["content"], &content["revision"]), (&json!("bye"), &json!(3)));

    let table = vec![(show(&scene.ann), 403), (show(&scene.eve), 403), (unknown, 404)];
    scene.refuses("/message/delete", table).await;
    let delete = Request::delete("/message/delete");
    let delete = delete.body(Body::from(show(&scene.bob).to_string())).expect("a request");
    assert_eq!(scene.house.send(delete).await.status, 200);
    let told = json!({"event": "delete", "conversation_id": talk, "message_id": id});
    assert_eq!(room.heard(), [told]);
    for path in ["/message/info", "/message/delete", "/message/media/list"] {
        scene.refuses(path, vec![(show(&scene.bob), 404)]).await;
    }
}

#[tokio::test]
async fn sending_is_refused_where_it_must_be() {
    let scene = Scene::set().await;
    let talk = scene.talk;
    let with = |token: &str, id: Value| json!({"token": token, "conversation_id": id});
    let text =
        |text: Value| json!({"token": scene.ann, "conversation_id": talk, "text_message": text});
    let files = |files: Value| json!({"token": scene.ann, "conversation_id": talk, "files": files});
    let reference =
        |text: &str| json!({"token": scene.ann, "conversation_id": talk, "client_ref": text});
    scene
        .refuses(
            "/message/send",
            vec![
                (with(&scene.eve, json!(talk)), 404),
                (with(&scene.ann, json!(999)), 404),
                (with(&scene.ann, json!("x")), 400),
                (with(&scene.ann, json!([talk])), 400),
                (text(json!(5)), 400),
                (text(json!("é".repeat(8193))), 400),
                (files(json!("a")), 400),
                (files(json!({"a": 1})), 400),
                (files(json!(vec!["../../x"; 33])), 400),
                (reference(""), 400),
                (reference(&"x".repeat(65)), 400),
                (json!({"conversation_id": talk}), 401),
                (json!({"device_token": scene.device.1, "conversation_id": talk}), 401),
            ],
        )
        .await;
    let by_device = json!({"device_token": scene.device.1, "conversation_id": talk});
    let unknown = json!({"device_token": scene.device.1, "conversation_id": 999});
    scene.refuses("/device/message/send", vec![(by_device.clone(), 403), (unknown, 404)]).await;
    scene.let_device_in().await;
    let room = scene.room();
    let sent = scene.post("/device/message/send", by_device).await;
    assert_eq!(sent.status, 200, "{sent:?}");
    let heard = room.heard();
    assert_eq!(heard[0]["message"]["device_id"], scene.device.0);
    assert_eq!(heard[0]["sender"]["name"], "Box");

    // Numbers may be written as text, and a reference stores once.
    let once = json!({
        "token": scene.ann, "conversation_id": talk.to_string(), "text_message": "once",
        "files": ["a", 7, null], "client_ref": "r1",
    });
    let (first, again) =
        (scene.post("/message/send", once.clone()).await, scene.post("/message/send", once).await);
    assert_eq!((first.status, &first.body), (200, &again.body));
}

#[tokio::test]
async fn a_device_edits_and_removes_what_devices_said() {
    let scene = Scene::set().await;
    scene.let_device_in().await;
    let device = &scene.device.1;
    let send = json!({"device_token": device, "conversation_id": scene.talk, "text_message": "on"});
    let id = scene.post("/device/message/send", send).await.body["message_id"].clone();
    let edit = json!({"device_token": device, "message_id": id, "text_content": "off"});
    assert_eq!(scene.post("/message/update", edit).await.status, 200);
    let (of_ann, _) = scene.send(&scene.ann, "mine", json!([])).await;
    let wrong = json!({"device_token": device, "message_id": of_ann, "text_content": "x"});
    scene.refuses("/message/update", vec![(wrong.clone(), 403)]).await;
    scene.refuses("/message/delete", vec![(wrong, 403)]).await;
    let show = json!({"device_token": device, "message_id": id});
    let content = scene.content("/message/info", show.clone()).await;
    assert_eq!((&content["device"]["name"], &content["content"]), (&json!("Box"), &json!("off")));
    assert_eq!(scene.post("/message/delete", show).await.status, 200);
}

#[tokio::test]
async fn lists_hold_what_was_asked_for() {
    let scene = Scene::set().await;
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(scene.send(&scene.ann, &n.to_string(), json!([])).await.0);
    }
    let ask = |more: Value| {
        let mut body = json!({"token": scene.bob, "conversation_id": scene.talk, "quantity": 2});
        for (key, value) in more.as_object().expect("an object") {
            body[key] = value.clone();
        }
        body
    };
    let table = [
        (json!({}), vec!["hi", "0"]),
        (json!({"quantity": "3"}), vec!["hi", "0", "1"]),
        (json!({"quantity": 99}), vec!["hi", "0", "1", "2", "3", "4"]),
        (json!({"latest": true}), vec!["3", "4"]),
        (json!({"before_id": ids[2]}), vec!["0", "1"]),
        (json!({"before_id": 999_999}), vec![]),
    ];
    for (more, expected) in table {
        let list = scene.content("/conversation/message/list", ask(more.clone())).await;
        let words = list.as_array().expect("a list").iter();
        let words: Vec<_> = words.map(|one| one["content"].as_str().expect("text")).collect();
        assert_eq!(words, expected, "{more}");
        assert!(list[0]["link"].is_object() || expected.is_empty(), "it is Message.content");
    }
    let twin = scene.house.get(&format!("/message/list/{}/2", scene.talk), &scene.bob).await;
    assert_eq!(twin.body["content"].as_array().map(Vec::len), Some(2));
    scene
        .refuses(
            "/conversation/message/list",
            vec![
                (ask(json!({"quantity": 0})), 400),
                (ask(json!({"quantity": -3})), 400),
                (ask(json!({"quantity": "many"})), 400),
                (ask(json!({"quantity": null})), 400),
                (ask(json!({"token": scene.eve})), 403),
                (ask(json!({"conversation_id": 999})), 404),
            ],
        )
        .await;
    let negative = format!("/message/list/{}/-1", scene.talk);
    assert!(scene.house.get(&negative, &scene.bob).await.is_failure(400));
    let latest = json!({"token": scene.bob, "conversation_id": scene.talk, "latest": 1});
    let content = scene.content("/conversation/info", latest).await;
    assert_eq!(content["messages"].as_array().map(Vec::len), Some(1));
    assert_eq!(content["messages"][0]["content"], "4");
}

#[tokio::test]
async fn long_histories_end_at_the_limit() {
    let house = House::with(|settings| {
        settings.neo.list_max = std::num::NonZeroUsize::new(3).expect("not zero");
    })
    .await;
    let scene = Scene::with(house).await;
    for n in 0..5 {
        scene.send(&scene.ann, &n.to_string(), json!([])).await;
    }
    let body = json!({"token": scene.ann, "conversation_id": scene.talk, "quantity": 99});
    let content = scene.content("/conversation/info", body.clone()).await;
    assert_eq!(content["messages"].as_array().map(Vec::len), Some(3));
    let list = scene.content("/conversation/message/list", body).await;
    assert_eq!(list.as_array().map(Vec::len), Some(3));
}

#[tokio::test]
async fn a_picture_is_announced_brought_and_fetched() {
    let scene = Scene::set().await;
    let house = &scene.house;
    let room = scene.room();
    let (message, medias) = scene.send(&scene.ann, "look", json!(["cat.png", "b.txt"])).await;
    let heard = room.heard();
    let keys: Vec<_> = heard[0].as_object().expect("an object").keys().cloned().collect();
    assert_eq!(keys, ["conversation_id", "message", "status"], "and no other keys");
    assert_eq!(
        (&heard[0]["status"], &heard[0]["message"]["medias"]),
        (&json!("pending"), &json!(2))
    );

    let ask = |token: &str, media: i64| json!({"token": token, "media_id": media});
    scene.refuses("/media/retrieve", vec![(ask(&scene.bob, medias[0]), 404)]).await;
    let done = upload(house, &scene.ann, medias[0], "../../My cat.png", PNG).await;
    assert_eq!((done.status, done.body), (200, json!({"success": true})));
    let heard = room.heard();
    let [told] = heard.as_slice() else { panic!("{heard:?}") };
    let picture = json!({
        "id": medias[0], "filename": "My_cat", "extension": ".png", "identifier": "cat.png",
        "uploaded": "True",
    });
    assert_eq!((&told["status"], &told["media"]), (&json!("done"), &picture));
    assert_eq!(told["media_list"].as_array().map(Vec::len), Some(2));
    assert_eq!(told["sender"]["email"], "ann@example.org");
    assert_eq!(told["time"], told["message"]["sent"]);
    assert_eq!(told["message"]["id"], message);

    let retrieved = scene.post("/media/retrieve", ask(&scene.bob, medias[0])).await;
    let base64 = data_encoding::BASE64.encode(PNG);
    let expected = json!({"success": true, "data": format!("data:image/png;base64,{base64}")});
    assert_eq!((retrieved.status, &retrieved.body), (200, &expected));
    let twin = house.get(&format!("/media/retrieve/{}", medias[0]), &scene.bob).await;
    assert_eq!(twin.body, expected);
    assert_eq!(scene.content("/media/info", ask(&scene.bob, medias[0])).await, picture);
    let twin = house.get(&format!("/media/info/{}", medias[0]), &scene.bob).await;
    assert_eq!(twin.body["content"], picture);
    let list = json!({"token": scene.bob, "message_id": message});
    let list = scene.post("/message/media/list", list).await;
    assert_eq!(list.body["content"][0]["media"], picture);
    assert_eq!(list.body["content"][0]["message"]["id"], message);
    assert_eq!(list.body["content"][1]["media"]["uploaded"], "False");
    assert_eq!(list.body["content"].as_array().map(Vec::len), Some(2));
    for twin in ["/message/media/list", "/message/media/list/"] {
        let path = format!("{}/{message}", twin.trim_end_matches('/'));
        assert_eq!(house.get(&path, &scene.bob).await.body, list.body);
    }

    for path in ["/media/retrieve", "/media/info"] {
        let table = vec![
            (ask(&scene.eve, medias[0]), 403),
            (ask(&scene.ann, 9999), 404),
            (json!({"device_token": scene.device.1, "media_id": medias[0]}), 403),
        ];
        scene.refuses(path, table).await;
    }
    scene.let_device_in().await;
    let by_device = json!({"device_token": scene.device.1, "media_id": medias[0]});
    assert_eq!(scene.post("/media/retrieve", by_device).await.status, 200);
}

#[tokio::test]
async fn bringing_a_file_is_refused_where_it_must_be() {
    let house = House::with(|settings| {
        settings.limits.upload_bytes = std::num::NonZeroUsize::new(1000).expect("not zero");
    })
    .await;
    let scene = Scene::with(house).await;
    let house = &scene.house;
    let (_, medias) = scene.send(&scene.ann, "", json!(["a"])).await;
    let path = format!("/media/upload/{}", medias[0]);
    for (token, media, status) in [
        (scene.bob.as_str(), medias[0], 403),
        (&scene.eve, medias[0], 403),
        (&scene.device.1, medias[0], 403),
        (&scene.ann, 9999, 404),
        ("nonsense", medias[0], 401),
    ] {
        let answer = upload(house, token, media, "a", b"x").await;
        assert!(answer.is_failure(status), "{status} {answer:?}");
    }
    let nameless = multipart(&path, &scene.ann, &[("other", None, b"x")]);
    assert!(house.send(nameless).await.is_failure(404));
    let bodies = ["", "--x", "--x\r\n\r\n", "garbage"];
    for body in bodies {
        let request = Request::post(&path)
            .header(header::AUTHORIZATION, &scene.ann)
            .header(header::CONTENT_TYPE, "multipart/form-data; boundary=x")
            .body(Body::from(body));
        let answer = house.send(request.expect("a request")).await;
        assert!(answer.is_failure(400) || answer.is_failure(404), "{body} {answer:?}");
    }
    let json = Request::post(&path).header(header::AUTHORIZATION, &scene.ann);
    let answer = house.send(json.body(Body::from("{}")).expect("a request")).await;
    assert!(answer.is_failure(400), "{answer:?}");
    let missing = Request::post(&path).body(Body::empty()).expect("a request");
    assert!(house.send(missing).await.is_failure(401));

    assert!(upload(house, &scene.ann, medias[0], "a", &[7; 1001]).await.is_failure(413));
    let announced = Request::post(&path)
        .header(header::AUTHORIZATION, &scene.ann)
        .header(header::CONTENT_TYPE, "multipart/form-data; boundary=x")
        .header(header::CONTENT_LENGTH, "100000000");
    let answer = house.send(announced.body(Body::empty()).expect("a request")).await;
    assert!(answer.is_failure(413), "before a byte of it came: {answer:?}");
    assert_eq!(upload(house, &scene.ann, medias[0], "a", &[7; 1000]).await.status, 200);
    let kept = std::fs::read_dir(house.data_dir().join("files/incoming")).expect("a folder");
    assert_eq!(kept.count(), 0, "nothing is left of what was refused");
}

#[tokio::test]
async fn an_address_that_is_no_text_is_refused_like_any() {
    let house = House::open().await;
    let ann = house.person("ann").await;
    for path in ["/media/file/%ff", "/media/retrieve/%ff", "/user/info/%ff"] {
        assert!(house.get(path, &ann).await.is_failure(400), "{path}");
    }
    let answer = house.send(multipart("/media/upload/%ff", &ann, &[])).await;
    assert!(answer.is_failure(400), "{answer:?}");
}

#[tokio::test]
async fn a_large_file_comes_and_goes_unchanged() {
    let scene = Scene::set().await;
    let (_, medias) = scene.send(&scene.ann, "", json!(["film.bin"])).await;
    let film: Vec<u8> = (0..5_000_001_u32).map(|n| (n % 251) as u8).collect();
    let done = upload(&scene.house, &scene.ann, medias[0], "film.bin", &film).await;
    assert_eq!(done.status, 200, "{done:?}");
    let request = Request::get(format!("/media/file/{}", medias[0]));
    let request = request.header(header::AUTHORIZATION, &scene.bob).body(Body::empty());
    let response = scene.house.router.clone().oneshot(request.expect("a request")).await;
    let body = response.expect("an answer").into_body();
    assert!(to_bytes(body, 6 << 20).await.expect("a body") == film);
    let ask = json!({"token": scene.bob, "media_id": medias[0]});
    let data = scene.post("/media/retrieve", ask).await.text("data");
    let (head, base64) = data.split_once(',').expect("a comma");
    assert_eq!(head, "data:application/octet-stream;base64");
    let bytes = data_encoding::BASE64.decode(base64.as_bytes()).expect("base64 in one piece");
    assert!(bytes == film);
}

#[tokio::test]
async fn a_replaced_file_has_another_name_and_a_deleted_one_none() {
    let scene = Scene::set().await;
    let house = &scene.house;
    let (message, medias) = scene.send(&scene.ann, "", json!(["a", "b"])).await;
    for media in &medias {
        assert_eq!(upload(house, &scene.ann, *media, "a.txt", b"old").await.status, 200);
    }
    let authorized = [("authorization", scene.bob.as_str())];
    let (_, old, _) = fetch(house, medias[0], &authorized).await;
    let room = scene.room();
    assert_eq!(upload(house, &scene.ann, medias[0], "a.txt", b"new").await.status, 200);
    let update = json!({"event": "update", "conversation_id": scene.talk, "message_id": message});
    assert_eq!(room.heard(), std::slice::from_ref(&update));
    let (_, new, bytes) = fetch(house, medias[0], &authorized).await;
    assert_eq!(bytes, b"new");
    assert_ne!(old[header::ETAG], new[header::ETAG]);

    let ask = |token: &str, media: i64| json!({"token": token, "media_id": media});
    let table = vec![(ask(&scene.bob, medias[0]), 403), (ask(&scene.ann, 9999), 404)];
    scene.refuses("/media/delete", table).await;
    let delete =
        Request::delete("/media/delete").body(Body::from(ask(&scene.ann, medias[0]).to_string()));
    assert_eq!(house.send(delete.expect("a request")).await.status, 200);
    assert_eq!(room.heard(), [update]);
    scene.refuses("/media/info", vec![(ask(&scene.ann, medias[0]), 404)]).await;
    let list =
        scene.content("/message/media/list", json!({"token": scene.ann, "message_id": message}));
    assert_eq!(list.await.as_array().map(Vec::len), Some(1));
    let gone = json!({"token": scene.ann, "message_id": message});
    assert_eq!(scene.post("/message/delete", gone).await.status, 200);
    assert_eq!(fetch(house, medias[1], &authorized).await.0, 404);
    let files = std::fs::read_dir(house.data_dir().join("files")).expect("a folder");
    let left = files.flatten().filter(|folder| folder.file_name() != "incoming");
    let left: usize =
        left.map(|folder| std::fs::read_dir(folder.path()).expect("a folder").count()).sum();
    assert_eq!(left, 0, "no bytes are left");
}

#[tokio::test]
async fn bytes_are_sent_whole_in_part_or_not_at_all() {
    let scene = Scene::set().await;
    let house = &scene.house;
    let (_, medias) = scene.send(&scene.ann, "", json!(["a", "b"])).await;
    upload(house, &scene.ann, medias[0], "cat.png", PNG).await;
    upload(house, &scene.ann, medias[1], "page.html", b"<html><script>alert(1)</script>").await;
    let bob = ("authorization", scene.bob.as_str());
    let (status, headers, bytes) = fetch(house, medias[0], &[bob]).await;
    assert_eq!((status, bytes.as_slice()), (200, PNG));
    let expected = [
        ("content-type", "image/png"),
        ("content-length", "24"),
        ("accept-ranges", "bytes"),
        ("x-content-type-options", "nosniff"),
        ("content-security-policy", "sandbox; default-src 'none'"),
        ("content-disposition", "inline; filename=\"cat.png\"; filename*=UTF-8''cat%2Epng"),
    ];
    for (name, value) in expected {
        assert_eq!(headers[name], value, "{name}");
    }
    let (status, headers, bytes) = fetch(house, medias[0], &[bob, ("range", "bytes=1-3")]).await;
    assert_eq!((status, bytes.as_slice()), (206, b"PNG".as_slice()));
    assert_eq!(headers["content-range"], "bytes 1-3/24");
    let (status, _, bytes) = fetch(house, medias[0], &[bob, ("range", "bytes=-2")]).await;
    assert_eq!((status, bytes.as_slice()), (206, &PNG[22..]));
    let (status, headers, _) = fetch(house, medias[0], &[bob, ("range", "bytes=24-")]).await;
    assert_eq!((status, headers["content-range"].to_str().ok()), (416, Some("bytes */24")));
    let (status, _, bytes) = fetch(house, medias[0], &[bob, ("range", "bytes=0-1,4-5")]).await;
    assert_eq!((status, bytes.len()), (200, 24), "several ranges are none");
    let tag = headers_of(house, medias[0], &scene.bob).await;
    let (status, _, bytes) = fetch(house, medias[0], &[bob, ("if-none-match", &tag)]).await;
    assert_eq!((status, bytes.len()), (304, 0));
    let stale = [bob, ("range", "bytes=1-3"), ("if-range", "\"other\"")];
    assert_eq!(fetch(house, medias[0], &stale).await.0, 200);

    let (_, headers, _) = fetch(house, medias[1], &[bob]).await;
    let disposition = headers["content-disposition"].to_str().expect("a text");
    assert!(disposition.starts_with("attachment"), "{disposition}");
    assert_eq!(fetch(house, medias[0], &[("authorization", &scene.eve)]).await.0, 403);
    assert_eq!(fetch(house, medias[0], &[]).await.0, 401);
    assert_eq!(fetch(house, 9999, &[bob]).await.0, 404);
}

async fn headers_of(house: &House, media: i64, token: &str) -> String {
    let (_, headers, _) = fetch(house, media, &[("authorization", token)]).await;
    headers[header::ETAG].to_str().expect("a text").to_owned()
}

#[tokio::test]
async fn files_stand_alone_for_people_devices_and_circles() {
    let scene = Scene::set().await;
    let house = &scene.house;
    let (device_id, device) = (scene.device.0, scene.device.1.clone());
    let create = |token: &str, more: Value| {
        let mut entry = json!({"purpose": "avatar", "name": "me.png"});
        for (key, value) in more.as_object().expect("an object") {
            entry[key] = value.clone();
        }
        json!({"token": token, "medias": [entry]})
    };
    let made = scene.post("/media/create", create(&scene.ann, json!({}))).await;
    let media = numbers_of(&made)[0];
    assert_eq!(made.body["media_list"][0]["filename"], "me.png");
    assert_eq!(upload(house, &scene.ann, media, "me.png", PNG).await.status, 200);
    assert!(upload(house, &scene.bob, media, "me.png", PNG).await.is_failure(403));
    let find = |more: Value| {
        let mut body = json!({"token": scene.bob, "purpose": "avatar"});
        for (key, value) in more.as_object().expect("an object") {
            body[key] = value.clone();
        }
        body
    };
    let ann_id = house.id_of(&scene.ann).await;
    let found = scene.post("/media/find", find(json!({"user_id": ann_id}))).await;
    let entry = &found.body["media_list"][0];
    assert_eq!((&entry["media_id"], &entry["user_id"]), (&json!(media), &json!(ann_id)));
    assert_eq!((&entry["purpose"], &entry["uploaded"]), (&json!("avatar"), &json!("True")));
    let none = [
        find(json!({})),
        find(json!({"user_id": ann_id, "purpose": "other"})),
        find(json!({"user_id": ann_id, "token": scene.eve})),
        find(json!({"circle_id": 99, "user_id": ann_id})),
    ];
    for body in none {
        let found = scene.post("/media/find", body.clone()).await;
        assert_eq!((found.status, &found.body["media_list"]), (200, &json!([])), "{body}");
    }
    assert_eq!(fetch(house, media, &[("authorization", &device)]).await.0, 200);
    assert_eq!(fetch(house, media, &[("authorization", &scene.eve)]).await.0, 403);

    // The circle's: any member announces and reads, those who keep the circle bring.
    let of_circle = create(&scene.bob, json!({"circle_id": scene.home, "device_id": 77}));
    let media = numbers_of(&scene.post("/media/create", of_circle).await)[0];
    assert!(upload(house, &scene.bob, media, "x", b"x").await.is_failure(403));
    assert_eq!(upload(house, &scene.ann, media, "x", b"x").await.status, 200);
    assert_eq!(upload(house, &device, media, "x", b"x").await.status, 200);
    let found = scene.post("/media/find", find(json!({"circle_id": scene.home}))).await;
    assert_eq!(found.body["media_list"][0]["circle_id"], scene.home);

    // The device's: only itself brings.
    let of_device = create(&scene.bob, json!({"device_id": device_id}));
    let media = numbers_of(&scene.post("/media/create", of_device).await)[0];
    assert!(upload(house, &scene.ann, media, "x", b"x").await.is_failure(403));
    assert_eq!(upload(house, &device, media, "x", b"x").await.status, 200);
    let own = json!({"device_token": device, "medias": [{"purpose": "p", "name": "n"}]});
    assert_eq!(scene.post("/media/create", own).await.status, 200);

    let medias = |medias: Value| json!({"token": scene.ann, "medias": medias});
    scene
        .refuses(
            "/media/create",
            vec![
                (medias(json!([{"name": "n"}])), 404),
                (medias(json!([{"purpose": "p"}])), 400),
                (medias(json!([{"purpose": 5, "name": "n"}])), 400),
                (medias(json!(["p"])), 400),
                (medias(json!("p")), 400),
                (medias(json!([{"purpose": "x".repeat(33), "name": "n"}])), 400),
                (medias(json!([{"purpose": "p", "name": "n", "circle_id": 99}])), 404),
                (medias(json!([{"purpose": "p", "name": "n", "device_id": 99}])), 404),
                (medias(json!(vec![json!({"purpose": "p", "name": "n"}); 10_000])), 400),
                (create(&scene.eve, json!({"circle_id": scene.home})), 403),
                (create(&scene.eve, json!({"device_id": device_id})), 403),
            ],
        )
        .await;
}

fn numbers_of(answer: &Answer) -> Vec<i64> {
    assert_eq!(answer.status, 200, "{answer:?}");
    let list = answer.body["media_list"].as_array().expect("a list");
    list.iter().map(|media| media["id"].as_i64().expect("a number")).collect()
}

#[tokio::test]
async fn administrators_see_to_files() {
    let scene = Scene::set().await;
    let house = &scene.house;
    let root = house.log_in("root").await;
    let (message, medias) = scene.send(&scene.ann, "", json!(["a"])).await;
    let ask = json!({"token": root, "media_id": medias[0]});
    let content = scene.content("/admin/media/info", ask.clone()).await;
    assert_eq!(
        (&content["media_link"], &content["uploaded"]),
        (&json!("conversation"), &json!(false))
    );
    assert_eq!(content["link_content"]["message"]["id"], message);
    let update = json!({
        "token": root, "media_id": medias[0], "filename": "b", "extension": ".c",
        "directory": "../../etc", "identifier": "d",
    });
    let put = Request::put("/admin/media/update").body(Body::from(update.to_string()));
    assert_eq!(house.send(put.expect("a request")).await.status, 200);
    let content = scene.content("/admin/media/info", ask.clone()).await;
    let keys = ["filename", "extension", "directory", "identifier"].map(|key| content[key].clone());
    assert_eq!(keys, ["b", ".c", "../../etc", "d"]);
    assert_eq!(upload(house, &scene.ann, medias[0], "x", b"x").await.status, 200);
    assert_eq!(fetch(house, medias[0], &[("authorization", &scene.ann)]).await.2, b"x");
    assert_eq!(scene.post("/admin/media/delete", ask.clone()).await.status, 200);
    for path in ["/admin/media/info", "/admin/media/update", "/admin/media/delete"] {
        let by_ann = json!({"token": scene.ann, "media_id": medias[0]});
        let by_device = json!({"device_token": scene.device.1, "media_id": medias[0]});
        scene.refuses(path, vec![(ask.clone(), 404), (by_ann, 403), (by_device, 403)]).await;
    }
}

#[tokio::test]
async fn direct_conversations_and_rooms_are_served_and_not_governed() {
    let scene = Scene::set().await;
    let house = &scene.house;
    let (ann, eve) = (house.id_of(&scene.ann).await, house.id_of(&scene.eve).await);
    let direct = house.store.open_direct(UserId::new(ann), UserId::new(eve)).await;
    let direct = direct.expect("a conversation").id.get();
    let keeper = MayKeepRooms::operator();
    let access = klatsch::domain::Access::Open;
    let room = house.store.add_room(&keeper, "Tea", "", access).await.expect("a room").id.get();
    let at = |id: i64| json!({"token": scene.ann, "conversation_id": id});

    scene.refuses("/conversation/info", vec![(at(room), 403)]).await;
    for id in [direct, room] {
        let send = json!({"token": scene.ann, "conversation_id": id, "text_message": "hi"});
        assert_eq!(scene.post("/message/send", send).await.status, 200, "rooms are walked into");
        let content = scene.content("/conversation/info", at(id)).await;
        assert_eq!(content["circle"], json!({}));
        assert_eq!(content["links"][0]["circle_id"], Value::Null);
        assert_eq!(content["links"][0]["privilege"], "STANDARD");
        assert_eq!(content["messages"][0]["content"], "hi");
        let name = |path: &str| format!("/conversation/{path}");
        let with = json!({
            "token": scene.ann, "conversation_id": id, "email": "bob@example.org",
            "conversation_name": "x", "device_access": true,
        });
        for path in ["invite", "promote", "kick", "update", "device/set", "device/add"] {
            scene.refuses(&name(path), vec![(with.clone(), 403)]).await;
        }
    }
    let eve_reads = json!({"token": scene.eve, "conversation_id": room, "text_message": "me too"});
    assert_eq!(scene.post("/message/send", eve_reads).await.status, 200);
    let content = scene.content("/conversation/info", at(room)).await;
    assert_eq!(content["links"].as_array().map(Vec::len), Some(1), "one's own alone");
    scene.refuses("/conversation/quit", vec![(at(direct), 403)]).await;
    assert_eq!(scene.post("/conversation/quit", at(room)).await.status, 200);
    scene.refuses("/conversation/quit", vec![(at(room), 403)]).await;
}

#[tokio::test]
async fn in_direct_conversations_reading_is_told() {
    let scene = Scene::set().await;
    let house = &scene.house;
    let (ann, bob) = (house.id_of(&scene.ann).await, house.id_of(&scene.bob).await);
    let direct = house.store.open_direct(UserId::new(ann), UserId::new(bob)).await;
    let direct = direct.expect("a conversation").id;
    let send = json!({"token": scene.ann, "conversation_id": direct.get(), "text_message": "hi"});
    let id = scene.post("/message/send", send).await.body["message_id"].clone();
    let ask = json!({"token": scene.ann, "message_id": id});
    assert_eq!(scene.content("/message/info", ask.clone()).await["read"], Value::Null);
    let standing = house.store.standing_now(Principal::User(UserId::new(bob)), direct).await;
    let standing = standing.expect("an answer").expect("a member");
    let permit = klatsch::policy::may_read(&standing).expect("a reader");
    let marked = house.store.mark_read(permit, klatsch::domain::Seq::new(1)).await;
    marked.expect("it is stored");
    assert_eq!(scene.content("/message/info", ask).await["read"], WHEN);
}

#[tokio::test]
async fn nothing_is_served_without_a_token() {
    let scene = Scene::set().await;
    let body = json!({
        "conversation_id": scene.talk, "circle_id": scene.home, "email": "bob@example.org",
        "message_id": 1, "media_id": 1, "quantity": 1, "text_content": "x", "purpose": "p",
        "medias": [],
    });
    let paths = [
        "/conversation/info",
        "/conversation/list",
        "/conversation/update",
        "/conversation/invite",
        "/conversation/promote",
        "/conversation/kick",
        "/conversation/quit",
        "/conversation/device/set",
        "/conversation/device/add",
        "/conversation/device/remove",
        "/message/first-message",
        "/message/device/first-message",
        "/device/message/first-message",
        "/message/send",
        "/device/message/send",
        "/message/info",
        "/conversation/message/list",
        "/message/update",
        "/message/delete",
        "/media/retrieve",
        "/media/info",
        "/message/media/list",
        "/media/list",
        "/media/create",
        "/media/find",
        "/media/delete",
        "/admin/media/info",
        "/admin/media/update",
        "/admin/media/delete",
    ];
    for path in paths {
        assert!(scene.post(path, body.clone()).await.is_failure(401), "{path}");
        let mut forged = body.clone();
        forged["token"] = json!("eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.e30.x");
        assert!(scene.post(path, forged).await.is_failure(401), "{path}");
    }
    let twins = [
        "/conversation/info/1",
        "/conversation/list/1",
        "/message/info/1",
        "/message/list/1/1",
        "/media/retrieve/1",
        "/media/info/1",
        "/message/media/list/1",
    ];
    for path in twins {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        assert!(scene.house.send(request).await.is_failure(401), "{path}");
    }
}
