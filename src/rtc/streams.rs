//! Clients of the relay that come by streams, whoever accepts them.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

use super::line::Line;
use super::server::RelayServer;
use super::tcp::{TcpLine, Writing};

/// Streams of the relay that come in where something else listens.
#[derive(Clone)]
pub struct RelayStreams {
    server: RelayServer,
    conn: Arc<TcpLine>,
    line: Arc<Line>,
}

impl RelayStreams {
    pub(super) fn new(server: RelayServer, conn: Arc<TcpLine>, line: Arc<Line>) -> Self {
        Self { server, conn, line }
    }

    /// Serves one stream until it ends; its allocation ends with it.
    pub async fn converse<S: AsyncRead + AsyncWrite + Send + 'static>(
        &self,
        stream: S,
        peer: SocketAddr,
        writing: Writing,
    ) {
        // A listener of both families names one of IPv4 in the other's words.
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let take = |mut frame: Vec<u8>| -> BoxFuture<'static, ()> {
            let (server, line) = (self.server.clone(), Arc::clone(&self.line));
            Box::pin(async move { server.take(&line, peer, &mut frame).await })
        };
        self.conn.converse(stream, peer, writing, take).await;
        self.server.end((self.line.id, peer)).await;
    }
}
