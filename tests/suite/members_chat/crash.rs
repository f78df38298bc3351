//! The server is killed while coins change hands.

use std::time::Duration;

use serde_json::Value;

use super::money::books;
use super::{id, text};
use crate::support::raw::{Heard, Raw};
use crate::support::site::Site;

const COINS: i64 = 1_000_000;

/// Conformance check 7: whatever the moment, between commit and publication among them, a
/// message and its charge are both there or neither, and what was echoed is in the history.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_server_has_each_message_once_and_charged_once() {
    let site = Site::new().set("LIMITS__FRAMES_PER_SECOND", "100000");
    let ann = site.person("ann").await;
    let bob = site.person("bob").await;
    site.run(&["user", "set", "ann@example.org", "--balance", &COINS.to_string()]).await;
    let mut echoed: Vec<(i64, String)> = Vec::new();
    let mut said = 0;
    for round in 0..8 {
        let server = site.start().await;
        let base = server.url.replace("http", "ws");
        let mut bobs = Raw::connect(&format!("{base}/members/chat/?other_member_id=1"), &[]).await;
        bobs.send(format!("Bearer {bob}")).await;
        let history: Vec<Value> = serde_json::from_str(&bobs.text().await).unwrap();
        let stored: Vec<_> = history.iter().map(|one| (id(one), text(one).to_owned())).collect();
        for told in &echoed {
            assert!(stored.contains(told), "{told:?} was echoed and is lost");
        }
        let mut texts: Vec<_> = stored.iter().map(|(_, text)| text).collect();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), stored.len(), "nothing is there twice");
        let mut anns = Raw::connect(&format!("{base}/members/chat/?other_member_id=2"), &[]).await;
        anns.send(format!("Bearer {ann}")).await;
        anns.text().await;
        let first = said;
        let talking = tokio::spawn(async move {
            let mut heard = Vec::new();
            for number in first.. {
                anns.send(format!("{number}")).await;
                match anns.next().await {
                    Heard::Text(echo) => {
                        let echo: Value = serde_json::from_str(&echo).unwrap();
                        heard.push((id(&echo), text(&echo).to_owned()));
                    }
                    _ => return (heard, number + 1),
                }
            }
            unreachable!()
        });
        let pause = 15 + 23 * round + rand::random_range(0..40);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        server.kill().await;
        let (heard, next) = talking.await.unwrap();
        echoed.extend(heard);
        said = next;
        let (messages, charged, balance) = books(&site.database());
        assert_eq!((charged, balance), (messages, COINS - 5 * messages), "round {round}");
        assert!(messages >= echoed.len() as i64);
    }
    assert!(echoed.len() > 5, "there was a load");
}
