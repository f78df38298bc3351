//! Ways for frames to travel; knows nothing of their meaning.
//!
//! Sending never waits: a sink that is full says so, and its connection is ended, for a
//! reader that is too slow must not hold up the others. It comes back and catches up.

pub mod admission;
mod arriving;
pub mod listener;
pub mod memory;
pub mod seat;
mod shield;
pub mod socketio;
pub mod stream;
pub mod tls;
pub mod websocket;
pub mod wire;

use std::future::{Future, ready};
use std::time::Duration;

/// Bytes that one connection, or one body, may make the server hold in all before it has said who it is.
pub const UNTRUSTED_BYTES: usize = 256 << 10;

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

    /// Waits until what was sent is written, or the connection has ended, for replies that
    /// are as long as they are asked for. Transports that bound their replies need not wait.
    fn flush(&mut self) -> impl Future<Output = ()> + Send {
        ready(())
    }

    /// The client has said who it is and may claim more of the server from now on.
    fn trust(&mut self);

    /// How the connection ended, once `receive` has yielded `None`.
    fn farewell(&self) -> Farewell {
        Farewell::Lost
    }
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// Without a word, or in a way that does not tell.
    Lost,
    /// The client said so, with this code.
    Theirs(u16),
    /// The server said so.
    Ours,
}

/// The bounded way out of one connection; never waits.
pub trait Sink<F>: Clone + Send + Sync + 'static {
    /// Queues a frame behind those sent before. On a connection that has ended this does
    /// nothing, and is no error.
    fn send(&self, frame: F) -> Result<(), Full>;

    /// Queues a command's own reply. Where `flush` waits it counts against no bound.
    fn send_reply(&self, frame: F) -> Result<(), Full> {
        self.send(frame)
    }

    /// Asks for proof that everything sent up to now arrives, which `Received::Arrived` will
    /// give; answers with the place of what was sent last.
    fn probe(&self) -> u64 {
        0
    }

    /// Ends the connection as a lost one unless the client answers within this time.
    fn doubt(&self, _within: Duration) {}

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
    /// Everything up to this place, as `Sink::probe` counts, has arrived.
    Arrived(u64),
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
    /// The same, or the server does not want this client any more, for a reason that it is told.
    Refused(&'static str),
    /// What the connection is about does not exist.
    Absent(&'static str),
    /// Text was not UTF-8.
    Invalid,
    /// A frame was larger than allowed.
    TooLarge,
    /// The outcome of what was asked is unknown; the client has to find out.
    Fault,
    /// The client reads too slowly; come back and catch up.
    TooSlow,
    /// Its account has too many connections.
    TooMany,
}

impl Close {
    /// The code a WebSocket says it with.
    pub const fn code(self) -> u16 {
        match self {
            Self::Done => 1000,
            Self::Shutdown => 1001,
            Self::Violation => 1002,
            Self::Invalid => 1007,
            Self::Unidentified | Self::Refused(_) => 1008,
            Self::TooLarge => 1009,
            Self::Fault => 1011,
            Self::TooSlow | Self::TooMany => 1013,
            Self::Absent(_) => 4404,
        }
    }

    /// A word for logs, metrics and close frames.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Shutdown => "shutdown",
            Self::Violation => "violation",
            Self::Unidentified => "unidentified",
            Self::Refused(reason) | Self::Absent(reason) => reason,
            Self::Invalid => "invalid",
            Self::TooLarge => "too_large",
            Self::Fault => "fault",
            Self::TooSlow => "too_slow",
            Self::TooMany => "too_many",
        }
    }

    /// Whether the client should rather not come back by itself.
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Self::Violation
                | Self::Unidentified
                | Self::Refused(_)
                | Self::Absent(_)
                | Self::Invalid
                | Self::TooLarge
        )
    }
}
