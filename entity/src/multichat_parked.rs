//! Rooms that a lost multichat connection had joined.
//!
//! A connection of the same login takes them over until the time is out.

use sea_orm::entity::prelude::*;

/// A row of `multichat_parked`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "multichat_parked")]
pub struct Model {
    /// The login.
    #[sea_orm(primary_key, auto_increment = false)]
    pub login_id: i64,
    /// The conversation.
    #[sea_orm(primary_key, auto_increment = false)]
    pub conversation_id: i64,
    /// Place of the last message that surely arrived.
    pub confirmed_shown: i64,
    /// When the place is given up.
    pub until_at: i64,
}

/// What rows point at.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// The login.
    #[sea_orm(
        belongs_to = "super::logins::Entity",
        from = "Column::LoginId",
        to = "super::logins::Column::Id"
    )]
    Login,
    /// The conversation.
    #[sea_orm(
        belongs_to = "super::conversations::Entity",
        from = "Column::ConversationId",
        to = "super::conversations::Column::Id"
    )]
    Conversation,
}

impl Related<super::logins::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Login.def()
    }
}

impl Related<super::conversations::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Conversation.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
