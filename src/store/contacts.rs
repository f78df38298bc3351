//! Whom the presence of those who are connected concerns, kept in memory: telling of presence
//! does not wait for the database.
//!
//! What is known of a principal is read before its first connection counts, and is read anew
//! where a change may have brought something; what a change takes away is taken at once.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use entity::{conversations, members, messages};
use moka::sync::Cache;
use parking_lot::Mutex;
use sea_orm::sea_query::{Expr, ExprTrait, Query};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QuerySelect, RelationTrait};

use super::conversations::{NAMED, kind_to_db};
use super::{Store, StoreError};
use crate::domain::{
    CircleChange, CircleId, ConversationChange, ConversationId, Event, Kind, Party, Principal,
    UserId,
};

/// For how many memberships it is kept whether their holder has written.
const WRITTEN: u64 = 100_000;
/// How long the answer to a change waits until what it brought is known here.
const RENEWED: Duration = Duration::from_secs(1);

/// What brings people together, rooms aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Group {
    Circle(CircleId),
    Conversation(ConversationId),
}

/// Where a principal belongs.
#[derive(Clone, Debug, Default)]
struct Memberships {
    circles: Vec<CircleId>,
    /// Direct conversations and groups outside of circles, and whether it has written there.
    conversations: HashMap<ConversationId, bool>,
    /// With whom a user has a dialog.
    dialogs: Vec<UserId>,
}

impl Memberships {
    fn groups(&self) -> impl Iterator<Item = Group> {
        let circles = self.circles.iter().map(|id| Group::Circle(*id));
        circles.chain(self.conversations.keys().map(|id| Group::Conversation(*id)))
    }
}

/// What is known of a principal.
struct Contact {
    who: Option<Party>,
    belongs: Memberships,
    /// Connections that count, or are about to.
    connections: usize,
    /// Counts what has changed, so that a slow reading is noticed.
    version: u64,
}

#[derive(Default)]
struct State {
    known: HashMap<Principal, Contact>,
    /// Who is connected, by what brings them together.
    listening: HashMap<Group, HashSet<Principal>>,
    /// Whose memberships are to be read anew.
    stale: HashSet<Principal>,
}

impl State {
    fn listen(&mut self, principal: Principal, listens: bool) {
        let Some(contact) = self.known.get(&principal) else { return };
        for group in contact.belongs.groups() {
            set_listening(&mut self.listening, group, principal, listens);
        }
    }

    fn remove(&mut self, principal: Principal, group: Group) {
        if let Some(contact) = self.known.get_mut(&principal) {
            contact.version += 1;
            match group {
                Group::Circle(id) => contact.belongs.circles.retain(|circle| *circle != id),
                Group::Conversation(id) => drop(contact.belongs.conversations.remove(&id)),
            }
        }
        set_listening(&mut self.listening, group, principal, false);
    }

    fn remove_all(&mut self, group: Group) {
        for principal in self.listening.get(&group).cloned().unwrap_or_default() {
            self.remove(principal, group);
        }
    }

    fn touch(&mut self, principal: Principal) {
        if let Some(contact) = self.known.get_mut(&principal) {
            contact.version += 1;
            self.stale.insert(principal);
        }
    }
}

fn set_listening(
    listening: &mut HashMap<Group, HashSet<Principal>>,
    group: Group,
    principal: Principal,
    listens: bool,
) {
    if listens {
        listening.entry(group).or_default().insert(principal);
    } else if let Some(there) = listening.get_mut(&group) {
        there.remove(&principal);
        if there.is_empty() {
            listening.remove(&group);
        }
    }
}

/// Whom a change of somebody's presence is to be told to.
#[derive(Clone, Debug, Default)]
pub struct Concerned {
    /// Who it is.
    pub who: Option<Party>,
    /// Those of the connected who share something with them (a circle, or a conversation in
    /// which they have written).
    pub sharing: Vec<Principal>,
    /// Those who have a dialog with them.
    pub dialogs: Vec<UserId>,
}

/// Everything known of those who are connected.
pub(super) struct Contacts {
    state: Mutex<State>,
    written: Cache<(ConversationId, UserId), bool>,
}

impl Default for Contacts {
    fn default() -> Self {
        Self { state: Mutex::default(), written: Cache::new(WRITTEN) }
    }
}

impl Contacts {
    /// Something has been committed.
    pub(super) fn observe(&self, event: &Event) {
        match event {
            Event::MessagePosted { message, .. } => {
                if let Principal::User(author) = message.author {
                    self.wrote(message.conversation, author);
                }
            }
            Event::CircleChanged { circle, change } => {
                let group = Group::Circle(*circle);
                let mut state = self.state.lock();
                match change {
                    CircleChange::Joined(who) => state.touch(who.principal()),
                    CircleChange::Quit(who) | CircleChange::Kicked { user: who, .. } => {
                        state.remove(who.principal(), group);
                    }
                    CircleChange::Deleted => state.remove_all(group),
                    CircleChange::Updated
                    | CircleChange::Invited(_)
                    | CircleChange::Connected(_)
                    | CircleChange::Disconnected(_)
                    | CircleChange::DeviceCreated(_)
                    | CircleChange::DeviceUpdated(_)
                    | CircleChange::DeviceConnected(_)
                    | CircleChange::DeviceDisconnected(_) => {}
                }
            }
            Event::ConversationChanged { conversation, change } => {
                let group = Group::Conversation(*conversation);
                let mut state = self.state.lock();
                match change {
                    ConversationChange::Invited(principal) => state.touch(*principal),
                    ConversationChange::Quit(who)
                    | ConversationChange::Kicked { user: who, .. } => {
                        state.remove(who.principal(), group);
                    }
                    ConversationChange::Deleted => state.remove_all(group),
                    ConversationChange::Updated
                    | ConversationChange::Promoted(_)
                    | ConversationChange::DeviceAdded
                    | ConversationChange::DeviceRemoved(_) => {}
                }
            }
            _ => {}
        }
    }

    fn wrote(&self, conversation: ConversationId, author: UserId) {
        let mut state = self.state.lock();
        if let Some(contact) = state.known.get_mut(&Principal::User(author)) {
            match contact.belongs.conversations.get_mut(&conversation) {
                Some(true) => return,
                Some(written) => *written = true,
                // Perhaps it is being read.
                None => contact.version += 1,
            }
        }
        if self.written.contains_key(&(conversation, author)) {
            self.written.insert((conversation, author), true);
        }
    }

    /// Something about these may have been added.
    pub(super) fn touch(&self, principals: impl IntoIterator<Item = Principal>) {
        let mut state = self.state.lock();
        for principal in principals {
            state.touch(principal);
        }
    }

    fn stale(&self) -> Vec<Principal> {
        self.state.lock().stale.iter().copied().collect()
    }
}

impl Store {
    /// Knows whom the presence of a principal concerns, from before one of its connections
    /// counts until that has ended and is told.
    pub async fn hold_contacts(&self, principal: Principal) -> Result<(), StoreError> {
        let known = {
            let mut state = self.contacts().state.lock();
            let fresh = || Contact {
                who: None,
                belongs: Memberships::default(),
                connections: 0,
                version: 0,
            };
            let contact = state.known.entry(principal).or_insert_with(fresh);
            contact.connections += 1;
            let (is_first, known) = (contact.connections == 1, contact.who.is_some());
            if is_first {
                state.listen(principal, true);
            }
            known && !state.stale.contains(&principal)
        };
        if !known && let Err(error) = self.read_contacts(principal).await {
            self.let_go_contacts(principal);
            return Err(error);
        }
        Ok(())
    }

    /// A connection that counted has ended, or does not count after all.
    pub fn let_go_contacts(&self, principal: Principal) {
        {
            let mut state = self.contacts().state.lock();
            let Some(contact) = state.known.get_mut(&principal) else { return };
            contact.connections = contact.connections.saturating_sub(1);
            if contact.connections == 0 {
                state.listen(principal, false);
            }
        }
        self.forget_contacts(principal);
    }

    /// Forgets what nobody needs any more.
    pub fn forget_contacts(&self, principal: Principal) {
        if self.hub().roster().concerns(principal) {
            return;
        }
        let mut state = self.contacts().state.lock();
        if state.known.get(&principal).is_some_and(|contact| contact.connections == 0) {
            state.known.remove(&principal);
            state.stale.remove(&principal);
        }
    }

    /// Whom the presence of somebody concerns who is connected, or was a moment ago.
    pub fn concerned_by(&self, principal: Principal) -> Concerned {
        let state = self.contacts().state.lock();
        let Some(contact) = state.known.get(&principal) else { return Concerned::default() };
        let belongs = &contact.belongs;
        let circles = belongs.circles.iter().map(|id| Group::Circle(*id));
        let written = belongs.conversations.iter().filter(|(_, written)| **written);
        let written = written.map(|(id, _)| Group::Conversation(*id));
        let mut sharing: HashSet<_> = circles
            .chain(written)
            .filter_map(|group| state.listening.get(&group))
            .flatten()
            .copied()
            .collect();
        sharing.remove(&principal);
        Concerned {
            who: contact.who.clone(),
            sharing: sharing.into_iter().collect(),
            dialogs: belongs.dialogs.clone(),
        }
    }

    /// Reads anew what changes have brought, for a while.
    pub(super) async fn renew_contacts(&self) {
        if self.contacts().stale().is_empty() {
            return;
        }
        // What takes longer is done by whoever keeps things up.
        if let Ok(Err(error)) = tokio::time::timeout(RENEWED, self.renew_stale_contacts()).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "who shares something with whom is not read now");
        }
    }

    /// The same, for as long as it takes.
    pub async fn renew_stale_contacts(&self) -> Result<(), StoreError> {
        for principal in self.contacts().stale() {
            self.read_contacts(principal).await?;
        }
        Ok(())
    }

    async fn read_contacts(&self, principal: Principal) -> Result<(), StoreError> {
        let contacts = self.contacts();
        let version = |state: &State| state.known.get(&principal).map(|known| known.version);
        loop {
            let Some(before) = version(&contacts.state.lock()) else { return Ok(()) };
            let who = self.find_party(principal).await?;
            let belongs = self.memberships_of(principal).await?;
            let mut state = contacts.state.lock();
            if version(&state).is_some_and(|now| now != before) {
                continue;
            }
            state.listen(principal, false);
            state.stale.remove(&principal);
            let Some(contact) = state.known.get_mut(&principal) else { return Ok(()) };
            if let Principal::User(user) = principal {
                for (conversation, written) in &belongs.conversations {
                    contacts.written.insert((*conversation, user), *written);
                }
            }
            (contact.who, contact.belongs) = (who, belongs);
            if contact.connections > 0 {
                state.listen(principal, true);
            }
            return Ok(());
        }
    }

    async fn memberships_of(&self, principal: Principal) -> Result<Memberships, StoreError> {
        let mut found =
            Memberships { circles: self.circle_ids(principal).await?, ..Memberships::default() };
        let Principal::User(user) = principal else { return Ok(found) };
        let rows: Vec<(i64, i16, Option<i64>, Option<i64>)> = conversations::Entity::find()
            .join_rev(sea_orm::JoinType::InnerJoin, members::Relation::Conversation.def())
            .select_only()
            .column(conversations::Column::Id)
            .column(conversations::Column::Kind)
            .column(conversations::Column::DirectLow)
            .column(conversations::Column::DirectHigh)
            .filter(members::Column::UserId.eq(user.get()))
            .filter(members::Column::Live.eq(1))
            .filter(conversations::Column::Kind.ne(kind_to_db(Kind::Room)))
            // Who belongs to a conversation of a circle belongs to the circle.
            .filter(conversations::Column::CircleId.is_null())
            .filter(conversations::Column::DeletedAt.is_null())
            .filter(
                conversations::Column::Kind
                    .ne(kind_to_db(Kind::Direct))
                    .or(conversations::Column::ShownSince.is_not_null()),
            )
            .into_tuple()
            .all(self.reads())
            .await?;
        let is_direct = |kind: i16| kind == kind_to_db(Kind::Direct);
        let dialogs = rows.iter().filter(|(_, kind, ..)| is_direct(*kind));
        found.dialogs = dialogs
            .filter_map(|(_, _, low, high)| {
                let (low, high) = ((*low)?, (*high)?);
                Some(UserId::new(if low == user.get() { high } else { low }))
            })
            .collect();
        let ids = rows.iter().map(|(id, ..)| ConversationId::new(*id));
        found.conversations = self.written_in(user, ids).await?;
        Ok(found)
    }

    /// In which of these conversations a user has written.
    async fn written_in(
        &self,
        user: UserId,
        ids: impl Iterator<Item = ConversationId>,
    ) -> Result<HashMap<ConversationId, bool>, StoreError> {
        let (mut found, mut unknown) = (HashMap::new(), Vec::new());
        for id in ids {
            match self.contacts().written.get(&(id, user)) {
                Some(written) => drop(found.insert(id, written)),
                None => unknown.push(id.get()),
            }
        }
        for ids in unknown.chunks(NAMED) {
            let own = Query::select()
                .expr(Expr::val(1))
                .from(messages::Entity)
                .and_where(
                    Expr::col((messages::Entity, messages::Column::ConversationId))
                        .equals((conversations::Entity, conversations::Column::Id)),
                )
                .and_where(
                    Expr::col((messages::Entity, messages::Column::Sender))
                        .eq(Principal::User(user).to_db()),
                )
                .limit(1)
                .to_owned();
            let written: Vec<i64> = conversations::Entity::find()
                .select_only()
                .column(conversations::Column::Id)
                .filter(conversations::Column::Id.is_in(ids.iter().copied()))
                .filter(Expr::exists(own))
                .into_tuple()
                .all(self.reads())
                .await?;
            found.extend(ids.iter().map(|id| (ConversationId::new(*id), written.contains(id))));
        }
        Ok(found)
    }
}
