//! Databases that are away, locked by others, moved, or behind a pooler.

mod away;
mod doubts;
mod locked;
mod pooler;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// What a server under test has to answer within ten times its limit of a second.
const LIMIT: Duration = Duration::from_secs(10);

/// Asks over HTTP; the status, if it comes in time.
async fn status(request: reqwest::RequestBuilder) -> u16 {
    let answer = tokio::time::timeout(LIMIT, request.send()).await;
    answer.expect("it is answered in time").expect("there is an answer").status().as_u16()
}

/// Asks until the answer is as wanted.
async fn until_it_is(wanted: u16, request: impl Fn() -> reqwest::RequestBuilder) {
    let begun = Instant::now();
    loop {
        let status = status(request()).await;
        if status == wanted {
            return;
        }
        assert!(begun.elapsed() < 3 * LIMIT, "{status} for too long");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn message(room: i64, text: &str) -> Value {
    json!({ "conversation_id": room, "text_message": text, "client_ref": text })
}
