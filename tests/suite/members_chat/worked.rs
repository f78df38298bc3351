//! The worked exchange of `docs/dialects/members-chat.md`, replayed.

use klatsch::store::UserChange;
use serde_json::Value;

use super::Town;
use super::page::fits;
use crate::support::programs::repository;
use crate::support::raw::Raw;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_exchange_in_the_docs_is_what_happens() {
    let page = std::fs::read_to_string(repository("docs/dialects/members-chat.md")).unwrap();
    let block = page.split("```exchange\n").nth(1).and_then(|rest| rest.split("```").next());
    let town = Town::open().await;
    let (ann, bob, root) = (town.poor("ann").await, town.poor("bob").await, town.root().await);
    town.give(&ann, 20).await;
    town.change(&bob, UserChange { employee: Some(true), ..UserChange::default() }).await;
    town.smile(&root, 7).await;
    let mut a = Raw::connect(&town.address(bob.id, ""), &[]).await;
    let mut b = Raw::connect(&town.address(ann.id, ""), &[]).await;
    let mut lines = 0;
    for line in block.expect("there is an exchange").lines() {
        let (who, what) = line.split_at(2);
        let (raw, token) =
            if who.starts_with('A') { (&mut a, &ann.token) } else { (&mut b, &bob.token) };
        let what = what.trim();
        if who.ends_with('<') {
            let shown: Value = serde_json::from_str(what).unwrap_or_else(|e| panic!("{e}: {what}"));
            let found = raw.json().await;
            assert!(fits(&found, &shown), "{line}\nis {found}");
        } else if let Some(bytes) = what.strip_prefix("binary ") {
            raw.send_bytes(bytes.as_bytes().to_vec()).await;
        } else {
            raw.send(what.replace("TOKEN", token)).await;
        }
        lines += 1;
    }
    assert!(lines > 10);
    a.reads_nothing().await;
    b.reads_nothing().await;
}
