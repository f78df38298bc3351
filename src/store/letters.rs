//! What waits for a courier client, and the groups that such clients make.
//!
//! What waits is what lies behind a cursor of its own in each membership; the first connection
//! of a user starts these cursors where other dialects have come.

use std::collections::HashSet;

use entity::{conversations, group_refs, members, users};
use sea_orm::sea_query::{Expr, Func};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, QueryFilter, QueryOrder,
};

use super::conversations::{NAMED, conversation, find_conversation, kind_to_db};
use super::log::key;
use super::marks::Marks;
use super::memberships::{admit, changed_for};
use super::openings::{found, row};
use super::receipts::ranges;
use super::rooms::listed_for_all;
use super::{Changed, Store, StoreError};
use crate::domain::{
    Access, ClientRef, Collecting, Conversation, ConversationChange, ConversationId, Dialect, Kind,
    LinkId, Listing, Place, Principal, Role, Seq, Shown, Timestamp, UserId,
};
use crate::policy::MayGather;

/// Messages of all memberships together that are read for one page.
const READ: usize = 400;

/// A page of what waits for somebody.
#[derive(Debug)]
pub struct Waiting {
    /// In the order of their places, each with the kind of its conversation.
    pub messages: Vec<(Kind, Shown)>,
    /// Where to read on, if there may be more.
    pub next: Option<Collecting>,
}

/// What was found of several conversations, in no order.
#[derive(Default)]
struct Found {
    messages: Vec<(Place, Kind, Shown)>,
    /// Up to here every conversation was read, if some may have more.
    bound: Option<i64>,
    /// Those that may have more.
    unfinished: HashSet<ConversationId>,
}

impl Found {
    fn stop_at(&mut self, place: i64) {
        self.bound = Some(self.bound.map_or(place, |bound| bound.min(place)));
    }

    /// As much as is complete and fits, in the order of places.
    fn page(mut self, limit: usize) -> Waiting {
        self.messages.sort_unstable_by_key(|(place, ..)| *place);
        if self.messages.len() > limit {
            self.stop_at(self.messages[limit - 1].0.get());
        }
        let mut next = None;
        if let Some(bound) = self.bound {
            let fits = self.messages.partition_point(|(place, ..)| place.get() <= bound);
            for (_, _, one) in self.messages.drain(fits..) {
                self.unfinished.insert(one.message.conversation);
            }
            let mut from: Vec<_> = self.unfinished.into_iter().collect();
            from.sort_unstable();
            next = Some(Collecting { from: Some(from), after: Place::new(bound) });
        }
        let messages = self.messages.into_iter().map(|(_, kind, one)| (kind, one)).collect();
        Waiting { messages, next }
    }
}

impl Store {
    /// Notes that a user has connected with a courier client; from the first time on, what
    /// other dialects deliver waits for that client as well.
    pub async fn begin_courier(&self, user: UserId) -> Result<(), StoreError> {
        let row = users::Entity::find_by_id(user.get()).one(self.reads()).await?;
        if row.is_none_or(|row| row.courier_since.is_some()) {
            return Ok(());
        }
        let now = self.clock().now().micros();
        self.write(async |tx| {
            let begun = users::Entity::update_many()
                .col_expr(users::Column::CourierSince, Expr::value(now))
                .filter(users::Column::Id.eq(user.get()))
                .filter(users::Column::CourierSince.is_null())
                .exec(tx)
                .await?;
            if begun.rows_affected > 0 {
                let column = |column| Expr::col(column);
                let places = [
                    column(members::Column::CourierShown),
                    column(members::Column::DeliveredShown),
                    column(members::Column::ReadShown),
                ];
                // SQLite's greatest of several is called otherwise.
                let furthest: Expr = match tx.get_database_backend() {
                    DbBackend::Sqlite => Func::cust("MAX").args(places).into(),
                    _ => Func::greatest(places).into(),
                };
                members::Entity::update_many()
                    .col_expr(members::Column::CourierShown, furthest)
                    .filter(members::Column::UserId.eq(user.get()))
                    .filter(members::Column::Live.eq(1))
                    .exec(tx)
                    .await?;
            }
            Ok(())
        })
        .await
    }

    /// The next messages that wait for a user, over all direct conversations and groups: those
    /// that no courier client of the user's has shown, or (`once`) no client at all.
    pub async fn list_waiting(
        &self,
        user: UserId,
        collecting: &Collecting,
        limit: u32,
        once: bool,
    ) -> Result<Waiting, StoreError> {
        let memberships = self.memberships(user, collecting.from.as_deref()).await?;
        let row = users::Entity::find_by_id(user.get()).one(self.reads()).await?;
        let since = row.and_then(|row| row.courier_since).map(Timestamp::from_micros);
        // Most have nothing that waits, and are not looked into.
        let named: Vec<_> = memberships.iter().map(|(_, conversation)| conversation.id).collect();
        let tips = self.tips(&named).await?;
        let mut behind = Vec::new();
        for (member, conversation) in memberships {
            let from = self.waits_from(&member, once).await.max(collecting.after.get());
            if tips.get(&conversation.id).is_some_and(|tip| !tip.is_reached_by(from)) {
                behind.push((member, conversation, from));
            }
        }
        let each = (READ / behind.len().max(1)).max(5).min(limit as usize) as u32;
        let mut found = Found::default();
        for (member, conversation, from) in &behind {
            let page = self
                .page_after(conversation.id, conversation.kind, Place::new(*from), each)
                .await?;
            if page.more {
                found.stop_at(page.reached.get());
                found.unfinished.insert(conversation.id);
            }
            if page.messages.is_empty() {
                continue;
            }
            let stored = ranges(self.reads(), LinkId::new(member.id)).await?;
            let seen = Marks::new(0, stored.iter().map(|row| (row.low, row.high)).collect());
            for one in page.messages {
                let message = &one.message;
                let Some(place) = message.place else { continue };
                let before_us = once || since.is_none_or(|since| message.sent < since);
                let addressed = message.author != Principal::User(user)
                    && message.seq > Seq::new(member.joined_seq);
                if addressed && !(before_us && seen.covers(place.get())) {
                    found.messages.push((place, conversation.kind, one));
                }
            }
        }
        Ok(found.page(limit as usize))
    }

    /// Up to where a membership's messages wait no more.
    async fn waits_from(&self, member: &members::Model, once: bool) -> i64 {
        let link = LinkId::new(member.id);
        if once {
            return self.delivered_to(link, member.delivered_shown).await.max(member.read_shown);
        }
        self.courier_to(link).max(member.courier_shown)
    }

    /// A user's places in direct conversations and groups; of these, if some are named.
    async fn memberships(
        &self,
        user: UserId,
        of: Option<&[ConversationId]>,
    ) -> Result<Vec<(members::Model, Conversation)>, StoreError> {
        let mut wanted = members::Entity::find()
            .find_also_related(conversations::Entity)
            .filter(members::Column::UserId.eq(user.get()))
            .filter(members::Column::Live.eq(1))
            .filter(conversations::Column::DeletedAt.is_null())
            .filter(conversations::Column::Kind.ne(kind_to_db(Kind::Room)))
            .order_by_asc(members::Column::Id);
        // Many are sifted here: one statement may name only so many.
        let few = of.filter(|of| of.len() <= NAMED);
        if let Some(few) = few {
            let ids = few.iter().map(|id| id.get());
            wanted = wanted.filter(members::Column::ConversationId.is_in(ids));
        }
        let rows = wanted.all(self.reads()).await?;
        let of: Option<HashSet<_>> = of.map(|of| of.iter().map(|id| id.get()).collect());
        rows.into_iter()
            .filter(|(row, _)| of.as_ref().is_none_or(|of| of.contains(&row.conversation_id)))
            .filter_map(|(row, found)| Some(conversation(found?).map(|found| (row, found))))
            .collect()
    }

    /// A user's conversations that have come into being; rooms as far as they are open.
    pub async fn list_letter_conversations(
        &self,
        user: UserId,
    ) -> Result<Vec<Conversation>, StoreError> {
        let is_staff = self.find_user(user).await?.is_some_and(|user| user.is_staff());
        let all = self.list_memberships(user).await?.into_iter();
        let all = all.map(|(_, conversation)| conversation);
        Ok(all.filter(|found| is_staff || found.access != Access::Staff).collect())
    }

    /// Makes a group without a circle; the same name of the same user makes one. All but its
    /// maker are told.
    pub async fn gather(
        &self,
        permit: MayGather,
        title: &str,
        description: &str,
        reference: Option<&ClientRef>,
    ) -> Result<ConversationId, StoreError> {
        let now = self.clock().now();
        let creator = Principal::User(permit.creator());
        let named = reference.map(|reference| key(Dialect::Courier, reference.as_str()));
        let new = conversations::ActiveModel {
            description: Set(description.to_owned()),
            creator: Set(Some(creator.to_db())),
            ..row(Kind::Group, Access::Members, title, now)
        };
        let made = self
            .change(async |tx| {
                if let Some(named) = &named
                    && let Some(known) = find_named(tx, creator, named).await?
                {
                    return Ok(Changed::quietly(known));
                }
                let id = found(tx, new).await?;
                admit(tx, now, id, permit.creator(), Role::Admin).await?;
                for other in permit.others() {
                    admit(tx, now, id, *other, Role::Standard).await?;
                }
                if let Some(named) = &named {
                    let row = group_refs::ActiveModel {
                        creator: Set(creator.to_db()),
                        client_key: Set(named.to_vec()),
                        conversation_id: Set(id.get()),
                        ..Default::default()
                    };
                    group_refs::Entity::insert(row).exec_without_returning(tx).await?;
                }
                let mut news = crate::hub::News::none().bringing([creator]);
                for other in permit.others() {
                    let other = Principal::User(*other);
                    news.append(changed_for(other, id, ConversationChange::Invited(other)));
                }
                if let Some(room) = find_conversation(tx, id).await? {
                    news.append(listed_for_all(tx, &room, Listing::Added).await?);
                }
                Ok(Changed { value: id, news })
            })
            .await;
        match (made, named) {
            // Another node was faster.
            (Err(StoreError::Duplicate { .. }), Some(named)) => {
                let known = find_named(self.reads(), creator, &named).await?;
                known.ok_or_else(|| StoreError::Impossible {
                    table: "group_refs",
                    what: "a name is taken and cannot be found".to_owned(),
                })
            }
            (other, _) => other,
        }
    }
}

async fn find_named(
    db: &impl ConnectionTrait,
    creator: Principal,
    named: &[u8; 16],
) -> Result<Option<ConversationId>, StoreError> {
    let row = group_refs::Entity::find()
        .filter(group_refs::Column::Creator.eq(creator.to_db()))
        .filter(group_refs::Column::ClientKey.eq(named.to_vec()))
        .one(db)
        .await?;
    Ok(row.map(|row| ConversationId::new(row.conversation_id)))
}
