//! Signals between the parties of a call, which the server forwards without looking inside.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::{DeviceId, Principal, UserId};

/// Whom a signal is for, in the caller's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A user by e-mail address.
    Email(String),
    /// A user.
    User(UserId),
    /// A device.
    Device(DeviceId),
}

/// An opaque note between two parties of a call.
#[derive(Clone, Debug)]
pub struct Signal {
    /// Who sent it.
    pub from: Principal,
    /// Exactly what the sender emitted.
    pub content: Arc<RawValue>,
}
