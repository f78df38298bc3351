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

/// The connections of every principal, of every dialect.
#[derive(Debug, Default)]
pub struct Roster {
    present: RwLock<HashMap<Principal, Vec<ConnectionId>>>,
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
        if held.len() >= limit {
            return Err(TooManyConnections { limit });
        }
        held.push(connection);
        Ok(if held.len() == 1 { Arrival::First } else { Arrival::Further })
    }

    /// Counts a connection out.
    pub fn depart(&self, principal: Principal, connection: ConnectionId) -> Departure {
        let mut present = self.present.write();
        let Some(held) = present.get_mut(&principal) else { return Departure::Unknown };
        let Some(index) = held.iter().position(|held| *held == connection) else {
            return Departure::Unknown;
        };
        held.swap_remove(index);
        if held.is_empty() {
            present.remove(&principal);
            return Departure::Last;
        }
        Departure::Further
    }

    /// Whether a principal holds a connection.
    pub fn is_online(&self, principal: Principal) -> bool {
        self.present.read().contains_key(&principal)
    }

    /// The connections of a principal.
    pub fn connections(&self, principal: Principal) -> Vec<ConnectionId> {
        self.present.read().get(&principal).cloned().unwrap_or_default()
    }

    /// Everybody who is online.
    pub fn principals(&self) -> Vec<Principal> {
        self.present.read().keys().copied().collect()
    }
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
}
