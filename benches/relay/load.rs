//! Pairs of clients that send datagrams to one another.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::client::{Client, Transport, frame};

/// Bytes of each datagram.
const BYTES: u16 = 1000;
/// After what silence a pair believes that all of its datagrams are lost.
const SILENCE: Duration = Duration::from_millis(250);

/// When clients send.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// At each datagram that they hear, so that so many of a pair are under way.
    Answers(usize),
    /// So often.
    Every(Duration),
}

/// What the clients have sent and heard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counted {
    pub(crate) sent: u64,
    pub(crate) heard: u64,
}

#[derive(Debug, Default)]
struct Counters {
    sent: AtomicU64,
    heard: AtomicU64,
}

/// Clients that send until they are dropped.
pub(crate) struct Crowd {
    counters: Arc<Counters>,
    _clients: JoinSet<()>,
}

impl Crowd {
    pub(crate) async fn gather(
        server: SocketAddr,
        transport: Transport,
        pace: Pace,
        pairs: usize,
    ) -> Self {
        let counters = Arc::new(Counters::default());
        let mut clients = JoinSet::new();
        for _ in 0..pairs {
            let mut one = Client::open(server, transport).await;
            let mut other = Client::open(server, transport).await;
            one.bind(other.relayed).await;
            other.bind(one.relayed).await;
            for (client, begins) in [(one, true), (other, false)] {
                let counters = Arc::clone(&counters);
                clients.spawn(async move {
                    match pace {
                        Pace::Answers(ahead) => {
                            answer(client, counters, if begins { ahead } else { 0 }).await;
                        }
                        Pace::Every(period) => send_every(client, counters, period).await,
                    }
                });
            }
        }
        Self { counters, _clients: clients }
    }

    pub(crate) fn counted(&self) -> Counted {
        Counted {
            sent: self.counters.sent.load(Ordering::Relaxed),
            heard: self.counters.heard.load(Ordering::Relaxed),
        }
    }
}

async fn answer(mut client: Client, counters: Arc<Counters>, ahead: usize) {
    let datagram = frame(BYTES);
    let mut heard = [0; 2048];
    let mut due = ahead;
    loop {
        for _ in 0..due {
            client.wire.send(&datagram).await;
            counters.sent.fetch_add(1, Ordering::Relaxed);
        }
        due = match timeout(SILENCE, client.wire.receive(&mut heard)).await {
            Ok(_) => {
                counters.heard.fetch_add(1, Ordering::Relaxed);
                1
            }
            Err(_) => ahead,
        };
    }
}

async fn send_every(mut client: Client, counters: Arc<Counters>, period: Duration) {
    let datagram = frame(BYTES);
    let mut heard = [0; 2048];
    let mut pace = interval(period);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = pace.tick() => {
                client.wire.send(&datagram).await;
                counters.sent.fetch_add(1, Ordering::Relaxed);
            }
            _ = client.wire.receive(&mut heard) => {
                counters.heard.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
