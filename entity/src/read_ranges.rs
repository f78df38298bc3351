//! What a member has read beyond the cursor, as ranges of places.
//!
//! Ranges of one member neither touch nor overlap, and lie above its cursor.

use sea_orm::entity::prelude::*;

/// A row of `read_ranges`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "read_ranges")]
pub struct Model {
    /// The range.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The membership.
    pub member_id: i64,
    /// First place.
    pub low: i64,
    /// Last place.
    pub high: i64,
}

/// What rows point at.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// The member.
    #[sea_orm(
        belongs_to = "super::members::Entity",
        from = "Column::MemberId",
        to = "super::members::Column::Id"
    )]
    Member,
}

impl Related<super::members::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Member.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
