//! How many commands a second one connection may have carried out.

use std::num::NonZeroU32;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// Carries out at most so many commands a second; who sends faster is served more slowly,
/// and nothing is refused or dropped.
#[derive(Debug)]
pub struct Pace {
    bucket: DefaultDirectRateLimiter,
}

impl Pace {
    /// `per_second` on average, `burst` at once.
    pub fn new(per_second: NonZeroU32, burst: NonZeroU32) -> Self {
        Self { bucket: RateLimiter::direct(Quota::per_second(per_second).allow_burst(burst)) }
    }

    /// Waits until the next command is due.
    pub async fn wait(&self) {
        self.bucket.until_ready().await;
    }
}
