//! How far messages have reached their readers, as their connections prove it.
//!
//! Each step is told once, to the authors alone. The cursors are written with the log's next
//! batch; what is known here lies over the rows until then, for everybody who asks.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use entity::{members, messages};
use moka::sync::Cache;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use tokio::sync::Mutex;

use super::conversations::living;
use super::marks::Marks;
use super::messages::head;
use super::receipts::{late_between, marked, ranges, ranges_of};
use super::shown::seq_at;
use super::{Store, StoreError};
use crate::domain::{
    ConversationId, Event, Kind, LinkId, Marked, Place, Principal, Receipt, Seq, Topic, UserId,
};
use crate::hub::{News, Notice};
use crate::policy::MayRead;

/// How many memberships are kept.
const KEPT: u64 = 100_000;
/// How many messages one step names at most, the newest.
const NAMED: usize = 500;

/// Cursors that were moved lately.
pub(super) struct DeliveredMarks(Cache<LinkId, Arc<Cursors>>);

/// Up to where messages have reached one member.
#[derive(Default)]
struct Cursors {
    /// By any dialect; whoever has it moves it.
    delivered: Mutex<Option<i64>>,
    /// By courier clients.
    courier: AtomicI64,
}

impl Default for DeliveredMarks {
    fn default() -> Self {
        Self(Cache::new(KEPT))
    }
}

impl DeliveredMarks {
    fn of(&self, link: LinkId) -> Arc<Cursors> {
        self.0.get_with(link, Arc::default)
    }
}

impl Store {
    /// Everything up to a place has reached a reader. Tells the authors of what is new, and
    /// says whether anything is; the caller lets the log write it down.
    pub(super) async fn deliver(&self, permit: &MayRead, to: Place) -> Result<bool, StoreError> {
        let Some(link) = permit.link() else { return Ok(false) };
        let cursors = self.delivered_marks().of(link);
        let mut cursor = cursors.delivered.lock().await;
        let to = to.get();
        if cursor.is_some_and(|known| to <= known) {
            return Ok(false);
        }
        let Some(row) = members::Entity::find_by_id(link.get()).one(self.reads()).await? else {
            return Ok(false);
        };
        let from = cursor.unwrap_or(0).max(row.delivered_shown);
        *cursor = Some(from.max(to));
        if to <= from {
            return Ok(false);
        }
        if self.is_anybody_told(permit).await? {
            let newly = self.newly_delivered(permit, &row, from, to).await?;
            self.tell_delivered(permit, newly).await?;
        }
        Ok(true)
    }

    /// Everything up to a place has reached a courier client; says whether that is new.
    pub(super) fn deliver_by_courier(&self, link: LinkId, to: Place) -> bool {
        self.delivered_marks().of(link).courier.fetch_max(to.get(), Ordering::SeqCst) < to.get()
    }

    /// Up to where a member's messages have lately reached a courier client.
    pub(super) fn courier_to(&self, link: LinkId) -> i64 {
        let known = self.delivered_marks().0.get(&link);
        known.map_or(0, |cursors| cursors.courier.load(Ordering::SeqCst))
    }

    /// Up to where everything has reached a reader.
    pub async fn delivered_place(&self, permit: &MayRead) -> Result<Place, StoreError> {
        let Some(link) = permit.link() else { return Ok(Place::new(0)) };
        let row = members::Entity::find_by_id(link.get()).one(self.reads()).await?;
        let stored = row.map_or(0, |row| row.delivered_shown);
        Ok(Place::new(self.delivered_to(link, stored).await))
    }

    /// The delivered cursor of a membership whose row says this.
    pub(super) async fn delivered_to(&self, link: LinkId, stored: i64) -> i64 {
        match self.delivered_marks().0.get(&link) {
            Some(cursors) => cursors.delivered.lock().await.unwrap_or(0).max(stored),
            None => stored,
        }
    }

    /// Most steps concern nobody who is there.
    async fn is_anybody_told(&self, permit: &MayRead) -> Result<bool, StoreError> {
        let members = self.audience(permit.conversation()).await?;
        let others = members.members.iter().map(|member| Principal::User(*member));
        let others = others.filter(|other| *other != permit.reader()).map(Topic::Inbox);
        Ok(!self.hub().heard(others).is_empty())
    }

    /// What others wrote behind one place and up to another, as far as it is not seen.
    async fn newly_delivered(
        &self,
        permit: &MayRead,
        row: &members::Model,
        from: i64,
        to: i64,
    ) -> Result<Vec<(i64, Seq, Marked)>, StoreError> {
        let (db, conversation) = (self.reads(), permit.conversation());
        let (last_seq, _) = head(db, conversation).await?;
        let last = seq_at(db, conversation, last_seq, to).await?;
        let mut found = messages::Entity::find()
            .filter(messages::Column::ConversationId.eq(conversation.get()))
            .filter(
                messages::Column::Seq.between((last - NAMED as i64).max(row.joined_seq) + 1, last),
            )
            .filter(messages::Column::Id.gt(from))
            .all(db)
            .await?;
        found.extend(late_between(db, conversation, from + 1, to, Some(NAMED)).await?);
        let stored = ranges(db, LinkId::new(row.id)).await?;
        let seen =
            Marks::new(row.read_shown, stored.iter().map(|row| (row.low, row.high)).collect());
        let own = permit.reader().to_db();
        let mut newly = Vec::new();
        for row in found.iter().filter(|row| row.sender != own && row.deleted_at.is_none()) {
            match row.shown {
                Some(place) if place > from && place <= to && !seen.covers(place) => {
                    newly.push((place, Seq::new(row.seq), marked(row)?));
                }
                _ => {}
            }
        }
        newly.sort_unstable_by_key(|(place, ..)| *place);
        newly.dedup_by_key(|(place, ..)| *place);
        newly.drain(..newly.len().saturating_sub(NAMED));
        Ok(newly)
    }

    async fn tell_delivered(
        &self,
        permit: &MayRead,
        newly: Vec<(i64, Seq, Marked)>,
    ) -> Result<(), StoreError> {
        let conversation = permit.conversation();
        let mut by_author: BTreeMap<Principal, (Seq, Vec<Marked>)> = BTreeMap::new();
        for (_, seq, marked) in newly {
            let (up_to, messages) =
                by_author.entry(marked.author).or_insert_with(|| (seq, Vec::new()));
            *up_to = seq.max(*up_to);
            messages.push(marked);
        }
        if by_author.is_empty() {
            return Ok(());
        }
        let reader = self.face(self.reads(), permit.reader()).await?;
        let at = self.clock().now();
        let mut news = News::none();
        for (author, (up_to, messages)) in by_author {
            let event = Event::ReceiptAdvanced {
                conversation,
                reader: reader.clone(),
                to: Receipt::Delivered,
                messages,
                up_to,
                direct: permit.kind() == Kind::Direct,
                at,
            };
            news = news.conversation(conversation, Notice::new([Topic::Inbox(author)], event));
        }
        self.tell(news).await;
        Ok(())
    }
}

/// How far a message has come with the members of its conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reception {
    /// Who.
    pub user: UserId,
    /// The furthest step, if there was one.
    pub receipt: Option<Receipt>,
}

impl Store {
    /// How far messages of one conversation, given by seq and place, have come with each
    /// living member to whom they were addressed.
    pub async fn receptions(
        &self,
        conversation: ConversationId,
        author: Principal,
        places: &[(Seq, Place)],
    ) -> Result<Vec<Vec<Reception>>, StoreError> {
        let mut receptions = vec![Vec::new(); places.len()];
        let rows = living(self.reads(), conversation).await?;
        let links: Vec<_> = rows.iter().map(|row| row.id).collect();
        let mut stored = ranges_of(self.reads(), &links).await?;
        for row in rows {
            let (user, link) = (UserId::new(row.user_id), LinkId::new(row.id));
            if Principal::User(user) == author {
                continue;
            }
            let seen = Marks::new(row.read_shown, stored.remove(&row.id).unwrap_or_default());
            let delivered = self.delivered_to(link, row.delivered_shown).await;
            for (index, (seq, place)) in places.iter().enumerate() {
                if seq.get() <= row.joined_seq {
                    continue;
                }
                let receipt = if seen.covers(place.get()) {
                    Some(Receipt::Seen)
                } else {
                    (place.get() <= delivered).then_some(Receipt::Delivered)
                };
                receptions[index].push(Reception { user, receipt });
            }
        }
        Ok(receptions)
    }
}
