//! How principals stand to conversations: read from several tables, and kept for a while.
//!
//! An entry counts only while nothing about its conversation, or about everybody, has
//! changed since the reading of it began; so a slow reader never brings back the past.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use entity::{conversations, devices, members, users};
use moka::sync::Cache;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};

use super::conversations::{conversation, role};
use super::{Store, StoreError};
use crate::domain::{Access, Conversation, ConversationId, Kind, LinkId, Principal, UserId};
use crate::policy::{Seat, Standing};

/// How many standings are kept.
const KEPT: u64 = 100_000;
/// Conversations share so many counters of changes; sharing costs a needless reading at most.
const STRIPES: usize = 1024;

/// A moment in the life of what is cached: changes of everything, and of one conversation.
pub(super) type Epoch = (u64, u64);

/// The standings that have been read, while they are true.
pub(super) struct Standings {
    cache: Cache<(Principal, ConversationId), (Epoch, Arc<Standing>)>,
    everything: AtomicU64,
    stripes: Box<[AtomicU64]>,
}

impl Default for Standings {
    fn default() -> Self {
        Self {
            cache: Cache::new(KEPT),
            everything: AtomicU64::new(0),
            stripes: (0..STRIPES).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl Standings {
    fn stripe(&self, conversation: ConversationId) -> &AtomicU64 {
        &self.stripes[conversation.get().unsigned_abs() as usize % STRIPES]
    }

    pub(super) fn epoch(&self, conversation: ConversationId) -> Epoch {
        let stripe = self.stripe(conversation).load(Ordering::SeqCst);
        (self.everything.load(Ordering::SeqCst), stripe)
    }

    fn find(&self, principal: Principal, conversation: ConversationId) -> Option<Arc<Standing>> {
        let (epoch, standing) = self.cache.get(&(principal, conversation))?;
        (epoch == self.epoch(conversation)).then_some(standing)
    }

    /// Forgets what is known of one conversation.
    pub(super) fn touch(&self, conversation: ConversationId) {
        self.stripe(conversation).fetch_add(1, Ordering::SeqCst);
    }

    /// Forgets everything: a device, a circle or somebody's rights have changed.
    pub(super) fn touch_all(&self) {
        self.everything.fetch_add(1, Ordering::SeqCst);
    }
}

impl Store {
    /// How a principal stands to a conversation, if there is such a conversation; perhaps as
    /// it was a moment ago, where another process has changed it.
    pub async fn standing(
        &self,
        principal: Principal,
        conversation: ConversationId,
    ) -> Result<Option<Arc<Standing>>, StoreError> {
        if let Some(found) = self.standings().find(principal, conversation) {
            return Ok(Some(found));
        }
        self.standing_now(principal, conversation).await
    }

    /// The same, as the database has it now.
    pub async fn standing_now(
        &self,
        principal: Principal,
        conversation: ConversationId,
    ) -> Result<Option<Arc<Standing>>, StoreError> {
        let epoch = self.standings().epoch(conversation);
        let Some(standing) = standing(self.reads(), principal, conversation).await? else {
            self.standings().cache.invalidate(&(principal, conversation));
            return Ok(None);
        };
        let standing = Arc::new(standing);
        // Whether somebody is staff is looked up for each message they send.
        if standing.conversation.access != Access::Staff {
            let entry = (epoch, Arc::clone(&standing));
            self.standings().cache.insert((principal, conversation), entry);
        }
        Ok(Some(standing))
    }

    /// A user's living membership of a conversation, as far as decisions need it.
    pub async fn find_seat(
        &self,
        conversation: ConversationId,
        user: UserId,
    ) -> Result<Option<Seat>, StoreError> {
        seat(self.reads(), conversation, user.get()).await
    }

    /// Forgets how everybody stands to a conversation: somebody else changed it.
    pub fn forget_standings_of(&self, conversation: ConversationId) {
        self.standings().touch(conversation);
    }

    /// Forgets how everybody stands to everything.
    pub fn forget_standings(&self) {
        self.standings().touch_all();
    }
}

/// Collects the facts.
pub(super) async fn standing(
    db: &impl ConnectionTrait,
    principal: Principal,
    id: ConversationId,
) -> Result<Option<Standing>, StoreError> {
    let row = conversations::Entity::find_by_id(id.get())
        .filter(conversations::Column::DeletedAt.is_null())
        .one(db)
        .await?;
    let Some(conversation) = row.map(conversation).transpose()? else { return Ok(None) };
    let mut standing =
        Standing { principal, conversation, seat: None, staff: false, own_circle: false };
    match principal {
        Principal::User(user) => {
            standing.seat = seat(db, id, user.get()).await?;
            if standing.conversation.kind == Kind::Room {
                let row = users::Entity::find_by_id(user.get()).one(db).await?;
                standing.staff = row.is_some_and(|user| user.is_staff || user.is_superuser);
            }
        }
        Principal::Device(device) => {
            standing.own_circle = speaks_for(db, device.get(), &standing.conversation).await?;
        }
    }
    Ok(Some(standing))
}

/// A user's living membership.
pub(super) async fn seat(
    db: &impl ConnectionTrait,
    conversation: ConversationId,
    user: i64,
) -> Result<Option<Seat>, StoreError> {
    let row = members::Entity::find()
        .filter(members::Column::UserId.eq(user))
        .filter(members::Column::ConversationId.eq(conversation.get()))
        .filter(members::Column::Live.eq(1))
        .one(db)
        .await?;
    row.map(|row| Ok(Seat { link: LinkId::new(row.id), role: role(row.role)? })).transpose()
}

async fn speaks_for(
    db: &impl ConnectionTrait,
    device: i64,
    conversation: &Conversation,
) -> Result<bool, StoreError> {
    let Some(circle) = conversation.circle else { return Ok(false) };
    let row = devices::Entity::find_by_id(device)
        .filter(devices::Column::CircleId.eq(circle.get()))
        .filter(devices::Column::Live.eq(1))
        .one(db)
        .await?;
    Ok(row.is_some_and(|device| device.activated))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;

    const HERE: ConversationId = ConversationId::new(3);
    const ELSEWHERE: ConversationId = ConversationId::new(4);
    const ANN: Principal = Principal::User(UserId::new(1));

    fn anywhere(id: ConversationId) -> Arc<Standing> {
        let conversation = Conversation {
            id,
            kind: Kind::Group,
            access: Access::Members,
            title: String::new(),
            description: String::new(),
            circle: None,
            device_access: false,
            shown: true,
            pair: None,
            creator: None,
            created: Timestamp::default(),
            updated: Timestamp::default(),
        };
        let (principal, seat) = (ANN, None);
        Arc::new(Standing { principal, conversation, seat, staff: false, own_circle: false })
    }

    #[test]
    fn a_change_makes_older_knowledge_void_even_if_it_comes_in_late() {
        let standings = Standings::default();
        let insert = |id, epoch| standings.cache.insert((ANN, id), (epoch, anywhere(id)));
        let before = standings.epoch(HERE);
        insert(HERE, before);
        insert(ELSEWHERE, standings.epoch(ELSEWHERE));
        assert!(standings.find(ANN, HERE).is_some());

        standings.touch(HERE);
        assert!(standings.find(ANN, HERE).is_none());
        assert!(standings.find(ANN, ELSEWHERE).is_some());
        // Read before the change, and slow to arrive.
        insert(HERE, before);
        assert!(standings.find(ANN, HERE).is_none());
        insert(HERE, standings.epoch(HERE));
        assert!(standings.find(ANN, HERE).is_some());

        standings.touch_all();
        assert!(standings.find(ANN, HERE).is_none());
        assert!(standings.find(ANN, ELSEWHERE).is_none());
    }
}
