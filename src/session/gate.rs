//! What every connection runs in: reading, pacing, executing and ending, for all dialects.
//!
//! Commands of one connection are carried out one after the other. Only receiving is
//! ever cancelled; a command that has begun runs to its end.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::{Connection, Hold, Shown};
use super::pace::Pass;
use super::{Intent, Pace, Request, Session};
use crate::domain::{Credentials, Identified, Outcome, Refusal, RefusalKind, Reply};
use crate::service::{Binding, Bulk, Caller, Services, Turn};
use crate::telemetry;
use crate::transport::{Close, Received, Transport};

/// How much one connection may claim, and how connections end.
#[derive(Clone, Copy, Debug)]
pub struct GateLimits {
    /// Deliveries that may wait while a command of the connection runs.
    pub held: usize,
    /// Over how long the ends of connections are spread when the server goes down.
    pub drain: Duration,
}

/// The way in for every connection. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Gate {
    services: Services,
    limits: GateLimits,
    shutdown: CancellationToken,
    running: TaskTracker,
}

impl Gate {
    /// A gate before the given services.
    pub fn new(services: Services, limits: GateLimits) -> Self {
        Self { services, limits, shutdown: CancellationToken::new(), running: TaskTracker::new() }
    }

    /// Runs a connection until it ends.
    pub fn admit<S, T>(
        &self,
        session: S,
        transport: T,
        address: IpAddr,
        pace: Pace,
    ) -> impl Future<Output = ()> + Send + use<S, T>
    where
        S: Session,
        T: Transport<Incoming = S::Incoming, Outgoing = S::Outgoing>,
    {
        self.enter(self.lane(session, transport, address, pace), None)
    }

    /// Runs a connection that was identified before it was opened.
    pub fn admit_as<S, T>(
        &self,
        caller: Caller,
        session: S,
        transport: T,
        pace: Pace,
    ) -> impl Future<Output = ()> + Send + use<S, T>
    where
        S: Session,
        T: Transport<Incoming = S::Incoming, Outgoing = S::Outgoing>,
    {
        self.enter(self.lane(session, transport, caller.address, pace), Some(caller))
    }

    /// A future keeps what it is given, and what it does with it, beside each other: so the
    /// lane is apart from the beginning, or an idle connection would cost it several times.
    fn enter<S, T>(
        &self,
        mut lane: Box<Lane<S, T>>,
        caller: Option<Caller>,
    ) -> impl Future<Output = ()> + Send + use<S, T>
    where
        S: Session,
        T: Transport<Incoming = S::Incoming, Outgoing = S::Outgoing>,
    {
        self.running.track_future(async move { lane.run(caller).await })
    }

    /// Finds out who wants a connection, for dialects that refuse one before it is opened.
    /// Whose address was refused too often is told that instead.
    pub async fn identify(
        &self,
        credentials: &Credentials,
        address: IpAddr,
    ) -> Result<Caller, Refusal> {
        let identified = self.services.identify(credentials, address).await;
        match identified {
            Err(refusal) if !refusal.is_our_fault() => {
                self.services.count_refused(address)?;
                Err(refusal)
            }
            other => other,
        }
    }

    /// The same for who has nothing to show: an address that comes so too often is told that.
    pub fn refuse(&self, address: IpAddr) -> Result<(), Refusal> {
        self.services.count_refused(address)
    }

    fn lane<S, T>(&self, session: S, transport: T, address: IpAddr, pace: Pace) -> Box<Lane<S, T>>
    where
        S: Session,
        T: Transport<Incoming = S::Incoming, Outgoing = S::Outgoing>,
    {
        let connection =
            Connection::attach(session, transport.sink(), self.services.clone(), self.limits.held);
        let opened = Instant::now();
        Box::new(Lane {
            gate: self.clone(),
            connection,
            transport,
            address,
            pace,
            opened,
            turn: None,
        })
    }

    /// Ends all connections, spread over the drain time, and waits for the last.
    pub async fn drain(&self) {
        self.shutdown.cancel();
        self.running.close();
        self.running.wait().await;
    }
}

/// One connection on its way through the gate.
struct Lane<S: Session, T: Transport<Incoming = S::Incoming, Outgoing = S::Outgoing>> {
    gate: Gate,
    connection: Arc<Connection<S, T::Sink>>,
    transport: T,
    address: IpAddr,
    pace: Pace,
    opened: Instant,
    /// Kept while a reply that may be large is written.
    turn: Option<Turn>,
}

/// What a lane has to deal with next.
enum Happening<F> {
    /// Something came in.
    Received(Received<F>),
    /// An event has made the session ask for something.
    Stirred,
    /// The session wants to be called.
    Woken,
    /// The server goes down.
    Shutdown,
}

impl<S, T> Lane<S, T>
where
    S: Session,
    T: Transport<Incoming = S::Incoming, Outgoing = S::Outgoing>,
{
    /// What is done is apart from this, so that a connection at rest does not carry the room
    /// for it.
    async fn run(&mut self, caller: Option<Caller>) {
        Box::pin(self.begin(caller)).await;
        while let Some(happening) = self.next().await {
            let is_last = matches!(happening, Happening::Shutdown);
            Box::pin(self.deal_with(happening)).await;
            if is_last {
                break;
            }
        }
        Box::pin(self.say_goodbye()).await;
    }

    async fn begin(&mut self, caller: Option<Caller>) {
        let opening = self.connection.step(Session::on_open);
        self.carry_out(opening).await;
        if let Some(caller) = caller {
            self.let_in(caller).await;
        }
    }

    async fn deal_with(&mut self, happening: Happening<S::Incoming>) {
        match happening {
            Happening::Received(Received::Frame(frame)) => self.take(frame).await,
            Happening::Received(Received::Heartbeat) => {
                let shown = self.connection.beat();
                self.confirm(shown).await;
            }
            Happening::Received(Received::Arrived(position)) => {
                let shown = self.connection.prove(position);
                self.confirm(shown).await;
            }
            Happening::Stirred => {
                let requests = self.connection.take_asked();
                self.carry_out(requests).await;
            }
            Happening::Woken => {
                let requests = self.connection.woken();
                self.carry_out(requests).await;
            }
            Happening::Shutdown => self.go_down().await,
        }
    }

    /// Ends the connection at a moment of its own, and notes what still arrives.
    async fn go_down(&mut self) {
        tokio::time::sleep(self.gate.limits.drain.mul_f64(rand::random())).await;
        self.connection.close(Close::Shutdown);
        while let Some(last) = self.transport.receive().await {
            if let Received::Arrived(position) = last {
                let shown = self.connection.prove(position);
                self.confirm(shown).await;
            }
        }
    }

    /// What is to be dealt with next; `None` once the connection has ended.
    async fn next(&mut self) -> Option<Happening<S::Incoming>> {
        let connection = Arc::clone(&self.connection);
        let known = connection.caller().is_some();
        let greeting = if known { None } else { connection.ask(Session::greeting) };
        let too_late = greeting.map(|(time, _)| self.opened + time);
        let wake = connection.wake();
        tokio::select! {
            biased;
            () = self.gate.shutdown.cancelled() => Some(Happening::Shutdown),
            () = connection.stirred() => Some(Happening::Stirred),
            () = at(wake), if wake.is_some() => Some(Happening::Woken),
            () = at(too_late), if too_late.is_some() => {
                if let Some((_, close)) = greeting {
                    connection.close(close);
                }
                self.transport.receive().await.map(Happening::Received)
            }
            received = self.transport.receive() => received.map(Happening::Received),
        }
    }

    async fn take(&mut self, frame: S::Incoming) {
        let charge = self.connection.ask(|session| session.charge(&frame));
        let requests = match self.pace.take(charge).await {
            Pass::Go => self.connection.step(|session| session.on_frame(frame)),
            Pass::TooSoon(early) => {
                telemetry::count_refusal(S::DIALECT.as_str(), "rate_limited");
                self.connection.step(|session| session.on_hurry(frame, early))
            }
            Pass::Flood => return self.connection.close(Close::Refused("flood")),
        };
        self.carry_out(requests).await;
    }

    /// Notes what the client has proved to have received; a fault costs a repetition at most.
    async fn confirm(&mut self, shown: Shown) {
        let Some(caller) = self.connection.caller() else { return };
        for (conversation, place) in shown {
            let services = &self.gate.services;
            let noted = services.confirm_delivered(&caller, S::DIALECT, conversation, place).await;
            if let Err(refusal) = noted {
                tracing::debug!(%refusal, %conversation, "delivery was not noted");
            }
        }
    }

    async fn carry_out(&mut self, requests: Vec<Request<S::Tag>>) {
        let mut waiting = VecDeque::from(requests);
        while let Some(request) = waiting.pop_front() {
            let connection = Arc::clone(&self.connection);
            let hold = connection.hold();
            waiting.extend(self.answer(request).await);
            self.let_go(hold).await;
        }
    }

    async fn answer(&mut self, Request { intent, tag }: Request<S::Tag>) -> Vec<Request<S::Tag>> {
        let outcome = Box::pin(self.execute(intent)).await;
        if let Err(refusal) = &outcome {
            telemetry::count_refusal(S::DIALECT.as_str(), refusal.code());
        }
        self.connection.step(|session| session.on_outcome(tag, outcome))
    }

    /// Lets go what was held back, once the reply before it is written if the session can
    /// read on behind it; what that makes the session ask for is done at once.
    async fn let_go(&mut self, hold: Hold<'_, S, T::Sink>) {
        if !S::READS_ON {
            drop(hold);
            return self.flush().await;
        }
        let mut waiting = VecDeque::new();
        loop {
            self.flush().await;
            if let Some(request) = waiting.pop_front() {
                waiting.extend(self.answer(request).await);
                continue;
            }
            match hold.let_go() {
                Some(requests) => waiting.extend(requests),
                None => return,
            }
        }
    }

    /// Waits until a command's own reply is written, if there was one.
    async fn flush(&mut self) {
        if self.connection.take_replied() {
            self.transport.flush().await;
        }
        self.turn = None;
    }

    /// Lets the connection speak for somebody who was identified before it was opened.
    async fn let_in(&mut self, caller: Caller) {
        let connection = Arc::clone(&self.connection);
        let hold = connection.hold();
        let bound = Box::pin(self.bind(caller)).await;
        if let Err(refusal) = &bound {
            telemetry::count_refusal(S::DIALECT.as_str(), refusal.code());
            if refusal.kind() == RefusalKind::TooManyConnections {
                connection.close(Close::TooMany);
            }
        }
        let requests = connection.step(|session| session.on_admitted(bound));
        self.let_go(hold).await;
        self.carry_out(requests).await;
    }

    async fn bind(&mut self, mut caller: Caller) -> Result<Identified, Refusal> {
        caller.connection = Some(self.connection.id());
        let binding = Binding {
            connection: self.connection.id(),
            was: self.connection.caller(),
            caller,
            dialect: S::DIALECT,
            hearing: S::HEARING,
        };
        let identified = self.gate.services.bind(binding).await?;
        self.connection.bind(caller, identified.since);
        self.transport.trust();
        Ok(identified)
    }

    async fn identify(&mut self, credentials: &Credentials) -> Outcome {
        let caller = self.gate.services.identify(credentials, self.address).await?;
        Ok(Reply::Identified(self.bind(caller).await?))
    }

    async fn execute(&mut self, intent: Intent) -> Outcome {
        let services = self.gate.services.clone();
        match intent {
            Intent::Identify(credentials) => {
                let identified = self.identify(&credentials).await;
                // Nobody guesses while the database is away: all come back at once then.
                if identified.as_ref().is_err_and(|refusal| !refusal.is_our_fault()) {
                    services.slow_down_refused(self.address).await;
                }
                identified
            }
            Intent::Forget => {
                services.lose(self.connection.id());
                self.connection.unbind();
                Ok(Reply::Forgotten)
            }
            Intent::Run(command) => {
                let caller = self.connection.caller();
                if let Some(caller) = caller.filter(|_| command.lists_everything()) {
                    self.turn = Some(services.turn(caller.principal, Bulk::Others).await);
                }
                services.execute(caller.as_ref(), command).await
            }
        }
    }

    /// What the session still wants done for a connection that has ended.
    async fn say_goodbye(&mut self) {
        let farewell = self.transport.farewell();
        let mut commands = Vec::new();
        let _ = self.connection.step(|session| {
            commands = session.on_end(farewell);
            super::Step::idle()
        });
        for command in commands {
            let caller = self.connection.caller();
            let done = Box::pin(self.gate.services.execute(caller.as_ref(), command)).await;
            if let Err(refusal) = done {
                tracing::debug!(%refusal, "a last wish was refused");
            }
        }
    }
}

/// Waits until a moment, or for ever.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

impl<S: Session, T: Transport<Incoming = S::Incoming, Outgoing = S::Outgoing>> Drop for Lane<S, T> {
    /// On every way out, also a panic's, the account is counted out and nothing is heard.
    fn drop(&mut self) {
        self.gate.services.lose(self.connection.id());
        self.connection.unbind();
        self.gate.services.end(self.connection.id());
    }
}
