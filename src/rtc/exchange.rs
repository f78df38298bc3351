//! Relayed addresses inside the process: names for allocations, and nothing behind them. No
//! port is opened and nobody's network can be reached through them; what is sent to one goes
//! from seat to seat.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use turn::relay::RelayAddressGenerator;
use webrtc_util::{Conn, Error};

use super::{traffic, unsupported};

/// Relayed addresses. Of the ranges for documentation: nobody has them, and nobody is reached
/// by who takes them for more than names.
const V4: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 113));
const V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x113));
/// The lowest port of a relayed address.
pub(super) const FIRST_PORT: u16 = 1024;
/// How many ports are tried.
const TRIES: usize = 100;

/// Relayed ports that are taken, of all listeners.
#[derive(Clone, Debug, Default)]
pub(super) struct InternalRelays(Arc<Mutex<HashSet<u16>>>);

/// One allocation's relayed address.
struct InternalRelay {
    relays: InternalRelays,
    address: SocketAddr,
}

impl InternalRelays {
    fn take_port(&self, wanted: u16) -> Option<u16> {
        let mut taken = self.0.lock();
        if wanted != 0 {
            return taken.insert(wanted).then_some(wanted);
        }
        let mut tries = (0..TRIES).map(|_| rand::random_range(FIRST_PORT..=u16::MAX));
        tries.find(|port| taken.insert(*port))
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
        let port = self.take_port(requested_port).ok_or(turn::Error::ErrMaxRetriesExceeded)?;
        let address = SocketAddr::new(if use_ipv4 { V4 } else { V6 }, port);
        Ok((Arc::new(InternalRelay { relays: self.clone(), address }), address))
    }
}

impl Drop for InternalRelay {
    fn drop(&mut self) {
        self.relays.0.lock().remove(&self.address.port());
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

    /// Nothing comes in from outside; the library waits here until the allocation ends.
    async fn recv_from(&self, _: &mut [u8]) -> Result<(usize, SocketAddr), Error> {
        std::future::pending().await
    }

    async fn send(&self, _: &[u8]) -> Result<usize, Error> {
        Err(unsupported())
    }

    async fn send_to(&self, letter: &[u8], _: SocketAddr) -> Result<usize, Error> {
        traffic::drop("nobody");
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
