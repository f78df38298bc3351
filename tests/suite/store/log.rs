//! Batches of the log: the lean ways do what the portable one does, and faults hit only the guilty.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use entity::{conversation_heads, conversations, medias, members, messages, users};
use klatsch::store::log::{
    Batch, BatchWriter, Cursor, Mark, NewMedia, NewRow, NotPlaced, Outcome, StoredFile,
};
use klatsch::store::{Store, StoreError};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sea_orm::{ActiveValue::Set, EntityTrait, QueryOrder};
use tokio::time::Instant;

use crate::support::databases;

/// Conversations 1 and 2, user 1, a member of both.
async fn furnish(store: &Store) {
    store
        .write(async |tx| {
            let user = users::ActiveModel {
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
                balance: Set(0),
                ..Default::default()
            };
            users::Entity::insert(user).exec(tx).await?;
            for conversation in 1..=2 {
                let room = conversations::ActiveModel {
                    kind: Set(2),
                    access: Set(1),
                    title: Set("Tea".into()),
                    description: Set(String::new()),
                    device_access: Set(false),
                    created_at: Set(0),
                    updated_at: Set(0),
                    ..Default::default()
                };
                conversations::Entity::insert(room).exec(tx).await?;
                let head = conversation_heads::ActiveModel {
                    conversation_id: Set(conversation),
                    last_seq: Set(0),
                    last_revision: Set(0),
                };
                conversation_heads::Entity::insert(head).exec_without_returning(tx).await?;
                let member = members::ActiveModel {
                    conversation_id: Set(conversation),
                    user_id: Set(1),
                    role: Set(0),
                    live: Set(Some(1)),
                    joined_seq: Set(0),
                    created_at: Set(0),
                    updated_at: Set(0),
                    delivered_shown: Set(0),
                    read_shown: Set(0),
                    read_seq: Set(0),
                    courier_shown: Set(0),
                    ..Default::default()
                };
                members::Entity::insert(member).exec(tx).await?;
            }
            Ok(())
        })
        .await
        .unwrap();
}

fn row(conversation: i64, key: u8, text: &str) -> NewRow {
    NewRow {
        conversation,
        sender: 1,
        link: Some(conversation),
        login: None,
        client_key: [key; 16],
        kind: 0,
        text: text.into(),
        smile: None,
        created_at: 1_000 + i64::from(key),
        medias: Vec::new(),
        deadline: Instant::now() + Duration::from_secs(5),
    }
}

async fn write(writer: &mut BatchWriter, store: &Store, batch: Batch) -> Vec<Outcome> {
    let mut turn = store.turn().await;
    writer.write(&mut turn, &Arc::new(batch)).await
}

async fn write_rows(writer: &mut BatchWriter, store: &Store, rows: Vec<NewRow>) -> Vec<Outcome> {
    write(writer, store, Batch { rows, marks: Vec::new() }).await
}

/// Both ways of every database, each on a furnished database of its own.
async fn writers() -> Vec<(databases::Database, Store, BatchWriter)> {
    let mut writers = Vec::new();
    for lean in [false, true] {
        for database in databases::each().await {
            let store = database.store().await;
            furnish(&store).await;
            let writer = if lean {
                BatchWriter::lean(store.clone()).unwrap()
            } else {
                BatchWriter::portable(store.clone())
            };
            writers.push((database, store, writer));
        }
    }
    writers
}

type Rows =
    (Vec<messages::Model>, Vec<conversation_heads::Model>, Vec<medias::Model>, Vec<members::Model>);

async fn rows_of(store: &Store) -> Rows {
    let db = store.reads();
    (
        messages::Entity::find().order_by_asc(messages::Column::Id).all(db).await.unwrap(),
        conversation_heads::Entity::find()
            .order_by_asc(conversation_heads::Column::ConversationId)
            .all(db)
            .await
            .unwrap(),
        medias::Entity::find().order_by_asc(medias::Column::Id).all(db).await.unwrap(),
        members::Entity::find().order_by_asc(members::Column::Id).all(db).await.unwrap(),
    )
}

fn any_media() -> impl Strategy<Value = NewMedia> {
    let stored = proptest::option::of((0_i64..9).prop_map(|size| StoredFile {
        filename: "tea".into(),
        extension: ".png".into(),
        mime: Some("image/png".into()),
        declared_mime: None,
        size,
        uploaded_at: 7,
    }));
    (any::<[u8; 16]>(), "[a-zé]{0,9}", stored).prop_map(|(uuid, identifier, stored)| NewMedia {
        uuid,
        identifier,
        stored,
    })
}

fn any_row() -> impl Strategy<Value = NewRow> {
    // Few keys, so that sendings repeat; conversation 3 does not exist.
    let numbers = (1_i64..=3, prop_oneof![Just(1_i64), Just(-1)], 0_u8..40, 0_i16..3);
    let links = (proptest::option::of(1_i64..9), proptest::option::of(1_i64..9));
    let medias = proptest::collection::vec(any_media(), 0..3);
    (numbers, links, "[^\0]{0,40}", medias).prop_map(
        |((conversation, sender, key, kind), (link, smile), text, medias)| NewRow {
            sender,
            link,
            kind,
            smile,
            medias,
            ..row(conversation, key, &text)
        },
    )
}

fn any_mark() -> impl Strategy<Value = Mark> {
    let to = (0_u8..3, 0_i64..50).prop_map(|(cursor, shown)| match cursor {
        0 => Cursor::Read { shown, seq: shown, at: shown },
        1 => Cursor::Delivered(shown),
        _ => Cursor::Courier(shown),
    });
    (1_i64..=3, to).prop_map(|(link, to)| Mark { link, to })
}

fn any_batches() -> impl Strategy<Value = Vec<(Vec<NewRow>, Vec<Mark>)>> {
    let batch =
        (proptest::collection::vec(any_row(), 0..12), proptest::collection::vec(any_mark(), 0..4));
    proptest::collection::vec(batch, 1..5)
}

#[test]
fn the_lean_ways_store_what_the_portable_one_stores() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut runner =
        TestRunner::new(Config { cases: 6, failure_persistence: None, ..Config::default() });
    runner
        .run(&any_batches(), |batches| {
            runtime.block_on(async {
                let mut expected: Option<(Vec<Vec<Outcome>>, Rows)> = None;
                for (database, store, mut writer) in writers().await {
                    let mut outcomes = Vec::new();
                    for (rows, marks) in batches.clone() {
                        // The strategy made them some time ago.
                        let deadline = Instant::now() + Duration::from_secs(20);
                        let rows = rows.into_iter().map(|row| NewRow { deadline, ..row }).collect();
                        outcomes.push(write(&mut writer, &store, Batch { rows, marks }).await);
                    }
                    let mut got = (outcomes, rows_of(&store).await);
                    without_media_ids(&mut got);
                    let first = expected.get_or_insert_with(|| got.clone());
                    prop_assert_eq!(&got, first, "{} {:?}", database.name, writer);
                }
                Ok(())
            })
        })
        .unwrap();
}

/// A batch that was tried twice skips some ids of files where counters do not roll back.
fn without_media_ids((outcomes, (messages, _, medias, _)): &mut (Vec<Vec<Outcome>>, Rows)) {
    let ids: Vec<i64> = medias.iter().map(|media| media.id).collect();
    let place = |id: &i64| ids.iter().position(|other| other == id).unwrap() as i64;
    for outcome in outcomes.iter_mut().flatten().flatten() {
        outcome.medias = outcome.medias.iter().map(place).collect();
    }
    for media in medias.iter_mut() {
        media.id = place(&media.id);
    }
    // Likewise ids of messages on PostgreSQL, which keep their order.
    let ids: Vec<i64> = messages.iter().map(|message| message.id).collect();
    let place = |id: i64| ids.iter().position(|other| *other == id).unwrap() as i64;
    for outcome in outcomes.iter_mut().flatten().flatten() {
        outcome.id = place(outcome.id);
        outcome.shown = outcome.shown.map(place);
    }
    for message in messages.iter_mut() {
        message.id = place(message.id);
        message.shown = message.shown.map(place);
    }
    for media in medias.iter_mut() {
        media.message_id = media.message_id.map(place);
    }
}

#[tokio::test]
async fn sending_twice_stores_once() {
    for (database, store, mut writer) in writers().await {
        let name = database.name;
        let first = write_rows(&mut writer, &store, vec![row(1, 1, "hi"), row(1, 2, "ho")]).await;
        let again = vec![row(1, 3, "hu"), row(2, 1, "other"), row(1, 3, "hu")];
        let again = write_rows(&mut writer, &store, again).await;
        let first = first[0].as_ref().unwrap();
        let (third, repeated) = (again[0].as_ref().unwrap(), again[1].as_ref().unwrap());
        assert_eq!((first.seq, first.duplicate), (1, false), "{name}");
        assert_eq!((third.seq, third.duplicate), (3, false), "{name}");
        assert_eq!((repeated.id, repeated.conversation), (first.id, 1), "{name}");
        assert!(repeated.duplicate, "{name}");
        let within = again[2].as_ref().unwrap();
        assert_eq!((within.id, within.duplicate), (third.id, true), "{name}");
        assert_eq!(rows_of(&store).await.0.len(), 3, "{name}");
    }
}

#[tokio::test]
async fn only_the_guilty_row_is_refused() {
    let media = |uuid| NewMedia { uuid: [uuid; 16], identifier: "a.png".into(), stored: None };
    for (database, store, mut writer) in writers().await {
        let mut rows: Vec<_> = (0..20).map(|key| row(1, key, "hi")).collect();
        rows[3].medias = vec![media(1)];
        rows[11].medias = vec![media(1)];
        rows[12].text = "a\0b".into();
        rows[13].conversation = 99;
        let marks = vec![Mark { link: 1, to: Cursor::Read { shown: 4, seq: 4, at: 9 } }];
        let outcomes = write(&mut writer, &store, Batch { rows, marks }).await;
        for (place, outcome) in outcomes.iter().enumerate() {
            let expected = match place {
                11 | 12 => Some(NotPlaced::Refused),
                13 => Some(NotPlaced::NoConversation),
                _ => None,
            };
            assert_eq!(outcome.as_ref().err(), expected.as_ref(), "{} {place}", database.name);
        }
        let (messages, heads, _, members) = rows_of(&store).await;
        let seqs: Vec<i64> = messages.iter().map(|message| message.seq).collect();
        assert_eq!(seqs, (1..=17).collect::<Vec<_>>(), "{}", database.name);
        assert_eq!((heads[0].last_seq, heads[0].last_revision), (17, 17), "{}", database.name);
        assert_eq!(members[0].read_shown, 4, "{}", database.name);
    }
}

#[tokio::test]
async fn a_row_that_waited_too_long_is_not_stored() {
    for (database, store, mut writer) in writers().await {
        let late = NewRow { deadline: Instant::now(), ..row(1, 1, "late") };
        let outcomes = write_rows(&mut writer, &store, vec![late, row(1, 2, "in time")]).await;
        assert_eq!(outcomes[0], Err(NotPlaced::Unavailable), "{}", database.name);
        assert_eq!(outcomes[1].as_ref().map(|placed| placed.seq), Ok(1), "{}", database.name);
    }
}

#[tokio::test]
async fn cursors_never_go_back() {
    for (database, store, mut writer) in writers().await {
        for shown in [5, 3, 7, 6] {
            let marks = vec![Mark { link: 2, to: Cursor::Read { shown, seq: shown, at: shown } }];
            write(&mut writer, &store, Batch { rows: Vec::new(), marks }).await;
        }
        let member = &rows_of(&store).await.3[1];
        assert_eq!((member.read_shown, member.read_seq), (7, 7), "{}", database.name);
        assert_eq!(member.read_at, Some(7), "{}", database.name);
    }
}

#[tokio::test]
async fn a_stopped_database_loses_nothing_that_was_acknowledged() {
    for server in [databases::Server::postgres(), databases::Server::mariadb()] {
        let Some(mut server) = server else { continue };
        let database = server.database().await;
        let store = database.store().await;
        furnish(&store).await;
        let (stop, mut stopped) = tokio::sync::watch::channel(false);
        let writing = tokio::spawn({
            let store = store.clone();
            async move {
                let mut writer = BatchWriter::lean(store.clone()).unwrap();
                let mut acknowledged = Vec::new();
                let mut refused = Vec::new();
                for n in 0_u64.. {
                    if *stopped.borrow_and_update() {
                        break;
                    }
                    let rows = (0_u32..5).map(|m| {
                        let mut row = row(1 + i64::from(m % 2), 0, "hi");
                        row.client_key[..8].copy_from_slice(&(n * 5 + u64::from(m)).to_be_bytes());
                        row.deadline = Instant::now() + Duration::from_secs(20);
                        row
                    });
                    for outcome in write_rows(&mut writer, &store, rows.collect()).await {
                        match outcome {
                            Ok(placed) => acknowledged.push(placed),
                            Err(error) => refused.push(error),
                        }
                    }
                }
                (acknowledged, refused)
            }
        });
        let count = async |than: usize| {
            let many = async {
                while messages::Entity::find().all(store.reads()).await.map_or(0, |all| all.len())
                    <= than
                {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(30), many).await.expect("messages come in");
        };
        count(20).await;
        for _ in 0..2 {
            server.stop();
            server.resume();
            let so_far = loop {
                if let Ok(all) = messages::Entity::find().all(store.reads()).await {
                    break all.len();
                }
            };
            count(so_far + 20).await;
        }
        stop.send(true).unwrap();
        let (acknowledged, refused) = writing.await.unwrap();
        assert!(refused.is_empty(), "{}: {refused:?}", database.name);

        let (stored, heads, ..) = rows_of(&store).await;
        let ids: HashSet<i64> = stored.iter().map(|message| message.id).collect();
        assert_eq!(stored.len(), acknowledged.len(), "{}", database.name);
        for placed in &acknowledged {
            assert!(ids.contains(&placed.id) && !placed.duplicate, "{}: {placed:?}", database.name);
        }
        for head in heads {
            let of = |message: &&messages::Model| message.conversation_id == head.conversation_id;
            let seqs: Vec<i64> = stored.iter().filter(of).map(|message| message.seq).collect();
            assert_eq!(seqs, (1..=head.last_seq).collect::<Vec<_>>(), "{}", database.name);
        }
    }
}

#[tokio::test]
async fn batches_and_other_transactions_take_turns() {
    let database = databases::sqlite();
    let store = database.store().await;
    furnish(&store).await;
    let mut writer = BatchWriter::lean(store.clone()).unwrap();
    let others = tokio::spawn({
        let store = store.clone();
        async move {
            for _ in 0..50 {
                store
                    .write(async |tx| {
                        use sea_orm::ConnectionTrait;
                        tx.execute_unprepared("UPDATE users SET balance = balance + 1").await?;
                        Ok(())
                    })
                    .await?;
            }
            Ok::<_, StoreError>(())
        }
    });
    for key in 0..50 {
        let outcomes = write_rows(&mut writer, &store, vec![row(1, key, "hi")]).await;
        assert_eq!(outcomes[0].as_ref().map(|placed| placed.seq), Ok(i64::from(key) + 1));
    }
    others.await.unwrap().unwrap();
    let user = users::Entity::find_by_id(1).one(store.reads()).await.unwrap().unwrap();
    assert_eq!(user.balance, 50);
}
