//! The original page in a real browser, and the example client: programs that others run.

use std::time::Duration;

use serde_json::{Value, json};

use super::Town;
use crate::support::programs::{Program, node, repository, skipped};
use crate::support::server::Running;

const PATIENCE: Duration = Duration::from_mins(2);

/// Conformance check 1.
#[test]
fn the_original_page_works_unchanged_for_two_members() {
    let document = repository("../shared/documents/members-chat.txt");
    if !document.exists() {
        return skipped("the members-chat document with its page is not there");
    }
    let browser = std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
    if !std::path::Path::new(&browser).exists() {
        return skipped("the original page: no browser is installed");
    }
    let Some(mut command) = node("tests/browser/members-chat.mjs") else { return };
    let server = Running::start_with(&[("KLATSCH_MEMBERS_CHAT__INITIAL_BALANCE", "1000")]);
    let printed = Program::start(command.arg(&server.url).arg(document)).finish(PATIENCE);
    assert!(printed.contains("ok: the original page works"), "{printed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_client_talks_to_a_member() {
    let Some(mut command) = node("examples/members-chat-client.mjs") else { return };
    let town = Town::open().await;
    let (ann, bob) = (town.member("ann").await, town.member("bob").await);
    let mut b = town.chat(&bob, &ann).await;
    command
        .args([&town.world.url(), "ann@example.org", "123", &bob.id.to_string(), "hello"])
        .arg(repository("LICENSE"));
    let mut program = Program::start(&mut command);
    assert_eq!(b.json().await["text"], "hello");
    let file = b.json().await;
    let bytes = std::fs::read(repository("LICENSE")).unwrap();
    assert_eq!(town.fetch(&file["file_uuid"]).await.2, bytes);
    b.send("hello, Ann").await;
    assert_eq!(b.json().await["text"], "hello, Ann");
    tokio::task::spawn_blocking(move || program.wait_for(": hello, Ann", PATIENCE)).await.unwrap();
}

/// Whether a frame is what the page shows; `…` stands for anything.
pub(super) fn fits(found: &Value, shown: &Value) -> bool {
    match (found, shown) {
        (_, Value::String(any)) if any == "…" => true,
        (Value::Array(found), Value::Array(shown)) => {
            found.len() == shown.len() && found.iter().zip(shown).all(|(f, s)| fits(f, s))
        }
        (Value::Object(found), Value::Object(shown)) => {
            found.len() == shown.len()
                && shown.iter().all(|(key, value)| found.get(key).is_some_and(|f| fits(f, value)))
        }
        _ => found == shown,
    }
}

#[test]
fn the_reader_of_pages_tells_frames_apart() {
    let shown = json!({ "id": 1, "date": "…", "list": [{ "a": "…" }] });
    assert!(fits(&json!({ "id": 1, "date": "x", "list": [{ "a": 5 }] }), &shown));
    assert!(!fits(&json!({ "id": 2, "date": "x", "list": [{ "a": 5 }] }), &shown));
    assert!(!fits(&json!({ "id": 1, "date": "x", "list": [] }), &shown));
    assert!(!fits(&json!({ "id": 1, "date": "x", "list": [{ "a": 5 }], "more": 1 }), &shown));
}
