//! TURN over TCP: frames in a stream (RFC 5766, 2.1 and 11.5), many streams as one `Conn`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Buf, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use webrtc_util::{Conn, Error};

use super::{traffic, unsupported};

/// How long a client may take to its first whole frame, and to the rest of one that it has begun.
const FRAME: Duration = Duration::from_secs(10);
/// How long a client may be silent between two frames.
const SILENCE: Duration = Duration::from_mins(15);
/// How long a client may take nothing of what it is sent.
const STUCK: Duration = Duration::from_secs(30);
/// Frames that may wait for one client.
const WAITING: usize = 512;
/// Bytes that may wait for one client.
const WAITING_BYTES: usize = 1 << 20;
/// Bytes of the head of a message, which its own length does not count.
const HEADER: usize = 20;

/// All streams of one listener.
#[derive(Debug)]
pub(super) struct TcpLine {
    local: SocketAddr,
    most: usize,
    streams: Mutex<HashMap<SocketAddr, Outgoing>>,
}

/// The way to one client.
#[derive(Clone, Debug)]
struct Outgoing {
    frames: mpsc::Sender<Bytes>,
    bytes: Arc<AtomicUsize>,
}

/// What waits to be written to one client.
struct Queue {
    frames: mpsc::Receiver<Bytes>,
    bytes: Arc<AtomicUsize>,
}

impl Outgoing {
    /// Takes a frame, unless too much waits already.
    fn offer(&self, frame: Bytes) -> bool {
        let len = frame.len();
        if self.bytes.fetch_add(len, Ordering::Relaxed) + len <= WAITING_BYTES
            && self.frames.try_send(frame).is_ok()
        {
            return true;
        }
        self.bytes.fetch_sub(len, Ordering::Relaxed);
        false
    }
}

impl TcpLine {
    /// A line on this address with at most so many streams.
    pub(super) fn new(local: SocketAddr, most: usize) -> Self {
        Self { local, most, streams: Mutex::default() }
    }

    /// Takes a stream in, unless there are too many.
    fn add(&self, peer: SocketAddr) -> Option<Queue> {
        let mut streams = self.streams.lock();
        if streams.len() >= self.most {
            return None;
        }
        let (sender, frames) = mpsc::channel(WAITING);
        let bytes = Arc::<AtomicUsize>::default();
        streams.insert(peer, Outgoing { frames: sender, bytes: Arc::clone(&bytes) });
        Some(Queue { frames, bytes })
    }

    /// Reads frames until the client leaves or speaks nonsense; `take` is given each.
    pub(super) async fn converse<S: AsyncRead + AsyncWrite + Send + 'static>(
        &self,
        stream: S,
        peer: SocketAddr,
        writing: Writing,
        take: impl Fn(Vec<u8>) -> BoxFuture<'static, ()> + Send,
    ) {
        let Some(queue) = self.add(peer) else {
            return traffic::drop("connections");
        };
        let (mut reading, outgoing) = tokio::io::split(stream);
        let writer = tokio::spawn(write(outgoing, queue, writing));
        let mut bytes = BytesMut::with_capacity(4096);
        let mut until = Instant::now() + FRAME;
        'open: loop {
            let was_empty = bytes.is_empty();
            match timeout_at(until, reading.read_buf(&mut bytes)).await {
                // Bytes that make no frame are no sign of life.
                Ok(Ok(1..)) if was_empty => until = until.min(Instant::now() + FRAME),
                Ok(Ok(1..)) => {}
                _ => break,
            }
            loop {
                match next_frame(&mut bytes) {
                    Ok(Some(frame)) => {
                        take(frame).await;
                        let patience = if bytes.is_empty() { SILENCE } else { FRAME };
                        until = Instant::now() + patience;
                    }
                    Ok(None) => break,
                    Err(Nonsense) => break 'open traffic::drop("noise"),
                }
            }
        }
        self.streams.lock().remove(&peer);
        writer.abort();
    }
}

/// What no client of this protocol sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Nonsense;

/// The next whole frame, without its padding.
fn next_frame(bytes: &mut BytesMut) -> Result<Option<Vec<u8>>, Nonsense> {
    let Some(first) = bytes.first() else { return Ok(None) };
    if *first >= 0x80 {
        return Err(Nonsense);
    }
    if bytes.len() < 4 {
        return Ok(None);
    }
    let said = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
    let is_channel_data = bytes[0] & 0xc0 == 0x40;
    let len = if is_channel_data { 4 + said } else { HEADER + said };
    let padded = if is_channel_data { len.next_multiple_of(4) } else { len };
    if bytes.len() < padded {
        return Ok(None);
    }
    let frame = bytes[..len].to_vec();
    bytes.advance(padded);
    Ok(Some(frame))
}

/// How frames that wait are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// As much as there is at a time.
    Together,
    /// Each by itself: some clients see one record of TLS at a time, and what else is in it
    /// only with the next.
    Apart,
}

/// Writes what waits.
async fn write<S: AsyncWrite>(mut stream: WriteHalf<S>, mut queue: Queue, writing: Writing) {
    let mut frames = Vec::new();
    let mut together = Vec::new();
    while queue.frames.recv_many(&mut frames, 64).await > 0 {
        let len = frames.iter().map(Bytes::len).sum();
        let written = timeout(STUCK, async {
            match writing {
                Writing::Together => {
                    together.clear();
                    frames.drain(..).for_each(|frame| together.extend_from_slice(&frame));
                    stream.write_all(&together).await?;
                }
                Writing::Apart => {
                    for frame in frames.drain(..) {
                        stream.write_all(&frame).await?;
                    }
                }
            }
            stream.flush().await
        });
        match written.await {
            Ok(Ok(())) => queue.bytes.fetch_sub(len, Ordering::Relaxed),
            _ => return,
        };
    }
}

#[async_trait]
impl Conn for TcpLine {
    async fn connect(&self, _: SocketAddr) -> Result<(), Error> {
        Err(unsupported())
    }

    async fn recv(&self, _: &mut [u8]) -> Result<usize, Error> {
        Err(unsupported())
    }

    async fn recv_from(&self, _: &mut [u8]) -> Result<(usize, SocketAddr), Error> {
        Err(unsupported())
    }

    async fn send(&self, _: &[u8]) -> Result<usize, Error> {
        Err(unsupported())
    }

    /// Never waits: what a slow client does not take is dropped, as a network does.
    async fn send_to(&self, frame: &[u8], target: SocketAddr) -> Result<usize, Error> {
        let is_channel_data = frame.first().is_some_and(|first| first & 0xc0 == 0x40);
        let len = if is_channel_data { frame.len().next_multiple_of(4) } else { frame.len() };
        let mut padded = Vec::with_capacity(len);
        padded.extend_from_slice(frame);
        padded.resize(len, 0);
        let stream = self.streams.lock().get(&target).cloned();
        match stream.map(|stream| stream.offer(padded.into())) {
            Some(true) => {}
            Some(false) => traffic::drop("queue"),
            None => traffic::drop("gone"),
        }
        Ok(frame.len())
    }

    fn local_addr(&self) -> Result<SocketAddr, Error> {
        Ok(self.local)
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        None
    }

    /// All allocations share the line: the end of one is not its end.
    async fn close(&self) -> Result<(), Error> {
        Ok(())
    }

    fn as_any(&self) -> &(dyn std::any::Any + Send + Sync) {
        self
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn frames_are_found_however_they_are_cut() {
        let stun = [&[0, 1, 0, 4][..], &[7; 16], &[1, 2, 3, 4]].concat();
        let data = [&[0x40, 1, 0, 5][..], &[9; 5]].concat();
        let stream = [&stun[..], &data, &[0; 3], &stun].concat();
        for cut in 1..stream.len() {
            let mut bytes = BytesMut::new();
            let mut found = Vec::new();
            for piece in stream.chunks(cut) {
                bytes.extend_from_slice(piece);
                while let Some(frame) = next_frame(&mut bytes).unwrap() {
                    found.push(frame);
                }
            }
            assert_eq!(found, [stun.clone(), data.clone(), stun.clone()], "{cut}");
        }
        assert_eq!(next_frame(&mut BytesMut::from(&b"\x80abc"[..])), Err(Nonsense));
        // However large a frame is, it is waited for.
        for head in [&b"\x00\x01\xff\xfc"[..], b"\x40\x01\xff\xff"] {
            let mut bytes = BytesMut::from(head);
            assert_eq!(next_frame(&mut bytes), Ok(None));
            bytes.resize(70_000, 7);
            let len = next_frame(&mut bytes).unwrap().unwrap().len();
            assert_eq!((len, bytes.len()), (len, 70_000 - len.next_multiple_of(4)));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..4000)) {
            let mut bytes = BytesMut::from(&bytes[..]);
            while let Ok(Some(frame)) = next_frame(&mut bytes) {
                prop_assert!(frame.len() >= 4);
            }
        }
    }
}
