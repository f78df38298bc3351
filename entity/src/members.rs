//! Who belongs to a conversation, or did, and how far each has received and read.
//!
//! A membership that ended keeps its row with `live` empty: it names the author of old messages.

use sea_orm::entity::prelude::*;

/// A row of `members`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "members")]
pub struct Model {
    /// The link.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The conversation.
    pub conversation_id: i64,
    /// The user.
    pub user_id: i64,
    /// 0 standard, 1 admin.
    pub role: i16,
    /// One while the membership lasts.
    pub live: Option<i16>,
    /// The conversation's newest seq at the moment of joining.
    pub joined_seq: i64,
    /// When the row was made.
    pub created_at: i64,
    /// When it was last changed.
    pub updated_at: i64,
    /// When the membership ended.
    pub ended_at: Option<i64>,
    /// Everything up to this place has been delivered.
    pub delivered_shown: i64,
    /// Everything up to this place has been read.
    pub read_shown: i64,
    /// The seq that `read_shown` stands for.
    pub read_seq: i64,
    /// When the read cursor last moved.
    pub read_at: Option<i64>,
    /// Everything up to this place has reached the user's courier client.
    pub courier_shown: i64,
}

/// What rows point at.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// The conversation.
    #[sea_orm(
        belongs_to = "super::conversations::Entity",
        from = "Column::ConversationId",
        to = "super::conversations::Column::Id"
    )]
    Conversation,
    /// The user.
    #[sea_orm(
        belongs_to = "super::users::Entity",
        from = "Column::UserId",
        to = "super::users::Column::Id"
    )]
    User,
}

impl Related<super::conversations::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Conversation.def()
    }
}

impl Related<super::users::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::User.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
