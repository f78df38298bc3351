//! The command line, as an operator types it: the real program on a fresh folder.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::raw::Raw;

/// A folder with a database of its own.
struct Place(TempDir);

/// What a command left behind.
struct Done {
    ok: bool,
    out: String,
    err: String,
}

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, words: &[&str]) -> Done {
        self.run_with(words, &[], "")
    }

    fn run_with(&self, words: &[&str], variables: &[(&str, &str)], input: &str) -> Done {
        let mut child = Command::new(env!("CARGO_BIN_EXE_klatsch"))
            .args(words)
            .current_dir(self.path())
            .env_clear()
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let done = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Done { ok: done.status.success(), out: text(done.stdout), err: text(done.stderr) }
    }

    /// A server on a free port.
    fn serve(&self) -> Server {
        self.serve_with(&[])
    }

    /// The same, with further variables.
    fn serve_with(&self, variables: &[(&str, &str)]) -> Server {
        let mut child = Command::new(env!("CARGO_BIN_EXE_klatsch"))
            .arg("serve")
            .current_dir(self.path())
            .env_clear()
            .env("KLATSCH_HTTP__LISTEN", "127.0.0.1:0")
            .env("KLATSCH_TURN__LISTEN", "127.0.0.1:0")
            .env("KLATSCH_COURIER__LISTEN", "127.0.0.1:0")
            .env("KLATSCH_PRIVATE_CHAT__LISTEN", "127.0.0.1:0")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let Ok(said) = serde_json::from_str::<Value>(&line) else {
            let _ = child.kill();
            let mut log = String::new();
            child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
            panic!("{line}{log}");
        };
        Server { child, url: said["url"].as_str().unwrap().to_owned() }
    }

    /// A command that succeeds, and the JSON it prints.
    fn json(&self, words: &[&str]) -> Value {
        let done = self.run(words);
        assert!(done.ok && done.err.is_empty(), "{words:?}: {}", done.err);
        serde_json::from_str(&done.out).unwrap_or_else(|_| panic!("{words:?}: {}", done.out))
    }

    /// A command that fails with one sentence.
    fn refused(&self, words: &[&str]) -> String {
        let done = self.run(words);
        assert!(!done.ok && done.out.is_empty(), "{words:?}: {}", done.out);
        done.err
    }
}

/// A server that runs; it ends with this.
struct Server {
    child: Child,
    url: String,
}

impl Server {
    /// Asks it to stop, and gives its status and log.
    fn stop(mut self) -> (bool, String) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let deadline = Instant::now() + Duration::from_secs(20);
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() > deadline => panic!("the server does not stop"),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (status.success(), log)
    }

    async fn get(&self, path: &str) -> reqwest::Response {
        reqwest::get(format!("{}{path}", self.url)).await.unwrap()
    }

    /// The status of asking for oneself.
    async fn ask(&self, token: &str) -> u16 {
        let body = json!({ "token": token });
        let url = format!("{}/user/info", self.url);
        reqwest::Client::new().post(url).json(&body).send().await.unwrap().status().as_u16()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_server_says_where_it_listens_and_stops_when_told() {
    let place = Place::new();
    let server = place.serve();
    assert_eq!(server.get("/healthz").await.status(), 200);
    assert_eq!(server.get("/readyz").await.status(), 200);
    let (ok, log) = server.stop();
    assert!(ok, "{log}");
    let again = place.serve();
    assert_eq!(again.get("/readyz").await.status(), 200);
}

#[tokio::test]
async fn a_server_that_stops_still_notes_who_goes() {
    let place = Place::new();
    let server = place.serve_with(&[("KLATSCH_LIMITS__DRAIN_SECONDS", "0")]);
    let address = server.url.replacen("http", "ws", 1);
    let mut clients = Vec::new();
    for number in 1..=20 {
        place.json(&["user", "add", &format!("user{number}@example.org")]);
        let token = place.run(&["user", "token", &number.to_string()]).out.trim().to_owned();
        let url = format!("{address}/socket.io/?EIO=3&transport=websocket");
        let mut client = Raw::connect(&url, &[]).await;
        while client.text().await != "40" {}
        client.send(format!(r#"42["authenticate",{{"token":"{token}"}}]"#)).await;
        while !client.text().await.contains("User authenticated") {}
        clients.push(client);
    }
    let (ok, log) = server.stop();
    assert!(ok && !log.contains("WARN"), "{log}");
    let database = rusqlite::Connection::open(place.path().join("data/klatsch.db")).unwrap();
    let seen = "SELECT count(*) FROM users WHERE last_seen IS NOT NULL";
    let seen: i64 = database.query_row(seen, [], |row| row.get(0)).unwrap();
    assert_eq!(seen, 20, "{log}");
}

#[tokio::test]
async fn commands_run_beside_a_server_and_count_at_once() {
    let place = Place::new();
    let server = place.serve();
    place.json(&["user", "add", "ann@example.org", "--password", "secret"]);
    let token = place.run(&["user", "token", "1"]).out.trim().to_owned();
    assert_eq!(server.ask(&token).await, 200);
    place.json(&["user", "set", "1", "--password", "other"]);
    assert_eq!(server.ask(&token).await, 401);
    let (ok, log) = server.stop();
    assert!(ok && !log.contains(&token) && !log.contains("secret"), "{log}");
}

#[test]
fn an_account_is_made_changed_and_listed() {
    let place = Place::new();
    let ann = place.json(&[
        "user",
        "add",
        "Ann@example.org",
        "--password",
        "secret",
        "--username",
        "ann.lee",
        "--first-name",
        "Ann",
        "--last-name",
        "Lee",
        "--birthday",
        "25 December 1990",
        "--superuser",
        "--premium-until",
        "2030/01/31",
        "--balance",
        "7",
    ]);
    let created = ann["created"].clone();
    let expected = json!({
        "id": 1, "email": "Ann@example.org", "username": "ann.lee", "first_name": "Ann",
        "last_name": "Lee", "birthday": "1990-12-25", "is_active": true, "is_superuser": true,
        "is_staff": false, "is_employee": false, "premium_until": "2030-01-31T00:00:00Z",
        "balance": 7, "created": created,
    });
    assert_eq!(ann, expected);

    let bob = place.json(&["user", "add", "bob.ray@example.org"]);
    assert_eq!((&bob["id"], &bob["username"]), (&json!(2), &json!("bob_ray")));
    let other = place.json(&["user", "add", "bob_ray@example.com"]);
    assert_eq!(other["username"], "bob_ray2");

    let changed = place.json(&[
        "user",
        "set",
        "ann@EXAMPLE.org",
        "--no-superuser",
        "--staff",
        "--employee",
        "--no-birthday",
        "--no-premium-until",
        "--add-balance",
        "-3",
        "--first-name",
        "Anna",
        "--email",
        "a@example.org",
    ]);
    let expected = json!({
        "id": 1, "email": "a@example.org", "username": "ann.lee", "first_name": "Anna",
        "last_name": "Lee", "birthday": null, "is_active": true, "is_superuser": false,
        "is_staff": true, "is_employee": true, "premium_until": null, "balance": 4, "created": created,
    });
    assert_eq!(changed, expected);
    assert_eq!(
        place.json(&["user", "set", "1", "--balance", "9", "--no-active"])["is_active"],
        false
    );
    assert_eq!(place.json(&["user", "set", "1", "--active"])["balance"], 9);

    let list = place.run(&["user", "list"]);
    let ids: Vec<Value> = list
        .out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].take())
        .collect();
    assert_eq!(ids, [json!(1), json!(2), json!(3)]);
}

#[test]
fn a_database_that_is_not_there_is_told_as_such() {
    let place = Place::new();
    // Nobody listens on port 1.
    for url in
        ["postgres://ann:swordfish@127.0.0.1:1/chat", "mysql://ann:swordfish@127.0.0.1:1/chat"]
    {
        let done = place.run_with(&["check"], &[("KLATSCH_DATABASE__URL", url)], "");
        let told =
            done.err.contains("the database is not available") && done.err.contains("refused");
        assert!(!done.ok && told && !done.err.contains("swordfish"), "{}", done.err);
    }
}

#[test]
fn what_cannot_be_is_refused_in_a_sentence() {
    let place = Place::new();
    place.json(&["user", "add", "ann@example.org", "--balance", "2"]);
    let table: &[(&[&str], &str)] = &[
        (&["user", "add", "ANN@example.org"], "klatsch: another user has this e-mail address\n"),
        (
            &["user", "add", "x@example.org", "--username", "ann"],
            "klatsch: another user has this username\n",
        ),
        (
            &["user", "add", "x@example.org", "--password", "ab"],
            "a password has at least 3 characters",
        ),
        (&["user", "add", "nobody"], "not an e-mail address"),
        (&["user", "add", "x@example.org", "--birthday", "soon"], "not a date"),
        (&["user", "add", "x@example.org", "--username", "a/b"], "letters, digits and"),
        (&["user", "add", "x@example.org", "--username", ".."], "neither . nor .. alone"),
        (&["user", "set", "1"], "klatsch: nothing to change is named"),
        (&["user", "set", "7", "--staff"], "klatsch: there is no user 7\n"),
        (&["user", "set", "x@example.org", "--staff"], "klatsch: there is no user x@example.org\n"),
        (
            &["user", "set", "1", "--add-balance", "-3"],
            "klatsch: the balance is 2; it can neither fall below 0",
        ),
        (&["user", "token", "7"], "klatsch: there is no user 7\n"),
        (&["session", "add", "7"], "klatsch: there is no user 7\n"),
        (&["dance"], "unrecognized subcommand"),
    ];
    for (words, sentence) in table {
        let error = place.refused(words);
        assert!(error.contains(sentence), "{words:?}: {error}");
    }
    place.json(&["user", "set", "1", "--no-active"]);
    for words in [["user", "token", "1"], ["session", "add", "1"]] {
        assert!(place.refused(&words).contains("the user 1 is inactive"));
    }
    assert_eq!(place.run(&["user", "list"]).out.lines().count(), 1);
}

#[test]
fn a_password_may_come_from_standard_input() {
    let place = Place::new();
    let words = ["user", "add", "ann@example.org", "--password-stdin"];
    for (input, ok) in [("ab\n", false), ("a b c\r\n", true)] {
        let done = place.run_with(&words, &[], input);
        assert_eq!(done.ok, ok, "{input:?}: {}", done.err);
        assert!(!done.out.contains("a b c") && !done.err.contains("a b c"));
    }
}

#[test]
fn a_token_is_printed_bare_and_a_browser_login_as_json() {
    let place = Place::new();
    place.json(&["user", "add", "ann@example.org"]);
    let done = place.run(&["user", "token", "ann@example.org"]);
    let token = done.out.strip_suffix('\n').unwrap();
    assert_eq!(token.split('.').count(), 3, "{token}");
    assert!(token.starts_with("eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9."), "{token}");
    assert_ne!(place.run(&["user", "token", "1"]).out, done.out);

    let login = place.json(&["session", "add", "1"]);
    for name in ["session_key", "sessionid"] {
        let value = login[name].as_str().unwrap();
        let plain = value.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        assert!(value.len() == 32 && plain, "{value}");
    }
    assert_ne!(login["session_key"], login["sessionid"]);
    assert!(login["expires"].as_str().unwrap().ends_with('Z'), "{login}");
}

#[test]
fn rooms_come_and_go() {
    let place = Place::new();
    let tea = place.json(&["room", "add", " Tea ", "--description", "green"]);
    let expected = json!({
        "id": tea["id"], "title": "Tea", "description": "green", "staff_only": false,
        "created": tea["created"],
    });
    assert!(tea == expected && tea["id"].is_i64(), "{tea}");
    let staff = place.json(&["room", "add", "Kitchen", "--staff-only"]);
    assert_eq!(staff["staff_only"], true);

    let titles = || -> Vec<Value> {
        let list = place.run(&["room", "list"]).out;
        let title = |line| serde_json::from_str::<Value>(line).unwrap()["title"].take();
        list.lines().map(title).collect()
    };
    assert_eq!(titles(), [json!("Tea"), json!("Kitchen")]);
    let id = tea["id"].to_string();
    assert_eq!(place.json(&["room", "remove", &id]), tea);
    assert_eq!(titles(), [json!("Kitchen")]);
    assert_eq!(
        place.refused(&["room", "remove", &id]),
        format!("klatsch: there is no room {id}\n")
    );
    assert!(place.refused(&["room", "add", " "]).contains("1 to 255 characters"));
}

#[test]
fn the_document_of_the_api_is_printed() {
    let document = Place::new().json(&["openapi"]);
    assert!(document["openapi"].as_str().unwrap().starts_with("3."), "{document}");
    assert!(document["paths"]["/account/login"].is_object(), "{document}");
}

#[tokio::test]
async fn every_address_of_the_document_is_served() {
    let place = Place::new();
    let server = place.serve();
    let document: Value = server.get("/docs/openapi.json").await.json().await.unwrap();
    assert_eq!(document, place.json(&["openapi"]));
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let client = client.build().unwrap();
    let mut asked = 0;
    for (path, verbs) in document["paths"].as_object().unwrap() {
        let parts = path.split('/').map(|part| if part.starts_with('{') { "1" } else { part });
        let url = format!("{}{}", server.url, parts.collect::<Vec<_>>().join("/"));
        for verb in verbs.as_object().unwrap().keys() {
            let method = verb.to_uppercase().parse().unwrap();
            let answer = client.request(method, &url).send().await.unwrap();
            let (status, body) = (answer.status(), answer.text().await.unwrap());
            assert_ne!(status, 405, "{verb} {path}");
            assert!(!body.contains("there is nothing at this address"), "{verb} {path}");
            asked += 1;
        }
    }
    assert!(asked > 100, "{asked}");
    for path in ["/auth/register", "/storage", "/members/{id}", "/accounts/login/", "/healthz"] {
        assert!(document["paths"][path].is_object(), "{path}");
    }
    assert!(server.stop().0);
}

#[test]
fn settings_are_checked_before_anything_happens() {
    let place = Place::new();
    let table: &[(&str, &str, &[&str])] = &[
        (
            "KLATSCH_LIMITS__BODY_BYTES",
            "much",
            &["limits.body_bytes", "whole number", "KLATSCH_LIMITS__BODY_BYTES"],
        ),
        ("KLATSCH_DATA_DRI", "x", &["not a known setting; did you mean KLATSCH_DATA_DIR?"]),
        ("KLATSCH_DATABASE__URL", "oracle://u:hush@h", &["database.url", "sqlite:, postgres://"]),
        ("KLATSCH_LOG", "klatsch=loud", &["KLATSCH_LOG", "must be a filter"]),
    ];
    for command in ["check", "migrate"] {
        for (name, value, parts) in table {
            let done = place.run_with(&[command], &[(name, value)], "");
            assert!(!done.ok && done.out.is_empty(), "{name}");
            assert_eq!(done.err.lines().count(), 1, "{}", done.err);
            for part in *parts {
                assert!(done.err.contains(part), "{} lacks {part}", done.err);
            }
            assert!(!done.err.contains("hush"), "{}", done.err);
        }
    }
    let missing = place.refused(&["check", "--config", "nowhere.toml"]);
    assert!(missing.contains("nowhere.toml cannot be read"), "{missing}");
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn a_check_changes_nothing() {
    let place = Place::new();
    let before = place.json(&["check", "--json"]);
    assert_eq!(
        before["database"],
        json!({
            "kind": "sqlite", "file": "data/klatsch.db", "state": "would be made"
        })
    );
    let listens = json!({
        "http": "0.0.0.0:8000", "turn": "0.0.0.0:3478", "courier": "0.0.0.0:3128",
        "private_chat": "0.0.0.0:5002",
    });
    assert_eq!(before["listens"], listens);
    assert_eq!(before["not_built_yet"], json!(["bus"]));
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
    let applied = place.json(&["migrate"]);
    assert!(!applied["applied"].as_array().unwrap().is_empty());
    assert_eq!(place.json(&["migrate"]), json!({ "applied": [] }));
    let after = place.json(&["check", "--json"]);
    let state = json!({ "kind": "sqlite", "state": "up to date", "pending_migrations": [] });
    assert_eq!(after["database"], state);
}

#[test]
fn a_check_warns_of_what_is_not_safe_and_fails_on_what_cannot_work() {
    let place = Place::new();
    let file = place.path().join("own.toml");
    std::fs::write(&file, "[courier]\ntrust_user_id = \"always\"\n").unwrap();
    let report = place.json(&["check", "--json", "--config", "own.toml"]);
    let warning = report["warnings"][0].as_str().unwrap();
    assert!(warning.starts_with("courier.trust_user_id is always"), "{report}");
    let said = place.run(&["check", "--config", "own.toml"]).out;
    let expected = [
        "Files and secrets lie in data.",
        "The database is SQLite in data/klatsch.db; it would be made.",
        "http would listen on 0.0.0.0:8000.",
        "Warning: courier.trust_user_id is always",
    ];
    for sentence in expected {
        assert!(said.lines().any(|line| line.starts_with(sentence)), "{sentence}: {said}");
    }

    std::fs::write(place.path().join("data"), "in the way").unwrap();
    assert!(place.refused(&["check"]).contains("is in the way: data_dir must be a folder"));
    std::fs::remove_file(place.path().join("data")).unwrap();
    let nowhere = [("KLATSCH_DATABASE__URL", "sqlite:nowhere/klatsch.db")];
    let done = place.run_with(&["check"], &nowhere, "");
    assert!(!done.ok && done.err.contains("there is no folder"), "{}", done.err);
    let away = [("KLATSCH_DATABASE__URL", "postgres://u:hush@127.0.0.1:1/d")];
    let done = place.run_with(&["check"], &away, "");
    assert!(
        !done.ok && done.err.starts_with("klatsch: the database is not available"),
        "{}",
        done.err
    );
    assert!(!done.err.contains("hush") && done.err.lines().count() == 1, "{}", done.err);
}
