//! Who holds which connections. A principal is online while it holds one.

use std::collections::HashMap;

use parking_lot::RwLock;

use super::ConnectionId;
use crate::domain::Principal;

/// What an arrival changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The principal has come online.
    First,
    /// It was online already.
    Further,
}

/// What a departure changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Departure {
    /// The principal has gone offline.
    Last,
    /// It is still online.
    Further,
    /// The connection had not been there.
    Unknown,
}

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
}

impl Held {
    fn all(&self) -> impl Iterator<Item = ConnectionId> {
        self.counted.iter().chain(&self.resting).copied()
    }
}

/// The connections of every principal, of every dialect.
#[derive(Debug, Default)]
pub struct Roster {
    present: RwLock<HashMap<Principal, Held>>,
}

impl Roster {
    /// Counts a connection in, if the principal may hold one more.
    pub fn arrive(
        &self,
        principal: Principal,
        connection: ConnectionId,
        limit: usize,
    ) -> Result<Arrival, TooManyConnections> {
        let mut present = self.present.write();
        let held = present.entry(principal).or_default();
        if held.all().count() >= limit {
            return Err(TooManyConnections { limit });
        }
        held.counted.push(connection);
        Ok(arrival(held))
    }

    /// Counts a connection out.
    pub fn depart(&self, principal: Principal, connection: ConnectionId) -> Departure {
        let mut present = self.present.write();
        let Some(held) = present.get_mut(&principal) else { return Departure::Unknown };
        let counted = take(&mut held.counted, connection);
        if !counted && !take(&mut held.resting, connection) {
            return Departure::Unknown;
        }
        let departure = if counted { departure(held) } else { Departure::Further };
        if held.all().next().is_none() {
            present.remove(&principal);
        }
        departure
    }

    /// A connection that stays open says it is going: it makes nobody online any more.
    pub fn rest(&self, principal: Principal, connection: ConnectionId) -> Departure {
        let mut present = self.present.write();
        let Some(held) = present.get_mut(&principal) else { return Departure::Unknown };
        if !take(&mut held.counted, connection) {
            return Departure::Unknown;
        }
        held.resting.push(connection);
        departure(held)
    }

    /// A connection that rested is back; one that did not is as it was.
    pub fn rise(&self, principal: Principal, connection: ConnectionId) -> Arrival {
        let mut present = self.present.write();
        let Some(held) = present.get_mut(&principal) else { return Arrival::Further };
        if !take(&mut held.resting, connection) {
            return Arrival::Further;
        }
        held.counted.push(connection);
        arrival(held)
    }

    /// Whether a principal holds a connection that counts.
    pub fn is_online(&self, principal: Principal) -> bool {
        self.present.read().get(&principal).is_some_and(|held| !held.counted.is_empty())
    }

    /// The connections of a principal.
    pub fn connections(&self, principal: Principal) -> Vec<ConnectionId> {
        self.present.read().get(&principal).map(|held| held.all().collect()).unwrap_or_default()
    }

    /// Everybody who is connected.
    pub fn principals(&self) -> Vec<Principal> {
        self.present.read().keys().copied().collect()
    }
}

fn take(connections: &mut Vec<ConnectionId>, connection: ConnectionId) -> bool {
    let found = connections.iter().position(|held| *held == connection);
    found.map(|index| connections.swap_remove(index)).is_some()
}

const fn arrival(held: &Held) -> Arrival {
    if held.counted.len() == 1 { Arrival::First } else { Arrival::Further }
}

const fn departure(held: &Held) -> Departure {
    if held.counted.is_empty() { Departure::Last } else { Departure::Further }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::UserId;

    #[test]
    fn a_principal_is_online_while_one_connection_is_left() {
        let roster = Roster::default();
        let ann = Principal::User(UserId::new(1));
        let here = ConnectionId::new;
        assert_eq!(roster.arrive(ann, here(1), 2), Ok(Arrival::First));
        assert_eq!(roster.arrive(ann, here(2), 2), Ok(Arrival::Further));
        assert_eq!(roster.arrive(ann, here(3), 2), Err(TooManyConnections { limit: 2 }));
        assert_eq!(roster.depart(ann, ConnectionId::new(3)), Departure::Unknown);
        assert_eq!(roster.depart(ann, ConnectionId::new(1)), Departure::Further);
        assert!(roster.is_online(ann));
        assert_eq!(roster.depart(ann, ConnectionId::new(2)), Departure::Last);
        assert!(!roster.is_online(ann));
    }

    #[test]
    fn a_connection_that_rests_is_held_and_makes_nobody_online() {
        let roster = Roster::default();
        let ann = Principal::User(UserId::new(1));
        let here = ConnectionId::new;
        assert_eq!(roster.arrive(ann, here(1), 2), Ok(Arrival::First));
        assert_eq!(roster.arrive(ann, here(2), 2), Ok(Arrival::Further));
        assert_eq!(roster.rest(ann, here(1)), Departure::Further);
        assert_eq!(roster.rest(ann, here(1)), Departure::Unknown);
        assert_eq!(roster.rest(ann, here(2)), Departure::Last);
        assert!(!roster.is_online(ann));
        assert_eq!(roster.connections(ann), [here(1), here(2)]);
        assert_eq!(roster.arrive(ann, here(3), 2), Err(TooManyConnections { limit: 2 }));
        assert_eq!(roster.rise(ann, here(2)), Arrival::First);
        assert_eq!(roster.rise(ann, here(2)), Arrival::Further);
        assert_eq!(roster.depart(ann, here(1)), Departure::Further);
        assert_eq!(roster.depart(ann, here(2)), Departure::Last);
        assert!(roster.principals().is_empty());
    }
}
