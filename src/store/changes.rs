//! Changes of messages that exist: edits, removals, and the numbers that every change gets.
//!
//! A change takes its conversation's next revision, is noted in `message_changes` and
//! leaves the number in the message. All of it is one transaction under the write turn.

use entity::{conversation_heads, medias, message_changes, messages};
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QuerySelect};

use super::locks::standing_under_lock;
use super::messages::{find_message, message};
use super::{Changed, Store, StoreError, Tx};
use crate::domain::{Event, FileId, Message, MessageId, Party, Text, Topic};
use crate::hub::{News, Notice};
use crate::policy::{self, MayEdit, MayRemove};

/// What a change did to its message, as the table spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// A file arrived, and others are awaited.
    FileArrived = 0,
    /// The last awaited file arrived, or is no longer awaited.
    Completed = 1,
    /// Its words were changed.
    Edited = 2,
    /// It was removed.
    Removed = 3,
    /// A file was replaced or taken away.
    FileChanged = 4,
}

/// Gives a change its number and writes it down, together with what `row` sets.
pub(super) async fn note(
    tx: &Tx,
    found: &messages::Model,
    change: Change,
    mut row: messages::ActiveModel,
) -> Result<(), StoreError> {
    // Raising first locks the head, so that no other node numbers meanwhile.
    conversation_heads::Entity::update_many()
        .col_expr(
            conversation_heads::Column::LastRevision,
            Expr::col(conversation_heads::Column::LastRevision).add(1),
        )
        .filter(conversation_heads::Column::ConversationId.eq(found.conversation_id))
        .exec(tx)
        .await?;
    let head = conversation_heads::Entity::find_by_id(found.conversation_id)
        .one(tx)
        .await?
        .ok_or_else(|| StoreError::Impossible {
            table: "conversation_heads",
            what: format!("no row for conversation {}", found.conversation_id),
        })?;
    let shown = match (change, &row.shown) {
        (Change::Completed, Set(shown)) => *shown,
        _ => None,
    };
    let change = message_changes::ActiveModel {
        conversation_id: Set(found.conversation_id),
        revision: Set(head.last_revision),
        message_id: Set(found.id),
        kind: Set(change as i16),
        seq_at: Set(head.last_seq),
        shown: Set(shown),
    };
    message_changes::Entity::insert(change).exec_without_returning(tx).await?;
    row.revision = Set(head.last_revision);
    messages::Entity::update_many()
        .set(row)
        .filter(messages::Column::Id.eq(found.id))
        .exec(tx)
        .await?;
    Ok(())
}

/// A message that can still be changed; other nodes wait until this transaction has done so.
pub(super) async fn changeable(
    tx: &Tx,
    id: MessageId,
) -> Result<Option<messages::Model>, StoreError> {
    let row = messages::Entity::find_by_id(id.get()).lock_exclusive().one(tx).await?;
    Ok(row.filter(|row| row.deleted_at.is_none()))
}

impl Store {
    /// A message as it is within a transaction, and its author's face.
    pub(super) async fn as_changed(
        &self,
        tx: &Tx,
        id: MessageId,
    ) -> Result<(Message, Party), StoreError> {
        let message = find_message(tx, id).await?.ok_or_else(|| StoreError::Impossible {
            table: "messages",
            what: format!("message {id} vanished"),
        })?;
        let sender = self.face(tx, message.author).await?;
        Ok((message, sender))
    }

    /// Changes the words of a message; none if it was removed meanwhile.
    pub async fn edit(&self, permit: MayEdit, text: Text) -> Result<Option<Message>, StoreError> {
        let now = self.clock().now().micros();
        self.change(async |tx| {
            let standing = standing_under_lock(tx, permit.editor(), permit.conversation()).await?;
            let Some(found) = changeable(tx, permit.message()).await? else {
                return Ok(Changed::quietly(None));
            };
            policy::may_edit(&standing, &message(found.clone())?)?;
            let row = messages::ActiveModel {
                text: Set(text.into_inner()),
                edited_at: Set(Some(now)),
                ..Default::default()
            };
            note(tx, &found, Change::Edited, row).await?;
            let (message, sender) = self.as_changed(tx, permit.message()).await?;
            let event = Event::MessageEdited { message: message.clone().into(), sender };
            let news = told(&message, event);
            Ok(Changed { value: Some(message), news })
        })
        .await
    }

    /// Removes a message and its files; tells which bytes nobody needs any more, or nothing
    /// if it was removed already.
    pub async fn remove(&self, permit: MayRemove) -> Result<Option<Vec<FileId>>, StoreError> {
        let now = self.clock().now().micros();
        self.change(async |tx| {
            let standing = standing_under_lock(tx, permit.remover(), permit.conversation()).await?;
            let Some(found) = changeable(tx, permit.message()).await? else {
                return Ok(Changed::quietly(None));
            };
            policy::may_remove(&standing, &message(found.clone())?)?;
            let files = forget_files(tx, permit.message(), now).await?;
            let row = messages::ActiveModel {
                text: Set(String::new()),
                media_count: Set(0),
                awaited: Set(0),
                deleted_at: Set(Some(now)),
                deleted_by: Set(Some(permit.remover().to_db())),
                ..Default::default()
            };
            note(tx, &found, Change::Removed, row).await?;
            let (message, sender) = self.as_changed(tx, permit.message()).await?;
            let by = self.face(tx, permit.remover()).await?;
            let event = Event::MessageRemoved { message: message.clone().into(), sender, by };
            Ok(Changed { value: Some(files), news: told(&message, event) })
        })
        .await
    }
}

/// One thing told to those who listen to a message's conversation.
pub(super) fn told(message: &Message, event: Event) -> News {
    let topic = Topic::Conversation(message.conversation);
    News::none().conversation(message.conversation, Notice::new([topic], event))
}

/// Takes all files from a message; their bytes are for the caller to remove.
async fn forget_files(tx: &Tx, id: MessageId, now: i64) -> Result<Vec<FileId>, StoreError> {
    let rows = medias::Entity::find()
        .filter(medias::Column::MessageId.eq(id.get()))
        .filter(medias::Column::DeletedAt.is_null())
        .all(tx)
        .await?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    medias::Entity::update_many()
        .col_expr(medias::Column::DeletedAt, Expr::val(now))
        .filter(medias::Column::MessageId.eq(id.get()))
        .filter(medias::Column::DeletedAt.is_null())
        .exec(tx)
        .await?;
    let arrived = rows.iter().filter(|row| row.uploaded_at.is_some());
    arrived.map(|row| super::attachments::file_id(&row.uuid)).collect()
}
