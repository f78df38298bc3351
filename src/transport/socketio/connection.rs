//! What the two sides of a connection share: the inbox, and the ways to end it.
//!
//! Ending takes two steps, of which the one that does not fit does nothing: the stream of a
//! WebSocket is ended, and the session is told to close as if the client had posted it.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::body::Body;
use http::Request;
use socketioxide::socket::Sid;
use tower::ServiceExt;

use super::{
    Shared,
    inbox::{Inbox, Item},
    registry::Registry,
};
use crate::transport::Close;

/// How long a client that polls may take to fetch the last words.
const LAST_POLL: Duration = Duration::from_secs(1);
/// How long a WebSocket may take to write the last words.
pub(super) const LAST_WRITE: Duration = Duration::from_secs(5);

/// One connection, as its handlers, its session and the HTTP side see it.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) sid: Sid,
    pub(super) inbox: Inbox,
    /// Text in this client's payloads is not encoded twice.
    pub(super) is_plain: AtomicBool,
    is_trusted: AtomicBool,
    /// Bytes of bodies that are being read.
    pub(super) posted: AtomicUsize,
    has_ended: AtomicBool,
    shared: Weak<Shared>,
    registry: Arc<Registry>,
}

impl Connection {
    pub(super) fn new(sid: Sid, shared: &Arc<Shared>) -> Arc<Self> {
        let connection = Arc::new(Self {
            sid,
            inbox: Inbox::new(&shared.settings.inbox),
            is_plain: AtomicBool::new(false),
            is_trusted: AtomicBool::new(false),
            posted: AtomicUsize::new(0),
            has_ended: AtomicBool::new(false),
            shared: Arc::downgrade(shared),
            registry: shared.registry.clone(),
        });
        shared.registry.add_connection(&connection);
        connection
    }

    /// Takes what the client sent, or cuts the connection.
    pub(super) fn take(&self, item: Item) {
        if self.inbox.push(item).is_err() {
            self.count_end("overrun");
            self.cut();
        }
    }

    /// The client is alive.
    pub(super) fn beat(&self) {
        self.take(Item::Heartbeat);
    }

    pub(super) fn trust(&self) {
        if let Some(shared) = self.shared.upgrade() {
            self.is_trusted.store(true, Ordering::Relaxed);
            self.inbox.widen(&shared.settings.inbox);
        }
    }

    pub(super) fn is_trusted(&self) -> bool {
        self.is_trusted.load(Ordering::Relaxed)
    }

    /// The client has gone; what it sent before is still read.
    pub(super) fn farewell(&self) {
        self.has_ended.store(true, Ordering::SeqCst);
        self.inbox.close();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::SeqCst)
    }

    /// Ends the connection at once, whatever the client has not read yet.
    pub(super) fn cut(&self) {
        self.has_ended.store(true, Ordering::SeqCst);
        self.inbox.discard();
        for line in self.registry.lines(self.sid) {
            line.wire.cut();
        }
        self.close_session();
    }

    /// Ends the connection for a reason, after what has been sent before.
    pub(super) fn close(self: &Arc<Self>, close: Close, say_goodbye: impl FnOnce()) {
        if self.has_ended.swap(true, Ordering::SeqCst) {
            return;
        }
        self.count_end(close.reason());
        if close == Close::TooSlow {
            return self.cut();
        }
        self.inbox.discard();
        // Clients that are told goodbye do not come back by themselves.
        if !matches!(close, Close::Shutdown | Close::Fault) {
            say_goodbye();
        }
        let lines = self.registry.lines(self.sid);
        for line in &lines {
            line.wire.finish();
        }
        let patience = if lines.is_empty() { LAST_POLL } else { LAST_WRITE };
        // Keeps nothing: what is gone by then has ended well.
        let lines: Vec<_> = lines.iter().map(Arc::downgrade).collect();
        let connection = Arc::downgrade(self);
        spawn(async move {
            tokio::time::sleep(patience).await;
            for line in lines.iter().filter_map(Weak::upgrade) {
                line.wire.cut();
            }
            if let Some(connection) = connection.upgrade() {
                connection.cut();
            }
        });
    }

    /// Posts the packet by which a client that polls ends its session.
    fn close_session(&self) {
        let Some(service) = self.shared.upgrade().and_then(|shared| shared.service.get().cloned())
        else {
            return;
        };
        let uri = format!("/socket.io/?EIO=4&transport=polling&sid={}", self.sid);
        let request = Request::post(uri).body(Body::from("1")).expect("a sid fits into an address");
        spawn(async move {
            let Ok(_) = service.oneshot(request).await;
        });
    }

    fn count_end(&self, reason: &'static str) {
        metrics::counter!("klatsch_socketio_ended_total", "reason" => reason).increment(1);
        tracing::debug!(sid = %self.sid, reason, "connection ended by the server");
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.registry.tidy(self.sid);
    }
}

/// Spawns, unless the runtime is going down, which ends everything anyway.
fn spawn(future: impl Future<Output = ()> + Send + 'static) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(future);
    }
}
