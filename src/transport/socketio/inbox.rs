//! What a client has sent and the session has not taken yet: bounded in packets and bytes.
//!
//! Nothing slows a client down here, so the bound has to hold the largest honest burst, and
//! whoever exceeds it is cut off.

use std::{
    collections::VecDeque,
    future::poll_fn,
    task::{Poll, Waker},
};

use engineioxide::Str;
use parking_lot::Mutex;

use super::packet::AckId;

/// Room that stays reserved when a burst is over.
const KEPT: usize = 32;

/// How much may wait.
#[derive(Clone, Debug)]
pub struct InboxBounds {
    /// Packets.
    pub packets: usize,
    /// Bytes of packets, once the client is trusted.
    pub bytes: usize,
    /// Bytes of packets before that.
    pub untrusted_bytes: usize,
}

/// Something that waits.
#[derive(Debug)]
pub(super) enum Item {
    /// An event as it stood on the wire: `["channel",argument]`.
    Event { text: Str, ack: Option<AckId>, is_binary: bool },
    /// An event that was too large to keep.
    TooLarge { channel: String, ack: Option<AckId> },
    /// The client is alive.
    Heartbeat,
}

impl Item {
    fn bytes(&self) -> usize {
        match self {
            Self::Event { text, .. } => text.len(),
            Self::TooLarge { channel, .. } => channel.len(),
            Self::Heartbeat => 0,
        }
    }
}

/// More is waiting than may.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Overrun;

/// A queue with one reader.
#[derive(Debug)]
pub(super) struct Inbox {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    waiting: VecDeque<Item>,
    bytes: usize,
    max_packets: usize,
    max_bytes: usize,
    is_open: bool,
    reader: Option<Waker>,
}

impl Inbox {
    pub(super) fn new(bounds: &InboxBounds) -> Self {
        Self {
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                bytes: 0,
                max_packets: bounds.packets,
                max_bytes: bounds.untrusted_bytes,
                is_open: true,
                reader: None,
            }),
        }
    }

    /// Puts an item behind the others.
    pub(super) fn push(&self, item: Item) -> Result<(), Overrun> {
        let mut state = self.state.lock();
        if !state.is_open {
            return Ok(());
        }
        let bytes = state.bytes + item.bytes();
        if state.waiting.len() >= state.max_packets || bytes > state.max_bytes {
            // A client that sends nothing but heartbeats sends nothing.
            return if matches!(item, Item::Heartbeat) { Ok(()) } else { Err(Overrun) };
        }
        state.bytes = bytes;
        state.waiting.push_back(item);
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
        Ok(())
    }

    /// Bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.state.lock().bytes
    }

    /// The first item, as soon as there is one; `None` when the inbox is closed and empty.
    pub(super) async fn pop(&self) -> Option<Item> {
        poll_fn(|context| {
            let mut state = self.state.lock();
            if let Some(item) = state.waiting.pop_front() {
                state.bytes -= item.bytes();
                if state.waiting.is_empty() && state.waiting.capacity() > KEPT {
                    state.waiting = VecDeque::new();
                }
                return Poll::Ready(Some(item));
            }
            if !state.is_open {
                return Poll::Ready(None);
            }
            state.reader = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Lets as many bytes wait as `bounds` allow a trusted client.
    pub(super) fn widen(&self, bounds: &InboxBounds) {
        self.state.lock().max_bytes = bounds.bytes;
    }

    /// Takes nothing more; what waits can still be read.
    pub(super) fn close(&self) {
        self.shut(false);
    }

    /// Takes nothing more and forgets what waits.
    pub(super) fn discard(&self) {
        self.shut(true);
    }

    fn shut(&self, forget: bool) {
        let mut state = self.state.lock();
        state.is_open = false;
        if forget {
            state.waiting = VecDeque::new();
            state.bytes = 0;
        }
        let reader = state.reader.take();
        drop(state);
        if let Some(reader) = reader {
            reader.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: InboxBounds = InboxBounds { packets: 3, bytes: 100, untrusted_bytes: 10 };

    fn event(len: usize) -> Item {
        Item::Event { text: Str::from("x".repeat(len)), ack: None, is_binary: false }
    }

    #[tokio::test]
    async fn packets_are_bounded_by_number_and_bytes() {
        let inbox = Inbox::new(&BOUNDS);
        assert_eq!(inbox.push(event(10)), Ok(()));
        assert_eq!(inbox.push(event(1)), Err(Overrun));
        inbox.widen(&BOUNDS);
        assert_eq!(inbox.push(event(1)), Ok(()));
        assert_eq!(inbox.push(event(1)), Ok(()));
        assert_eq!(inbox.push(event(1)), Err(Overrun));
        assert_eq!(inbox.push(Item::Heartbeat), Ok(()), "heartbeats never overrun");
        assert!(matches!(inbox.pop().await, Some(Item::Event { .. })));
        assert_eq!(inbox.push(event(98)), Ok(()), "what was read makes room");
    }

    #[tokio::test]
    async fn what_waited_is_read_before_the_end() {
        let inbox = Inbox::new(&BOUNDS);
        inbox.push(event(1)).unwrap();
        inbox.close();
        inbox.push(event(1)).unwrap();
        assert!(inbox.pop().await.is_some());
        assert!(inbox.pop().await.is_none());
    }

    #[tokio::test]
    async fn a_waiting_reader_is_woken() {
        let inbox = std::sync::Arc::new(Inbox::new(&BOUNDS));
        let reader = tokio::spawn({
            let inbox = inbox.clone();
            async move { (inbox.pop().await.is_some(), inbox.pop().await.is_some()) }
        });
        tokio::task::yield_now().await;
        inbox.push(event(1)).unwrap();
        tokio::task::yield_now().await;
        inbox.discard();
        assert_eq!(reader.await.unwrap(), (true, false));
    }
}
