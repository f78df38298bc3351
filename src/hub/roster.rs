//! Who holds which connections. A principal is online while it holds one.
//!
//! Each change is numbered under the lock of this table, and is told in the order of the numbers.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::Notify;
use tokio::time::Instant;
use uuid::Uuid;

use super::ConnectionId;
use super::untold::{Turn, Untold};
use crate::domain::{FileId, PresenceMark, Principal, UserId};

/// An account may hold only so many connections (`limits.sockets_per_user`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this account has {limit} connections already, the most it may have (limits.sockets_per_user)"
)]
pub struct TooManyConnections {
    /// How many are allowed.
    pub limit: usize,
}

/// The connections of one principal.
#[derive(Debug, Default)]
struct Held {
    counted: Vec<ConnectionId>,
    /// Those that have said they are going; they only count against the limit.
    resting: Vec<ConnectionId>,
    /// A name for as long as it is online.
    name: Option<Uuid>,
}

impl Held {
    fn all(&self) -> impl Iterator<Item = ConnectionId> {
        self.counted.iter().chain(&self.resting).copied()
    }

    const fn is_online(&self) -> bool {
        !self.counted.is_empty()
    }
}

/// The connections of every principal, of every dialect, and what is to be told of them.
#[derive(Debug, Default)]
pub struct Roster {
    state: RwLock<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    present: HashMap<Principal, Held>,
    untold: Untold,
}

impl State {
    fn is_online(&self, principal: Principal) -> bool {
        self.present.get(&principal).is_some_and(Held::is_online)
    }

    const fn mark(&self) -> PresenceMark {
        PresenceMark::new(self.untold.last())
    }

    /// Changes what a principal holds; whether it is online otherwise than before is noted.
    fn change<T>(
        &mut self,
        principal: Principal,
        settle: Option<Duration>,
        work: impl FnOnce(&mut Held) -> T,
    ) -> (T, bool) {
        let held = self.present.entry(principal).or_default();
        let before = held.is_online();
        let outcome = work(held);
        let after = held.is_online();
        if after && held.name.is_none() {
            held.name = Some(FileId::random().get());
        }
        if !after {
            held.name = None;
        }
        if held.all().next().is_none() {
            self.present.remove(&principal);
        }
        if before != after {
            self.untold.change(principal, settle);
        }
        (outcome, before != after)
    }
}

impl Roster {
    /// Counts a connection in, if the principal may hold one more. It is told of presence as
    /// it changes from there on. If it brings its account online, clients of private-chat
    /// hear of that once it has had this time to say so itself.
    pub fn arrive(
        &self,
        principal: Principal,
        connection: ConnectionId,
        limit: usize,
        settle: Option<Duration>,
    ) -> Result<PresenceMark, TooManyConnections> {
        let mut state = self.state.write();
        let (arrived, news) = state.change(principal, settle, |held| {
            if held.all().count() >= limit {
                return Err(TooManyConnections { limit });
            }
            held.counted.push(connection);
            Ok(())
        });
        let mark = state.mark();
        drop(state);
        self.notify(news);
        arrived.map(|()| mark)
    }

    /// Counts a connection out; says whether it had been counted.
    pub fn depart(&self, principal: Principal, connection: ConnectionId) -> bool {
        let mut state = self.state.write();
        let (there, news) = state.change(principal, None, |held| {
            take(&mut held.counted, connection) || take(&mut held.resting, connection)
        });
        drop(state);
        self.notify(news);
        there
    }

    /// A connection that stays open says it is going: it makes nobody online any more.
    pub fn rest(&self, principal: Principal, connection: ConnectionId) {
        let ((), news) = self.state.write().change(principal, None, |held| {
            if take(&mut held.counted, connection) {
                held.resting.push(connection);
            }
        });
        self.notify(news);
    }

    /// A connection says that its user is online, also when it had rested: those who have a
    /// dialog with it are told, each time.
    pub fn announce(&self, principal: Principal, connection: ConnectionId) {
        let mut state = self.state.write();
        state.change(principal, None, |held| {
            if take(&mut held.resting, connection) {
                held.counted.push(connection);
            }
        });
        if state.is_online(principal) {
            state.untold.announce(principal);
        }
        drop(state);
        self.notify(true);
    }

    /// Whether a principal holds a connection that counts.
    pub fn is_online(&self, principal: Principal) -> bool {
        self.state.read().is_online(principal)
    }

    /// Who of these is online, and as of when.
    pub fn look(
        &self,
        principals: impl IntoIterator<Item = Principal>,
    ) -> (Vec<Principal>, PresenceMark) {
        let state = self.state.read();
        let online = principals.into_iter().filter(|one| state.is_online(*one)).collect();
        (online, state.mark())
    }

    /// The users who are online, each with a name for as long as that lasts.
    pub fn active(&self) -> Vec<(UserId, Uuid)> {
        let state = self.state.read();
        let named = state.present.iter();
        named.filter_map(|(principal, held)| Some((principal.user()?, held.name?))).collect()
    }

    /// The connections of a principal.
    pub fn connections(&self, principal: Principal) -> Vec<ConnectionId> {
        let state = self.state.read();
        state.present.get(&principal).map(|held| held.all().collect()).unwrap_or_default()
    }

    /// Everybody who is connected.
    pub fn principals(&self) -> Vec<Principal> {
        self.state.read().present.keys().copied().collect()
    }

    /// Whose turn it is to be told of, as soon as it is somebody's.
    pub async fn next_turn(&self) -> Turn {
        loop {
            // Before the look, so that what changes meanwhile is noticed.
            let changed = self.changed.notified();
            let due = match self.try_turn() {
                Ok(turn) => return turn,
                Err(due) => due,
            };
            match due {
                None => changed.await,
                Some(due) => {
                    let _ = tokio::time::timeout_at(due, changed).await;
                }
            }
        }
    }

    /// Whose turn it is now.
    pub fn ready_turn(&self) -> Option<Turn> {
        self.try_turn().ok()
    }

    /// The same; else when to look again at the latest.
    fn try_turn(&self) -> Result<Turn, Option<Instant>> {
        let State { present, untold } = &mut *self.state.write();
        let online = |principal| present.get(&principal).is_some_and(Held::is_online);
        untold.take(Instant::now(), online).ok_or_else(|| untold.due())
    }

    /// Everybody has been told of whose turn it was.
    pub fn told(&self) {
        self.state.write().untold.told();
    }

    /// Whether a principal is there, or something about it is still to be told.
    pub fn concerns(&self, principal: Principal) -> bool {
        let state = self.state.read();
        state.present.contains_key(&principal) || state.untold.concerns(principal)
    }

    fn notify(&self, news: bool) {
        if news {
            self.changed.notify_one();
        }
    }
}

fn take(connections: &mut Vec<ConnectionId>, connection: ConnectionId) -> bool {
    let found = connections.iter().position(|held| *held == connection);
    found.map(|index| connections.swap_remove(index)).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: Principal = Principal::User(UserId::new(1));

    fn here(number: u64) -> ConnectionId {
        ConnectionId::new(number)
    }

    #[test]
    fn a_principal_is_online_while_one_connection_is_left() {
        let roster = Roster::default();
        let arrive = |number| roster.arrive(ANN, here(number), 2, None);
        assert_eq!(arrive(1), Ok(PresenceMark::new(1)));
        assert_eq!(arrive(2), Ok(PresenceMark::new(1)));
        assert_eq!(arrive(3), Err(TooManyConnections { limit: 2 }));
        let name = roster.active()[0].1;
        assert!(!roster.depart(ANN, here(3)));
        assert!(roster.depart(ANN, here(1)));
        assert_eq!(roster.active(), [(UserId::new(1), name)]);
        assert!(roster.depart(ANN, here(2)));
        assert!(!roster.is_online(ANN) && roster.active().is_empty());
        assert_eq!(arrive(4), Ok(PresenceMark::new(3)));
    }

    #[test]
    fn a_connection_that_rests_is_held_and_makes_nobody_online() {
        let roster = Roster::default();
        roster.arrive(ANN, here(1), 2, None).unwrap();
        roster.arrive(ANN, here(2), 2, None).unwrap();
        roster.rest(ANN, here(1));
        roster.rest(ANN, here(1));
        assert!(roster.is_online(ANN));
        roster.rest(ANN, here(2));
        assert!(!roster.is_online(ANN));
        assert_eq!(roster.connections(ANN), [here(1), here(2)]);
        assert!(roster.arrive(ANN, here(3), 2, None).is_err());
        roster.announce(ANN, here(2));
        roster.announce(ANN, here(2));
        assert!(roster.is_online(ANN));
        assert!(roster.depart(ANN, here(1)));
        assert!(roster.depart(ANN, here(2)));
        assert!(roster.principals().is_empty());
    }

    #[tokio::test]
    async fn each_change_has_its_turn_with_the_state_as_it_is_then() {
        let roster = Roster::default();
        roster.arrive(ANN, here(1), 2, None).unwrap();
        let turn = roster.next_turn().await;
        assert!(turn.online && !turn.announced);
        roster.depart(ANN, here(1));
        assert!(roster.concerns(ANN));
        let turn = roster.next_turn().await;
        assert!(!turn.announced && !turn.online);
        assert!(turn.changes[0].is_news_after(PresenceMark::new(0)));
        let turn = roster.next_turn().await;
        assert!(turn.announced && !turn.online, "both before the announcement's turn");
        assert!(!turn.changes[0].is_news_after(PresenceMark::new(0)));
        assert!(turn.changes[0].is_news_after(PresenceMark::new(1)));
        roster.told();
        assert!(!roster.concerns(ANN));
    }
}
