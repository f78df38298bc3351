//! Whatever messages are posted to: direct pairs, groups, rooms.
//!
//! Wide and seldom written; what every message changes is in `conversation_heads`.

use sea_orm::entity::prelude::*;

/// A row of `conversations`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "conversations")]
pub struct Model {
    /// The conversation.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// 0 direct, 1 group, 2 room.
    pub kind: i16,
    /// 0 members, 1 open, 2 staff.
    pub access: i16,
    /// Its title.
    pub title: String,
    /// What it is about.
    pub description: String,
    /// The circle that owns it, if one does.
    pub circle_id: Option<i64>,
    /// Whether the device of the circle takes part.
    pub device_access: bool,
    /// The principal that made it.
    pub creator: Option<i64>,
    /// The smaller user id of a direct pair.
    pub direct_low: Option<i64>,
    /// The greater one; the same in a dialog with oneself.
    pub direct_high: Option<i64>,
    /// When a direct conversation came into being for its members.
    pub shown_since: Option<i64>,
    /// When the row was made.
    pub created_at: i64,
    /// When it was last changed.
    pub updated_at: i64,
    /// When it ended.
    pub deleted_at: Option<i64>,
}

/// What rows point at.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// The circle.
    #[sea_orm(
        belongs_to = "super::circles::Entity",
        from = "Column::CircleId",
        to = "super::circles::Column::Id"
    )]
    Circle,
}

impl Related<super::circles::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Circle.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
