//! Dialogs: the direct conversations that have come into being, as their two ends see them.

use std::collections::{BTreeMap, BTreeSet};

use entity::{conversations, members, message_changes, users};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect, RelationTrait};

use super::conversations::{NAMED, kind_to_db, living};
use super::marks::Marks;
use super::messages::{head, range};
use super::receipts::ranges;
use super::shown::seq_at;
use super::{Store, StoreError};
use crate::domain::{
    ConversationId, Kind, LinkId, MessageId, Place, Principal, User, UserId, Username,
};
use crate::policy::MayRead;

/// Unread messages that are counted.
const MOST: usize = 1000;
/// Places that are looked at to count them.
const COUNTED: i64 = 2000;

impl Store {
    /// A user by handle, in the same case.
    pub async fn find_user_by_username(&self, name: &str) -> Result<Option<User>, StoreError> {
        let Some(name) = Username::new(name) else { return Ok(None) };
        let row = users::Entity::find()
            .filter(users::Column::DeletedAt.is_null())
            .filter(users::Column::Username.eq(name.as_str()))
            .one(self.reads())
            .await?;
        Ok(row.map(|row| self.user(row)))
    }

    /// With whom a user has a dialog, and which it is.
    pub async fn list_dialog_partners(
        &self,
        user: UserId,
    ) -> Result<BTreeMap<UserId, ConversationId>, StoreError> {
        let rows: Vec<(i64, Option<i64>, Option<i64>)> = conversations::Entity::find()
            .join_rev(sea_orm::JoinType::InnerJoin, members::Relation::Conversation.def())
            .select_only()
            .column(conversations::Column::Id)
            .column(conversations::Column::DirectLow)
            .column(conversations::Column::DirectHigh)
            .filter(members::Column::UserId.eq(user.get()))
            .filter(members::Column::Live.eq(1))
            .filter(conversations::Column::Kind.eq(kind_to_db(Kind::Direct)))
            .filter(conversations::Column::ShownSince.is_not_null())
            .filter(conversations::Column::DeletedAt.is_null())
            .into_tuple()
            .all(self.reads())
            .await?;
        let other = |low: i64, high: i64| if low == user.get() { high } else { low };
        Ok(rows
            .into_iter()
            .filter_map(|(id, low, high)| {
                Some((UserId::new(other(low?, high?)), ConversationId::new(id)))
            })
            .collect())
    }

    /// These users, in no order; those who are not there are left out.
    pub async fn list_users_named(
        &self,
        ids: impl IntoIterator<Item = UserId>,
    ) -> Result<Vec<User>, StoreError> {
        let ids: Vec<_> = ids.into_iter().map(UserId::get).collect();
        let mut found = Vec::with_capacity(ids.len());
        for ids in ids.chunks(NAMED) {
            let rows = users::Entity::find()
                .filter(users::Column::Id.is_in(ids.iter().copied()))
                .filter(users::Column::DeletedAt.is_null())
                .all(self.reads())
                .await?;
            found.extend(rows.into_iter().map(|row| self.user(row)));
        }
        Ok(found)
    }

    /// Which of these messages of a direct conversation the other end than their author has
    /// seen; in a dialog with oneself, that is oneself.
    pub async fn seen_by_readers(
        &self,
        permit: &MayRead,
        messages: &[(MessageId, Place, Principal)],
    ) -> Result<BTreeSet<MessageId>, StoreError> {
        let mut seen = BTreeSet::new();
        let ends = living(self.reads(), permit.conversation()).await?;
        for end in &ends {
            let marks = self.marks_of(end).await?;
            let own = Principal::User(UserId::new(end.user_id));
            let read = messages.iter().filter(|(_, place, author)| {
                (*author != own || ends.len() == 1) && marks.covers(place.get())
            });
            seen.extend(read.map(|(message, ..)| *message));
        }
        Ok(seen)
    }

    /// How many shown messages of others a member has not seen; the count stops at a thousand.
    pub async fn count_unread(&self, permit: &MayRead) -> Result<usize, StoreError> {
        let (db, conversation) = (self.reads(), permit.conversation());
        let Some(link) = permit.link() else { return Ok(0) };
        let Some(member) = members::Entity::find_by_id(link.get()).one(db).await? else {
            return Ok(0);
        };
        let marks = self.marks_of(&member).await?;
        let (last_seq, _) = head(db, conversation).await?;
        let reached = seq_at(db, conversation, last_seq, marks.cursor).await?;
        let last = last_seq.min(reached + COUNTED);
        let mut found = range(db, conversation, reached + 1, last).await?;
        let late = message_changes::Entity::find()
            .filter(message_changes::Column::ConversationId.eq(conversation.get()))
            .filter(message_changes::Column::Shown.gt(marks.cursor))
            .limit(MOST as u64)
            .all(db)
            .await?;
        for change in late {
            found.extend(self.find_message(MessageId::new(change.message_id)).await?);
        }
        let unread: BTreeSet<_> = found
            .iter()
            .filter(|found| Some(found.author) != permit.skipped() && found.deleted.is_none())
            .filter_map(|found| found.place)
            .filter(|place| !marks.covers(place.get()))
            .collect();
        Ok(unread.len().min(MOST))
    }

    async fn marks_of(&self, member: &members::Model) -> Result<Marks, StoreError> {
        let stored = ranges(self.reads(), LinkId::new(member.id)).await?;
        let places = stored.iter().map(|row| (row.low, row.high)).collect();
        Ok(Marks::new(member.read_shown, places))
    }
}
