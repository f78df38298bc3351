//! Allocations as datagrams see them, and the short way from one of ours to another.
//!
//! What is sent to a relayed address of ours never leaves the process, whatever the relay's
//! mode: it goes from the listener it came in on right out to the other client. The TURN
//! library keeps channels and permissions; a datagram costs it a look and no memory.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use stun::agent::TransactionId;
use stun::message::{CLASS_INDICATION, METHOD_DATA, Message, MessageType};
use tokio::time::timeout;
use turn::allocation::Allocation;
use turn::proto::channum::ChannelNumber;
use turn::proto::data::Data;
use turn::proto::peeraddr::PeerAddress;

use super::ledger::Place;
use super::line::Line;
use super::sockets::SocketRelay;
use super::traffic::{self, Allowance, Direction};
use crate::domain::Timestamp;

/// Bytes before the data in a frame of a channel: its number and the data's length.
pub(super) const HEAD: usize = 4;

/// How long a stream waits for who is sent more than it may get.
const PATIENCE: Duration = Duration::from_millis(250);

/// One client with its allocation.
pub(super) struct Seat {
    pub(super) line: Arc<Line>,
    pub(super) source: SocketAddr,
    /// The relayed address, as peers are told.
    pub(super) relayed: SocketAddr,
    pub(super) allocation: Arc<Allocation>,
    pub(super) allowance: Arc<Allowance>,
    /// What reaches those who have no allocation here, if anything does.
    pub(super) outside: Option<Arc<SocketRelay>>,
    /// When the client was last heard of, in seconds.
    heard: AtomicI64,
}

/// All clients with an allocation.
#[derive(Default)]
pub(super) struct Seats(Mutex<Table>);

#[derive(Default)]
struct Table {
    by_place: HashMap<Place, Arc<Seat>>,
    by_relayed: HashMap<SocketAddr, Arc<Seat>>,
}

impl Seats {
    pub(super) fn add(&self, seat: Seat) {
        let seat = Arc::new(seat);
        let mut table = self.0.lock();
        table.by_relayed.insert(seat.relayed, Arc::clone(&seat));
        table.by_place.insert((seat.line.id, seat.source), seat);
    }

    /// Takes a client's allocation out; says whether it was there.
    pub(super) fn remove(&self, place: Place, relayed: SocketAddr) -> bool {
        let mut table = self.0.lock();
        let there = table.by_place.get(&place).is_some_and(|seat| seat.relayed == relayed);
        if there {
            table.by_place.remove(&place);
            table.by_relayed.remove(&relayed);
        }
        there
    }

    pub(super) fn at(&self, place: Place) -> Option<Arc<Seat>> {
        self.0.lock().by_place.get(&place).cloned()
    }

    /// Whose relayed address this is.
    pub(super) fn find(&self, relayed: SocketAddr) -> Option<Arc<Seat>> {
        self.0.lock().by_relayed.get(&relayed).cloned()
    }

    /// Carries a frame that a client has sent on a channel; its head is written anew.
    pub(super) async fn carry_frame(&self, from: &Seat, frame: &mut [u8]) {
        let Some((number, len)) = head_of(frame) else { return traffic::drop("noise") };
        let Some(peer) = from.allocation.get_channel_addr(&number).await else {
            return traffic::drop("unbound");
        };
        self.carry(from, peer, &mut frame[..HEAD + len]).await;
    }

    /// Carries what a client has sent without a channel.
    pub(super) async fn carry_data(&self, from: &Seat, peer: SocketAddr, data: &[u8]) {
        let Ok(len) = u16::try_from(data.len()) else { return traffic::drop("noise") };
        if !from.allocation.has_permission(&peer).await {
            return traffic::drop("unpermitted");
        }
        let mut frame = Vec::with_capacity(HEAD + data.len());
        frame.extend([0; 2]);
        frame.extend(len.to_be_bytes());
        frame.extend(data);
        self.carry(from, peer, &mut frame).await;
    }

    async fn carry(&self, from: &Seat, peer: SocketAddr, frame: &mut [u8]) {
        let len = frame.len() - HEAD;
        match (self.find(peer), &from.outside) {
            (Some(target), _) => target.take(from, frame).await,
            (None, Some(outside)) if from.pay(len).await => outside.send_out(&frame[HEAD..], peer),
            (None, Some(_)) => traffic::drop("bandwidth"),
            (None, None) => traffic::drop("nobody"),
        }
    }
}

impl Seat {
    /// A client that was heard of just now.
    pub(super) const fn new(
        line: Arc<Line>,
        source: SocketAddr,
        relayed: SocketAddr,
        allocation: Arc<Allocation>,
        allowance: Arc<Allowance>,
        outside: Option<Arc<SocketRelay>>,
        heard: Timestamp,
    ) -> Self {
        let heard = AtomicI64::new(heard.secs());
        Self { line, source, relayed, allocation, allowance, outside, heard }
    }

    /// Notes that something has come from the client.
    pub(super) fn touch(&self, now: Timestamp) {
        self.heard.store(now.secs(), Ordering::Relaxed);
    }

    /// When something last came from the client, in seconds.
    pub(super) fn heard(&self) -> i64 {
        self.heard.load(Ordering::Relaxed)
    }

    /// Whether the client may send so much. A stream is read no further until it may; datagrams
    /// come in by the same socket as everybody's, and do not wait.
    async fn pay(&self, len: usize) -> bool {
        if self.line.is_stream() {
            self.allowance.afford(len).await;
            return true;
        }
        self.allowance.take(len).is_ok()
    }

    /// Whether the client may be sent so much; a stream it comes from waits for that a little.
    async fn accept(&self, from: &Self, len: usize) -> bool {
        if from.line.is_stream() {
            return timeout(PATIENCE, self.allowance.afford(len)).await.is_ok();
        }
        self.allowance.take(len).is_ok()
    }

    /// Takes a frame from another client of ours, and gives its data to this one.
    async fn take(&self, from: &Self, frame: &mut [u8]) {
        let len = frame.len() - HEAD;
        if !from.pay(len).await {
            return traffic::drop("bandwidth");
        }
        traffic::count(Direction::ToPeer, len);
        if !self.accept(from, len).await {
            return traffic::drop("bandwidth");
        }
        if let Some(number) = self.allocation.get_channel_number(&from.relayed).await {
            frame[..2].copy_from_slice(&number.0.to_be_bytes());
            let _ = self.line.conn.send_to(frame, self.source).await;
        } else if self.allocation.has_permission(&from.relayed).await {
            let Some(indication) = indication(from.relayed, &frame[HEAD..]) else {
                return traffic::drop("unanswerable");
            };
            let _ = self.line.conn.send_to(&indication, self.source).await;
        } else {
            return traffic::drop("unpermitted");
        }
        traffic::count(Direction::ToClient, len);
    }
}

/// Number and length of a channel's frame, if all of it is there.
fn head_of(frame: &[u8]) -> Option<(ChannelNumber, usize)> {
    let [first, second, rest @ ..] = frame else { return None };
    let (length, data) = rest.split_first_chunk::<2>()?;
    let number = ChannelNumber(u16::from_be_bytes([*first, *second]));
    let len = usize::from(u16::from_be_bytes(*length));
    (number.valid() && len <= data.len()).then_some((number, len))
}

fn indication(from: SocketAddr, data: &[u8]) -> Option<Vec<u8>> {
    let mut message = Message::new();
    let built = message.build(&[
        Box::new(TransactionId::new()),
        Box::new(MessageType::new(METHOD_DATA, CLASS_INDICATION)),
        Box::new(PeerAddress { ip: from.ip(), port: from.port() }),
        Box::new(Data(data.to_vec())),
    ]);
    built.ok().map(|()| message.raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_only_if_all_of_its_frame_is_there() {
        let read = |frame: &[u8]| head_of(frame).map(|(number, len)| (number.0, len));
        assert_eq!(read(&[0x40, 1, 0, 2, 7, 7]), Some((0x4001, 2)));
        assert_eq!(read(&[0x40, 1, 0, 2, 7, 7, 0, 0]), Some((0x4001, 2)));
        assert_eq!(read(&[0x40, 1, 0, 0]), Some((0x4001, 0)));
        for broken in [&[][..], &[0x40], &[0x40, 1, 0], &[0x40, 1, 0, 3, 7, 7], &[0x80, 1, 0, 0]] {
            assert_eq!(read(broken), None, "{broken:?}");
        }
    }
}
