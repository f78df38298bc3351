//! The history of the schema, one file per change.
//!
//! A file is never edited once it was released. The same steps make the schema in SQLite, PostgreSQL and MySQL or
//! MariaDB; where MySQL stops half way, the next run goes on, as each step leaves alone what is there.

mod m20261121_000001_accounts;
mod m20261121_000002_conversations;
mod m20261121_000003_messages;
mod m20261121_000004_upkeep;
mod m20261121_000005_group_refs;
mod m20261201_000006_commits;
mod sketch;

pub use sea_orm_migration::prelude::{IntoSchemaManagerConnection, MigrationTrait, MigratorTrait};

/// Knows every step, in order.
#[derive(Debug)]
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261121_000001_accounts::Migration),
            Box::new(m20261121_000002_conversations::Migration),
            Box::new(m20261121_000003_messages::Migration),
            Box::new(m20261121_000004_upkeep::Migration),
            Box::new(m20261121_000005_group_refs::Migration),
            Box::new(m20261201_000006_commits::Migration),
        ]
    }
}
