//! Even relayed ports, and the ones above them that are kept for another allocation of the same
//! account (RFC 8656, 7.2).

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use turn::relay::RelayAddressGenerator;
use webrtc_util::Conn;

use super::wishes::Token;
use crate::domain::Principal;

/// How long a port is kept.
const KEPT: Duration = Duration::from_secs(30);
/// Ports kept for one account.
const PER_ACCOUNT: usize = 64;
/// Ports kept for all.
const TOTAL: usize = 1024;
/// How many even ports are tried.
const TRIES: usize = 20;

/// Ports that are kept.
#[derive(Default)]
pub(super) struct Reservations(Mutex<Vec<Reserved>>);

struct Reserved {
    token: Token,
    principal: Principal,
    until: Instant,
    v4: bool,
    port: u16,
    /// Nobody else takes the port while this is there.
    _taken: Arc<dyn Conn + Send + Sync>,
}

/// An even port that was free a moment ago, and the next one, which still is.
pub(super) struct EvenPort {
    pub(super) port: u16,
    pub(super) next: Option<Arc<dyn Conn + Send + Sync>>,
}

impl EvenPort {
    /// Looks for one in a range.
    pub(super) async fn find(
        relays: &(dyn RelayAddressGenerator + Send + Sync),
        ports: RangeInclusive<u16>,
        v4: bool,
        reserve: bool,
    ) -> Option<Self> {
        for _ in 0..TRIES {
            let port = rand::random_range(ports.clone()) & !1;
            if !ports.contains(&port) || (reserve && !ports.contains(&(port + 1))) {
                continue;
            }
            let Ok((_own, _)) = relays.allocate_conn(v4, port).await else { continue };
            if !reserve {
                return Some(Self { port, next: None });
            }
            if let Ok((next, _)) = relays.allocate_conn(v4, port + 1).await {
                return Some(Self { port, next: Some(next) });
            }
        }
        None
    }
}

impl Reservations {
    /// Keeps a port for an account, if there is room, and gives the name by which it is had.
    pub(super) fn keep(
        &self,
        principal: Principal,
        v4: bool,
        port: u16,
        taken: Arc<dyn Conn + Send + Sync>,
    ) -> Option<Token> {
        let (name, now) = (rand::random(), Instant::now());
        let mut kept = self.0.lock();
        kept.retain(|one| one.until > now);
        let own = kept.iter().filter(|one| one.principal == principal).count();
        if own >= PER_ACCOUNT || kept.len() >= TOTAL {
            return None;
        }
        kept.push(Reserved { token: name, principal, until: now + KEPT, v4, port, _taken: taken });
        Some(name)
    }

    /// Gives a port to whom it was kept for; from now on it may be taken.
    pub(super) fn give(&self, principal: Principal, token: Token) -> Option<(bool, u16)> {
        let now = Instant::now();
        let mut kept = self.0.lock();
        kept.retain(|one| one.until > now);
        let index = kept.iter().position(|one| one.token == token && one.principal == principal)?;
        let one = kept.swap_remove(index);
        Some((one.v4, one.port))
    }
}
