//! The use cases, the same for every dialect and for HTTP.
//!
//! A use case is always the same few lines: collect the standing, ask `policy` for a
//! permit, let `store` write, answer.

mod calls;
mod presence;

use std::net::IpAddr;
use std::sync::Arc;

use crate::auth::Auth;
use crate::clock::Clock;
use crate::domain::{Credentials, LoginId, Principal, Refusal};
use crate::hub::ConnectionId;
use crate::rtc::Introductions;
use crate::settings::{AuthSettings, LimitSettings, NeoSettings};
use crate::store::Store;

pub use presence::PresenceTeller;

/// Who asks, and over what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who it is.
    pub principal: Principal,
    /// By which login it is known.
    pub login: LoginId,
    /// The live connection it asks over; none for HTTP.
    pub connection: Option<ConnectionId>,
    /// Where it asks from.
    pub address: IpAddr,
}

/// The use cases. Cheap to clone.
#[derive(Clone)]
pub struct Services {
    parts: Arc<Parts>,
}

/// What the use cases rest on.
pub struct Parts {
    /// Everything that is kept, and where what happens is told.
    pub store: Store,
    /// Where calls find STUN and TURN.
    pub rtc: Introductions,
    /// Tells who comes online and goes.
    pub presence: PresenceTeller,
    /// Proofs of who one is.
    pub auth: Auth,
    /// The present moment.
    pub clock: Clock,
    /// What operators set about accounts.
    pub accounts: AuthSettings,
    /// How much one may claim.
    pub limits: LimitSettings,
    /// What operators set about the NEO interface.
    pub neo: NeoSettings,
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Services").finish_non_exhaustive()
    }
}

impl Services {
    /// Brings together what the use cases rest on.
    pub fn new(parts: Parts) -> Self {
        Self { parts: Arc::new(parts) }
    }

    /// Everything that is kept.
    pub(crate) fn store(&self) -> &Store {
        &self.parts.store
    }

    /// Where calls find STUN and TURN.
    fn rtc(&self) -> &Introductions {
        &self.parts.rtc
    }

    fn presence(&self) -> &PresenceTeller {
        &self.parts.presence
    }

    fn clock(&self) -> &Clock {
        &self.parts.clock
    }

    fn limits(&self) -> &LimitSettings {
        &self.parts.limits
    }

    /// Finds out who somebody is.
    pub async fn identify(
        &self,
        credentials: &Credentials,
        address: IpAddr,
    ) -> Result<Caller, Refusal> {
        let Credentials::Token(token) = credentials;
        let proof = self.parts.auth.tokens.read(token).map_err(|_| Refusal::unidentified())?;
        Ok(Caller { principal: proof.principal, login: proof.login, connection: None, address })
    }

    /// Refuses who is not an administrator of the server.
    pub async fn require_administrator(&self, caller: &Caller) -> Result<(), Refusal> {
        tracing::debug!(principal = ?caller.principal, "not an administrator");
        Err(Refusal::forbidden("only administrators may do this"))
    }

    /// Names of what does not answer.
    pub async fn missing(&self) -> Vec<&'static str> {
        vec![]
    }
}
