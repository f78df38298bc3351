//! The NEO API's accounts, circles, devices and administration, row by row of its page.

use axum::body::Body;
use axum::http::{Request, header};
use klatsch::domain::{CircleId, ConversationId, LoginId, Principal, Topic, UserId};
use serde_json::{Value, json};

use super::support::databases;
use super::support::house::House;

const NOBODY: &str = "nobody@example.org";

fn circle(id: i64) -> Topic {
    Topic::Circle(CircleId::new(id))
}

/// Paths that a token opens, with a body that has all other mandatory keys.
fn guarded() -> Vec<(&'static str, Value)> {
    vec![
        ("/account/logout", json!({})),
        ("/token/verify", json!({})),
        ("/user/info", json!({})),
        ("/account/modify", json!({})),
        ("/circle/create", json!({"name": "x"})),
        ("/circle/update", json!({"circle_id": 1})),
        ("/circle/info", json!({"circle_id": 1})),
        ("/circle/list", json!({})),
        ("/circle/invite", json!({"circle_id": 1, "email": NOBODY})),
        ("/circle/join", json!({"invite_id": 1})),
        ("/circle/reject", json!({"invite_id": 1})),
        ("/circle/quit", json!({"circle_id": 1})),
        ("/circle/kick", json!({"circle_id": 1, "email": NOBODY})),
        ("/android/token", json!({"android_token": "x"})),
        ("/api/token", json!({})),
        ("/device/info", json!({"device_id": 1})),
        ("/device/update", json!({"device_id": 1})),
        ("/device/buy", json!({"circle_id": 1})),
        ("/admin/account/promote", json!({"user_id": 1})),
        ("/admin/circle/delete", json!({"circle_id": 1})),
        ("/admin/device/list", json!({"email": NOBODY})),
    ]
}

#[tokio::test]
async fn an_account_is_made_used_and_left() {
    let house = House::open().await;
    let new = json!({
        "email": "Ann@Example.org", "password": "pw-a", "first_name": "Ann", "last_name": "Lee",
        "birthday": "1990/12/25",
    });
    let made = house.post("/account/create", new.clone()).await;
    assert_eq!((made.status, made.body), (201, json!({"success": true})));
    assert!(house.post("/account/create", new.clone()).await.is_failure(409));

    let login = json!({"email": "ann@example.org", "password": "pw-a"});
    let token = house.post("/account/login", login.clone()).await.text("token");
    let info = house.post("/user/info", json!({ "token": token })).await;
    assert_eq!(info.status, 200);
    let content = &info.body["content"];
    let when = "Thu, 11 Oct 2018 09:00:00 GMT";
    assert_eq!(
        *content,
        json!({
            "id": 1, "email": "Ann@Example.org", "first_name": "Ann", "last_name": "Lee",
            "birthday": "Tue, 25 Dec 1990 00:00:00 GMT", "created": when, "updated": when,
            "isOnline": false, "type": "DEFAULT", "hangout": false, "facebook": false,
            "ios_token": false, "circles": [], "invites": [], "conversations": [], "medias": [],
        })
    );
    for twin in ["/user/info/1", "//user/info/1", "/user/info/1%20"] {
        assert_eq!(house.get(twin, &token).await.body, info.body, "{twin}");
        assert_eq!(house.get(twin, &format!("Bearer {token}")).await.body, info.body, "{twin}");
    }
    let verified = house.post("/token/verify", json!({ "token": token })).await;
    assert_eq!((verified.status, verified.body["success"].clone()), (200, json!(true)));

    let other = house.post("/account/login", login).await.text("token");
    assert_eq!(house.post("/account/logout", json!({ "token": token })).await.status, 200);
    assert!(house.post("/user/info", json!({ "token": token })).await.is_failure(401));
    assert!(house.get("/user/info/1", &token).await.is_failure(401));
    assert_eq!(house.post("/user/info", json!({ "token": other })).await.status, 200);
}

#[tokio::test]
async fn registration_and_login_say_what_is_wrong() {
    let house = House::open().await;
    house.person("ann").await;
    let whole = json!({
        "email": "bob@example.org", "password": "secret", "first_name": "Bob",
        "last_name": "Ray", "birthday": "1988-03-02",
    });
    let with = |key: &str, value: Value| {
        let mut body = whole.clone();
        body[key] = value;
        body
    };
    let table = [
        (with("email", json!(null)), 400),
        (with("email", json!(5)), 400),
        (with("email", json!("nothing")), 400),
        (with("email", json!("ANN@example.org")), 409),
        (with("password", json!("pw")), 400),
        (with("birthday", json!("soon")), 400),
        (with("first_name", json!("x".repeat(51))), 400),
        (with("email", json!(format!("{}@example.org", "x".repeat(120)))), 400),
    ];
    for (body, status) in table {
        let answer = house.post("/account/create", body.clone()).await;
        assert!(answer.is_failure(status), "{body} {answer:?}");
    }
    let table = [
        (json!({"email": NOBODY, "password": "secret"}), 404),
        (json!({"email": "ann@example.org", "password": "wrong"}), 401),
        (json!({"email": "ann@example.org' OR 1=1 --", "password": "secret"}), 404),
        (json!({"email": "ann@example.org"}), 400),
        (json!({"email": ["ann@example.org"], "password": "secret"}), 400),
    ];
    for (body, status) in table {
        let answer = house.post("/account/login", body.clone()).await;
        assert!(answer.is_failure(status), "{body} {answer:?}");
    }
    let closed = House::with(|settings| settings.auth.registration = false).await;
    assert!(closed.post("/account/create", whole).await.is_failure(403));
}

#[tokio::test]
async fn bodies_verbs_and_addresses_that_make_no_sense_get_an_envelope() {
    let house = House::with(|settings| {
        settings.limits.body_bytes = std::num::NonZeroUsize::new(1000).expect("not zero");
    })
    .await;
    let table = [
        ("POST", "/account/login", "", 406),
        ("POST", "/account/login", "{\"email\":", 406),
        ("POST", "/account/login", "null", 405),
        ("POST", "/account/login", "[]", 400),
        ("POST", "/account/login", "{}", 400),
        ("DELETE", "/account/login", "{}", 405),
        ("GET", "/account/login", "", 405),
        ("POST", "/nowhere", "{}", 404),
        ("GET", "/user/info/ten", "", 401),
        ("GET", "/email/available/%ff", "", 400),
    ];
    for (verb, path, body, status) in table {
        let request = Request::builder().method(verb).uri(path);
        let request = request.body(Body::from(body)).expect("a request");
        let answer = house.send(request).await;
        assert!(answer.is_failure(status), "{verb} {path} {answer:?}");
        assert!(answer.headers.contains_key("x-request-id"), "{verb} {path}");
    }
    let long = json!({ "email": "x".repeat(2000), "password": "x" });
    assert!(house.post("/account/login", long).await.is_failure(413));
}

#[tokio::test]
async fn what_needs_a_token_says_so() {
    let house = House::open().await;
    let token = house.person("ann").await;
    house.clock.advance(1_000_000);
    let forged = format!("{}x", &token[..token.len() - 1]);
    for (path, body) in guarded() {
        assert!(house.post(path, body.clone()).await.is_failure(401), "{path}");
        for bad in ["", "x", forged.as_str()] {
            let mut body = body.clone();
            body["token"] = bad.into();
            assert!(house.post(path, body).await.is_failure(401), "{path} {bad}");
        }
        let mut body = body;
        body["token"] = json!(5);
        assert!(house.post(path, body).await.is_failure(400), "{path}");
    }
    assert!(house.get("/user/circle/list", "").await.is_failure(401));
    house.clock.advance(86_401_000_000);
    assert!(house.post("/user/info", json!({ "token": token })).await.is_failure(401));
}

#[tokio::test]
async fn a_mandatory_key_that_is_missing_is_named() {
    let house = House::open().await;
    let token = house.person("ann").await;
    for (_, routes) in klatsch::http::neo::chapters() {
        for route in routes {
            let named = route.keys.iter().find(|key| !key.optional);
            let admin = route.path.starts_with("/admin/");
            let device = route.path.starts_with("/device/message") || route.reads_itself();
            let Some(key) = named.filter(|_| !admin && !device) else { continue };
            let answer = house.post(route.path, json!({ "token": token })).await;
            assert!(answer.is_failure(400), "{} {answer:?}", route.path);
            assert!(answer.text("message").contains(key.name), "{} {answer:?}", route.path);
        }
    }
}

#[tokio::test]
async fn one_s_account_can_be_changed() {
    let house = House::open().await;
    let token = house.person("ann").await;
    house.person("bob").await;
    let wish = json!({"token": token, "email": "anna@example.org", "first_name": "Anna", "birthday": "1991-01-02"});
    let put = Request::put("/account/modify").body(Body::from(wish.to_string())).expect("ok");
    assert_eq!(house.send(put).await.status, 200);
    let info = house.post("/user/info", json!({ "token": token })).await;
    assert_eq!(info.body["content"]["email"], "anna@example.org");
    assert_eq!(info.body["content"]["first_name"], "Anna");
    assert_eq!(info.body["content"]["last_name"], "Lee");
    assert_eq!(info.body["content"]["birthday"], "Wed, 02 Jan 1991 00:00:00 GMT");
    let table = [
        (json!({"token": token, "email": "BOB@example.org"}), 409),
        (json!({"token": token, "email": "x"}), 400),
        (json!({"token": token, "birthday": "x"}), 400),
        (json!({"token": token, "first_name": 5}), 400),
    ];
    for (body, status) in table {
        assert!(house.post("/account/modify", body.clone()).await.is_failure(status), "{body}");
    }
}

#[tokio::test]
async fn a_new_password_ends_all_other_logins() {
    let house = House::open().await;
    let (token, other) = (house.person("ann").await, house.log_in("ann").await);
    house.person("bob").await;
    let wish = |email: &str, previous: &str, new: &str| json!({"token": token, "email": email, "previous_password": previous, "new_password": new});
    let table = [
        (wish(NOBODY, "secret", "other"), 404),
        (wish("bob@example.org", "secret", "other"), 404),
        (wish("ann@example.org", "wrong", "other"), 417),
        (wish("ann@example.org", "secret", "x"), 400),
    ];
    for (body, status) in table {
        let answer = house.post("/account/modify/password", body.clone()).await;
        assert!(answer.is_failure(status), "{body} {answer:?}");
    }
    let ear = house.ear(&[Topic::Login(LoginId::new(2)), Topic::Login(LoginId::new(1))]);
    let done = house.post("/account/modify/password", wish("ann@example.org", "secret", "other"));
    assert_eq!(done.await.status, 200);
    assert_eq!(ear.heard(), ["login ended, false"]);
    assert_eq!(house.post("/user/info", json!({ "token": token })).await.status, 200);
    assert!(house.post("/user/info", json!({ "token": other })).await.is_failure(401));
    let old = json!({"email": "ann@example.org", "password": "secret"});
    assert!(house.post("/account/login", old).await.is_failure(401));
}

#[tokio::test]
async fn too_many_wrong_passwords_close_the_login_for_a_while() {
    let house = House::open().await;
    house.person("ann").await;
    let wrong = json!({"email": "ann@example.org", "password": "wrong"});
    for _ in 0..10 {
        assert!(house.post("/account/login", wrong.clone()).await.is_failure(401));
    }
    let right = json!({"email": "ann@example.org", "password": "secret"});
    let refused = house.post("/account/login", right.clone()).await;
    assert!(refused.is_failure(429));
    assert_eq!(refused.headers[header::RETRY_AFTER], "900");
    house.clock.advance(900_000_000);
    assert_eq!(house.post("/account/login", right).await.status, 200);
}

#[tokio::test]
async fn availability_is_always_a_success_of_http() {
    let house = House::open().await;
    house.person("ann").await;
    for (email, free) in [("ann@example.org", false), ("ANN@example.org", false), (NOBODY, true)] {
        for path in ["/email/available", "/account/create/available"] {
            let answer = house.post(path, json!({ "email": email })).await;
            assert_eq!((answer.status, answer.body), (200, json!({ "success": free })), "{email}");
        }
        let answer = house.get(&format!("/email/available/{email}"), "").await;
        assert_eq!((answer.status, answer.body), (200, json!({ "success": free })), "{email}");
    }
}

#[tokio::test]
async fn cookies_stand_in_for_tokens_on_pages_of_our_own() {
    let house = House::open().await;
    let token = house.person("ann").await;
    let set = house.post("/cookies/set/token", json!({ "token": token })).await;
    assert_eq!(set.status, 200);
    let cookie = set.headers[header::SET_COOKIE].to_str().expect("text").to_owned();
    assert_eq!(cookie, format!("neo_user_token={token}; Path=/; HttpOnly; SameSite=Lax"));
    for bad in [json!({}), json!({"token": ""}), json!({"token": "a; Domain=evil"})] {
        assert!(house.post("/cookies/set/token", bad.clone()).await.is_failure(400), "{bad}");
    }
    let table = [
        (None, 200),
        (Some("http://chat.example.org"), 200),
        (Some("https://evil.example"), 401),
        (Some("null"), 401),
    ];
    for (origin, status) in table {
        let mut request = Request::post("/user/info")
            .header(header::HOST, "chat.example.org")
            .header(header::COOKIE, format!("a=b; neo_user_token={token}"));
        if let Some(origin) = origin {
            request = request.header(header::ORIGIN, origin);
        }
        let answer = house.send(request.body(Body::from("{}")).expect("ok")).await;
        assert_eq!(answer.status, status, "{origin:?} {answer:?}");
    }
}

#[tokio::test]
async fn tokens_for_phones_and_bots() {
    let house = House::open().await;
    let token = house.person("ann").await;
    for path in ["/android/token", "//android/token"] {
        let wish = json!({"token": token, "android_token": "push"});
        assert_eq!(house.post(path, wish).await.status, 200, "{path}");
    }
    let bot = house.post("/api/token", json!({ "token": token })).await.text("api_token");
    assert_eq!(bot.split('.').count(), 3);
    assert!(house.post("/user/info", json!({ "token": bot })).await.is_failure(401));
}

#[tokio::test]
async fn accounts_that_are_switched_off_open_nothing() {
    let house = House::open().await;
    let token = house.person("ann").await;
    let ear = house.ear(&[Topic::Login(LoginId::new(1))]);
    let change = klatsch::store::UserChange { active: Some(false), ..Default::default() };
    house.store.change_user(UserId::new(1), change).await.expect("a change");
    assert_eq!(ear.heard(), ["login ended, true"]);
    assert!(house.post("/user/info", json!({ "token": token })).await.is_failure(401));
    let login = json!({"email": "ann@example.org", "password": "secret"});
    assert!(house.post("/account/login", login).await.is_failure(403));
}

#[tokio::test]
async fn circles_are_made_shown_and_renamed() {
    let house = House::open().await;
    let (ann, eve) = (house.person("ann").await, house.person("eve").await);
    let made = house.post("/circle/create", json!({"token": ann, "name": "Family"})).await;
    let when = "Thu, 11 Oct 2018 09:00:00 GMT";
    let simple = json!({"id": 1, "name": "Family", "created": when, "updated": when, "device": -1});
    assert_eq!(made.body, json!({"success": true, "content": simple}));
    for list in [
        house.post("/circle/list", json!({ "token": ann })).await,
        house.get("/user/circle/list", &ann).await,
    ] {
        assert_eq!(list.body, json!({"success": true, "content": [simple]}));
    }
    let info = house.post("/circle/info", json!({"token": ann, "circle_id": "1"})).await;
    let content = &info.body["content"];
    assert_eq!(content["device"], json!({}));
    assert_eq!(content["users"][0]["user"]["email"], "ann@example.org");
    assert_eq!(content["users"][0]["circle"], 1);
    assert_eq!(content["users"][0]["privilege"], "REGULAR");
    for key in ["invites", "conversations", "medias"] {
        assert_eq!(content[key], json!([]), "{key}");
    }
    assert_eq!(house.get("/circle/info/1", &ann).await.body, info.body);

    let ear = house.ear(&[circle(1)]);
    let wish = json!({"token": ann, "circle_id": 1, "name": "Home"});
    let put = Request::put("/circle/update").body(Body::from(wish.to_string())).expect("ok");
    assert_eq!(house.send(put).await.body, json!({"success": true}));
    assert_eq!(ear.heard(), ["circle 1: Updated"]);

    let table = [
        ("/circle/info", json!({"token": ann, "circle_id": 9}), 404),
        ("/circle/info", json!({"token": eve, "circle_id": 1}), 403),
        ("/circle/info", json!({ "token": ann }), 400),
        ("/circle/update", json!({"token": ann, "circle_id": 9}), 404),
        ("/circle/update", json!({"token": eve, "circle_id": 1}), 403),
        ("/circle/update", json!({"token": ann, "circle_id": 1, "name": "x".repeat(121)}), 400),
        ("/circle/create", json!({"token": ann, "name": "x".repeat(121)}), 400),
    ];
    for (path, body, status) in table {
        assert!(house.post(path, body.clone()).await.is_failure(status), "{path} {body}");
    }
}

#[tokio::test]
async fn invitations_are_sent_answered_and_gone() {
    let house = House::open().await;
    let (ann, bob) = (house.person("ann").await, house.person("bob").await);
    let eve = house.person("eve").await;
    let id = house.circle(&ann, &[]).await;
    let inbox = house.ear(&[Topic::Inbox(Principal::User(UserId::new(2)))]);
    let room = house.ear(&[circle(id)]);
    let wish = |token: &str, circle: i64, email: &str| json!({"token": token, "circle_id": circle, "email": email});
    let table = [
        (wish(&ann, 9, "bob@example.org"), 404),
        (wish(&ann, id, NOBODY), 404),
        (wish(&ann, id, "nonsense"), 404),
        (wish(&eve, id, "bob@example.org"), 403),
        (wish(&ann, id, "bob@example.org"), 200),
        (wish(&ann, id, "BOB@example.org"), 400),
        (wish(&ann, id, "ann@example.org"), 400),
    ];
    for (body, status) in table {
        assert_eq!(house.post("/circle/invite", body.clone()).await.status, status, "{body}");
    }
    assert_eq!(inbox.heard(), [format!("circle {id}: invite 1")]);
    assert_eq!(room.heard(), Vec::<String>::new());
    let info = house.post("/user/info", json!({ "token": bob })).await;
    assert_eq!(info.body["content"]["invites"][0]["circle"]["name"], "Home");
    let answer = |token: &str, invite: i64| json!({"token": token, "invite_id": invite});
    assert!(house.post("/circle/join", answer(&eve, 1)).await.is_failure(403));
    assert!(house.post("/circle/reject", answer(&eve, 1)).await.is_failure(403));
    assert!(house.post("/circle/join", answer(&bob, 9)).await.is_failure(404));
    assert!(house.post("/circle/reject", answer(&bob, 9)).await.is_failure(404));
    assert_eq!(house.post("/circle/join", answer(&bob, 1)).await.status, 200);
    assert_eq!(room.heard(), [format!("circle {id}: join bob")]);
    assert!(house.post("/circle/join", answer(&bob, 1)).await.is_failure(404));
    let info = house.post("/user/info", json!({ "token": bob })).await;
    assert_eq!(info.body["content"]["circles"][0]["privilege"], "MEMBRE");
    assert_eq!(house.post("/circle/invite", wish(&bob, id, "eve@example.org")).await.status, 200);
    assert_eq!(house.post("/circle/reject", answer(&eve, 2)).await.status, 200);
    assert_eq!(room.heard(), Vec::<String>::new());
}

#[tokio::test]
async fn logins_and_logouts_are_told_to_the_user_s_circles() {
    let house = House::open().await;
    let (ann, bob) = (house.person("ann").await, house.person("bob").await);
    let (one, two) = (house.circle(&ann, &[&bob]).await, house.circle(&bob, &[]).await);
    let ear = house.ear(&[circle(one), circle(two)]);
    let token = house.log_in("bob").await;
    assert_eq!(
        ear.heard(),
        [format!("circle {one}: connect bob"), format!("circle {two}: connect bob")]
    );
    house.post("/account/logout", json!({ "token": token })).await;
    let gone = [format!("circle {one}: disconnect bob"), format!("circle {two}: disconnect bob")];
    assert_eq!(ear.heard(), gone);
}

#[tokio::test]
async fn members_leave_and_keepers_put_out() {
    let house = House::open().await;
    let (ann, bob) = (house.person("ann").await, house.person("bob").await);
    let eve = house.person("eve").await;
    let id = house.circle(&ann, &[&bob, &eve]).await;
    let room = house.ear(&[circle(id)]);
    let kick = |token: &str, circle: i64, email: &str| json!({"token": token, "circle_id": circle, "email": email});
    let table = [
        (kick(&ann, 9, "bob@example.org"), 404),
        (kick(&ann, id, NOBODY), 403),
        (kick(&bob, id, "eve@example.org"), 403),
        (kick(&ann, id, "ann@example.org"), 400),
        (kick(&ann, id, "eve@example.org"), 200),
        (kick(&ann, id, "eve@example.org"), 403),
        (kick(&eve, id, "bob@example.org"), 403),
    ];
    for (body, status) in table {
        assert_eq!(house.post("/circle/kick", body.clone()).await.status, status, "{body}");
    }
    assert_eq!(room.heard(), [format!("circle {id}: kick eve by ann")]);
    let quit = |token: &str, circle: i64| json!({"token": token, "circle_id": circle});
    assert!(house.post("/circle/quit", quit(&eve, id)).await.is_failure(403));
    assert!(house.post("/circle/quit", quit(&ann, 9)).await.is_failure(403));
    assert_eq!(house.post("/circle/quit", quit(&ann, id)).await.status, 200);
    assert_eq!(room.heard(), [format!("circle {id}: quit ann")]);
    // The last keeper has gone, so the oldest who is left keeps the circle.
    let info = house.post("/circle/info", quit(&bob, id)).await;
    assert_eq!(info.body["content"]["users"][0]["privilege"], "REGULAR");
    assert_eq!(house.post("/circle/quit", quit(&bob, id)).await.status, 200);
    assert_eq!(room.heard(), [format!("circle {id}: quit bob"), format!("circle {id}: Deleted")]);
    assert!(house.post("/circle/info", quit(&bob, id)).await.is_failure(404));
}

#[tokio::test]
async fn who_leaves_a_circle_leaves_its_conversations() {
    let house = House::open().await;
    let (ann, bob) = (house.person("ann").await, house.person("bob").await);
    let id = house.circle(&ann, &[&bob]).await;
    let first =
        json!({"token": ann, "circle_id": id, "email": "bob@example.org", "text_message": "hi"});
    let first = house.post("/message/first-message", first).await;
    let conversation = ConversationId::new(first.body["conversation_id"].as_i64().expect("an id"));
    let ear = house.ear(&[circle(id), Topic::Conversation(conversation)]);
    let connection = ear.connection.lock().expect("attached");
    let roster = house.store.hub().roster();
    roster.arrive(Principal::User(UserId::new(2)), connection, 9, None).expect("room for one");

    let kick = json!({"token": ann, "circle_id": id, "email": "bob@example.org"});
    assert_eq!(house.post("/circle/kick", kick).await.status, 200);
    let told = |what: &str, number: i64| format!("{what} {number}: kick bob by ann");
    assert_eq!(ear.heard(), [told("circle", id), told("conversation", conversation.get())]);
    // Bob's connection is out of both, and so is Bob.
    let rename = json!({"token": ann, "circle_id": id, "name": "Without Bob"});
    assert_eq!(house.post("/circle/update", rename).await.status, 200);
    let rename = json!({"token": ann, "conversation_id": conversation, "conversation_name": "x"});
    assert_eq!(house.post("/conversation/update", rename).await.status, 200);
    assert_eq!(ear.heard(), Vec::<String>::new());
    let look = json!({"token": bob, "conversation_id": conversation});
    assert!(house.post("/conversation/info", look).await.is_failure(403));
    let info = house.post("/user/info", json!({ "token": bob })).await;
    assert_eq!(info.body["content"]["conversations"], json!([]));
}

#[tokio::test]
async fn a_removed_circle_takes_everything_with_it() {
    let house = House::open().await;
    let (ann, admin) = (house.person("ann").await, house.administrator("root").await);
    let id = house.circle(&ann, &[]).await;
    let wish = json!({"token": admin, "circle_id": id, "conversation_name": "Tea"});
    let made = house.post("/admin/conversation/create", wish).await;
    let conversation = ConversationId::new(made.body["content"]["id"].as_i64().expect("an id"));
    let ear = house.ear(&[circle(id), Topic::Conversation(conversation)]);
    let delete = json!({"token": admin, "circle_id": id});
    let done = house.post("/admin/circle/delete", delete.clone()).await;
    assert_eq!(done.body, json!({"success": true}));
    let told = [format!("circle {id}: Deleted"), format!("conversation {conversation}: Deleted")];
    assert_eq!(ear.heard(), told);
    assert!(house.post("/admin/circle/delete", delete).await.is_failure(404));
    assert!(
        house.post("/circle/info", json!({"token": ann, "circle_id": id})).await.is_failure(404)
    );
}

#[tokio::test]
async fn profiles_are_for_those_who_share_something() {
    let house = House::open().await;
    let (ann, bob) = (house.person("ann").await, house.person("bob").await);
    let eve = house.person("eve").await;
    let (home, _) = (house.circle(&ann, &[&bob]).await, house.circle(&bob, &[]).await);
    let third = house.circle(&eve, &[]).await;
    let invite = json!({"token": eve, "circle_id": third, "email": "bob@example.org"});
    assert_eq!(house.post("/circle/invite", invite).await.status, 200);
    let seen = house.post("/user/info", json!({"token": ann, "user_id": 2})).await;
    let circles = seen.body["content"]["circles"].as_array().expect("a list");
    assert_eq!(circles.len(), 1);
    assert_eq!(circles[0]["circle"]["id"], home);
    assert_eq!(seen.body["content"]["invites"], json!([]));
    assert!(house.post("/user/info", json!({"token": eve, "user_id": 2})).await.is_failure(403));
    assert!(house.get("/user/info/2", &eve).await.is_failure(403));
    assert!(house.post("/user/info", json!({"token": eve, "user_id": 99})).await.is_failure(404));
}

/// A circle of Ann's with a device: its number, user name and password.
async fn device(house: &House, admin: &str, circle: i64) -> (i64, String, String) {
    let wish = json!({"token": admin, "circle_id": circle, "name": "Lamp"});
    assert_eq!(house.post("/admin/device/create", wish).await.body, json!({"success": true}));
    let id = house.store.find_circle(CircleId::new(circle)).await.expect("read");
    let id = id.and_then(|circle| circle.device).expect("a device").get();
    let keys =
        house.post("/admin/device/credentials", json!({"token": admin, "device_id": id})).await;
    let keys = &keys.body["content"];
    let text = |key: &str| keys[key].as_str().expect("text").to_owned();
    let login = json!({"device_username": text("username"), "device_password": text("password")});
    assert!(house.post("/device/authenticate", login).await.is_failure(401));
    let wrong = json!({"token": admin, "device_id": id, "activation_key": "x"});
    assert!(house.post("/admin/device/activate", wrong).await.is_failure(400));
    let right = json!({"token": admin, "device_id": id, "activation_key": text("key")});
    assert_eq!(house.post("/admin/device/activate", right).await.status, 200);
    let gone = json!({"token": admin, "device_id": id});
    assert!(house.post("/admin/device/credentials", gone).await.is_failure(400));
    (id, text("username"), text("password"))
}

#[tokio::test]
async fn a_device_is_set_up_used_and_removed() {
    let house = House::open().await;
    let (ann, admin) = (house.person("ann").await, house.administrator("root").await);
    let eve = house.person("eve").await;
    let home = house.circle(&ann, &[]).await;
    let ear = house.ear(&[circle(home)]);
    let (id, username, password) = device(&house, &admin, home).await;
    assert_eq!(ear.heard(), [format!("circle {home}: DeviceCreated(DeviceId({id}))")]);
    assert!(username.len() == 12 && username.bytes().all(|b| b.is_ascii_uppercase()));
    assert_eq!(password.len(), 10);

    let login = |password: &str| json!({"device_username": username, "device_password": password});
    assert!(house.post("/device/authenticate", login("wrong")).await.is_failure(401));
    let nobody = json!({"device_username": "NOBODY", "device_password": password});
    assert!(house.post("/device/authenticate", nobody).await.is_failure(404));
    let token = house.post("/device/authenticate", login(&password)).await.text("device_token");
    assert_eq!(ear.heard(), [format!("circle {home}: DeviceConnected(DeviceId({id}))")]);

    let own = house.post("/device/info", json!({ "device_token": token })).await;
    assert_eq!(own.status, 200, "{own:?}");
    assert_eq!(own.body["content"]["circle"]["id"], home);
    assert_eq!(own.body["content"]["messages"], json!([]));
    assert_eq!(house.get(&format!("/device/info/{id}"), &token).await.body, own.body);
    let by_user = house.post("/device/info", json!({"token": ann, "device_id": id})).await;
    assert_eq!(by_user.body, own.body);
    assert!(
        house.post("/device/info", json!({"token": eve, "device_id": id})).await.is_failure(403)
    );
    assert!(
        house.post("/device/info", json!({"token": ann, "device_id": 99})).await.is_failure(404)
    );
    assert!(house.post("/device/info", json!({ "token": ann })).await.is_failure(400));

    // A device sees its circle and the people in it, and is no user.
    let info = house.post("/circle/info", json!({ "device_token": token })).await;
    assert_eq!(info.body["content"]["device"]["id"], id);
    let seen = house.post("/user/info", json!({"device_token": token, "user_id": 1})).await;
    assert_eq!(seen.status, 200);
    assert!(house.post("/user/info", json!({ "device_token": token })).await.is_failure(400));
    let stranger = json!({"device_token": token, "user_id": 3});
    assert!(house.post("/user/info", stranger).await.is_failure(403));
    assert!(house.post("/circle/list", json!({ "device_token": token })).await.is_failure(401));
    assert!(house.post("/circle/list", json!({ "token": token })).await.is_failure(401));
    assert!(
        house
            .post("/circle/info", json!({"token": ann, "device_token": ann}))
            .await
            .is_failure(401)
    );
    let admin_try = json!({"device_token": token, "user_id": 1});
    assert!(house.post("/admin/account/promote", admin_try).await.is_failure(403));

    assert_eq!(
        house.post("/device/token/verify", json!({ "device_token": token })).await.status,
        200
    );
    assert!(
        house.post("/device/token/verify", json!({ "device_token": ann })).await.is_failure(401)
    );
    let rename = json!({"device_token": token, "device_id": id, "name": "Hall"});
    let put = Request::put("/device/update").body(Body::from(rename.to_string())).expect("ok");
    assert_eq!(house.send(put).await.status, 200);
    assert_eq!(ear.heard(), [format!("circle {home}: DeviceUpdated(DeviceId({id}))")]);
    let table = [
        (json!({"token": ann, "device_id": id, "name": "Lamp"}), 200),
        (json!({"token": eve, "device_id": id, "name": "Lamp"}), 403),
        (json!({"token": ann, "device_id": 99}), 404),
    ];
    for (body, status) in table {
        assert_eq!(house.post("/device/update", body.clone()).await.status, status, "{body}");
    }
    ear.heard();
    assert_eq!(house.post("/device/logout", json!({ "device_token": token })).await.status, 200);
    assert_eq!(ear.heard(), [format!("circle {home}: DeviceDisconnected(DeviceId({id}))")]);
    assert!(house.post("/device/logout", json!({ "device_token": token })).await.is_failure(401));

    let token = house.post("/device/authenticate", login(&password)).await.text("device_token");
    let wish = |name: &str, previous: &str| json!({"device_username": name, "previous_password": previous, "new_password": "another"});
    assert!(house.post("/device/modify/password", wish("NOBODY", "x")).await.is_failure(404));
    assert!(house.post("/device/modify/password", wish(&username, "x")).await.is_failure(400));
    assert_eq!(house.post("/device/modify/password", wish(&username, &password)).await.status, 200);
    assert!(house.post("/device/info", json!({ "device_token": token })).await.is_failure(401));

    let token = house.post("/device/authenticate", login("another")).await.text("device_token");
    let remove = json!({"token": admin, "device_id": id});
    assert_eq!(house.post("/admin/device/delete", remove.clone()).await.status, 200);
    assert!(house.post("/admin/device/delete", remove).await.is_failure(404));
    assert!(house.post("/device/info", json!({ "device_token": token })).await.is_failure(404));
    let info = house.post("/circle/info", json!({"token": ann, "circle_id": home})).await;
    assert_eq!(info.body["content"]["device"], json!({}));
}

#[tokio::test]
async fn the_same_happens_on_every_database() {
    for database in databases::each().await {
        let name = database.name;
        let house = House::on(database, |settings| settings.neo.device_purchase = true).await;
        let (ann, bob) = (house.person("ann").await, house.person("bob").await);
        let admin = house.administrator("root").await;
        let home = house.circle(&ann, &[&bob]).await;
        let hears = house.ear(&[circle(home)]);
        let twice = json!({"token": ann, "circle_id": home, "email": "root@example.org"});
        assert_eq!(house.post("/circle/invite", twice.clone()).await.status, 200, "{name}");
        assert!(house.post("/circle/invite", twice).await.is_failure(400), "{name}");
        let same = json!({
            "email": "ANN@example.org", "password": "secret", "first_name": "", "last_name": "",
            "birthday": "1990-12-25",
        });
        assert!(house.post("/account/create", same).await.is_failure(409), "{name}");
        let like =
            house.post("/account/login", json!({"email": "an_@example.org", "password": "x"}));
        assert!(like.await.is_failure(404), "{name}");
        let bought = house.post("/device/buy", json!({"token": ann, "circle_id": home})).await;
        assert_eq!(bought.status, 200, "{name} {bought:?}");
        assert!(
            house
                .post("/device/buy", json!({"token": ann, "circle_id": home}))
                .await
                .is_failure(409),
            "{name}"
        );
        hears.heard();
        let kick = json!({"token": ann, "circle_id": home, "email": "bob@example.org"});
        assert_eq!(house.post("/circle/kick", kick).await.status, 200, "{name}");
        let token = house.log_in("bob").await;
        let password = json!({
            "token": token, "email": "bob@example.org", "previous_password": "secret",
            "new_password": "another",
        });
        assert_eq!(house.post("/account/modify/password", password).await.status, 200, "{name}");
        assert!(house.post("/user/info", json!({ "token": bob })).await.is_failure(401), "{name}");
        assert_eq!(
            house.post("/account/logout", json!({ "token": token })).await.status,
            200,
            "{name}"
        );
        let delete = json!({"token": admin, "circle_id": home});
        assert_eq!(house.post("/admin/circle/delete", delete).await.status, 200, "{name}");
        let told = [format!("circle {home}: kick bob by ann"), format!("circle {home}: Deleted")];
        assert_eq!(hears.heard(), told, "{name}");
    }
}

#[tokio::test]
async fn a_login_under_way_does_not_outlive_the_password_it_was_begun_with() {
    let house = House::open().await;
    let token = house.person("ann").await;
    let (_, proven) =
        house.store.find_password("ann@example.org").await.expect("read").expect("there");
    let proven = proven.expect("a hash");
    let ann = Principal::User(UserId::new(1));
    let later = house.clock.now().plus_secs(60);
    let begun = house.store.start_proven_login(ann, later, &proven, None).await.expect("written");
    assert!(begun.is_some());
    let body = json!({
        "token": token, "email": "ann@example.org", "previous_password": "secret",
        "new_password": "another",
    });
    assert_eq!(house.post("/account/modify/password", body).await.status, 200);
    let late = house.store.start_proven_login(ann, later, &proven, None).await.expect("written");
    assert_eq!(late, None);
}

#[tokio::test]
async fn administrators_see_to_devices() {
    let house = House::open().await;
    let (ann, admin) = (house.person("ann").await, house.administrator("root").await);
    let (home, other) = (house.circle(&ann, &[]).await, house.circle(&ann, &[]).await);
    let create = |circle: i64, username: &str| json!({"token": admin, "circle_id": circle, "name": "Lamp", "username": username});
    assert!(house.post("/admin/device/create", create(99, "LAMP")).await.is_failure(404));
    assert!(house.post("/admin/device/create", create(home, "")).await.is_failure(400));
    assert_eq!(house.post("/admin/device/create", create(home, "LAMP")).await.status, 200);
    assert!(house.post("/admin/device/create", create(home, "LAMP2")).await.is_failure(409));
    assert!(house.post("/admin/device/create", create(other, "LAMP")).await.is_failure(409));
    for (name, status) in [("LAMP", 400), ("LAMP2", 200)] {
        let answer =
            house.post("/device/username/available", json!({ "device_username": name })).await;
        assert_eq!(answer.status, status);
        let twin = house.get(&format!("/device/username/available/{name}"), "").await;
        assert_eq!(twin.body, answer.body);
    }
    let list = |email: &str| json!({"token": admin, "email": email});
    assert!(house.post("/admin/device/list", list("ann@example.org")).await.is_failure(400));
    assert!(house.post("/admin/device/list", list(NOBODY)).await.is_failure(404));
    assert!(
        house
            .post(
                "/admin/device/activate",
                json!({"token": admin, "device_id": 99, "activation_key": "x"})
            )
            .await
            .is_failure(404)
    );
    assert!(
        house
            .post("/admin/device/credentials", json!({"token": admin, "device_id": 99}))
            .await
            .is_failure(404)
    );
}

#[tokio::test]
async fn devices_are_for_sale_only_where_the_operator_says_so() {
    let house = House::open().await;
    let ann = house.person("ann").await;
    let home = house.circle(&ann, &[]).await;
    let buy = |circle: i64| json!({"token": ann, "circle_id": circle, "device_name": "Lamp"});
    assert!(house.post("/device/buy", buy(home)).await.is_failure(403));

    let house = House::with(|settings| settings.neo.device_purchase = true).await;
    let (ann, eve) = (house.person("ann").await, house.person("eve").await);
    let admin = house.administrator("root").await;
    let home = house.circle(&ann, &[]).await;
    let buy = |token: &str, circle: i64| json!({"token": token, "circle_id": circle});
    assert!(house.post("/device/buy", buy(&ann, 99)).await.is_failure(400));
    assert!(house.post("/device/buy", buy(&eve, home)).await.is_failure(400));
    let bought = house.post("/device/buy", buy(&ann, home)).await;
    assert_eq!(bought.status, 200, "{bought:?}");
    assert_eq!(bought.body["content"]["activated"], false);
    assert!(house.post("/device/buy", buy(&ann, home)).await.is_failure(409));
    let info = house.post("/circle/info", json!({"token": ann, "circle_id": home})).await;
    assert_eq!(info.body["content"]["users"][0]["privilege"], "ADMIN");
    let list =
        house.post("/admin/device/list", json!({"token": admin, "email": "ann@example.org"})).await;
    assert_eq!(list.body["devices"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn administration_is_for_administrators() {
    let house = House::open().await;
    let (ann, admin) = (house.person("ann").await, house.administrator("root").await);
    for (_, routes) in klatsch::http::neo::chapters() {
        for route in routes.iter().filter(|route| route.path.starts_with("/admin/")) {
            let answer = house.post(route.path, json!({ "token": ann })).await;
            assert!(answer.is_failure(403), "{} {answer:?}", route.path);
        }
    }
    assert!(
        house
            .post("/admin/account/promote", json!({"token": admin, "user_id": 99}))
            .await
            .is_failure(404)
    );
    assert!(house.post("/admin/account/promote", json!({ "token": admin })).await.is_failure(400));
    assert_eq!(
        house.post("/admin/account/promote", json!({"token": admin, "user_id": 1})).await.status,
        200
    );
    let info = house.post("/user/info", json!({ "token": ann })).await;
    assert_eq!(info.body["content"]["type"], "ADMIN");
    assert!(
        house
            .post(
                "/admin/conversation/create",
                json!({"token": ann, "circle_id": 9, "conversation_name": "x"})
            )
            .await
            .is_failure(404)
    );
    assert!(
        house
            .post("/admin/conversation/delete", json!({"token": ann, "conversation_id": 9}))
            .await
            .is_failure(404)
    );
    let home = house.circle(&ann, &[]).await;
    let wish = json!({"token": ann, "circle_id": home, "conversation_name": "Tea"});
    let made = house.post("/admin/conversation/create", wish).await;
    assert_eq!(made.body["content"]["name"], "Tea");
    let id = made.body["content"]["id"].clone();
    let request = Request::delete("/admin/conversation/delete");
    let body = json!({"token": ann, "conversation_id": id}).to_string();
    assert_eq!(house.send(request.body(Body::from(body)).expect("ok")).await.status, 200);
}

#[tokio::test]
async fn the_server_tells_how_it_is() {
    let house = House::open().await;
    assert_eq!(house.get("/healthz", "").await.body, json!({"alive": true}));
    assert_eq!(house.get("/readyz", "").await.body, json!({"ready": true, "missing": []}));
    assert_eq!(house.get("/metrics", "").await.body, json!("klatsch_up 1\n"));
    assert_eq!(house.get("/docs/openapi.json", "").await.body["info"]["title"], "Klatsch");
    let docs = house.get("/docs", "").await;
    assert!(docs.body.as_str().is_some_and(|page| page.contains("/circle/kick")));
}

#[tokio::test]
async fn any_page_may_call_without_credentials() {
    let house = House::open().await;
    let request = Request::options("/account/login")
        .header(header::ORIGIN, "https://anywhere.example")
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
        .header(
            header::ACCESS_CONTROL_REQUEST_HEADERS,
            "content-type,authorization,x-requested-with",
        );
    let answer = house.send(request.body(Body::empty()).expect("ok")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    assert!(!answer.headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
    let allowed = answer.headers[header::ACCESS_CONTROL_ALLOW_HEADERS].to_str().expect("text");
    assert_eq!(allowed, "content-type,authorization,x-requested-with");
}
