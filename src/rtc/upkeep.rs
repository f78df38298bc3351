//! What ends allocations, and what their ends bring about.

use std::collections::HashSet;
use std::sync::Weak;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use turn::allocation::AllocationInfo;

use super::ledger::{Holding, LineId};
use super::server::{RelayServer, Shared};

/// How often it is looked whether the holders of allocations may still hold them.
const AUDIT: Duration = Duration::from_secs(1);

/// An allocation that has ended.
pub(super) type Closed = (LineId, AllocationInfo);

/// Takes allocations that have ended out of the ledger.
pub(super) async fn strike_ended(shared: Weak<Shared>, mut ends: mpsc::Receiver<Closed>) {
    while let Some((line, info)) = ends.recv().await {
        let Some(shared) = shared.upgrade() else { return };
        shared.unseat((line, info.five_tuple.src_addr), info.relay_addr);
    }
}

/// Ends the allocations of those who may not hold them any more. Only what was held when the
/// accounts were looked up is judged: of what was made meanwhile nothing was asked.
pub(super) async fn audit(shared: Weak<Shared>) {
    let mut pace = interval(AUDIT);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        let holdings = shared.ledger.holdings();
        let holders: HashSet<_> = holdings.iter().map(|holding| holding.claim.principal).collect();
        if holders.is_empty() {
            continue;
        }
        let holders = holders.into_iter().collect();
        let Ok(since) = shared.accounts.relayed_since(holders).await else { continue };
        let server = RelayServer { shared };
        for Holding { place, claim, transaction } in holdings {
            let void = since.get(&claim.principal).is_none_or(|since| claim.made < *since);
            // Its client may have given it back, and have another.
            if void && server.shared.ledger.is_made_by(place, transaction) {
                server.end(place).await;
            }
        }
    }
}
