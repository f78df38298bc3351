//! Ways for frames to travel; knows nothing of their meaning.
//!
//! Sending never waits: a sink that is full says so, and its connection is ended, for a
//! reader that is too slow must not hold up the others. It comes back and catches up.

pub mod listener;
pub mod memory;
pub mod socketio;
pub mod wire;

use std::future::Future;

/// One connection, as the gate sees it.
pub trait Transport: Send + 'static {
    /// What the client sends.
    type Incoming: Send + 'static;
    /// What the client is sent.
    type Outgoing: Send + 'static;
    /// The way out.
    type Sink: Sink<Self::Outgoing>;

    /// The way out of this connection; there may be many holders.
    fn sink(&self) -> Self::Sink;

    /// The next thing that arrives, in the order sent; `None` once the connection has ended.
    ///
    /// May be cancelled at any time and loses nothing. What a client sent before it hung up
    /// is still received.
    fn receive(&mut self) -> impl Future<Output = Option<Received<Self::Incoming>>> + Send;

    /// The client has said who it is and may claim more of the server from now on.
    fn trust(&mut self);
}

/// The bounded way out of one connection; never waits.
pub trait Sink<F>: Clone + Send + Sync + 'static {
    /// Queues a frame behind those sent before. On a connection that has ended this does
    /// nothing, and is no error.
    fn send(&self, frame: F) -> Result<(), Full>;

    /// Queues a frame that may be lost when the reader lags behind.
    fn send_ephemeral(&self, frame: F) {
        let _ = self.send(frame);
    }

    /// Ends the connection. What was queued before still leaves, unless the reader is too
    /// slow for it.
    fn close(&self, close: Close);

    /// The connection listens to a group from now on; for transports that keep groups.
    fn join(&self, _group: &str) {}

    /// The connection does not listen to a group any more.
    fn leave(&self, _group: &str) {}
}

/// What comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Received<F> {
    /// The client sent a frame.
    Frame(F),
    /// The client answered a heartbeat or came for more. The second one after a frame was
    /// sent proves that the frame has arrived.
    Heartbeat,
}

/// The reader is too slow: there is no room for another frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the sink is full")]
pub struct Full;

/// Why the server ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Close {
    /// The connection has done what it was for.
    Done,
    /// The server goes down; come back later.
    Shutdown,
    /// The client broke the protocol.
    Violation,
    /// The client did not say who it is, or not well enough.
    Unidentified,
    /// A frame was larger than allowed.
    TooLarge,
    /// The outcome of what was asked is unknown; the client has to find out.
    Fault,
    /// The client reads too slowly or has too many connections; come back and catch up.
    TooSlow,
}

impl Close {
    /// The code a WebSocket says it with.
    pub const fn code(self) -> u16 {
        match self {
            Self::Done => 1000,
            Self::Shutdown => 1001,
            Self::Violation => 1002,
            Self::Unidentified => 1008,
            Self::TooLarge => 1009,
            Self::Fault => 1011,
            Self::TooSlow => 1013,
        }
    }

    /// A word for logs, metrics and close frames.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Shutdown => "shutdown",
            Self::Violation => "violation",
            Self::Unidentified => "unidentified",
            Self::TooLarge => "too_large",
            Self::Fault => "fault",
            Self::TooSlow => "too_slow",
        }
    }

    /// Whether the client should rather not come back by itself.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Violation | Self::Unidentified | Self::TooLarge)
    }
}
