//! A connection as the hub and the gate share it: the session, its sink, and what is held
//! back while a command runs.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::held::Held;
use super::{Output, Request, Session, Step};
use crate::domain::Event;
use crate::domain::{ConversationId, Place, PresenceMark};
use crate::hub::{ConnectionId, Delivery, Listener};
use crate::service::{Caller, Services};
use crate::telemetry::{self, LiveConnection};
use crate::transport::{Close, Sink};

/// One connection of any dialect.
pub(super) struct Connection<S: Session, K: Sink<S::Outgoing>> {
    id: OnceLock<ConnectionId>,
    sink: K,
    services: Services,
    /// How many deliveries may be held back.
    held_max: usize,
    state: Mutex<State<S>>,
    /// An event has made the session ask for something.
    stirred: Notify,
    _counted: LiveConnection,
}

struct State<S: Session> {
    session: S,
    caller: Option<Caller>,
    /// As of when it was shown everybody's presence, or was bound: the past is not told.
    seen: PresenceMark,
    /// What came for this connection while a command of it runs: the reply goes first.
    held: Option<Held>,
    /// The newest message shown in each conversation since the last heartbeat.
    shown: Shown,
    /// The same, between the last heartbeat and the one before.
    shown_before: Shown,
    /// The same for transports that can say exactly what has arrived: behind which frame.
    unproven: VecDeque<(u64, ConversationId, Place)>,
    /// What events made the session ask for.
    asked: VecDeque<Request<S::Tag>>,
    /// When the session wants to be called again.
    wake: Option<Instant>,
    /// A command's own reply was sent, whose writing is to be waited for.
    replied: bool,
}

/// How far each conversation was shown.
pub(super) type Shown = BTreeMap<ConversationId, Place>;

/// Held deliveries that are let go at once; a sink has room for them.
const LITTLE: usize = 16;
/// Messages whose arrival is unproven, beyond which only the newest is remembered.
const UNPROVEN: usize = 256;

impl<S: Session, K: Sink<S::Outgoing>> Connection<S, K> {
    /// Takes a connection into the hub; it hears nothing yet.
    pub(super) fn attach(session: S, sink: K, services: Services, held_max: usize) -> Arc<Self> {
        let state = Mutex::new(State {
            session,
            caller: None,
            seen: PresenceMark::default(),
            held: None,
            shown: Shown::new(),
            shown_before: Shown::new(),
            unproven: VecDeque::new(),
            asked: VecDeque::new(),
            wake: None,
            replied: false,
        });
        let connection = Arc::new(Self {
            id: OnceLock::new(),
            sink,
            services,
            held_max,
            state,
            stirred: Notify::new(),
            _counted: LiveConnection::of(S::DIALECT.as_str()),
        });
        let id = connection.services.hub().attach(Arc::clone(&connection) as Arc<dyn Listener>);
        // Nobody can have set it: the connection is not known to anybody else yet.
        let _ = connection.id.set(id);
        connection
    }

    /// Its number in the hub.
    pub(super) fn id(&self) -> ConnectionId {
        *self.id.get().expect("set when the connection was attached, before anybody has it")
    }

    /// Whom it speaks for.
    pub(super) fn caller(&self) -> Option<Caller> {
        self.state.lock().caller
    }

    /// Lets it speak for an account; the services have agreed. It is told of presence as it
    /// changes `since` then, if it did not speak for the same account before.
    pub(super) fn bind(&self, caller: Caller, since: Option<PresenceMark>) {
        let mut state = self.state.lock();
        state.caller = Some(caller);
        state.seen = since.unwrap_or(state.seen);
    }

    /// Lets it speak for nobody.
    pub(super) fn unbind(&self) {
        self.unbind_locked(&mut self.state.lock());
    }

    /// Ends it.
    pub(super) fn close(&self, close: Close) {
        self.sink.close(close);
    }

    /// Asks the session something, writes what it wants written, and returns what it asks.
    pub(super) fn step(&self, ask: impl FnOnce(&mut S) -> Step<S>) -> Vec<Request<S::Tag>> {
        let mut state = self.state.lock();
        let step = ask(&mut state.session);
        self.write(&mut state, step)
    }

    /// Asks the session something that changes nothing.
    pub(super) fn ask<T>(&self, question: impl FnOnce(&S) -> T) -> T {
        question(&self.state.lock().session)
    }

    /// Waits until an event has made the session ask for something.
    pub(super) async fn stirred(&self) {
        self.stirred.notified().await;
    }

    /// What events made the session ask for.
    pub(super) fn take_asked(&self) -> Vec<Request<S::Tag>> {
        self.state.lock().asked.drain(..).collect()
    }

    /// When the session wants to be called again.
    pub(super) fn wake(&self) -> Option<Instant> {
        self.state.lock().wake
    }

    /// The time has come.
    pub(super) fn woken(&self) -> Vec<Request<S::Tag>> {
        self.state.lock().wake = None;
        self.step(Session::on_wake)
    }

    /// Whether a reply was sent since this was last asked.
    pub(super) fn take_replied(&self) -> bool {
        std::mem::take(&mut self.state.lock().replied)
    }

    /// The client has proved that everything up to a frame has arrived.
    pub(super) fn prove(&self, position: u64) -> Shown {
        let mut state = self.state.lock();
        let mut shown = Shown::new();
        while let Some((at, conversation, place)) = state.unproven.front().copied()
            && at <= position
        {
            state.unproven.pop_front();
            let newest = shown.entry(conversation).or_insert(place);
            *newest = place.max(*newest);
        }
        shown
    }

    /// The client has answered a heartbeat: what was shown before the last one has arrived.
    pub(super) fn beat(&self) -> Shown {
        let mut state = self.state.lock();
        let latest = std::mem::take(&mut state.shown);
        std::mem::replace(&mut state.shown_before, latest)
    }

    /// From now on deliveries wait, until the guard lets them go.
    pub(super) fn hold(&self) -> Hold<'_, S, K> {
        self.state.lock().held.get_or_insert_default();
        Hold(self)
    }

    fn write(&self, state: &mut State<S>, step: Step<S>) -> Vec<Request<S::Tag>> {
        for output in step.outputs {
            let sent = match output {
                Output::Frame(frame) => self.sink.send(frame),
                Output::Reply(frame) => {
                    state.replied = true;
                    self.sink.send_reply(frame)
                }
                Output::Ephemeral(frame) => {
                    self.sink.send_ephemeral(frame);
                    Ok(())
                }
                Output::Join(group) => {
                    self.sink.join(&group);
                    Ok(())
                }
                Output::Leave(group) => {
                    self.sink.leave(&group);
                    Ok(())
                }
            };
            if sent.is_err() {
                self.overflow();
                return Vec::new();
            }
        }
        for (conversation, place) in step.shown {
            self.note_shown(state, conversation, place);
        }
        state.seen = step.seen.unwrap_or(state.seen);
        if let Some(within) = step.doubt {
            self.sink.doubt(within);
        }
        if let Some(after) = step.wake {
            state.wake = Some(Instant::now() + after);
        }
        if step.unbind {
            self.unbind_locked(state);
        }
        if let Some(close) = step.close {
            self.sink.close(close);
        }
        step.requests
    }

    fn note_shown(&self, state: &mut State<S>, conversation: ConversationId, place: Place) {
        let position = self.sink.probe();
        if position == 0 {
            state.shown.insert(conversation, place);
            return;
        }
        let is_long = state.unproven.len() >= UNPROVEN;
        match state.unproven.back_mut() {
            Some(last) if last.1 == conversation && is_long => {
                *last = (position, conversation, place);
            }
            _ => state.unproven.push_back((position, conversation, place)),
        }
    }

    fn overflow(&self) {
        telemetry::count_overflow(S::DIALECT.as_str());
        self.sink.close(Close::TooSlow);
    }

    fn unbind_locked(&self, state: &mut State<S>) {
        state.shown.clear();
        state.shown_before.clear();
        state.unproven.clear();
        if let Some(caller) = state.caller.take() {
            self.services.unbind(self.id(), &caller);
        }
    }
}

impl<S: Session, K: Sink<S::Outgoing>> Listener for Connection<S, K> {
    fn offer(&self, delivery: &Arc<Delivery>) {
        // A session that panics ends its own connection, not the publisher that serves all others.
        if catch_unwind(AssertUnwindSafe(|| self.take(delivery))).is_err() {
            self.sink.close(Close::Fault);
        }
    }
}

impl<S: Session, K: Sink<S::Outgoing>> Connection<S, K> {
    fn take(&self, delivery: &Arc<Delivery>) {
        let mut state = self.state.lock();
        let Some(held) = &mut state.held else {
            return self.pass_on(&mut state, delivery, false);
        };
        let reads_on = S::READS_ON.then(|| self.id());
        if held.take(delivery, self.held_max, reads_on).is_err() {
            self.overflow();
        }
    }
}

/// Lets held deliveries go when it is dropped, on whatever way out of the command.
pub(super) struct Hold<'a, S: Session, K: Sink<S::Outgoing>>(&'a Connection<S, K>);

impl<S: Session, K: Sink<S::Outgoing>> Hold<'_, S, K> {
    /// Lets go what was held if it is little. Much is written as if it belonged to the reply,
    /// with what was dropped asked for behind it: then holding goes on, and this is to be
    /// asked again once all of that is done.
    pub(super) fn let_go(&self) -> Option<Vec<Request<S::Tag>>> {
        let mut state = self.0.state.lock();
        let is_much = |held: &Held| held.len() > LITTLE || held.missed().is_some();
        let Some(held) = state.held.take_if(|held| S::READS_ON && is_much(held)) else {
            self.0.let_go(&mut state);
            return None;
        };
        state.held = Some(Held::default());
        state.replied = true;
        let missed = held.missed();
        for delivery in held {
            self.0.pass_on(&mut state, &delivery, true);
        }
        Some(match missed {
            Some(first) => {
                telemetry::count_read_on(S::DIALECT.as_str());
                let step = state.session.on_missed(first);
                self.0.write(&mut state, step)
            }
            None => Vec::new(),
        })
    }
}

impl<S: Session, K: Sink<S::Outgoing>> Connection<S, K> {
    fn let_go(&self, state: &mut State<S>) {
        for delivery in state.held.take().into_iter().flatten() {
            self.pass_on(state, &delivery, false);
        }
    }

    fn pass_on(&self, state: &mut State<S>, delivery: &Delivery, in_reply: bool) {
        // A login that ended while it was shown here was refused: whoever spoke before still does.
        if let Event::LoginEnded { login, .. } = delivery.event()
            && state.caller.is_none_or(|caller| caller.login != *login)
        {
            return;
        }
        if !delivery.event().is_news_after(state.seen) {
            return;
        }
        let step = state.session.on_event(delivery);
        let step = if in_reply { step.in_reply() } else { step };
        let stirs = !step.requests.is_empty() || step.wake.is_some();
        let requests = self.write(state, step);
        if stirs {
            state.asked.extend(requests);
            self.stirred.notify_one();
        }
    }
}

impl<S: Session, K: Sink<S::Outgoing>> Drop for Hold<'_, S, K> {
    fn drop(&mut self) {
        self.0.let_go(&mut self.0.state.lock());
    }
}
