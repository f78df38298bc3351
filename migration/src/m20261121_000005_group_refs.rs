//! The names that clients give to groups they make, so that asking twice makes one.

use sea_orm_migration::prelude::*;

use crate::sketch::{Sketch, drop_tables};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        Sketch::of(manager, "group_refs")
            .id()
            .big("creator")
            .bytes("client_key", 16)
            .big("conversation_id")
            .refers("conversation_id", "conversations")
            .unique(["creator", "client_key"])
            .create()
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["group_refs"]).await
    }
}
