//! The use cases, the same for every dialect and for HTTP.
//!
//! A use case is always the same few lines: collect the standing, ask `policy` for a
//! permit, let `store` write, answer.

use std::net::IpAddr;

use crate::domain::{LoginId, Principal};
use crate::hub::ConnectionId;

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
