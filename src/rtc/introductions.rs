//! Where STUN and TURN servers are, as clients are told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use super::RelayCredentials;
use crate::domain::{IceServer, IceServers, Principal, Timestamp};

/// What clients are told about STUN and TURN.
#[derive(Clone)]
pub struct Introductions {
    /// The configured STUN servers; none for this server itself.
    pub stun: Vec<IceServer>,
    /// The configured TURN servers; none for this server itself.
    pub turn: Vec<IceServer>,
    /// The name or address of this server, if the operator has said it.
    pub host: Option<String>,
    /// The port of the STUN and TURN server of this host, known once it listens.
    pub port: Arc<AtomicU16>,
    /// Where the relay is reached by TLS, if it is.
    pub secure: Option<SecureWay>,
    /// Whether this server listens for clients of STUN.
    pub listens: bool,
    /// Whether anything is relayed.
    pub relays: bool,
    /// Makes the names and passwords that the relay takes.
    pub credentials: RelayCredentials,
}

/// Where this server's relay is reached by TLS.
#[derive(Clone, Debug)]
pub struct SecureWay {
    /// The name that stands in the certificate, if the operator has said it.
    pub host: Option<String>,
    /// The port, known once it listens.
    pub port: Arc<AtomicU16>,
}

impl std::fmt::Debug for Introductions {
    /// Keeps the secret out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Introductions").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Introductions {
    /// A name and the password that goes with it.
    pub fn credentials(&self, principal: Principal, now: Timestamp) -> (String, String) {
        self.credentials.make(principal, now)
    }

    /// The STUN servers; `asked` is what the client itself called us.
    pub fn stun_servers(&self, asked: Option<&str>) -> Vec<IceServer> {
        self.or_this(&self.stun, asked)
    }

    /// The TURN servers; `asked` is what the client itself called us.
    pub fn turn_servers(&self, asked: Option<&str>) -> Vec<IceServer> {
        self.or_this(&self.turn, asked)
    }

    /// What a browser's connection is made with; `asked` is what the client itself called us.
    pub fn ice_servers(
        &self,
        principal: Principal,
        asked: Option<&str>,
        now: Timestamp,
    ) -> IceServers {
        let there = |configured: &[IceServer]| self.listens || !configured.is_empty();
        let stun = if there(&self.stun) { self.stun_servers(asked) } else { Vec::new() };
        let turn = self.relays && there(&self.turn);
        let turn = if turn { self.turn_servers(asked) } else { Vec::new() };
        let ways = |server: &IceServer| {
            let place = place(server);
            ["udp", "tcp"].map(|way| format!("turn:{place}?transport={way}"))
        };
        let own = self.listens && self.turn.is_empty();
        let secure = self.secure.as_ref().filter(|_| self.relays && own);
        let secure = secure.map(|way| {
            let server = this(way.host.as_deref().or(asked), &way.port);
            format!("turns:{}?transport=tcp", place(&server))
        });
        let (username, credential) = self.credentials(principal, now);
        IceServers {
            stun: stun.iter().map(|server| format!("stun:{}", place(server))).collect(),
            turn: turn.iter().flat_map(ways).chain(secure).collect(),
            username,
            credential,
            ttl: self.credentials.lifetime(),
        }
    }

    fn or_this(&self, configured: &[IceServer], asked: Option<&str>) -> Vec<IceServer> {
        if !configured.is_empty() {
            return configured.to_vec();
        }
        vec![this(self.host.as_deref().or(asked), &self.port)]
    }
}

/// This server under a name or address, which may have another port.
fn this(host: Option<&str>, port: &AtomicU16) -> IceServer {
    let host = host.map_or("localhost", without_port);
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    let (domain, ip) = if is_address { ("", host) } else { (host, "") };
    let port = port.load(Ordering::Relaxed);
    IceServer { domain: domain.to_owned(), ip: ip.to_owned(), port }
}

/// Host and port of a server as addresses have them: its name if it has one.
fn place(server: &IceServer) -> String {
    let host = if server.domain.is_empty() { &server.ip } else { &server.domain };
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]:{}", server.port)
    } else {
        format!("{host}:{}", server.port)
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

    fn introductions() -> Introductions {
        Introductions {
            stun: Vec::new(),
            turn: Vec::new(),
            host: None,
            port: Arc::new(3478.into()),
            secure: None,
            listens: true,
            relays: true,
            credentials: RelayCredentials::new("north", 86_400),
        }
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

    #[test]
    fn browsers_are_told_addresses_they_can_use() {
        let now = Timestamp::from_secs(1_539_248_580);
        let ann = Principal::User(crate::domain::UserId::new(4));
        let table = [
            (Some("[::1]:8000"), "[::1]:3478"),
            (Some("127.0.0.1:8000"), "127.0.0.1:3478"),
            (Some("chat.example.org"), "chat.example.org:3478"),
        ];
        for (asked, place) in table {
            let told = introductions().ice_servers(ann, asked, now);
            assert_eq!(told.stun, [format!("stun:{place}")]);
            let turn = ["udp", "tcp"].map(|way| format!("turn:{place}?transport={way}"));
            assert_eq!((told.turn, told.ttl), (turn.to_vec(), 86_400));
            assert_eq!(told.username, "1539334980:u4");
        }
        let way = SecureWay { host: None, port: Arc::new(443.into()) };
        let secure = Introductions { secure: Some(way), ..introductions() };
        let told = secure.ice_servers(ann, Some("chat.example.org"), now).turn;
        assert_eq!(told[2..], ["turns:chat.example.org:443?transport=tcp"]);
        let off = Introductions { relays: false, ..introductions() };
        assert_eq!(off.ice_servers(ann, None, now).turn, [""; 0]);
        let nowhere = Introductions { listens: false, ..introductions() };
        let told = nowhere.ice_servers(ann, None, now);
        assert_eq!((told.stun, told.turn), (Vec::new(), Vec::new()));
    }
}
