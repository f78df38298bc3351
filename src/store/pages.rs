//! Pages of a conversation for clients that come back: what was before, and what changed since.
//!
//! Pages are bounded ranges of `seq`, which has no gaps: an open range with a limit may be
//! planned as a scan once a statement is prepared (STORE 7, pitfall 2).

use std::collections::BTreeMap;

use entity::{message_changes, messages};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};

use super::conversations::NAMED;
use super::messages::{head, message, range};
use super::{Store, StoreError};
use crate::domain::{ConversationId, Message, Page, Revision, Seq};
use crate::policy::MayRead;

/// How often a page is read anew because something in it was touched meanwhile.
const PATIENCE: usize = 10;
/// Revisions that are looked at together at most.
const WIDEST: i64 = 4096;

impl Store {
    /// The newest messages before a place, removed ones included, ascending.
    pub async fn page_before(
        &self,
        permit: &MayRead,
        before: Option<Seq>,
        limit: u32,
    ) -> Result<Page, StoreError> {
        let conversation = permit.conversation();
        let (last_seq, revision) = head(self.reads(), conversation).await?;
        let last = before.map_or(last_seq, |seq| last_seq.min(seq.get().saturating_sub(1)));
        let first = (last - i64::from(limit) + 1).max(1);
        let found = range(self.reads(), conversation, first, last).await?;
        let messages = self.written(permit.kind(), conversation, found).await?;
        Ok(Page { messages, revision: Revision::new(revision), more: first > 1 && last >= first })
    }

    /// Every message touched after a change, once, as it is now; ascending by revision.
    ///
    /// Every revision is either a post or a row of `message_changes`. Posts up to revision
    /// N are counted from the newest such row at or below N, so what was posted in a window
    /// of revisions is a range of `seq`, and the rest is named by the rows of the window.
    pub async fn page_since(
        &self,
        permit: &MayRead,
        since: Revision,
        limit: u32,
    ) -> Result<Page, StoreError> {
        let conversation = permit.conversation();
        let most = limit as usize;
        let (_, mut newest) = head(self.reads(), conversation).await?;
        let mut low = since.get().clamp(0, newest);
        let (mut found, mut width, mut patience) = (Vec::new(), i64::from(limit), PATIENCE);
        while found.is_empty() && low < newest {
            let high = newest.min(low + width);
            let touched = self.touched(conversation, low, high).await?;
            if touched.iter().any(|message| message.revision.get() > newest) {
                // Touched again since the head was read: it belongs to a page that reaches further.
                patience -= 1;
                if patience == 0 {
                    break;
                }
                (_, newest) = head(self.reads(), conversation).await?;
                continue;
            }
            let window = low + 1..=high;
            let by_revision: BTreeMap<_, _> = touched
                .into_iter()
                .filter(|message| window.contains(&message.revision.get()))
                .map(|message| (message.revision, message))
                .collect();
            found = by_revision.into_values().collect();
            // Where everything was touched again later, the next windows reach further.
            width = (2 * width).min(WIDEST);
            low = if found.len() > most {
                found.truncate(most);
                found.last().map_or(high, |message| message.revision.get())
            } else {
                high
            };
        }
        let messages = self.written(permit.kind(), conversation, found).await?;
        Ok(Page { messages, revision: Revision::new(low), more: low < newest })
    }

    /// The messages that were touched in `(low, high]`, as they are now.
    async fn touched(
        &self,
        conversation: ConversationId,
        low: i64,
        high: i64,
    ) -> Result<Vec<Message>, StoreError> {
        let first = self.posted_by(conversation, low).await? + 1;
        let last = self.posted_by(conversation, high).await?;
        let mut found = range(self.reads(), conversation, first, last).await?;
        let changes = message_changes::Entity::find()
            .filter(message_changes::Column::ConversationId.eq(conversation.get()))
            .filter(message_changes::Column::Revision.gt(low))
            .filter(message_changes::Column::Revision.lte(high))
            .all(self.reads())
            .await?;
        let ids: Vec<_> = changes.iter().map(|change| change.message_id).collect();
        for ids in ids.chunks(NAMED) {
            let rows = messages::Entity::find()
                .filter(messages::Column::Id.is_in(ids.iter().copied()))
                .all(self.reads())
                .await?;
            for row in rows {
                found.push(message(row)?);
            }
        }
        Ok(found)
    }

    /// How many messages had been posted by a revision.
    async fn posted_by(
        &self,
        conversation: ConversationId,
        revision: i64,
    ) -> Result<i64, StoreError> {
        let change = message_changes::Entity::find()
            .filter(message_changes::Column::ConversationId.eq(conversation.get()))
            .filter(message_changes::Column::Revision.lte(revision))
            .order_by_desc(message_changes::Column::Revision)
            .one(self.reads())
            .await?;
        Ok(change.map_or(revision, |change| change.seq_at + revision - change.revision))
    }
}
