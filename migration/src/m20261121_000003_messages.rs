//! Messages, what changed in them, files, smiles and what was paid.

use sea_orm_migration::prelude::*;

use crate::sketch::{Sketch, drop_tables};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        messages(manager).await?;
        changes(manager).await?;
        files(manager).await?;
        Sketch::of(manager, "ledger")
            .id()
            .big("user_id")
            .big_null("message_id")
            .big("amount")
            .big("balance_after")
            .words("note", 255)
            .big("created_at")
            .refers("user_id", "users")
            .index(["user_id"])
            .create()
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(
            manager,
            &["ledger", "smiles", "medias", "message_edits", "message_changes", "messages"],
        )
        .await
    }
}

async fn messages(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    Sketch::of(manager, "messages")
        .key("id")
        .big("conversation_id")
        .big("seq")
        .big("revision")
        .big_null("shown")
        .big("sender")
        .big_null("link_id")
        .bytes("client_key", 16)
        .small("kind")
        .text("text")
        .big_null("smile_id")
        .small("media_count")
        .small("awaited")
        .big("created_at")
        .big_null("edited_at")
        .big_null("deleted_at")
        .big_null("deleted_by")
        .unique(["conversation_id", "seq"])
        // The key comes first: keys that grow with time are written side by side.
        .unique(["client_key", "sender"])
        .create()
        .await
}

async fn changes(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    Sketch::of(manager, "message_changes")
        .big("conversation_id")
        .big("revision")
        .big("message_id")
        .small("kind")
        .big("seq_at")
        .big_null("shown")
        .refers("message_id", "messages")
        .keyed(["conversation_id", "revision"])
        .index(["conversation_id", "shown"])
        .create()
        .await?;
    Sketch::of(manager, "message_edits")
        .id()
        .big("message_id")
        .text("text")
        .big("replaced_at")
        .refers("message_id", "messages")
        .index(["message_id"])
        .create()
        .await
}

async fn files(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    Sketch::of(manager, "medias")
        .id()
        .bytes("uuid", 16)
        .small("link_kind")
        .big_null("message_id")
        .big_null("user_id")
        .big_null("device_id")
        .big_null("circle_id")
        .small("position")
        .words("purpose", 32)
        .words("identifier", 1024)
        .words_null("filename", 255)
        .words_null("extension", 32)
        .words("directory", 1024)
        .words_null("mime", 255)
        .words_null("declared_mime", 255)
        .big_null("size")
        .big_null("uploaded_at")
        .big_null("deleted_at")
        .big("created_at")
        .refers("message_id", "messages")
        .refers("user_id", "users")
        .refers("device_id", "devices")
        .refers("circle_id", "circles")
        .unique(["uuid"])
        .index(["message_id"])
        .index(["user_id"])
        .index(["device_id"])
        .index(["circle_id"])
        .create()
        .await?;
    Sketch::of(manager, "smiles")
        .id()
        .big("media_id")
        .big("price")
        .big_null("retired_at")
        .refers("media_id", "medias")
        .create()
        .await
}
