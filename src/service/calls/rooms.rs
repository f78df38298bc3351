//! The rooms in which peers of a mesh find each other, in memory alone.
//!
//! A place outlives its lost connection for a while; what is said to it then is kept. So is
//! what somebody says who is alone, for those who come.

use std::collections::HashMap;

use tokio::time::Instant;

use super::book::{Effects, Times};
use crate::domain::{
    CallEvent, CallMedia, CallPeer, CallRoom, ConnectionId, FileId, PeerChange, PeerId, Principal,
    Refusal, RefusalKind,
};
use crate::policy::{MayMeet, PARTIES};

/// Things of one peer that are kept for another who is away.
const KEPT: usize = 64;

/// Somebody's place in a room.
#[derive(Debug)]
struct Place {
    id: PeerId,
    /// Proves that one was there.
    secret: String,
    who: Principal,
    media: CallMedia,
    connection: Option<ConnectionId>,
    away_until: Option<Instant>,
    kept: Vec<(Instant, PeerId, CallEvent)>,
    /// What it has said to nobody, for there was nobody yet.
    unheard: Vec<(Instant, CallEvent)>,
}

impl Place {
    fn peer(&self, polite: bool) -> CallPeer {
        CallPeer { id: self.id, who: self.who, media: self.media.clone(), polite }
    }
}

/// The rooms there are; the places of each in the order in which they were taken.
#[derive(Debug, Default)]
pub(super) struct Rooms(HashMap<CallRoom, Vec<Place>>);

/// Somebody who comes into a room.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) permit: MayMeet,
    pub(super) connection: ConnectionId,
    pub(super) media: CallMedia,
    pub(super) resume: Option<String>,
}

/// One's own place, and the others.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entered {
    pub(super) peer: PeerId,
    pub(super) secret: String,
    pub(super) peers: Vec<CallPeer>,
}

impl Rooms {
    /// Takes a place, or comes back to one's own.
    pub(super) fn enter(
        &mut self,
        entry: Entry,
        times: Times,
        now: Instant,
    ) -> Result<(Entered, Effects), Refusal> {
        let (room, who) = (entry.permit.room(), entry.permit.who());
        let places = self.0.entry(room).or_default();
        let own = |place: &Place| {
            place.who == who
                && (place.connection == Some(entry.connection)
                    || entry.resume.as_deref() == Some(place.secret.as_str()))
        };
        let mut effects = Effects::default();
        let index = if let Some(index) = places.iter().position(own) {
            let place = &mut places[index];
            (place.connection, place.away_until) = (Some(entry.connection), None);
            if entry.media.is_some() {
                place.media = entry.media;
            }
            let fresh = place.kept.drain(..).filter(|(at, ..)| now - *at <= times.kept);
            effects.told.extend(fresh.map(|(_, _, event)| (entry.connection, event)));
            index
        } else {
            if places.len() >= PARTIES {
                return Err(Refusal::new(RefusalKind::RoomFull, "the room is full"));
            }
            let said = places.iter_mut().flat_map(|place| {
                place.unheard.retain(|(at, _)| now - *at <= times.kept);
                place.unheard.iter().map(|(_, event)| (entry.connection, event.clone()))
            });
            effects.told.extend(said);
            places.push(Place {
                id: PeerId::random(),
                secret: FileId::random().get().simple().to_string(),
                who,
                media: entry.media,
                connection: Some(entry.connection),
                away_until: None,
                kept: Vec::new(),
                unheard: Vec::new(),
            });
            places.len() - 1
        };
        let others = places.iter().enumerate().filter(|(at, _)| *at != index);
        // Who came later gives way, and makes the offers.
        let peers = others.map(|(at, place)| place.peer(at < index)).collect();
        let own = &places[index];
        let entered = Entered { peer: own.id, secret: own.secret.clone(), peers };
        tell_others(room, places, index, PeerChange::Joined, &mut effects);
        Ok((entered, effects))
    }

    /// Whether a connection is in a room.
    pub(super) fn holds(&self, room: CallRoom, connection: ConnectionId) -> bool {
        self.position(room, connection).is_some()
    }

    /// Everybody who is in a room.
    pub(super) fn people(&self, room: CallRoom) -> Vec<Principal> {
        self.0.get(&room).into_iter().flatten().map(|place| place.who).collect()
    }

    /// Gives a place up.
    pub(super) fn leave(&mut self, room: CallRoom, connection: ConnectionId) -> Effects {
        let mut effects = Effects::default();
        if let Some(index) = self.position(room, connection) {
            self.remove(room, index, &mut effects);
        }
        effects
    }

    /// Gives up every place that somebody has over a connection.
    pub(super) fn leave_all(&mut self, who: Principal, connection: ConnectionId) -> Effects {
        let mut effects = Effects::default();
        let rooms: Vec<_> = self.0.keys().copied().collect();
        for room in rooms {
            let own = |place: &Place| place.connection == Some(connection) && place.who == who;
            if let Some(index) = self.0.get(&room).and_then(|places| places.iter().position(own)) {
                self.remove(room, index, &mut effects);
            }
        }
        effects
    }

    /// Puts an account out of a room.
    pub(super) fn put_out(&mut self, room: CallRoom, who: Principal) -> Effects {
        let mut effects = Effects::default();
        let own = |place: &Place| place.who == who;
        while let Some(index) = self.0.get(&room).and_then(|places| places.iter().position(own)) {
            self.remove(room, index, &mut effects);
        }
        effects
    }

    /// The room is no more.
    pub(super) fn close(&mut self, room: CallRoom) {
        self.0.remove(&room);
    }

    /// A connection is lost.
    pub(super) fn lose(
        &mut self,
        who: Principal,
        connection: ConnectionId,
        times: Times,
        now: Instant,
    ) -> Effects {
        let mut effects = Effects::default();
        for (room, places) in &mut self.0 {
            let lost = |place: &Place| place.connection == Some(connection) && place.who == who;
            if let Some(index) = places.iter().position(lost) {
                places[index].connection = None;
                places[index].away_until = Some(now + times.grace);
                tell_others(*room, places, index, PeerChange::Reconnecting, &mut effects);
            }
        }
        effects
    }

    /// Puts those out who were away for too long.
    pub(super) fn pass_time(&mut self, now: Instant) -> Effects {
        let mut effects = Effects::default();
        let rooms: Vec<_> = self.0.keys().copied().collect();
        for room in rooms {
            let over = |place: &Place| place.away_until.is_some_and(|until| until <= now);
            while let Some(index) =
                self.0.get(&room).and_then(|places| places.iter().position(over))
            {
                self.remove(room, index, &mut effects);
            }
        }
        effects
    }

    /// Passes on what a peer says to one or all others; to those who are away when they are back.
    pub(super) fn say(
        &mut self,
        (room, connection): (CallRoom, ConnectionId),
        to: Option<PeerId>,
        data: std::sync::Arc<serde_json::value::RawValue>,
        now: Instant,
    ) -> Result<Effects, Refusal> {
        let missing = || Refusal::not_found("there is no such peer in the room");
        let index = self.position(room, connection).ok_or_else(missing)?;
        let places = self.0.get_mut(&room).ok_or_else(missing)?;
        let (from, sender) = (places[index].id, places[index].who);
        let event = CallEvent::Said { room, from, sender, data };
        let mut effects = Effects::default();
        if let ([alone], None) = (&mut places[..], to) {
            if alone.unheard.len() < KEPT {
                alone.unheard.push((now, event));
            }
            return Ok(effects);
        }
        let mut reached = to.is_none();
        for place in places.iter_mut().filter(|place| place.id != from) {
            if to.is_some_and(|to| to != place.id) {
                continue;
            }
            reached = true;
            match place.connection {
                Some(connection) => effects.told.push((connection, event.clone())),
                None if place.kept.iter().filter(|(_, by, _)| *by == from).count() < KEPT => {
                    place.kept.push((now, from, event.clone()));
                }
                None => {}
            }
        }
        if reached { Ok(effects) } else { Err(missing()) }
    }

    /// When somebody has been away for too long.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.0.values().flatten().filter_map(|place| place.away_until).min()
    }

    fn position(&self, room: CallRoom, connection: ConnectionId) -> Option<usize> {
        self.0.get(&room)?.iter().position(|place| place.connection == Some(connection))
    }

    fn remove(&mut self, room: CallRoom, index: usize, effects: &mut Effects) {
        let Some(places) = self.0.get_mut(&room) else { return };
        tell_others(room, places, index, PeerChange::Left, effects);
        places.remove(index);
        if places.is_empty() {
            self.0.remove(&room);
        }
    }
}

fn tell_others(
    room: CallRoom,
    places: &[Place],
    index: usize,
    change: PeerChange,
    effects: &mut Effects,
) {
    for (at, place) in places.iter().enumerate().filter(|(at, _)| *at != index) {
        if let Some(connection) = place.connection {
            let peer = places[index].peer(index < at);
            effects.told.push((connection, CallEvent::Peer { room, peer, change }));
        }
    }
}
