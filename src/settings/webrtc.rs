//! Calls: what clients are told about STUN and TURN, and the server's own.

use std::num::{NonZeroU16, NonZeroU32, NonZeroUsize};

use serde::de::{Deserializer, Error as _, Unexpected};
use serde::{Deserialize, Serialize};

use super::values::{Listen, Seconds, Secret};

/// What clients are told about STUN and TURN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebrtcSettings {
    /// Socket.IO channels on which a forwarded signal arrives, in this order.
    pub forward_channels: Vec<ForwardChannel>,
    /// STUN servers; empty = this server.
    pub stun: Vec<IceServer>,
    /// TURN servers; empty = this server.
    pub turn: Vec<IceServer>,
    /// Seconds for which a TURN password opens new allocations.
    pub credential_lifetime: Seconds,
}

impl Default for WebrtcSettings {
    fn default() -> Self {
        Self {
            forward_channels: vec![ForwardChannel::WebrtcConfig, ForwardChannel::WebrtcForward],
            stun: Vec::new(),
            turn: Vec::new(),
            credential_lifetime: Seconds::new(86_400),
        }
    }
}

/// A Socket.IO channel on which a forwarded signal arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ForwardChannel {
    /// As the user's document says.
    WebrtcConfig,
    /// As known clients listen.
    WebrtcForward,
}

impl ForwardChannel {
    /// The channel's name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::WebrtcConfig => "webrtc_config",
            Self::WebrtcForward => "webrtc_forward",
        }
    }
}

/// Where a STUN or TURN server stands; in the environment written `host:port`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IceServer {
    /// Its name, or empty.
    pub domain: String,
    /// Its address, or empty.
    pub ip: String,
    /// Its port.
    pub port: NonZeroU16,
}

impl IceServer {
    /// Puts a host where it belongs: an address into `ip`, anything else into `domain`.
    pub fn at(host: &str, port: NonZeroU16) -> Self {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        match bare.parse::<std::net::IpAddr>() {
            Ok(ip) => Self { domain: String::new(), ip: ip.to_string(), port },
            Err(_) => Self { domain: host.to_owned(), ip: String::new(), port },
        }
    }
}

impl<'de> Deserialize<'de> for IceServer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            #[serde(default)]
            domain: String,
            #[serde(default)]
            ip: String,
            port: NonZeroU16,
        }

        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Text(String),
            Table(Table),
        }

        const ALLOWED: &str =
            "a list of servers such as { domain = \"turn.example.org\", ip = \"\", port = 3478 }";
        match Form::deserialize(deserializer) {
            Ok(Form::Table(Table { domain, ip, port }))
                if !(domain.is_empty() && ip.is_empty()) =>
            {
                Ok(Self { domain, ip, port })
            }
            Ok(Form::Text(text)) => text
                .rsplit_once(':')
                .filter(|(host, _)| !host.is_empty())
                .and_then(|(host, port)| Some(Self::at(host, port.parse().ok()?)))
                .ok_or_else(|| D::Error::invalid_value(Unexpected::Str(&text), &ALLOWED)),
            _ => Err(D::Error::invalid_value(Unexpected::Other("something else"), &ALLOWED)),
        }
    }
}

/// The embedded STUN and TURN server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TurnSettings {
    /// Address and port, UDP and TCP; empty = off.
    pub listen: Listen,
    /// Makes TURN passwords; empty = generated once into the data folder.
    pub secret: Secret,
    /// Name or address that clients are told; empty = taken from `public_url`, else from their request.
    pub public_host: String,
    /// Where relayed datagrams go.
    pub relay: RelayMode,
    /// With `relay = "udp"`: the address that sockets are bound to; empty = that of `listen`.
    pub relay_bind: String,
    /// With `relay = "udp"`: the address of this machine that clients are told; empty = `relay_bind`.
    pub relay_address: String,
    /// With `relay = "udp"`: the first and the last port of relays.
    pub relay_ports: [NonZeroU16; 2],
    /// Allocations one account may hold.
    pub allocations_per_account: NonZeroUsize,
    /// Allocations of all accounts.
    pub allocations: NonZeroUsize,
    /// Bytes a second that one allocation relays, both ways together.
    pub bytes_per_second: NonZeroU32,
    /// Whether clients reach the relay over the main listener's port as well, by TCP.
    pub over_http_port: bool,
}

impl Default for TurnSettings {
    fn default() -> Self {
        Self {
            listen: Listen::everywhere(3478),
            secret: Secret::default(),
            public_host: String::new(),
            relay: RelayMode::Internal,
            relay_bind: String::new(),
            relay_address: String::new(),
            relay_ports: const { [NonZeroU16::new(49_152).unwrap(), NonZeroU16::new(65_535).unwrap()] },
            allocations_per_account: const { NonZeroUsize::new(256).unwrap() },
            allocations: const { NonZeroUsize::new(10_000).unwrap() },
            bytes_per_second: const { NonZeroU32::new(2_500_000).unwrap() },
            over_http_port: true,
        }
    }
}

/// Ports above 1023 that browsers do not connect to, as other protocols live there.
const REFUSED: &[u16] = &[
    1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669,
    6679, 6697, 10_080,
];

/// Whether browsers leave a STUN or TURN server on this port alone, without a word.
fn is_refused(port: u16) -> bool {
    (port < 1024 && !matches!(port, 0 | 80 | 443)) || REFUSED.contains(&port)
}

/// What an operator should know about ports that clients are told, one sentence each.
pub(super) fn warn_of_ports(turn: &TurnSettings, webrtc: &WebrtcSettings) -> Vec<String> {
    let own = turn.listen.address().map(|address| ("turn.listen", address.port()));
    let own = own.filter(|_| turn.relay != RelayMode::External);
    let told = |key, servers: &[IceServer]| {
        servers.iter().map(|server| (key, server.port.get())).collect::<Vec<_>>()
    };
    let stun = told("webrtc.stun", &webrtc.stun);
    let named = own.into_iter().chain(stun).chain(told("webrtc.turn", &webrtc.turn));
    named
        .filter(|(_, port)| is_refused(*port))
        .map(|(key, port)| {
            format!(
                "{key} has port {port}, to which browsers do not connect: \
                 take 3478, 80, 443 or another above 1023"
            )
        })
        .collect()
}

/// Where relayed datagrams go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelayMode {
    /// From one allocation to another, inside this process.
    Internal,
    /// Through sockets of their own.
    Udp,
    /// Through another server that knows the same secret.
    External,
    /// Nowhere: STUN alone.
    Off,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_that_browsers_refuse_are_warned_of() {
        let warned = |port: u16| {
            let listen = serde_json::from_value(format!("0.0.0.0:{port}").into()).unwrap();
            let turn = TurnSettings { listen, ..TurnSettings::default() };
            warn_of_ports(&turn, &WebrtcSettings::default()).len()
        };
        for port in [1, 53, 79, 81, 444, 1023, 1720, 5060, 5061, 6000, 6667, 10_080] {
            assert_eq!(warned(port), 1, "{port}");
        }
        for port in [0, 80, 443, 1024, 3478, 5349, 5062, 8443, 65_535] {
            assert_eq!(warned(port), 0, "{port}");
        }
        let told = [IceServer::at("stun.example.org", NonZeroU16::new(53).unwrap())];
        let webrtc = WebrtcSettings { stun: told.to_vec(), ..WebrtcSettings::default() };
        let warnings = warn_of_ports(&TurnSettings::default(), &webrtc);
        assert!(warnings[0].starts_with("webrtc.stun has port 53"), "{warnings:?}");
    }
}
