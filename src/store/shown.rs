//! Messages in the order in which they were shown, by pages; removed ones are left out.
//!
//! Ids grow with `seq` within a conversation, so the bound of a page is found by halving over
//! `seq`, and no index over places burdens the hot table. What was completed late stands far
//! from its `seq` and is found by the change that completed it.

use std::sync::Arc;

use entity::{message_changes, messages};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select,
};

use super::conversations::NAMED;
use super::messages::{attach, head, message, range};
use super::{Store, StoreError};
use crate::domain::{ConversationId, Kind, Message, MessageId, Place, Principal, Shown, ShownPage};
use crate::policy::MayRead;

/// How many seqs are read at a time at least: many may be removed, or be late.
const STRIDE: i64 = 100;

/// Some messages of one sort, complete up to a place where there may be more.
struct Part {
    messages: Vec<Message>,
    complete_to: Option<i64>,
}

/// How many messages of a conversation have an id up to this one, which is the newest such
/// message's `seq`.
pub(super) async fn seq_at(
    db: &impl ConnectionTrait,
    conversation: ConversationId,
    last_seq: i64,
    id: i64,
) -> Result<i64, StoreError> {
    let (mut low, mut high) = (0, last_seq);
    // The newest ones are asked for most: from there with strides that double.
    let (mut middle, mut stride) = (last_seq, 1);
    while low < high {
        let found: Option<i64> = messages::Entity::find()
            .select_only()
            .column(messages::Column::Id)
            .filter(messages::Column::ConversationId.eq(conversation.get()))
            .filter(messages::Column::Seq.eq(middle))
            .into_tuple()
            .one(db)
            .await?;
        if found.is_some_and(|found| found <= id) {
            low = middle;
        } else {
            high = middle - 1;
        }
        let half = low + (high - low + 1) / 2;
        middle = if low == 0 { half.max(high - stride) } else { half };
        stride *= 2;
    }
    Ok(low)
}

/// The place of a message; the id of no shown message of this conversation stands for itself.
pub(super) async fn place_of(
    db: &impl ConnectionTrait,
    conversation: ConversationId,
    id: MessageId,
) -> Result<Place, StoreError> {
    let row = messages::Entity::find_by_id(id.get()).one(db).await?;
    let shown = row.filter(|row| row.conversation_id == conversation.get());
    Ok(Place::new(shown.and_then(|row| row.shown).unwrap_or(id.get())))
}

/// Whether it appeared when it was posted, and has not been removed.
fn is_on_time(message: &Message) -> bool {
    message.deleted.is_none() && message.place.is_some_and(|place| place.get() == message.id.get())
}

fn late(conversation: ConversationId) -> Select<message_changes::Entity> {
    message_changes::Entity::find()
        .filter(message_changes::Column::ConversationId.eq(conversation.get()))
}

impl Store {
    /// Those of the named messages that somebody wrote and nobody removed.
    pub async fn list_own_messages(
        &self,
        author: Principal,
        named: &[MessageId],
    ) -> Result<Vec<Message>, StoreError> {
        let mut found = Vec::new();
        for ids in named.chunks(NAMED) {
            let rows = messages::Entity::find()
                .filter(messages::Column::Id.is_in(ids.iter().map(|id| id.get())))
                .filter(messages::Column::Sender.eq(author.to_db()))
                .filter(messages::Column::DeletedAt.is_null())
                .all(self.reads())
                .await?;
            for row in rows {
                found.push(message(row)?);
            }
        }
        Ok(found)
    }

    /// The place of a message; the id of no shown message stands for itself.
    pub async fn place_of(&self, permit: &MayRead, id: MessageId) -> Result<Place, StoreError> {
        place_of(self.reads(), permit.conversation(), id).await
    }

    /// The oldest messages behind a place; zero for the oldest of all.
    pub async fn shown_after(
        &self,
        permit: &MayRead,
        after: Place,
        limit: u32,
    ) -> Result<ShownPage, StoreError> {
        self.page_after(permit.conversation(), permit.kind(), after, limit).await
    }

    /// The same, for who has decided that it may be read.
    pub(super) async fn page_after(
        &self,
        conversation: ConversationId,
        kind: Kind,
        after: Place,
        limit: u32,
    ) -> Result<ShownPage, StoreError> {
        let (after, limit) = (after.get(), limit as usize);
        let on_time = self.on_time_after(conversation, after, limit).await?;
        let late = self
            .late(
                conversation,
                late(conversation)
                    .filter(message_changes::Column::Shown.gt(after))
                    .order_by_asc(message_changes::Column::Shown),
                limit,
            )
            .await?;
        let complete_to = [on_time.complete_to, late.complete_to].into_iter().flatten().min();
        let mut messages = merge(on_time, late);
        messages.retain(|found| complete_to.is_none_or(|to| place(found) <= to));
        let cut = messages.len() > limit;
        messages.truncate(limit);
        let last = messages.last().map_or(after, place);
        let reached = if cut { last } else { complete_to.unwrap_or(last) };
        let more = cut || complete_to.is_some();
        self.page(conversation, kind, messages, reached, more).await
    }

    /// The newest messages before a place, ascending; without one the newest of all.
    pub async fn shown_before(
        &self,
        permit: &MayRead,
        before: Option<Place>,
        limit: u32,
    ) -> Result<ShownPage, StoreError> {
        let (before, limit) = (before.map_or(i64::MAX, Place::get), limit as usize);
        let on_time = self.on_time_before(permit.conversation(), before, limit).await?;
        let late = self
            .late(
                permit.conversation(),
                late(permit.conversation())
                    .filter(message_changes::Column::Shown.lt(before))
                    .order_by_desc(message_changes::Column::Shown),
                limit,
            )
            .await?;
        let complete_to = [on_time.complete_to, late.complete_to].into_iter().flatten().max();
        let mut messages = merge(on_time, late);
        messages.retain(|found| complete_to.is_none_or(|to| place(found) >= to));
        let surplus = messages.len().saturating_sub(limit);
        messages.drain(..surplus);
        let first = messages.first().map_or(before, place);
        let reached = if surplus > 0 { first } else { complete_to.unwrap_or(first) };
        let more = surplus > 0 || complete_to.is_some();
        self.page(permit.conversation(), permit.kind(), messages, reached, more).await
    }

    /// One more than `limit`, so that it is known whether there are more.
    async fn on_time_after(
        &self,
        conversation: ConversationId,
        after: i64,
        limit: usize,
    ) -> Result<Part, StoreError> {
        let (last_seq, _) = head(self.reads(), conversation).await?;
        let mut low = seq_at(self.reads(), conversation, last_seq, after).await? + 1;
        let mut messages = Vec::new();
        while low <= last_seq && messages.len() <= limit {
            let high = last_seq.min(low + STRIDE.max(limit as i64));
            let found = range(self.reads(), conversation, low, high).await?;
            messages.extend(found.into_iter().filter(is_on_time));
            low = high + 1;
        }
        let complete_to = (low <= last_seq).then(|| messages.last().map_or(after, place));
        Ok(Part { messages, complete_to })
    }

    async fn on_time_before(
        &self,
        conversation: ConversationId,
        before: i64,
        limit: usize,
    ) -> Result<Part, StoreError> {
        let (last_seq, _) = head(self.reads(), conversation).await?;
        let mut high = seq_at(self.reads(), conversation, last_seq, before - 1).await?;
        let mut messages = Vec::new();
        while high >= 1 && messages.len() <= limit {
            let low = 1.max(high - STRIDE.max(limit as i64));
            let found = range(self.reads(), conversation, low, high).await?;
            messages.splice(0..0, found.into_iter().filter(is_on_time));
            high = low - 1;
        }
        let complete_to = (high >= 1).then(|| messages.first().map_or(before, place));
        Ok(Part { messages, complete_to })
    }

    async fn late(
        &self,
        conversation: ConversationId,
        changes: Select<message_changes::Entity>,
        limit: usize,
    ) -> Result<Part, StoreError> {
        let most = limit + 1;
        let changes = changes.limit(most as u64).all(self.reads()).await?;
        let complete_to = if changes.len() == most {
            changes.last().and_then(|change| change.shown)
        } else {
            None
        };
        let mut messages = Vec::new();
        if !changes.is_empty() {
            let ids = changes.iter().map(|change| change.message_id);
            let rows = messages::Entity::find()
                .filter(messages::Column::Id.is_in(ids))
                .filter(messages::Column::ConversationId.eq(conversation.get()))
                .filter(messages::Column::DeletedAt.is_null())
                .all(self.reads())
                .await?;
            for row in rows.into_iter().filter(|row| row.shown.is_some_and(|at| at != row.id)) {
                messages.push(message(row)?);
            }
        }
        Ok(Part { messages, complete_to })
    }

    async fn page(
        &self,
        conversation: ConversationId,
        kind: Kind,
        mut messages: Vec<Message>,
        reached: i64,
        more: bool,
    ) -> Result<ShownPage, StoreError> {
        attach(self.reads(), &mut messages).await?;
        self.tell_read(kind, conversation, &mut messages).await?;
        let faces = self.faces(&messages.iter().map(|message| message.author).collect()).await?;
        let mut shown = Vec::with_capacity(messages.len());
        for message in messages {
            let sender = match faces.get(&message.author) {
                Some(face) => face.clone(),
                None => self.face(self.reads(), message.author).await?,
            };
            shown.push(Shown { message: Arc::new(message), sender });
        }
        Ok(ShownPage { messages: shown, reached: Place::new(reached), more })
    }
}

fn place(message: &Message) -> i64 {
    message.place.map_or(message.id.get(), Place::get)
}

fn merge(on_time: Part, late: Part) -> Vec<Message> {
    let mut messages = on_time.messages;
    messages.extend(late.messages);
    messages.sort_unstable_by_key(place);
    messages.dedup_by_key(|message| message.id);
    messages
}
