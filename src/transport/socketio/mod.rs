//! Socket.IO: Engine.IO 3 and 4, by polling and by WebSocket, for clients of 2014 and later.
//!
//! The library below has a trap in each of these places: starting a session, ending a
//! connection, a full buffer, a poll that is cut, old clients' text. Each is dealt with in one
//! file here and nowhere else; read its first lines before touching it.

mod connection;
mod cors;
mod event;
mod heartbeat;
mod held;
mod inbox;
mod packet;
mod payload;
mod polling;
mod post;
mod probe;
mod query;
mod reception;
mod registry;
mod season;
mod seats;
mod sink;
mod upgrade;

pub use inbox::InboxBounds;
pub use packet::{AckId, Data, Frame, Json, Packet};
pub use sink::{SocketSink, SocketTransport};

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{Router, routing::any};
use engineioxide::service::NotFoundService;
use http::Uri;
use socketioxide::{ParserConfig, SocketIoBuilder, service::SocketIoService};
use tokio_util::task::TaskTracker;

use self::{
    connection::LAST_WRITE,
    query::Query,
    reception::Reception,
    registry::Registry,
    seats::{Seats, SessionSeat},
};
use super::{Close, UNTRUSTED_BYTES, seat::Guest};

/// No reply to a poll is ever cut in two below this, for the second part would be lost if the
/// client changed over to a WebSocket.
const UNCUT_REPLY: u64 = 50_000_000;
/// Small, for it is kept by every connection; larger frames are read in pieces.
const READ_BUFFER: usize = 4096;
const MAX_ATTACHMENTS: usize = 64;

/// How connections are treated.
#[derive(Clone, Debug)]
pub struct SocketIoSettings {
    /// How often clients prove that they are alive.
    pub ping_interval: Duration,
    /// How late they may be.
    pub ping_timeout: Duration,
    /// How long a client of the fourth generation may take to connect to the namespace.
    pub connect_timeout: Duration,
    /// Packets that wait for a slow reader before it is let go. A healthy one overflows too if
    /// more than this is sent in one go, so whoever sends many yields in between.
    pub sink_frames: usize,
    /// The largest event.
    pub event_bytes: usize,
    /// The largest body a trusted client may post; older clients put any number of events
    /// into one, so it is far above `event_bytes`.
    pub body_bytes: usize,
    /// The same, for clients that have not said who they are.
    pub untrusted_body_bytes: usize,
    /// What may wait to be carried out.
    pub inbox: InboxBounds,
    /// The pages that may connect; empty means all.
    pub allowed_origins: Vec<String>,
}

impl Default for SocketIoSettings {
    fn default() -> Self {
        Self {
            ping_interval: Duration::from_secs(25),
            ping_timeout: Duration::from_mins(1),
            connect_timeout: Duration::from_secs(30),
            sink_frames: 1024,
            event_bytes: 1 << 20,
            body_bytes: 16 << 20,
            untrusted_body_bytes: UNTRUSTED_BYTES,
            inbox: InboxBounds { packets: 4096, bytes: 16 << 20, untrusted_bytes: UNTRUSTED_BYTES },
            allowed_origins: Vec::new(),
        }
    }
}

/// The Socket.IO side of the server.
#[derive(Clone, Debug)]
pub struct SocketIo {
    shared: Arc<Shared>,
}

impl SocketIo {
    /// Calls `on_connection` for every socket that has connected; it must not block.
    pub fn new(
        settings: SocketIoSettings,
        on_connection: impl Fn(SocketTransport) + Send + Sync + 'static,
    ) -> Self {
        let max_message = settings.event_bytes.saturating_mul(4);
        let (service, io) = SocketIoBuilder::new()
            .ping_interval(settings.ping_interval)
            .ping_timeout(settings.ping_timeout)
            .connect_timeout(settings.connect_timeout)
            .max_buffer_size(settings.sink_frames)
            .max_payload(UNCUT_REPLY)
            .ws_read_buffer_size(READ_BUFFER)
            .ws_max_message_size(max_message)
            .ws_max_frame_size(max_message)
            .with_parser(
                ParserConfig::common()
                    .max_incoming_binary_buf_size(max_message)
                    .max_incoming_binaries(MAX_ATTACHMENTS),
            )
            .build_svc();
        let shared = Arc::new(Shared {
            settings,
            service: OnceLock::new(),
            registry: Arc::default(),
            sessions: TaskTracker::new(),
            seats: Arc::default(),
            is_draining: AtomicBool::new(false),
            on_connection: Box::new(on_connection),
        });
        io.ns("/", Reception(Arc::downgrade(&shared)));
        // Nobody else has had it in hand yet.
        let _ = shared.service.set(service);
        Self { shared }
    }

    /// The path clients knock at, to be served by [`listener::serve`](super::listener::serve).
    pub fn routes(&self) -> Router {
        Router::new()
            .route("/socket.io", any(polling::handle))
            .route("/socket.io/", any(polling::handle))
            .with_state(self.shared.clone())
    }

    /// What a request needs no place for as long as it is kept: it is one of the few that belong
    /// to a living session, which has a place.
    pub fn guest(&self, uri: &Uri) -> Option<Guest> {
        if !uri.path().trim_matches('/').eq("socket.io") {
            return None;
        }
        self.shared.seats.guest(Query::of(uri).sid()?)
    }

    /// How many sessions exist, connected or not.
    pub fn sessions(&self) -> usize {
        self.shared.sessions.len()
    }

    /// How many connections exist.
    pub fn connections(&self) -> usize {
        self.shared.registry.connections().len()
    }

    /// Takes no further sessions, and ends all connections one by one within `time`, so that
    /// not all clients come back in the same instant. Returns when the last words are written.
    pub async fn drain(&self, time: Duration) {
        self.shared.is_draining.store(true, Ordering::SeqCst);
        let connections = self.shared.registry.connections();
        let pause = time.checked_div(u32::try_from(connections.len()).unwrap_or(u32::MAX));
        for connection in connections {
            connection.close(Close::Shutdown, || {});
            drop(connection);
            tokio::time::sleep(pause.unwrap_or_default()).await;
        }
        // Whoever has not gone by then has been cut off.
        let patience = LAST_WRITE + Duration::from_secs(1);
        let _ = tokio::time::timeout(patience, self.shared.registry.emptied()).await;
    }
}

/// What all connections share.
struct Shared {
    settings: SocketIoSettings,
    /// Set once, right after it was made: the service leads to the handlers, and these to here.
    service: OnceLock<SocketIoService<NotFoundService>>,
    registry: Arc<Registry>,
    /// Counts the sessions; each keeps a token in the request it was made from.
    sessions: TaskTracker,
    /// By what right sessions that come by polling exist.
    seats: Arc<Seats>,
    is_draining: AtomicBool,
    on_connection: Box<dyn Fn(SocketTransport) + Send + Sync>,
}

impl Shared {
    /// Counts a session; `None` if there is to be no further one.
    fn admit_session(&self) -> Option<Arc<SessionSeat>> {
        let admitted = !self.is_draining.load(Ordering::SeqCst);
        admitted.then(|| SessionSeat::new(self.sessions.token(), &self.seats))
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("settings", &self.settings).finish_non_exhaustive()
    }
}
