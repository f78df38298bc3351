//! Messages: posted, read again, and marked as read.

use std::sync::Arc;

use super::{Caller, Services};
use crate::domain::{
    Charge, ConversationId, Dialect, Draft, Kind, MessageId, Page, Place, Posted, Principal,
    Refusal, Revision, Seq,
};
use crate::policy::{self, Standing};

/// Messages of a page, where the client does not care.
const PAGE: u32 = 50;
/// Messages of the largest page.
const LARGEST_PAGE: u32 = 200;

impl Services {
    /// Stores a message and tells of it; an answer means committed.
    pub async fn post(&self, caller: &Caller, draft: Draft) -> Result<Posted, Refusal> {
        self.post_for_coins(caller, draft).await.map(|(posted, _)| posted)
    }

    /// The same, and what it cost, if it cost something.
    pub(super) async fn post_for_coins(
        &self,
        caller: &Caller,
        draft: Draft,
    ) -> Result<(Posted, Option<Charge>), Refusal> {
        let standing = self.take_part(caller, draft.conversation).await?;
        let permit = policy::may_post(&standing)?;
        let sold = self.log().sell(permit, draft, Some(caller.login)).await?;
        self.typing().end(caller.principal, standing.conversation.id).await;
        if let (false, Principal::User(author)) = (standing.conversation.shown, caller.principal) {
            self.store().appear(&standing.conversation, author).await?;
        }
        Ok(sold)
    }

    /// Everything that was touched after a change, each message once, as it is now.
    pub async fn sync(
        &self,
        caller: &Caller,
        conversation: ConversationId,
        since: Revision,
        limit: Option<u32>,
    ) -> Result<Page, Refusal> {
        let permit = policy::may_read(&*self.take_part(caller, conversation).await?)?;
        Ok(self.store().page_since(&permit, since, page_size(limit)).await?)
    }

    /// The newest messages before a place.
    pub async fn history(
        &self,
        caller: &Caller,
        conversation: ConversationId,
        before: Option<Seq>,
        limit: Option<u32>,
    ) -> Result<Page, Refusal> {
        let permit = policy::may_read(&*self.take_part(caller, conversation).await?)?;
        Ok(self.store().page_before(&permit, before, page_size(limit)).await?)
    }

    /// Marks everything up to a place as seen by a user; how far that is, if it is new.
    pub async fn mark_read(
        &self,
        caller: &Caller,
        conversation: ConversationId,
        seq: Seq,
    ) -> Result<Option<Seq>, Refusal> {
        if let Principal::Device(_) = caller.principal {
            return Err(Refusal::forbidden("a device has no place up to which it has read"));
        }
        let permit = policy::may_read(&*self.take_part(caller, conversation).await?)?;
        Ok(self.store_for(caller).mark_read(permit, seq).await?)
    }

    /// Marks the named messages as seen by a user, as far as they were addressed to it; says
    /// nothing of the others.
    pub async fn mark_seen(
        &self,
        caller: &Caller,
        messages: &[MessageId],
        dialect: Dialect,
    ) -> Result<(), Refusal> {
        if let Principal::Device(_) = caller.principal {
            return Ok(());
        }
        for (conversation, named) in self.store().conversations_of_messages(messages).await? {
            let standing = match self.standing_in(caller, conversation).await {
                Ok(standing) => standing,
                Err(refusal) if refusal.is_our_fault() => return Err(refusal),
                Err(_) => continue,
            };
            // Groups cannot be reached from there.
            if dialect == Dialect::PrivateChat && standing.conversation.kind != Kind::Direct {
                continue;
            }
            if let Ok(permit) = policy::may_read(&standing) {
                self.store_for(caller).mark_seen(permit, &named, dialect).await?;
            }
        }
        Ok(())
    }

    /// Notes that everything up to a place has reached a user; rooms keep no such marks.
    pub async fn confirm_delivered(
        &self,
        caller: &Caller,
        dialect: Dialect,
        conversation: ConversationId,
        place: Place,
    ) -> Result<(), Refusal> {
        if let (Dialect::Multichat, Some(connection)) = (dialect, caller.connection)
            && let Some(login) = self.hub().attendance().confirm(conversation, connection, place)
        {
            self.places().confirmed(conversation, login);
        }
        let user = caller.principal.user().filter(|_| dialect == Dialect::Courier);
        let _arriving = user.map(|user| self.courier().arriving(user));
        let standing = self.standing_in(caller, conversation).await?;
        let permit = policy::may_read(&standing)?;
        if permit.kind() != Kind::Room {
            self.log().mark_delivered(&permit, place, dialect).await?;
        }
        if dialect == Dialect::MembersChat && self.chats().open_chat_means_seen {
            self.store_for(caller).mark_shown_as_read(permit, place).await?;
        }
        Ok(())
    }

    /// How somebody stands to a conversation they are about to use; whoever may enter a
    /// room becomes its member by that.
    pub(super) async fn take_part(
        &self,
        caller: &Caller,
        conversation: ConversationId,
    ) -> Result<Arc<Standing>, Refusal> {
        let standing = self.standing_in(caller, conversation).await?;
        let walks_in = standing.conversation.kind == Kind::Room
            && standing.seat.is_none()
            && matches!(caller.principal, Principal::User(_));
        if !walks_in {
            return Ok(standing);
        }
        let permit = policy::may_enter(&standing)?;
        self.store_for(caller).enter(permit).await?;
        self.standing_in(caller, conversation).await
    }

    /// The same, as the database has it now.
    pub(super) async fn take_part_now(
        &self,
        caller: &Caller,
        conversation: ConversationId,
    ) -> Result<Arc<Standing>, Refusal> {
        // What is looked up now is what is known afterwards.
        self.store().standing_now(caller.principal, conversation).await?;
        self.take_part(caller, conversation).await
    }

    /// How somebody stands to a conversation: over HTTP right now, over a live connection
    /// perhaps as it was a moment ago.
    pub(super) async fn standing_in(
        &self,
        caller: &Caller,
        conversation: ConversationId,
    ) -> Result<Arc<Standing>, Refusal> {
        let standing = match caller.connection {
            Some(_) => self.store().standing(caller.principal, conversation).await?,
            None => self.store().standing_now(caller.principal, conversation).await?,
        };
        standing.ok_or_else(|| Refusal::not_found("there is no such conversation"))
    }
}

fn page_size(limit: Option<u32>) -> u32 {
    limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE)
}
