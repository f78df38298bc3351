//! Every change of a balance.
//!
//! Written in the transaction of what it pays for.

use sea_orm::entity::prelude::*;

/// A row of `ledger`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "ledger")]
pub struct Model {
    /// The entry.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// Whose balance.
    pub user_id: i64,
    /// What was paid for.
    pub message_id: Option<i64>,
    /// Coins; below zero for a charge.
    pub amount: i64,
    /// What was left.
    pub balance_after: i64,
    /// Why.
    pub note: String,
    /// When the row was made.
    pub created_at: i64,
}

/// What rows point at.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// The user.
    #[sea_orm(
        belongs_to = "super::users::Entity",
        from = "Column::UserId",
        to = "super::users::Column::Id"
    )]
    User,
}

impl Related<super::users::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::User.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
