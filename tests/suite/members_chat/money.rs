//! Coins: paid with the message, never twice, never more than there are.

use klatsch::store::UserChange;
use rusqlite::Connection;
use serde_json::json;

use super::{Town, file, id, text};

/// Conformance check 6.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_sends_over_ten_sockets_with_coins_for_37_give_37_messages() {
    let town = Town::open().await;
    let (ann, bob) = (town.poor("ann").await, town.poor("bob").await);
    town.give(&ann, 37 * 5 + 3).await;
    let mut b = town.chat(&bob, &ann).await;
    let mut sockets = Vec::new();
    for _ in 0..10 {
        sockets.push(town.chat(&ann, &bob).await);
    }
    let mut sending = tokio::task::JoinSet::new();
    for (socket, mut raw) in sockets.into_iter().enumerate() {
        sending.spawn(async move {
            for number in 0..10 {
                let message = json!({
                    "type": "text", "text": "x", "client_ref": format!("{socket}.{number}"),
                });
                raw.send_json(&message).await;
            }
            let (mut sent, mut refused, mut heard) = (0, 0, Vec::new());
            // Each frame has one answer; what the other sockets sent comes in between.
            while sent + refused < 10 {
                let frame = raw.json().await;
                if frame["type"] == "error" {
                    assert_eq!(frame["code"], "insufficient_balance", "{frame}");
                    assert_eq!((&frame["price"], &frame["balance"]), (&json!(5), &json!(3)));
                    refused += 1;
                } else {
                    sent += usize::from(frame.get("client_ref").is_some());
                    heard.push(id(&frame));
                }
            }
            (sent, refused, heard)
        });
    }
    let outcomes = sending.join_all().await;
    assert_eq!(outcomes.iter().map(|(sent, ..)| sent).sum::<usize>(), 37);
    assert_eq!(outcomes.iter().map(|(_, refused, _)| refused).sum::<usize>(), 63);
    let mut ids = Vec::new();
    for _ in 0..37 {
        ids.push(id(&b.json().await));
    }
    b.reads_nothing().await;
    assert!(ids.is_sorted());
    for (_, _, heard) in outcomes {
        assert!(ids.starts_with(&heard), "every socket sees the same order");
    }
    assert_eq!(town.balance(&ann).await, 3);
    let store = town.world.store().await;
    let file = store.reads();
    let spent = "SELECT COALESCE(SUM(amount), 0), count(DISTINCT message_id) FROM ledger \
                 WHERE message_id IS NOT NULL";
    let row = sea_orm::ConnectionTrait::query_one_raw(
        file,
        sea_orm::Statement::from_string(store.backend(), spent),
    );
    let row = row.await.unwrap().unwrap();
    let sums: (i64, i64) = (row.try_get_by_index(0).unwrap(), row.try_get_by_index(1).unwrap());
    assert_eq!(sums, (-185, 37));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_kind_has_its_price_and_some_pay_nothing() {
    let town = Town::open().await;
    let (ann, bob, root) = (town.poor("ann").await, town.poor("bob").await, town.root().await);
    let (cat, uuid) = town.smile(&root, 7).await;
    let (mut a, mut b) = (town.chat(&ann, &bob).await, town.chat(&bob, &ann).await);
    let smile = json!({ "type": "smile", "smile_id": cat });
    a.send_json(&smile).await;
    let poor = json!({
        "type": "error", "code": "insufficient_balance", "price": 7, "balance": 0,
        "error": "Not enough coins: this message costs 7, the balance is 0.",
    });
    a.reads(poor).await;
    town.give(&ann, 17).await;
    // An id may be a string of digits.
    a.send_json(&json!({ "type": "smile", "smile_id": cat.to_string() })).await;
    let echo = a.json().await;
    assert_eq!((&echo["type"], &echo["smile_id"]), (&json!("smile"), &json!(cat)));
    assert_eq!(echo["smile_file_uuid"], uuid);
    assert_eq!(b.json().await, echo);
    assert_eq!(town.fetch(&echo["smile_file_uuid"]).await.1, "image/png");
    a.send_bytes(file(r#"{"text":"with words"}"#, b"x")).await;
    assert_eq!(text(&a.json().await), "with words");
    assert_eq!(town.balance(&ann).await, 5);
    a.send("five").await;
    assert_eq!(text(&a.json().await), "five");
    // Every other check comes before the charge.
    for (frame, code) in
        [("   ", "empty_message"), (r#"{"type":"smile","smile_id":99}"#, "smile_not_found")]
    {
        a.send(frame).await;
        assert_eq!(a.json().await["code"], code);
    }
    a.send("six").await;
    assert_eq!(a.json().await["code"], "insufficient_balance");
    for change in [
        UserChange { superuser: Some(true), ..UserChange::default() },
        UserChange { superuser: Some(false), employee: Some(true), ..UserChange::default() },
    ] {
        town.change(&ann, change).await;
        a.send("free").await;
        assert_eq!(text(&a.json().await), "free");
    }
    town.change(&ann, UserChange { employee: Some(false), ..UserChange::default() }).await;
    a.send("no more").await;
    assert_eq!(a.json().await["code"], "insufficient_balance");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_dialects_pay_when_the_operator_says_so() {
    use klatsch::settings::BilledDialect;
    let town = Town::with(|settings| {
        settings.members_chat.billed_dialects = vec![BilledDialect::Neo];
    })
    .await;
    let (ann, bob) = (town.poor("ann").await, town.poor("bob").await);
    let (mut a, _) = town.open_with(&ann, &bob, "").await;
    a.send("free here").await;
    let chat = a.json().await["chat_id"].clone();
    let message = json!({ "token": ann.token, "conversation_id": chat, "text_message": "hi" });
    let (status, answer) = town.world.post("/message/send", message.clone()).await;
    assert_eq!((status, &answer["success"]), (402, &json!(false)), "{answer}");
    town.give(&ann, 5).await;
    let (status, answer) = town.world.post("/message/send", message).await;
    assert!(status < 300, "{answer}");
    assert_eq!(text(&a.json().await), "hi");
    assert_eq!(town.balance(&ann).await, 0);
}

/// What the database has: messages, ledger rows of messages, and the balance.
pub(super) fn books(file: &std::path::Path) -> (i64, i64, i64) {
    let db = Connection::open(file).unwrap();
    let number = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    (
        number("SELECT count(*) FROM messages"),
        number(
            "SELECT count(DISTINCT message_id) FROM ledger JOIN messages ON message_id = messages.id",
        ),
        number("SELECT balance FROM users WHERE email_key = 'ann@example.org'"),
    )
}
