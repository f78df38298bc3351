//! Where everything about calls comes together: under one lock, so that everybody is told of
//! things in one order, and with one task for what comes with time.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::book::{Book, Call, CallResult, Effects, Times};
use super::clients::Clients;
use super::pins::Pins;
use super::rooms::Rooms;
use crate::domain::{CallId, CallRoom, ConnectionId, ConversationId, Event, Principal, Topic};
use crate::hub::Hub;
use crate::telemetry;

/// Results of one caller that may wait to be written down.
const UNWRITTEN: usize = 32;

/// What the task is told.
#[derive(Debug)]
pub(in crate::service) enum Job {
    /// A connection of an account is lost.
    Lost(ConnectionId, Principal),
    /// A connection speaks for an account no longer, and is still there.
    Gone(ConnectionId, Principal),
    /// What became of a call is to be written down.
    Write(CallResult),
    /// Something may be due sooner than before.
    Look,
}

/// What the task cannot do by itself.
#[derive(Debug)]
pub(in crate::service) enum Errand {
    /// What became of a call is to be written down.
    Write(CallResult),
    /// Somebody has left a circle: whom they are still in a call with is to be looked at.
    Review(Principal),
}

/// All calls, rooms of calls, and who knows them.
#[derive(Debug)]
pub(in crate::service) struct Desk {
    hub: Hub,
    times: Times,
    clients: Clients,
    pins: Pins,
    state: Mutex<State>,
    jobs: mpsc::UnboundedSender<Job>,
    /// How many results of a caller wait to be written down.
    unwritten: Mutex<HashMap<Principal, usize>>,
}

/// The calls and their rooms.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) book: Book,
    pub(super) rooms: Rooms,
}

impl State {
    /// Ends somebody's part in those calls, and in their rooms; what they do themselves over
    /// a connection they are not told there.
    pub(super) fn put_out(
        &mut self,
        who: Principal,
        of: impl Fn(&Call) -> bool,
        silent: Option<ConnectionId>,
        clients: &Clients,
        now: Instant,
    ) -> Effects {
        let mut effects = Effects::default();
        for id in self.book.find(who, of) {
            effects.append(self.book.put_out(id, (who, silent), clients, now));
            effects.append(self.rooms.put_out(CallRoom::Call(id), who));
        }
        effects
    }
}

impl Desk {
    /// A desk, and what its task is told; unbounded, for there are at most as many as
    /// connections that end and calls.
    pub(in crate::service) fn new(hub: Hub) -> (Arc<Self>, mpsc::UnboundedReceiver<Job>) {
        Self::with(hub, Times::default())
    }

    pub(super) fn with(hub: Hub, times: Times) -> (Arc<Self>, mpsc::UnboundedReceiver<Job>) {
        let (jobs, received) = mpsc::unbounded_channel();
        let (clients, pins, state) = (Clients::default(), Pins::default(), Mutex::default());
        let unwritten = Mutex::default();
        (Arc::new(Self { hub, times, clients, pins, state, jobs, unwritten }), received)
    }

    pub(super) const fn times(&self) -> Times {
        self.times
    }

    pub(super) const fn clients(&self) -> &Clients {
        &self.clients
    }

    pub(super) const fn pins(&self) -> &Pins {
        &self.pins
    }

    /// Does something to calls or rooms, and tells of it before anybody does anything else.
    pub(super) fn change<T, E>(
        &self,
        change: impl FnOnce(&mut State) -> Result<(T, Effects), E>,
    ) -> Result<T, E> {
        let mut state = self.state.lock();
        let (value, effects) = change(&mut state)?;
        self.carry_out(&mut state, effects);
        drop(state);
        let _ = self.jobs.send(Job::Look);
        Ok(value)
    }

    /// The same with what cannot be refused.
    pub(super) fn bring_about(&self, change: impl FnOnce(&mut State) -> Effects) {
        let done: Result<(), std::convert::Infallible> =
            self.change(|state| Ok(((), change(state))));
        let Ok(()) = done;
    }

    /// Looks at calls or rooms.
    pub(super) fn look<T>(&self, question: impl FnOnce(&State) -> T) -> T {
        question(&self.state.lock())
    }

    fn carry_out(&self, state: &mut State, effects: Effects) {
        for (connection, event) in effects.told {
            self.hub.offer_to(connection, Event::Calling(event));
        }
        for result in effects.results {
            state.rooms.close(CallRoom::Call(result.call));
            telemetry::count_call(result.state.as_str());
            *self.unwritten.lock().entry(result.caller).or_default() += 1;
            let _ = self.jobs.send(Job::Write(result));
        }
    }

    /// Whether somebody's calls end faster than what became of them can be written down.
    pub(super) fn is_behind(&self, caller: Principal) -> bool {
        self.unwritten.lock().get(&caller).is_some_and(|waiting| *waiting >= UNWRITTEN)
    }

    /// What became of a call was written down, or cannot be.
    fn written(&self, caller: Principal) {
        let mut unwritten = self.unwritten.lock();
        if let Some(waiting) = unwritten.get_mut(&caller) {
            *waiting -= 1;
            if *waiting == 0 {
                unwritten.remove(&caller);
            }
        }
    }

    /// A connection has used an additive event that was answered.
    pub(in crate::service) fn knows(&self, connection: ConnectionId, who: Principal) {
        if self.clients.mark(connection, who) {
            self.bring_about(|state| state.book.ring_also(who, connection));
        }
    }

    /// A connection speaks for an account.
    pub(in crate::service) fn bound(&self, connection: ConnectionId, who: Principal) {
        if self.clients.bound(connection, who) {
            self.bring_about(|state| state.book.ring_also(who, connection));
        }
    }

    /// A connection speaks for an account no longer. Called with the connection locked, so
    /// nobody is told of it here.
    pub(in crate::service) fn unbound(&self, connection: ConnectionId, who: Principal) {
        let there = self.clients.unbound(connection, who);
        self.pins.gone(connection);
        let job = if there { Job::Gone } else { Job::Lost };
        // Without the task the server is on its way down.
        let _ = self.jobs.send(job(connection, who));
    }

    /// A connection is lost, and will be unbound.
    pub(in crate::service) fn lost(&self, connection: ConnectionId) {
        self.clients.lost(connection);
    }

    /// Somebody speaks over a connection no longer, and of their own will or because they may
    /// not any more (RULINGS 30): nobody waits for them.
    fn quit(&self, connection: ConnectionId, who: Principal) {
        let now = Instant::now();
        self.bring_about(|state| {
            let there = |call: &Call| call.is_held_by(who, connection);
            let mut effects = state.put_out(who, there, Some(connection), &self.clients, now);
            effects.append(state.rooms.leave_all(who, connection));
            effects
        });
    }

    /// Somebody takes part in a conversation no longer (RULINGS 41).
    fn put_out(&self, who: Principal, id: ConversationId) {
        let now = Instant::now();
        self.bring_about(|state| {
            let there = |call: &Call| call.conversation() == Some(id);
            let mut effects = state.put_out(who, there, None, &self.clients, now);
            effects.append(state.rooms.put_out(CallRoom::Conversation(id), who));
            effects
        });
    }

    /// Ends somebody's part in a call that they may not be in any more.
    pub(super) fn end_part(&self, who: Principal, id: CallId) {
        let now = Instant::now();
        self.bring_about(|state| {
            state.put_out(who, |call| call.id() == id, None, &self.clients, now)
        });
    }

    fn lose(&self, connection: ConnectionId, who: Principal) {
        let (times, now) = (self.times, Instant::now());
        self.bring_about(|state| {
            let mut effects = state.book.lose(who, connection, times, &self.clients, now);
            effects.append(state.rooms.lose(who, connection, times, now));
            effects
        });
    }

    fn pass_time(&self) {
        let now = Instant::now();
        self.bring_about(|state| {
            let mut effects = state.book.pass_time(&self.clients, now);
            effects.append(state.rooms.pass_time(now));
            effects
        });
    }

    fn next_deadline(&self) -> Option<Instant> {
        let state = self.state.lock();
        [state.book.next_deadline(), state.rooms.next_deadline()].into_iter().flatten().min()
    }
}

/// Does what comes with time and with what happens elsewhere, until the desk is gone. What
/// takes a database is done beside it: who waits for a lost peer does not wait for that.
pub(in crate::service) async fn attend<F, W>(
    desk: Weak<Desk>,
    jobs: mpsc::UnboundedReceiver<Job>,
    evictions: mpsc::UnboundedReceiver<(Principal, Topic)>,
    run: F,
) where
    F: Fn(Errand) -> W,
    W: Future<Output = ()>,
{
    let (errands, mut received) = mpsc::unbounded_channel();
    let beside = async {
        while let Some(errand) = received.recv().await {
            let written = match &errand {
                Errand::Write(result) => Some(result.caller),
                Errand::Review(_) => None,
            };
            run(errand).await;
            if let (Some(caller), Some(desk)) = (written, desk.upgrade()) {
                desk.written(caller);
            }
        }
    };
    tokio::join!(watch(desk.clone(), jobs, evictions, errands), beside);
}

async fn watch(
    desk: Weak<Desk>,
    mut jobs: mpsc::UnboundedReceiver<Job>,
    mut evictions: mpsc::UnboundedReceiver<(Principal, Topic)>,
    errands: mpsc::UnboundedSender<Errand>,
) {
    // There is somebody to run them as long as this runs.
    let run = |errand| drop(errands.send(errand));
    loop {
        let deadline = desk.upgrade().and_then(|desk| desk.next_deadline());
        let due = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let job = tokio::select! {
            job = jobs.recv() => job,
            Some((who, topic)) = evictions.recv() => {
                match (topic, desk.upgrade()) {
                    (Topic::Conversation(id), Some(desk)) => desk.put_out(who, id),
                    (Topic::Circle(_), Some(_)) => run(Errand::Review(who)),
                    _ => {}
                }
                continue;
            }
            () = due => {
                if let Some(desk) = desk.upgrade() {
                    desk.pass_time();
                }
                continue;
            }
        };
        match (job, desk.upgrade()) {
            (None, _) => return,
            (Some(Job::Write(result)), _) => run(Errand::Write(result)),
            (Some(Job::Lost(connection, who)), Some(desk)) => desk.lose(connection, who),
            (Some(Job::Gone(connection, who)), Some(desk)) => desk.quit(connection, who),
            (Some(_), _) => {}
        }
    }
}
