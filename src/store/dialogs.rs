//! Dialogs: the direct conversations that have come into being, as their two ends see them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use entity::{conversations, members, message_changes, messages, users};
use sea_orm::sea_query::{Expr, ExprTrait, Query, SelectStatement};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QuerySelect, RelationTrait, Select,
};

use super::conversations::{NAMED, kind_to_db, living};
use super::marks::Marks;
use super::receipts::{ranges, ranges_of};
use super::{Store, StoreError};
use crate::domain::{
    ConversationId, Kind, LinkId, MessageId, Place, Principal, User, UserId, Username,
};
use crate::policy::MayRead;

/// Unread messages that are counted.
const MOST: usize = 1000;
/// Places that are looked at to count them.
const COUNTED: i64 = 2000;
/// Dialogs whose unread messages are counted together.
const TOGETHER: usize = 20;

/// A dialog as one of its ends sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DialogState {
    /// Who is at the other end.
    pub with: UserId,
    /// Which conversation it is.
    pub conversation: ConversationId,
    /// The newest message that is shown.
    pub newest: Newest,
    /// Messages of the other end that were not seen; the count stops at a thousand.
    pub unread: usize,
}

/// The newest message that a dialog shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Newest {
    /// There is none.
    Nothing,
    /// This one.
    Is(MessageId),
    /// The last that was posted was removed, is awaited or was completed late: one has to look.
    Hidden,
}

/// One's own end of a dialog.
#[derive(Clone, Copy)]
struct OwnEnd {
    conversation: ConversationId,
    with: UserId,
    /// The membership.
    link: i64,
    read_shown: i64,
}

/// The direct conversations of a user that have come into being.
fn dialogs_of(user: UserId) -> Select<conversations::Entity> {
    conversations::Entity::find()
        .join_rev(sea_orm::JoinType::InnerJoin, members::Relation::Conversation.def())
        .filter(members::Column::UserId.eq(user.get()))
        .filter(members::Column::Live.eq(1))
        .filter(conversations::Column::Kind.eq(kind_to_db(Kind::Direct)))
        .filter(conversations::Column::ShownSince.is_not_null())
        .filter(conversations::Column::DeletedAt.is_null())
}

/// The other of two ends.
const fn other(user: UserId, low: i64, high: i64) -> i64 {
    if low == user.get() { high } else { low }
}

const fn member(column: members::Column) -> (members::Entity, members::Column) {
    (members::Entity, column)
}

const fn said(column: messages::Column) -> (messages::Entity, messages::Column) {
    (messages::Entity, column)
}

/// Conversation, place and sender of what is shown of these members' conversations, and was not removed.
fn shown_to(links: impl Iterator<Item = i64>) -> SelectStatement {
    Query::select()
        .column(said(messages::Column::ConversationId))
        .column(said(messages::Column::Shown))
        .column(said(messages::Column::Sender))
        .from(members::Entity)
        .and_where(Expr::col(member(members::Column::Id)).is_in(links))
        .and_where(Expr::col(said(messages::Column::DeletedAt)).is_null())
        .and_where(Expr::col(said(messages::Column::Shown)).is_not_null())
        .to_owned()
}

/// The same of what was posted behind the cursors.
fn posted_behind(links: impl Iterator<Item = i64>) -> SelectStatement {
    let seq = || Expr::col(said(messages::Column::Seq));
    let read = || Expr::col(member(members::Column::ReadSeq));
    shown_to(links)
        .inner_join(
            messages::Entity,
            Expr::col(said(messages::Column::ConversationId))
                .equals(member(members::Column::ConversationId))
                .and(seq().gt(read()))
                .and(seq().lte(read().add(COUNTED))),
        )
        .to_owned()
}

/// The same of what was completed behind them.
fn completed_behind(links: impl Iterator<Item = i64>) -> SelectStatement {
    let change = |column| (message_changes::Entity, column);
    shown_to(links)
        .inner_join(
            message_changes::Entity,
            Expr::col(change(message_changes::Column::ConversationId))
                .equals(member(members::Column::ConversationId))
                .and(
                    Expr::col(change(message_changes::Column::Shown))
                        .gt(Expr::col(member(members::Column::ReadShown))),
                ),
        )
        .inner_join(
            messages::Entity,
            Expr::col(said(messages::Column::Id))
                .equals(change(message_changes::Column::MessageId)),
        )
        .to_owned()
}

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
        let rows: Vec<(i64, Option<i64>, Option<i64>)> = dialogs_of(user)
            .select_only()
            .column(conversations::Column::Id)
            .column(conversations::Column::DirectLow)
            .column(conversations::Column::DirectHigh)
            .into_tuple()
            .all(self.reads())
            .await?;
        Ok(rows
            .into_iter()
            .filter_map(|(id, low, high)| {
                Some((UserId::new(other(user, low?, high?)), ConversationId::new(id)))
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

    /// The dialogs of a user, in no order. Whose they are takes part in them: nobody is ever put out of a direct
    /// conversation.
    pub async fn list_dialogs(&self, user: UserId) -> Result<Vec<DialogState>, StoreError> {
        let ends = self.own_ends(user).await?;
        let ids: Vec<_> = ends.iter().map(|end| end.conversation).collect();
        let tips = self.tips(&ids).await?;
        let behind = ends.iter().filter(|end| {
            tips.get(&end.conversation).is_some_and(|tip| !tip.is_reached_by(end.read_shown))
        });
        let behind: Vec<_> = behind.copied().collect();
        let mut unread = HashMap::new();
        for some in behind.chunks(TOGETHER) {
            self.count_unread(user, some, &mut unread).await?;
        }
        let state = |end: OwnEnd| DialogState {
            with: end.with,
            conversation: end.conversation,
            newest: match tips.get(&end.conversation) {
                None => Newest::Nothing,
                Some(tip) if tip.on_time && !tip.followed => Newest::Is(MessageId::new(tip.id)),
                Some(_) => Newest::Hidden,
            },
            unread: unread.get(&end.conversation).copied().unwrap_or_default(),
        };
        Ok(ends.into_iter().map(state).collect())
    }

    /// A user's ends of all dialogs.
    async fn own_ends(&self, user: UserId) -> Result<Vec<OwnEnd>, StoreError> {
        type Row = (i64, Option<i64>, Option<i64>, i64, i64);
        let rows: Vec<Row> = dialogs_of(user)
            .select_only()
            .column(conversations::Column::Id)
            .column(conversations::Column::DirectLow)
            .column(conversations::Column::DirectHigh)
            .column_as(members::Column::Id, "link")
            .column_as(members::Column::ReadShown, "read_shown")
            .into_tuple()
            .all(self.reads())
            .await?;
        let end = |(conversation, low, high, link, read_shown): Row| {
            let with = UserId::new(other(user, low?, high?));
            let conversation = ConversationId::new(conversation);
            Some(OwnEnd { conversation, with, link, read_shown })
        };
        Ok(rows.into_iter().filter_map(end).collect())
    }

    /// How many shown messages of others somebody has not seen at these ends; each count stops at a thousand.
    async fn count_unread(
        &self,
        user: UserId,
        ends: &[OwnEnd],
        counts: &mut HashMap<ConversationId, usize>,
    ) -> Result<(), StoreError> {
        let links = || ends.iter().map(|end| end.link);
        let mut stored = ranges_of(self.reads(), &links().collect::<Vec<_>>()).await?;
        let marks: HashMap<_, _> = ends
            .iter()
            .map(|end| {
                let ranges = stored.remove(&end.link).unwrap_or_default();
                (end.link, Marks::new(end.read_shown, ranges))
            })
            .collect();
        let by_conversation: HashMap<_, _> =
            ends.iter().map(|end| (end.conversation.get(), end)).collect();
        let mut unread: HashMap<ConversationId, BTreeSet<i64>> = HashMap::new();
        for statement in [posted_behind(links()), completed_behind(links())] {
            for row in self.reads().query_all(&statement).await? {
                let (conversation, place, sender): (i64, i64, i64) =
                    (row.try_get_by_index(0)?, row.try_get_by_index(1)?, row.try_get_by_index(2)?);
                let Some(end) = by_conversation.get(&conversation) else { continue };
                // In a dialog with oneself, one's own are those of the other end.
                let is_others = sender != user.get() || end.with == user;
                if is_others && !marks.get(&end.link).is_some_and(|marks| marks.covers(place)) {
                    unread.entry(end.conversation).or_default().insert(place);
                }
            }
        }
        counts.extend(unread.into_iter().map(|(id, places)| (id, places.len().min(MOST))));
        Ok(())
    }

    async fn marks_of(&self, member: &members::Model) -> Result<Marks, StoreError> {
        let stored = ranges(self.reads(), LinkId::new(member.id)).await?;
        let places = stored.iter().map(|row| (row.low, row.high)).collect();
        Ok(Marks::new(member.read_shown, places))
    }
}
