//! A transport without a network, for tests.
//!
//! It keeps the promises of the real ones: a bounded way out, and a way in that is drained
//! before the end is told.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Close, Full, Received, Sink, Transport};

/// Makes a connection with room for `sink_frames` frames on the way out.
pub fn connection<I, O>(sink_frames: usize) -> (MemoryTransport<I, O>, MemoryClient<I, O>) {
    let (to_server, incoming) = mpsc::unbounded_channel();
    let (outgoing, from_server) = mpsc::channel(sink_frames);
    let state = State { outgoing: Some(outgoing), close: None, trusted: false };
    let state = Arc::new(Mutex::new(state));
    let sink = MemorySink { state: state.clone(), ended: CancellationToken::new() };
    (
        MemoryTransport { incoming, sink },
        MemoryClient { to_server: Some(to_server), from_server, state },
    )
}

/// The server's end.
#[derive(Debug)]
pub struct MemoryTransport<I, O> {
    incoming: mpsc::UnboundedReceiver<Received<I>>,
    sink: MemorySink<O>,
}

/// The way out of a connection in memory.
#[derive(Debug)]
pub struct MemorySink<O> {
    state: Arc<Mutex<State<O>>>,
    ended: CancellationToken,
}

/// The client's end.
#[derive(Debug)]
pub struct MemoryClient<I, O> {
    to_server: Option<mpsc::UnboundedSender<Received<I>>>,
    from_server: mpsc::Receiver<O>,
    state: Arc<Mutex<State<O>>>,
}

#[derive(Debug)]
struct State<O> {
    /// `None` once the server has closed the connection.
    outgoing: Option<mpsc::Sender<O>>,
    close: Option<Close>,
    trusted: bool,
}

impl<I: Send + 'static, O: Send + 'static> Transport for MemoryTransport<I, O> {
    type Incoming = I;
    type Outgoing = O;
    type Sink = MemorySink<O>;

    fn sink(&self) -> MemorySink<O> {
        self.sink.clone()
    }

    async fn receive(&mut self) -> Option<Received<I>> {
        tokio::select! {
            biased;
            () = self.sink.ended.cancelled() => None,
            received = self.incoming.recv() => received,
        }
    }

    fn trust(&mut self) {
        self.sink.state.lock().trusted = true;
    }
}

impl<O: Send + 'static> Sink<O> for MemorySink<O> {
    fn send(&self, frame: O) -> Result<(), Full> {
        match self.state.lock().outgoing.as_ref().map(|outgoing| outgoing.try_send(frame)) {
            Some(Err(mpsc::error::TrySendError::Full(_))) => Err(Full),
            Some(Ok(()) | Err(mpsc::error::TrySendError::Closed(_))) | None => Ok(()),
        }
    }

    fn close(&self, close: Close) {
        let mut state = self.state.lock();
        if state.outgoing.take().is_some() {
            state.close = Some(close);
            self.ended.cancel();
        }
    }
}

impl<O> Clone for MemorySink<O> {
    fn clone(&self) -> Self {
        Self { state: self.state.clone(), ended: self.ended.clone() }
    }
}

impl<I, O> MemoryClient<I, O> {
    /// Sends a frame.
    pub fn send(&self, frame: I) {
        self.put(Received::Frame(frame));
    }

    /// Answers a heartbeat.
    pub fn beat(&self) {
        self.put(Received::Heartbeat);
    }

    /// Hangs up; what was sent before is still received.
    pub fn hang_up(&mut self) {
        self.to_server = None;
    }

    /// The next frame; `None` once the server has closed the connection.
    pub async fn read(&mut self) -> Option<O> {
        self.from_server.recv().await
    }

    /// A frame that is there already.
    pub fn read_now(&mut self) -> Option<O> {
        self.from_server.try_recv().ok()
    }

    /// Why the server ended the connection, if it did.
    pub fn closed(&self) -> Option<Close> {
        self.state.lock().close
    }

    /// Whether the server has come to trust this client.
    pub fn is_trusted(&self) -> bool {
        self.state.lock().trusted
    }

    fn put(&self, received: Received<I>) {
        if let Some(to_server) = &self.to_server {
            // A server that has gone reads nothing any more, which is what the test is about.
            let _ = to_server.send(received);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_sent_before_hanging_up_is_received() {
        let (mut server, mut client) = connection::<u8, u8>(1);
        client.send(1);
        client.beat();
        client.hang_up();
        assert_eq!(server.receive().await, Some(Received::Frame(1)));
        assert_eq!(server.receive().await, Some(Received::Heartbeat));
        assert_eq!(server.receive().await, None);
    }

    #[tokio::test]
    async fn a_close_wakes_who_waits_for_a_frame() {
        let (mut server, mut client) = connection::<u8, u8>(1);
        let sink = server.sink();
        let waiting = tokio::spawn(async move { server.receive().await });
        tokio::task::yield_now().await;
        sink.close(Close::Shutdown);
        assert_eq!(waiting.await.unwrap(), None);
        assert_eq!(client.read().await, None);
    }

    #[tokio::test]
    async fn a_full_sink_says_so_and_a_closed_one_is_silent() {
        let (mut server, mut client) = connection::<u8, u8>(1);
        let sink = server.sink();
        assert_eq!(sink.send(1), Ok(()));
        assert_eq!(sink.send(2), Err(Full));
        sink.close(Close::TooSlow);
        assert_eq!(sink.send(3), Ok(()));
        assert_eq!(client.read().await, Some(1));
        assert_eq!(client.read().await, None);
        assert_eq!(client.closed(), Some(Close::TooSlow));
        assert_eq!(server.receive().await, None);
    }
}
