//! Machines with an account; each speaks for its circle.
//!
//! `live` is one while the device exists and nothing afterwards, so that a circle has at most one.

use sea_orm::entity::prelude::*;

/// A row of `devices`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "devices")]
pub struct Model {
    /// The device.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The circle it speaks for.
    pub circle_id: i64,
    /// One while it exists.
    pub live: Option<i16>,
    /// Its name.
    pub name: String,
    /// Generated; unique, with case.
    #[sea_orm(unique)]
    pub username: String,
    /// Hash of its password.
    pub password_hash: String,
    /// Readable by administrators until the device is activated.
    pub first_password: Option<String>,
    /// What activates it.
    pub activation_key: String,
    /// Whether it may log in.
    pub activated: bool,
    /// When the row was made.
    pub created_at: i64,
    /// When it was last changed.
    pub updated_at: i64,
    /// TURN credentials made before this moment are void.
    pub turn_after: Option<i64>,
    /// When its last connection ended.
    pub last_seen: Option<i64>,
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
