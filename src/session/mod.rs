//! One connection, in any dialect: a machine without I/O, and the gate it runs in.
//!
//! A session is told what arrived and answers with a `Step`; the gate does the reading,
//! writing, waiting and executing for all dialects.

mod connection;
mod gate;
mod pace;
#[cfg(test)]
pub(crate) mod script;
mod step;
#[cfg(test)]
mod tests;

pub use crate::hub::{Delivery, Rendition};
pub use gate::{Gate, GateLimits};
pub use pace::Pace;
pub use step::{Intent, Output, Request, Step};

use crate::domain::{Dialect, Outcome};

/// The state of one connection, in the words of its dialect.
pub trait Session: Sized + Send + 'static {
    /// Which dialect it speaks.
    const DIALECT: Dialect;
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

    /// The client sent a frame.
    fn on_frame(&mut self, frame: Self::Incoming) -> Step<Self>;

    /// A request of this session was carried out or refused.
    fn on_outcome(&mut self, tag: Self::Tag, outcome: Outcome) -> Step<Self>;

    /// Something this session listens to has happened. Runs in the publisher's task, so
    /// a step from here must not ask for anything.
    fn on_event(&mut self, delivery: &Delivery) -> Step<Self>;
}
