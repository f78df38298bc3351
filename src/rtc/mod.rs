//! Calls: what parties need to find each other, and a relay where they cannot.
//!
//! The TURN library is driven datagram by datagram and never runs a server of its own: that
//! one remembers every stranger for ever, has no quota and ends calls with their credentials.

mod answers;
mod credentials;
mod datagrams;
mod exchange;
mod front;
mod introductions;
mod ledger;
mod limits;
mod line;
mod messages;
mod nonce;
mod probe;
mod reach;
mod requests;
mod reservations;
mod seat;
mod server;
mod sockets;
mod strangers;
mod streams;
mod tcp;
#[cfg(test)]
mod tests;
mod traffic;
mod udp;
mod upkeep;
mod wishes;

pub use credentials::RelayCredentials;
pub use introductions::{Introductions, SecureWay};
pub use limits::{RelayAccounts, RelayLimits, RelayUnavailable, RelayWay};
pub use probe::{ProbeError, ProbeWay, find_reflexive, find_relay, try_relay};
pub use server::{RelayServer, StreamAdmission};
pub use streams::RelayStreams;
pub use tcp::Writing;

/// The answer to what the library's sockets can and it never asks of ours.
fn unsupported() -> webrtc_util::Error {
    std::io::Error::from(std::io::ErrorKind::Unsupported).into()
}
