//! The bounded way out: what was sent and is not written yet.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::transport::{Close, Full, Sink};

/// Room that an empty queue keeps.
const SPARE: usize = 8;

/// The way out of a raw connection. Keeping it does not keep the connection.
#[derive(Clone, Debug)]
pub struct RawSink(Arc<Outbox>);

/// What the sinks of one connection and its socket share.
#[derive(Debug)]
pub(super) struct Outbox {
    most_frames: usize,
    most_bytes: usize,
    state: Mutex<State>,
    /// The task that writes.
    pub(super) writer: AtomicWaker,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// Frames and bytes that count against the bounds.
    frames: usize,
    bytes: usize,
    /// The number of the newest frame, from one.
    queued: u64,
    /// Up to which frame the client is to prove that it arrived.
    probe: u64,
    /// How soon the client has to answer, if somebody doubts that it is there.
    doubt: Option<Duration>,
    close: Option<Close>,
}

#[derive(Debug)]
struct Waiting {
    frame: Utf8Bytes,
    /// A command's own reply does not count: the gate waits for it.
    counted: bool,
}

impl Outbox {
    pub(super) fn new(most_frames: usize, most_bytes: usize) -> Arc<Self> {
        let (state, writer) = (Mutex::default(), AtomicWaker::new());
        Arc::new(Self { most_frames, most_bytes, state, writer })
    }

    pub(super) fn sink(self: &Arc<Self>) -> RawSink {
        RawSink(Arc::clone(self))
    }

    /// The next frame to write.
    pub(super) fn pop(&self) -> Option<Utf8Bytes> {
        let mut state = self.state.lock();
        let Some(Waiting { frame, counted }) = state.waiting.pop_front() else {
            if state.waiting.capacity() > SPARE {
                state.waiting.shrink_to(SPARE);
            }
            return None;
        };
        if counted {
            state.frames -= 1;
            state.bytes -= frame.len();
        }
        Some(frame)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state.lock().waiting.is_empty()
    }

    /// Up to which frame the client is to prove that it arrived.
    pub(super) fn probe(&self) -> u64 {
        self.state.lock().probe
    }

    pub(super) fn take_doubt(&self) -> Option<Duration> {
        self.state.lock().doubt.take()
    }

    pub(super) fn close(&self) -> Option<Close> {
        self.state.lock().close
    }

    /// Notes why the connection ends, if nothing else has ended it before.
    pub(super) fn set_close(&self, close: Close) {
        let mut state = self.state.lock();
        if state.close.is_none() {
            state.close = Some(close);
            if close == Close::TooSlow {
                state.waiting = VecDeque::new();
            }
        }
    }

    fn push(&self, frame: Utf8Bytes, counted: bool) -> Result<(), Full> {
        let mut state = self.state.lock();
        if state.close.is_some() {
            return Ok(());
        }
        if counted {
            let is_full =
                state.frames >= self.most_frames || state.bytes + frame.len() > self.most_bytes;
            // A frame larger than the bound passes alone.
            if is_full && state.frames > 0 {
                return Err(Full);
            }
            state.frames += 1;
            state.bytes += frame.len();
        }
        state.queued += 1;
        state.waiting.push_back(Waiting { frame, counted });
        drop(state);
        self.writer.wake();
        Ok(())
    }

    /// Whether the reader lags so far behind that what may be lost is not sent any more.
    fn lags(&self) -> bool {
        let state = self.state.lock();
        state.frames >= self.most_frames / 4 * 3 || state.bytes >= self.most_bytes / 4 * 3
    }
}

impl Sink<Utf8Bytes> for RawSink {
    fn send(&self, frame: Utf8Bytes) -> Result<(), Full> {
        self.0.push(frame, true)
    }

    fn send_reply(&self, frame: Utf8Bytes) -> Result<(), Full> {
        self.0.push(frame, false)
    }

    fn send_ephemeral(&self, frame: Utf8Bytes) {
        if !self.0.lags() {
            let _ = self.0.push(frame, true);
        }
    }

    fn probe(&self) -> u64 {
        let mut state = self.0.state.lock();
        state.probe = state.queued;
        state.queued
    }

    fn doubt(&self, within: Duration) {
        self.0.state.lock().doubt = Some(within);
        self.0.writer.wake();
    }

    fn close(&self, close: Close) {
        self.0.set_close(close);
        self.0.writer.wake();
    }
}
