//! Finds the connection of a session, and each WebSocket it has, by the session's id.
//!
//! A session that began by polling may get a WebSocket later, before or after its namespace is
//! connected; here the two meet. Nothing is kept alive by standing here.

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use socketioxide::socket::Sid;
use tokio::{sync::Notify, time::Instant};

use super::{
    connection::Connection,
    heartbeat::{FrameReader, Read},
    held::HeldBytes,
    upgrade::{PROBED, Polls},
};
use crate::transport::{
    UNTRUSTED_BYTES,
    wire::{Seen, Tap, Wire},
};

/// As little as this is held without looking at what else is.
const UNCOUNTED: usize = 8 << 10;
/// How long a client that has sent more may take to be known, and how often that is looked at.
pub(super) const DECISION: Duration = Duration::from_secs(10);
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// All sessions that have a connection or a WebSocket.
#[derive(Debug, Default)]
pub(super) struct Registry {
    entries: Mutex<HashMap<Sid, Entry>>,
    emptied: Notify,
    /// Who waits for something to be sent, whether its namespace is connected or not.
    pub(super) polls: Arc<Polls>,
}

#[derive(Debug, Default)]
struct Entry {
    connection: Weak<Connection>,
    /// More than one only while a client tries to break in on itself.
    lines: Vec<Weak<Line>>,
}

impl Entry {
    fn is_vacant(&self) -> bool {
        self.connection.strong_count() == 0 && self.lines.iter().all(|l| l.strong_count() == 0)
    }
}

impl Registry {
    pub(super) fn add_connection(&self, connection: &Arc<Connection>) {
        let mut entries = self.entries.lock();
        entries.entry(connection.sid).or_default().connection = Arc::downgrade(connection);
    }

    pub(super) fn connection(&self, sid: Sid) -> Option<Arc<Connection>> {
        self.entries.lock().get(&sid)?.connection.upgrade()
    }

    pub(super) fn connections(&self) -> Vec<Arc<Connection>> {
        self.entries.lock().values().filter_map(|entry| entry.connection.upgrade()).collect()
    }

    pub(super) fn lines(&self, sid: Sid) -> Vec<Arc<Line>> {
        let entries = self.entries.lock();
        let lines = entries.get(&sid).map_or(&[][..], |entry| &entry.lines);
        lines.iter().filter_map(Weak::upgrade).collect()
    }

    /// Enters a WebSocket under the session it belongs to.
    pub(super) fn add_line(&self, sid: Sid, line: &Arc<Line>) {
        if line.sid.set(sid).is_ok() {
            self.entries.lock().entry(sid).or_default().lines.push(Arc::downgrade(line));
        }
    }

    /// Takes out what has gone; called when a connection or a WebSocket is dropped.
    pub(super) fn tidy(&self, sid: Sid) {
        let mut entries = self.entries.lock();
        if let Some(entry) = entries.get_mut(&sid) {
            entry.lines.retain(|line| line.strong_count() > 0);
            if entry.is_vacant() {
                entries.remove(&sid);
            }
        }
        if entries.is_empty() {
            self.emptied.notify_waiters();
        }
    }

    /// Waits until nothing is left.
    pub(super) async fn emptied(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.entries.lock().is_empty() {
                return;
            }
            emptied.await;
        }
    }
}

/// One WebSocket of a session.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) wire: Arc<Wire>,
    sid: OnceLock<Sid>,
    registry: Arc<Registry>,
}

impl Line {
    /// Takes a stream whose next bytes are a WebSocket's, and listens for heartbeats on it;
    /// `read` are the first of them, if some have been read already. Also whether there is a
    /// probe among these that has to be answered.
    pub(super) fn open(
        wire: Arc<Wire>,
        registry: Arc<Registry>,
        is_version_3: bool,
        read: &mut [u8],
    ) -> (Arc<Self>, bool) {
        let line = Arc::new(Self { wire, sid: OnceLock::new(), registry });
        let mut reader = FrameReader::new(is_version_3);
        let mut held = HeldBytes::default();
        held.count(read, u64::MAX);
        // They prove that the client is there, as the change of transport itself does.
        let is_probed = reader.read(read).is_probed;
        line.wire.set_tap(Box::new(Listener {
            line: line.clone(),
            reader,
            held,
            is_trusted: false,
            is_blocked: false,
            is_stalled: Arc::default(),
        }));
        (line, is_probed)
    }

    fn connection(&self) -> Option<Arc<Connection>> {
        self.sid.get().and_then(|sid| self.registry.connection(*sid))
    }

    fn beat(&self, beats: usize) {
        if let Some(connection) = self.connection() {
            (0..beats).for_each(|_| connection.beat());
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(sid) = self.sid.get() {
            self.registry.tidy(*sid);
        }
    }
}

/// Listens to what comes in on a WebSocket.
struct Listener {
    line: Arc<Line>,
    reader: FrameReader,
    held: HeldBytes,
    is_trusted: bool,
    /// The next frame announces more than may be held.
    is_blocked: bool,
    /// The client has sent as much as is held for it, and it is not known yet whether it may
    /// send more.
    is_stalled: Arc<AtomicBool>,
}

impl Listener {
    /// Waits until what came before has been carried out, which may say who the client is; if
    /// that does not make room, the connection ends.
    fn stall(&self) {
        if self.is_stalled.swap(true, Ordering::SeqCst) {
            return;
        }
        let (line, is_stalled) = (Arc::downgrade(&self.line), self.is_stalled.clone());
        tokio::spawn(async move {
            let until = Instant::now() + DECISION;
            while is_stalled.load(Ordering::SeqCst) {
                let Some(line) = line.upgrade() else { return };
                if Instant::now() >= until {
                    if let Some(connection) = line.connection() {
                        connection.cut();
                    }
                    return line.wire.cut();
                }
                line.wire.wake_reader();
                drop(line);
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        });
    }
}

impl Tap for Listener {
    fn see(&mut self, bytes: &mut [u8]) -> Seen {
        let most = if self.is_trusted { u64::MAX } else { UNTRUSTED_BYTES as u64 };
        let passed = self.held.count(bytes, most);
        self.is_blocked = passed < bytes.len();
        let Read { heartbeats, is_probed } = self.reader.read(&mut bytes[..passed]);
        if heartbeats > 0 {
            self.line.beat(heartbeats);
        }
        Seen { passed, owed: if is_probed { PROBED } else { &[] } }
    }

    fn room(&mut self) -> usize {
        let held = usize::try_from(self.held.held()).unwrap_or(usize::MAX);
        if self.is_trusted || held < UNCOUNTED && !self.is_blocked {
            return if self.is_trusted { usize::MAX } else { UNTRUSTED_BYTES - held };
        }
        let connection = self.line.connection();
        let waiting = connection.as_ref().map_or(0, |connection| connection.inbox.bytes());
        self.is_trusted = connection.is_some_and(|connection| connection.is_trusted());
        let room = UNTRUSTED_BYTES.saturating_sub(held + waiting);
        let room = if self.is_blocked { 0 } else { room };
        if self.is_trusted || room > 0 {
            self.is_stalled.store(false, Ordering::SeqCst);
            return if self.is_trusted { usize::MAX } else { room };
        }
        self.stall();
        0
    }

    /// The packet by which a client closes its session. The library then writes all it holds
    /// before it closes the WebSocket, which it does for no other way of ending.
    fn last_words(&self) -> Option<&'static [u8]> {
        self.reader.is_between_frames().then_some(b"\x81\x81\0\0\0\0\x31")
    }
}
