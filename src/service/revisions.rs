//! Messages that exist: shown, listed, edited, removed.

use super::{Caller, Services};
use crate::domain::{ConversationId, Message, MessageId, Refusal, Text, Written};
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
    ) -> Result<Vec<Written>, Refusal> {
        let standing = self.standing_in(caller, id).await?;
        let permit = policy::may_read(&standing)?;
        let messages = self.store().list_messages(&permit, from, quantity, self.cap()).await?;
        Ok(self.store().written(standing.conversation.kind, id, messages).await?)
    }

    /// Changes the words of a message.
    pub async fn edit(&self, caller: &Caller, id: MessageId, text: Text) -> Result<(), Refusal> {
        let (message, standing) = self.message_for(caller, id).await?;
        let permit = policy::may_edit(&standing, &message)?;
        self.store().edit(permit, text).await?.ok_or_else(unknown_message).map(drop)
    }

    /// Removes a message with its files.
    pub async fn remove(&self, caller: &Caller, id: MessageId) -> Result<(), Refusal> {
        let (message, standing) = self.message_for(caller, id).await?;
        let permit = policy::may_remove(&standing, &message)?;
        let orphans = self.store().remove(permit).await?.ok_or_else(unknown_message)?;
        for file in orphans {
            self.files().discard(file).await;
        }
        Ok(())
    }
}
