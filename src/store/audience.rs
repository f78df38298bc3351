//! Who is sent what happens in conversations without joining them: the members who listen to
//! their mail.
//!
//! Who belongs to a conversation is kept while nobody comes or goes; what is told under the
//! write turn is told to those who belong at that commit.

use std::sync::Arc;

use moka::sync::Cache;

use super::conversations::{find_conversation, living};
use super::standings::Epoch;
use super::{Store, StoreError};
use crate::domain::{Access, ConversationId, Kind, Topic, UserId};
use crate::hub::News;

/// How many conversations are kept.
const KEPT: u64 = 100_000;

/// Who is in a conversation.
#[derive(Debug, Default)]
pub(super) struct Audience {
    /// Everybody who belongs to it.
    pub(super) members: Box<[UserId]>,
    /// The two ends of a direct one.
    pair: Option<(UserId, UserId)>,
    /// Whether it is a room.
    in_room: bool,
}

/// Members of conversations, as far as they were asked for.
pub(super) struct Audiences(Cache<ConversationId, (Epoch, Arc<Audience>)>);

impl Default for Audiences {
    fn default() -> Self {
        Self(Cache::new(KEPT))
    }
}

impl Store {
    /// Addresses what there is to tell to everybody whom it reaches; all of it or, if the members cannot be read,
    /// nothing.
    pub(super) async fn address(&self, news: &mut News) -> Result<(), StoreError> {
        for event in news.events() {
            self.contacts().observe(event);
        }
        self.contacts().touch(news.brought().iter().copied());
        if !self.hub().hears_mail() {
            return Ok(());
        }
        let mut audiences = Vec::new();
        for notice in news.notices_mut() {
            let conversation = notice.topics.iter().find_map(|topic| match topic {
                Topic::Conversation(id) => Some(*id),
                _ => None,
            });
            audiences.push(match conversation {
                Some(conversation) => Some(self.audience(conversation).await?),
                None => None,
            });
        }
        for (notice, audience) in news.notices_mut().zip(audiences) {
            let Some(audience) = audience else { continue };
            notice.pair = audience.pair;
            notice.in_room = audience.in_room;
            let mail = audience.members.iter().map(|member| Topic::Mail(*member));
            notice.topics.extend(self.hub().heard(mail));
        }
        Ok(())
    }

    /// Who belongs to a conversation right now, and may hear it.
    pub(super) async fn audience(
        &self,
        conversation: ConversationId,
    ) -> Result<Arc<Audience>, StoreError> {
        let cache = &self.audiences().0;
        let epoch = self.standings().epoch(conversation);
        if let Some((then, audience)) = cache.get(&conversation)
            && then == epoch
        {
            return Ok(audience);
        }
        let Some(found) = find_conversation(self.reads(), conversation).await? else {
            return Ok(Arc::default());
        };
        let rows = living(self.reads(), conversation).await?;
        let mut members: Box<[_]> = rows.into_iter().map(|row| UserId::new(row.user_id)).collect();
        let for_staff = found.access == Access::Staff;
        if for_staff {
            let users = self.list_users_named(members.iter().copied()).await?;
            members = users.iter().filter(|user| user.is_staff()).map(|user| user.id).collect();
        }
        let in_room = found.kind == Kind::Room;
        let audience = Arc::new(Audience { members, pair: found.pair, in_room });
        // Whether somebody is staff is looked up for each message.
        if !for_staff {
            cache.insert(conversation, (epoch, Arc::clone(&audience)));
        }
        Ok(audience)
    }
}
