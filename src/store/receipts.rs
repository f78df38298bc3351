//! How far readers have come: a cursor per member, which only moves forward.
//!
//! Cursors count in `shown`. What a cursor cannot say, messages read out of order, lies in
//! ranges above it, and disappears when the cursor passes.

use entity::{members, message_changes, messages, read_ranges};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect,
};

use super::{Changed, Store, StoreError, Tx};
use crate::domain::{Event, Kind, LinkId, MessageId, Receipt, Seq, Topic};
use crate::hub::{News, Notice};
use crate::policy::MayRead;

/// How many messages one step names at most, the newest.
const NAMED: usize = 500;

/// Where a reader's cursor goes.
struct Advance {
    from: i64,
    to: i64,
    seq: i64,
}

impl Store {
    /// Marks everything up to a place as read; tells of it if that is new.
    pub async fn mark_read(&self, permit: MayRead, seq: Seq) -> Result<(), StoreError> {
        let Some(link) = permit.link() else { return Ok(()) };
        let now = self.clock().now().micros();
        self.change(async |tx| {
            let Some(step) = self.advance(tx, &permit, link, seq).await? else {
                return Ok(Changed::quietly(()));
            };
            let ranges = read_ranges::Entity::find()
                .filter(read_ranges::Column::MemberId.eq(link.get()))
                .all(tx)
                .await?;
            let covered = |place: i64| ranges.iter().any(|r| (r.low..=r.high).contains(&place));
            let messages = newly_read(tx, &permit, &step, covered).await?;
            // A range that the cursor runs into carries it on.
            let to = ranges
                .iter()
                .filter(|range| range.low <= step.to + 1)
                .map(|range| range.high)
                .fold(step.to, i64::max);
            read_ranges::Entity::delete_many()
                .filter(read_ranges::Column::MemberId.eq(link.get()))
                .filter(read_ranges::Column::Low.lte(to))
                .exec(tx)
                .await?;
            let row = members::ActiveModel {
                read_shown: Set(to),
                read_seq: Set(step.seq),
                read_at: Set(Some(now)),
                ..Default::default()
            };
            members::Entity::update_many()
                .set(row)
                .filter(members::Column::Id.eq(link.get()))
                .exec(tx)
                .await?;
            let news = self.tell_step(tx, &permit, messages, step.seq).await?;
            Ok(Changed { value: (), news })
        })
        .await
    }

    /// Where the cursor goes, if it moves.
    async fn advance(
        &self,
        tx: &Tx,
        permit: &MayRead,
        link: LinkId,
        seq: Seq,
    ) -> Result<Option<Advance>, StoreError> {
        let Some(member) = members::Entity::find_by_id(link.get()).one(tx).await? else {
            return Ok(None);
        };
        let newest = messages::Entity::find()
            .filter(messages::Column::ConversationId.eq(permit.conversation().get()))
            .filter(messages::Column::Seq.lte(seq.get()))
            .order_by_desc(messages::Column::Seq)
            .one(tx)
            .await?;
        // A message that is not shown yet stands for its own id.
        let place = newest.map(|row| (row.shown.unwrap_or(row.id), row.seq));
        Ok(place.filter(|(place, _)| *place > member.read_shown).map(|(to, seq)| Advance {
            from: member.read_shown,
            to,
            seq: seq.max(member.read_seq),
        }))
    }

    async fn tell_step(
        &self,
        db: &impl ConnectionTrait,
        permit: &MayRead,
        messages: Vec<MessageId>,
        up_to: i64,
    ) -> Result<News, StoreError> {
        let conversation = permit.conversation();
        let event = Event::ReceiptAdvanced {
            conversation,
            reader: self.face(db, permit.reader()).await?,
            to: Receipt::Seen,
            messages,
            up_to: Seq::new(up_to),
            direct: permit.kind() == Kind::Direct,
        };
        let notice = Notice::new([Topic::Conversation(conversation)], event);
        Ok(News::none().conversation(conversation, notice))
    }
}

/// The messages of others that a step marks for the first time, ascending.
async fn newly_read(
    tx: &Tx,
    permit: &MayRead,
    step: &Advance,
    covered: impl Fn(i64) -> bool,
) -> Result<Vec<MessageId>, StoreError> {
    let conversation = permit.conversation().get();
    let mut found = messages::Entity::find()
        .filter(messages::Column::ConversationId.eq(conversation))
        .filter(messages::Column::Seq.between((step.seq - NAMED as i64).max(0) + 1, step.seq))
        .all(tx)
        .await?;
    // What was completed late stands far from its `seq`.
    let late = message_changes::Entity::find()
        .filter(message_changes::Column::ConversationId.eq(conversation))
        .filter(message_changes::Column::Shown.gt(step.from))
        .filter(message_changes::Column::Shown.lte(step.to))
        .order_by_desc(message_changes::Column::Shown)
        .limit(NAMED as u64)
        .all(tx)
        .await?;
    if !late.is_empty() {
        let ids = late.iter().map(|change| change.message_id);
        found.extend(
            messages::Entity::find().filter(messages::Column::Id.is_in(ids)).all(tx).await?,
        );
    }
    let own = permit.reader().to_db();
    let mut places: Vec<_> = found
        .into_iter()
        .filter(|row| row.sender != own && row.deleted_at.is_none())
        .filter_map(|row| row.shown.map(|place| (place, row.id)))
        .filter(|(place, _)| *place > step.from && *place <= step.to && !covered(*place))
        .collect();
    places.sort_unstable();
    places.dedup();
    let skip = places.len().saturating_sub(NAMED);
    Ok(places.into_iter().skip(skip).map(|(_, id)| MessageId::new(id)).collect())
}
