//! The chat of two members: opened with its past, and what they send there.

use std::sync::Arc;

use super::attachments::unwritable;
use super::{Bulk, Caller, LIST_BYTES, Services};
use crate::domain::{
    Attached, ChatCommand, ChatReply, ClientRef, ConversationId, Dialect, Draft, FileDraft, FileId,
    Message, MessageId, Opened, Place, Principal, ReadingTurn, Refusal, RefusalKind, Sent, SmileId,
    Text, Topic, UserId,
};
use crate::policy::{self, MayRead};
use crate::store::StoreError;

/// Messages that are read at a time.
const PAGE: u32 = 500;
/// Messages of a history at most, however many have not reached their reader.
const LONGEST: usize = 10_000;

/// Which part of the past is asked for.
#[derive(Clone, Copy, Debug)]
struct Wish {
    reader: UserId,
    limit: usize,
    before: Option<MessageId>,
}

fn nobody() -> Refusal {
    Refusal::not_found("other member not found")
}

impl Services {
    /// Carries out what a connection asks about its chat.
    pub(super) async fn chat(
        &self,
        caller: &Caller,
        command: ChatCommand,
    ) -> Result<ChatReply, Refusal> {
        match command {
            ChatCommand::Open { other, limit, before, presence } => {
                let reader = super::accounts::user_of(caller)?;
                let most = self.chats().history_limit;
                let limit = limit.map_or(most, |limit| most.min(limit as usize));
                let wish = Wish { reader, limit, before };
                self.open_chat(caller, other, wish, presence).await.map(ChatReply::Opened)
            }
            ChatCommand::ReadOn { conversation, after } => {
                let permit = policy::may_read(&*self.standing_in(caller, conversation).await?)?;
                let page = self.store().shown_after(&permit, after, PAGE).await?;
                let messages = page.messages.into_iter().map(|shown| shown.message).collect();
                Ok(ChatReply::Continued { messages, more: page.more })
            }
            ChatCommand::Say(draft) => self.send(caller, draft).await.map(ChatReply::Sent),
            ChatCommand::Smile { conversation, smile, reference } => {
                self.smile(caller, conversation, smile, reference).await.map(ChatReply::Sent)
            }
            ChatCommand::File(draft) => self.send_file(caller, draft).await.map(ChatReply::Sent),
        }
    }

    /// Listens first and reads then, so that nothing falls in between.
    async fn open_chat(
        &self,
        caller: &Caller,
        other: UserId,
        wish: Wish,
        presence: bool,
    ) -> Result<Opened, Refusal> {
        let found = self.store().find_user(other).await?;
        if other == wish.reader || !found.is_some_and(|user| user.active) {
            return Err(nobody());
        }
        let conversation = self.store_for(caller).open_direct(wish.reader, other).await?.id;
        let turn = self.turn(Principal::User(wish.reader), Bulk::History).await;
        self.attend_conversation(caller, conversation).await?;
        if let (true, Some(connection)) = (presence, caller.connection) {
            self.hub().subscribe(connection, Topic::Presence(other));
        }
        let permit = policy::may_read(&*self.standing_in(caller, conversation).await?)?;
        let (history, whole) = self.read_chat(&permit, wish).await?;
        let (online, seen) = self.hub().roster().look([Principal::User(other)]);
        let (online, turn) = (!online.is_empty(), ReadingTurn::new(turn));
        Ok(Opened { conversation, history, whole, online, seen, turn })
    }

    /// The newest messages, but no fewer than have not reached the reader; and whether those
    /// are all among them.
    async fn read_chat(
        &self,
        permit: &MayRead,
        wish: Wish,
    ) -> Result<(Vec<Arc<Message>>, bool), StoreError> {
        let delivered = self.store().delivered_place(permit).await?;
        let before = match wish.before {
            Some(id) => Some(self.store().place_of(permit, id).await?),
            None => None,
        };
        let author = Principal::User(wish.reader);
        let is_due = |message: &Message| {
            message.author != author && message.place.is_some_and(|place| place > delivered)
        };
        let (mut found, mut wanted, mut bytes) = (Vec::new(), wish.limit, 0);
        let (mut from, mut whole) = (before, true);
        'reading: loop {
            let page = self.store().shown_before(permit, from, PAGE).await?;
            for shown in page.messages.into_iter().rev() {
                let due = is_due(&shown.message);
                if before.is_none() && due {
                    wanted = wanted.max(found.len() + 1);
                }
                bytes += shown.message.text.len();
                if found.len() >= LONGEST || bytes > LIST_BYTES {
                    whole &= !due;
                    break 'reading;
                }
                found.push(shown.message);
            }
            from = Some(page.reached);
            let done = found.len() >= wish.limit && (before.is_some() || page.reached <= delivered);
            if !page.more || done {
                break;
            }
        }
        found.truncate(wanted);
        found.reverse();
        if before.is_some() {
            // What is newer than the page was not looked at.
            whole = self.newest_in_chat(permit).await? <= delivered;
        }
        Ok((found, whole))
    }

    async fn newest_in_chat(&self, permit: &MayRead) -> Result<Place, StoreError> {
        let newest = self.store().shown_before(permit, None, 1).await?;
        let newest = newest.messages.last().and_then(|shown| shown.message.place);
        Ok(newest.unwrap_or(Place::new(0)))
    }

    async fn send(&self, caller: &Caller, draft: Draft) -> Result<Sent, Refusal> {
        let (posted, charge) = self.post_for_coins(caller, draft).await?;
        let message = posted.message;
        let before = if posted.duplicate {
            self.store().find_message(message).await?.map(Arc::new)
        } else {
            None
        };
        Ok(Sent { message, charge, before })
    }

    async fn smile(
        &self,
        caller: &Caller,
        conversation: ConversationId,
        id: SmileId,
        reference: Option<ClientRef>,
    ) -> Result<Sent, Refusal> {
        let Some(found) = self.store().find_smile(id).await? else {
            return Err(Refusal::not_found(format!("There is no smile with id {id}.")));
        };
        let media = found.media;
        let picture = Attached {
            // A name of its own: NEO may take it from this message, and from no other.
            file: FileId::random(),
            name: media.identifier,
            filename: media.filename.unwrap_or_default(),
            extension: media.extension.unwrap_or_default(),
            mime: media.mime,
            size: media.size.unwrap_or_default(),
        };
        let draft = Draft {
            smile: Some(found.smile),
            attached: Some(picture.into()),
            reference,
            ..Draft::words(conversation, Text::default(), Dialect::MembersChat)
        };
        self.send(caller, draft).await
    }

    /// The bytes are stored first, under a name that no row knows yet, and removed unless
    /// the message was.
    async fn send_file(&self, caller: &Caller, sent: FileDraft) -> Result<Sent, Refusal> {
        let mut incoming = self.files().receive().await.map_err(|error| unwritable(&error))?;
        incoming.write(&sent.bytes).await.map_err(|error| unwritable(&error))?;
        let kept = incoming.keep().await.map_err(|error| unwritable(&error))?;
        let (filename, extension) = super::naming::safe_name(&sent.name);
        let attached = Attached {
            file: kept.id,
            name: sent.name,
            filename,
            extension,
            mime: Some(sent.mime),
            size: kept.size,
        };
        let draft = Draft {
            attached: Some(attached.into()),
            reference: sent.reference,
            ..Draft::words(sent.conversation, sent.text, Dialect::MembersChat)
        };
        let outcome = self.send(caller, draft).await;
        let needed = match &outcome {
            Ok(sent) => sent.before.is_none(),
            // Perhaps they are known to the database after all; if not, they are swept.
            Err(refusal) => refusal.kind() == RefusalKind::Unknown,
        };
        if !needed {
            self.files().discard(kept.id).await;
        }
        outcome
    }
}
