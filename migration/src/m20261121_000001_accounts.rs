//! Users, circles and their devices, logins.

use sea_orm_migration::prelude::*;

use crate::sketch::{Sketch, drop_tables};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        users(manager).await?;
        circles(manager).await?;
        Sketch::of(manager, "logins")
            .id()
            .big("principal")
            .small("kind")
            .bytes_null("session_hash", 32)
            .bytes_null("key_hash", 32)
            .big("created_at")
            .big("expires_at")
            .big_null("ended_at")
            .unique(["session_hash"])
            .unique(["key_hash"])
            .index(["principal"])
            .create()
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(
            manager,
            &["logins", "circle_invites", "circle_members", "devices", "circles", "users"],
        )
        .await
    }
}

async fn users(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    Sketch::of(manager, "users")
        .id()
        .words("email", 254)
        .words("email_key", 254)
        .words("username", 150)
        .words_null("password_hash", 255)
        .words("first_name", 150)
        .words("last_name", 150)
        .big_null("birthday")
        .dated()
        .flag("is_active")
        .flag("is_superuser")
        .flag("is_staff")
        .flag("is_employee")
        .big_null("premium_until")
        .unsigned("balance")
        .text_null("android_token")
        .big_null("courier_since")
        .big_null("turn_after")
        .bytes_null("list_uuid", 16)
        .big_null("last_seen")
        .big_null("deleted_at")
        .unique(["email_key"])
        .unique(["username"])
        .create()
        .await
}

async fn circles(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    Sketch::of(manager, "circles")
        .id()
        .words("name", 255)
        .dated()
        .big_null("deleted_at")
        .create()
        .await?;
    Sketch::of(manager, "devices")
        .id()
        .big("circle_id")
        .small_null("live")
        .words("name", 255)
        .words("username", 150)
        .words("password_hash", 255)
        .words_null("first_password", 150)
        .words("activation_key", 64)
        .flag("activated")
        .dated()
        .big_null("turn_after")
        .big_null("last_seen")
        .refers("circle_id", "circles")
        .unique(["circle_id", "live"])
        .unique(["username"])
        .create()
        .await?;
    Sketch::of(manager, "circle_members")
        .id()
        .big("circle_id")
        .big("user_id")
        .words("privilege", 10)
        .flag("keeper")
        .dated()
        .refers("circle_id", "circles")
        .refers("user_id", "users")
        .unique(["circle_id", "user_id"])
        .index(["user_id"])
        .create()
        .await?;
    Sketch::of(manager, "circle_invites")
        .id()
        .big("circle_id")
        .big("user_id")
        .dated()
        .refers("circle_id", "circles")
        .refers("user_id", "users")
        .unique(["circle_id", "user_id"])
        .index(["user_id"])
        .create()
        .await
}
