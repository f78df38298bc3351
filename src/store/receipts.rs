//! How far readers have seen: a cursor per member, which only moves forward.
//!
//! Cursors count in `shown`. What a cursor cannot say, messages read out of order, lies in
//! ranges above it, and disappears when the cursor passes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use entity::{members, message_changes, messages, read_ranges};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
};

use super::conversations::NAMED as MANY;
use super::marks::{Marks, Window};
use super::messages::head;
use super::shown::seq_at;
use super::{Changed, Store, StoreError, Tx};
use crate::domain::{
    ConversationId, Dialect, Event, Kind, LinkId, Marked, MessageId, Place, Principal, Receipt,
    Seq, Topic,
};
use crate::hub::{News, Notice};
use crate::policy::MayRead;

/// How many messages one step names at most, the newest.
const NAMED: usize = 500;
/// How far around a marked message it is looked for others that are marked.
const AROUND: i64 = 100;
/// How far behind the cursor it is looked for what is marked.
const AHEAD: i64 = 500;

/// A member as it is within a transaction, and what it has marked.
struct Reader {
    row: members::Model,
    stored: Vec<read_ranges::Model>,
    marks: Marks,
}

impl Store {
    /// Marks everything up to a place as seen; tells of it, and answers how far that is, if it
    /// is new.
    pub async fn mark_read(&self, permit: MayRead, seq: Seq) -> Result<Option<Seq>, StoreError> {
        let Some(link) = permit.link() else { return Ok(None) };
        self.change(async |tx| {
            let Some(mut reader) = Reader::load(tx, link).await? else {
                return Ok(Changed::quietly(None));
            };
            let newest = messages::Entity::find()
                .filter(messages::Column::ConversationId.eq(permit.conversation().get()))
                .filter(messages::Column::Seq.lte(seq.get()))
                .order_by_desc(messages::Column::Seq)
                .one(tx)
                .await?;
            // A message that is not shown yet stands for its own id.
            let place = newest.map(|row| (row.shown.unwrap_or(row.id), row.seq));
            let Some((to, seq)) = place.filter(|(to, _)| *to > reader.marks.cursor) else {
                return Ok(Changed::quietly(None));
            };
            let newly = newly_read(tx, &permit, &reader, to, seq).await?;
            reader.marks.raise(to);
            let up_to = self.keep(tx, &permit, &mut reader, Some(seq)).await?;
            let news = self.tell_step(tx, &permit, newly, up_to).await?;
            Ok(Changed { value: Some(up_to), news })
        })
        .await
    }

    /// The same, up to the place that a connection has shown.
    pub async fn mark_shown_as_read(
        &self,
        permit: MayRead,
        place: Place,
    ) -> Result<Option<Seq>, StoreError> {
        let conversation = permit.conversation();
        let (last_seq, _) = head(self.reads(), conversation).await?;
        let seq = seq_at(self.reads(), conversation, last_seq, place.get()).await?;
        self.mark_read(permit, Seq::new(seq)).await
    }

    /// Marks those of the named messages that were addressed to the reader; tells of what is
    /// new. A courier client that has seen a message has received what came before it.
    pub async fn mark_seen(
        &self,
        permit: MayRead,
        named: &[MessageId],
        dialect: Dialect,
    ) -> Result<(), StoreError> {
        let Some(link) = permit.link() else { return Ok(()) };
        let conversation = permit.conversation();
        self.change(async |tx| {
            let Some(mut reader) = Reader::load(tx, link).await? else {
                return Ok(Changed::quietly(()));
            };
            let addressed = addressed(tx, &permit, &reader, named).await?;
            let (last_seq, _) = head(tx, conversation).await?;
            let (mut newly, mut anchors) = (Vec::new(), Vec::new());
            for (place, row) in &addressed {
                if reader.marks.add(*place) {
                    newly.push(marked(row)?);
                    anchors.push(if *place == row.id {
                        row.seq
                    } else {
                        seq_at(tx, conversation, last_seq, *place).await?
                    });
                }
            }
            let own = skipped(&permit);
            for (low, high) in clusters(anchors) {
                reader.marks.settle(&window(tx, conversation, own, (low, high), last_seq).await?);
            }
            let up_to = if newly.is_empty() {
                Seq::new(reader.row.read_seq)
            } else {
                self.keep(tx, &permit, &mut reader, None).await?
            };
            if dialect == Dialect::Courier {
                let seen = addressed.iter().map(|(place, _)| *place);
                let to = seen.filter(|place| *place <= reader.marks.cursor).max();
                raise_courier(tx, link, to.unwrap_or_default()).await?;
            }
            if newly.is_empty() {
                return Ok(Changed::quietly(()));
            }
            newly.drain(..newly.len().saturating_sub(NAMED));
            Ok(Changed { value: (), news: self.tell_step(tx, &permit, newly, up_to).await? })
        })
        .await
    }

    /// Writes down what a reader has marked by now; answers with the seq of the cursor.
    async fn keep(
        &self,
        tx: &Tx,
        permit: &MayRead,
        reader: &mut Reader,
        seq: Option<i64>,
    ) -> Result<Seq, StoreError> {
        let conversation = permit.conversation();
        let (last_seq, _) = head(tx, conversation).await?;
        if !reader.marks.ranges.is_empty() {
            let low = seq_at(tx, conversation, last_seq, reader.marks.cursor).await?;
            let own = skipped(permit);
            let ahead = window(tx, conversation, own, (low, low + AHEAD), last_seq).await?;
            reader.marks.settle(&ahead);
        }
        let kept: BTreeSet<_> = reader.marks.ranges.iter().copied().collect();
        let known: BTreeSet<_> = reader.stored.iter().map(|row| (row.low, row.high)).collect();
        let gone = reader.stored.iter().filter(|row| !kept.contains(&(row.low, row.high)));
        for ids in gone.map(|row| row.id).collect::<Vec<_>>().chunks(MANY) {
            read_ranges::Entity::delete_many()
                .filter(read_ranges::Column::Id.is_in(ids.iter().copied()))
                .exec(tx)
                .await?;
        }
        for (low, high) in kept.difference(&known) {
            let row = read_ranges::ActiveModel {
                member_id: Set(reader.row.id),
                low: Set(*low),
                high: Set(*high),
                ..Default::default()
            };
            read_ranges::Entity::insert(row).exec_without_returning(tx).await?;
        }
        let cursor = reader.marks.cursor;
        if cursor == reader.row.read_shown {
            return Ok(Seq::new(reader.row.read_seq));
        }
        let reached = seq_at(tx, conversation, last_seq, cursor).await?;
        let read_seq = reached.max(reader.row.read_seq).max(seq.unwrap_or_default());
        let row = members::ActiveModel {
            read_shown: Set(cursor),
            read_seq: Set(read_seq),
            read_at: Set(Some(self.clock().now().micros())),
            ..Default::default()
        };
        members::Entity::update_many()
            .set(row)
            .filter(members::Column::Id.eq(reader.row.id))
            .exec(tx)
            .await?;
        Ok(Seq::new(read_seq))
    }

    async fn tell_step(
        &self,
        db: &impl ConnectionTrait,
        permit: &MayRead,
        messages: Vec<Marked>,
        up_to: Seq,
    ) -> Result<News, StoreError> {
        let conversation = permit.conversation();
        let event = Event::ReceiptAdvanced {
            conversation,
            reader: self.face(db, permit.reader()).await?,
            to: Receipt::Seen,
            messages,
            up_to,
            direct: permit.kind() == Kind::Direct,
            at: self.clock().now(),
        };
        let notice = Notice::new([Topic::Conversation(conversation)], event);
        Ok(News::none().conversation(conversation, notice))
    }
}

impl Store {
    /// Where the named messages are, by conversation.
    pub async fn conversations_of_messages(
        &self,
        named: &[MessageId],
    ) -> Result<BTreeMap<ConversationId, Vec<MessageId>>, StoreError> {
        let mut found: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for ids in named.chunks(MANY) {
            let rows: Vec<(i64, i64)> = messages::Entity::find()
                .select_only()
                .columns([messages::Column::ConversationId, messages::Column::Id])
                .filter(messages::Column::Id.is_in(ids.iter().map(|id| id.get())))
                .into_tuple()
                .all(self.reads())
                .await?;
            for (conversation, id) in rows {
                let here = found.entry(ConversationId::new(conversation)).or_default();
                here.push(MessageId::new(id));
            }
        }
        Ok(found)
    }
}

impl Reader {
    async fn load(tx: &Tx, link: LinkId) -> Result<Option<Self>, StoreError> {
        // Locked, so that two nodes do not take steps from the same place.
        let row = members::Entity::find_by_id(link.get())
            .filter(members::Column::Live.eq(1))
            .lock_exclusive()
            .one(tx)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let stored = ranges(tx, link).await?;
        let places = stored.iter().map(|row| (row.low, row.high)).collect();
        let marks = Marks::new(row.read_shown, places);
        Ok(Some(Self { row, stored, marks }))
    }
}

/// What a member has marked beyond its cursor.
pub(super) async fn ranges(
    db: &impl ConnectionTrait,
    link: LinkId,
) -> Result<Vec<read_ranges::Model>, StoreError> {
    let member = read_ranges::Column::MemberId.eq(link.get());
    Ok(read_ranges::Entity::find().filter(member).all(db).await?)
}

/// The same of many members.
pub(super) async fn ranges_of(
    db: &impl ConnectionTrait,
    links: &[i64],
) -> Result<HashMap<i64, Vec<(i64, i64)>>, StoreError> {
    let mut found: HashMap<_, Vec<_>> = HashMap::new();
    for links in links.chunks(MANY) {
        let rows = read_ranges::Entity::find()
            .filter(read_ranges::Column::MemberId.is_in(links.iter().copied()))
            .all(db)
            .await?;
        for row in rows {
            found.entry(row.member_id).or_default().push((row.low, row.high));
        }
    }
    Ok(found)
}

/// Everything up to a place has reached the reader's courier client.
async fn raise_courier(tx: &Tx, link: LinkId, to: i64) -> Result<(), StoreError> {
    members::Entity::update_many()
        .set(members::ActiveModel { courier_shown: Set(to), ..Default::default() })
        .filter(members::Column::Id.eq(link.get()))
        .filter(members::Column::CourierShown.lt(to))
        .exec(tx)
        .await?;
    Ok(())
}

/// A message as a step names it.
pub(super) fn marked(row: &messages::Model) -> Result<Marked, StoreError> {
    let author = Principal::from_db(row.sender, "messages")?;
    Ok(Marked { message: MessageId::new(row.id), author })
}

/// The `sender` of messages that the reader does not mark; no account is zero.
fn skipped(permit: &MayRead) -> i64 {
    permit.skipped().map_or(0, Principal::to_db)
}

/// Those of the named messages that others wrote here while the reader was a member, in the
/// order of their places.
async fn addressed(
    tx: &Tx,
    permit: &MayRead,
    reader: &Reader,
    named: &[MessageId],
) -> Result<Vec<(i64, messages::Model)>, StoreError> {
    let mut found = Vec::new();
    for ids in named.chunks(MANY) {
        let rows = messages::Entity::find()
            .filter(messages::Column::Id.is_in(ids.iter().map(|id| id.get())))
            .filter(messages::Column::ConversationId.eq(permit.conversation().get()))
            .filter(messages::Column::Sender.ne(skipped(permit)))
            .filter(messages::Column::Seq.gt(reader.row.joined_seq))
            .filter(messages::Column::DeletedAt.is_null())
            .all(tx)
            .await?;
        found.extend(rows.into_iter().filter_map(|row| row.shown.map(|place| (place, row))));
    }
    found.sort_unstable_by_key(|(place, _)| *place);
    found.dedup_by_key(|(place, _)| *place);
    Ok(found)
}

/// Stretches of seqs around marked messages; what lies close together shares one.
fn clusters(mut anchors: Vec<i64>) -> Vec<(i64, i64)> {
    anchors.sort_unstable();
    let mut stretches: Vec<(i64, i64)> = Vec::new();
    for anchor in anchors {
        let (low, high) = ((anchor - AROUND).max(1), anchor + AROUND);
        match stretches.last_mut() {
            Some(last) if low <= last.1 => last.1 = high,
            _ => stretches.push((low, high)),
        }
    }
    stretches
}

/// What there is to mark in a stretch of seqs.
async fn window(
    tx: &Tx,
    conversation: ConversationId,
    own: i64,
    (first, last): (i64, i64),
    last_seq: i64,
) -> Result<Window, StoreError> {
    let rows = messages::Entity::find()
        .filter(messages::Column::ConversationId.eq(conversation.get()))
        .filter(messages::Column::Seq.between(first, last))
        .order_by_asc(messages::Column::Seq)
        .all(tx)
        .await?;
    let low = rows.first().filter(|_| first > 1).map_or(i64::MIN, |row| row.id);
    let high = rows.last().filter(|_| last < last_seq).map_or(i64::MAX, |row| row.id);
    let late = late_between(tx, conversation, low, high, None).await?;
    let others = rows
        .into_iter()
        .chain(late)
        .filter(|row| row.sender != own && row.deleted_at.is_none())
        .filter_map(|row| row.shown)
        .filter(|place| (low..=high).contains(place))
        .collect();
    Ok(Window { low, high, others })
}

/// What was completed late and appeared between these places, both included; the newest of it.
pub(super) async fn late_between(
    db: &impl ConnectionTrait,
    conversation: ConversationId,
    low: i64,
    high: i64,
    newest: Option<usize>,
) -> Result<Vec<messages::Model>, StoreError> {
    let changes = message_changes::Entity::find()
        .filter(message_changes::Column::ConversationId.eq(conversation.get()))
        .filter(message_changes::Column::Shown.gte(low))
        .filter(message_changes::Column::Shown.lte(high))
        .order_by_desc(message_changes::Column::Shown)
        .limit(newest.map(|newest| newest as u64))
        .all(db)
        .await?;
    let mut found = Vec::new();
    for changes in changes.chunks(MANY) {
        let ids = changes.iter().map(|change| change.message_id);
        let rows = messages::Entity::find().filter(messages::Column::Id.is_in(ids));
        found.extend(rows.all(db).await?);
    }
    Ok(found)
}

/// The messages of others that a step up to a place marks for the first time, ascending.
async fn newly_read(
    tx: &Tx,
    permit: &MayRead,
    reader: &Reader,
    to: i64,
    seq: i64,
) -> Result<Vec<Marked>, StoreError> {
    let conversation = permit.conversation();
    let mut found = messages::Entity::find()
        .filter(messages::Column::ConversationId.eq(conversation.get()))
        .filter(messages::Column::Seq.between((seq - NAMED as i64).max(0) + 1, seq))
        .all(tx)
        .await?;
    // What was completed late stands far from its `seq`.
    found.extend(late_between(tx, conversation, reader.marks.cursor + 1, to, Some(NAMED)).await?);
    let own = skipped(permit);
    let mut places: Vec<_> = found
        .into_iter()
        .filter(|row| row.sender != own && row.deleted_at.is_none())
        .filter_map(|row| row.shown.map(|place| (place, row)))
        .filter(|(place, _)| *place <= to && !reader.marks.covers(*place))
        .collect();
    places.sort_unstable_by_key(|(place, _)| *place);
    places.dedup_by_key(|(place, _)| *place);
    let skip = places.len().saturating_sub(NAMED);
    places.iter().skip(skip).map(|(_, row)| marked(row)).collect()
}
