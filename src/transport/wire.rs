//! The stream below a connection, with a handle that can end it from outside.
//!
//! A write error is never reported: it ends the stream, the write is said to have worked, and
//! the reading side fails. The Socket.IO library would keep a session for ever otherwise.

use std::{
    fmt, io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::{seat::Seat, stream::Stream};

const OPEN: u8 = 0;
/// Nothing more is read; what is being written may still leave.
const FINISHING: u8 = 1;
const CUT: u8 = 2;

/// How much of what a peer still sends is read when it has been answered, and for how long:
/// a stream that ends with something unread takes the answer with it.
const LINGERING: (usize, Duration) = (8 << 20, Duration::from_secs(5));

/// Bytes that are read at once where there is little room.
const LEAST: usize = 4 << 10;

/// What becomes of bytes that have come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// How many of them may be passed on now.
    pub passed: usize,
    /// What is written as soon as the protocol above has written out what it was at.
    pub owed: &'static [u8],
}

/// Sees what comes in on a stream, and is dropped with it.
pub trait Tap: Send {
    /// These bytes have come in; those that may be passed on may be changed. The others are
    /// seen again when there is room.
    fn see(&mut self, bytes: &mut [u8]) -> Seen;

    /// How many bytes may come in now. Where it is none, reading waits for `Wire::wake_reader`.
    fn room(&mut self) -> usize {
        usize::MAX
    }

    /// What the protocol above is to read as the peer's last words when the stream is finished;
    /// `None` while the peer is in the middle of others.
    fn last_words(&self) -> Option<&'static [u8]>;
}

/// A handle on a stream. Keeping it does not keep the stream.
pub struct Wire {
    state: AtomicU8,
    reader: AtomicWaker,
    writer: AtomicWaker,
    tap: Mutex<TapSlot>,
    /// The peer may still be sending what nobody wants when the stream ends.
    lingers: AtomicBool,
}

enum TapSlot {
    Free,
    Set(Box<dyn Tap>),
    /// The stream does not exist any more.
    Gone,
}

impl Wire {
    fn new() -> Self {
        Self {
            state: AtomicU8::new(OPEN),
            reader: AtomicWaker::new(),
            writer: AtomicWaker::new(),
            tap: Mutex::new(TapSlot::Free),
            lingers: AtomicBool::new(false),
        }
    }

    /// Lets the reading side believe that the peer has said goodbye, so that the protocol above
    /// does the same, after all that it still has to write.
    pub fn finish(&self) {
        if self.state.compare_exchange(OPEN, FINISHING, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        {
            self.wake();
        }
    }

    /// Ends the stream at once and forgets what was not sent yet.
    pub fn cut(&self) {
        self.state.store(CUT, Ordering::SeqCst);
        self.wake();
    }

    /// Whether it was ended at once.
    pub fn is_cut(&self) -> bool {
        self.state() == CUT
    }

    /// When the stream ends, reads on for a while, so that the peer gets what it was sent.
    pub fn linger(&self) {
        self.lingers.store(true, Ordering::SeqCst);
    }

    /// Shows all bytes that come in from now on to `tap`.
    pub fn set_tap(&self, tap: Box<dyn Tap>) {
        let mut slot = self.tap.lock();
        if !matches!(*slot, TapSlot::Gone) {
            *slot = TapSlot::Set(tap);
        }
    }

    /// Lets the reading side look again whether there is room.
    pub fn wake_reader(&self) {
        self.reader.wake();
    }

    fn state(&self) -> u8 {
        self.state.load(Ordering::SeqCst)
    }

    fn wake(&self) {
        self.reader.wake();
        self.writer.wake();
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("state", &self.state()).finish_non_exhaustive()
    }
}

/// What is still read of an ended stream.
#[derive(Debug)]
struct Lingering {
    left: usize,
    until: Pin<Box<Sleep>>,
}

/// The stream itself.
#[derive(Debug)]
pub struct Io {
    stream: Stream,
    wire: Arc<Wire>,
    /// Kept as long as the stream.
    seat: Option<Arc<Seat>>,
    lingering: Option<Lingering>,
    /// What has come in and may not be passed on yet.
    kept_back: Vec<u8>,
    /// The last words have been read.
    is_over: bool,
    /// What the tap wants to be written between two frames, and has not been yet.
    owed: &'static [u8],
    /// A part of that has been written.
    is_amid_owed: bool,
}

impl Io {
    /// Prepares an accepted stream: small packets leave at once, and a peer that takes
    /// nothing for `user_timeout` is given up by the kernel.
    pub fn new(stream: impl Into<Stream>, user_timeout: Duration) -> Self {
        let stream = stream.into();
        // A socket that refuses an option has just been closed by its peer; reading tells.
        let _ = stream.tcp().set_nodelay(true);
        #[cfg(target_os = "linux")]
        let _ = SockRef::from(stream.tcp()).set_tcp_user_timeout(Some(user_timeout));
        #[cfg(not(target_os = "linux"))]
        let _ = user_timeout;
        Self {
            stream,
            wire: Arc::new(Wire::new()),
            seat: None,
            lingering: None,
            kept_back: Vec::new(),
            is_over: false,
            owed: &[],
            is_amid_owed: false,
        }
    }

    /// Keeps this as long as it exists.
    #[must_use]
    pub(super) fn seated(mut self, seat: Arc<Seat>) -> Self {
        self.seat = Some(seat);
        self
    }

    /// Whether it is protected by TLS.
    pub const fn is_secure(&self) -> bool {
        matches!(self.stream, Stream::Secure(_))
    }

    /// The handle on this stream.
    pub fn wire(&self) -> Arc<Wire> {
        self.wire.clone()
    }

    /// What reading yields when the stream is not open any more.
    fn ended(&mut self, buf: &mut ReadBuf<'_>) -> Option<io::Result<()>> {
        match self.wire.state() {
            OPEN => None,
            FINISHING if self.is_over => Some(Ok(())),
            FINISHING => {
                let slot = self.wire.tap.lock();
                if let TapSlot::Set(tap) = &*slot {
                    buf.put_slice(tap.last_words().filter(|words| words.len() <= buf.remaining())?);
                }
                self.is_over = true;
                Some(Ok(()))
            }
            _ => Some(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }

    fn read_within(
        &mut self,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        room: usize,
    ) -> Poll<io::Result<()>> {
        if room > 0 && !self.kept_back.is_empty() {
            let some = self.kept_back.len().min(buf.remaining());
            buf.put_slice(&self.kept_back[..some]);
            self.kept_back.drain(..some);
            return Poll::Ready(Ok(()));
        }
        if room >= buf.remaining() {
            return Pin::new(&mut self.stream).poll_read(context, buf);
        }
        if room == 0 {
            return Poll::Pending;
        }
        let mut piece = vec![0; room.min(LEAST)];
        let mut part = ReadBuf::new(&mut piece);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut part))?;
        buf.put_slice(part.filled());
        Poll::Ready(Ok(()))
    }

    /// Reads and forgets what the peer still sends, until it has done or sends too much.
    fn linger(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(lingering) = &mut self.lingering else { return Poll::Ready(Ok(())) };
        let mut piece = [0; 8 << 10];
        while self.wire.state() != CUT {
            let mut buf = ReadBuf::new(&mut piece);
            match Pin::new(&mut self.stream).poll_read(context, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() && lingering.left > 0 => {
                    lingering.left = lingering.left.saturating_sub(buf.filled().len());
                    // What has come may be followed by more.
                    self.wire.lingers.store(true, Ordering::SeqCst);
                }
                Poll::Ready(_) => break,
                Poll::Pending if !self.wire.lingers.load(Ordering::SeqCst) => break,
                Poll::Pending => {
                    self.wire.reader.register(context.waker());
                    return if self.wire.state() == CUT {
                        Poll::Ready(Ok(()))
                    } else {
                        lingering.until.as_mut().poll(context).map(|()| Ok(()))
                    };
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn is_cut(&self) -> bool {
        self.wire.state() == CUT
    }

    /// Polls a write; pending ones are woken by a cut as well, and errors are kept back.
    fn write_with(
        &mut self,
        context: &mut Context<'_>,
        len: usize,
        write: impl FnOnce(Pin<&mut Stream>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if self.is_cut() {
            return Poll::Ready(Ok(len));
        }
        match write(Pin::new(&mut self.stream), context) {
            Poll::Ready(Err(_)) => {
                self.wire.cut();
                Poll::Ready(Ok(len))
            }
            Poll::Pending => {
                self.wire.writer.register(context.waker());
                if self.is_cut() { Poll::Ready(Ok(len)) } else { Poll::Pending }
            }
            written @ Poll::Ready(Ok(_)) => written,
        }
    }
}

impl Io {
    /// Writes what the tap wants to be written; only between two frames.
    fn poll_owed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while !self.owed.is_empty() {
            let owed = self.owed;
            let write =
                |stream: Pin<&mut Stream>, cx: &mut Context<'_>| stream.poll_write(cx, owed);
            // Errors are kept back, so there is none.
            match self.write_with(context, owed.len(), write) {
                Poll::Ready(written) => {
                    self.owed = &owed[written.unwrap_or(owed.len()).min(owed.len())..];
                    self.is_amid_owed = !self.owed.is_empty();
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }

    /// The same before anything else is written, if it was broken off.
    fn poll_amid_owed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_amid_owed { self.poll_owed(context) } else { Poll::Ready(()) }
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(ended) = this.ended(buf) {
            return Poll::Ready(ended);
        }
        let before = buf.filled().len();
        let room = match &mut *this.wire.tap.lock() {
            TapSlot::Set(tap) => tap.room(),
            TapSlot::Free | TapSlot::Gone => usize::MAX,
        };
        match this.read_within(context, buf, room) {
            Poll::Ready(Ok(())) => {
                let read = buf.filled().len() - before;
                let passed = match &mut *this.wire.tap.lock() {
                    TapSlot::Set(tap) if read > 0 => {
                        let Seen { passed, owed } = tap.see(&mut buf.filled_mut()[before..]);
                        // Asked twice before there was a moment to answer, it is answered once.
                        if this.owed.is_empty() {
                            this.owed = owed;
                        }
                        passed
                    }
                    _ => read,
                };
                if passed < read {
                    let kept_back = buf.filled()[before + passed..].iter().copied();
                    this.kept_back.splice(0..0, kept_back);
                    buf.set_filled(before + passed);
                    if passed == 0 {
                        // Nothing may be told apart from the end; who is waited for wakes.
                        this.wire.reader.register(context.waker());
                        context.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
                Poll::Ready(Ok(()))
            }
            Poll::Pending => {
                this.wire.reader.register(context.waker());
                this.ended(buf).map_or(Poll::Pending, Poll::Ready)
            }
            failed @ Poll::Ready(Err(_)) => failed,
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_amid_owed(context));
        this.write_with(context, buf.len(), |stream, cx| stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let len = bufs.iter().map(|buf| buf.len()).sum();
        let this = self.get_mut();
        ready!(this.poll_amid_owed(context));
        this.write_with(context, len, |stream, cx| stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_owed(context));
        // A TCP stream holds nothing back, TLS does.
        let flush = |stream: Pin<&mut Stream>, context: &mut Context<'_>| {
            stream.poll_flush(context).map_ok(|()| 0)
        };
        this.write_with(context, 0, flush).map_ok(|_| ())
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_cut() {
            return Poll::Ready(Ok(()));
        }
        if this.lingering.is_none() {
            // Where this fails there is nobody to wait for.
            if ready!(Pin::new(&mut this.stream).poll_shutdown(context)).is_err() {
                return Poll::Ready(Ok(()));
            }
            let (left, time) = LINGERING;
            let until = Box::pin(sleep_until(Instant::now() + time));
            this.lingering = Some(Lingering { left, until });
        }
        this.linger(context)
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        // The tap may hold the wire; and dropping it may do anything, so not under the lock.
        let tap = std::mem::replace(&mut *self.wire.tap.lock(), TapSlot::Gone);
        drop(tap);
        if self.is_cut() {
            // Without this the kernel keeps megabytes for a peer that does not read.
            let _ = SockRef::from(self.stream.tcp()).set_linger(Some(Duration::ZERO));
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    async fn pair() -> (Io, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        (Io::new(server, Duration::from_secs(5)), client)
    }

    #[tokio::test]
    async fn a_cut_wakes_a_waiting_reader_and_a_stuck_writer() {
        let (io, _client) = pair().await;
        let wire = io.wire();
        let (mut reader, mut writer) = tokio::io::split(io);
        let reading = tokio::spawn(async move { reader.read_u8().await });
        let writing = tokio::spawn(async move { writer.write_all(&vec![0; 32 << 20]).await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!reading.is_finished() && !writing.is_finished());
        wire.cut();
        assert_eq!(reading.await.unwrap().unwrap_err().kind(), io::ErrorKind::ConnectionReset);
        writing.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_finished_stream_is_at_its_end_and_can_still_be_written() {
        let (mut io, mut client) = pair().await;
        io.wire().finish();
        assert_eq!(io.read(&mut [0; 1]).await.unwrap(), 0);
        io.write_all(b"bye").await.unwrap();
        drop(io);
        let mut read = String::new();
        client.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, "bye");
    }

    #[tokio::test]
    async fn write_errors_are_told_by_reading() {
        let (mut io, client) = pair().await;
        SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        for _ in 0..10 {
            io.write_all(&vec![0; 1 << 16]).await.unwrap();
        }
        assert!(io.read_u8().await.is_err());
    }

    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Tap for Lines {
        fn see(&mut self, bytes: &mut [u8]) -> Seen {
            self.0.lock().extend_from_slice(bytes);
            let asked = bytes.ends_with(b"?");
            bytes.make_ascii_uppercase();
            Seen { passed: bytes.len(), owed: if asked { b"here" } else { b"" } }
        }

        fn last_words(&self) -> Option<&'static [u8]> {
            self.0.lock().ends_with(b".").then_some(b"bye")
        }
    }

    #[tokio::test]
    async fn a_tap_sees_what_comes_in_and_says_the_last_words_where_they_fit() {
        let (mut io, mut client) = pair().await;
        let seen = Arc::new(Mutex::new(Vec::new()));
        io.wire().set_tap(Box::new(Lines(seen.clone())));
        client.write_all(b"ab").await.unwrap();
        let mut read = [0; 2];
        io.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"AB", "a tap may change what comes in");
        io.wire().finish();
        client.write_all(b"c.").await.unwrap();
        let mut rest = String::new();
        io.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "C.bye");
        assert_eq!(*seen.lock(), b"abc.");
        drop(io);
        assert_eq!(Arc::strong_count(&seen), 1);
    }

    #[tokio::test]
    async fn what_a_tap_wants_to_be_written_waits_for_a_flush() {
        let (mut io, mut client) = pair().await;
        io.wire().set_tap(Box::new(Lines(Arc::default())));
        client.write_all(b"a?").await.unwrap();
        io.read_exact(&mut [0; 2]).await.unwrap();
        io.write_all(b"one ").await.unwrap();
        io.write_all(b"frame ").await.unwrap();
        io.flush().await.unwrap();
        io.write_all(b" next").await.unwrap();
        drop(io);
        let mut read = String::new();
        client.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, "one frame here next");
    }
}
