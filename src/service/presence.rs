//! Who is online: counting connections in and out, and telling those whom it concerns.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::accounts::too_often;
use super::{Caller, Services};
use crate::domain::{
    Dialect, Event, FileId, Identified, Party, Principal, Refusal, RefusalKind, Topic, UserId,
};
use crate::hub::{Arrival, ConnectionId, Departure, Hub, News, Notice};
use crate::store::{Store, StoreError};

/// How much later refusals come that are too many.
const REFUSED: Duration = Duration::from_secs(1);

/// A connection that is to speak for an account.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// Which.
    pub connection: ConnectionId,
    /// For whom it speaks up to now.
    pub was: Option<Caller>,
    /// For whom it is to speak.
    pub caller: Caller,
    /// In which language.
    pub dialect: Dialect,
    /// What it hears then.
    pub hearing: Hearing,
}

/// What connections of a dialect hear without joining anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hearing {
    /// Everything in their account's direct conversations and groups.
    pub mail: bool,
    /// News of rooms.
    pub rooms: bool,
}

impl Hearing {
    /// What concerns their account and their login, as all do.
    pub const PERSONAL: Self = Self { mail: false, rooms: false };

    fn topics(self, caller: &Caller) -> Vec<Topic> {
        let mut topics = vec![Topic::Inbox(caller.principal), Topic::Login(caller.login)];
        topics.extend(caller.principal.user().filter(|_| self.mail).map(Topic::Mail));
        topics.extend(self.rooms.then_some(Topic::Rooms));
        topics
    }
}

/// Tells of comings and goings, one after the other, so that nobody hears them swapped.
#[derive(Clone, Debug)]
pub struct PresenceTeller {
    /// Whose presence to look at again. Unbounded: there are at most as many entries as
    /// connections that come or go, and each may announce only so often.
    looks: mpsc::UnboundedSender<Look>,
    active: ActiveUsers,
}

/// What the teller is asked to look at.
#[derive(Clone, Copy, Debug)]
enum Look {
    /// Whether this account is online, which a connection of this dialect may have made it.
    Changed(Principal, Option<Dialect>),
    /// This user says so, once more perhaps.
    Announced(UserId),
}

/// A name for each user who is online, made when they come and forgotten when they go.
type ActiveUsers = Arc<Mutex<HashMap<UserId, Uuid>>>;

/// What the task that tells has told.
struct Told {
    store: Store,
    online: HashSet<Principal>,
    active: ActiveUsers,
}

impl PresenceTeller {
    /// Starts the task; it ends when the last teller is dropped and everything is told.
    pub fn start(store: Store) -> (Self, JoinHandle<()>) {
        let (looks, mut look) = mpsc::unbounded_channel();
        let active = ActiveUsers::default();
        let mut told = Told { store, online: HashSet::new(), active: Arc::clone(&active) };
        let task = tokio::spawn(async move {
            while let Some(look) = look.recv().await {
                let result = match look {
                    Look::Changed(principal, via) => told.look(principal, via).await,
                    Look::Announced(user) => told.announce(user).await,
                };
                if let Err(error) = result {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, ?look, "presence was not told");
                }
            }
        });
        (Self { looks, active }, task)
    }

    /// Looks whether this account is online, which a connection of this dialect may have made it.
    fn look_at(&self, principal: Principal, via: Option<Dialect>) {
        if let (Some(user), Some(_)) = (principal.user(), via) {
            // At once, so that who has just come and asks finds itself in the list.
            self.active.lock().entry(user).or_insert_with(|| FileId::random().get());
        }
        // Without the task the server is on its way down, and nobody wants to know.
        let _ = self.looks.send(Look::Changed(principal, via));
    }

    /// Tells those who have a dialog with this user that they are online.
    pub(super) fn announce(&self, user: UserId) {
        let _ = self.looks.send(Look::Announced(user));
    }

    /// The users who are online, as far as it was told, and their names for a while.
    pub(super) fn active(&self) -> Vec<(UserId, Uuid)> {
        self.active.lock().iter().map(|(user, name)| (*user, *name)).collect()
    }
}

impl Told {
    /// Tells whether an account is online, if that is news.
    async fn look(&mut self, principal: Principal, via: Option<Dialect>) -> Result<(), StoreError> {
        let store = &self.store;
        let online = {
            // Looked at under the lock: whoever comes now is put in again afterwards.
            let mut active = self.active.lock();
            let online = store.hub().roster().is_online(principal);
            if let Some(user) = principal.user().filter(|_| !online) {
                active.remove(&user);
            }
            online
        };
        let news =
            if online { self.online.insert(principal) } else { self.online.remove(&principal) };
        if !news {
            return Ok(());
        }
        let now = store.clock().now();
        if !online {
            store.set_last_seen(principal, now).await?;
        }
        let Some(who) = store.find_party(principal).await? else { return Ok(()) };
        let concerned = store.list_concerned(principal).await?;
        let mut topics: Vec<_> = concerned.into_iter().map(Topic::Inbox).collect();
        topics.extend(principal.user().map(Topic::Presence));
        let last_seen = (!online).then_some(now);
        let via = via.filter(|_| online);
        let event = Event::PresenceChanged { who: who.clone(), online, last_seen, via };
        store.tell(News::none().personal(Notice::new(topics, event))).await;
        let Principal::User(user) = principal else { return Ok(()) };
        let event = Event::ActiveUsersChanged { asked_by: None };
        let notice = Notice::new([Topic::ActiveUsers], event);
        store.tell(News::none().personal(notice)).await;
        // A page of private-chat says itself when it is there.
        if via != Some(Dialect::PrivateChat) {
            self.tell_dialogs(user, who, online).await?;
        }
        Ok(())
    }

    async fn announce(&self, user: UserId) -> Result<(), StoreError> {
        let principal = Principal::User(user);
        if !self.store.hub().roster().is_online(principal) {
            return Ok(());
        }
        match self.store.find_party(principal).await? {
            Some(who) => self.tell_dialogs(user, who, true).await,
            None => Ok(()),
        }
    }

    /// Tells everybody who has a dialog with a user, and those who wait for this one alone.
    async fn tell_dialogs(&self, user: UserId, who: Party, online: bool) -> Result<(), StoreError> {
        let partners = self.store.list_dialog_partners(user).await?;
        let mut topics: Vec<_> =
            partners.into_keys().map(|other| Topic::Inbox(Principal::User(other))).collect();
        topics.push(Topic::Presence(user));
        let event = Event::PresenceAnnounced { who, online };
        self.store.tell(News::none().personal(Notice::new(topics, event))).await;
        Ok(())
    }
}

impl Services {
    /// Where events are told.
    pub fn hub(&self) -> &Hub {
        self.store().hub()
    }

    /// Lets a connection speak for an account, in the place of whom it spoke for before.
    /// A refusal changes nothing.
    pub async fn bind(&self, binding: Binding) -> Result<Identified, Refusal> {
        let Binding { connection, was, caller, dialect, hearing } = binding;
        let hub = self.hub();
        let same = was.is_some_and(|was| was.principal == caller.principal);
        let first = !same && self.count_in(connection, caller.principal, dialect)?;
        // Listens first and looks then: a login that ends in between is noticed by one of
        // the two.
        let own = hearing.topics(&caller);
        let fresh: Vec<_> =
            own.iter().filter(|topic| hub.subscribe(connection, **topic)).copied().collect();
        let who = match self.require_login(&caller).await {
            Ok(who) => who,
            Err(refusal) => {
                for topic in fresh {
                    hub.unsubscribe(connection, topic);
                }
                if !same {
                    self.count_out(connection, caller.principal);
                }
                return Err(refusal);
            }
        };
        if let Some(was) = was {
            if !same {
                hub.retain(connection, &own);
                self.places().end(hub, connection);
                self.typing().gone(connection);
                self.desk().unbound(connection, was.principal);
                self.count_out(connection, was.principal);
            } else if was.login != caller.login {
                hub.unsubscribe(connection, Topic::Login(was.login));
            }
        }
        self.desk().bound(connection, caller.principal);
        Ok(Identified { who, connection, first })
    }

    /// A connection is about to be unbound because it is lost, and not because of what
    /// anybody did.
    pub fn lose(&self, connection: ConnectionId) {
        self.desk().lost(connection);
    }

    /// A connection has ended.
    pub fn end(&self, connection: ConnectionId) {
        self.hub().detach(connection);
    }

    /// Counts a refused handshake of an address, and says if there were too many.
    pub fn count_refused(&self, address: IpAddr) -> Result<(), Refusal> {
        self.auth().attempts.refused(address).map_err(too_often)
    }

    /// An address that was refused too often hears of it a second later; who brings good
    /// credentials is never slowed down.
    pub async fn slow_down_refused(&self, address: IpAddr) {
        if self.count_refused(address).is_err() {
            tokio::time::sleep(REFUSED).await;
        }
    }

    /// Lets a connection speak for nobody: it hears nothing any more, and the account is
    /// offline if this was its last.
    pub fn unbind(&self, connection: ConnectionId, caller: &Caller) {
        self.hub().retain(connection, &[]);
        self.places().end(self.hub(), connection);
        self.typing().gone(connection);
        self.desk().unbound(connection, caller.principal);
        self.count_out(connection, caller.principal);
    }

    async fn require_login(&self, caller: &Caller) -> Result<Party, Refusal> {
        let refused = || Refusal::new(RefusalKind::Unidentified, "Invalid token");
        let identity = self.store().identity(caller.principal, caller.login).await?;
        if !identity.is_some_and(|identity| identity.active && identity.alive) {
            return Err(refused());
        }
        self.store().find_party(caller.principal).await?.ok_or_else(refused)
    }

    /// Counts a connection in, and says whether it is the account's first.
    fn count_in(
        &self,
        connection: ConnectionId,
        principal: Principal,
        dialect: Dialect,
    ) -> Result<bool, Refusal> {
        let limit = self.limits().sockets_per_user.get();
        match self.hub().roster().arrive(principal, connection, limit) {
            Ok(Arrival::First) => {
                self.presence().look_at(principal, Some(dialect));
                Ok(true)
            }
            Ok(Arrival::Further) => Ok(false),
            Err(full) => Err(Refusal::new(RefusalKind::TooManyConnections, full.to_string())),
        }
    }

    fn count_out(&self, connection: ConnectionId, principal: Principal) {
        match self.hub().roster().depart(principal, connection) {
            Departure::Last => self.presence().look_at(principal, None),
            Departure::Further | Departure::Unknown => {}
        }
    }

    /// A connection that stays open makes its account online no more.
    pub(super) fn rest(&self, caller: &Caller) {
        let Some(connection) = caller.connection else { return };
        if self.hub().roster().rest(caller.principal, connection) == Departure::Last {
            self.presence().look_at(caller.principal, None);
        }
    }

    /// A connection that rested counts again.
    pub(super) fn rise(&self, caller: &Caller, dialect: Dialect) {
        let Some(connection) = caller.connection else { return };
        if self.hub().roster().rise(caller.principal, connection) == Arrival::First {
            self.presence().look_at(caller.principal, Some(dialect));
        }
    }
}
