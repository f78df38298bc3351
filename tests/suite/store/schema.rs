//! The schema: made, unmade and made again; by several at once; and never by an older program.

use migration::{Migrator, MigratorTrait};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ConnectionTrait, Database as Connector, EntityTrait,
};

use crate::support::databases;

#[tokio::test]
async fn the_schema_can_be_made_unmade_and_made_again() {
    for database in databases::each().await {
        let db = Connector::connect(&database.url_to_create()).await.unwrap();
        for _ in 0..2 {
            Migrator::up(&db, None).await.unwrap();
            let users = entity::users::Entity::find().all(&db).await.unwrap();
            assert!(users.is_empty(), "{}", database.name);
            Migrator::down(&db, None).await.unwrap();
            let gone = entity::users::Entity::find().all(&db).await;
            assert!(gone.is_err(), "{}", database.name);
        }
        db.close().await.unwrap();
    }
}

#[tokio::test]
async fn every_table_has_the_columns_of_its_entity() {
    macro_rules! readable {
        ($db:expr, $($table:ident),+) => {
            $(entity::$table::Entity::find().all($db).await.expect(stringify!($table));)+
        };
    }
    for database in databases::each().await {
        let store = database.store().await;
        readable!(
            store.reads(),
            users,
            devices,
            circles,
            circle_members,
            circle_invites,
            conversations,
            conversation_heads,
            members,
            read_ranges,
            messages,
            message_changes,
            message_edits,
            medias,
            smiles,
            ledger,
            logins,
            notices,
            multichat_parked,
            group_refs,
            commits,
            counters
        );
    }
}

#[tokio::test]
async fn several_may_migrate_at_once() {
    for database in databases::each().await {
        let mut running = tokio::task::JoinSet::new();
        for _ in 0..4 {
            let options = klatsch::store::Options::at(&database.url);
            running.spawn(async move {
                let store =
                    klatsch::store::Store::open(&options, klatsch::clock::Clock::system()).await?;
                store.migrate().await?;
                store.list_pending_migrations().await
            });
        }
        for pending in running.join_all().await {
            let pending = pending.unwrap_or_else(|error| panic!("{}: {error:?}", database.name));
            assert!(pending.is_empty(), "{}: {pending:?}", database.name);
        }
    }
}

#[tokio::test]
async fn a_newer_database_is_refused() {
    for database in databases::each().await {
        let store = database.store().await;
        store
            .write(async |tx| {
                tx.execute_unprepared(
                    "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m29990101_future', 0)",
                )
                .await?;
                Ok(())
            })
            .await
            .unwrap();
        let error = store.migrate().await.unwrap_err();
        assert!(error.to_string().contains("m29990101_future"), "{}: {error}", database.name);
        let error = store.list_pending_migrations().await.unwrap_err();
        assert!(error.to_string().contains("m29990101_future"), "{}: {error}", database.name);
    }
}

#[tokio::test]
async fn numbers_that_were_given_are_not_given_again_after_a_restore() {
    for database in databases::each().await {
        let store = database.store().await;
        let conversation = store
            .write(async |tx| {
                let conversation = a_room().insert(tx).await?;
                let message = entity::messages::ActiveModel {
                    id: Set(41),
                    conversation_id: Set(conversation.id),
                    seq: Set(7),
                    revision: Set(9),
                    shown: Set(Some(41)),
                    sender: Set(1),
                    link_id: Set(None),
                    client_key: Set(vec![0; 16]),
                    kind: Set(0),
                    text: Set("hi".into()),
                    smile_id: Set(None),
                    media_count: Set(0),
                    awaited: Set(0),
                    created_at: Set(0),
                    edited_at: Set(None),
                    deleted_at: Set(None),
                    deleted_by: Set(None),
                };
                entity::messages::Entity::insert(message).exec_without_returning(tx).await?;
                Ok(conversation.id)
            })
            .await
            .unwrap();
        store.migrate().await.unwrap();
        let head = entity::conversation_heads::Entity::find_by_id(conversation)
            .one(store.reads())
            .await
            .unwrap()
            .expect("every conversation has a head");
        assert_eq!((head.last_seq, head.last_revision), (7, 7), "{}", database.name);
        let counter = if database.name == "PostgreSQL" {
            "SELECT last_value AS value FROM message_places"
        } else {
            "SELECT value FROM counters WHERE name = 'message'"
        };
        let row = sea_orm::Statement::from_string(store.backend(), counter);
        let row = store.reads().query_one_raw(row).await.unwrap().unwrap();
        assert_eq!(row.try_get::<i64>("", "value").unwrap(), 41, "{}", database.name);
    }
}

fn a_room() -> entity::conversations::ActiveModel {
    entity::conversations::ActiveModel {
        kind: Set(2),
        access: Set(1),
        title: Set("Tea".into()),
        description: Set(String::new()),
        device_access: Set(false),
        created_at: Set(0),
        updated_at: Set(0),
        ..Default::default()
    }
}
