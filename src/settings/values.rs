//! Kinds of values that settings have in common.
//!
//! Each says in its error what is allowed; `problem` makes a sentence of it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use ipnet::IpNet;
use serde::de::{Deserializer, Error as _, Unexpected};
use serde::{Deserialize, Serialize, Serializer};

use super::origins::canonical;

/// A stretch of time in whole seconds, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seconds(NonZeroU32);

impl Seconds {
    /// So many seconds; none at all becomes one.
    pub const fn new(seconds: u32) -> Self {
        match NonZeroU32::new(seconds) {
            Some(seconds) => Self(seconds),
            None => Self(NonZeroU32::MIN),
        }
    }

    /// As the standard library counts.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0.get() as u64)
    }

    /// As `Timestamp::plus_secs` counts.
    pub const fn get(self) -> i64 {
        self.0.get() as i64
    }
}

/// Text that is used and never shown.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps what must not be shown.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for use only.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it is unset.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "unset" } else { "[secret]" })
    }
}

impl Serialize for Secret {
    /// Only the shape of the settings is ever serialized, so nothing of it is given away.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("")
    }
}

/// An address to listen on, or nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listen(Option<SocketAddr>);

impl Listen {
    /// On all IPv4 addresses of this machine.
    pub const fn everywhere(port: u16) -> Self {
        Self(Some(SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), port)))
    }

    /// The address, if it listens at all.
    pub const fn address(self) -> Option<SocketAddr> {
        self.0
    }
}

impl Serialize for Listen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.map(|address| address.to_string()).unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(Self(None));
        }
        let allowed = "an address and a port such as 127.0.0.1:8000, or empty for none";
        socket_address(&text)
            .map(|address| Self(Some(address)))
            .ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&text), &allowed))
    }
}

/// Reads `address:port`, where the address may be `localhost`.
fn socket_address(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix("localhost:") {
        Some(port) => Some(SocketAddr::from(([127, 0, 0, 1], port.parse().ok()?))),
        None => text.parse().ok(),
    }
}

/// Ranges of addresses; a bare address is a range of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Whether none is given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an address lies in one of them; an IPv4 address written as IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl Serialize for Networks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(ToString::to_string))
    }
}

impl<'de> Deserialize<'de> for Networks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        let read = |text: &String| {
            let allowed = "a list of addresses or ranges such as 10.0.0.0/8";
            network(text).ok_or_else(|| D::Error::invalid_value(Unexpected::Str(text), &allowed))
        };
        Ok(Self(texts.iter().map(read).collect::<Result<_, _>>()?))
    }
}

/// Reads a range of addresses, or one; an IPv4 range written as IPv6 is one of IPv4.
fn network(text: &str) -> Option<IpNet> {
    let read = text.parse().ok().or_else(|| Some(IpNet::from(text.parse::<IpAddr>().ok()?)))?;
    let IpNet::V6(written) = read else { return Some(read) };
    match (written.network().to_ipv4_mapped(), written.prefix_len().checked_sub(96)) {
        (Some(address), Some(prefix)) => IpNet::new(IpAddr::V4(address), prefix).ok(),
        _ => Some(read),
    }
}

/// Scheme, host and perhaps port and path of a web address, without a slash at its end; empty if unset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct WebAddress(String);

impl WebAddress {
    /// The address, or an empty text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is unset.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether what is there is reached by TLS.
    pub fn is_secure(&self) -> bool {
        self.0.starts_with("https://") || self.0.starts_with("wss://")
    }

    /// The origin of its pages, as browsers write it.
    pub fn origin(&self) -> Option<String> {
        let (scheme, rest) = self.0.split_once("://")?;
        canonical(&format!("{scheme}://{}", rest.split('/').next()?))
    }

    /// The same place by WebSocket.
    pub fn by_websocket(&self) -> String {
        match self.0.strip_prefix("http") {
            Some(rest) => format!("ws{rest}"),
            None => self.0.clone(),
        }
    }

    /// The host alone, an IPv6 one in its brackets.
    pub fn host(&self) -> Option<&str> {
        self.host_and_port().map(|(host, _)| host).filter(|host| !host.is_empty())
    }

    /// The port, which is that of its scheme where none is named.
    pub fn port(&self) -> Option<u16> {
        let (_, port) = self.host_and_port()?;
        let usual = if self.is_secure() { 443 } else { 80 };
        Some(port.strip_prefix(':').and_then(|port| port.parse().ok()).unwrap_or(usual))
    }

    fn host_and_port(&self) -> Option<(&str, &str)> {
        let (_, rest) = self.0.split_once("://")?;
        let authority = rest.split('/').next()?;
        let end = match authority.find(']') {
            Some(bracket) => bracket + 1,
            None => authority.find(':').unwrap_or(authority.len()),
        };
        Some(authority.split_at(end))
    }
}

impl<'de> Deserialize<'de> for WebAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let address = Self(text.trim_end_matches('/').to_owned());
        let scheme = ["http://", "https://", "ws://", "wss://"];
        let fits = scheme.iter().any(|scheme| text.starts_with(scheme)) && address.host().is_some();
        if fits || text.is_empty() {
            return Ok(address);
        }
        let allowed = "a web address such as https://chat.example.org, or empty";
        Err(D::Error::invalid_value(Unexpected::Str(&text), &allowed))
    }
}
