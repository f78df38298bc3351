//! The exchange in `docs/dialects/multichat.md`, replayed.

use serde_json::Value;

use super::house::House;
use crate::support::programs::repository;

/// Times are left out on the page.
fn timeless(value: &mut Value) {
    match value {
        Value::Object(keys) => {
            for (key, value) in keys.iter_mut() {
                if key == "sent" || key == "edited" {
                    *value = "…".into();
                }
                timeless(value);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(timeless),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_exchange_on_the_page_for_client_authors_happens_as_it_stands() {
    let page = std::fs::read_to_string(repository("docs/dialects/multichat.md")).unwrap();
    let exchange = page.split("```exchange\n").nth(1).unwrap().split("```").next().unwrap();
    let house = House::open().await;
    let (ann, bob) = (house.person("ann"), house.person("bob"));
    assert_eq!(house.room("Lobby").await, 1);
    let mut a = house.program(ann, "?features=own,history,rooms").await;
    let mut b = house.browser(bob).await;
    for line in exchange.lines() {
        let (who, packet) = line.split_at(3);
        let said: Value = serde_json::from_str(packet).unwrap();
        let seat = if who.starts_with('A') { &mut a } else { &mut b };
        if who.ends_with("> ") {
            seat.send_json(&said).await;
        } else {
            let mut read = seat.json().await;
            timeless(&mut read);
            assert_eq!(read, said, "{line}");
        }
    }
    for seat in [&mut a, &mut b] {
        seat.reads_nothing().await;
    }
}
