//! What the parties of a call do to it, and what time does.

use tokio::time::Instant;

use super::book::{Book, Call, Effects, Times};
use super::clients::Clients;
use crate::domain::{
    CallEvent, CallId, CallNotice, CallReason, CallState, ConnectionId, Leg, LegInput, Principal,
    Refusal,
};

impl Book {
    /// Takes part; the first of an account's connections wins.
    pub(super) fn accept(
        &mut self,
        id: CallId,
        who: Principal,
        connection: ConnectionId,
        clients: &Clients,
        now: Instant,
    ) -> Result<(CallNotice, Effects), Refusal> {
        if self.engagement(who).is_some_and(|engaged| engaged != id) {
            return Err(Refusal::conflict("you are in another call"));
        }
        let (call, was) = self.leg_of(id, who)?;
        let becomes = was.next(LegInput::Accept).ok_or_else(|| match was {
            Leg::Calling => Refusal::conflict("you are calling already"),
            _ => Refusal::conflict("this call was answered elsewhere"),
        })?;
        if let Some(party) = call.party(who) {
            (party.leg, party.connection, party.away_until) = (becomes, Some(connection), None);
        }
        let mut effects = Effects::default();
        let accepted = call.notice(CallState::Accepted, None, who);
        let active = call.notice(CallState::Active, None, who);
        if was != Leg::Away {
            call.tell_others(who, &accepted, &mut effects);
        }
        if was == Leg::Ringing {
            let reason = Some(CallReason::Elsewhere);
            let elsewhere = call.notice(CallState::Accepted, reason, who);
            effects.tell_rung((who, Some(connection)), &elsewhere, clients);
        }
        if call.first_accepted(now) {
            call.tell_others(who, &active, &mut effects);
        }
        effects.told.push((connection, CallEvent::Call(active)));
        Ok((accepted, effects))
    }

    /// Does not take part; ends ringing on all connections of the account.
    pub(super) fn decline(
        &mut self,
        id: CallId,
        who: Principal,
        connection: ConnectionId,
        clients: &Clients,
        now: Instant,
    ) -> Result<(CallNotice, Effects), Refusal> {
        let call = self.step(id, who, LegInput::Decline)?;
        let mut effects = Effects::default();
        let declined = call.notice(CallState::Declined, None, who);
        effects.tell_rung((who, Some(connection)), &declined, clients);
        call.tell_others(who, &declined, &mut effects);
        self.conclude(id, now, &mut effects);
        Ok((declined, effects))
    }

    /// Gives a call up that nobody has accepted.
    pub(super) fn cancel(
        &mut self,
        id: CallId,
        who: Principal,
        clients: &Clients,
        now: Instant,
    ) -> Result<(CallNotice, Effects), Refusal> {
        let call = self.step_caller(id, who, LegInput::Cancel)?;
        let mut effects = Effects::default();
        let cancelled = call.notice(CallState::Cancelled, None, who);
        call.end_ringing(&cancelled, LegInput::Cancel, clients, &mut effects);
        self.close_if_over(id, now, &mut effects);
        Ok((cancelled, effects))
    }

    /// Takes part no longer, whatever that means at this moment.
    pub(super) fn hang_up(
        &mut self,
        id: CallId,
        (who, connection): (Principal, ConnectionId),
        failed: bool,
        clients: &Clients,
        now: Instant,
    ) -> Result<(CallNotice, Effects), Refusal> {
        let (call, leg) = self.leg_of(id, who)?;
        match leg {
            Leg::Calling => return self.cancel(id, who, clients, now),
            Leg::Ringing => return self.decline(id, who, connection, clients, now),
            _ => {}
        }
        if failed {
            call.note_failure();
        }
        let call = self.step(id, who, LegInput::HangUp)?;
        let over = if failed { CallState::Failed } else { CallState::Ended };
        let notice = call.notice(over, None, who);
        let mut effects = Effects::default();
        let was_at = call.party(who).and_then(|party| party.connection.take());
        if let Some(other) = was_at.filter(|at| *at != connection) {
            effects.told.push((other, CallEvent::Call(notice.clone())));
        }
        self.shrink(id, who, None, clients, now, &mut effects);
        Ok((notice, effects))
    }

    /// A connection of an account is lost.
    pub(super) fn lose(
        &mut self,
        who: Principal,
        connection: ConnectionId,
        times: Times,
        clients: &Clients,
        now: Instant,
    ) -> Effects {
        let mut effects = Effects::default();
        let held = |call: &&Call| call.parties.iter().any(|p| p.connection == Some(connection));
        let ids: Vec<_> = self.calls.values().filter(held).map(Call::id).collect();
        for id in ids {
            let Ok((call, _)) = self.leg_of(id, who) else { continue };
            let Some(party) = call.party(who).filter(|p| p.connection == Some(connection)) else {
                continue;
            };
            party.connection = None;
            let Some(becomes) = party.leg.next(LegInput::Lose) else { continue };
            party.leg = becomes;
            if becomes == Leg::Away {
                party.away_until = Some(now + times.grace);
                continue;
            }
            let lost = call.notice(CallState::Cancelled, Some(CallReason::Lost), who);
            call.end_ringing(&lost, LegInput::Cancel, clients, &mut effects);
            self.close_if_over(id, now, &mut effects);
        }
        effects
    }

    /// Ends somebody's part, whatever it is; where they do it themselves they are not told.
    pub(super) fn put_out(
        &mut self,
        id: CallId,
        (who, silent): (Principal, Option<ConnectionId>),
        clients: &Clients,
        now: Instant,
    ) -> Effects {
        let mut effects = Effects::default();
        let Ok((call, leg)) = self.leg_of(id, who) else { return effects };
        let own = call.party(who).and_then(|party| party.connection.take());
        let own = own.filter(|own| Some(*own) != silent);
        let notice = match leg {
            Leg::Ringing => {
                let cancelled = call.notice(CallState::Cancelled, None, who);
                effects.tell_rung((who, silent), &cancelled, clients);
                let missed = call.notice(CallState::Missed, None, who);
                call.tell_others(who, &missed, &mut effects);
                let _ = self.step(id, who, LegInput::Cancel);
                self.conclude(id, now, &mut effects);
                return effects;
            }
            Leg::Calling => {
                let Ok((notice, cancelled)) = self.cancel(id, who, clients, now) else {
                    return effects;
                };
                effects.append(cancelled);
                notice
            }
            Leg::Joined | Leg::Away => {
                let notice = call.notice(CallState::Ended, None, who);
                let _ = self.step(id, who, LegInput::HangUp);
                self.shrink(id, who, None, clients, now, &mut effects);
                notice
            }
            _ => return effects,
        };
        effects.told.extend(own.map(|to| (to, CallEvent::Call(notice))));
        effects
    }

    /// Somebody whose connection was lost takes part over another.
    pub(super) fn come_back(&mut self, id: CallId, who: Principal, connection: ConnectionId) {
        if let Ok((call, leg)) = self.leg_of(id, who)
            && let Some(joined) = leg.next(LegInput::Return)
            && let Some(party) = call.party(who)
        {
            (party.leg, party.connection, party.away_until) = (joined, Some(connection), None);
        }
    }

    /// Does what is due by now.
    pub(super) fn pass_time(&mut self, clients: &Clients, now: Instant) -> Effects {
        let mut effects = Effects::default();
        let ids: Vec<_> = self.calls.keys().copied().collect();
        for id in ids {
            self.stop_ringing(id, clients, now, &mut effects);
            let Some(call) = self.calls.get_mut(&id) else { continue };
            let mut gone = Vec::new();
            for party in &mut call.parties {
                if party.away_until.is_some_and(|until| until <= now) {
                    party.away_until = None;
                    party.leg = party.leg.next(LegInput::GraceOver).unwrap_or(party.leg);
                    gone.push(party.who);
                }
            }
            for who in gone {
                self.shrink(id, who, Some(CallReason::Lost), clients, now, &mut effects);
            }
        }
        effects
    }

    fn stop_ringing(&mut self, id: CallId, clients: &Clients, now: Instant, effects: &mut Effects) {
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.rings_until() <= now) else {
            return;
        };
        let rung = |party: &&super::book::Party| party.leg == Leg::Ringing;
        let silent: Vec<_> = call.parties.iter().filter(rung).map(|party| party.who).collect();
        for who in silent {
            let missed = call.notice(CallState::Missed, Some(CallReason::Timeout), who);
            effects.tell_rung((who, None), &missed, clients);
            call.tell_others(who, &missed, effects);
            if let Some(party) = call.party(who) {
                party.leg = party.leg.next(LegInput::TimeUp).unwrap_or(party.leg);
            }
        }
        self.conclude(id, now, effects);
    }

    /// One has gone from an active call: ends it, if nobody is left to talk to.
    fn shrink(
        &mut self,
        id: CallId,
        who: Principal,
        reason: Option<CallReason>,
        clients: &Clients,
        now: Instant,
        effects: &mut Effects,
    ) {
        let Some(call) = self.calls.get_mut(&id) else { return };
        let state = call.state();
        if state.is_over() {
            let notice = call.notice(state, reason, who);
            call.tell_others(who, &notice, effects);
            let missed = call.notice(CallState::Missed, reason, who);
            call.end_ringing(&missed, LegInput::TimeUp, clients, effects);
        } else {
            let notice = call.notice(state, reason.or(Some(CallReason::Left)), who);
            call.tell_others(who, &notice, effects);
        }
        self.close_if_over(id, now, effects);
    }

    /// If all callees have said no in some way, the call is over; in a group the caller, who
    /// was told of each, is told that as well.
    fn conclude(&mut self, id: CallId, now: Instant, effects: &mut Effects) {
        let Some(call) = self.calls.get(&id) else { return };
        let state = call.state();
        if state.is_over() && call.is_group() {
            let connection = call.parties[0].connection;
            let notice = call.notice(state, None, call.caller());
            effects.told.extend(connection.map(|to| (to, CallEvent::Call(notice))));
        }
        self.close_if_over(id, now, effects);
    }

    fn leg_of(&mut self, id: CallId, who: Principal) -> Result<(&mut Call, Leg), Refusal> {
        let unknown = || Refusal::not_found("there is no such call");
        let call = self.calls.get_mut(&id).ok_or_else(unknown)?;
        let leg = call.party(who).ok_or_else(unknown)?.leg;
        Ok((call, leg))
    }

    fn step(&mut self, id: CallId, who: Principal, input: LegInput) -> Result<&mut Call, Refusal> {
        let (call, leg) = self.leg_of(id, who)?;
        let becomes = leg.next(input);
        let becomes = becomes
            .ok_or_else(|| Refusal::conflict("this cannot be done in the call's present state"))?;
        if let Some(party) = call.party(who) {
            (party.leg, party.away_until) = (becomes, None);
        }
        Ok(call)
    }

    fn step_caller(
        &mut self,
        id: CallId,
        who: Principal,
        input: LegInput,
    ) -> Result<&mut Call, Refusal> {
        let (call, _) = self.leg_of(id, who)?;
        if call.caller() != who {
            return Err(Refusal::forbidden("only the caller cancels a call"));
        }
        self.step(id, who, input)
    }
}

impl Call {
    /// Nobody is rung any more, and those who were are told why.
    fn end_ringing(
        &mut self,
        notice: &CallNotice,
        input: LegInput,
        clients: &Clients,
        effects: &mut Effects,
    ) {
        let rung = |party: &&super::book::Party| party.leg == Leg::Ringing;
        let rung: Vec<_> = self.parties.iter().filter(rung).map(|party| party.who).collect();
        for who in rung {
            effects.tell_rung((who, None), notice, clients);
            if let Some(party) = self.party(who) {
                party.leg = party.leg.next(input).unwrap_or(party.leg);
            }
        }
    }
}
