//! Logging in by a form, the cookie that comes of it, and the page of rooms.

use reqwest::{Client, Response, redirect::Policy};
use serde_json::json;

use super::house::House;

struct Browser {
    client: Client,
    url: String,
    cookies: Vec<(String, String)>,
}

impl Browser {
    fn new(house: &House) -> Self {
        let client = Client::builder().redirect(Policy::none()).build().unwrap();
        Self { client, url: house.world.url(), cookies: Vec::new() }
    }

    fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn line(&self) -> String {
        let all = self.cookies.iter().map(|(name, value)| format!("{name}={value}"));
        all.collect::<Vec<_>>().join("; ")
    }

    fn keep(&mut self, response: &Response) {
        for line in response.headers().get_all("set-cookie") {
            let line = line.to_str().unwrap();
            assert!(line.contains("HttpOnly") && line.contains("SameSite=Lax"), "{line}");
            let (name, rest) = line.split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            self.cookies.retain(|(known, _)| known != name);
            if !value.is_empty() {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
    }

    async fn get(&mut self, path: &str) -> Response {
        let request = self.client.get(format!("{}{path}", self.url)).header("cookie", self.line());
        let response = request.send().await.unwrap();
        self.keep(&response);
        response
    }

    async fn post(&mut self, path: &str, body: String, origin: Option<&str>) -> Response {
        let mut request = self
            .client
            .post(format!("{}{path}", self.url))
            .header("cookie", self.line())
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let response = request.send().await.unwrap();
        self.keep(&response);
        response
    }

    /// Loads the form, and sends it.
    async fn log_in(&mut self, name: &str, password: &str, next: &str) -> Response {
        let html = self.get(&format!("/accounts/login/?next={next}")).await.text().await.unwrap();
        let token = html.split("name=\"csrfmiddlewaretoken\" value=\"").nth(1).unwrap();
        let token = token.split('"').next().unwrap();
        let body = format!("csrfmiddlewaretoken={token}&username={name}&password={password}");
        let url = self.url.clone();
        self.post(&format!("/accounts/login/?next={next}"), body, Some(&url)).await
    }
}

fn location(response: &Response) -> &str {
    assert_eq!(response.status(), 302);
    response.headers()["location"].to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_logs_in_by_the_form_and_chats_with_its_cookie() {
    let house = House::open().await;
    house.user("ann", &[]);
    let (tea, attic) = (house.room("Tea & cake").await, house.staff_room("Attic").await);
    let mut browser = Browser::new(&house);
    let listing = browser.get("/chat/").await;
    assert_eq!(location(&listing), "/accounts/login/?next=/chat/");
    let answer = browser.log_in("ann", "wrong", "/chat/").await;
    assert_eq!(answer.status(), 200);
    assert!(answer.text().await.unwrap().contains("csrfmiddlewaretoken"));
    assert_eq!(browser.cookie("sessionid"), None);
    let answer = browser.log_in("ann", "secret", "/chat/").await;
    assert_eq!(location(&answer), "/chat/");
    let page = browser.get("/chat/").await.text().await.unwrap();
    let links: Vec<_> = page.split("<li class=\"room-link\" ").skip(1).collect();
    assert!(links[0].starts_with(&format!("data-room-id=\"{attic}\">Attic<")), "{page}");
    assert!(links[1].starts_with(&format!("data-room-id=\"{tea}\">Tea &amp; cake<")), "{page}");
    let cookie = format!("sessionid={}", browser.cookie("sessionid").unwrap());
    let mut seat = house.page(&cookie).await;
    seat.join(tea).await;
    assert_eq!(location(&browser.get("/accounts/logout/").await), "/accounts/login/");
    seat.reads(json!({ "leave": tea.to_string() })).await;
    assert_eq!(browser.cookie("sessionid"), None);
    browser.cookies.push(("sessionid".to_owned(), cookie[10..].to_owned()));
    assert_eq!(location(&browser.get("/chat/").await), "/accounts/login/?next=/chat/");
    for path in ["/chat/page.js", "/accounts/page.css"] {
        assert_eq!(browser.get(path).await.status(), 200);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_form_needs_its_token_and_leads_to_no_other_site() {
    let house = House::open().await;
    house.user("ann", &[]);
    let right = "username=ann&password=secret";
    let mut browser = Browser::new(&house);
    let without = browser.post("/accounts/login/", right.to_owned(), None).await;
    assert_eq!(without.status(), 403);
    let token = browser.cookie("csrftoken").unwrap().to_owned();
    let wrong = format!("{right}&csrfmiddlewaretoken={}", "x".repeat(32));
    assert_eq!(browser.post("/accounts/login/", wrong, None).await.status(), 403);
    let named = format!("{right}&csrfmiddlewaretoken={token}");
    let foreign =
        browser.post("/accounts/login/", named.clone(), Some("http://evil.example")).await;
    assert_eq!(foreign.status(), 403);
    let json = browser.client.post(format!("{}/accounts/login/", browser.url)).body("{}").send();
    assert_eq!(json.await.unwrap().status(), 400);
    assert_eq!(browser.cookie("sessionid"), None);
    for (next, place) in [
        ("//evil.example/", "/"),
        ("https://evil.example/", "/"),
        ("/%5Cevil.example", "/"),
        ("/dialogs/bob", "/dialogs/bob"),
    ] {
        let mut browser = Browser::new(&house);
        assert_eq!(location(&browser.log_in("ann", "secret", next).await), place, "{next}");
    }
    // By e-mail as well, if nobody has it as a name (RULINGS 61).
    let mut browser = Browser::new(&house);
    assert_eq!(location(&browser.log_in("ANN%40example.org", "secret", "").await), "/");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_guesses_too_often_has_to_wait_even_with_the_right_password() {
    let house = House::open().await;
    house.user("ann", &[]);
    house.user("bob", &[]);
    let mut browser = Browser::new(&house);
    for _ in 0..10 {
        assert_eq!(browser.log_in("ann", "wrong", "").await.status(), 200);
    }
    let answer = browser.log_in("ann", "secret", "").await;
    assert_eq!(answer.status(), 429);
    let wait: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=900).contains(&wait), "{wait}");
    assert_eq!(browser.log_in("bob", "secret", "").await.status(), 302);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_can_stand_at_the_root_and_be_switched_off() {
    let house = House::with(|settings| settings.multichat.page_at_root = true).await;
    house.user("ann", &[]);
    let mut browser = Browser::new(&house);
    assert_eq!(location(&browser.get("/").await), "/accounts/login/?next=/");
    assert_eq!(location(&browser.log_in("ann", "secret", "/").await), "/");
    assert!(browser.get("/").await.text().await.unwrap().contains("id=\"chats\""));
    assert_eq!(browser.get("/healthz").await.status(), 200);
    let off = House::with(|settings| settings.multichat.enabled = false).await;
    let mut browser = Browser::new(&off);
    for path in ["/chat/", "/chat/stream/"] {
        assert_eq!(browser.get(path).await.status(), 404, "{path}");
    }
    assert_eq!(browser.get("/accounts/login/").await.status(), 200);
}
