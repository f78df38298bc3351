//! Raw `WebSocket`s: frames of text and bytes over an upgraded connection.
//!
//! One task reads and writes, so that an idle connection costs one task and two small
//! buffers. A ping behind what was written proves, when it is answered, that all of it has
//! arrived; at most one is unanswered at a time.

mod handshake;
mod outbox;
mod rationed;
mod socket;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
pub use tokio_tungstenite::tungstenite::Utf8Bytes;

pub use handshake::{is_upgrade, upgrade};
pub use outbox::RawSink;
pub use socket::RawSocket;

/// What a client sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Text, which is UTF-8.
    Text(Utf8Bytes),
    /// Bytes.
    Binary(Bytes),
}

impl Frame {
    /// How many bytes it has.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<&str> for Frame {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

/// How raw connections of a dialect are treated.
#[derive(Clone, Debug)]
pub struct RawSettings {
    /// Largest frame, in bytes; above it the connection ends with 1009.
    pub frame_bytes: usize,
    /// Largest first frame, for dialects whose client says only then who it is.
    pub first_frame_bytes: Option<usize>,
    /// Frames that may wait for a slow reader.
    pub sink_frames: usize,
    /// Bytes that may wait for a slow reader.
    pub sink_bytes: usize,
    /// Time between pings.
    pub ping: Duration,
    /// Silence after which the client counts as gone.
    pub silence: Duration,
}
