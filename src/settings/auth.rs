//! Tokens, passwords, registration.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use super::values::{Seconds, Secret};

/// Tokens, passwords, registration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthSettings {
    /// Signs tokens; empty = generated once into the data folder.
    pub token_secret: Secret,
    /// Seconds a user's token or browser login is valid.
    pub token_lifetime: Seconds,
    /// Seconds a device's token is valid.
    pub device_token_lifetime: Seconds,
    /// Characters a new password has at least.
    pub min_password_length: NonZeroUsize,
    /// Whether people may make accounts by themselves.
    pub registration: bool,
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            token_secret: Secret::default(),
            token_lifetime: Seconds::new(86_400),
            device_token_lifetime: Seconds::new(2_592_000),
            min_password_length: const { NonZeroUsize::new(3).unwrap() },
            registration: true,
        }
    }
}
