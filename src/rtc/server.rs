//! The STUN and TURN server: what it is made of, and where it listens.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use turn::allocation::allocation_manager::{Manager, ManagerConfig};
use turn::relay::RelayAddressGenerator;
use webrtc_util::Conn;

use super::credentials::RelayCredentials;
use super::exchange::{FIRST_PORT, InternalRelays};
use super::front::Front;
use super::ledger::{Bounds, Ledger, LineId, Place};
use super::limits::{RelayAccounts, RelayLimits, RelayWay};
use super::line::{Keys, Line};
use super::reach::Reach;
use super::reservations::Reservations;
use super::seat::{Seat, Seats};
use super::sockets::{Live, SocketRelays};
use super::streams::RelayStreams;
use super::tcp::{TcpLine, Writing};
use super::traffic::{self, Allowance};
use super::udp::UdpLine;
use super::upkeep::{Closed, audit, strike_ended};

/// Streams of one listener.
const STREAMS: usize = 4096;

/// Says whether a stream of an address may come in, which it is as long as what is given is kept.
pub type StreamAdmission =
    Arc<dyn Fn(IpAddr) -> Option<Box<dyn std::any::Any + Send>> + Send + Sync>;

/// The STUN and TURN server. Cheap to clone.
#[derive(Clone)]
pub struct RelayServer {
    pub(super) shared: Arc<Shared>,
}

/// What all listeners have in common.
pub(super) struct Shared {
    pub(super) front: Arc<Front>,
    pub(super) ledger: Ledger,
    pub(super) seats: Arc<Seats>,
    pub(super) accounts: Arc<dyn RelayAccounts>,
    pub(super) lines: Mutex<Vec<Arc<Line>>>,
    way: RelayWay,
    limits: RelayLimits,
    reach: Arc<Reach>,
    internal: InternalRelays,
    live: Live,
    closed: mpsc::Sender<Closed>,
    pub(super) reservations: Reservations,
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
        let own = match &way {
            RelayWay::Sockets { bind, advertise, .. } => vec![*bind, advertise.unwrap_or(*bind)],
            RelayWay::Internal | RelayWay::Nowhere => Vec::new(),
        };
        let (reach, seats) = (Arc::new(Reach::around(own)), Arc::<Seats>::default());
        let front = match way {
            RelayWay::Sockets { .. } => {
                let (reach, seats) = (Arc::clone(&reach), Arc::clone(&seats));
                Front::new(credentials, move |peer| {
                    reach.is_open(peer.ip()) || seats.find(peer).is_some()
                })
            }
            // Inside the process everything may be named, for nothing outside is reached.
            RelayWay::Internal | RelayWay::Nowhere => Front::new(credentials, |_| true),
        };
        let bounds =
            Bounds { per_account: limits.per_account, total: limits.total, peers: limits.peers };
        // The library tells of ends under its own lock: this must never be full.
        let (closed, ends) = mpsc::channel(limits.total.saturating_mul(2).max(64));
        let shared = Arc::new(Shared {
            front: Arc::new(front),
            ledger: Ledger::new(bounds),
            seats,
            accounts,
            lines: Mutex::default(),
            way,
            limits,
            reach,
            internal: InternalRelays::default(),
            live: Live::default(),
            closed,
            reservations: Reservations::default(),
        });
        tokio::spawn(strike_ended(Arc::downgrade(&shared), ends));
        tokio::spawn(audit(Arc::downgrade(&shared)));
        Self { shared }
    }

    /// Listens for datagrams, and serves until `stop`. An unspecified address listens on both
    /// families: on IPv6 where there is such a thing.
    pub fn listen_udp(
        &self,
        address: SocketAddr,
        stop: &CancellationToken,
    ) -> std::io::Result<SocketAddr> {
        let first = UdpLine::bind(address)?;
        let local = first.socket.local_addr()?;
        let mut lines = vec![first];
        if let Some(twin) = twin(local) {
            lines.extend(needed(twin, UdpLine::bind(twin))?);
        }
        for line in lines {
            let local = line.socket.local_addr()?;
            self.serve(Arc::new(line), local, stop);
        }
        Ok(local)
    }

    /// Serves what comes in over this until `stop`.
    pub(super) fn serve(
        &self,
        conn: Arc<dyn Conn + Send + Sync>,
        local: SocketAddr,
        stop: &CancellationToken,
    ) {
        let line = self.add_line("udp", local, conn);
        let (server, stop) = (self.clone(), stop.clone());
        tokio::spawn(async move {
            stop.run_until_cancelled(server.read(line)).await;
        });
    }

    /// Listens for streams, and serves until `stop`. Those that are not admitted are closed.
    pub fn listen_tcp(
        &self,
        address: SocketAddr,
        admit: &StreamAdmission,
        stop: &CancellationToken,
    ) -> std::io::Result<SocketAddr> {
        let first = bind_stream(address)?;
        let local = first.local_addr()?;
        let mut listeners = vec![first];
        if let Some(twin) = twin(local) {
            listeners.extend(needed(twin, bind_stream(twin))?);
        }
        for listener in listeners {
            let streams = self.streams(listener.local_addr()?);
            let (stop, admit) = (stop.clone(), Arc::clone(admit));
            tokio::spawn(async move {
                while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
                    match accepted {
                        Ok((stream, peer)) => {
                            let Some(admitted) = admit(peer.ip()) else {
                                traffic::drop("connections");
                                continue;
                            };
                            let _ = stream.set_nodelay(true);
                            let (streams, stop) = (streams.clone(), stop.clone());
                            tokio::spawn(async move {
                                stop.run_until_cancelled(streams.converse(
                                    stream,
                                    peer,
                                    Writing::Together,
                                ))
                                .await;
                                drop(admitted);
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
        RelayStreams::new(self.clone(), conn, line)
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
}

impl Shared {
    /// Whether there are relayed addresses of IPv4, or of IPv6.
    pub(super) fn has_family(&self, v4: bool) -> bool {
        match &self.way {
            RelayWay::Sockets { bind, .. } => bind.is_ipv4() == v4,
            RelayWay::Internal | RelayWay::Nowhere => true,
        }
    }

    /// The ports that relayed addresses may have.
    pub(super) fn ports(&self) -> RangeInclusive<u16> {
        match &self.way {
            RelayWay::Sockets { ports, .. } => ports.clone(),
            RelayWay::Internal | RelayWay::Nowhere => FIRST_PORT..=u16::MAX,
        }
    }

    pub(super) fn relays(&self) -> Box<dyn RelayAddressGenerator + Send + Sync> {
        match &self.way {
            RelayWay::Sockets { bind, advertise, ports } => Box::new(SocketRelays {
                bind: *bind,
                advertise: *advertise,
                ports: ports.clone(),
                bandwidth: self.limits.bandwidth,
                reach: Arc::clone(&self.reach),
                live: self.live.clone(),
            }),
            RelayWay::Internal | RelayWay::Nowhere => Box::new(self.internal.clone()),
        }
    }

    /// Notes that a client has an allocation, if it has.
    pub(super) async fn seat(&self, line: &Arc<Line>, source: SocketAddr) -> bool {
        let (allocation, relayed) =
            (line.allocation_of(source).await, line.relayed_of(source).await);
        let (Some(allocation), Some(relayed)) = (allocation, relayed) else { return false };
        let outside = self.live.find(relayed);
        let allowance = match &outside {
            Some(relay) => Arc::clone(&relay.allowance),
            None => Arc::new(Allowance::new(self.limits.bandwidth)),
        };
        let line = Arc::clone(line);
        metrics::counter!("klatsch_turn_allocations_total", "transport" => line.transport)
            .increment(1);
        metrics::gauge!("klatsch_turn_allocations", "transport" => line.transport).increment(1);
        let heard = self.accounts.now();
        self.seats.add(Seat::new(line, source, relayed, allocation, allowance, outside, heard));
        true
    }

    /// A client has its allocation no longer.
    pub(super) fn unseat(&self, place: Place, relayed: SocketAddr) {
        if self.seats.remove(place, relayed) {
            self.ledger.strike(place);
            let transport = self.lines.lock().get(place.0.0).map_or("udp", |line| line.transport);
            metrics::gauge!("klatsch_turn_allocations", "transport" => transport).decrement(1);
        }
    }
}

/// The same address of the other family, for those who listen everywhere: a socket of its own
/// shows addresses of IPv4 as such.
fn twin(local: SocketAddr) -> Option<SocketAddr> {
    let other: IpAddr = match local.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv6Addr::UNSPECIFIED.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv4Addr::UNSPECIFIED.into(),
        _ => return None,
    };
    Some(SocketAddr::new(other, local.port()))
}

/// What listens beside the first; a machine without IPv6 does without it.
fn needed<T>(twin: SocketAddr, bound: std::io::Result<T>) -> std::io::Result<Option<T>> {
    match bound {
        Ok(bound) => Ok(Some(bound)),
        Err(_) if twin.is_ipv6() => Ok(None),
        Err(error) => Err(error),
    }
}

fn bind_stream(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::STREAM,
        Some(socket2::Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    TcpListener::from_std(socket.into())
}
