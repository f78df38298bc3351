//! The addresses that pages are told, the cookies they get, and who may make them act.

use reqwest::header::HeaderMap;
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

use crate::support::site::{Process, Site};

/// A server, a person's cookie, and a browser that follows nothing by itself.
struct Visit {
    site: Site,
    server: Process,
    cookie: String,
    client: Client,
}

impl Visit {
    async fn at(settings: &[(&str, &str)]) -> Self {
        let site = settings.iter().fold(Site::new(), |site, (name, value)| site.set(name, *value));
        for name in ["ann", "bob"] {
            let email = format!("{name}@example.org");
            site.run(&["user", "add", &email]).await;
        }
        let server = site.start().await;
        let client = Client::builder().redirect(Policy::none()).build().unwrap();
        let mut visit = Self { site, server, cookie: String::new(), client };
        visit.log_in().await;
        visit
    }

    async fn log_in(&mut self) {
        let made = self.site.run(&["session", "add", "ann@example.org"]).await;
        let made: Value = serde_json::from_str(&made).unwrap();
        self.cookie = format!("sessionid={}", made["sessionid"].as_str().unwrap());
    }

    fn get(&self, path: &str, headers: &[(&str, &str)]) -> RequestBuilder {
        let request = self.client.get(format!("{}{path}", self.server.url));
        let request = request.header("cookie", &self.cookie);
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    }

    /// The address of the socket that a page is told.
    async fn told(&self, headers: &[(&str, &str)]) -> String {
        let answer = self.get("/dialogs/", headers).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
        let page = answer.text().await.unwrap();
        let told = page.split("base_ws_server_path = \"").nth(1).unwrap();
        let told = told.split('"').next().unwrap().to_owned();
        let (scheme, rest) = told.split_once("://").unwrap();
        let origin = format!("{scheme}://{}", rest.split('/').next().unwrap());
        assert!(policy.contains(&format!("connect-src 'self' {origin};")), "{policy} for {told}");
        told
    }

    async fn is_logged_in(&self) -> bool {
        self.get("/dialogs/", &[]).send().await.unwrap().status() == 200
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_told_the_address_that_their_browser_called() {
    let forwarding = |name, value| (name, value);
    let proto = forwarding("x-forwarded-proto", "https");
    let visit = Visit::at(&[("HTTP__TRUSTED_PROXIES", "127.0.0.1")]).await;
    let table: &[(&[(&str, &str)], &str)] = &[
        (&[("host", "chat.example")], "ws://chat.example/private-chat/"),
        (&[("host", "chat.example:8080")], "ws://chat.example:8080/private-chat/"),
        (&[("host", "[2001:db8::1]:8080")], "ws://[2001:db8::1]:8080/private-chat/"),
        (&[("host", "chat.example"), proto], "wss://chat.example/private-chat/"),
        (&[("host", "chat.example:8443"), proto], "wss://chat.example:8443/private-chat/"),
        (
            &[("host", "chat.example"), ("x-forwarded-proto", "http")],
            "ws://chat.example/private-chat/",
        ),
        (
            &[("host", "inner:1"), ("x-forwarded-host", "chat.example"), proto],
            "wss://chat.example/private-chat/",
        ),
        (
            &[
                ("host", "inner:1"),
                ("x-forwarded-host", "chat.example"),
                ("x-forwarded-port", "8443"),
                proto,
            ],
            "wss://chat.example:8443/private-chat/",
        ),
        (
            &[("host", "chat.example"), ("x-forwarded-port", "8443"), proto],
            "wss://chat.example:8443/private-chat/",
        ),
        (
            &[("host", "chat.example"), ("x-forwarded-port", "443"), proto],
            "wss://chat.example/private-chat/",
        ),
        (
            &[("host", "chat.example"), ("x-forwarded-host", "x;script-src *"), proto],
            "wss://chat.example/private-chat/",
        ),
    ];
    for (headers, told) in table {
        assert_eq!(visit.told(headers).await, *told, "{headers:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_s_word_changes_no_address_and_the_public_one_wins() {
    let stranger = Visit::at(&[]).await;
    let forged = [
        ("host", "chat.example"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-port", "1"),
    ];
    assert_eq!(stranger.told(&forged).await, "ws://chat.example/private-chat/");
    for (url, told) in [
        ("https://chat.example", "wss://chat.example/private-chat/"),
        ("http://chat.example:8080", "ws://chat.example:8080/private-chat/"),
        ("https://example.org/chat/", "wss://example.org/chat/private-chat/"),
    ] {
        let visit = Visit::at(&[("PUBLIC_URL", url), ("HTTP__TRUSTED_PROXIES", "127.0.0.1")]).await;
        assert_eq!(visit.told(&[]).await, told);
        assert_eq!(visit.told(&forged).await, told);
    }
    let base = Visit::at(&[
        ("PUBLIC_URL", "https://chat.example"),
        ("PRIVATE_CHAT__PUBLIC_BASE", "wss://sockets.example:5002"),
    ])
    .await;
    assert_eq!(base.told(&forged).await, "wss://sockets.example:5002/");
}

fn cookies(headers: &HeaderMap) -> Vec<&str> {
    headers.get_all("set-cookie").iter().map(|line| line.to_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cookies_insist_on_tls_where_the_browser_came_by_it() {
    let visit = Visit::at(&[("HTTP__TRUSTED_PROXIES", "127.0.0.1")]).await;
    for (scheme, secure) in [("https", true), ("http", false)] {
        let proto = [("x-forwarded-proto", scheme)];
        let form = visit.get("/accounts/login/", &proto).send().await.unwrap();
        assert_eq!(cookies(form.headers()).iter().all(|line| line.ends_with("; Secure")), secure);
        let set = visit.client.post(format!("{}/cookies/set/token", visit.server.url));
        let set = set.header("x-forwarded-proto", scheme).json(&json!({ "token": "a.b.c" }));
        let set = set.send().await.unwrap();
        assert_eq!(cookies(set.headers()).iter().all(|line| line.ends_with("; Secure")), secure);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_site_sets_the_token_s_cookie() {
    let visit = Visit::at(&[
        ("HTTP__ALLOWED_ORIGINS", "https://app.example,null"),
        ("PUBLIC_URL", "https://chat.example"),
    ])
    .await;
    let own = visit.server.url.clone();
    let table = [
        (None, true),
        (Some(own.as_str()), true),
        (Some("https://chat.example"), true),
        (Some("https://app.example"), true),
        (Some("https://evil.example"), false),
        (Some("https://app.example.evil"), false),
        (Some("http://127.0.0.1"), false),
        (Some("null"), false),
        (Some(""), false),
    ];
    for (origin, may) in table {
        for put in [false, true] {
            let url = format!("{own}/cookies/set/token");
            let request = if put { visit.client.put(url) } else { visit.client.post(url) };
            // As a form of another site can send it, without being asked beforehand.
            let request = request.header("content-type", "text/plain").body(r#"{"token":"a.b.c"}"#);
            let request =
                origin.iter().fold(request, |request, origin| request.header("origin", *origin));
            let answer = request.send().await.unwrap();
            let expected = if may { 200 } else { 403 };
            assert_eq!(answer.status(), expected, "{origin:?}");
            assert_eq!(cookies(answer.headers()).is_empty(), !may, "{origin:?}");
        }
    }
}

/// Where a visit comes from, and whether it is one of our own.
const VISITS: &[(&[(&str, &str)], bool)] = &[
    (&[("sec-fetch-site", "cross-site")], false),
    (&[("sec-fetch-site", "same-site")], false),
    (&[("sec-fetch-site", "same-site"), ("referer", "http://chat.example/")], false),
    (&[("host", "chat.example"), ("referer", "https://evil.example/")], false),
    (&[("host", "chat.example"), ("referer", "http://www.chat.example/")], false),
    (&[("host", "chat.example:8000"), ("referer", "http://chat.example:9000/")], false),
    (&[("referer", "rubbish")], false),
    (&[("sec-fetch-site", "none")], true),
    (&[("sec-fetch-site", "same-origin")], true),
    (&[("host", "chat.example"), ("referer", "http://chat.example/chat/")], true),
    (&[], true),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_site_logs_anybody_out() {
    let mut visit = Visit::at(&[]).await;
    for (headers, own) in VISITS {
        let answer = visit.get("/accounts/logout/", headers).send().await.unwrap();
        let expected = if *own { 302 } else { 403 };
        assert_eq!(answer.status(), expected, "{headers:?}");
        assert_eq!(visit.is_logged_in().await, !own, "{headers:?}");
        visit.log_in().await;
    }
    // The page that is shown instead asks for a click, which comes from our own page.
    let url = format!("{}/accounts/logout/", visit.server.url);
    for (origin, own) in [("https://evil.example", false), (visit.server.url.as_str(), true)] {
        let request = visit.client.post(&url).header("cookie", &visit.cookie);
        let answer = request.header("origin", origin).send().await.unwrap();
        assert_eq!(answer.status(), if own { 302 } else { 403 });
        assert_eq!(visit.is_logged_in().await, !own);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_other_site_opens_a_dialog() {
    let visit = Visit::at(&[]).await;
    for (headers, own) in VISITS {
        visit.get("/dialogs/bob/", headers).send().await.unwrap();
        let list = visit.get("/dialogs/", &[]).send().await.unwrap().text().await.unwrap();
        assert_eq!(list.contains("id=\"user-bob\""), *own, "{headers:?}");
        if *own {
            break;
        }
    }
}
