//! Counts what is relayed, and bounds it.

use std::num::NonZeroU32;
use std::sync::LazyLock;
use std::time::Duration;

use governor::clock::Clock as _;
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

/// Counts an allocation that gave way to another of its account.
pub(super) fn gave_way() {
    counter!("klatsch_turn_gave_way_total").increment(1);
}

/// Packets up to this size are never dropped for want of bandwidth: acknowledgements, checks and
/// sound, without which who sends too much would not even learn of it.
const SMALL: u32 = 256;
/// What can be had at once, as a part of a second's bytes: the shorter, the sooner a sender
/// learns that it is too fast, and the less it loses.
const BURST: u32 = 20;
/// The largest packet must fit into what can be had at once.
const LARGEST: u32 = 65_536;

/// How much one allocation may relay, both ways together.
#[derive(Debug)]
pub(super) struct Allowance {
    bytes: DefaultDirectRateLimiter,
    /// For small packets when there is nothing left.
    small: DefaultDirectRateLimiter,
}

impl Allowance {
    /// So many bytes a second.
    pub(super) fn new(bytes: NonZeroU32) -> Self {
        let at_once = |part: u32| {
            let burst = NonZeroU32::new((bytes.get() / part).max(LARGEST)).unwrap_or(bytes);
            RateLimiter::direct(Quota::per_second(bytes).allow_burst(burst))
        };
        Self { bytes: at_once(BURST), small: at_once(1) }
    }

    /// Takes so many bytes, or says how long until there are so many.
    pub(super) fn take(&self, bytes: usize) -> Result<(), Duration> {
        let Some(bytes) = u32::try_from(bytes).ok().and_then(NonZeroU32::new) else {
            return Ok(());
        };
        let Ok(Err(wait)) = self.bytes.check_n(bytes) else { return Ok(()) };
        if bytes.get() <= SMALL && matches!(self.small.check_n(bytes), Ok(Ok(()))) {
            return Ok(());
        }
        Err(wait.wait_time_from(self.bytes.clock().now()))
    }

    /// Waits until there are so many bytes, and takes them.
    pub(super) async fn afford(&self, bytes: usize) {
        while let Err(wait) = self.take(bytes) {
            // The runtime's clock is no finer.
            tokio::time::sleep(wait.max(Duration::from_millis(1))).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sends_too_much_loses_little_at_once_and_no_small_packets() {
        let allowance = Allowance::new(NonZeroU32::new(2_500_000).unwrap());
        // What is had at once, and then the first loss.
        let passed = (0..100_000).take_while(|_| allowance.take(1200).is_ok()).count();
        assert!((104..1000).contains(&passed), "{passed}");
        // Not even a tenth of a second later there is room again.
        let wait = allowance.take(1200).map_or_else(|wait| wait, |()| Duration::ZERO);
        assert!(wait < Duration::from_millis(100), "{wait:?}");
        assert!((0..5000).all(|_| allowance.take(100).is_ok()));
        // What small packets may be is bounded as well.
        let small = (0..1_000_000).filter(|_| allowance.take(SMALL as usize).is_ok()).count();
        assert!(small < 500_000, "{small}");
        // The largest packet passes at the lowest speed.
        assert_eq!(Allowance::new(NonZeroU32::MIN).take(65_535), Ok(()));
    }
}
