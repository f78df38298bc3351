//! Who belongs to a circle, and with what privilege.
//!
//! `keeper` is the rights of an administrator that the privilege does not show.

use sea_orm::entity::prelude::*;

/// A row of `circle_members`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "circle_members")]
pub struct Model {
    /// The link.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The circle.
    pub circle_id: i64,
    /// The user.
    pub user_id: i64,
    /// `REGULAR`, `MEMBRE`, `ADMIN` or `DEFAULT`.
    pub privilege: String,
    /// Whether the member has the rights of an `ADMIN` whatever the privilege says.
    pub keeper: bool,
    /// When the row was made.
    pub created_at: i64,
    /// When it was last changed.
    pub updated_at: i64,
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
    /// The user.
    #[sea_orm(
        belongs_to = "super::users::Entity",
        from = "Column::UserId",
        to = "super::users::Column::Id"
    )]
    User,
}

impl Related<super::circles::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Circle.def()
    }
}

impl Related<super::users::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::User.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
