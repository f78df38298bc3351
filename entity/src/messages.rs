//! Every message ever posted; a removed one stays as a tombstone.
//!
//! The hottest table: two indexes beside the key and no foreign keys. The lock on the conversation's head proves that the conversation exists.

use sea_orm::entity::prelude::*;

/// A row of `messages`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "messages")]
pub struct Model {
    /// The message; drawn from the counter of places under the lock of the head.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// The conversation.
    pub conversation_id: i64,
    /// Place in its conversation, from one, without gaps.
    pub seq: i64,
    /// Number of the conversation's last change that touched it.
    pub revision: i64,
    /// Place among everything shown; nothing while files are awaited.
    pub shown: Option<i64>,
    /// The principal that wrote it.
    pub sender: i64,
    /// The membership it was written through.
    pub link_id: Option<i64>,
    /// 16 bytes that name one sending, unique per sender.
    pub client_key: Vec<u8>,
    /// 0 text, 1 smile, 2 file.
    pub kind: i16,
    /// What it says; empty once removed.
    #[sea_orm(column_type = "Text")]
    pub text: String,
    /// The smile it shows.
    pub smile_id: Option<i64>,
    /// How many files belong to it.
    pub media_count: i16,
    /// How many of them are still missing.
    pub awaited: i16,
    /// When it was posted.
    pub created_at: i64,
    /// When it was last edited.
    pub edited_at: Option<i64>,
    /// When it was removed.
    pub deleted_at: Option<i64>,
    /// The principal that removed it.
    pub deleted_by: Option<i64>,
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
}

impl Related<super::conversations::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Conversation.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
