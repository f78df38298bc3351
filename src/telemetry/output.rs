//! The process's standard streams, written by threads of their own: whoever has a line to tell
//! never waits for who reads it.
//!
//! A stream may be full, closed, or stuck in a pipe that nobody reads. Lines that find no room,
//! or cannot be written, are dropped and counted; the process ends without waiting for them.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd as _;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Bytes that may wait for one stream.
const ROOM: usize = 8 << 20;
/// How long a stream that was made not to block is left alone when it takes nothing.
const PAUSE: Duration = Duration::from_millis(10);

/// Standard error: the log, and why a command was not carried out.
pub(super) static ERRORS: LazyLock<&'static Output> =
    LazyLock::new(|| Output::start("stderr", || io::stderr().as_fd().try_clone_to_owned()));
/// Standard output, as a server tells where it listens.
pub(super) static RESULTS: LazyLock<&'static Output> =
    LazyLock::new(|| Output::start("stdout", || io::stdout().as_fd().try_clone_to_owned()));

/// One stream, and the lines that wait for it.
pub(super) struct Output {
    queue: Mutex<Queue>,
    filled: Condvar,
    emptied: Condvar,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Queue {
    lines: VecDeque<Box<[u8]>>,
    bytes: usize,
    /// A line has been taken out and not yet been written.
    busy: bool,
}

impl Output {
    const fn new() -> Self {
        Self {
            queue: Mutex::new(Queue { lines: VecDeque::new(), bytes: 0, busy: false }),
            filled: Condvar::new(),
            emptied: Condvar::new(),
            dropped: AtomicU64::new(0),
        }
    }

    /// With a thread that writes; it lives as long as the process.
    fn start(
        name: &str,
        open: impl FnOnce() -> io::Result<std::os::fd::OwnedFd> + Send + 'static,
    ) -> &'static Self {
        let output: &'static Self = Box::leak(Box::new(Self::new()));
        let write = move || match open() {
            Ok(stream) => output.write_on(&mut File::from(stream)),
            Err(_) => output.write_on(&mut Nowhere),
        };
        // Without the thread lines fill the room, and are dropped and counted from then on.
        let _ = std::thread::Builder::new().name(name.to_owned()).spawn(write);
        output
    }

    /// Takes a line, which ends with a line feed, if there is room for it.
    pub(super) fn tell(&self, line: &[u8]) {
        let mut queue = self.queue.lock();
        if queue.bytes + line.len() > ROOM {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        queue.bytes += line.len();
        queue.lines.push_back(line.into());
        self.filled.notify_one();
    }

    /// Lines that nobody will ever read.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Waits until everything is written, or dropped, but not beyond the deadline.
    pub(super) fn flush(&self, deadline: Instant) {
        let mut queue = self.queue.lock();
        while queue.busy || !queue.lines.is_empty() {
            if self.emptied.wait_until(&mut queue, deadline).timed_out() {
                return;
            }
        }
    }

    /// Writes what is told, for ever.
    fn write_on(&self, stream: &mut impl Write) {
        loop {
            let line = self.next();
            if write_line(stream, &line).is_err() {
                self.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn next(&self) -> Box<[u8]> {
        let mut queue = self.queue.lock();
        loop {
            if let Some(line) = queue.lines.pop_front() {
                queue.bytes -= line.len();
                queue.busy = true;
                return line;
            }
            queue.busy = false;
            self.emptied.notify_all();
            self.filled.wait(&mut queue);
        }
    }
}

/// Writes a whole line, and waits for a stream that does not wait by itself: whoever shares the
/// stream with this process may have made it so.
fn write_line(stream: &mut impl Write, mut line: &[u8]) -> io::Result<()> {
    while !line.is_empty() {
        match stream.write(line) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => line = &line[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(PAUSE),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What takes nothing.
struct Nowhere;

impl Write for Nowhere {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Where the log's formatter writes; each event comes in one piece.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        ERRORS.tell(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A stream that takes what a test lets it take.
    struct Gated {
        gate: Receiver<io::Result<usize>>,
        taken: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let most = self.gate.recv().unwrap_or(Ok(usize::MAX))?;
            let len = most.min(bytes.len());
            self.taken.lock().extend_from_slice(&bytes[..len]);
            Ok(len)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    type Gate = Sender<io::Result<usize>>;

    fn gated() -> (&'static Output, Gate, Arc<Mutex<Vec<u8>>>) {
        let (open, gate) = channel();
        let taken = Arc::new(Mutex::default());
        let mut stream = Gated { gate, taken: Arc::clone(&taken) };
        let output: &'static Output = Box::leak(Box::new(Output::new()));
        std::thread::spawn(move || output.write_on(&mut stream));
        (output, open, taken)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[test]
    fn a_stream_that_takes_nothing_holds_nobody_up_and_what_has_no_room_is_counted() {
        let (output, open, taken) = gated();
        let line = vec![b'x'; 1 << 20];
        for _ in 0..20 {
            output.tell(&line);
        }
        // One of them may be in the writer's hands.
        let waiting = 20 - usize::try_from(output.dropped()).unwrap();
        assert!((8..=9).contains(&waiting), "{waiting}");
        output.flush(Instant::now());
        drop(open);
        output.flush(soon());
        assert_eq!(taken.lock().len(), waiting << 20);
        output.tell(b"more\n");
        output.flush(soon());
        assert!(taken.lock().ends_with(b"more\n"));
    }

    #[test]
    fn pieces_pauses_and_errors_of_a_stream_lose_only_what_could_not_be_written() {
        let (output, open, taken) = gated();
        for line in [&b"one\n"[..], b"two\n", b"three\n"] {
            output.tell(line);
        }
        for allowed in [Ok(1), Err(ErrorKind::WouldBlock), Err(ErrorKind::Interrupted), Ok(9)] {
            open.send(allowed.map_err(io::Error::from)).unwrap();
        }
        open.send(Err(ErrorKind::StorageFull.into())).unwrap();
        drop(open);
        output.flush(soon());
        assert_eq!(taken.lock().as_slice(), b"one\nthree\n");
        assert_eq!(output.dropped(), 1);
    }
}
