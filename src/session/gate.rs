//! What every connection runs in: reading, pacing, executing and ending, for all dialects.
//!
//! Commands of one connection are carried out one after the other. Only receiving is
//! ever cancelled; a command that has begun runs to its end.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection::Connection;
use super::{Intent, Pace, Request, Session};
use crate::domain::{Credentials, Outcome, Reply};
use crate::service::Services;
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
    pub async fn admit<S, T>(&self, session: S, transport: T, address: IpAddr, pace: Pace)
    where
        S: Session,
        T: Transport<Incoming = S::Incoming, Outgoing = S::Outgoing>,
    {
        let connection =
            Connection::attach(session, transport.sink(), self.services.clone(), self.limits.held);
        let lane = Lane { gate: self, connection, transport, address, pace };
        self.running.track_future(lane.run()).await;
    }

    /// Ends all connections, spread over the drain time, and waits for the last.
    pub async fn drain(&self) {
        self.shutdown.cancel();
        self.running.close();
        self.running.wait().await;
    }
}

/// One connection on its way through the gate.
struct Lane<'a, S: Session, T: Transport<Incoming = S::Incoming, Outgoing = S::Outgoing>> {
    gate: &'a Gate,
    connection: Arc<Connection<S, T::Sink>>,
    transport: T,
    address: IpAddr,
    pace: Pace,
}

impl<S, T> Lane<'_, S, T>
where
    S: Session,
    T: Transport<Incoming = S::Incoming, Outgoing = S::Outgoing>,
{
    async fn run(mut self) {
        let opening = self.connection.step(Session::on_open);
        self.carry_out(opening).await;
        while let Some(received) = self.receive().await {
            match received {
                Received::Frame(frame) => {
                    self.pace.wait().await;
                    let requests = self.connection.step(|session| session.on_frame(frame));
                    self.carry_out(requests).await;
                }
                Received::Heartbeat => self.confirm().await,
            }
        }
    }

    async fn receive(&mut self) -> Option<Received<S::Incoming>> {
        tokio::select! {
            biased;
            () = self.gate.shutdown.cancelled() => {
                tokio::time::sleep(self.gate.limits.drain.mul_f64(rand::random())).await;
                self.connection.close(Close::Shutdown);
                None
            }
            received = self.transport.receive() => received,
        }
    }

    /// Notes what the client has proved to have received; a fault costs a repetition at most.
    async fn confirm(&mut self) {
        let shown = self.connection.beat();
        let Some(caller) = self.connection.caller() else { return };
        for (conversation, place) in shown {
            let services = &self.gate.services;
            if let Err(refusal) = services.confirm_delivered(&caller, conversation, place).await {
                tracing::debug!(%refusal, %conversation, "delivery was not noted");
            }
        }
    }

    async fn carry_out(&mut self, requests: Vec<Request<S::Tag>>) {
        let mut waiting = std::collections::VecDeque::from(requests);
        while let Some(Request { intent, tag }) = waiting.pop_front() {
            let connection = Arc::clone(&self.connection);
            let hold = connection.hold();
            let outcome = self.execute(intent).await;
            if let Err(refusal) = &outcome {
                telemetry::count_refusal(S::DIALECT.as_str(), refusal.code());
            }
            waiting.extend(hold.release(|session| session.on_outcome(tag, outcome)));
        }
    }

    async fn identify(&mut self, credentials: &Credentials) -> Outcome {
        let services = &self.gate.services;
        let mut caller = services.identify(credentials, self.address).await?;
        caller.connection = Some(self.connection.id());
        services.bind(self.connection.id(), self.connection.caller(), &caller).await?;
        self.connection.bind(caller);
        self.transport.trust();
        Ok(Reply::Identified(caller.principal))
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
                self.connection.unbind();
                Ok(Reply::Forgotten)
            }
            Intent::Run(command) => {
                services.execute(self.connection.caller().as_ref(), command).await
            }
        }
    }
}

impl<S: Session, T: Transport<Incoming = S::Incoming, Outgoing = S::Outgoing>> Drop
    for Lane<'_, S, T>
{
    /// On every way out, also a panic's, the account is counted out and nothing is heard.
    fn drop(&mut self) {
        self.connection.unbind();
        self.gate.services.hub().detach(self.connection.id());
    }
}
