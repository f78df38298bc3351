//! The UDP listener, as the TURN library sees it.

use std::net::SocketAddr;

use async_trait::async_trait;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;
use webrtc_util::{Conn, Error};

use super::{traffic, unsupported};

/// Bytes the kernel keeps for the listener, each way.
const KERNEL_BUFFER: usize = 4 << 20;

/// A bound socket that knows its own address without asking the kernel.
#[derive(Debug)]
pub(super) struct UdpLine {
    pub(super) socket: UdpSocket,
    local: SocketAddr,
}

impl UdpLine {
    /// Binds an address; one of IPv6 takes IPv6 alone, for the other family has a line of its own.
    pub(super) fn bind(address: SocketAddr) -> std::io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        let socket = UdpSocket::from_std(socket.into())?;
        let kernel = SockRef::from(&socket);
        // Smaller buffers lose bursts, and nothing else.
        let _ = kernel.set_recv_buffer_size(KERNEL_BUFFER);
        let _ = kernel.set_send_buffer_size(KERNEL_BUFFER);
        let local = socket.local_addr()?;
        Ok(Self { socket, local })
    }
}

#[async_trait]
impl Conn for UdpLine {
    async fn connect(&self, _: SocketAddr) -> Result<(), Error> {
        Err(unsupported())
    }

    async fn recv(&self, buf: &mut [u8]) -> Result<usize, Error> {
        Ok(self.socket.recv(buf).await?)
    }

    async fn recv_from(&self, buf: &mut [u8]) -> Result<(usize, SocketAddr), Error> {
        Ok(self.socket.recv_from(buf).await?)
    }

    async fn send(&self, _: &[u8]) -> Result<usize, Error> {
        Err(unsupported())
    }

    /// Never waits; a full socket loses datagrams, as networks do.
    async fn send_to(&self, datagram: &[u8], target: SocketAddr) -> Result<usize, Error> {
        if self.socket.try_send_to(datagram, target).is_err() {
            traffic::drop("unsent");
        }
        Ok(datagram.len())
    }

    fn local_addr(&self) -> Result<SocketAddr, Error> {
        Ok(self.local)
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        None
    }

    /// All allocations share the listener: the end of one is not its end.
    async fn close(&self) -> Result<(), Error> {
        Ok(())
    }

    fn as_any(&self) -> &(dyn std::any::Any + Send + Sync) {
        self
    }
}
