//! The HTTP side: accounts, storage, smiles.

use axum::body::Body;
use axum::http::Request;
use klatsch::domain::UserId;
use klatsch::store::{Amount, UserChange};
use serde_json::{Value, json};

use super::PNG;
use crate::support::house::{Answer, House};

async fn ask(house: &House, verb: &str, path: &str, token: &str, body: Value) -> Answer {
    let mut request = Request::builder().method(verb).uri(path);
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    house.send(request.body(body).unwrap()).await
}

fn code(answer: &Answer) -> (u16, &str) {
    let keys = answer.body.as_object().unwrap_or_else(|| panic!("{answer:?}"));
    assert!(keys.len() == 2 && answer.body["detail"].is_string(), "{answer:?}");
    assert!(answer.headers.contains_key("x-request-id"));
    (answer.status, answer.body["code"].as_str().unwrap())
}

fn new(email: &str, password: &str, repeated: &str) -> Value {
    json!({ "email": email, "password": password, "repeat_password": repeated })
}

/// Registers and logs in: id and token.
async fn member(house: &House, name: &str) -> (i64, String) {
    let email = format!("{name}@example.org");
    let made = house.post("/auth/register", new(&email, "123", "123")).await;
    assert_eq!(made.status, 201, "{made:?}");
    let login = json!({ "email": email, "password": "123" });
    let token = house.post("/auth/login/", login).await.text("access_token");
    (made.body["id"].as_i64().unwrap(), token)
}

async fn superuser(house: &House) -> String {
    let (id, token) = member(house, "root").await;
    let change = UserChange { superuser: Some(true), ..UserChange::default() };
    house.store.change_user(UserId::new(id), change).await.unwrap();
    token
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_register_and_log_in() {
    let house = House::with(|settings| settings.members_chat.initial_balance = 20).await;
    let mut wish = new(" Mail@Mail.COM ", "123", "123");
    wish["first_name"] = json!("Max");
    let made = house.post("/auth/register/", wish).await;
    assert_eq!(made.status, 201);
    let id = made.body["id"].clone();
    let expected = json!({
        "id": id, "email": "mail@mail.com", "is_superuser": false, "is_employee": false,
        "is_premium": false, "balance": 20,
    });
    assert_eq!(made.body, expected);
    let long = "x".repeat(257);
    let table = [
        (new("mail@MAIL.com", "123", "123"), 409, "email_taken"),
        (new("a@b.c", "123", "124"), 422, "password_mismatch"),
        (new("nobody", "123", "123"), 422, "invalid_email"),
        (new("a@b.c", "12", "12"), 422, "password_too_short"),
        (new("a@b.c", &long, &long), 422, "password_too_long"),
        (json!({ "email": "a@b.c", "password": "123" }), 422, "validation_error"),
        (
            json!({ "email": 5, "password": "123", "repeat_password": "123" }),
            422,
            "validation_error",
        ),
        (json!([]), 422, "validation_error"),
    ];
    for (body, status, name) in table {
        let answer = house.post("/auth/register", body.clone()).await;
        assert_eq!(code(&answer), (status, name), "{body}");
    }
    for broken in ["", "{", "null", "\"x\""] {
        let request = Request::post("/auth/login").body(Body::from(broken)).unwrap();
        assert_eq!(code(&house.send(request).await), (422, "validation_error"), "{broken}");
    }
    let huge = Request::post("/auth/login").body(Body::from(vec![b' '; (1 << 20) + 1])).unwrap();
    assert_eq!(code(&house.send(huge).await), (413, "body_too_large"));

    let login = |password: &str| json!({ "email": "mail@mail.com", "password": password });
    let answer = house.post("/auth/login", login("123")).await;
    assert_eq!(answer.status, 200);
    let keys = ["access_token", "token_type", "expires_in", "member_id"];
    assert!(keys.iter().all(|key| answer.body.get(key).is_some()), "{answer:?}");
    assert_eq!(
        (&answer.body["token_type"], &answer.body["expires_in"]),
        (&json!("bearer"), &json!(86_400))
    );
    assert_eq!(answer.body["member_id"], id);
    // One token for all: NEO takes it as well.
    let token = answer.text("access_token");
    assert_eq!(house.post("/user/info", json!({ "token": token })).await.status, 200);
    let wrong = house.post("/auth/login", login("124")).await;
    assert_eq!(code(&wrong), (401, "bad_credentials"));
    let unknown = json!({ "email": "x@mail.com", "password": "123" });
    assert_eq!(house.post("/auth/login", unknown).await.body, wrong.body);
    let off = UserChange { active: Some(false), ..UserChange::default() };
    house.store.change_user(UserId::new(id.as_i64().unwrap()), off).await.unwrap();
    assert_eq!(code(&house.post("/auth/login", login("123")).await), (403, "inactive"));
    for _ in 0..12 {
        house.post("/auth/login", login("no")).await;
    }
    let slow = house.post("/auth/login", login("no")).await;
    assert_eq!(code(&slow), (429, "rate_limited"));
    assert!(slow.headers.contains_key("retry-after"));
    assert_eq!(
        code(&ask(&house, "GET", "/auth/login", "", Value::Null).await),
        (405, "method_not_allowed")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registration_may_be_closed() {
    let house = House::with(|settings| settings.auth.registration = false).await;
    let answer = house.post("/auth/register", new("a@b.c", "123", "123")).await;
    assert_eq!(code(&answer), (403, "registration_closed"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn superusers_change_members() {
    let house = House::open().await;
    let root = superuser(&house).await;
    let (id, token) = member(&house, "ann").await;
    let me = ask(&house, "GET", "/members/me/", &token, Value::Null).await;
    let expected = json!({
        "id": id, "email": "ann@example.org", "first_name": "", "last_name": "", "balance": 0,
        "is_superuser": false, "is_employee": false, "is_premium": false, "premium_until": null,
    });
    assert_eq!((me.status, &me.body), (200, &expected));
    let path = format!("/members/{id}");
    for (who, status, name) in
        [("", 401, "unauthorized"), ("nonsense", 401, "unauthorized"), (&token, 403, "forbidden")]
    {
        let answer = ask(&house, "PATCH", &path, who, json!({ "balance_delta": 5 })).await;
        assert_eq!(code(&answer), (status, name));
        assert_eq!(answer.headers.contains_key("www-authenticate"), status == 401);
    }
    let change = json!({
        "balance_delta": 25, "is_employee": true, "premium_until": "2100-01-05T10:00:00.000000",
    });
    let answer = ask(&house, "PATCH", &path, &root, change).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let told = (&answer.body["balance"], &answer.body["is_employee"], &answer.body["is_premium"]);
    assert_eq!(told, (&json!(25), &json!(true), &json!(true)));
    assert_eq!(answer.body["premium_until"], "2100-01-05T10:00:00.000000");
    let for_ever = json!({ "premium_until": "9999-12-31T23:59:59.999999" });
    let answer = ask(&house, "PATCH", &path, &root, for_ever.clone()).await;
    assert_eq!(answer.body["premium_until"], for_ever["premium_until"]);
    let change = json!({ "balance_delta": -5, "is_employee": false, "premium_until": null });
    let answer = ask(&house, "PATCH", &format!("{path}/"), &root, change).await;
    assert_eq!(
        (&answer.body["balance"], &answer.body["premium_until"]),
        (&json!(20), &Value::Null)
    );
    let table = [
        (path.as_str(), json!({ "balance_delta": -21 }), 409, "insufficient_balance"),
        (&path, json!({ "balance_delta": "5" }), 422, "validation_error"),
        (&path, json!({ "balance_delta": 1.5 }), 422, "validation_error"),
        (&path, json!({ "is_active": 1 }), 422, "validation_error"),
        (&path, json!({ "premium_until": "soon" }), 422, "validation_error"),
        ("/members/999", json!({}), 404, "member_not_found"),
        ("/members/x", json!({}), 404, "member_not_found"),
    ];
    for (path, body, status, name) in table {
        let answer = ask(&house, "PATCH", path, &root, body.clone()).await;
        assert_eq!(code(&answer), (status, name), "{path} {body}");
    }
    let answer = ask(&house, "PATCH", &path, &root, json!({ "is_active": false })).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        code(&ask(&house, "GET", "/members/me", &token, Value::Null).await),
        (401, "unauthorized")
    );
}

/// Name, name of a file, and bytes, of each field of a form.
type Fields<'a> = &'a [(&'a str, Option<&'a str>, &'a [u8])];

/// A form with these fields.
async fn form(house: &House, token: &str, fields: Fields<'_>) -> Answer {
    let mut body = Vec::new();
    for (name, file, bytes) in fields {
        let file = file.map(|file| format!("; filename=\"{file}\"")).unwrap_or_default();
        let head = format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(bytes);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--B--\r\n");
    let request = Request::post("/storage/smiles")
        .header("authorization", format!("Bearer {token}"))
        .header("content-type", "multipart/form-data; boundary=B");
    house.send(request.body(Body::from(body)).unwrap()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn superusers_make_price_and_retire_smiles() {
    let house = House::open().await;
    let root = superuser(&house).await;
    let (_, ann) = member(&house, "ann").await;
    let picture = ("file", Some("cat.png"), PNG);
    assert_eq!(code(&form(&house, &ann, &[picture]).await), (403, "forbidden"));
    assert_eq!(code(&form(&house, "x", &[picture]).await), (401, "unauthorized"));
    let made = form(&house, &root, &[picture]).await;
    assert_eq!((made.status, &made.body["price"]), (201, &json!(5)));
    let (id, uuid) = (made.body["id"].clone(), made.text("file_uuid"));
    let svg: &[u8] = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>";
    let drawn = form(&house, &root, &[("price", None, b"0"), ("file", Some("a.png"), svg)]).await;
    assert_eq!((drawn.status, &drawn.body["price"]), (201, &json!(0)));
    let big = vec![7; 5_000_001];
    let table: [(Fields<'_>, u16, &str); 7] = [
        (&[("image", Some("a"), PNG)], 422, "validation_error"),
        (&[("file", Some("a"), b"")], 422, "empty_file"),
        (&[("file", Some("a.png"), b"hello")], 422, "not_an_image"),
        (&[picture, ("price", None, b"-1")], 422, "validation_error"),
        (&[picture, ("price", None, b"x")], 422, "validation_error"),
        (&[("file", Some("a.png"), &big)], 413, "file_too_large"),
        (&[], 422, "validation_error"),
    ];
    for (fields, status, name) in table {
        assert_eq!(code(&form(&house, &root, fields).await), (status, name));
    }
    let list = ask(&house, "GET", "/storage/smiles", &ann, Value::Null).await;
    assert_eq!(list.body, json!([made.body, drawn.body]));
    assert_eq!(
        code(&ask(&house, "GET", "/storage/smiles", "", Value::Null).await),
        (401, "unauthorized")
    );
    let path = format!("/storage/smiles/{id}");
    let priced = ask(&house, "PATCH", &path, &root, json!({ "price": 7 })).await;
    assert_eq!(priced.body, json!({ "id": id, "file_uuid": uuid, "price": 7 }));
    for (verb, path, token, body, status, name) in [
        ("PATCH", path.as_str(), &ann, json!({ "price": 7 }), 403, "forbidden"),
        ("PATCH", &path, &root, json!({ "price": -7 }), 422, "validation_error"),
        ("PATCH", &path, &root, json!({}), 422, "validation_error"),
        ("PATCH", "/storage/smiles/99", &root, json!({ "price": 7 }), 404, "smile_not_found"),
        ("DELETE", "/storage/smiles/99", &root, Value::Null, 404, "smile_not_found"),
    ] {
        assert_eq!(
            code(&ask(&house, verb, path, token, body).await),
            (status, name),
            "{verb} {path}"
        );
    }
    assert_eq!(ask(&house, "DELETE", &path, &root, Value::Null).await.status, 204);
    assert_eq!(
        code(&ask(&house, "DELETE", &path, &root, Value::Null).await),
        (404, "smile_not_found")
    );
    let list = ask(&house, "GET", "/storage/smiles/", &ann, Value::Null).await;
    assert_eq!(list.body, json!([drawn.body]));
    // Retired, not erased.
    let stored = ask(&house, "GET", &format!("/storage?uuid={uuid}"), "", Value::Null).await;
    assert_eq!(
        (stored.status, &stored.headers["content-type"]),
        (200, &"image/png".parse().unwrap())
    );
    let path = format!("/storage?uuid={}", drawn.text("file_uuid"));
    let stored = ask(&house, "GET", &path, "", Value::Null).await;
    assert_eq!(stored.headers["content-type"], "image/svg+xml");
    assert!(stored.headers["content-disposition"].to_str().unwrap().starts_with("attachment"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storage_answers_as_its_page_says() {
    let house = House::open().await;
    for (query, status, name) in [
        ("", 422, "validation_error"),
        ("?uuid=", 422, "validation_error"),
        ("?uuid=x", 422, "validation_error"),
        ("?uuid=9be4aa0cc8204edcb86e7fe5fdbc49b6", 422, "validation_error"),
        ("?uuid=%7B9be4aa0c-c820-4edc-b86e-7fe5fdbc49b6%7D", 422, "validation_error"),
        ("?uuid=9be4aa0c-c820-4edc-b86e-7fe5fdbc49b6", 404, "file_not_found"),
    ] {
        let answer = ask(&house, "GET", &format!("/storage{query}"), "", Value::Null).await;
        assert_eq!(code(&answer), (status, name), "{query}");
    }
    let request = Request::builder()
        .method("OPTIONS")
        .uri("/members/1")
        .header("origin", "null")
        .header("access-control-request-method", "PATCH")
        .header("access-control-request-headers", "authorization,content-type");
    let allowed = house.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(allowed.headers["access-control-allow-origin"], "*");
    let verbs = allowed.headers["access-control-allow-methods"].to_str().unwrap();
    assert!(verbs.contains("PATCH"), "{verbs}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guarded_storage_is_for_those_who_may_read() {
    let town = super::Town::with(|settings| settings.storage_requires_auth = true).await;
    let (ann, bob, cem) =
        (town.member("ann").await, town.member("bob").await, town.member("cem").await);
    let (_, smile) = town.smile(&town.root().await, 5).await;
    let mut a = town.chat(&ann, &bob).await;
    a.send_bytes(super::file("{}", b"secret")).await;
    let file = a.json().await["file_uuid"].as_str().unwrap().to_owned();
    for (uuid, token, status) in [
        (&file, Some(&ann), 200),
        (&file, Some(&bob), 200),
        (&file, Some(&cem), 404),
        (&file, None, 401),
        (&smile, Some(&cem), 200),
        (&smile, None, 401),
    ] {
        let url = format!("{}/storage?uuid={uuid}", town.world.url());
        let token = token.map_or_else(String::new, |member| member.token.clone());
        let by_query = town.http.get(format!("{url}&token={token}")).send().await.unwrap();
        assert_eq!(by_query.status().as_u16(), status);
        let by_header = town.http.get(&url).bearer_auth(token).send().await.unwrap();
        assert_eq!(by_header.status().as_u16(), status);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_that_no_row_refers_to_are_removed() {
    let town = super::Town::open().await;
    let (ann, bob) = (town.poor("ann").await, town.poor("bob").await);
    town.give(&ann, 5).await;
    let mut a = town.chat(&ann, &bob).await;
    for _ in 0..3 {
        a.send_bytes(super::file("{}", b"bytes")).await;
        a.json().await;
    }
    let balance = Some(Amount::Exactly(0));
    town.change(&ann, UserChange { balance, ..UserChange::default() }).await;
    let mut stored = 0;
    let folders = std::fs::read_dir(town.world.folder().join("files")).unwrap();
    for folder in folders.map(Result::unwrap) {
        stored += std::fs::read_dir(folder.path()).unwrap().count();
    }
    assert_eq!(stored, 1, "one was paid for");
}
