//! Relays with sockets of their own, for peers that do not use this server.
//!
//! What goes to another allocation of ours does not come through here: every address of this
//! machine is closed to these sockets.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use parking_lot::Mutex;
use socket2::SockRef;
use tokio::net::UdpSocket;
use turn::relay::RelayAddressGenerator;
use webrtc_util::{Conn, Error};

use super::reach::Reach;
use super::traffic::{self, Allowance, Direction};
use super::unsupported;

/// Bytes the kernel keeps for one relay, each way.
const KERNEL_BUFFER: usize = 1 << 20;
/// How many ports are tried.
const TRIES: usize = 20;

/// Makes relays on ports of a range.
#[derive(Clone, Debug)]
pub(super) struct SocketRelays {
    /// Where sockets are bound.
    pub(super) bind: IpAddr,
    /// What clients are told instead, if it is another address.
    pub(super) advertise: Option<IpAddr>,
    pub(super) ports: RangeInclusive<u16>,
    pub(super) bandwidth: NonZeroU32,
    pub(super) reach: Arc<Reach>,
    pub(super) live: Live,
}

/// Relays that live, by what clients are told.
#[derive(Clone, Debug, Default)]
pub(super) struct Live(Arc<Mutex<HashMap<SocketAddr, Weak<SocketRelay>>>>);

impl Live {
    pub(super) fn find(&self, relayed: SocketAddr) -> Option<Arc<SocketRelay>> {
        self.0.lock().get(&relayed)?.upgrade()
    }
}

/// One allocation's socket.
#[derive(Debug)]
pub(super) struct SocketRelay {
    socket: UdpSocket,
    told: SocketAddr,
    pub(super) allowance: Arc<Allowance>,
    reach: Arc<Reach>,
    live: Live,
}

impl SocketRelay {
    /// Sends to who has no allocation here what its sender may send. Never waits: it runs in the
    /// listener's own loop.
    pub(super) fn send_out(&self, letter: &[u8], target: SocketAddr) {
        if !self.reach.is_open(target.ip()) {
            traffic::drop("closed");
        } else if self.socket.try_send_to(letter, target).is_ok() {
            traffic::count(Direction::ToPeer, letter.len());
        } else {
            traffic::drop("unsent");
        }
    }
}

impl Drop for SocketRelay {
    fn drop(&mut self) {
        self.live.0.lock().remove(&self.told);
    }
}

impl SocketRelays {
    async fn bind(&self, wanted: u16) -> Option<UdpSocket> {
        if wanted != 0 {
            return UdpSocket::bind((self.bind, wanted)).await.ok();
        }
        for _ in 0..TRIES {
            let port = rand::random_range(self.ports.clone());
            if let Ok(socket) = UdpSocket::bind((self.bind, port)).await {
                return Some(socket);
            }
        }
        None
    }
}

#[async_trait]
impl RelayAddressGenerator for SocketRelays {
    fn validate(&self) -> Result<(), turn::Error> {
        Ok(())
    }

    async fn allocate_conn(
        &self,
        use_ipv4: bool,
        requested_port: u16,
    ) -> Result<(Arc<dyn Conn + Send + Sync>, SocketAddr), turn::Error> {
        if use_ipv4 != self.bind.is_ipv4() {
            return Err(turn::Error::ErrNoAvailableConns);
        }
        let socket = self.bind(requested_port).await.ok_or(turn::Error::ErrMaxRetriesExceeded)?;
        let kernel = SockRef::from(&socket);
        // Smaller buffers lose bursts, and nothing else.
        let _ = kernel.set_recv_buffer_size(KERNEL_BUFFER);
        let _ = kernel.set_send_buffer_size(KERNEL_BUFFER);
        let bound = socket.local_addr().map_err(|_| turn::Error::ErrNoAvailableConns)?;
        let told = SocketAddr::new(self.advertise.unwrap_or(bound.ip()), bound.port());
        // Until the runtime has seen it writable once, every attempt to send would fail.
        socket.writable().await.map_err(|_| turn::Error::ErrNoAvailableConns)?;
        let allowance = Arc::new(Allowance::new(self.bandwidth));
        let (reach, live) = (Arc::clone(&self.reach), self.live.clone());
        let relay = Arc::new(SocketRelay { socket, told, allowance, reach, live });
        self.live.0.lock().insert(told, Arc::downgrade(&relay));
        Ok((relay, told))
    }
}

#[async_trait]
impl Conn for SocketRelay {
    async fn connect(&self, _: SocketAddr) -> Result<(), Error> {
        Err(unsupported())
    }

    async fn recv(&self, _: &mut [u8]) -> Result<usize, Error> {
        Err(unsupported())
    }

    async fn recv_from(&self, buf: &mut [u8]) -> Result<(usize, SocketAddr), Error> {
        loop {
            // An error is a peer's that is not there; the first one told would end the allocation.
            let Ok((len, from)) = self.socket.recv_from(buf).await else { continue };
            if !self.reach.is_open(from.ip()) {
                traffic::drop("closed");
                continue;
            }
            if self.allowance.take(len).is_err() {
                traffic::drop("bandwidth");
                continue;
            }
            traffic::count(Direction::ToClient, len);
            return Ok((len, from));
        }
    }

    async fn send(&self, _: &[u8]) -> Result<usize, Error> {
        Err(unsupported())
    }

    async fn send_to(&self, letter: &[u8], target: SocketAddr) -> Result<usize, Error> {
        match self.allowance.take(letter.len()) {
            Ok(()) => self.send_out(letter, target),
            Err(_) => traffic::drop("bandwidth"),
        }
        Ok(letter.len())
    }

    fn local_addr(&self) -> Result<SocketAddr, Error> {
        Ok(self.told)
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        None
    }

    async fn close(&self) -> Result<(), Error> {
        Ok(())
    }

    fn as_any(&self) -> &(dyn std::any::Any + Send + Sync) {
        self
    }
}
