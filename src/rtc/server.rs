//! The STUN and TURN server: lines, and what happens to each datagram that comes in on them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Mutex as AsyncMutex, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use turn::allocation::AllocationInfo;
use turn::allocation::allocation_manager::{Manager, ManagerConfig};
use turn::allocation::five_tuple::FiveTuple;
use turn::allocation::permission::Permission;
use turn::auth::AuthHandler;
use turn::proto::PROTO_UDP;
use turn::relay::RelayAddressGenerator;
use turn::server::request::Request;
use webrtc_util::Conn;

use super::credentials::{Claim, RelayCredentials};
use super::exchange::{Exchange, InternalRelays};
use super::front::{Front, REALM, Verdict};
use super::ledger::{Bounds, Ledger, LineId, Place};
use super::sockets::{Live, SocketRelays};
use super::tcp::TcpLine;
use super::udp::UdpLine;
use super::{reach, traffic};
use crate::domain::{Principal, Timestamp};

/// How long a channel stays bound without being bound again.
const CHANNEL: Duration = Duration::from_mins(10);
/// The largest datagram.
const LARGEST: usize = 2048;
/// Streams of one listener.
const STREAMS: usize = 4096;
/// How often it is looked whether the holders of allocations may still hold them.
const AUDIT: Duration = Duration::from_secs(1);

/// What the relay has to know of accounts.
pub trait RelayAccounts: Send + Sync + 'static {
    /// Since when credentials count, of those among these accounts that may be relayed at
    /// all; an error if that cannot be found out now.
    fn relayed_since(
        &self,
        principals: Vec<Principal>,
    ) -> BoxFuture<'_, Result<HashMap<Principal, Timestamp>, RelayUnavailable>>;

    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// It cannot be found out now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("accounts cannot be looked up now")]
pub struct RelayUnavailable;

/// Where relayed datagrams go.
#[derive(Clone, Debug)]
pub enum RelayWay {
    /// From one allocation to another, inside the process.
    Internal,
    /// Through sockets of their own.
    Sockets {
        /// Where they are bound.
        bind: IpAddr,
        /// What clients are told instead.
        advertise: Option<IpAddr>,
        /// Their ports.
        ports: RangeInclusive<u16>,
    },
    /// Nowhere: STUN alone.
    Nowhere,
}

/// How much may be relayed.
#[derive(Clone, Debug)]
pub struct RelayLimits {
    /// Allocations of one account.
    pub per_account: usize,
    /// Allocations of all.
    pub total: usize,
    /// Addresses that one allocation talks to.
    pub peers: usize,
    /// Bytes a second of one allocation, both ways together.
    pub bandwidth: NonZeroU32,
}

/// The STUN and TURN server. Cheap to clone.
#[derive(Clone)]
pub struct RelayServer {
    shared: Arc<Shared>,
}

struct Shared {
    front: Arc<Front>,
    ledger: Ledger,
    accounts: Arc<dyn RelayAccounts>,
    way: RelayWay,
    limits: RelayLimits,
    exchange: Exchange,
    live: Live,
    lines: Mutex<Vec<Arc<Line>>>,
    closed: mpsc::Sender<Closed>,
}

/// An allocation that has ended.
type Closed = (LineId, AllocationInfo);

/// One listener with its allocations; clients are told apart by their address.
struct Line {
    id: LineId,
    transport: &'static str,
    conn: Arc<dyn Conn + Send + Sync>,
    local: SocketAddr,
    manager: Arc<Manager>,
    keys: Arc<Keys>,
}

/// Gives the library the key of a name; whether the name counts is settled before.
struct Keys(Arc<Front>);

impl AuthHandler for Keys {
    fn auth_handle(&self, username: &str, _: &str, _: SocketAddr) -> Result<Vec<u8>, turn::Error> {
        Ok(self.0.key(username))
    }
}

impl std::fmt::Debug for RelayServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RelayServer").field("way", &self.shared.way).finish_non_exhaustive()
    }
}

impl RelayServer {
    /// A server without lines. Ends its upkeep when the last clone is dropped.
    pub fn start(
        credentials: RelayCredentials,
        way: RelayWay,
        limits: RelayLimits,
        accounts: Arc<dyn RelayAccounts>,
    ) -> Self {
        // Inside the process everything may be named, for nothing outside is reached.
        let may_reach = match way {
            RelayWay::Sockets { .. } => reach::is_open,
            RelayWay::Internal | RelayWay::Nowhere => |_: IpAddr| true,
        };
        let bounds =
            Bounds { per_account: limits.per_account, total: limits.total, peers: limits.peers };
        // The library tells of ends under its own lock: this must never be full.
        let (closed, ends) = mpsc::channel(limits.total.saturating_mul(2).max(64));
        let shared = Arc::new(Shared {
            front: Arc::new(Front::new(credentials, may_reach)),
            ledger: Ledger::new(bounds),
            accounts,
            way,
            limits,
            exchange: Exchange::default(),
            live: Live::default(),
            lines: Mutex::default(),
            closed,
        });
        tokio::spawn(strike_ended(Arc::downgrade(&shared), ends));
        tokio::spawn(audit(Arc::downgrade(&shared)));
        Self { shared }
    }

    /// Listens for datagrams, and serves until `stop`. An unspecified IPv4 address listens on
    /// IPv6 as well, where there is such a thing.
    pub fn listen_udp(
        &self,
        address: SocketAddr,
        stop: &CancellationToken,
    ) -> std::io::Result<SocketAddr> {
        let first = UdpLine::bind(address)?;
        let local = first.socket.local_addr()?;
        let mut lines = vec![first];
        if let Some(twin) = twin(local) {
            lines.extend(UdpLine::bind(twin).ok());
        }
        for line in lines {
            let line = self.add_line("udp", local, Arc::new(line));
            let (server, stop) = (self.clone(), stop.clone());
            tokio::spawn(async move {
                stop.run_until_cancelled(server.read(line)).await;
            });
        }
        Ok(local)
    }

    /// Listens for streams, and serves until `stop`.
    pub async fn listen_tcp(
        &self,
        address: SocketAddr,
        stop: &CancellationToken,
    ) -> std::io::Result<SocketAddr> {
        let first = TcpListener::bind(address).await?;
        let local = first.local_addr()?;
        let mut listeners = vec![first];
        if let Some(twin) = twin(local) {
            listeners.extend(only_v6(twin).ok());
        }
        for listener in listeners {
            let streams = self.streams(local);
            let stop = stop.clone();
            tokio::spawn(async move {
                while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
                    match accepted {
                        Ok((stream, peer)) => {
                            let _ = stream.set_nodelay(true);
                            let (streams, stop) = (streams.clone(), stop.clone());
                            tokio::spawn(async move {
                                stop.run_until_cancelled(streams.converse(stream, peer)).await;
                            });
                        }
                        // Out of file descriptors, most likely.
                        Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                    }
                }
            });
        }
        Ok(local)
    }

    /// A line for streams that somebody else accepts.
    pub fn streams(&self, local: SocketAddr) -> RelayStreams {
        let conn = Arc::new(TcpLine::new(local, STREAMS));
        let line = self.add_line("tcp", local, Arc::clone(&conn) as Arc<dyn Conn + Send + Sync>);
        RelayStreams { server: self.clone(), conn, line }
    }

    fn add_line(
        &self,
        transport: &'static str,
        local: SocketAddr,
        conn: Arc<dyn Conn + Send + Sync>,
    ) -> Arc<Line> {
        let mut lines = self.shared.lines.lock();
        let id = LineId(lines.len());
        let (notify, mut ends) = mpsc::channel(self.shared.limits.total.saturating_mul(2).max(64));
        let closed = self.shared.closed.clone();
        tokio::spawn(async move {
            while let Some(info) = ends.recv().await {
                let _ = closed.send((id, info)).await;
            }
        });
        let config = ManagerConfig {
            relay_addr_generator: self.shared.relays(),
            alloc_close_notify: Some(notify),
        };
        let manager = Arc::new(Manager::new(config));
        let keys = Arc::new(Keys(Arc::clone(&self.shared.front)));
        let line = Arc::new(Line { id, transport, conn, local, manager, keys });
        lines.push(Arc::clone(&line));
        line
    }

    async fn read(self, line: Arc<Line>) {
        let mut buffer = vec![0; LARGEST];
        loop {
            match line.conn.recv_from(&mut buffer).await {
                Ok((len, source)) => self.take(&line, source, &buffer[..len]).await,
                // A peer that is not there; the socket itself does not fail.
                Err(_) => tokio::task::yield_now().await,
            }
        }
    }

    /// Deals with one datagram.
    async fn take(&self, line: &Arc<Line>, source: SocketAddr, datagram: &[u8]) {
        let place = (line.id, source);
        let now = self.shared.accounts.now();
        match self.shared.front.judge(datagram, place, &self.shared.ledger, now) {
            Verdict::Pass { nonce, peers } => line.handle(source, datagram, nonce, peers).await,
            Verdict::Allocate { claim, nonce, refusal } => {
                if let Err(exceeded) = self.shared.ledger.enter(place, claim) {
                    let verdict = self.shared.front.exceeded(datagram, exceeded);
                    return line.answer(source, verdict).await;
                }
                // Accounts are looked up beside the line, which everybody's datagrams come in on.
                let (server, line, datagram) = (self.clone(), Arc::clone(line), datagram.to_vec());
                tokio::spawn(async move {
                    server.allocate(&line, source, datagram, claim, nonce, refusal).await;
                });
            }
            verdict => line.answer(source, verdict).await,
        }
    }

    async fn allocate(
        &self,
        line: &Arc<Line>,
        source: SocketAddr,
        datagram: Vec<u8>,
        claim: Claim,
        nonce: String,
        refusal: Vec<u8>,
    ) {
        let place = (line.id, source);
        let since = self.shared.accounts.relayed_since(vec![claim.principal]).await;
        match since {
            Ok(since) if since.get(&claim.principal).is_some_and(|since| claim.made >= *since) => {
                line.handle(source, &datagram, Some(nonce), Vec::new()).await;
            }
            Ok(_) => {
                let code = stun::error_code::CODE_UNAUTHORIZED;
                line.answer(source, Verdict::Answer(code, refusal)).await;
            }
            // The client asks again.
            Err(RelayUnavailable) => traffic::drop("unavailable"),
        }
        if line.manager.get_allocation(&line.five_tuple(source)).await.is_some() {
            metrics::counter!("klatsch_turn_allocations_total", "transport" => line.transport)
                .increment(1);
            metrics::gauge!("klatsch_turn_allocations", "transport" => line.transport).increment(1);
        } else {
            self.shared.ledger.strike(place);
        }
    }

    async fn end(&self, (line, source): Place) {
        let line = self.shared.lines.lock().get(line.0).cloned();
        if let Some(line) = line {
            line.manager.delete_allocation(&line.five_tuple(source)).await;
        }
    }
}

/// Streams of the relay that come in where something else listens.
#[derive(Clone)]
pub struct RelayStreams {
    server: RelayServer,
    conn: Arc<TcpLine>,
    line: Arc<Line>,
}

impl RelayStreams {
    /// Serves one stream until it ends; its allocation ends with it.
    pub async fn converse<S: AsyncRead + AsyncWrite + Send + 'static>(
        &self,
        stream: S,
        peer: SocketAddr,
    ) {
        let take = |frame: Vec<u8>| -> BoxFuture<'static, ()> {
            let (server, line) = (self.server.clone(), Arc::clone(&self.line));
            Box::pin(async move { server.take(&line, peer, &frame).await })
        };
        self.conn.converse(stream, peer, take).await;
        self.server.end((self.line.id, peer)).await;
    }
}

impl Shared {
    fn relays(&self) -> Box<dyn RelayAddressGenerator + Send + Sync> {
        let bandwidth = self.limits.bandwidth;
        match &self.way {
            RelayWay::Sockets { bind, advertise, ports } => Box::new(SocketRelays {
                bind: *bind,
                advertise: *advertise,
                ports: ports.clone(),
                bandwidth,
                live: self.live.clone(),
            }),
            RelayWay::Internal | RelayWay::Nowhere => {
                Box::new(InternalRelays { exchange: self.exchange.clone(), bandwidth })
            }
        }
    }
}

impl Line {
    const fn five_tuple(&self, source: SocketAddr) -> FiveTuple {
        FiveTuple { protocol: PROTO_UDP, src_addr: source, dst_addr: self.local }
    }

    async fn answer(&self, source: SocketAddr, verdict: Verdict) {
        match verdict {
            Verdict::Answer(code, bytes) => {
                traffic::refused(code.0);
                let _ = self.conn.send_to(&bytes, source).await;
            }
            Verdict::Drop(reason) => traffic::drop(reason),
            Verdict::Pass { .. } | Verdict::Allocate { .. } => {}
        }
    }

    /// Lets the library deal with a datagram.
    async fn handle(
        &self,
        source: SocketAddr,
        datagram: &[u8],
        nonce: Option<String>,
        peers: Vec<SocketAddr>,
    ) {
        let nonces = nonce.into_iter().map(|nonce| (nonce, Instant::now())).collect();
        let mut request = Request {
            conn: Arc::clone(&self.conn),
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
            return traffic::drop("unhandled");
        }
        if peers.len() > 1
            && let Some(allocation) = self.manager.get_allocation(&self.five_tuple(source)).await
        {
            for peer in peers {
                allocation.add_permission(Permission::new(peer)).await;
            }
        }
    }
}

/// Takes allocations that have ended out of the ledger.
async fn strike_ended(shared: std::sync::Weak<Shared>, mut ends: mpsc::Receiver<Closed>) {
    while let Some((line, info)) = ends.recv().await {
        let Some(shared) = shared.upgrade() else { return };
        if shared.ledger.strike((line, info.five_tuple.src_addr)) {
            let transport = shared.lines.lock().get(line.0).map_or("udp", |line| line.transport);
            metrics::gauge!("klatsch_turn_allocations", "transport" => transport).decrement(1);
        }
    }
}

/// Ends the allocations of those who may not hold them any more (RULINGS 65).
async fn audit(shared: std::sync::Weak<Shared>) {
    let mut pace = interval(AUDIT);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pace.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        let holders = shared.ledger.principals();
        if holders.is_empty() {
            continue;
        }
        let Ok(since) = shared.accounts.relayed_since(holders).await else { continue };
        let void = shared
            .ledger
            .places(|claim| since.get(&claim.principal).is_none_or(|since| claim.made < *since));
        let server = RelayServer { shared };
        for place in void {
            server.end(place).await;
        }
    }
}

/// The same address of the other family, for those who listen everywhere.
fn twin(local: SocketAddr) -> Option<SocketAddr> {
    let everywhere = local.ip() == IpAddr::from([0, 0, 0, 0]);
    everywhere.then(|| SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), local.port()))
}

fn only_v6(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = socket2::Socket::new(
        socket2::Domain::IPV6,
        socket2::Type::STREAM,
        Some(socket2::Protocol::TCP),
    )?;
    socket.set_only_v6(true)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    TcpListener::from_std(socket.into())
}
