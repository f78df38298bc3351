//! Conformance checks 1, 2 and 14 in a real browser: a page that reads packets to the letter.

use std::path::Path;
use std::time::Duration;

use super::house::House;
use crate::support::programs::{Program, node, repository, skipped};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_page_of_before_works_unchanged_in_a_real_browser() {
    let browser = std::env::var("CHROMIUM").unwrap_or_else(|_| "/usr/bin/chromium".to_owned());
    if !Path::new(&browser).exists() {
        return skipped("the page of rooms, for want of Chromium");
    }
    let Some(mut script) = node("tests/browser/multichat.mjs") else { return };
    let house = House::open().await;
    house.user("alice", &["--staff"]);
    let bob = house.person("bob");
    let lobby = house.room("Lobby").await;
    house.staff_room("Staff").await;
    house.room("<b>&amp;</b>").await;
    let example = repository("examples/multichat-client.html");
    script.args([&house.world.url(), "alice", "bob", &lobby.to_string()]);
    script.arg(example).arg(house.token(bob));
    let running = tokio::task::spawn_blocking(move || {
        Program::start(&mut script).finish(Duration::from_mins(3))
    });
    let told = running.await.unwrap();
    assert!(told.contains("ok: the pages of rooms work"), "{told}");
}
