//! How many commands a second one connection may have carried out.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// Light frames of one connection that are taken in a second.
const LIGHT: NonZeroU32 = NonZeroU32::new(200).unwrap();
/// Frames that are refused in a row before their sender is let go.
const FLOOD: u32 = 200;

/// How a frame counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charge {
    /// Like any command.
    Command,
    /// A page sends such frames on its own, with every key or message: they are never
    /// refused, and read more slowly.
    Light,
}

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// It is carried out.
    Go,
    /// It came too soon.
    TooSoon(Duration),
    /// So many have come too soon that the connection ends.
    Flood,
}

type Bucket = DefaultDirectRateLimiter;

/// Carries out at most so many commands a second. Who sends faster is served more slowly, or
/// refused, as the dialect has it.
#[derive(Debug)]
pub struct Pace {
    bucket: Bucket,
    refusing: Option<Refusing>,
}

#[derive(Debug)]
struct Refusing {
    light: Bucket,
    /// Frames refused since the last one that was not.
    refused: u32,
}

impl Pace {
    /// Nothing is refused or dropped: `per_second` on average, `burst` at once.
    pub fn new(per_second: NonZeroU32, burst: NonZeroU32) -> Self {
        Self { bucket: bucket(per_second, burst), refusing: None }
    }

    /// What comes too soon is refused.
    pub fn refusing(per_second: NonZeroU32, burst: NonZeroU32) -> Self {
        let refusing = Refusing { light: bucket(LIGHT, LIGHT), refused: 0 };
        Self { bucket: bucket(per_second, burst), refusing: Some(refusing) }
    }

    /// What becomes of a frame that counts so; waits if that is what becomes of it.
    pub(super) async fn take(&mut self, charge: Charge) -> Pass {
        let Some(refusing) = &mut self.refusing else {
            self.bucket.until_ready().await;
            return Pass::Go;
        };
        if charge == Charge::Light {
            refusing.light.until_ready().await;
            return Pass::Go;
        }
        match self.bucket.check() {
            Ok(()) => {
                refusing.refused = 0;
                Pass::Go
            }
            Err(early) => {
                refusing.refused += 1;
                if refusing.refused >= FLOOD {
                    return Pass::Flood;
                }
                Pass::TooSoon(early.wait_time_from(DefaultClock::default().now()))
            }
        }
    }
}

fn bucket(per_second: NonZeroU32, burst: NonZeroU32) -> Bucket {
    RateLimiter::direct(Quota::per_second(per_second).allow_burst(burst))
}
