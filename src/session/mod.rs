//! One connection, in any dialect: a machine without I/O, and the gate it runs in.
//!
//! A session is told what arrived and answers with a `Step`; the gate does the reading,
//! writing, waiting and executing for all dialects.

mod connection;
mod gate;
mod held;
mod pace;
#[cfg(test)]
pub(crate) mod script;
mod step;
#[cfg(test)]
mod tests;

pub use crate::hub::{Delivery, Rendition};
use std::time::Duration;

pub use gate::{Gate, GateLimits};
pub use pace::{Charge, Pace};
pub use step::{Intent, Output, Request, Step};

pub use crate::service::{Caller, Hearing};

use crate::domain::{Command, Dialect, Identified, Outcome, Place, Refusal};
use crate::transport::{Close, Farewell};

/// The state of one connection, in the words of its dialect.
pub trait Session: Sized + Send + 'static {
    /// Which dialect it speaks.
    const DIALECT: Dialect;
    /// What its connections hear from the moment at which they are identified.
    const HEARING: Hearing = Hearing::PERSONAL;
    /// Whether it can read on in the log behind what it was shown. If not, a connection for
    /// which too much is held back ends, and its client comes back for it.
    const READS_ON: bool = false;
    /// What the client sends.
    type Incoming: Send + 'static;
    /// What the client is sent.
    type Outgoing: Send + 'static;
    /// What the dialect has to remember of a request to answer it.
    type Tag: Send + 'static;

    /// The connection is up. Dialects that identify by URL or header ask here.
    fn on_open(&mut self) -> Step<Self> {
        Step::idle()
    }

    /// How long a client may take to say who it is, and how its connection ends otherwise.
    fn greeting(&self) -> Option<(Duration, Close)> {
        None
    }

    /// The connection was identified before it was opened, or may not be let in after all.
    fn on_admitted(&mut self, _outcome: Result<Identified, Refusal>) -> Step<Self> {
        Step::idle()
    }

    /// How a frame counts against what a client may send in a second.
    fn charge(&self, _frame: &Self::Incoming) -> Charge {
        Charge::Command
    }

    /// The client sent a frame too soon; it is not carried out.
    fn on_hurry(&mut self, _frame: Self::Incoming, _retry_after: Duration) -> Step<Self> {
        Step::idle()
    }

    /// The time that a step has asked for has passed.
    fn on_wake(&mut self) -> Step<Self> {
        Step::idle()
    }

    /// More came while a reply was written than is held back, and the rest was dropped
    /// (RULINGS 54); the first message among it has this place. Asks for what is to be read.
    fn on_missed(&mut self, _first: Place) -> Step<Self> {
        Step::idle()
    }

    /// The connection has ended; what is returned is still carried out for it.
    fn on_end(&mut self, _farewell: Farewell) -> Vec<Command> {
        Vec::new()
    }

    /// The client sent a frame.
    fn on_frame(&mut self, frame: Self::Incoming) -> Step<Self>;

    /// A request of this session was carried out or refused.
    fn on_outcome(&mut self, tag: Self::Tag, outcome: Outcome) -> Step<Self>;

    /// Something this session listens to has happened. Runs in the publisher's task; what
    /// the step asks for is carried out by the connection's own, after what is under way.
    fn on_event(&mut self, delivery: &Delivery) -> Step<Self>;
}
