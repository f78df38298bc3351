//! The last transaction of each process.

use sea_orm::entity::prelude::*;

/// A row of `commits`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "commits")]
pub struct Model {
    /// Names the process, and changes whenever the outcome of a transaction is unknown; 16 bytes.
    #[sea_orm(primary_key, auto_increment = false)]
    pub witness: Vec<u8>,
    /// The last transaction that was committed under it.
    pub number: i64,
    /// When the row was made.
    pub begun_at: i64,
}

/// What rows point at.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
