//! What happens to each datagram that comes in.

use std::net::SocketAddr;
use std::sync::Arc;

use stun::error_code::CODE_UNAUTHORIZED;

use super::credentials::Claim;
use super::front::Verdict;
use super::ledger::Place;
use super::limits::RelayUnavailable;
use super::line::Line;
use super::messages::granted;
use super::server::RelayServer;
use super::traffic;

/// The largest datagram.
const LARGEST: usize = 2048;

impl RelayServer {
    pub(super) async fn read(self, line: Arc<Line>) {
        let mut buffer = vec![0; LARGEST];
        loop {
            match line.conn.recv_from(&mut buffer).await {
                Ok((len, source)) => self.take(&line, source, &mut buffer[..len]).await,
                // A peer that is not there; the socket itself does not fail.
                Err(_) => tokio::task::yield_now().await,
            }
        }
    }

    /// Deals with one datagram, in whose place another may be written.
    pub(super) async fn take(&self, line: &Arc<Line>, source: SocketAddr, datagram: &mut [u8]) {
        let (shared, place) = (&self.shared, (line.id, source));
        if datagram.first().is_some_and(|first| first & 0xc0 == 0x40) {
            return match shared.seats.at(place) {
                Some(seat) => shared.seats.carry_frame(&seat, datagram).await,
                None => traffic::drop("noise"),
            };
        }
        match shared.front.judge(datagram, place, &shared.ledger, shared.accounts.now()) {
            Verdict::Carry { peer, data } => {
                if let Some(seat) = shared.seats.at(place) {
                    shared.seats.carry_data(&seat, peer, &data).await;
                }
            }
            Verdict::Pass { nonce, peers } => {
                let answers = line.handle(source, datagram, nonce, peers).await;
                self.note_end(line, source).await;
                answers.send().await;
            }
            Verdict::Repeated { request, key } => {
                // Of one that is being made the client hears soon enough.
                let seat = shared.seats.at(place);
                let answer = seat.and_then(|seat| granted(&request, seat.relayed, source, key));
                match answer {
                    Some(answer) => line.send(&answer, source).await,
                    None => traffic::drop("repeated"),
                }
            }
            Verdict::Allocate { claim, nonce, transaction, refusal } => {
                if let Err(exceeded) = shared.ledger.enter(place, claim, transaction) {
                    let verdict = shared.front.exceeded(datagram, exceeded);
                    return answer(line, source, verdict).await;
                }
                // Accounts are looked up beside the line, which everybody's datagrams come in on.
                let (server, line, datagram) = (self.clone(), Arc::clone(line), datagram.to_vec());
                tokio::spawn(async move {
                    server.allocate(&line, source, &datagram, claim, nonce, refusal).await;
                });
            }
            verdict => answer(line, source, verdict).await,
        }
    }

    async fn allocate(
        &self,
        line: &Arc<Line>,
        source: SocketAddr,
        datagram: &[u8],
        claim: Claim,
        nonce: String,
        refusal: Vec<u8>,
    ) {
        let since = self.shared.accounts.relayed_since(vec![claim.principal]).await;
        let answers = match since {
            Ok(since) if since.get(&claim.principal).is_some_and(|since| claim.made >= *since) => {
                Some(line.handle(source, datagram, Some(nonce), Vec::new()).await)
            }
            Ok(_) => {
                answer(line, source, Verdict::Answer(CODE_UNAUTHORIZED, refusal)).await;
                None
            }
            // The client asks again.
            Err(RelayUnavailable) => {
                traffic::drop("unavailable");
                None
            }
        };
        if self.shared.seat(line, source).await {
            self.note_end(line, source).await;
        } else {
            self.shared.ledger.strike((line.id, source));
        }
        if let Some(answers) = answers {
            answers.send().await;
        }
    }

    /// If a client has given its allocation back, it can have another at once.
    async fn note_end(&self, line: &Arc<Line>, source: SocketAddr) {
        let place = (line.id, source);
        if let Some(seat) = self.shared.seats.at(place)
            && line.allocation_of(source).await.is_none()
        {
            self.shared.unseat(place, seat.relayed);
        }
    }

    pub(super) async fn end(&self, (line, source): Place) {
        let line = self.shared.lines.lock().get(line.0).cloned();
        if let Some(line) = line {
            line.end(source).await;
            self.note_end(&line, source).await;
        }
    }
}

async fn answer(line: &Line, source: SocketAddr, verdict: Verdict) {
    match verdict {
        Verdict::Answer(code, bytes) => {
            traffic::refused(code.0);
            line.send(&bytes, source).await;
        }
        Verdict::Drop(reason) => traffic::drop(reason),
        _ => {}
    }
}
