//! The relay inside the process: a map from port to allocation. Nothing sent to it leaves the
//! server, so no port is opened and nobody's network can be reached through it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, mpsc};
use turn::relay::RelayAddressGenerator;
use webrtc_util::{Conn, Error};

use super::traffic::{self, Allowance};
use super::unsupported;

/// Relayed addresses. Of the ranges for documentation: nobody has them, and nobody is reached
/// by who takes them for more than names.
const V4: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 113));
const V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x113));
/// Datagrams that may wait for one allocation.
const WAITING: usize = 512;
const FIRST_PORT: u16 = 1024;

type Letter = (Bytes, SocketAddr);

/// All relayed ports of the process.
#[derive(Clone, Debug, Default)]
pub(super) struct Exchange {
    ports: Arc<Mutex<HashMap<u16, mpsc::Sender<Letter>>>>,
}

/// Makes relays for one listener.
#[derive(Clone, Debug)]
pub(super) struct InternalRelays {
    pub(super) exchange: Exchange,
    /// Bytes a second of one allocation.
    pub(super) bandwidth: NonZeroU32,
}

/// One allocation's relayed address.
struct InternalRelay {
    exchange: Exchange,
    address: SocketAddr,
    letters: AsyncMutex<mpsc::Receiver<Letter>>,
    allowance: Allowance,
}

impl Exchange {
    fn take_port(&self, wanted: u16) -> Option<(u16, mpsc::Receiver<Letter>)> {
        let mut ports = self.ports.lock();
        let port = match wanted {
            0 => (0..100)
                .map(|_| rand::random_range(FIRST_PORT..=u16::MAX))
                .find(|port| !ports.contains_key(port))?,
            wanted if ports.contains_key(&wanted) => return None,
            wanted => wanted,
        };
        let (sender, letters) = mpsc::channel(WAITING);
        ports.insert(port, sender);
        Some((port, letters))
    }

    fn deliver(&self, letter: &[u8], from: SocketAddr, to: SocketAddr) -> Result<(), &'static str> {
        if to.ip() != V4 && to.ip() != V6 {
            return Err("outside");
        }
        let target = self.ports.lock().get(&to.port()).cloned().ok_or("nobody")?;
        target.try_send((Bytes::copy_from_slice(letter), from)).map_err(|_| "queue")
    }
}

#[async_trait]
impl RelayAddressGenerator for InternalRelays {
    fn validate(&self) -> Result<(), turn::Error> {
        Ok(())
    }

    async fn allocate_conn(
        &self,
        use_ipv4: bool,
        requested_port: u16,
    ) -> Result<(Arc<dyn Conn + Send + Sync>, SocketAddr), turn::Error> {
        let (port, letters) =
            self.exchange.take_port(requested_port).ok_or(turn::Error::ErrMaxRetriesExceeded)?;
        let address = SocketAddr::new(if use_ipv4 { V4 } else { V6 }, port);
        let relay = InternalRelay {
            exchange: self.exchange.clone(),
            address,
            letters: AsyncMutex::new(letters),
            allowance: Allowance::new(self.bandwidth),
        };
        Ok((Arc::new(relay), address))
    }
}

impl Drop for InternalRelay {
    fn drop(&mut self) {
        self.exchange.ports.lock().remove(&self.address.port());
    }
}

#[async_trait]
impl Conn for InternalRelay {
    async fn connect(&self, _: SocketAddr) -> Result<(), Error> {
        Err(unsupported())
    }

    async fn recv(&self, _: &mut [u8]) -> Result<usize, Error> {
        Err(unsupported())
    }

    async fn recv_from(&self, buf: &mut [u8]) -> Result<(usize, SocketAddr), Error> {
        loop {
            // Ours is the only receiver, and the map holds its sender as long as we live.
            let Some((letter, from)) = self.letters.lock().await.recv().await else {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof).into());
            };
            if letter.len() <= buf.len() && self.allowance.take(letter.len()) {
                buf[..letter.len()].copy_from_slice(&letter);
                traffic::count("to_client", letter.len());
                return Ok((letter.len(), from));
            }
            traffic::drop("bandwidth");
        }
    }

    async fn send(&self, _: &[u8]) -> Result<usize, Error> {
        Err(unsupported())
    }

    /// Never waits: what has no room, no right or no receiver is dropped, as a network does.
    async fn send_to(&self, letter: &[u8], target: SocketAddr) -> Result<usize, Error> {
        if !self.allowance.take(letter.len()) {
            traffic::drop("bandwidth");
            return Ok(letter.len());
        }
        match self.exchange.deliver(letter, self.address, target) {
            Ok(()) => traffic::count("to_peer", letter.len()),
            Err(reason) => traffic::drop(reason),
        }
        Ok(letter.len())
    }

    fn local_addr(&self) -> Result<SocketAddr, Error> {
        Ok(self.address)
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
