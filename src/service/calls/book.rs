//! The calls there are: one entry each while it rings or is active, in memory alone.
//!
//! Nothing here waits or tells anybody; what is to be told is returned, in order.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::clients::Clients;
use crate::domain::{
    CallEvent, CallId, CallMedia, CallNotice, CallReason, CallState, ConnectionId, ConversationId,
    Leg, LegInput, Principal, Refusal,
};
use crate::policy::MayCall;

/// How long things last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// How long a call rings.
    pub(super) ring: Duration,
    /// How long a lost connection may stay away.
    pub(super) grace: Duration,
    /// How long is kept what is said to those who are away.
    pub(super) kept: Duration,
}

impl Default for Times {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { ring: seconds(45), grace: seconds(20), kept: seconds(30) }
    }
}

/// What a step brings about.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// Who is told what, in this order.
    pub(super) told: Vec<(ConnectionId, CallEvent)>,
    /// Calls that are over.
    pub(super) results: Vec<CallResult>,
}

impl Effects {
    /// What another step brings about, behind this.
    pub(super) fn append(&mut self, mut other: Self) {
        self.told.append(&mut other.told);
        self.results.append(&mut other.results);
    }

    /// Tells the connections of an account on which it rings, but one.
    pub(super) fn tell_rung(
        &mut self,
        (who, but): (Principal, Option<ConnectionId>),
        notice: &CallNotice,
        clients: &Clients,
    ) {
        let rung = clients.of(who).into_iter().filter(|connection| Some(*connection) != but);
        self.told.extend(rung.map(|to| (to, CallEvent::Call(notice.clone()))));
    }
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::service) struct CallResult {
    pub(super) call: CallId,
    pub(super) caller: Principal,
    pub(super) conversation: Option<ConversationId>,
    pub(super) state: CallState,
    /// From the first accept to the end.
    pub(super) lasted: Duration,
}

/// One party of a call.
#[derive(Debug)]
pub(super) struct Party {
    pub(super) who: Principal,
    pub(super) leg: Leg,
    /// Over which it takes part.
    pub(super) connection: Option<ConnectionId>,
    pub(super) away_until: Option<Instant>,
}

/// A call that is not over.
#[derive(Debug)]
pub(super) struct Call {
    id: CallId,
    conversation: Option<ConversationId>,
    media: CallMedia,
    /// The caller first.
    pub(super) parties: Vec<Party>,
    rings_until: Instant,
    accepted: Option<Instant>,
    failed: bool,
}

impl Call {
    pub(super) fn state(&self) -> CallState {
        let callees: Vec<_> = self.parties.iter().skip(1).map(|party| party.leg).collect();
        let state = CallState::of(self.parties[0].leg, &callees, self.accepted.is_some());
        if self.failed && state == CallState::Ended { CallState::Failed } else { state }
    }

    pub(super) fn notice(
        &self,
        state: CallState,
        reason: Option<CallReason>,
        by: Principal,
    ) -> CallNotice {
        let (media, conversation) = (self.media.clone(), self.conversation);
        CallNotice { call: self.id, state, reason, by, media, conversation }
    }

    pub(super) fn party(&mut self, who: Principal) -> Option<&mut Party> {
        self.parties.iter_mut().find(|party| party.who == who)
    }

    pub(super) fn caller(&self) -> Principal {
        self.parties[0].who
    }

    pub(super) fn is_group(&self) -> bool {
        self.parties.len() > 2
    }

    fn is_between(&self, one: Principal, other: Principal) -> bool {
        !self.is_group()
            && [one, other].iter().all(|who| self.parties.iter().any(|p| p.who == *who))
    }

    /// Tells all who take part over a connection, but one.
    pub(super) fn tell_others(&self, but: Principal, notice: &CallNotice, effects: &mut Effects) {
        let others = self.parties.iter().filter(|party| party.who != but);
        let connections = others.filter_map(|party| party.connection);
        effects.told.extend(connections.map(|to| (to, CallEvent::Call(notice.clone()))));
    }

    pub(super) fn first_accepted(&mut self, now: Instant) -> bool {
        if self.accepted.is_some() {
            return false;
        }
        self.accepted = Some(now);
        let caller = &mut self.parties[0];
        caller.leg = caller.leg.next(LegInput::Answered).unwrap_or(caller.leg);
        true
    }

    pub(super) fn note_failure(&mut self) {
        self.failed = true;
    }

    pub(super) const fn id(&self) -> CallId {
        self.id
    }

    pub(super) const fn conversation(&self) -> Option<ConversationId> {
        self.conversation
    }

    /// Whether somebody takes part in it over this connection.
    pub(super) fn is_held_by(&self, who: Principal, connection: ConnectionId) -> bool {
        let held = |party: &Party| party.who == who && party.connection == Some(connection);
        self.parties.iter().any(held)
    }

    /// Who is rung or takes part, but one.
    pub(super) fn others(&self, but: Principal) -> Vec<Principal> {
        let there = |leg: Leg| leg.is_engaged() || leg == Leg::Ringing;
        let others = self.parties.iter().filter(|party| party.who != but && there(party.leg));
        others.map(|party| party.who).collect()
    }

    pub(super) fn rings_until(&self) -> Instant {
        self.rings_until
    }

    fn next_deadline(&self) -> Option<Instant> {
        let rings = self.parties.iter().any(|party| party.leg == Leg::Ringing);
        let away = self.parties.iter().filter_map(|party| party.away_until);
        away.chain(rings.then_some(self.rings_until)).min()
    }

    fn result(&self, now: Instant) -> CallResult {
        CallResult {
            call: self.id,
            caller: self.caller(),
            conversation: self.conversation,
            state: self.state(),
            lasted: self.accepted.map_or(Duration::ZERO, |accepted| now - accepted),
        }
    }
}

/// The calls there are.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) calls: HashMap<CallId, Call>,
}

/// A call that somebody begins.
#[derive(Debug)]
pub(super) struct Beginning {
    pub(super) permit: MayCall,
    pub(super) callees: Vec<Principal>,
    pub(super) media: CallMedia,
    pub(super) connection: ConnectionId,
}

impl Book {
    /// The call in which somebody calls or takes part.
    pub(super) fn engagement(&self, who: Principal) -> Option<CallId> {
        let engaged = |call: &&Call| {
            call.parties.iter().any(|party| party.who == who && party.leg.is_engaged())
        };
        self.calls.values().find(engaged).map(|call| call.id)
    }

    /// The calls of somebody that are such.
    pub(super) fn find(&self, who: Principal, wanted: impl Fn(&Call) -> bool) -> Vec<CallId> {
        let has = |call: &&Call| call.parties.iter().any(|party| party.who == who) && wanted(call);
        self.calls.values().filter(has).map(|call| call.id).collect()
    }

    /// Whether somebody calls or takes part in this very call.
    pub(super) fn is_engaged_in(&self, who: Principal, call: CallId) -> bool {
        self.calls.get(&call).is_some_and(|call| {
            call.parties.iter().any(|party| party.who == who && party.leg.is_engaged())
        })
    }

    /// The call that a start would cross or join.
    fn same(&self, beginning: &Beginning) -> Option<CallId> {
        let caller = beginning.permit.caller();
        let same = |call: &&Call| {
            let there = call.parties.iter().any(|party| party.who == caller);
            let place =
                call.conversation.is_some() && call.conversation == beginning.permit.conversation();
            let pair = matches!(beginning.callees[..], [one] if call.is_between(caller, one));
            there && (place || pair)
        };
        self.calls.values().find(same).map(|call| call.id)
    }

    /// Begins a call; one that the others have begun already is accepted instead.
    pub(super) fn start(
        &mut self,
        beginning: Beginning,
        times: Times,
        clients: &Clients,
        now: Instant,
    ) -> Result<(CallNotice, Effects), Refusal> {
        let (caller, connection) = (beginning.permit.caller(), beginning.connection);
        if self.engagement(caller).is_some_and(|engaged| self.same(&beginning) != Some(engaged)) {
            return Err(Refusal::conflict("you are in another call"));
        }
        if let Some(same) = self.same(&beginning) {
            return self.accept(same, caller, connection, clients, now);
        }
        let mut effects = Effects::default();
        let mut parties = vec![Party {
            who: caller,
            leg: Leg::Calling,
            connection: Some(connection),
            away_until: None,
        }];
        parties.extend(beginning.callees.iter().map(|who| Party {
            who: *who,
            leg: match self.engagement(*who) {
                Some(_) => Leg::Busy,
                None if clients.of(*who).is_empty() => Leg::Missed,
                None => Leg::Ringing,
            },
            connection: None,
            away_until: None,
        }));
        let call = Call {
            id: CallId::random(),
            conversation: beginning.permit.conversation(),
            media: beginning.media,
            parties,
            rings_until: now + times.ring,
            accepted: None,
            failed: false,
        };
        let state = call.state();
        let rings = call.notice(CallState::Ringing, None, caller);
        for party in call.parties.iter().skip(1) {
            let told = match party.leg {
                Leg::Ringing => {
                    effects.tell_rung((party.who, None), &rings, clients);
                    continue;
                }
                Leg::Busy => call.notice(CallState::Busy, None, party.who),
                _ => call.notice(CallState::Missed, Some(CallReason::Offline), party.who),
            };
            if call.is_group() {
                effects.told.push((connection, CallEvent::Call(told)));
            }
        }
        let reason = (state == CallState::Missed).then_some(CallReason::Offline);
        let by = if state == CallState::Ringing { caller } else { call.parties[1].who };
        let notice = call.notice(state, reason, by);
        if state.is_over() {
            effects.results.push(call.result(now));
        } else {
            self.calls.insert(call.id, call);
        }
        Ok((notice, effects))
    }

    /// Forgets a call if it is over, and says so.
    pub(super) fn close_if_over(
        &mut self,
        id: CallId,
        now: Instant,
        effects: &mut Effects,
    ) -> bool {
        let over = self.calls.get(&id).is_some_and(|call| call.state().is_over());
        if over && let Some(call) = self.calls.remove(&id) {
            effects.results.push(call.result(now));
        }
        over
    }

    /// A connection of somebody has become a new client's: what rings for them rings there.
    pub(super) fn ring_also(&self, who: Principal, connection: ConnectionId) -> Effects {
        let mut effects = Effects::default();
        for call in self.calls.values() {
            let rung = |party: &Party| party.who == who && party.leg == Leg::Ringing;
            if call.parties.iter().any(rung) {
                let notice = call.notice(CallState::Ringing, None, call.caller());
                effects.told.push((connection, CallEvent::Call(notice)));
            }
        }
        effects
    }

    /// When something is due.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.calls.values().filter_map(Call::next_deadline).min()
    }
}
