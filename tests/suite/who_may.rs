//! Who may do what, and what is shown of whom: every route and command, for a stranger, a former member, a member, and
//! the device of another circle. Who is put out while something is under way stands in `store::permits`.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::raw::Raw;
use crate::support::world::{Person, World};

/// Ann keeps a circle with Bob and a device; Carl has left it; Eve was never in it, and has a circle with a device.
struct Stage {
    world: World,
    ann: Person,
    bob: Person,
    carl: Person,
    eve: Person,
    circle: i64,
    conversation: i64,
    message: i64,
    media: i64,
    device: i64,
    foreign: String,
    invite: i64,
}

impl Stage {
    async fn open() -> Self {
        let world = World::with(|settings| settings.neo.device_purchase = true).await;
        let (ann, bob) = (world.person("ann").await, world.person("bob").await);
        let (carl, eve) = (world.person("carl").await, world.person("eve").await);
        let (root, gus) = (world.person("root").await, world.person("gus").await);
        world.promote(&root);
        let circle = world.circle(&ann, &[&bob, &carl]).await;
        let conversation = world.conversation(circle, &ann, &bob).await;
        let wish = |email: &str| json!({ "token": ann.token, "conversation_id": conversation, "email": email });
        world.ok("/conversation/invite", wish(&carl.email)).await;
        let quit = json!({ "token": carl.token, "circle_id": circle });
        world.ok("/circle/quit", quit).await;
        let wish = json!({ "token": ann.token, "circle_id": circle, "email": gus.email });
        world.ok("/circle/invite", wish).await;
        let info =
            world.ok("/circle/info", json!({ "token": ann.token, "circle_id": circle })).await;
        let invite = info["content"]["invites"][0]["id"].as_i64().unwrap();
        let (device, ..) = world.device(&root, &ann, circle).await;
        let on = json!({ "token": ann.token, "conversation_id": conversation });
        world.ok("/conversation/device/add", on).await;
        let elsewhere = world.circle(&eve, &[]).await;
        let (_, name, password) = world.device(&root, &eve, elsewhere).await;
        let foreign = world.device_token(&name, &password).await;
        let words = json!({
            "token": ann.token, "conversation_id": conversation, "text_content": "secret words",
            "text_message": "secret words", "files": ["secret.png"],
        });
        let said = world.ok("/message/send", words).await;
        let message = said["message_id"].as_i64().unwrap();
        let media = said["media_list"][0]["id"].as_i64().unwrap();
        let here = json!(media);
        world.upload(&ann.token, &here, "secret.png", b"\x89PNG\r\n\x1a\n").await;
        Self {
            world,
            ann,
            bob,
            carl,
            eve,
            circle,
            conversation,
            message,
            media,
            device,
            foreign,
            invite,
        }
    }

    /// Every route about something of somebody's, with its body but the token; and whether a member may.
    fn routes(&self) -> Vec<(&'static str, Value, bool)> {
        let (circle, conversation) = (self.circle, self.conversation);
        let (message, media, device) = (self.message, self.media, self.device);
        let here = json!({ "conversation_id": conversation });
        let with = |mut body: Value, key: &str, value: Value| {
            body[key] = value;
            body
        };
        let mail = json!(self.ann.email);
        let home = json!({ "circle_id": circle });
        vec![
            ("/conversation/info", here.clone(), true),
            ("/conversation/list", home.clone(), true),
            ("/conversation/message/list", with(here.clone(), "quantity", json!(9)), true),
            ("/conversation/update", with(here.clone(), "conversation_name", json!("Ours")), false),
            ("/conversation/invite", with(here.clone(), "email", json!(self.eve.email)), false),
            ("/conversation/promote", with(here.clone(), "email", mail.clone()), false),
            ("/conversation/kick", with(here.clone(), "email", mail.clone()), false),
            ("/conversation/device/set", here.clone(), false),
            ("/conversation/device/add", here.clone(), false),
            ("/conversation/device/remove", here.clone(), false),
            ("/message/info", json!({ "message_id": message }), true),
            ("/message/update", json!({ "message_id": message, "text_content": "x" }), false),
            ("/message/delete", json!({ "message_id": message }), false),
            ("/message/send", with(here.clone(), "text_message", json!("hello")), true),
            ("/message/media/list", json!({ "message_id": message }), true),
            (
                "/message/first-message",
                json!({ "circle_id": circle, "email": mail, "text_message": "x" }),
                true,
            ),
            (
                "/message/device/first-message",
                json!({ "circle_id": circle, "text_message": "x" }),
                true,
            ),
            ("/media/info", json!({ "media_id": media }), true),
            ("/media/retrieve", json!({ "media_id": media }), true),
            ("/media/delete", json!({ "media_id": media }), false),
            (
                "/media/create",
                json!({ "medias": [{ "name": "a.png", "purpose": "x", "circle_id": circle }] }),
                true,
            ),
            ("/circle/info", home.clone(), true),
            ("/circle/update", with(home.clone(), "name", json!("Ours")), true),
            ("/circle/invite", with(home.clone(), "email", json!(self.carl.email)), true),
            ("/circle/kick", with(home.clone(), "email", json!(self.ann.email)), false),
            ("/circle/join", json!({ "invite_id": self.invite }), false),
            ("/circle/reject", json!({ "invite_id": self.invite }), false),
            ("/device/info", json!({ "device_id": device }), true),
            ("/device/update", json!({ "device_id": device, "name": "Ours" }), false),
            ("/device/buy", json!({ "circle_id": circle, "device_name": "Mine" }), false),
            ("/user/info", json!({ "user_id": self.ann.id }), true),
            ("/admin/account/promote", json!({ "user_id": self.bob.id }), false),
            ("/admin/circle/delete", home.clone(), false),
            (
                "/admin/conversation/create",
                with(home.clone(), "conversation_name", json!("x")),
                false,
            ),
            ("/admin/conversation/delete", here.clone(), false),
            ("/admin/device/create", with(home.clone(), "name", json!("x")), false),
            ("/admin/device/delete", json!({ "device_id": device }), false),
            (
                "/admin/device/activate",
                json!({ "device_id": device, "activation_key": "x" }),
                false,
            ),
            ("/admin/device/credentials", json!({ "device_id": device }), false),
            ("/admin/device/list", json!({ "email": self.ann.email }), false),
            ("/admin/media/info", json!({ "media_id": media }), false),
            ("/admin/media/update", json!({ "media_id": media, "filename": "x" }), false),
            ("/admin/media/delete", json!({ "media_id": media }), false),
            // Last: they end what the others need.
            ("/conversation/quit", here, true),
            ("/circle/quit", home, true),
        ]
    }
}

/// Routes about nothing that belongs to others.
const OWN: [&str; 28] = [
    "/account/create",
    "/account/create/available",
    "/account/info",
    "/account/login",
    "/account/logout",
    "/account/modify",
    "/account/modify/password",
    "/android/token",
    "/api/token",
    "/circle/create",
    "/circle/list",
    "/cookies/set/token",
    "/device/authenticate",
    "/device/logout",
    "/device/modify/password",
    "/device/token/verify",
    "/device/username/available",
    "/email/available",
    // Only devices may: in their own circle, whichever it is.
    "/device/message/first-message",
    // An older name of `/message/send`.
    "/device/message/send",
    // An older name of `/conversation/message/list`.
    "/message/list",
    "/media/find",
    // Under other names in the table, or read with the header.
    "/media/list",
    "/media/file/{media_id}",
    "/media/upload/{media_id}",
    "/token/verify",
    "/user/circle/list",
    "/webrtc/ice-servers",
];

const SECRETS: [&str; 5] =
    ["ann@example.org", "bob@example.org", "secret words", "secret.png", "Family"];

/// Nothing of what only members know stands in an answer to somebody else.
fn shows_nothing(path: &str, asker: &str, answer: &Value) {
    let text = answer.to_string();
    for secret in SECRETS {
        assert!(!text.contains(secret), "{path} shows {asker} `{secret}`: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_is_for_members_alone() {
    let stage = Stage::open().await;
    let routes = stage.routes();
    for (path, body, _) in &routes {
        let askers = [
            ("a stranger", "token", &stage.eve.token),
            ("a former member", "token", &stage.carl.token),
            ("a foreign device", "device_token", &stage.foreign),
        ];
        for (asker, key, token) in askers {
            let mut body = body.clone();
            body[key] = json!(token);
            let (status, answer) = stage.world.post(path, body).await;
            // A user's route knows no devices.
            let refused = matches!(status, 403 | 404)
                || (key == "device_token" && status == 401)
                || (*path == "/device/buy" && status == 400);
            assert!(refused, "{path} for {asker}: {status} {answer}");
            shows_nothing(path, asker, &answer);
        }
    }
    for (path, body, may) in &routes {
        let mut body = body.clone();
        body["token"] = json!(stage.bob.token);
        let (status, answer) = stage.world.post(path, body).await;
        assert_eq!(status < 300, *may, "{path} for a member: {status} {answer}");
        assert!(*may || matches!(status, 400 | 403 | 409), "{path}: {status} {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_route_is_left_out() {
    let stage = Stage::open().await;
    let document = reqwest::get(format!("{}/docs/openapi.json", stage.world.url())).await.unwrap();
    let document: Value = document.json().await.unwrap();
    let known: BTreeSet<_> = stage.routes().into_iter().map(|(path, ..)| path).chain(OWN).collect();
    let neo = [
        "/account",
        "/admin",
        "/android",
        "/api",
        "/circle",
        "/conversation",
        "/device",
        "/email",
        "/media",
        "/message",
        "/user",
        "/webrtc",
        "/token",
        "/cookies",
    ];
    for path in document["paths"].as_object().unwrap().keys() {
        let base = path.split("/{").next().unwrap();
        let is_neo =
            neo.iter().any(|start| base == *start || base.starts_with(&format!("{start}/")));
        assert!(!is_neo || known.contains(base) || known.contains(path.as_str()), "{path}");
    }
    // Files by the header's token, and in lists.
    for token in [&stage.eve.token, &stage.carl.token, &stage.foreign] {
        let http = reqwest::Client::new();
        let media = stage.media;
        let file = http.get(format!("{}/media/file/{media}", stage.world.url()));
        let status = file.header("authorization", token).send().await.unwrap().status();
        assert!(matches!(status.as_u16(), 401 | 403 | 404), "{status}");
        let form = reqwest::multipart::Form::new()
            .part("file", reqwest::multipart::Part::bytes(b"mine".to_vec()).file_name("a.png"));
        let upload = http.post(format!("{}/media/upload/{media}", stage.world.url()));
        let status =
            upload.header("authorization", token).multipart(form).send().await.unwrap().status();
        assert!(matches!(status.as_u16(), 401 | 403 | 404), "{status}");
    }
    let find = json!({ "token": stage.eve.token, "purpose": "x", "circle_id": stage.circle });
    shows_nothing("/media/find", "a stranger", &stage.world.post("/media/find", find).await.1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_event_of_the_named_channels_is_for_members_alone() {
    let mut stage = Stage::open().await;
    let here = json!({ "conversation_id": stage.conversation });
    let with = |key: &str, value: Value| {
        let mut body = here.clone();
        body[key] = value;
        body
    };
    let commands = [
        ("join_conversation", here.clone()),
        ("join_circle", json!({ "circle_id": stage.circle })),
        ("message", with("text_message", json!("x"))),
        ("writing", with("is_writing", json!(true))),
        ("sync", with("since", json!(0))),
        ("history", here.clone()),
        ("read", with("seq", json!(1))),
        ("webrtc_forward", json!({ "email": "ann@example.org", "content": {} })),
        ("webrtc_forward", json!({ "device_id": stage.device, "content": {} })),
        ("webrtc_call", json!({ "conversation_id": stage.conversation, "media": "audio" })),
        ("webrtc_call", json!({ "user_id": stage.ann.id, "media": "audio" })),
        ("webrtc_join_room", here.clone()),
    ];
    let mut foreign = stage.world.stranger().await;
    foreign.succeed("authenticate", json!({ "token": stage.foreign })).await;
    for (channel, argument) in commands {
        for (asker, peer) in [
            ("a stranger", &mut stage.eve.peer),
            ("a former member", &mut stage.carl.peer),
            ("a foreign device", &mut foreign),
        ] {
            let answer = peer.ask(channel, argument.clone()).await;
            assert_eq!(answer["success"], false, "{channel} for {asker}: {answer}");
            shows_nothing(channel, asker, &answer);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_of_the_raw_dialects_is_for_members_alone() {
    let stage = Stage::open().await;
    let (room, message) = (stage.conversation, stage.message);
    for person in [&stage.eve, &stage.carl] {
        let (token, address) = (&person.token, stage.world.address);
        let url = format!(
            "ws://{address}/chat/stream/?token={token}&features=own,history,rooms,members,typing,read"
        );
        let mut page = Raw::connect(&url, &[]).await;
        for command in [
            json!({ "command": "join", "room": room }),
            json!({ "command": "send", "room": room, "message": "x" }),
            json!({ "command": "history", "room": room }),
            json!({ "command": "members", "room": room }),
            json!({ "command": "typing", "room": room, "typing": true }),
            json!({ "command": "read", "room": room, "id": message }),
            json!({ "command": "edit", "room": room, "id": message, "message": "x" }),
            json!({ "command": "delete", "room": room, "id": message }),
            json!({ "command": "room_update", "room": room, "title": "x" }),
            json!({ "command": "room_delete", "room": room }),
        ] {
            page.send_json(&command).await;
            page.send_json(&json!({ "command": "join", "room": "nowhere", "ref": "mark" })).await;
            loop {
                let answer = page.json().await;
                shows_nothing(&command.to_string(), &person.email, &answer);
                assert!(
                    answer.get("error").is_some() || answer["msg_type"].is_number(),
                    "{answer}"
                );
                if answer["ref"] == "mark" {
                    break;
                }
            }
        }
        let url = format!("ws://{address}/courier?token={token}&extras=1");
        let mut letters = Raw::connect(&url, &[]).await;
        letters.send(person.id.to_string()).await;
        letters.text().await;
        for frame in [
            json!({ "type": "group", "conv_id": room, "msg": "x" }),
            json!({ "type": "personal", "conv_id": room, "msg": "x" }),
            json!({ "type": "typing", "conv_id": room, "is_typing": true }),
            json!({ "type": "seen", "message_id": [message] }),
            json!({ "type": "status", "message_id": [message] }),
            json!({ "type": "conv_info", "conv_id": room }),
            json!({ "type": "history", "conv_id": room }),
            json!({ "type": "conversations" }),
        ] {
            letters.send_json(&frame).await;
        }
        for answer in letters.drain().await {
            shows_nothing("courier", &person.email, &json!(format!("{answer:?}")));
        }
        let url = format!("ws://{address}/private-chat/{token}/ann?extras=1");
        let mut dialog = Raw::connect(&url, &[]).await;
        for frame in [
            json!({ "type": "edit-message", "message_id": message, "message": "x" }),
            json!({ "type": "delete-message", "message_id": message }),
            json!({ "type": "read_message", "username": "ann", "message_id": message }),
            json!({ "type": "history", "username": "ann" }),
            json!({ "type": "dialogs" }),
        ] {
            dialog.send_json(&frame).await;
        }
        for answer in dialog.drain().await {
            shows_nothing("private-chat", &person.email, &json!(format!("{answer:?}")));
        }
    }
    // Nothing of all that has changed anything.
    let info = json!({ "token": stage.ann.token, "conversation_id": room });
    let info = stage.world.ok("/conversation/info", info).await;
    let messages = info["content"]["messages"].as_array().unwrap();
    assert_eq!(messages.last().unwrap()["content"], "secret words", "{info}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_s_words_are_for_those_whom_they_were_said_to() {
    let stage = Stage::open().await;
    let world = &stage.world;
    world.bring(&stage.ann, &stage.carl, stage.circle).await;
    let root = world.log_in("root@example.org", "secret").await;
    let papers = world
        .post("/device/info", json!({ "token": stage.ann.token, "device_id": stage.device }))
        .await;
    let username = papers.1["content"]["username"].as_str().unwrap().to_owned();
    // Its first password is gone; administrators set another device up in its place.
    let gone = json!({ "token": root, "device_id": stage.device });
    world.ok("/admin/device/delete", gone).await;
    let admin = Person { token: root, ..world.person("helper").await };
    let (device, name, password) = world.device(&admin, &stage.ann, stage.circle).await;
    assert_ne!(name, username);
    let token = world.device_token(&name, &password).await;
    let first =
        json!({ "device_token": token, "email": stage.bob.email, "text_message": "for Bob alone" });
    world.ok("/device/message/first-message", first).await;
    for (person, sees) in [(&stage.bob, true), (&stage.carl, false), (&stage.ann, false)] {
        let info = json!({ "token": person.token, "device_id": device });
        let shown = world.ok("/device/info", info).await.to_string();
        assert_eq!(shown.contains("for Bob alone"), sees, "{}: {shown}", person.email);
    }
    let own = world.ok("/device/info", json!({ "device_token": token })).await.to_string();
    assert!(own.contains("for Bob alone"), "{own}");
}

/// A courier group with somebody who has not written in it, and a pair.
async fn met(world: &World, one: &Person, other: &Person) -> (i64, i64) {
    let url = format!("ws://{}/courier?token={}&extras=1", world.address, one.token);
    let mut letters = Raw::connect(&url, &[]).await;
    letters.send(one.id.to_string()).await;
    letters.text().await;
    let mut opened = [0; 2];
    for (at, kind) in ["init_personal", "init_group"].into_iter().enumerate() {
        let open = json!({
            "type": kind, "conv_id": at + 5, "member": [other.id], "group_name": "Tea",
            "description": "",
        });
        letters.send_json(&open).await;
        opened[at] = loop {
            let frame = letters.json().await;
            if frame["local_conv_id"] == json!(at + 5) {
                break frame["db_conv_id"].as_i64().unwrap();
            }
        };
    }
    let [pair, group] = opened;
    (pair, group)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_are_for_those_who_share_something() {
    let world = World::open().await;
    let (mut eve, vic) = (world.person("eve").await, world.person("vic").await);
    let (pair, group) = met(&world, &eve, &vic).await;
    let seen_by = async |token: &str, id: i64| {
        let info = json!({ "token": token, "conversation_id": id });
        let info = world.ok("/conversation/info", info).await;
        let links = info["content"]["links"].as_array().unwrap().clone();
        let link = links.into_iter().find(|link| link["user_id"]["id"] == vic.id);
        link.expect("Vic is in it")["user_id"].clone()
    };
    for id in [pair, group] {
        let shown = seen_by(&eve.token, id).await;
        assert_eq!(shown["email"], "", "{shown}");
        assert_eq!(shown["birthday"], Value::Null, "{shown}");
        assert_eq!(shown["isOnline"], false, "{shown}");
        assert_eq!(shown["first_name"], "vic", "{shown}");
        assert_eq!(seen_by(&vic.token, id).await["email"], vic.email, "one sees oneself");
    }
    // Events name no address either, until the person has written.
    eve.peer.join(group).await;
    let mut peer = world.peer(&vic.token).await;
    peer.join(group).await;
    peer.emit("writing", json!({ "conversation_id": group, "is_writing": true }));
    let told = eve.peer.expect("writing").await;
    assert_eq!((&told["user"], &told["user_id"]), (&json!(""), &json!(vic.id)), "{told}");
    peer.emit("message", json!({ "conversation_id": group, "text_message": "hello" }));
    let told = loop {
        let (channel, told) = eve.peer.event().await;
        if channel == "message" {
            break told;
        }
    };
    assert_eq!(told["sender"]["email"], vic.email, "who writes is known: {told}");
    assert_eq!(seen_by(&eve.token, group).await["email"], vic.email);
    // In a room nobody comes to know anybody.
    let room = world.command(&["room", "add", "Lobby"]);
    let room = room.split(|c: char| !c.is_ascii_digit()).find_map(|n| n.parse::<i64>().ok());
    let room = room.expect("a number");
    let mut zed = world.person("zed").await;
    eve.peer.join(room).await;
    zed.peer.join(room).await;
    eve.peer.heard().await;
    zed.peer.emit("message", json!({ "conversation_id": room, "text_message": "hi all" }));
    let told = eve.peer.expect("message").await;
    assert_eq!(told["sender"]["email"], "", "{told}");
    assert_eq!(told["sender"]["birthday"], Value::Null, "{told}");
    assert_eq!(told["sender"]["isOnline"], false, "{told}");
    assert_eq!(told["sender"]["id"], zed.id, "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invited_person_is_an_address_until_they_accept() {
    let world = World::open().await;
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let circle = world.circle(&ann, &[]).await;
    let wish = json!({ "token": ann.token, "circle_id": circle, "email": bob.email });
    world.ok("/circle/invite", wish).await;
    let info = json!({ "token": ann.token, "circle_id": circle });
    let shown = world.ok("/circle/info", info).await["content"]["invites"][0]["user"].clone();
    assert_eq!(shown["email"], bob.email, "{shown}");
    for (key, value) in
        [("first_name", json!("")), ("last_name", json!("")), ("birthday", json!(null))]
    {
        assert_eq!(shown[key], value, "{shown}");
    }
    assert_eq!(shown["isOnline"], false, "{shown}");
}
