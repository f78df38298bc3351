//! Who is online: counting connections in and out, and telling those whom it concerns.

use std::collections::HashSet;
use std::net::IpAddr;
use std::time::Duration;

use tokio::sync::mpsc;

use super::{Caller, Services};
use crate::domain::{Event, Principal, Refusal, RefusalKind, Topic};
use crate::hub::{Arrival, ConnectionId, Departure, Hub, News, Notice};
use crate::store::{Store, StoreError};

/// How much later refusals come that are too many.
const REFUSED: Duration = Duration::from_secs(1);

/// Tells of comings and goings, one after the other, so that nobody hears them swapped.
#[derive(Clone, Debug)]
pub struct PresenceTeller {
    /// Whose presence to look at again. Unbounded: there are at most as many entries as
    /// connections that come or go.
    changed: mpsc::UnboundedSender<Principal>,
}

impl PresenceTeller {
    /// Starts the task; it ends when the last teller is dropped.
    pub fn start(store: Store) -> Self {
        let (changed, mut look) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut told = HashSet::new();
            while let Some(principal) = look.recv().await {
                if let Err(error) = tell(&store, &mut told, principal).await {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, ?principal, "presence was not told");
                }
            }
        });
        Self { changed }
    }

    fn look_at(&self, principal: Principal) {
        // Without the task the server is on its way down, and nobody wants to know.
        let _ = self.changed.send(principal);
    }
}

async fn tell(
    store: &Store,
    told: &mut HashSet<Principal>,
    principal: Principal,
) -> Result<(), StoreError> {
    let online = store.hub().roster().is_online(principal);
    let news = if online { told.insert(principal) } else { told.remove(&principal) };
    if !news {
        return Ok(());
    }
    let now = store.clock().now();
    if !online {
        store.set_last_seen(principal, now).await?;
    }
    let Some(who) = store.find_party(principal).await? else { return Ok(()) };
    let roster = store.hub().roster();
    let topics: Vec<_> = store
        .list_concerned(principal)
        .await?
        .into_iter()
        .filter(|other| roster.is_online(*other))
        .map(Topic::Inbox)
        .collect();
    let last_seen = (!online).then_some(now);
    let event = Event::PresenceChanged { who, online, last_seen };
    store.tell(News::none().personal(Notice::new(topics, event))).await;
    Ok(())
}

impl Services {
    /// Where events are told.
    pub fn hub(&self) -> &Hub {
        self.store().hub()
    }

    /// Lets a connection speak for an account, in the place of whom it spoke for before.
    /// A refusal changes nothing.
    pub async fn bind(
        &self,
        connection: ConnectionId,
        was: Option<Caller>,
        caller: &Caller,
    ) -> Result<(), Refusal> {
        let hub = self.hub();
        let same = was.is_some_and(|was| was.principal == caller.principal);
        if !same {
            self.count_in(connection, caller.principal)?;
        }
        // Listens first and looks then: a login that ends in between is noticed by one of
        // the two.
        let own = [Topic::Inbox(caller.principal), Topic::Login(caller.login)];
        let fresh: Vec<_> =
            own.into_iter().filter(|topic| hub.subscribe(connection, *topic)).collect();
        if let Err(refusal) = self.require_login(caller).await {
            for topic in fresh {
                hub.unsubscribe(connection, topic);
            }
            if !same {
                self.count_out(connection, caller.principal);
            }
            return Err(refusal);
        }
        let Some(was) = was else { return Ok(()) };
        if !same {
            hub.retain(connection, &own);
            self.count_out(connection, was.principal);
        } else if was.login != caller.login {
            hub.unsubscribe(connection, Topic::Login(was.login));
        }
        Ok(())
    }

    /// An address that was refused too often hears of it a second later; who brings good
    /// credentials is never slowed down.
    pub async fn slow_down_refused(&self, address: IpAddr) {
        if self.auth().attempts.refused(address).is_err() {
            tokio::time::sleep(REFUSED).await;
        }
    }

    /// Lets a connection speak for nobody: it hears nothing any more, and the account is
    /// offline if this was its last.
    pub fn unbind(&self, connection: ConnectionId, caller: &Caller) {
        self.hub().retain(connection, &[]);
        self.count_out(connection, caller.principal);
    }

    async fn require_login(&self, caller: &Caller) -> Result<(), Refusal> {
        let identity = self.store().identity(caller.principal, caller.login).await?;
        if identity.is_some_and(|identity| identity.active && identity.alive) {
            return Ok(());
        }
        Err(Refusal::new(RefusalKind::Unidentified, "Invalid token"))
    }

    fn count_in(&self, connection: ConnectionId, principal: Principal) -> Result<(), Refusal> {
        let limit = self.limits().sockets_per_user.get();
        match self.hub().roster().arrive(principal, connection, limit) {
            Ok(Arrival::First) => self.presence().look_at(principal),
            Ok(Arrival::Further) => {}
            Err(full) => {
                return Err(Refusal::new(RefusalKind::Conflict, full.to_string()));
            }
        }
        Ok(())
    }

    fn count_out(&self, connection: ConnectionId, principal: Principal) {
        match self.hub().roster().depart(principal, connection) {
            Departure::Last => self.presence().look_at(principal),
            Departure::Further | Departure::Unknown => {}
        }
    }
}
