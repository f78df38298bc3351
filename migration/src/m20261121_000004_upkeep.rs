//! What the server needs for itself: notices, parked rooms, counters.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::sketch::{Sketch, drop_tables};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        Sketch::of(manager, "notices")
            .id()
            .bytes("node", 16)
            .words("kind", 32)
            .big("subject")
            .text_null("extra")
            .big("created_at")
            .index(["created_at"])
            .create()
            .await?;
        Sketch::of(manager, "multichat_parked")
            .big("login_id")
            .big("conversation_id")
            .big("confirmed_shown")
            .big("until_at")
            .refers("login_id", "logins")
            .refers("conversation_id", "conversations")
            .keyed(["login_id", "conversation_id"])
            .create()
            .await?;
        places(manager).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.get_database_backend() == DbBackend::Postgres {
            let db = manager.get_connection();
            db.execute_unprepared("DROP SEQUENCE IF EXISTS message_places").await?;
        }
        drop_tables(manager, &["counters", "multichat_parked", "notices"]).await
    }
}

/// The counter of message ids and of places: a sequence where there are such things, or else a row.
async fn places(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    let db = manager.get_connection();
    Sketch::of(manager, "counters").words("name", 32).big("value").keyed(["name"]).create().await?;
    if manager.get_database_backend() == DbBackend::Postgres {
        db.execute_unprepared("CREATE SEQUENCE IF NOT EXISTS message_places").await?;
        return Ok(());
    }
    let mut row = Query::insert();
    row.into_table("counters")
        .columns(["name", "value"])
        .values_panic(["message".into(), 0_i64.into()]);
    row.on_conflict(OnConflict::column("name").do_nothing_on(["name"]).to_owned());
    db.execute(&row).await?;
    Ok(())
}
