//! How fast somebody may ask over HTTP, and bring people together: in groups that they make,
//! and by invitations.
//!
//! Whoever is asked for something by a stranger is told at once, so that none may ask for ever.

use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::{Caller, Services};
use crate::auth::Network;
use crate::domain::{Credentials, Principal, Refusal, RefusalKind};
use crate::settings::LimitSettings;

/// Of how many accounts it is remembered how fast they were, before it is tidied up.
const REMEMBERED: usize = 10_000;

/// How many accounts may stand behind one address, as far as those go who name none.
const STRANGERS: NonZeroU32 = NonZeroU32::new(10).unwrap();

/// Who asked for something, made groups and invitations lately.
pub(super) struct Pace {
    groups: DefaultKeyedRateLimiter<Principal>,
    invitations: DefaultKeyedRateLimiter<Principal>,
    requests: DefaultKeyedRateLimiter<Principal>,
    strangers: DefaultKeyedRateLimiter<Network>,
}

impl Pace {
    pub(super) fn new(limits: &LimitSettings) -> Self {
        let quota = Quota::per_minute(limits.groups_per_minute);
        // Who gathers the people of one group may ask them all at once.
        let at_once = limits.group_members.try_into().unwrap_or(limits.groups_per_minute);
        let at_once = at_once.max(limits.groups_per_minute);
        let (requests, burst) = (limits.requests_per_second, limits.request_burst());
        let strangers = Quota::per_second(requests.saturating_mul(STRANGERS));
        Self {
            requests: RateLimiter::keyed(Quota::per_second(requests).allow_burst(burst)),
            strangers: RateLimiter::keyed(strangers.allow_burst(burst.saturating_mul(STRANGERS))),
            groups: RateLimiter::keyed(quota),
            invitations: RateLimiter::keyed(quota.allow_burst(at_once)),
        }
    }
}

impl Services {
    /// Finds out who asks over HTTP, and whether it may ask so often. Who shows nothing good
    /// counts as a stranger.
    pub async fn identify_request(
        &self,
        credentials: &Credentials,
        address: IpAddr,
    ) -> Result<Caller, Refusal> {
        match self.identify(credentials, address).await {
            Ok(caller) => {
                slow_down(&self.pace.requests, &caller.principal, ASKING)?;
                Ok(caller)
            }
            Err(refusal) => {
                self.pace_stranger(address)?;
                Err(refusal)
            }
        }
    }

    /// Somebody asks over HTTP who does not say who it is.
    pub fn pace_stranger(&self, address: IpAddr) -> Result<(), Refusal> {
        slow_down(&self.pace.strangers, &Network::of(address), ASKING)
    }

    /// One more group is made.
    pub(super) fn pace_groups(&self, by: Principal) -> Result<(), Refusal> {
        let text = "you are making groups too fast (limits.groups_per_minute)";
        slow_down(&self.pace.groups, &by, text)
    }

    /// One more person is asked in.
    pub(super) fn pace_invitations(&self, by: Principal) -> Result<(), Refusal> {
        let text = "you are inviting people too fast (limits.groups_per_minute)";
        slow_down(&self.pace.invitations, &by, text)
    }
}

const ASKING: &str = "you are asking too fast (limits.requests_per_second)";

fn slow_down<K: Clone + Eq + Hash>(
    pace: &DefaultKeyedRateLimiter<K>,
    by: &K,
    text: &'static str,
) -> Result<(), Refusal> {
    if pace.len() > REMEMBERED {
        pace.retain_recent();
    }
    pace.check_key(by).map_err(|early| {
        let wait = early.wait_time_from(DefaultClock::default().now());
        Refusal::new(RefusalKind::TooOften { retry_after: wait.as_secs() + 1 }, text)
    })
}
