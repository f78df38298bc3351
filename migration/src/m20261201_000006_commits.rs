//! The last transaction of each process, by which it finds out what became of one whose commit was not answered.

use sea_orm_migration::prelude::*;

use crate::sketch::{Sketch, drop_tables};

#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        Sketch::of(manager, "commits")
            .bytes("witness", 16)
            .big("number")
            .big("begun_at")
            .keyed(["witness"])
            .create()
            .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop_tables(manager, &["commits"]).await
    }
}
