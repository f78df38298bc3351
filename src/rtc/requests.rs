//! What clients are given and keep: allocations, their lifetimes, and whose give way to others.

use std::net::SocketAddr;
use std::sync::Arc;

use stun::error_code::{
    CODE_ADDR_FAMILY_NOT_SUPPORTED, CODE_ALLOC_QUOTA_REACHED, CODE_INSUFFICIENT_CAPACITY,
    CODE_PEER_ADDR_FAMILY_MISMATCH, CODE_UNAUTHORIZED, ErrorCode,
};
use stun::integrity::MessageIntegrity;
use stun::message::Message;

use super::datagrams::answer;
use super::front::{Application, Verdict};
use super::ledger::{Exceeded, Place};
use super::limits::RelayUnavailable;
use super::line::Line;
use super::messages::{granted, refreshed, refusal};
use super::reservations::EvenPort;
use super::server::RelayServer;
use super::traffic;
use super::wishes::{WishedPort, asked_lifetime, family, granted_lifetime};
use crate::domain::Principal;

/// Seconds without a packet of its client after which an allocation gives way to another of the
/// same account: a browser's tab that was closed sends nothing, and one that talks checks its
/// way every few seconds.
const SILENT: i64 = 30;
/// How many may give way for one.
const GIVING_WAY: usize = 4;

impl RelayServer {
    /// Enters an allocation that is about to be made; an answer if there can be none.
    pub(super) async fn enter(&self, place: Place, application: &Application) -> Option<Verdict> {
        let Application { claim, request, key, .. } = application;
        let mut exceeded = None;
        for _ in 0..GIVING_WAY {
            match self.shared.ledger.enter(place, *claim, request.transaction_id) {
                Ok(()) => return None,
                Err(found) => exceeded = Some(found),
            }
            let Some(silent) = self.find_silent(claim.principal) else { break };
            traffic::gave_way();
            self.end(silent).await;
        }
        let code = match exceeded {
            Some(Exceeded::Account) => CODE_ALLOC_QUOTA_REACHED,
            _ => CODE_INSUFFICIENT_CAPACITY,
        };
        Some(refused(request, code, key))
    }

    /// The oldest allocation of an account from whose client nothing has come for a while.
    fn find_silent(&self, principal: Principal) -> Option<Place> {
        let silent_since = self.shared.accounts.now().secs() - SILENT;
        let mut places = self.shared.ledger.places_of(principal).into_iter();
        places.find(|place| {
            self.shared.seats.at(*place).is_some_and(|seat| seat.heard() <= silent_since)
        })
    }

    pub(super) async fn allocate(
        &self,
        line: &Arc<Line>,
        source: SocketAddr,
        application: Application,
    ) {
        let (claim, place) = (application.claim, (line.id, source));
        let since = self.shared.accounts.relayed_since(vec![claim.principal]).await;
        let made = match since {
            Ok(since) if since.get(&claim.principal).is_some_and(|since| claim.made >= *since) => {
                self.make(line, source, &application).await
            }
            Ok(_) => Verdict::Answer(CODE_UNAUTHORIZED, application.refusal),
            // The client asks again.
            Err(RelayUnavailable) => Verdict::Drop("unavailable"),
        };
        if self.shared.seat(line, source).await {
            self.note_end(line, source).await;
        } else {
            self.shared.ledger.strike(place);
        }
        // Not before it can be named: a client that hears of it tells another at once.
        match made {
            Verdict::Granted(bytes) => {
                let transaction = application.request.transaction_id;
                self.shared.ledger.note_answer(place, transaction, &bytes);
                line.send(&bytes, source).await;
            }
            refused => answer(line, source, refused).await,
        }
    }

    /// Makes an allocation as it is wished for, and what is answered then.
    async fn make(
        &self,
        line: &Arc<Line>,
        source: SocketAddr,
        application: &Application,
    ) -> Verdict {
        let Application { claim, username, wish, request, key, .. } = application;
        let refuse = |code| refused(request, code, key);
        let shared = &self.shared;
        let (mut v4, mut port, mut token) = (wish.v4, 0, None);
        match wish.port {
            WishedPort::Any => {}
            WishedPort::Reserved(token) => match shared.reservations.give(claim.principal, token) {
                Some(kept) => (v4, port) = kept,
                None => return refuse(CODE_INSUFFICIENT_CAPACITY),
            },
            WishedPort::Even { .. } if !shared.has_family(v4) => {}
            WishedPort::Even { reserve } => {
                let relays = shared.relays();
                let found = EvenPort::find(&*relays, shared.ports(), v4, reserve).await;
                let Some(found) = found else { return refuse(CODE_INSUFFICIENT_CAPACITY) };
                port = found.port;
                if let Some(next) = found.next {
                    token = shared.reservations.keep(claim.principal, v4, port + 1, next);
                    if token.is_none() {
                        return refuse(CODE_INSUFFICIENT_CAPACITY);
                    }
                }
            }
        }
        if !shared.has_family(v4) {
            return refuse(CODE_ADDR_FAMILY_NOT_SUPPORTED);
        }
        let made = line.allocate(source, username.clone(), v4, port, wish.lifetime).await;
        if let Err(error) = made {
            tracing::debug!(%error, "an allocation cannot be made");
            return refuse(CODE_INSUFFICIENT_CAPACITY);
        }
        let Some(relayed) = line.relayed_of(source).await else {
            return Verdict::Drop("unanswerable");
        };
        let bytes = granted(request, source, relayed, wish.lifetime, token, key);
        bytes.map_or(Verdict::Drop("unanswerable"), Verdict::Granted)
    }

    /// Keeps a client's allocation for another while, or takes it back.
    pub(super) async fn refresh(
        &self,
        line: &Arc<Line>,
        source: SocketAddr,
        request: &Message,
        key: &MessageIntegrity,
    ) {
        let Some(seat) = self.shared.seats.at((line.id, source)) else {
            // It is being made, or has just ended.
            return traffic::drop("early");
        };
        match family(request) {
            Err(code) => return answer(line, source, refused(request, code, key)).await,
            Ok((true, v6)) if v6 != seat.relayed.is_ipv6() => {
                let refused = refused(request, CODE_PEER_ADDR_FAMILY_MISMATCH, key);
                return answer(line, source, refused).await;
            }
            Ok(_) => {}
        }
        let asked = asked_lifetime(request);
        let lifetime = if asked.is_some_and(|asked| asked.is_zero()) {
            self.end((line.id, source)).await;
            asked.unwrap_or_default()
        } else {
            let lifetime = granted_lifetime(asked);
            seat.allocation.refresh(lifetime).await;
            lifetime
        };
        match refreshed(request, lifetime, key) {
            Some(bytes) => line.send(&bytes, source).await,
            None => traffic::drop("unanswerable"),
        }
    }
}

fn refused(request: &Message, code: ErrorCode, key: &MessageIntegrity) -> Verdict {
    refusal(request, code, Some(key))
        .map_or(Verdict::Drop("unanswerable"), |bytes| Verdict::Answer(code, bytes))
}
