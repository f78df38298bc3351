//! What the relay is told by those who run it: where datagrams go, how much, and for whom.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;

use futures_util::future::BoxFuture;

use crate::domain::{Principal, Timestamp};

/// What the relay has to know of accounts.
pub trait RelayAccounts: Send + Sync + 'static {
    /// Since when credentials count, of those among these accounts that may be relayed at
    /// all; an error if that cannot be found out now.
    fn relayed_since(
        &self,
        principals: Vec<Principal>,
    ) -> BoxFuture<'_, Result<HashMap<Principal, Timestamp>, RelayUnavailable>>;

    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// It cannot be found out now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("accounts cannot be looked up now")]
pub struct RelayUnavailable;

/// Where relayed datagrams go.
#[derive(Clone, Debug)]
pub enum RelayWay {
    /// From one allocation to another, inside the process.
    Internal,
    /// Through sockets of their own.
    Sockets {
        /// Where they are bound.
        bind: IpAddr,
        /// What clients are told instead.
        advertise: Option<IpAddr>,
        /// Their ports.
        ports: RangeInclusive<u16>,
    },
    /// Nowhere: STUN alone.
    Nowhere,
}

/// How much may be relayed.
#[derive(Clone, Debug)]
pub struct RelayLimits {
    /// Allocations of one account.
    pub per_account: usize,
    /// Allocations of all.
    pub total: usize,
    /// Addresses that one allocation talks to.
    pub peers: usize,
    /// Bytes a second of one allocation, both ways together.
    pub bandwidth: NonZeroU32,
}
