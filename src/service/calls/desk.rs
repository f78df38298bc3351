//! Where everything about calls comes together: under one lock, so that everybody is told of
//! things in one order, and with one task for what comes with time.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::book::{Book, CallResult, Effects, Times};
use super::clients::Clients;
use super::pins::Pins;
use super::rooms::Rooms;
use crate::domain::{CallRoom, ConnectionId, Event, Principal};
use crate::hub::Hub;
use crate::telemetry;

/// What the task is told.
#[derive(Debug)]
pub(in crate::service) enum Job {
    /// A connection speaks for an account no longer.
    Gone(ConnectionId, Principal),
    /// What became of a call is to be written down.
    Write(CallResult),
    /// Something may be due sooner than before.
    Look,
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
}

/// The calls and their rooms.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) book: Book,
    pub(super) rooms: Rooms,
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
        (Arc::new(Self { hub, times, clients, pins, state, jobs }), received)
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
            let _ = self.jobs.send(Job::Write(result));
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
        self.clients.unbound(connection, who);
        self.pins.gone(connection);
        // Without the task the server is on its way down.
        let _ = self.jobs.send(Job::Gone(connection, who));
    }

    /// A connection has ended.
    pub(in crate::service) fn ended(&self, connection: ConnectionId) {
        self.clients.ended(connection);
    }

    fn lose(&self, connection: ConnectionId, who: Principal) {
        let (times, now) = (self.times, Instant::now());
        self.bring_about(|state| {
            let mut effects = state.book.lose(who, connection, times, &self.clients, now);
            effects.told.extend(state.rooms.lose(who, connection, times, now).told);
            effects
        });
    }

    fn pass_time(&self) {
        let now = Instant::now();
        self.bring_about(|state| {
            let mut effects = state.book.pass_time(&self.clients, now);
            effects.told.extend(state.rooms.pass_time(now).told);
            effects
        });
    }

    fn next_deadline(&self) -> Option<Instant> {
        let state = self.state.lock();
        [state.book.next_deadline(), state.rooms.next_deadline()].into_iter().flatten().min()
    }
}

/// Does what comes with time, until the desk is gone.
pub(in crate::service) async fn attend<F, W>(
    desk: Weak<Desk>,
    mut jobs: mpsc::UnboundedReceiver<Job>,
    write: F,
) where
    F: Fn(CallResult) -> W,
    W: Future<Output = ()>,
{
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
            () = due => {
                if let Some(desk) = desk.upgrade() {
                    desk.pass_time();
                }
                continue;
            }
        };
        match job {
            None => return,
            Some(Job::Look) => {}
            Some(Job::Write(result)) => write(result).await,
            Some(Job::Gone(connection, who)) => {
                if let Some(desk) = desk.upgrade() {
                    desk.lose(connection, who);
                }
            }
        }
    }
}
