//! One listener with its allocations, and what the TURN library does for it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use stun::attributes::ATTR_USERNAME;
use stun::textattrs::Username;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;
use turn::allocation::Allocation;
use turn::allocation::allocation_manager::Manager;
use turn::allocation::five_tuple::FiveTuple;
use turn::allocation::permission::Permission;
use turn::auth::AuthHandler;
use turn::proto::PROTO_UDP;
use turn::server::request::Request;
use webrtc_util::Conn;

use super::answers::Answers;
use super::front::{Front, REALM};
use super::ledger::LineId;
use super::traffic;

/// How long a channel stays bound without being bound again.
const CHANNEL: Duration = Duration::from_mins(10);

/// One listener with its allocations; clients are told apart by their address.
pub(super) struct Line {
    pub(super) id: LineId,
    pub(super) transport: &'static str,
    pub(super) conn: Arc<dyn Conn + Send + Sync>,
    pub(super) local: SocketAddr,
    pub(super) manager: Arc<Manager>,
    pub(super) keys: Arc<Keys>,
}

/// Gives the library the key of a name; whether the name counts is settled before.
pub(super) struct Keys(pub(super) Arc<Front>);

impl AuthHandler for Keys {
    fn auth_handle(&self, username: &str, _: &str, _: SocketAddr) -> Result<Vec<u8>, turn::Error> {
        Ok(self.0.key(username))
    }
}

impl Line {
    /// Whether each client has a stream of its own.
    pub(super) fn is_stream(&self) -> bool {
        self.transport == "tcp"
    }

    const fn five_tuple(&self, source: SocketAddr) -> FiveTuple {
        FiveTuple { protocol: PROTO_UDP, src_addr: source, dst_addr: self.local }
    }

    pub(super) async fn send(&self, bytes: &[u8], to: SocketAddr) {
        let _ = self.conn.send_to(bytes, to).await;
    }

    pub(super) async fn allocation_of(&self, source: SocketAddr) -> Option<Arc<Allocation>> {
        self.manager.get_allocation(&self.five_tuple(source)).await
    }

    /// The relayed address of a client, as its peers are told.
    pub(super) async fn relayed_of(&self, source: SocketAddr) -> Option<SocketAddr> {
        let five_tuple = self.five_tuple(source);
        let told = self.manager.get_allocations_info(Some(vec![five_tuple])).await;
        told.get(&five_tuple).map(|info| info.relay_addr)
    }

    /// Makes an allocation for a client; port 0 takes any.
    pub(super) async fn allocate(
        &self,
        source: SocketAddr,
        username: String,
        v4: bool,
        port: u16,
        lifetime: Duration,
    ) -> Result<Arc<Allocation>, turn::Error> {
        let username = Username::new(ATTR_USERNAME, username);
        let (five_tuple, conn) = (self.five_tuple(source), Arc::clone(&self.conn));
        self.manager.create_allocation(five_tuple, conn, port, lifetime, username, v4).await
    }

    pub(super) async fn end(&self, source: SocketAddr) {
        self.manager.delete_allocation(&self.five_tuple(source)).await;
    }

    /// Lets the library deal with a datagram; what it answers is still to be sent.
    pub(super) async fn handle(
        &self,
        source: SocketAddr,
        datagram: &[u8],
        nonce: Option<String>,
        peers: Vec<SocketAddr>,
    ) -> Arc<Answers> {
        let answers = Answers::new(Arc::clone(&self.conn));
        let nonces = nonce.into_iter().map(|nonce| (nonce, Instant::now())).collect();
        let mut request = Request {
            conn: Arc::clone(&answers) as Arc<dyn Conn + Send + Sync>,
            src_addr: source,
            buff: datagram.to_vec(),
            allocation_manager: Arc::clone(&self.manager),
            nonces: Arc::new(AsyncMutex::new(nonces)),
            auth_handler: Arc::clone(&self.keys) as Arc<dyn AuthHandler + Send + Sync>,
            realm: REALM.to_owned(),
            channel_bind_timeout: CHANNEL,
        };
        if let Err(error) = request.handle_request().await {
            tracing::debug!(%error, "a relay request went wrong");
            traffic::drop("unhandled");
        } else if peers.len() > 1
            && let Some(allocation) = self.allocation_of(source).await
        {
            for peer in peers {
                allocation.add_permission(Permission::new(peer)).await;
            }
        }
        answers
    }
}
