//! What the library answers to a request, held back until we have noted what it did: a client
//! that hears of its allocation at once names it to another.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use webrtc_util::{Conn, Error};

/// Bytes, and for whom.
type Answer = (Vec<u8>, SocketAddr);

/// A line as the library sees it during one request, and afterwards in the allocation that the
/// request made.
pub(super) struct Answers {
    line: Arc<dyn Conn + Send + Sync>,
    /// What waits; nothing does once the request is dealt with.
    waiting: Mutex<Option<Vec<Answer>>>,
}

impl Answers {
    /// Nothing waits yet, and everything will.
    pub(super) fn new(line: Arc<dyn Conn + Send + Sync>) -> Arc<Self> {
        Arc::new(Self { line, waiting: Mutex::new(Some(Vec::new())) })
    }

    /// Sends what waits; from now on nothing does.
    pub(super) async fn send(&self) {
        let waiting = self.waiting.lock().take();
        for (bytes, target) in waiting.into_iter().flatten() {
            let _ = self.line.send_to(&bytes, target).await;
        }
    }
}

#[async_trait]
impl Conn for Answers {
    async fn connect(&self, address: SocketAddr) -> Result<(), Error> {
        self.line.connect(address).await
    }

    async fn recv(&self, bytes: &mut [u8]) -> Result<usize, Error> {
        self.line.recv(bytes).await
    }

    async fn recv_from(&self, bytes: &mut [u8]) -> Result<(usize, SocketAddr), Error> {
        self.line.recv_from(bytes).await
    }

    async fn send(&self, bytes: &[u8]) -> Result<usize, Error> {
        self.line.send(bytes).await
    }

    async fn send_to(&self, bytes: &[u8], target: SocketAddr) -> Result<usize, Error> {
        if let Some(waiting) = &mut *self.waiting.lock() {
            waiting.push((bytes.to_vec(), target));
            return Ok(bytes.len());
        }
        self.line.send_to(bytes, target).await
    }

    fn local_addr(&self) -> Result<SocketAddr, Error> {
        self.line.local_addr()
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        self.line.remote_addr()
    }

    async fn close(&self) -> Result<(), Error> {
        self.line.close().await
    }

    fn as_any(&self) -> &(dyn std::any::Any + Send + Sync) {
        self
    }
}
