//! Every revision that is not a post.
//!
//! A revision is a post or a row here, so what changed since revision N is found without an index over the revisions of messages.

use sea_orm::entity::prelude::*;

/// A row of `message_changes`.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "message_changes")]
pub struct Model {
    /// The conversation.
    #[sea_orm(primary_key, auto_increment = false)]
    pub conversation_id: i64,
    /// The number of the change.
    #[sea_orm(primary_key, auto_increment = false)]
    pub revision: i64,
    /// The message it touched.
    pub message_id: i64,
    /// 0 file arrived, 1 completed, 2 edited, 3 removed, 4 file changed.
    pub kind: i16,
    /// The conversation's newest seq at that moment.
    pub seq_at: i64,
    /// The place a completed message got.
    pub shown: Option<i64>,
}

/// What rows point at.
#[derive(Clone, Copy, Debug, EnumIter, DeriveRelation)]
pub enum Relation {
    /// The message.
    #[sea_orm(
        belongs_to = "super::messages::Entity",
        from = "Column::MessageId",
        to = "super::messages::Column::Id"
    )]
    Message,
}

impl Related<super::messages::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Message.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}
