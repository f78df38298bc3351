//! Who is online: counting connections in and out, and telling those whom it concerns.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::accounts::too_often;
use super::identity::require_living;
use super::{Caller, Services};
use crate::domain::{
    Dialect, Event, Identified, Party, PresenceMark, Principal, Refusal, RefusalKind, Timestamp,
    Topic,
};
use crate::hub::{ConnectionId, Hub, Roster, Turn};
use crate::store::{Store, StoreError};

/// How long a socket of private-chat may take to say that it is online before that is said
/// for it, to clients of private-chat.
const SETTLE: Duration = Duration::from_secs(2);
/// How long it is gathered who was last online when, before it is written.
const GATHERED: Duration = Duration::from_millis(200);
/// How often what could not be done is tried again.
const UPKEEP: Duration = Duration::from_secs(1);
/// Accounts that are written in one transaction.
const TOGETHER: usize = 500;
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

/// Tells of comings and goings, in the order in which they happened, without waiting for the
/// database.
#[derive(Clone, Debug)]
pub struct PresenceTeller {
    /// The task ends when nobody holds this.
    _alive: mpsc::Sender<()>,
}

impl PresenceTeller {
    /// Starts the task; it ends when the last teller is dropped and everything is told.
    pub fn start(store: Store) -> (Self, JoinHandle<()>) {
        let (alive, mut ended) = mpsc::channel(1);
        let told = Told { store, last_seen: LastSeen::default() };
        let task = tokio::spawn(async move {
            let tell = async {
                loop {
                    tokio::select! {
                        turn = told.roster().next_turn() => told.take(turn).await,
                        _ = ended.recv() => break,
                    }
                }
                while let Some(turn) = told.roster().ready_turn() {
                    told.take(turn).await;
                }
                told.last_seen.end.cancel();
            };
            tokio::join!(tell, told.keep_up());
        });
        (Self { _alive: alive }, task)
    }
}

/// When accounts were last online, until it is written.
#[derive(Debug, Default)]
struct LastSeen {
    unwritten: Mutex<BTreeMap<Principal, Timestamp>>,
    noted: Notify,
    end: CancellationToken,
}

/// What the task works with.
struct Told {
    store: Store,
    last_seen: LastSeen,
}

impl Told {
    fn roster(&self) -> &Roster {
        self.store.hub().roster()
    }

    async fn take(&self, turn: Turn) {
        let principal = turn.principal;
        self.tell(turn).await;
        self.roster().told();
        self.store.forget_contacts(principal);
    }

    async fn tell(&self, turn: Turn) {
        let Turn { principal, online, changes, announced } = turn;
        let now = self.store.clock().now();
        let concerned = self.store.concerned_by(principal);
        let own = principal.user().map(Topic::Presence);
        let hub = self.store.hub();
        if announced {
            let dialogs = concerned.dialogs.into_iter().map(Principal::User);
            let topics: Vec<_> = dialogs.map(Topic::Inbox).chain(own).collect();
            let Some(who) = concerned.who else { return };
            for changes in changes {
                let event = Event::PresenceAnnounced { who: who.clone(), online, changes };
                hub.publish(&topics, event).await;
            }
            return;
        }
        if !online {
            self.last_seen.unwritten.lock().insert(principal, now);
            self.last_seen.noted.notify_one();
        }
        let Some(who) = concerned.who else { return };
        let sharing = concerned.sharing.into_iter().map(Topic::Inbox);
        let topics: Vec<_> = sharing.chain(own).collect();
        let last_seen = (!online).then_some(now);
        for changes in changes {
            let who = who.clone();
            let event = Event::PresenceChanged { who, online, last_seen, changes };
            hub.publish(&topics, event).await;
        }
        if principal.user().is_some() && hub.is_heard(Topic::ActiveUsers) {
            hub.publish(&[Topic::ActiveUsers], Event::ActiveUsersChanged { asked_by: None }).await;
        }
    }

    /// Writes when accounts were last online, and what else had no database to read or write.
    async fn keep_up(&self) {
        while !self.last_seen.end.is_cancelled() {
            let noted = tokio::time::timeout(UPKEEP, self.last_seen.noted.notified());
            tokio::select! {
                _ = noted => {}
                () = self.last_seen.end.cancelled() => {}
            }
            // Whoever goes in this time is written with them.
            tokio::select! {
                () = tokio::time::sleep(GATHERED) => {}
                () = self.last_seen.end.cancelled() => {}
            }
            let mut done = self.write_last_seen().await;
            if done.is_ok() {
                done = self.store.renew_stale_contacts().await;
            }
            if let Err(error) = done {
                warn(&error);
                tokio::time::sleep(UPKEEP).await;
            }
        }
    }

    async fn write_last_seen(&self) -> Result<(), StoreError> {
        loop {
            let seen: Vec<_> = {
                let mut unwritten = self.last_seen.unwritten.lock();
                std::iter::from_fn(|| unwritten.pop_first()).take(TOGETHER).collect()
            };
            if seen.is_empty() {
                return Ok(());
            }
            if let Err(error) = self.store.set_last_seen(&seen).await {
                let mut unwritten = self.last_seen.unwritten.lock();
                for (principal, time) in seen {
                    unwritten.entry(principal).or_insert(time);
                }
                return Err(error);
            }
        }
    }
}

fn warn(error: &StoreError) {
    let error = error as &dyn std::error::Error;
    tracing::warn!(error, "when people were last online is not written now");
}

impl Services {
    /// Where events are told.
    pub fn hub(&self) -> &Hub {
        self.store().hub()
    }

    /// Lets a connection speak for an account, in the place of whom it spoke for before.
    /// A refusal changes nothing.
    pub async fn bind(&self, binding: Binding) -> Result<Identified, Refusal> {
        let Binding { connection, was, caller, hearing, .. } = binding;
        let hub = self.hub();
        let own = hearing.topics(&caller);
        // Listens first and looks then: a login that ends in between is noticed by one of
        // the two.
        let mut fresh = Vec::new();
        let login = Topic::Login(caller.login);
        fresh.extend(hub.subscribe(connection, login).then_some(login));
        let admitted = self.admit(binding, &own, &mut fresh).await;
        let (who, since) = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) => {
                for topic in fresh {
                    hub.unsubscribe(connection, topic);
                }
                return Err(refusal);
            }
        };
        if let Some(was) = was {
            if since.is_some() {
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
        Ok(Identified { who, connection, since })
    }

    /// Counts a connection in, unless it spoke for the same account before.
    async fn admit(
        &self,
        binding: Binding,
        own: &[Topic],
        fresh: &mut Vec<Topic>,
    ) -> Result<(Party, Option<PresenceMark>), Refusal> {
        let Binding { connection, was, caller, dialect, .. } = binding;
        let same = was.is_some_and(|was| was.principal == caller.principal);
        let who = self.require_login(&caller).await?;
        if !same {
            self.store().hold_contacts(caller.principal).await?;
        }
        // Nothing is waited for between listening and counting: what is told in between
        // happened before.
        let listens = |topic: &&Topic| self.hub().subscribe(connection, **topic);
        fresh.extend(own.iter().filter(listens).copied());
        if same {
            return Ok((who, None));
        }
        let counted = self.count_in(connection, caller.principal, dialect);
        if counted.is_err() {
            self.store().let_go_contacts(caller.principal);
        }
        Ok((who, Some(counted?)))
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
        let identity = identity.filter(|identity| identity.active).ok_or_else(refused)?;
        require_living(identity.login)?;
        self.store().find_party(caller.principal).await?.ok_or_else(refused)
    }

    fn count_in(
        &self,
        connection: ConnectionId,
        principal: Principal,
        dialect: Dialect,
    ) -> Result<PresenceMark, Refusal> {
        let limit = self.limits().sockets_per_user.get();
        let settle = (dialect == Dialect::PrivateChat).then_some(SETTLE);
        let arrived = self.hub().roster().arrive(principal, connection, limit, settle);
        arrived.map_err(|full| Refusal::new(RefusalKind::TooManyConnections, full.to_string()))
    }

    fn count_out(&self, connection: ConnectionId, principal: Principal) {
        if self.hub().roster().depart(principal, connection) {
            self.store().let_go_contacts(principal);
        }
    }

    /// A connection that stays open makes its account online no more.
    pub(super) fn rest(&self, caller: &Caller) {
        if let Some(connection) = caller.connection {
            self.hub().roster().rest(caller.principal, connection);
        }
    }

    /// A connection says that its user is online; one that rested counts again.
    pub(super) fn announce_presence(&self, caller: &Caller) {
        if let Some(connection) = caller.connection {
            self.hub().roster().announce(caller.principal, connection);
        }
    }
}
