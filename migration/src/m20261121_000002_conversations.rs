//! Conversations, their heads and members.

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::DbBackend;

use crate::sketch::{Sketch, drop_tables};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        conversations(manager).await?;
        members(manager).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["read_ranges", "members", "conversation_heads", "conversations"])
            .await
    }
}

async fn conversations(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    Sketch::of(manager, "conversations")
        .id()
        .small("kind")
        .small("access")
        .words("title", 255)
        .words("description", 2000)
        .big_null("circle_id")
        .flag("device_access")
        .big_null("creator")
        .big_null("direct_low")
        .big_null("direct_high")
        .big_null("shown_since")
        .dated()
        .big_null("deleted_at")
        .refers("circle_id", "circles")
        .unique(["direct_low", "direct_high"])
        .index(["circle_id"])
        .index(["kind", "access"])
        .create()
        .await?;
    Sketch::of(manager, "conversation_heads")
        .key("conversation_id")
        .big("last_seq")
        .big("last_revision")
        .refers("conversation_id", "conversations")
        // Each message changes a row here: room for the new version on the same page.
        .extra(DbBackend::Postgres, "WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02)")
        .create()
        .await
}

async fn members(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    Sketch::of(manager, "members")
        .id()
        .big("conversation_id")
        .big("user_id")
        .small("role")
        .small_null("live")
        .big("joined_seq")
        .dated()
        .big_null("ended_at")
        .big("delivered_shown")
        .big("read_shown")
        .big("read_seq")
        .big_null("read_at")
        .big("courier_shown")
        .refers("conversation_id", "conversations")
        .refers("user_id", "users")
        .unique(["user_id", "conversation_id", "live"])
        .index(["conversation_id", "live"])
        .create()
        .await?;
    Sketch::of(manager, "read_ranges")
        .id()
        .big("member_id")
        .big("low")
        .big("high")
        .refers("member_id", "members")
        .index(["member_id"])
        .create()
        .await
}
