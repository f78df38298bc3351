//! What other processes must know, for a few seconds.
//!
//! Read by time, not by id: ids are not in the order of commits everywhere.

use sea_orm::entity::prelude::*;

/// A row of `notices`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "notices")]
pub struct Model {
    /// The notice.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The process that wrote it, 16 bytes.
    pub node: Vec<u8>,
    /// What happened.
    pub kind: String,
    /// To whom or what.
    pub subject: i64,
    /// More about it, in a form of its kind.
    #[sea_orm(column_type = "Text", nullable)]
    pub extra: Option<String>,
    /// When the row was made.
    pub created_at: i64,
}

/// What rows point at.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
