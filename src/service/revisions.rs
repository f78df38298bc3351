//! Messages that exist: shown, listed, edited, removed.

use std::time::Duration;

use super::{Caller, MessageList, Services};
use crate::domain::{ConversationId, Message, MessageId, Refusal, Reply, Shown, Text, Written};
use crate::policy;
use crate::store::ListFrom;

fn unknown_message() -> Refusal {
    Refusal::not_found("there is no such message")
}

impl Services {
    /// A message that was not removed, and how the caller stands to its conversation.
    async fn message_for(
        &self,
        caller: &Caller,
        id: MessageId,
    ) -> Result<(Message, std::sync::Arc<policy::Standing>), Refusal> {
        let message = self.store().find_message(id).await?;
        let message =
            message.filter(|message| message.deleted.is_none()).ok_or_else(unknown_message)?;
        let standing = self.standing_in(caller, message.conversation).await?;
        Ok((message, standing))
    }

    /// One message with its files.
    pub async fn show_message(&self, caller: &Caller, id: MessageId) -> Result<Written, Refusal> {
        let (message, standing) = self.message_for(caller, id).await?;
        policy::may_read(&standing)?;
        let (kind, conversation) = (standing.conversation.kind, message.conversation);
        let mut written = self.store().written(kind, conversation, vec![message]).await?;
        written.pop().ok_or_else(unknown_message)
    }

    /// Some messages of a conversation, oldest first, as many as asked for and lists may hold.
    pub async fn list_messages(
        &self,
        caller: &Caller,
        id: ConversationId,
        from: ListFrom,
        quantity: usize,
    ) -> Result<MessageList, Refusal> {
        let standing = self.standing_in(caller, id).await?;
        let permit = policy::may_read(&standing)?;
        Ok(self.list(&permit, from, quantity).await?)
    }

    /// Changes the words of a message.
    pub async fn edit(&self, caller: &Caller, id: MessageId, text: Text) -> Result<(), Refusal> {
        let (message, standing) = self.message_for(caller, id).await?;
        let permit = policy::may_edit(&standing, &message)?;
        self.store_for(caller).edit(permit, text).await?.ok_or_else(unknown_message).map(drop)
    }

    /// A shown message of a conversation, and how the caller stands to it.
    async fn shown_in(
        &self,
        caller: &Caller,
        conversation: ConversationId,
        id: MessageId,
    ) -> Result<(Message, std::sync::Arc<policy::Standing>), Refusal> {
        let standing = self.standing_in(caller, conversation).await?;
        let message = self.store().find_message(id).await?;
        let message = message.filter(|message| {
            message.conversation == conversation
                && message.deleted.is_none()
                && message.place.is_some()
        });
        Ok((message.ok_or_else(unknown_message)?, standing))
    }

    /// Changes the words of a message of a conversation, unless they are the same.
    pub(super) async fn edit_in(
        &self,
        caller: &Caller,
        conversation: ConversationId,
        id: MessageId,
        text: Text,
        within: Option<Duration>,
    ) -> Result<Reply, Refusal> {
        let (message, standing) = self.shown_in(caller, conversation, id).await?;
        let permit = policy::may_edit(&standing, &message)?;
        policy::require_in_time(message.sent, self.clock().now(), within)?;
        let changed = message.text != text.as_str();
        let message = if changed {
            self.store_for(caller).edit(permit, text).await?.ok_or_else(unknown_message)?
        } else {
            message
        };
        let sender = self.store().find_party(message.author).await?;
        let sender = sender.ok_or_else(unknown_message)?;
        let message = Box::new(Shown { message: message.into(), sender });
        Ok(Reply::Edited { message, changed })
    }

    /// Removes a message of a conversation with its files.
    pub(super) async fn remove_in(
        &self,
        caller: &Caller,
        conversation: ConversationId,
        id: MessageId,
        within: Option<Duration>,
    ) -> Result<(), Refusal> {
        let (message, standing) = self.shown_in(caller, conversation, id).await?;
        let permit = policy::may_remove(&standing, &message)?;
        if !policy::keeps_order(&standing) {
            policy::require_in_time(message.sent, self.clock().now(), within)?;
        }
        self.remove_with(caller, permit).await
    }

    /// Removes a message with its files.
    pub async fn remove(&self, caller: &Caller, id: MessageId) -> Result<(), Refusal> {
        let (message, standing) = self.message_for(caller, id).await?;
        let permit = policy::may_remove(&standing, &message)?;
        self.remove_with(caller, permit).await
    }

    async fn remove_with(&self, caller: &Caller, permit: policy::MayRemove) -> Result<(), Refusal> {
        let orphans = self.store_for(caller).remove(permit).await?.ok_or_else(unknown_message)?;
        for file in orphans {
            self.files().discard(file).await;
        }
        Ok(())
    }
}
