//! By what right a session exists that is carried by many connections, and which of them it covers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;
use socketioxide::socket::Sid;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::transport::seat::{Guest, SessionPlace};

/// Connections that one session covers: a poll, a post, a WebSocket, and one that was left behind.
const GUESTS: usize = 4;

/// The sessions that have a place of their own.
#[derive(Debug, Default)]
pub(super) struct Seats {
    sessions: Mutex<HashMap<Sid, Weak<SessionSeat>>>,
}

impl Seats {
    /// What covers one more connection of a living session.
    pub(super) fn guest(&self, sid: Sid) -> Option<Guest> {
        let session = self.sessions.lock().get(&sid)?.upgrade()?;
        SessionSeat::cover(session)
    }
}

/// The seat of one session, kept by the session in the request that it was made from.
#[derive(Debug)]
pub(super) struct SessionSeat {
    _counted: TaskTrackerToken,
    place: OnceLock<SessionPlace>,
    sid: OnceLock<Sid>,
    guests: AtomicUsize,
    seats: Arc<Seats>,
}

impl SessionSeat {
    pub(super) fn new(counted: TaskTrackerToken, seats: &Arc<Seats>) -> Arc<Self> {
        Arc::new(Self {
            _counted: counted,
            place: OnceLock::new(),
            sid: OnceLock::new(),
            guests: AtomicUsize::new(0),
            seats: seats.clone(),
        })
    }

    /// Gives a session that has begun the place of the connection by which it came; what covers
    /// that connection instead.
    pub(super) fn settle(self: &Arc<Self>, sid: Sid, place: SessionPlace) -> Option<Guest> {
        let _ = self.place.set(place);
        if self.sid.set(sid).is_ok() {
            self.seats.sessions.lock().insert(sid, Arc::downgrade(self));
        }
        Self::cover(self.clone())
    }

    fn cover(self: Arc<Self>) -> Option<Guest> {
        if self.guests.fetch_add(1, Ordering::SeqCst) >= GUESTS {
            self.guests.fetch_sub(1, Ordering::SeqCst);
            return None;
        }
        Some(Box::new(Covered(self)))
    }
}

impl Drop for SessionSeat {
    fn drop(&mut self) {
        if let Some(sid) = self.sid.get() {
            self.seats.sessions.lock().remove(sid);
        }
    }
}

/// Covers a connection.
struct Covered(Arc<SessionSeat>);

impl Drop for Covered {
    fn drop(&mut self) {
        self.0.guests.fetch_sub(1, Ordering::SeqCst);
    }
}
