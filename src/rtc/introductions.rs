//! Where STUN and TURN servers are, and passwords that expire.

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use crate::domain::{IceServer, Principal, Timestamp};

/// What clients are told about STUN and TURN.
#[derive(Clone)]
pub struct Introductions {
    /// The configured STUN servers; none for this server itself.
    pub stun: Vec<IceServer>,
    /// The configured TURN servers; none for this server itself.
    pub turn: Vec<IceServer>,
    /// The name or address of this server, if the operator has said it.
    pub host: Option<String>,
    /// The port of the STUN and TURN server of this host.
    pub port: u16,
    /// The secret that the TURN server knows as well.
    pub secret: String,
    /// For how many seconds a password opens new allocations.
    pub lifetime: i64,
}

impl std::fmt::Debug for Introductions {
    /// Keeps the secret out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Introductions").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Introductions {
    /// A user name `<expiry>:u<user id>` or `<expiry>:d<device id>` and the password that
    /// goes with it: base64 of the HMAC-SHA1 of the name, the usual shared-secret scheme.
    pub fn credentials(&self, principal: Principal, now: Timestamp) -> (String, String) {
        let expiry = now.secs() + self.lifetime;
        let username = match principal {
            Principal::User(id) => format!("{expiry}:u{id}"),
            Principal::Device(id) => format!("{expiry}:d{id}"),
        };
        let mut mac = Hmac::<Sha1>::new_from_slice(self.secret.as_bytes())
            .expect("HMAC takes keys of every length");
        mac.update(username.as_bytes());
        let password = BASE64.encode(&mac.finalize().into_bytes());
        (username, password)
    }

    /// The STUN servers; `asked` is what the client itself called us.
    pub fn stun_servers(&self, asked: Option<&str>) -> Vec<IceServer> {
        self.or_this(&self.stun, asked)
    }

    /// The TURN servers; `asked` is what the client itself called us.
    pub fn turn_servers(&self, asked: Option<&str>) -> Vec<IceServer> {
        self.or_this(&self.turn, asked)
    }

    fn or_this(&self, configured: &[IceServer], asked: Option<&str>) -> Vec<IceServer> {
        if !configured.is_empty() {
            return configured.to_vec();
        }
        let host = self.host.as_deref().or(asked).map_or("localhost", without_port);
        let is_address = host.parse::<std::net::IpAddr>().is_ok();
        let (domain, ip) = if is_address { ("", host) } else { (host, "") };
        vec![IceServer { domain: domain.to_owned(), ip: ip.to_owned(), port: self.port }]
    }
}

/// The host of a `Host` header: without port, and an IPv6 address without its brackets.
fn without_port(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    match host.split_once(':') {
        Some((name, port)) if !port.contains(':') => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{DeviceId, UserId};

    fn introductions() -> Introductions {
        Introductions {
            stun: Vec::new(),
            turn: Vec::new(),
            host: None,
            port: 3478,
            secret: "north".to_owned(),
            lifetime: 86_400,
        }
    }

    #[test]
    fn passwords_are_those_of_the_shared_secret_scheme() {
        let now = Timestamp::from_secs(1_539_248_580);
        let user = introductions().credentials(Principal::User(UserId::new(4)), now);
        // As `openssl dgst -sha1 -hmac north -binary | base64` has it.
        assert_eq!(user.0, "1539334980:u4");
        assert_eq!(user.1, "oxR1ODqMWW6upJoH82Y0ew/O1II=");
        let device = introductions().credentials(Principal::Device(DeviceId::new(4)), now);
        assert_eq!(device.0, "1539334980:d4");
        assert_ne!(device.1, user.1);
    }

    #[test]
    fn without_configuration_the_server_names_itself_as_the_client_did() {
        let table = [
            (None, None, "localhost", ""),
            (None, Some("chat.example.org:8000"), "chat.example.org", ""),
            (None, Some("127.0.0.1:8000"), "", "127.0.0.1"),
            (None, Some("[::1]:8000"), "", "::1"),
            (Some("turn.example.org"), Some("127.0.0.1:8000"), "turn.example.org", ""),
            (Some("192.0.2.1"), None, "", "192.0.2.1"),
        ];
        for (host, asked, domain, ip) in table {
            let ours = Introductions { host: host.map(str::to_owned), ..introductions() };
            let server = IceServer { domain: domain.into(), ip: ip.into(), port: 3478 };
            assert_eq!(ours.stun_servers(asked), [server], "{host:?} {asked:?}");
        }
    }
}
