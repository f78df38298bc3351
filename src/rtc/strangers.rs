//! How much is answered to addresses that have shown nothing yet.
//!
//! Sources can be forged, so the table has a fixed size: addresses that fall on one slot
//! share it, and what they share is small.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::time::Instant;

use parking_lot::Mutex;

const SLOTS: usize = 8192;
/// Answers at once.
const BURST: f64 = 200.0;
/// Answers a second.
const RATE: f64 = 50.0;

/// Token buckets by address.
#[derive(Debug)]
pub(super) struct Strangers {
    hasher: RandomState,
    begun: Instant,
    slots: Mutex<Vec<Slot>>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    left: f32,
    /// Milliseconds since the table was made.
    at: u64,
}

impl Strangers {
    pub(super) fn new() -> Self {
        let slots = Mutex::new(vec![Slot { left: BURST as f32, at: 0 }; SLOTS]);
        Self { hasher: RandomState::new(), begun: Instant::now(), slots }
    }

    /// Whether an address is answered once more. An IPv6 host has a whole /64.
    pub(super) fn may_be_answered(&self, client: IpAddr) -> bool {
        let now = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.take(client, now)
    }

    fn take(&self, client: IpAddr, now: u64) -> bool {
        let hash = match client {
            IpAddr::V4(ip) => self.hasher.hash_one(ip.octets()),
            IpAddr::V6(ip) => self.hasher.hash_one(&ip.octets()[..8]),
        };
        let mut slots = self.slots.lock();
        let slot = &mut slots[hash as usize % SLOTS];
        let gained = now.saturating_sub(slot.at) as f64 * RATE / 1000.0;
        let left = (f64::from(slot.left) + gained).min(BURST);
        slot.at = now;
        let allowed = left >= 1.0;
        slot.left = (if allowed { left - 1.0 } else { left }) as f32;
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_too_often_waits_and_others_do_not() {
        let strangers = Strangers::new();
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        let answered = |now| (0..1000).filter(|_| strangers.take(one, now)).count();
        assert_eq!(answered(0), 200);
        assert_eq!(answered(1000), 50);
        let mut others = (0..100_u8).map(|n| IpAddr::from([10, 0, 0, n]));
        assert!(others.by_ref().filter(|other| strangers.take(*other, 1000)).count() > 90);
    }
}
