//! Letters: conversations of two and groups by the numbers of users, and what waits.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::{Caller, Services};
use crate::domain::{
    Addressee, ClientRef, Collecting, Conversation, ConversationId, Description, Dialect, Draft,
    Kind, LetterCommand, LetterReply, LetterStatus, Message, MessageId, Principal, Receipt,
    Refusal, RefusalKind, Text, UserId,
};
use crate::policy::{self, Standing};
use crate::settings::{Backlog, CourierSettings};

/// Messages of one page of what waits.
const WAITING: u32 = 200;
/// Messages of the largest page of history.
const HISTORY: u32 = 200;
/// How long what waits may wait for confirmations of other connections.
const PATIENCE: Duration = Duration::from_millis(500);

/// What operators set about letters, and what is on its way to being noted.
pub(super) struct Letters {
    settings: CourierSettings,
    arrivals: Arc<Arrivals>,
}

/// Whose confirmations are being noted: who has just closed one connection properly and opens
/// the next is not to find again what the first one has confirmed.
#[derive(Default)]
pub(super) struct Arrivals {
    under_way: Mutex<HashMap<UserId, usize>>,
    noted: Notify,
}

/// One confirmation that is being noted, as long as this is held.
pub(super) struct Arriving(Arc<Arrivals>, UserId);

impl Arrivals {
    fn is_under_way(&self, user: UserId) -> bool {
        self.under_way.lock().contains_key(&user)
    }

    /// Waits until nothing is being noted, for a while.
    async fn settle(&self, user: UserId) {
        let settled = async {
            loop {
                let noted = self.noted.notified();
                if !self.is_under_way(user) {
                    break;
                }
                noted.await;
            }
        };
        // Somebody may confirm without pause, over other connections.
        let _ = timeout(PATIENCE, settled).await;
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        let Self(arrivals, user) = self;
        let mut under_way = arrivals.under_way.lock();
        if let Some(count) = under_way.get_mut(user) {
            *count -= 1;
            if *count == 0 {
                under_way.remove(user);
            }
        }
        drop(under_way);
        arrivals.noted.notify_waiters();
    }
}

impl Letters {
    pub(super) fn new(settings: CourierSettings) -> Self {
        Self { settings, arrivals: Arc::default() }
    }

    /// Begins to note a confirmation of a user's.
    pub(super) fn arriving(&self, user: UserId) -> Arriving {
        *self.arrivals.under_way.lock().entry(user).or_default() += 1;
        Arriving(Arc::clone(&self.arrivals), user)
    }

    pub(super) const fn settings(&self) -> &CourierSettings {
        &self.settings
    }
}

fn no_conversation() -> Refusal {
    Refusal::not_found("there is no such conversation")
}

impl Services {
    /// Carries out what a client of letters asks.
    pub(super) async fn letters(
        &self,
        caller: &Caller,
        command: LetterCommand,
    ) -> Result<LetterReply, Refusal> {
        let Principal::User(user) = caller.principal else {
            return Err(Refusal::forbidden("letters are for users"));
        };
        match command {
            LetterCommand::Collect(collecting) => self.collect(user, &collecting).await,
            LetterCommand::Arrived { conversation, place } => {
                let dialect = Dialect::Courier;
                self.confirm_delivered(caller, dialect, conversation, place).await?;
                Ok(LetterReply::Done)
            }
            LetterCommand::OpenPersonal(other) => self.open_personal(caller, user, other).await,
            LetterCommand::OpenGroup { members, title, description, reference } => {
                self.open_group((caller, user), members, &title, &description, reference.as_ref())
                    .await
            }
            LetterCommand::Post { to, kind, text, reference } => {
                self.post_letter(caller, to, kind, text, reference).await
            }
            LetterCommand::Status(messages) => {
                self.letter_status(caller, &messages).await.map(LetterReply::Statuses)
            }
            LetterCommand::Describe(of) => {
                let standing = self.addressed(caller, of, None).await?;
                let conversation = standing.conversation.clone();
                let described = self.describe(vec![conversation]).await?.pop();
                described.map(LetterReply::Described).ok_or_else(no_conversation)
            }
            LetterCommand::DescribeAll => {
                let all = self.store().list_letter_conversations(user).await?;
                self.describe(all).await.map(LetterReply::AllDescribed)
            }
            LetterCommand::ReadBefore { of, before, limit } => {
                self.read_before(caller, of, before, limit).await
            }
            LetterCommand::SetTyping { to, typing } => {
                let standing = self.addressed(caller, to, None).await?;
                let id = standing.conversation.id;
                self.set_typing(caller, id, typing, Dialect::Courier).await?;
                Ok(LetterReply::Done)
            }
        }
    }

    async fn collect(&self, user: UserId, collecting: &Collecting) -> Result<LetterReply, Refusal> {
        if *collecting == Collecting::all() {
            self.courier().arrivals.settle(user).await;
            self.store().begin_courier(user).await?;
        }
        let once = self.courier().settings().backlog == Backlog::PerUser;
        let waiting = self.store().list_waiting(user, collecting, WAITING, once).await?;
        Ok(LetterReply::Waiting { messages: waiting.messages, next: waiting.next })
    }

    /// Those of the users named who do not exist or may not be used.
    async fn unknown_among(&self, named: &[UserId]) -> Result<Vec<UserId>, Refusal> {
        let known: std::collections::HashSet<_> = self
            .store()
            .list_users_named(named.iter().copied())
            .await?
            .into_iter()
            .filter(|user| user.active)
            .map(|user| user.id)
            .collect();
        Ok(named.iter().copied().filter(|id| !known.contains(id)).collect())
    }

    async fn open_personal(
        &self,
        caller: &Caller,
        user: UserId,
        other: UserId,
    ) -> Result<LetterReply, Refusal> {
        let unknown = self.unknown_among(&[other]).await?;
        if !unknown.is_empty() {
            return Ok(LetterReply::UnknownUsers(unknown));
        }
        let conversation = self.store_for(caller).open_direct(user, other).await?;
        Ok(LetterReply::Opened(conversation.id))
    }

    async fn open_group(
        &self,
        (caller, user): (&Caller, UserId),
        members: Vec<UserId>,
        title: &str,
        description: &str,
        reference: Option<&ClientRef>,
    ) -> Result<LetterReply, Refusal> {
        let limit = self.limits().group_members.get();
        let permit = match policy::may_gather(user, members, limit) {
            Err(refusal) if refusal.kind() == RefusalKind::TooLarge => {
                return Ok(LetterReply::TooManyMembers { limit });
            }
            other => other?,
        };
        let named: Vec<_> = permit.others().iter().copied().collect();
        let unknown = self.unknown_among(&named).await?;
        if !unknown.is_empty() {
            return Ok(LetterReply::UnknownUsers(unknown));
        }
        self.pace_groups(Principal::User(user))?;
        let made = self.store_for(caller).gather(permit, title, description, reference).await?;
        Ok(LetterReply::Opened(made))
    }

    /// The conversation that is meant: by its number, if the caller belongs to it and its kind
    /// fits, else the one that goes by this name on the caller's connection.
    async fn addressed(
        &self,
        caller: &Caller,
        to: Addressee,
        kind: Option<Kind>,
    ) -> Result<Arc<Standing>, Refusal> {
        let mut of_other_kind = false;
        if let Some(standing) = self.letter_standing(caller, to.numbered).await? {
            let is_direct = standing.conversation.kind == Kind::Direct;
            if kind.is_none_or(|kind| (kind == Kind::Direct) == is_direct) {
                return Ok(standing);
            }
            of_other_kind = true;
        }
        if let Some(standing) = self.letter_standing(caller, to.named).await? {
            return Ok(standing);
        }
        if of_other_kind {
            return Err(Refusal::conflict("the conversation is of the other kind"));
        }
        Err(no_conversation())
    }

    /// How a caller stands to a conversation it takes part in; a room is a group here.
    async fn letter_standing(
        &self,
        caller: &Caller,
        id: Option<ConversationId>,
    ) -> Result<Option<Arc<Standing>>, Refusal> {
        let Some(id) = id else { return Ok(None) };
        let standing = match self.standing_in(caller, id).await {
            Ok(standing) => standing,
            Err(refusal) if refusal.is_our_fault() => return Err(refusal),
            Err(_) => return Ok(None),
        };
        Ok(standing.takes_part().then_some(standing))
    }

    async fn post_letter(
        &self,
        caller: &Caller,
        to: Addressee,
        kind: Kind,
        text: Text,
        reference: Option<ClientRef>,
    ) -> Result<LetterReply, Refusal> {
        let standing = self.addressed(caller, to, Some(kind)).await?;
        let draft =
            Draft { reference, ..Draft::words(standing.conversation.id, text, Dialect::Courier) };
        Ok(LetterReply::Posted(self.post(caller, draft).await?.message))
    }

    /// How far those of the named messages that the caller wrote have come; of conversations in
    /// which it has no part any more it learns nothing.
    async fn letter_status(
        &self,
        caller: &Caller,
        named: &[MessageId],
    ) -> Result<Vec<LetterStatus>, Refusal> {
        let author = caller.principal;
        let mut statuses = Vec::new();
        for (conversation, ids) in self.store().conversations_of_messages(named).await? {
            let own: Vec<Message> = self.store().list_own_messages(author, &ids).await?;
            if own.is_empty() || self.letter_standing(caller, Some(conversation)).await?.is_none() {
                continue;
            }
            let places: Vec<_> = own.iter().filter_map(|one| Some((one.seq, one.place?))).collect();
            let found = self.store().receptions(conversation, author, &places).await?;
            let shown = own.iter().filter(|one| one.place.is_some());
            for (message, receptions) in shown.zip(found) {
                let at_least =
                    |step| receptions.iter().filter(|one| one.receipt >= Some(step)).count();
                statuses.push(LetterStatus {
                    message: message.id,
                    members: receptions.len(),
                    delivered: at_least(Receipt::Delivered),
                    seen: at_least(Receipt::Seen),
                });
            }
        }
        statuses.sort_unstable_by_key(|status| status.message);
        Ok(statuses)
    }

    async fn describe(
        &self,
        conversations: Vec<Conversation>,
    ) -> Result<Vec<Description>, Refusal> {
        let ids: Vec<_> = conversations.iter().map(|conversation| conversation.id).collect();
        let mut members = self.store().list_members_of(&ids).await?;
        let described = conversations.into_iter().map(|conversation| {
            let members = members.remove(&conversation.id).unwrap_or_default();
            Description { conversation, members }
        });
        Ok(described.collect())
    }

    async fn read_before(
        &self,
        caller: &Caller,
        of: Addressee,
        before: Option<MessageId>,
        limit: u32,
    ) -> Result<LetterReply, Refusal> {
        let standing = self.addressed(caller, of, None).await?;
        let permit = policy::may_read(&standing)?;
        let before = match before {
            Some(id) => Some(self.store().place_of(&permit, id).await?),
            None => None,
        };
        let limit = limit.clamp(1, HISTORY);
        let page = self.store().shown_before(&permit, before, limit).await?;
        let (conversation, kind) = (permit.conversation(), permit.kind());
        Ok(LetterReply::Read { conversation, kind, page })
    }
}
