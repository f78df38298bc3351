//! The pages at `/dialogs/`, and a page that follows the specification to the letter, both in
//! a real browser.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::stage::{Stage, User, message, until_settled};
use crate::support::programs::{Program, node, skipped};

const PATIENCE: Duration = Duration::from_mins(1);

async fn get(
    stage: &Stage,
    path: &str,
    headers: &[(&str, &str)],
) -> (u16, reqwest::header::HeaderMap, String) {
    let client =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let mut request = client.get(format!("{}{path}", stage.world.url()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.headers().clone(), answer.text().await.unwrap())
}

async fn names_of_dialogs(stage: &Stage, user: &User) -> Vec<Value> {
    let mut chat = stage.rich(user, "nobody").await;
    let told = chat.json().await;
    assert_eq!(told["type"], "user-not-found");
    chat.send_json(&json!({"type": "dialogs"})).await;
    let list = chat.json().await;
    list["value"].as_array().unwrap().iter().map(|one| one["username"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_for_those_who_are_logged_in() {
    let stage = Stage::open().await;
    let (ann, bob) = (stage.user("ann").await, stage.user("bob").await);
    let (key, cookie) = stage.session(&ann);
    let cookie = format!("a=b; sessionid={cookie}");
    for headers in [vec![], vec![("cookie", "sessionid=wrong")], vec![("cookie", "sessionid=")]] {
        let (status, answered, _) = get(&stage, "/dialogs/bob", &headers).await;
        let location = answered["location"].to_str().unwrap();
        assert_eq!((status, location), (302, "/accounts/login/?next=%2Fdialogs%2Fbob"));
    }
    let (status, headers, page) = get(&stage, "/dialogs/", &[("cookie", &cookie)]).await;
    assert_eq!(status, 200);
    assert_eq!(headers["cache-control"], "no-store");
    assert!(headers["content-security-policy"].to_str().unwrap().contains("script-src 'nonce-"));
    assert!(
        !page.contains("user-bob") && page.contains(r#"id="owner_username" value="ann""#),
        "{page}"
    );
    assert_eq!(get(&stage, "/dialogs/ghost", &[("cookie", &cookie)]).await.0, 404);

    // A link on a foreign page opens no dialog; a visit of one's own does, once, and is told.
    let mut b = stage.bound(&bob, "ann").await;
    let foreign = [("cookie", cookie.as_str()), ("sec-fetch-site", "cross-site")];
    assert_eq!(get(&stage, "/dialogs/bob", &foreign).await.0, 200);
    assert_eq!(names_of_dialogs(&stage, &ann).await, Vec::<Value>::new());
    let (status, _, page) = get(&stage, "/dialogs/bob", &[("cookie", &cookie)]).await;
    assert_eq!(status, 200);
    assert_eq!(get(&stage, "/dialogs/bob/", &[("cookie", &cookie)]).await.0, 200);
    assert_eq!(names_of_dialogs(&stage, &ann).await, ["bob"]);
    let told = until_settled(&mut b).await;
    let begun: Vec<_> = told.iter().filter(|told| told["type"] == "new-dialog").collect();
    assert_eq!(begun, [&json!({"type": "new-dialog", "username": "ann"})]);
    // The page holds the key, which opens the socket, and not the cookie.
    assert!(page.contains(&key) && !page.contains(cookie.split('=').next_back().unwrap()));
    assert!(page.contains(&format!("\"ws://{}/private-chat/\"", stage.world.address)), "{page}");
    assert!(page.contains(r#"<a id="user-bob" class="btn btn-success""#), "{page}");

    b.send_json(&message("ann", "<b>1 & 2</b>")).await;
    until_settled(&mut b).await;
    let (_, _, page) = get(&stage, "/dialogs/", &[("cookie", &cookie)]).await;
    assert!(
        page.contains("&lt;b&gt;1 &amp; 2&lt;/b&gt;") && page.contains("row msg-unread opponent"),
        "{page}"
    );
}

fn browser() -> Option<()> {
    let browser = std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
    Path::new(&browser).exists().then_some(())
}

/// Conformance checks 1 and 13.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_old_page_works_in_a_real_browser() {
    if browser().is_none() {
        return skipped("the pages of private-chat, for want of Chromium");
    }
    let Some(mut script) = node("tests/browser/private-chat.mjs") else { return };
    let stage = Stage::open().await;
    let mut people = serde_json::Map::new();
    for name in ["ann", "bob", "carol"] {
        let user = stage.user(name).await;
        let (key, cookie) = stage.session(&user);
        let person = json!({"key": key, "cookie": cookie, "token": user.token});
        people.insert(name.to_owned(), person);
    }
    let task = json!({
        "url": stage.world.url(), "base": format!("{}/", stage.base()), "people": people,
    });
    let told = tokio::task::spawn_blocking(move || {
        Program::start(script.arg(task.to_string())).finish(3 * PATIENCE)
    });
    let told = told.await.unwrap();
    assert!(told.contains("ok: the pages of private-chat work"), "{told}");
}
