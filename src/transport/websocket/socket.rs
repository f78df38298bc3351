//! One raw connection: reads, writes, pings and ends, in one task.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Sink as _, Stream as _};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::outbox::{Outbox, RawSink};
use super::rationed::Rationed;
use super::{Frame, RawSettings, Utf8Bytes};
use crate::transport::{Close, Farewell, Received, Transport};

/// How long a client may take to answer a close.
const CLOSING: Duration = Duration::from_secs(5);
/// Bytes of a refused frame that are read on, so that the close reaches its sender.
const DISCARDED: usize = 64 << 20;
/// Bytes of a first frame's own head, and of pings before it.
const HEADS: usize = 1024;
/// Bytes read from a socket at once; larger frames take more than one read.
const READ_BUFFER: usize = 2 << 10;
/// Pings that may prove arrivals in a row, and in which time one more may: who is shown much
/// proves it in steps, so that proofs never cost as much as what they prove.
const PROOFS: u32 = 8;
const PROOF_EVERY: Duration = Duration::from_millis(500);
/// Bytes gathered before a socket is written to.
const WRITE_BUFFER: usize = 4 << 10;

type Wire = WebSocketStream<Rationed<TokioIo<Upgraded>>>;

/// A raw WebSocket.
#[derive(Debug)]
pub struct RawSocket {
    wire: Wire,
    outbox: Arc<Outbox>,
    ping_every: Duration,
    silence: Duration,
    first_frame: Option<usize>,
    /// What a trusted client is told that sends a frame too large to be read.
    complaint: Option<Utf8Bytes>,
    trusted: bool,
    phase: Phase,
    farewell: Farewell,
    /// Frames written.
    written: u64,
    /// The last ping, and how many frames had been written before it, until it is answered.
    unanswered: Option<u64>,
    /// Frames that have arrived for certain.
    arrived: u64,
    heard: Instant,
    next_ping: Instant,
    /// Up to when the pings that proved something have used up what they may.
    proofs_used: Instant,
    /// When a client that is doubted must have answered.
    answer_by: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    /// The client has said goodbye; the answer is on its way, behind so many frames.
    Answering,
    /// We have said goodbye, or are about to.
    Closing {
        until: Instant,
    },
    /// The same, and what still comes is not even read as frames.
    Discarding {
        until: Instant,
        left: usize,
    },
    Over,
}

impl RawSocket {
    pub(super) async fn new(io: TokioIo<Upgraded>, settings: &RawSettings) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            .max_message_size(Some(settings.frame_bytes))
            .max_frame_size(Some(settings.frame_bytes));
        let io = Rationed::new(io, settings.first_frame_bytes.map(|bytes| bytes + HEADS));
        let wire = WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await;
        let now = Instant::now();
        Self {
            wire,
            outbox: Outbox::new(settings.sink_frames, settings.sink_bytes),
            ping_every: settings.ping,
            silence: settings.silence,
            first_frame: settings.first_frame_bytes,
            complaint: None,
            trusted: false,
            phase: Phase::Open,
            farewell: Farewell::Lost,
            written: 0,
            unanswered: None,
            arrived: 0,
            heard: now,
            next_ping: now + settings.ping,
            proofs_used: now,
            answer_by: None,
            timer: Box::pin(sleep_until(now + settings.ping)),
        }
    }

    /// The same connection, on which a trusted client is told this before it is turned away
    /// for a frame that is too large.
    #[must_use]
    pub fn complaining(self, complaint: Utf8Bytes) -> Self {
        Self { complaint: Some(complaint), ..self }
    }

    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Option<Received<Frame>>> {
        self.outbox.writer.register(context.waker());
        loop {
            match self.phase {
                Phase::Over => return Poll::Ready(None),
                Phase::Discarding { .. } => {
                    let _ = self.push(context);
                    self.discard(context);
                }
                Phase::Open | Phase::Answering | Phase::Closing { .. } => {
                    let _ = self.push(context);
                    if let Poll::Ready(received) = self.read(context) {
                        return Poll::Ready(Some(received));
                    }
                    // What is left of a refused frame wakes nobody until somebody reads it.
                    if matches!(self.phase, Phase::Discarding { .. }) {
                        continue;
                    }
                }
            }
            if self.phase != Phase::Over && self.watch(context).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Writes what there is to write, as far as the client takes it; ready when that was all.
    fn push(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.try_push(context).map(|pushed| {
            if pushed.is_err() {
                self.phase = Phase::Over;
            }
        })
    }

    fn try_push(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            ready!(Pin::new(&mut self.wire).poll_ready(context))?;
            let Some(message) = self.next_message() else { break };
            Pin::new(&mut self.wire).start_send(message)?;
        }
        Pin::new(&mut self.wire).poll_flush(context)
    }

    /// What is to be written next.
    fn next_message(&mut self) -> Option<Message> {
        if self.phase != Phase::Open {
            return None;
        }
        let doubted = self.outbox.take_doubt();
        if let Some(within) = doubted {
            self.answer_by.get_or_insert(Instant::now() + within);
        }
        if self.unanswered.is_none() {
            let now = Instant::now();
            let proves = self.proof_due().is_some_and(|due| due <= now);
            if proves {
                self.proofs_used = self.proofs_used.max(now) + PROOF_EVERY;
            }
            if proves || doubted.is_some() || self.next_ping <= now {
                self.unanswered = Some(self.written);
                self.next_ping = now + self.ping_every;
                return Some(Message::Ping(Bytes::copy_from_slice(&self.written.to_be_bytes())));
            }
        }
        if let Some(frame) = self.outbox.pop() {
            self.written += 1;
            return Some(Message::Text(frame));
        }
        let close = self.outbox.close()?;
        self.phase = Phase::Closing { until: Instant::now() + CLOSING };
        self.farewell = Farewell::Ours;
        Some(goodbye(close))
    }

    /// When a ping may ask for the proof that something written has arrived, if it is wanted.
    fn proof_due(&self) -> Option<Instant> {
        let wanted = self.outbox.probe().min(self.written) > self.arrived;
        wanted.then(|| self.proofs_used.checked_sub(PROOF_EVERY * PROOFS).unwrap_or(self.heard))
    }

    fn read(&mut self, context: &mut Context<'_>) -> Poll<Received<Frame>> {
        loop {
            let Poll::Ready(next) = Pin::new(&mut self.wire).poll_next(context) else {
                if self.first_frame.is_some() && self.wire.get_ref().is_stalled() {
                    self.turn_away(Close::TooLarge);
                }
                return Poll::Pending;
            };
            match next {
                Some(Ok(message)) => {
                    self.heard = Instant::now();
                    if let Some(received) = self.take(message) {
                        return Poll::Ready(received);
                    }
                    // A ping of the client's is answered, and a goodbye.
                    let _ = self.push(context);
                }
                Some(Err(error)) => self.fail(&error),
                None => self.phase = Phase::Over,
            }
            if !matches!(self.phase, Phase::Open | Phase::Answering | Phase::Closing { .. }) {
                return Poll::Pending;
            }
        }
    }

    fn take(&mut self, message: Message) -> Option<Received<Frame>> {
        let frame = match message {
            Message::Text(text) => Frame::Text(text),
            Message::Binary(bytes) => Frame::Binary(bytes),
            Message::Pong(payload) => return self.take_pong(&payload),
            Message::Close(frame) => {
                // It proves no arrival: whatever stands in between says it in its client's name.
                if matches!(self.phase, Phase::Closing { .. }) {
                    self.phase = Phase::Over;
                } else {
                    self.phase = Phase::Answering;
                    self.farewell = Farewell::Theirs(frame.map_or(1005, |frame| frame.code.into()));
                }
                return None;
            }
            Message::Ping(_) | Message::Frame(_) => return None,
        };
        if self.phase != Phase::Open {
            return None;
        }
        if self.first_frame.take().is_some_and(|most| frame.len() > most) {
            self.turn_away(Close::TooLarge);
            return None;
        }
        Some(Received::Frame(frame))
    }

    fn take_pong(&mut self, payload: &[u8]) -> Option<Received<Frame>> {
        let position = u64::from_be_bytes(payload.try_into().ok()?);
        if self.unanswered != Some(position) {
            return None;
        }
        self.unanswered = None;
        self.answer_by = None;
        self.arrived = position;
        Some(Received::Arrived(position))
    }

    fn fail(&mut self, error: &Error) {
        match error {
            Error::Capacity(_) => {
                if let Some(complaint) = self.complaint.take_if(|_| self.trusted) {
                    // If it cannot be written any more, nobody is there to read it.
                    let _ = Pin::new(&mut self.wire).start_send(Message::Text(complaint));
                }
                self.turn_away(Close::TooLarge);
            }
            Error::Utf8(_) => self.turn_away(Close::Invalid),
            Error::Protocol(problem)
                if !matches!(
                    problem,
                    tokio_tungstenite::tungstenite::error::ProtocolError::ResetWithoutClosingHandshake
                ) =>
            {
                self.turn_away(Close::Violation);
            }
            _ => self.phase = Phase::Over,
        }
    }

    /// Says goodbye to a client that can no longer be understood, and reads on for a while:
    /// what is unread when a stream ends takes the goodbye with it.
    fn turn_away(&mut self, close: Close) {
        self.outbox.set_close(close);
        self.farewell = Farewell::Ours;
        let close = self.outbox.close().unwrap_or(close);
        self.phase = Phase::Discarding { until: Instant::now() + CLOSING, left: DISCARDED };
        // If it cannot be written any more, nobody is there to read it.
        let _ = Pin::new(&mut self.wire).start_send(goodbye(close));
    }

    fn discard(&mut self, context: &mut Context<'_>) {
        let mut piece = [0; READ_BUFFER];
        while let Phase::Discarding { until, left } = self.phase {
            // What is read here belongs to no frame, so no bound of frames counts.
            self.wire.get_mut().lift();
            let mut buf = ReadBuf::new(&mut piece);
            match Pin::new(self.wire.get_mut()).poll_read(context, &mut buf) {
                Poll::Pending => return,
                Poll::Ready(Ok(())) if !buf.filled().is_empty() && left > buf.filled().len() => {
                    self.phase = Phase::Discarding { until, left: left - buf.filled().len() };
                }
                Poll::Ready(_) => self.phase = Phase::Over,
            }
        }
    }

    /// Waits for the next moment at which something is due; ready when it has come.
    fn watch(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        let end = match self.phase {
            Phase::Closing { until } | Phase::Discarding { until, .. } => until,
            // A close that waits behind frames nobody reads does not wait for ever.
            Phase::Open if self.outbox.close().is_some() => {
                *self.answer_by.get_or_insert(now + CLOSING)
            }
            _ => (self.heard + self.silence).min(self.answer_by.unwrap_or(now + self.silence)),
        };
        if now >= end {
            self.phase = Phase::Over;
            return Poll::Ready(());
        }
        let pings = self.phase == Phase::Open && self.unanswered.is_none();
        let ping = self.proof_due().map_or(self.next_ping, |due| due.min(self.next_ping));
        let next = if pings { end.min(ping) } else { end };
        if self.timer.deadline() != next {
            self.timer.as_mut().reset(next);
        }
        self.timer.as_mut().poll(context)
    }
}

fn goodbye(close: Close) -> Message {
    Message::Close(Some(CloseFrame { code: close.code().into(), reason: close.reason().into() }))
}

impl Transport for RawSocket {
    type Incoming = Frame;
    type Outgoing = super::Utf8Bytes;
    type Sink = RawSink;

    fn sink(&self) -> RawSink {
        self.outbox.sink()
    }

    async fn receive(&mut self) -> Option<Received<Frame>> {
        poll_fn(|context| self.poll_receive(context)).await
    }

    async fn flush(&mut self) {
        poll_fn(|context| {
            loop {
                self.outbox.writer.register(context.waker());
                let before = self.written;
                let pushed = self.push(context);
                if self.phase != Phase::Open || pushed.is_ready() && self.outbox.is_empty() {
                    return Poll::Ready(());
                }
                if self.written > before {
                    self.heard = Instant::now();
                }
                if self.watch(context).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await;
    }

    fn trust(&mut self) {
        self.wire.get_mut().lift();
        self.first_frame = None;
        self.trusted = true;
    }

    fn farewell(&self) -> Farewell {
        self.farewell
    }
}
