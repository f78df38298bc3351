//! Calls and rooms as their parties see them, on a clock that the tests turn.

use std::collections::HashSet;

use super::book::{Beginning, Book, Effects, Times};
use super::clients::Clients;
use super::rooms::{Entry, Rooms};
use super::*;
use crate::domain::{CallEvent, CallId, CallReason, ConversationId, PeerChange, UserId};
use crate::policy::{MayMeet, may_call, may_meet_for};

const fn user(id: i64) -> Principal {
    Principal::User(UserId::new(id))
}

const ANN: Principal = user(1);
const BOB: Principal = user(2);
const CARL: Principal = user(3);
const DESK: ConnectionId = ConnectionId::new(1);
const PHONE: ConnectionId = ConnectionId::new(2);
const TABLET: ConnectionId = ConnectionId::new(3);
const CARLS: ConnectionId = ConnectionId::new(4);

/// Ann at her desk, Bob with phone and tablet, Carl.
struct Scene {
    book: Book,
    clients: Clients,
    now: Instant,
}

type Told = Vec<(ConnectionId, CallState, Option<CallReason>)>;

impl Scene {
    fn new() -> Self {
        let clients = Clients::default();
        for (connection, who) in [(DESK, ANN), (PHONE, BOB), (TABLET, BOB), (CARLS, CARL)] {
            clients.mark(connection, who);
        }
        Self { book: Book::default(), clients, now: Instant::now() }
    }

    fn start(
        &mut self,
        (who, connection): (Principal, ConnectionId),
        callees: &[Principal],
    ) -> Result<(CallId, CallState, Effects), Refusal> {
        let permit = may_call(who, callees[0], true).unwrap();
        let callees = callees.to_vec();
        let beginning = Beginning { permit, callees, media: None, connection };
        let (told, effects) =
            self.book.start(beginning, Times::default(), &self.clients, self.now)?;
        Ok((told.call, told.state, effects))
    }

    fn accept(&mut self, id: CallId, who: Principal, at: ConnectionId) -> Result<Told, Refusal> {
        self.book.accept(id, who, at, &self.clients, self.now).map(|(_, effects)| told(&effects))
    }

    fn wait(&mut self, seconds: u64) -> Effects {
        self.now += Duration::from_secs(seconds);
        self.book.pass_time(&self.clients, self.now)
    }

    /// An active call of Ann and Bob, on his phone.
    fn talk(&mut self) -> CallId {
        let (id, ..) = self.start((ANN, DESK), &[BOB]).unwrap();
        self.accept(id, BOB, PHONE).unwrap();
        id
    }
}

fn told(effects: &Effects) -> Told {
    let call = |(to, event): &(ConnectionId, CallEvent)| match event {
        CallEvent::Call(notice) => Some((*to, notice.state, notice.reason)),
        _ => None,
    };
    effects.told.iter().filter_map(call).collect()
}

fn results(effects: &Effects) -> Vec<(CallState, u64)> {
    effects.results.iter().map(|result| (result.state, result.lasted.as_secs())).collect()
}

#[test]
fn the_first_accept_wins_and_the_others_hear_elsewhere() {
    let mut scene = Scene::new();
    let (id, state, effects) = scene.start((ANN, DESK), &[BOB]).unwrap();
    assert_eq!(state, CallState::Ringing);
    let ringing = CallState::Ringing;
    assert_eq!(told(&effects), [(PHONE, ringing, None), (TABLET, ringing, None)]);
    let heard = scene.accept(id, BOB, PHONE).unwrap();
    let expected = [
        (DESK, CallState::Accepted, None),
        (TABLET, CallState::Accepted, Some(CallReason::Elsewhere)),
        (DESK, CallState::Active, None),
        (PHONE, CallState::Active, None),
    ];
    assert_eq!(heard, expected);
    assert_eq!(scene.accept(id, BOB, TABLET).unwrap_err().kind(), RefusalKind::Conflict);
    assert_eq!(scene.accept(id, CARL, CARLS).unwrap_err().kind(), RefusalKind::NotFound);
    scene.now += Duration::from_secs(192);
    let hung = scene.book.hang_up(id, (BOB, PHONE), false, &scene.clients, scene.now);
    let (_, effects) = hung.unwrap();
    assert_eq!(told(&effects), [(DESK, CallState::Ended, None)]);
    assert_eq!(results(&effects), [(CallState::Ended, 192)]);
    assert!(scene.book.calls.is_empty());
    assert_eq!(in_words(CallState::Ended, Duration::from_secs(192)), "Call, 3:12");
    assert_eq!(in_words(CallState::Ended, Duration::from_secs(3605)), "Call, 1:00:05");
}

#[test]
fn a_decline_on_one_ends_ringing_on_all() {
    let mut scene = Scene::new();
    let (id, ..) = scene.start((ANN, DESK), &[BOB]).unwrap();
    let (_, effects) = scene.book.decline(id, BOB, PHONE, &scene.clients, scene.now).unwrap();
    let declined = CallState::Declined;
    assert_eq!(told(&effects), [(TABLET, declined, None), (DESK, declined, None)]);
    assert_eq!(results(&effects), [(declined, 0)]);
    let late = scene.accept(id, BOB, TABLET).unwrap_err();
    assert_eq!(late.kind(), RefusalKind::NotFound);
}

#[test]
fn a_call_rings_for_45_seconds() {
    let mut scene = Scene::new();
    scene.start((ANN, DESK), &[BOB]).unwrap();
    assert_eq!(told(&scene.wait(44)), []);
    let effects = scene.wait(1);
    let missed = |to| (to, CallState::Missed, Some(CallReason::Timeout));
    assert_eq!(told(&effects), [missed(PHONE), missed(TABLET), missed(DESK)]);
    assert_eq!(results(&effects), [(CallState::Missed, 0)]);
    assert_eq!(scene.book.next_deadline(), None);
}

#[test]
fn who_is_not_there_or_in_a_call_is_not_rung() {
    let mut scene = Scene::new();
    for connection in [PHONE, TABLET] {
        scene.clients.unbound(connection, BOB);
    }
    let (_, state, effects) = scene.start((ANN, DESK), &[BOB]).unwrap();
    assert_eq!((state, told(&effects)), (CallState::Missed, Vec::new()));
    assert_eq!(results(&effects), [(CallState::Missed, 0)]);

    let mut scene = Scene::new();
    scene.talk();
    let (_, state, effects) = scene.start((CARL, CARLS), &[BOB]).unwrap();
    assert_eq!((state, told(&effects)), (CallState::Busy, Vec::new()));
    assert_eq!(results(&effects), [(CallState::Busy, 0)]);
    // One call per caller.
    assert_eq!(scene.start((BOB, PHONE), &[CARL]).unwrap_err().kind(), RefusalKind::Conflict);
}

#[test]
fn the_second_of_two_crossing_calls_accepts_the_first() {
    let mut scene = Scene::new();
    let (first, ..) = scene.start((ANN, DESK), &[BOB]).unwrap();
    let (second, state, _) = scene.start((BOB, TABLET), &[ANN]).unwrap();
    assert_eq!((second, state), (first, CallState::Accepted));
    assert_eq!(scene.book.calls[&first].state(), CallState::Active);
    assert_eq!(scene.start((ANN, DESK), &[BOB]).unwrap_err().kind(), RefusalKind::Conflict);
}

#[test]
fn only_the_caller_cancels_and_a_lost_caller_has_cancelled() {
    let mut scene = Scene::new();
    let (id, ..) = scene.start((ANN, DESK), &[BOB]).unwrap();
    let refused = scene.book.cancel(id, BOB, &scene.clients, scene.now).unwrap_err();
    assert_eq!(refused.kind(), RefusalKind::Forbidden);
    let (_, effects) = scene.book.cancel(id, ANN, &scene.clients, scene.now).unwrap();
    let cancelled = CallState::Cancelled;
    assert_eq!(told(&effects), [(PHONE, cancelled, None), (TABLET, cancelled, None)]);
    assert_eq!(results(&effects), [(cancelled, 0)]);

    scene.start((ANN, DESK), &[BOB]).unwrap();
    let effects = scene.book.lose(ANN, DESK, Times::default(), &scene.clients, scene.now);
    let lost = Some(CallReason::Lost);
    assert_eq!(told(&effects), [(PHONE, cancelled, lost), (TABLET, cancelled, lost)]);
    assert!(scene.book.calls.is_empty());
}

#[test]
fn a_lost_party_may_come_back_for_20_seconds() {
    let mut scene = Scene::new();
    let id = scene.talk();
    let lose = |scene: &mut Scene| {
        scene.book.lose(BOB, PHONE, Times::default(), &scene.clients, scene.now)
    };
    assert_eq!(told(&lose(&mut scene)), []);
    assert_eq!(told(&scene.wait(19)), []);
    scene.book.come_back(id, BOB, PHONE);
    assert_eq!(told(&scene.wait(60)), []);
    lose(&mut scene);
    let effects = scene.wait(20);
    assert_eq!(told(&effects), [(DESK, CallState::Ended, Some(CallReason::Lost))]);
    assert_eq!(results(&effects), [(CallState::Ended, 99)]);
}

#[test]
fn a_group_call_is_active_from_the_first_accept_and_ends_below_two() {
    let mut scene = Scene::new();
    let (id, state, effects) = scene.start((ANN, DESK), &[BOB, CARL]).unwrap();
    assert_eq!((state, told(&effects).len()), (CallState::Ringing, 3));
    scene.accept(id, BOB, PHONE).unwrap();
    assert_eq!(scene.book.calls[&id].state(), CallState::Active);
    let joined = scene.accept(id, CARL, CARLS).unwrap();
    let accepted = CallState::Accepted;
    let active = CallState::Active;
    assert_eq!(joined, [(DESK, accepted, None), (PHONE, accepted, None), (CARLS, active, None)]);
    let hang_up = |scene: &mut Scene, who, at| {
        scene.book.hang_up(id, (who, at), false, &scene.clients, scene.now).unwrap().1
    };
    // The caller goes, the others go on.
    let left = Some(CallReason::Left);
    let effects = hang_up(&mut scene, ANN, DESK);
    assert_eq!(told(&effects), [(PHONE, active, left), (CARLS, active, left)]);
    assert_eq!(results(&effects), []);
    // She may come back while they talk.
    scene.accept(id, ANN, DESK).unwrap();
    hang_up(&mut scene, ANN, DESK);
    let effects = hang_up(&mut scene, CARL, CARLS);
    assert_eq!(told(&effects), [(PHONE, CallState::Ended, None)]);
    assert_eq!(results(&effects), [(CallState::Ended, 0)]);
}

#[test]
fn a_connection_that_becomes_a_new_clients_is_rung_as_well() {
    let mut scene = Scene::new();
    scene.start((ANN, DESK), &[BOB]).unwrap();
    let watch = ConnectionId::new(9);
    let effects = scene.book.ring_also(BOB, watch);
    assert_eq!(told(&effects), [(watch, CallState::Ringing, None)]);
    assert_eq!(told(&scene.book.ring_also(CARL, CARLS)), []);
}

fn room() -> CallRoom {
    CallRoom::Conversation(ConversationId::new(7))
}

fn entry(who: Principal, connection: ConnectionId, resume: Option<&str>) -> Entry {
    let permit: MayMeet = may_meet_for(who, room(), true).unwrap();
    Entry { permit, connection, media: None, resume: resume.map(str::to_owned) }
}

fn raw(text: &str) -> Arc<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap().into()
}

fn changes(effects: &Effects) -> Vec<(ConnectionId, PeerChange, PeerId, bool)> {
    let change = |(to, event): &(ConnectionId, CallEvent)| match event {
        CallEvent::Peer { peer, change, .. } => Some((*to, *change, peer.id, peer.polite)),
        _ => None,
    };
    effects.told.iter().filter_map(change).collect()
}

fn said(effects: &Effects) -> Vec<(ConnectionId, String)> {
    let said = |(to, event): &(ConnectionId, CallEvent)| match event {
        CallEvent::Said { data, .. } => Some((*to, data.get().to_owned())),
        _ => None,
    };
    effects.told.iter().filter_map(said).collect()
}

#[test]
fn newcomers_are_polite_and_told_of_those_who_are_there() {
    let (mut rooms, now, times) = (Rooms::default(), Instant::now(), Times::default());
    let (ann, _) = rooms.enter(entry(ANN, DESK, None), times, now).unwrap();
    let (bob, effects) = rooms.enter(entry(BOB, PHONE, None), times, now).unwrap();
    assert_eq!(bob.peers.iter().map(|p| (p.id, p.polite)).collect::<Vec<_>>(), [(ann.peer, true)]);
    assert_eq!(changes(&effects), [(DESK, PeerChange::Joined, bob.peer, false)]);
    // Once more: the same place.
    assert_eq!(rooms.enter(entry(BOB, PHONE, None), times, now).unwrap().0.peer, bob.peer);
    let effects = rooms.leave(room(), PHONE);
    assert_eq!(changes(&effects), [(DESK, PeerChange::Left, bob.peer, false)]);
    assert!(!rooms.holds(room(), PHONE));
}

#[test]
fn eight_peers_are_a_full_room() {
    let (mut rooms, now, times) = (Rooms::default(), Instant::now(), Times::default());
    let mut ids = HashSet::new();
    for n in 0..8 {
        let entry = entry(user(n), ConnectionId::new(n.unsigned_abs()), None);
        ids.insert(rooms.enter(entry, times, now).unwrap().0.peer);
    }
    assert_eq!(ids.len(), 8);
    let full = rooms.enter(entry(user(9), ConnectionId::new(9), None), times, now).unwrap_err();
    assert_eq!(full.code(), "room_full");
}

#[test]
fn what_is_said_to_who_is_away_waits_in_order() {
    let (mut rooms, mut now, times) = (Rooms::default(), Instant::now(), Times::default());
    rooms.enter(entry(ANN, DESK, None), times, now).unwrap();
    let (bob, _) = rooms.enter(entry(BOB, PHONE, None), times, now).unwrap();
    let effects = rooms.lose(BOB, PHONE, times, now);
    assert_eq!(changes(&effects), [(DESK, PeerChange::Reconnecting, bob.peer, false)]);
    for n in 0..70 {
        let to = (n % 2 == 0).then_some(bob.peer);
        assert_eq!(said(&rooms.say((room(), DESK), to, raw(&n.to_string()), now).unwrap()), []);
    }
    now += Duration::from_secs(19);
    assert_eq!(changes(&rooms.pass_time(now)), []);
    // Another's proof is none.
    let (carl, _) = rooms.enter(entry(CARL, CARLS, Some(&bob.secret)), times, now).unwrap();
    assert_ne!(carl.peer, bob.peer);
    let (back, effects) = rooms.enter(entry(BOB, TABLET, Some(&bob.secret)), times, now).unwrap();
    assert_eq!(back.peer, bob.peer);
    let kept: Vec<_> = (0..64).map(|n| (TABLET, n.to_string())).collect();
    assert_eq!(said(&effects), kept);
    let polite: Vec<_> = back.peers.iter().map(|peer| peer.polite).collect();
    assert_eq!(polite, [true, false]);
    // And whoever does not come back is gone.
    rooms.lose(BOB, TABLET, times, now);
    now += Duration::from_secs(20);
    let gone = changes(&rooms.pass_time(now));
    assert_eq!(gone.iter().map(|told| told.1).collect::<Vec<_>>(), [PeerChange::Left; 2]);
    let nobody = rooms.say((room(), DESK), Some(bob.peer), raw("1"), now).unwrap_err();
    assert_eq!(nobody.kind(), RefusalKind::NotFound);
}

#[test]
fn what_is_said_reaches_one_or_all_others() {
    let (mut rooms, now, times) = (Rooms::default(), Instant::now(), Times::default());
    rooms.enter(entry(ANN, DESK, None), times, now).unwrap();
    let (bob, _) = rooms.enter(entry(BOB, PHONE, None), times, now).unwrap();
    rooms.enter(entry(CARL, CARLS, None), times, now).unwrap();
    let all = said(&rooms.say((room(), DESK), None, raw("1"), now).unwrap());
    assert_eq!(all, [(PHONE, "1".to_owned()), (CARLS, "1".to_owned())]);
    let one = said(&rooms.say((room(), DESK), Some(bob.peer), raw("2"), now).unwrap());
    assert_eq!(one, [(PHONE, "2".to_owned())]);
    assert_eq!(changes(&rooms.put_out(room(), BOB)).len(), 2);
    assert!(rooms.say((room(), PHONE), None, raw("3"), now).is_err());
}

#[test]
fn what_is_said_to_nobody_waits_for_those_who_come() {
    let (mut rooms, mut now, times) = (Rooms::default(), Instant::now(), Times::default());
    rooms.enter(entry(ANN, DESK, None), times, now).unwrap();
    for n in 0..70 {
        let effects = rooms.say((room(), DESK), None, raw(&n.to_string()), now).unwrap();
        assert_eq!(said(&effects), []);
        now += Duration::from_millis(100);
    }
    let (bob, effects) = rooms.enter(entry(BOB, PHONE, None), times, now).unwrap();
    let kept = |to, first: u32| (first..64).map(|n| (to, n.to_string())).collect::<Vec<_>>();
    assert_eq!(said(&effects), kept(PHONE, 0));
    // Who was there hears it once, who comes later as well, and after 30 seconds nobody.
    assert_eq!(said(&rooms.enter(entry(BOB, PHONE, None), times, now).unwrap().1), []);
    now += Duration::from_secs(24);
    let (_, effects) = rooms.enter(entry(CARL, CARLS, None), times, now).unwrap();
    assert_eq!(said(&effects), kept(CARLS, 10));
    now += Duration::from_secs(7);
    rooms.leave(room(), CARLS);
    assert_eq!(said(&rooms.enter(entry(CARL, CARLS, None), times, now).unwrap().1), []);
    // What is said to one alone is for nobody else.
    rooms.say((room(), DESK), Some(bob.peer), raw("0"), now).unwrap();
    rooms.leave(room(), CARLS);
    assert_eq!(said(&rooms.enter(entry(CARL, CARLS, None), times, now).unwrap().1), []);
}

#[test]
fn who_is_put_out_has_no_part_any_more() {
    let cancelled = CallState::Cancelled;
    let missed = CallState::Missed;
    let (active, ended) = (CallState::Active, CallState::Ended);
    let put_out = |scene: &mut Scene, id, who, silent| {
        let effects = scene.book.put_out(id, (who, silent), &scene.clients, scene.now);
        (told(&effects), results(&effects).into_iter().map(|one| one.0).collect::<Vec<_>>())
    };
    // Rung.
    let mut scene = Scene::new();
    let (id, ..) = scene.start((ANN, DESK), &[BOB]).unwrap();
    let heard = [(PHONE, cancelled, None), (TABLET, cancelled, None), (DESK, missed, None)];
    assert_eq!(put_out(&mut scene, id, BOB, None), (heard.to_vec(), vec![missed]));
    // Calling.
    let (id, ..) = scene.start((ANN, DESK), &[BOB]).unwrap();
    let heard = [(PHONE, cancelled, None), (TABLET, cancelled, None), (DESK, cancelled, None)];
    assert_eq!(put_out(&mut scene, id, ANN, None), (heard.to_vec(), vec![cancelled]));
    // Taking part, as one of two and of three; over the very connection, and lost.
    let id = scene.talk();
    let heard = vec![(DESK, ended, None), (PHONE, ended, None)];
    assert_eq!(put_out(&mut scene, id, BOB, None), (heard, vec![ended]));
    let id = scene.talk();
    assert_eq!(put_out(&mut scene, id, BOB, Some(PHONE)).0, [(DESK, ended, None)]);
    let (id, ..) = scene.start((ANN, DESK), &[BOB, CARL]).unwrap();
    scene.accept(id, BOB, PHONE).unwrap();
    scene.accept(id, CARL, CARLS).unwrap();
    scene.book.lose(BOB, PHONE, Times::default(), &scene.clients, scene.now);
    let left = Some(CallReason::Left);
    let heard = vec![(DESK, active, left), (CARLS, active, left)];
    assert_eq!(put_out(&mut scene, id, BOB, None), (heard, Vec::new()));
    // Once is enough, and time brings nothing back.
    assert_eq!(put_out(&mut scene, id, BOB, None), (Vec::new(), Vec::new()));
    assert_eq!(told(&scene.wait(60)), []);
    assert_eq!(scene.book.calls[&id].others(ANN), [CARL]);
}

#[test]
fn a_connection_that_is_let_go_leaves_all_its_rooms() {
    let (mut rooms, now, times) = (Rooms::default(), Instant::now(), Times::default());
    rooms.enter(entry(ANN, DESK, None), times, now).unwrap();
    let (bob, _) = rooms.enter(entry(BOB, PHONE, None), times, now).unwrap();
    assert_eq!(changes(&rooms.leave_all(BOB, TABLET)), []);
    let effects = rooms.leave_all(BOB, PHONE);
    assert_eq!(changes(&effects), [(DESK, PeerChange::Left, bob.peer, false)]);
}
