//! Counts what is relayed, and bounds it.

use std::num::NonZeroU32;
use std::sync::LazyLock;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use metrics::{Counter, counter};

/// Where a relayed datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    ToPeer,
    ToClient,
}

/// Counters of datagrams and bytes; looked up at the first datagram and not at each.
static COUNTERS: LazyLock<[(Counter, Counter); 2]> = LazyLock::new(|| {
    ["to_peer", "to_client"].map(|direction| {
        let packets = counter!("klatsch_turn_relayed_packets_total", "direction" => direction);
        let bytes = counter!("klatsch_turn_relayed_bytes_total", "direction" => direction);
        (packets, bytes)
    })
});

/// Counts a relayed datagram.
pub(super) fn count(direction: Direction, bytes: usize) {
    let (packets, sum) = &COUNTERS[direction as usize];
    packets.increment(1);
    sum.increment(bytes as u64);
}

/// Counts a datagram that went nowhere.
pub(super) fn drop(reason: &'static str) {
    counter!("klatsch_turn_dropped_total", "reason" => reason).increment(1);
}

/// Counts a refused request.
pub(super) fn refused(code: u16) {
    counter!("klatsch_turn_refused_total", "code" => code.to_string()).increment(1);
}

/// How much one allocation may relay, both ways together.
#[derive(Debug)]
pub(super) struct Allowance(DefaultDirectRateLimiter);

impl Allowance {
    /// So many bytes a second, and as many at once.
    pub(super) fn new(bytes: NonZeroU32) -> Self {
        Self(RateLimiter::direct(Quota::per_second(bytes)))
    }

    /// Whether so many bytes may pass now.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let Some(bytes) = u32::try_from(bytes).ok().and_then(NonZeroU32::new) else { return true };
        matches!(self.0.check_n(bytes), Ok(Ok(())))
    }
}
