//! Who is sent what happens in direct conversations and groups without joining them: the
//! members who listen to their mail.
//!
//! Who belongs to a conversation is kept while nobody comes or goes; what is told under the
//! write turn is told to those who belong at that commit.

use std::sync::Arc;

use moka::sync::Cache;

use super::conversations::{find_conversation, living};
use super::standings::Epoch;
use super::{Store, StoreError};
use crate::domain::{ConversationId, Kind, Topic, UserId};
use crate::hub::{News, Published};

/// How many conversations are kept.
const KEPT: u64 = 100_000;

/// Members of conversations, as far as they were asked for; nobody where it is a room.
pub(super) struct Audiences(Cache<ConversationId, (Epoch, Arc<[UserId]>)>);

impl Default for Audiences {
    fn default() -> Self {
        Self(Cache::new(KEPT))
    }
}

impl Store {
    /// Hands over what there is to tell, addressed to everybody whom it reaches.
    pub(super) async fn dispatch(&self, mut news: News) -> Published {
        if self.hub().hears_mail() {
            for notice in news.notices_mut() {
                let conversation = notice.topics.iter().find_map(|topic| match topic {
                    Topic::Conversation(id) => Some(*id),
                    _ => None,
                });
                let Some(conversation) = conversation else { continue };
                match self.audience(conversation).await {
                    Ok(members) => {
                        let mail = members.iter().map(|member| Topic::Mail(*member));
                        notice.topics.extend(self.hub().heard(mail));
                    }
                    // They find it when they come back.
                    Err(error) => {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(error, %conversation, "mail was not told");
                    }
                }
            }
        }
        self.publishers().hand_over(news)
    }

    /// Who belongs to a direct conversation or a group right now.
    pub(super) async fn audience(
        &self,
        conversation: ConversationId,
    ) -> Result<Arc<[UserId]>, StoreError> {
        let cache = &self.audiences().0;
        let epoch = self.standings().epoch(conversation);
        if let Some((then, members)) = cache.get(&conversation)
            && then == epoch
        {
            return Ok(members);
        }
        let found = find_conversation(self.reads(), conversation).await?;
        let members: Arc<[UserId]> = match found.map(|found| found.kind) {
            Some(Kind::Direct | Kind::Group) => {
                let rows = living(self.reads(), conversation).await?;
                rows.into_iter().map(|row| UserId::new(row.user_id)).collect()
            }
            Some(Kind::Room) | None => Arc::default(),
        };
        cache.insert(conversation, (epoch, Arc::clone(&members)));
        Ok(members)
    }
}
