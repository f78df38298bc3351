//! How fast somebody may bring people together: in groups that they make, and by invitations.
//!
//! Whoever is asked for something by a stranger is told at once, so that none may ask for ever.

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::Services;
use crate::domain::{Principal, Refusal, RefusalKind};
use crate::settings::LimitSettings;

/// Of how many accounts it is remembered how fast they were, before it is tidied up.
const REMEMBERED: usize = 10_000;

/// Who made groups and invitations lately.
pub(super) struct Pace {
    groups: DefaultKeyedRateLimiter<Principal>,
    invitations: DefaultKeyedRateLimiter<Principal>,
}

impl Pace {
    pub(super) fn new(limits: &LimitSettings) -> Self {
        let quota = Quota::per_minute(limits.groups_per_minute);
        // Who gathers the people of one group may ask them all at once.
        let at_once = limits.group_members.try_into().unwrap_or(limits.groups_per_minute);
        let at_once = at_once.max(limits.groups_per_minute);
        Self {
            groups: RateLimiter::keyed(quota),
            invitations: RateLimiter::keyed(quota.allow_burst(at_once)),
        }
    }
}

impl Services {
    /// One more group is made.
    pub(super) fn pace_groups(&self, by: Principal) -> Result<(), Refusal> {
        let text = "you are making groups too fast (limits.groups_per_minute)";
        slow_down(&self.pace.groups, by, text)
    }

    /// One more person is asked in.
    pub(super) fn pace_invitations(&self, by: Principal) -> Result<(), Refusal> {
        let text = "you are inviting people too fast (limits.groups_per_minute)";
        slow_down(&self.pace.invitations, by, text)
    }
}

fn slow_down(
    pace: &DefaultKeyedRateLimiter<Principal>,
    by: Principal,
    text: &'static str,
) -> Result<(), Refusal> {
    if pace.len() > REMEMBERED {
        pace.retain_recent();
    }
    pace.check_key(&by).map_err(|early| {
        let wait = early.wait_time_from(DefaultClock::default().now());
        Refusal::new(RefusalKind::TooOften { retry_after: wait.as_secs() + 1 }, text)
    })
}
