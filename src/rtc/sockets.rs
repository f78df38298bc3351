//! Relays with sockets of their own, for peers that do not use this server.
//!
//! What goes to another live allocation is handed over inside the process, so relayed ports
//! need not be reachable from this machine itself; every other address of ours is closed.

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

use super::reach;
use super::traffic::{self, Allowance};
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
    pub(super) live: Live,
}

/// Allocations that live, by what clients are told.
#[derive(Clone, Debug, Default)]
pub(super) struct Live(Arc<Mutex<HashMap<SocketAddr, Weak<UdpSocket>>>>);

impl Live {
    fn find(&self, address: SocketAddr) -> Option<SocketAddr> {
        let socket = self.0.lock().get(&address)?.upgrade()?;
        socket.local_addr().ok()
    }

    fn knows_source(&self, address: SocketAddr) -> Option<SocketAddr> {
        let live = self.0.lock();
        let found = live.iter().find(|(_, socket)| {
            socket.upgrade().and_then(|socket| socket.local_addr().ok()) == Some(address)
        });
        found.map(|(told, _)| *told)
    }
}

struct SocketRelay {
    socket: Arc<UdpSocket>,
    told: SocketAddr,
    allowance: Allowance,
    live: Live,
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
        let socket = Arc::new(socket);
        self.live.0.lock().insert(told, Arc::downgrade(&socket));
        let allowance = Allowance::new(self.bandwidth);
        let live = self.live.clone();
        Ok((Arc::new(SocketRelay { socket, told, allowance, live }), told))
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
            let known = self.live.knows_source(from);
            if known.is_none() && !reach::is_open(from.ip()) {
                traffic::drop("closed");
                continue;
            }
            if !self.allowance.take(len) {
                traffic::drop("bandwidth");
                continue;
            }
            traffic::count("to_client", len);
            return Ok((len, known.unwrap_or(from)));
        }
    }

    async fn send(&self, _: &[u8]) -> Result<usize, Error> {
        Err(unsupported())
    }

    /// Never waits: it runs in the listener's own loop.
    async fn send_to(&self, letter: &[u8], target: SocketAddr) -> Result<usize, Error> {
        let target = match self.live.find(target) {
            Some(own) => own,
            None if reach::is_open(target.ip()) => target,
            None => {
                traffic::drop("closed");
                return Ok(letter.len());
            }
        };
        if !self.allowance.take(letter.len()) {
            traffic::drop("bandwidth");
        } else if self.socket.try_send_to(letter, target).is_ok() {
            traffic::count("to_peer", letter.len());
        } else {
            traffic::drop("unsent");
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
