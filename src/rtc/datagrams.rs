//! What happens to each datagram that comes in.

use std::net::SocketAddr;
use std::sync::Arc;

use super::front::Verdict;
use super::ledger::Place;
use super::line::Line;
use super::server::RelayServer;
use super::traffic;

/// The largest datagram.
const LARGEST: usize = 65_536;

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
        let seat = shared.seats.at(place);
        if let Some(seat) = &seat {
            seat.touch(shared.accounts.now());
        }
        if datagram.first().is_some_and(|first| first & 0xc0 == 0x40) {
            return match seat {
                Some(seat) => shared.seats.carry_frame(&seat, datagram).await,
                None => traffic::drop("noise"),
            };
        }
        match shared.front.judge(datagram, place, &shared.ledger, shared.accounts.now()) {
            Verdict::Carry { peer, data } => {
                if let Some(seat) = seat {
                    shared.seats.carry_data(&seat, peer, &data).await;
                }
            }
            Verdict::Pass { nonce, peers } => {
                let answers = line.handle(source, datagram, nonce, peers).await;
                self.note_end(line, source).await;
                answers.send().await;
            }
            Verdict::Repeated => match shared.ledger.answer(place) {
                Some(answer) => line.send(&answer, source).await,
                // Of one that is being made the client hears soon enough.
                None => traffic::drop("repeated"),
            },
            Verdict::Refresh { request, key } => self.refresh(line, source, &request, &key).await,
            Verdict::Allocate(application) => {
                if let Some(verdict) = self.enter(place, &application).await {
                    return answer(line, source, verdict).await;
                }
                // Accounts are looked up beside the line, which everybody's datagrams come in on.
                let (server, line) = (self.clone(), Arc::clone(line));
                tokio::spawn(async move { server.allocate(&line, source, *application).await });
            }
            verdict => answer(line, source, verdict).await,
        }
    }

    /// If a client has given its allocation back, it can have another at once.
    pub(super) async fn note_end(&self, line: &Arc<Line>, source: SocketAddr) {
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

pub(super) async fn answer(line: &Line, source: SocketAddr, verdict: Verdict) {
    match verdict {
        Verdict::Answer(code, bytes) => {
            traffic::refused(code.0);
            line.send(&bytes, source).await;
        }
        Verdict::Drop(reason) => traffic::drop(reason),
        _ => {}
    }
}
