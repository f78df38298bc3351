//! Which connections know calls: those that have used an additive event (RULINGS 63).

use std::collections::{BTreeSet, HashMap, HashSet};

use parking_lot::Mutex;

use crate::domain::{ConnectionId, Principal};

/// Connections of new clients. Its lock is held for nothing else.
#[derive(Debug, Default)]
pub(super) struct Clients(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Also those that speak for nobody just now.
    connections: HashSet<ConnectionId>,
    of: HashMap<Principal, BTreeSet<ConnectionId>>,
}

impl Clients {
    /// A connection has used an additive event; says whether that is new.
    pub(super) fn mark(&self, connection: ConnectionId, who: Principal) -> bool {
        let mut known = self.0.lock();
        known.connections.insert(connection);
        known.of.entry(who).or_default().insert(connection)
    }

    /// A connection speaks for somebody; says whether it is a new client's.
    pub(super) fn bound(&self, connection: ConnectionId, who: Principal) -> bool {
        let mut known = self.0.lock();
        known.connections.contains(&connection)
            && known.of.entry(who).or_default().insert(connection)
    }

    /// A connection speaks for somebody no longer; says whether it is there still.
    pub(super) fn unbound(&self, connection: ConnectionId, who: Principal) -> bool {
        let mut known = self.0.lock();
        if let Some(connections) = known.of.get_mut(&who) {
            connections.remove(&connection);
            if connections.is_empty() {
                known.of.remove(&who);
            }
        }
        known.connections.contains(&connection)
    }

    /// A connection is there no longer.
    pub(super) fn lost(&self, connection: ConnectionId) {
        self.0.lock().connections.remove(&connection);
    }

    /// The new clients' connections of an account.
    pub(super) fn of(&self, who: Principal) -> Vec<ConnectionId> {
        self.0.lock().of.get(&who).into_iter().flatten().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::UserId;

    #[test]
    fn a_connection_stays_a_new_clients_until_it_ends() {
        let clients = Clients::default();
        let [ann, bob] = [1, 2].map(|id| Principal::User(UserId::new(id)));
        let phone = ConnectionId::new(1);
        assert!(!clients.bound(phone, ann));
        assert!(clients.mark(phone, ann) && !clients.mark(phone, ann));
        assert_eq!(clients.of(ann), [phone]);
        assert!(clients.unbound(phone, ann));
        assert_eq!(clients.of(ann), []);
        assert!(clients.bound(phone, bob));
        assert_eq!(clients.of(bob), [phone]);
        clients.lost(phone);
        assert!(!clients.unbound(phone, bob));
        assert_eq!(clients.of(bob), []);
        assert!(!clients.bound(phone, bob));
    }
}
