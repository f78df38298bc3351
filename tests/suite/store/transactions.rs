//! Transactions and the write turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use entity::circles;
use klatsch::store::{Store, StoreError, Tx};
use sea_orm::{ActiveValue::Set, ConnectionTrait, EntityTrait, PaginatorTrait};

use crate::support::databases;

async fn add_circle(tx: &Tx, name: &str) -> Result<i64, StoreError> {
    let circle = circles::ActiveModel {
        name: Set(name.into()),
        created_at: Set(0),
        updated_at: Set(0),
        ..Default::default()
    };
    Ok(circles::Entity::insert(circle).exec(tx).await?.last_insert_id)
}

async fn count_circles(store: &Store) -> u64 {
    circles::Entity::find().count(store.reads()).await.unwrap()
}

#[tokio::test]
async fn a_transaction_is_stored_whole_or_not_at_all() {
    for database in databases::each().await {
        let store = database.store().await;
        store.write(async |tx| add_circle(tx, "one").await).await.unwrap();
        let refused: Result<(), _> = store
            .write(async |tx| {
                add_circle(tx, "two").await?;
                Err(StoreError::Address("enough".into()))
            })
            .await;
        assert!(refused.is_err(), "{}", database.name);
        assert_eq!(count_circles(&store).await, 1, "{}", database.name);
    }
}

#[tokio::test]
async fn a_taken_value_is_told_by_the_name_of_its_constraint() {
    for database in databases::each().await {
        let store = database.store().await;
        let add = async |tx: &Tx| {
            let login = entity::logins::ActiveModel {
                principal: Set(1),
                kind: Set(1),
                session_hash: Set(Some(vec![7; 32])),
                created_at: Set(0),
                expires_at: Set(0),
                ..Default::default()
            };
            entity::logins::Entity::insert(login).exec(tx).await?;
            Ok(())
        };
        store.write(add).await.unwrap();
        let error = store.write(add).await.unwrap_err();
        assert!(error.is_duplicate_of("uq_logins_session_hash"), "{}: {error:?}", database.name);
        let error = store
            .write(async |tx| {
                let link = entity::circle_invites::ActiveModel {
                    circle_id: Set(99),
                    user_id: Set(99),
                    created_at: Set(0),
                    updated_at: Set(0),
                    ..Default::default()
                };
                entity::circle_invites::Entity::insert(link).exec(tx).await?;
                Ok(())
            })
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::Dangling(_)), "{}: {error:?}", database.name);
    }
}

#[tokio::test]
async fn a_balance_never_falls_below_zero() {
    for database in databases::each().await {
        let store = database.store().await;
        let error = store
            .write(async |tx| {
                let user = entity::users::ActiveModel {
                    email: Set("ann@example.org".into()),
                    email_key: Set("ann@example.org".into()),
                    username: Set("ann".into()),
                    first_name: Set(String::new()),
                    last_name: Set(String::new()),
                    created_at: Set(0),
                    updated_at: Set(0),
                    is_active: Set(true),
                    is_superuser: Set(false),
                    is_staff: Set(false),
                    is_employee: Set(false),
                    balance: Set(-1),
                    ..Default::default()
                };
                entity::users::Entity::insert(user).exec(tx).await?;
                Ok(())
            })
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::Database(_)), "{}: {error:?}", database.name);
    }
}

#[tokio::test]
async fn a_write_that_is_dropped_half_way_is_rolled_back() {
    for database in databases::each().await {
        let store = database.store().await;
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let writing = tokio::spawn({
            let store = store.clone();
            async move {
                store
                    .write(async |tx| {
                        add_circle(tx, "never").await?;
                        let _ = begun.send(());
                        std::future::pending::<Result<(), StoreError>>().await
                    })
                    .await
            }
        });
        has_begun.await.unwrap();
        writing.abort();
        assert!(writing.await.unwrap_err().is_cancelled());
        store.write(async |tx| add_circle(tx, "after").await).await.unwrap();
        assert_eq!(count_circles(&store).await, 1, "{}", database.name);
    }
}

#[tokio::test]
async fn a_write_that_takes_too_long_is_rolled_back() {
    let database = databases::sqlite();
    let mut options = klatsch::store::Options::at(&database.url);
    options.deadline = Duration::from_millis(200);
    let store = Store::open(&options, klatsch::clock::Clock::system()).await.unwrap();
    store.migrate().await.unwrap();
    let outcome = store
        .write(async |tx| {
            add_circle(tx, "never").await?;
            std::future::pending::<Result<(), StoreError>>().await
        })
        .await;
    assert!(matches!(outcome, Err(StoreError::TooSlow)), "{outcome:?}");
    store.write(async |tx| add_circle(tx, "after").await).await.unwrap();
    assert_eq!(count_circles(&store).await, 1);
}

#[tokio::test]
async fn turns_come_in_the_order_in_which_they_were_asked_for() {
    for database in databases::each().await {
        let store = database.store().await;
        let place = Arc::new(AtomicU32::new(0));
        let first = store.turn().await;
        let mut waiting = Vec::new();
        for n in 0..8 {
            let (store, place) = (store.clone(), place.clone());
            let mut write = Box::pin(async move {
                store
                    .write(async |tx| {
                        add_circle(tx, "x").await?;
                        Ok(place.fetch_add(1, Ordering::Relaxed))
                    })
                    .await
                    .map(|place| assert_eq!(place, n))
            });
            // Polled once, it has asked for its turn.
            assert!(futures_util::poll!(&mut write).is_pending());
            waiting.push(write);
        }
        drop(first);
        waiting.reverse();
        let done =
            tokio::time::timeout(Duration::from_secs(30), futures_util::future::join_all(waiting));
        for outcome in done.await.unwrap() {
            outcome.unwrap();
        }
        assert_eq!(count_circles(&store).await, 8, "{}", database.name);
    }
}

/// The driver's own transactions fail this: after a full disk they say `Ok` and store nothing.
#[tokio::test]
async fn what_is_committed_after_a_full_disk_is_stored() {
    let database = databases::sqlite();
    let store = database.store().await;
    let full = store
        .write(async |tx| {
            tx.execute_unprepared("PRAGMA max_page_count = 1").await?;
            for _ in 0..1_000 {
                add_circle(tx, &"x".repeat(200)).await?;
            }
            Ok(())
        })
        .await;
    assert!(full.as_ref().is_err_and(StoreError::is_transient), "{full:?}");

    // An ordinary error, which in the driver's count leaves a transaction open for ever.
    let double = store
        .write(async |tx| {
            tx.execute_unprepared("PRAGMA max_page_count = 1000000").await?;
            tx.execute_unprepared("INSERT INTO counters (name, value) VALUES ('message', 0)")
                .await?;
            Ok(())
        })
        .await;
    assert!(matches!(double, Err(StoreError::Duplicate { .. })), "{double:?}");

    store.write(async |tx| add_circle(tx, "after").await).await.unwrap();
    assert_eq!(count_circles(&store).await, 1);
    let other = database.open().await;
    assert_eq!(count_circles(&other).await, 1);
    other.write(async |tx| add_circle(tx, "of another").await).await.unwrap();
}

#[tokio::test]
async fn after_a_fault_that_sqlite_rolled_back_nothing_of_the_transaction_is_stored() {
    let database = databases::sqlite();
    let store = database.store().await;
    let outcome = store
        .write(async |tx| {
            tx.execute_unprepared("PRAGMA max_page_count = 1").await?;
            let mut failed = false;
            for _ in 0..1_000 {
                // Whoever goes on after a fault must not store the rest of it.
                failed |= add_circle(tx, &"x".repeat(200)).await.is_err();
            }
            assert!(failed);
            tx.execute_unprepared("PRAGMA max_page_count = 1000000").await.map(drop).unwrap_err();
            Ok(())
        })
        .await;
    assert!(outcome.is_err());
    assert_eq!(count_circles(&store).await, 0);
}

#[tokio::test]
async fn a_database_that_was_away_is_used_again_when_it_is_back() {
    for server in [databases::Server::postgres(), databases::Server::mariadb()] {
        let Some(mut server) = server else { continue };
        let database = server.database().await;
        let mut options = klatsch::store::Options::at(&database.url);
        options.deadline = Duration::from_millis(500);
        let store = Store::open(&options, klatsch::clock::Clock::system()).await.unwrap();
        store.migrate().await.unwrap();
        store.write(async |tx| add_circle(tx, "before").await).await.unwrap();

        server.stop();
        let away = store.write(async |tx| add_circle(tx, "meanwhile").await).await;
        assert!(away.as_ref().is_err_and(StoreError::is_transient), "{}: {away:?}", database.name);

        server.resume();
        let back =
            async { while store.write(async |tx| add_circle(tx, "after").await).await.is_err() {} };
        tokio::time::timeout(Duration::from_secs(30), back).await.expect("it comes back");
        // A reader may find a dead connection or two, each once.
        let read = async {
            loop {
                if let Ok(rows) = circles::Entity::find().all(store.reads()).await {
                    return rows;
                }
            }
        };
        let names = tokio::time::timeout(Duration::from_secs(30), read).await.expect("likewise");
        let names: Vec<_> = names.iter().map(|circle| circle.name.as_str()).collect();
        assert_eq!(names, ["before", "after"], "{}", database.name);
    }
}
