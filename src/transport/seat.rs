//! By what right a connection is open: a place of its own, a session's, or none yet.
//!
//! Each request is looked at anew: who asks for a living session needs no place beside the
//! session's, and behind a proxy each request counts for the client that the proxy names.

use std::any::Any;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, Uri};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::admission::{Admission, Claim, Crowded, Place, Waiting};

/// What a request needs to be answered.
pub enum Needs {
    /// A place.
    Place,
    /// Nothing: it is answered even if all places are taken.
    Nothing,
    /// Nothing more than the session that it belongs to, which lasts as long as this.
    Session(Guest),
}

/// Keeps what another has a place for.
pub type Guest = Box<dyn Any + Send>;

/// Whom a proxy with this address speaks for, by the head of a request.
pub type ClientOf = Arc<dyn Fn(&HeaderMap, IpAddr) -> IpAddr + Send + Sync>;

/// Who may come in, how often, and on whose word.
#[derive(Clone)]
pub struct Door {
    /// The places.
    pub admission: Admission,
    /// What a request with this address needs.
    pub needs: Arc<dyn Fn(&Uri) -> Needs + Send + Sync>,
    /// Whether this is a proxy whose word counts.
    pub is_proxy: Arc<dyn Fn(IpAddr) -> bool + Send + Sync>,
    /// Whom such a proxy speaks for.
    pub client: ClientOf,
}

impl Default for Door {
    fn default() -> Self {
        Self::new(Admission::default())
    }
}

impl Door {
    /// No proxies, and a place for every request.
    pub fn new(admission: Admission) -> Self {
        Self {
            admission,
            needs: Arc::new(|_| Needs::Place),
            is_proxy: Arc::new(|_| false),
            client: Arc::new(|_, peer| peer),
        }
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Door").field("admission", &self.admission).finish_non_exhaustive()
    }
}

/// The right of one connection to be open.
pub struct Seat {
    door: Door,
    peer: IpAddr,
    is_proxy: bool,
    right: Mutex<Right>,
}

#[derive(Default)]
struct Right {
    place: Option<Place>,
    /// The share of a proxy's client.
    claim: Option<Claim>,
    guest: Option<Guest>,
    waiting: Option<Waiting>,
}

impl Seat {
    /// Takes a place for a connection that has been accepted, if there is one.
    pub(super) fn new(door: &Door, peer: IpAddr) -> Arc<Self> {
        let is_proxy = (door.is_proxy)(peer);
        let seat = Self { door: door.clone(), peer, is_proxy, right: Mutex::default() };
        let place = door.admission.admit(seat.address()).ok();
        let waiting = place.is_none().then(|| door.admission.wait());
        *seat.right.lock() = Right { place, waiting, ..Right::default() };
        Arc::new(seat)
    }

    const fn address(&self) -> Option<IpAddr> {
        if self.is_proxy { None } else { Some(self.peer) }
    }

    /// Whether the connection has a place of its own.
    pub(super) fn has_place(&self) -> bool {
        self.right.lock().place.is_some()
    }

    /// Whether it may stay open for another request.
    pub(super) fn may_stay(&self) -> bool {
        let right = self.right.lock();
        right.place.is_some() || right.guest.is_some()
    }

    /// What tells a connection without a place to make room for another.
    pub(super) fn told_to_go(&self) -> Option<CancellationToken> {
        self.right.lock().waiting.as_ref().map(Waiting::told_to_go)
    }

    /// Finds the right by which a request is answered.
    pub(super) fn take(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Crowded> {
        // First of all it is nobody's guest any more: a session has few of them.
        let before = {
            let mut right = self.right.lock();
            (right.guest.take(), right.claim.take())
        };
        drop(before);
        let needs = (self.door.needs)(uri);
        let mut right = self.right.lock();
        let Right { place, claim, guest, waiting } = &mut *right;
        match needs {
            Needs::Nothing => return Ok(()),
            Needs::Session(session) => {
                *guest = Some(session);
                *place = None;
            }
            Needs::Place => {
                if place.is_none() {
                    *place = Some(self.door.admission.admit(self.address())?);
                }
                if self.is_proxy {
                    let client = (self.door.client)(headers, self.peer);
                    if client != self.peer {
                        *claim = Some(self.door.admission.claim(client)?);
                    }
                }
            }
        }
        *waiting = None;
        Ok(())
    }

    /// Hands its right over to a session, whose guest the connection is from now on.
    pub fn hand_over(&self, session: impl FnOnce(SessionPlace) -> Option<Guest>) {
        let (place, claim) = {
            let mut right = self.right.lock();
            (right.place.take(), right.claim.take())
        };
        let guest = session(SessionPlace { _place: place, _claim: claim });
        self.right.lock().guest = guest;
    }

    /// The share of a proxy's client, which ends with the request.
    pub(super) fn take_claim(&self) -> Option<Claim> {
        self.right.lock().claim.take()
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// The right of a session to exist.
#[derive(Debug)]
pub struct SessionPlace {
    _place: Option<Place>,
    _claim: Option<Claim>,
}
