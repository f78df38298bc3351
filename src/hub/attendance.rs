//! Which connections attend a conversation, and for whom: what `ENTER` and `LEAVE` are told by.
//!
//! Attendance is what the room sees; what a connection hears is a matter of its subscriptions.
//! A place may outlive its lost connection for a while, until the same login takes it over.

use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::ConnectionId;
use crate::domain::{ConversationId, Event, LoginId, Party, Place, Principal, Timestamp};

/// A connection's place in a conversation.
#[derive(Clone, Debug)]
pub struct Attendee {
    /// For whom it is there.
    pub who: Party,
    /// What is kept of it if the connection is lost.
    pub kept: Option<Kept>,
}

/// A place that outlives its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// By which login it can be taken over.
    pub login: LoginId,
    /// What surely arrived.
    pub confirmed: Place,
    /// Until when it is kept; none while the connection lives.
    pub until: Option<Timestamp>,
}

/// Somebody came or went.
#[derive(Clone, Debug)]
pub struct Movement {
    /// Where.
    pub conversation: ConversationId,
    /// Which connection.
    pub connection: ConnectionId,
    /// Who and what is kept of them.
    pub attendee: Attendee,
    /// Came, or went.
    pub present: bool,
    /// Whether it is their first connection there, or was their last.
    pub alone: bool,
}

impl Movement {
    /// The event that tells of it.
    pub fn event(&self) -> Event {
        Event::AttendanceChanged {
            conversation: self.conversation,
            who: self.attendee.who.clone(),
            connection: self.connection,
            present: self.present,
            alone: self.alone,
        }
    }
}

type Room = BTreeMap<ConnectionId, Attendee>;

/// The places of all conversations.
#[derive(Debug, Default)]
pub struct Attendance {
    state: Mutex<State>,
    /// Who looks after kept places that are taken away.
    evictions: OnceLock<mpsc::UnboundedSender<(ConversationId, LoginId)>>,
}

#[derive(Debug, Default)]
struct State {
    rooms: HashMap<ConversationId, Room>,
    /// Where each connection is.
    places: HashMap<ConnectionId, Vec<ConversationId>>,
}

impl State {
    fn add(&mut self, conversation: ConversationId, connection: ConnectionId, who: Attendee) {
        self.rooms.entry(conversation).or_default().insert(connection, who);
        self.places.entry(connection).or_default().push(conversation);
    }

    fn take(&mut self, conversation: ConversationId, connection: ConnectionId) -> Option<Movement> {
        let room = self.rooms.get_mut(&conversation)?;
        let attendee = room.remove(&connection)?;
        let principal = attendee.who.principal();
        let alone = !room.values().any(|other| other.who.principal() == principal);
        if room.is_empty() {
            self.rooms.remove(&conversation);
        }
        if let Some(places) = self.places.get_mut(&connection) {
            places.retain(|place| *place != conversation);
            if places.is_empty() {
                self.places.remove(&connection);
            }
        }
        Some(Movement { conversation, connection, attendee, present: false, alone })
    }
}

impl Attendance {
    /// Counts a connection in; nothing if it was there already.
    pub fn enter(
        &self,
        conversation: ConversationId,
        connection: ConnectionId,
        attendee: Attendee,
    ) -> Option<Movement> {
        let mut state = self.state.lock();
        let room = state.rooms.entry(conversation).or_default();
        if room.contains_key(&connection) {
            return None;
        }
        let principal = attendee.who.principal();
        let alone = !room.values().any(|other| other.who.principal() == principal);
        state.add(conversation, connection, attendee.clone());
        Some(Movement { conversation, connection, attendee, present: true, alone })
    }

    /// Counts a connection out; nothing if it was not there.
    pub fn leave(
        &self,
        conversation: ConversationId,
        connection: ConnectionId,
    ) -> Option<Movement> {
        self.state.lock().take(conversation, connection)
    }

    /// Counts a connection out everywhere.
    pub fn leave_all(&self, connection: ConnectionId) -> Vec<Movement> {
        let mut state = self.state.lock();
        let places = state.places.get(&connection).cloned().unwrap_or_default();
        places.into_iter().filter_map(|place| state.take(place, connection)).collect()
    }

    /// Counts all connections of a principal out of a conversation.
    pub fn evict(&self, conversation: ConversationId, principal: Principal) -> Vec<Movement> {
        self.take_away(conversation, |attendee| attendee.who.principal() == principal)
    }

    /// Counts everybody out of a conversation.
    pub fn clear(&self, conversation: ConversationId) -> Vec<Movement> {
        self.take_away(conversation, |_| true)
    }

    /// Where places are taken away that were kept, and from which login. Only the first who
    /// asks hears of it.
    pub fn evictions(&self) -> mpsc::UnboundedReceiver<(ConversationId, LoginId)> {
        // Unbounded: there are at most as many entries as places.
        let (evictions, next) = mpsc::unbounded_channel();
        let _ = self.evictions.set(evictions);
        next
    }

    fn take_away(
        &self,
        conversation: ConversationId,
        whose: impl Fn(&Attendee) -> bool,
    ) -> Vec<Movement> {
        let mut state = self.state.lock();
        let Some(room) = state.rooms.get(&conversation) else { return Vec::new() };
        let theirs = room.iter().filter(|(_, attendee)| whose(attendee));
        let theirs: Vec<_> = theirs.map(|(connection, _)| *connection).collect();
        let gone: Vec<_> =
            theirs.into_iter().filter_map(|one| state.take(conversation, one)).collect();
        if let Some(evictions) = self.evictions.get() {
            for kept in gone.iter().filter_map(|movement| movement.attendee.kept) {
                let _ = evictions.send((conversation, kept.login));
            }
        }
        gone
    }

    /// Whether a connection is in a conversation.
    pub fn is_in(&self, conversation: ConversationId, connection: ConnectionId) -> bool {
        let state = self.state.lock();
        state.rooms.get(&conversation).is_some_and(|room| room.contains_key(&connection))
    }

    /// Everybody in a conversation, connection by connection.
    pub fn present(&self, conversation: ConversationId) -> Vec<Party> {
        let state = self.state.lock();
        let room = state.rooms.get(&conversation).into_iter().flat_map(BTreeMap::values);
        room.map(|attendee| attendee.who.clone()).collect()
    }

    /// Notes what surely arrived; says for which login, if its place would be kept.
    pub fn confirm(
        &self,
        conversation: ConversationId,
        connection: ConnectionId,
        place: Place,
    ) -> Option<LoginId> {
        let mut state = self.state.lock();
        let attendee = state.rooms.get_mut(&conversation)?.get_mut(&connection)?;
        let kept = attendee.kept.as_mut()?;
        kept.confirmed = kept.confirmed.max(place);
        Some(kept.login)
    }

    /// What surely arrived on every connection of a login that is in a conversation, and until
    /// when that is kept, if nobody of them lives.
    pub fn kept(
        &self,
        conversation: ConversationId,
        login: LoginId,
    ) -> Option<(Place, Option<Timestamp>)> {
        let state = self.state.lock();
        let room = state.rooms.get(&conversation)?;
        let all = room.values().filter_map(|attendee| attendee.kept);
        all.filter(|kept| kept.login == login)
            .map(|kept| (kept.confirmed, kept.until))
            .reduce(|one, other| (one.0.min(other.0), one.1.zip(other.1).map(|(a, b)| a.max(b))))
    }

    /// Keeps the places of a lost connection until a moment, those that can be kept; the others
    /// are given up. Says where places are kept, and for which login.
    pub fn park(
        &self,
        connection: ConnectionId,
        until: Timestamp,
    ) -> Vec<(ConversationId, LoginId)> {
        let mut state = self.state.lock();
        let places = state.places.get(&connection).cloned().unwrap_or_default();
        let mut parked = Vec::new();
        for place in places {
            let attendee = state.rooms.get_mut(&place).and_then(|room| room.get_mut(&connection));
            if let Some(kept) = attendee.and_then(|attendee| attendee.kept.as_mut()) {
                kept.until = Some(until);
                parked.push((place, kept.login));
            }
        }
        // What is left under its number belongs to nobody who could leave it.
        if !parked.is_empty() {
            let kept = |place: &ConversationId| parked.iter().any(|(other, _)| other == place);
            if let Some(places) = state.places.get_mut(&connection) {
                places.retain(|place| !kept(place));
            }
        }
        parked
    }

    /// The places that are kept for a login.
    ///
    /// Those of one conversation stand together, the one that misses most first.
    pub fn parked(&self, login: LoginId) -> Vec<(ConversationId, ConnectionId)> {
        let state = self.state.lock();
        let mut found = Vec::new();
        for (conversation, room) in &state.rooms {
            for (connection, attendee) in room {
                let kept = attendee.kept.filter(|kept| kept.login == login);
                if let Some(kept) = kept.filter(|kept| kept.until.is_some()) {
                    found.push((*conversation, kept.confirmed, *connection));
                }
            }
        }
        found.sort_unstable();
        found.into_iter().map(|(conversation, _, connection)| (conversation, connection)).collect()
    }

    /// Gives the kept place of a lost connection to another; what had surely arrived there. If
    /// that one is there already, or nothing is kept, nothing changes.
    pub fn take_over(
        &self,
        conversation: ConversationId,
        lost: ConnectionId,
        by: ConnectionId,
    ) -> Option<Kept> {
        let mut state = self.state.lock();
        let room = state.rooms.get_mut(&conversation)?;
        if room.contains_key(&by) {
            return None;
        }
        let kept = room.get(&lost)?.kept.filter(|kept| kept.until.is_some())?;
        let mut attendee = room.remove(&lost)?;
        attendee.kept = Some(Kept { until: None, ..kept });
        state.add(conversation, by, attendee);
        Some(kept)
    }

    /// Gives up a kept place, if it is still kept and its time is over.
    pub fn expire(
        &self,
        conversation: ConversationId,
        connection: ConnectionId,
        now: Timestamp,
    ) -> Option<Movement> {
        let mut state = self.state.lock();
        let kept = state.rooms.get(&conversation)?.get(&connection)?.kept?;
        kept.until.filter(|until| *until <= now)?;
        state.take(conversation, connection)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::{User, UserId};

    const ROOM: ConversationId = ConversationId::new(1);
    const OTHER: ConversationId = ConversationId::new(2);
    const LOGIN: LoginId = LoginId::new(5);

    fn person(id: i64) -> Party {
        Party::User(Arc::new(User {
            id: UserId::new(id),
            email: String::new(),
            username: format!("user{id}"),
            first_name: String::new(),
            last_name: String::new(),
            birthday: None,
            created: Timestamp::default(),
            updated: Timestamp::default(),
            active: true,
            superuser: false,
            staff: false,
            employee: false,
            premium_until: None,
            balance: 0,
            online: true,
        }))
    }

    fn plain(id: i64) -> Attendee {
        Attendee { who: person(id), kept: None }
    }

    fn kept(id: i64, confirmed: i64) -> Attendee {
        let kept = Kept { login: LOGIN, confirmed: Place::new(confirmed), until: None };
        Attendee { who: person(id), kept: Some(kept) }
    }

    const fn on(number: u64) -> ConnectionId {
        ConnectionId::new(number)
    }

    #[test]
    fn a_user_is_alone_with_the_first_connection_and_with_the_last() {
        let attendance = Attendance::default();
        assert!(attendance.enter(ROOM, on(1), plain(1)).unwrap().alone);
        assert!(attendance.enter(ROOM, on(1), plain(1)).is_none());
        assert!(!attendance.enter(ROOM, on(2), plain(1)).unwrap().alone);
        assert!(attendance.enter(ROOM, on(3), plain(2)).unwrap().alone);
        assert_eq!(attendance.present(ROOM).len(), 3);
        assert!(!attendance.leave(ROOM, on(1)).unwrap().alone);
        assert!(attendance.leave(ROOM, on(1)).is_none());
        assert!(attendance.leave_all(on(2))[0].alone);
        assert!(attendance.is_in(ROOM, on(3)));
        assert_eq!(attendance.evict(ROOM, person(2).principal()).len(), 1);
        let state = attendance.state.lock();
        assert!(state.rooms.is_empty() && state.places.is_empty());
    }

    #[test]
    fn a_lost_place_stays_until_it_is_taken_over_or_its_time_is_over() {
        let attendance = Attendance::default();
        let later = Timestamp::from_secs(30);
        for (room, connection, who) in
            [(ROOM, 1, kept(1, 7)), (OTHER, 1, kept(1, 8)), (ROOM, 2, plain(2))]
        {
            attendance.enter(room, on(connection), who).unwrap();
        }
        assert_eq!(attendance.confirm(ROOM, on(1), Place::new(9)), Some(LOGIN));
        assert_eq!(attendance.kept(ROOM, LOGIN), Some((Place::new(9), None)));
        assert_eq!(attendance.park(on(1), later), [(ROOM, LOGIN), (OTHER, LOGIN)]);
        assert!(attendance.leave_all(on(1)).is_empty());
        assert_eq!(attendance.parked(LOGIN), [(ROOM, on(1)), (OTHER, on(1))]);
        assert_eq!(attendance.take_over(ROOM, on(1), on(4)).unwrap().confirmed, Place::new(9));
        assert!(attendance.take_over(ROOM, on(1), on(5)).is_none());
        assert!(attendance.is_in(ROOM, on(4)));
        assert!(attendance.expire(OTHER, on(1), Timestamp::from_secs(29)).is_none());
        assert!(attendance.expire(OTHER, on(1), later).unwrap().alone);
        assert!(attendance.expire(ROOM, on(4), later).is_none());
        assert!(attendance.park(on(2), later).is_empty());
        assert_eq!(attendance.leave_all(on(2)).len(), 1);
    }
}
