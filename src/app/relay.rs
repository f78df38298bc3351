//! The embedded STUN and TURN server: which one the settings want, and where it listens.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use futures_util::future::BoxFuture;
use tokio::net::TcpListener;

use super::{App, StartError};
use crate::clock::Clock;
use crate::domain::{Principal, Timestamp};
use crate::rtc::{
    Introductions, RelayAccounts, RelayCredentials, RelayLimits, RelayServer, RelayUnavailable,
    RelayWay, SecureWay, StreamAdmission, Writing,
};
use crate::settings::{IceServer, RelayMode, Settings, TurnSettings};
use crate::store::Store;
use crate::transport::listener::Diversion;

/// Addresses one allocation may talk to.
const PEERS: usize = 64;
/// Streams of the relay over all listeners.
pub(super) const STREAMS: usize = 4096;
/// How often a free port is looked for that both UDP and TCP have.
const TRIES: usize = 20;

/// What the relay asks about accounts.
struct Accounts {
    store: Store,
    clock: Clock,
}

impl RelayAccounts for Accounts {
    fn relayed_since(
        &self,
        principals: Vec<Principal>,
    ) -> BoxFuture<'_, Result<HashMap<Principal, Timestamp>, RelayUnavailable>> {
        Box::pin(async move {
            self.store.relayed_since(&principals).await.map_err(|error| {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "the relay cannot look up accounts");
                RelayUnavailable
            })
        })
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// The relay that the settings want, if this process is to have one.
pub(super) fn start(
    settings: &Settings,
    credentials: RelayCredentials,
    store: &Store,
    clock: &Clock,
) -> Result<Option<RelayServer>, StartError> {
    let turn = &settings.turn;
    let Some(listen) = turn.listen.address() else { return Ok(None) };
    let (way, total) = match turn.relay {
        RelayMode::External => return Ok(None),
        RelayMode::Internal => (RelayWay::Internal, turn.allocations.get()),
        RelayMode::Off => (RelayWay::Nowhere, 0),
        RelayMode::Udp => (sockets(turn, listen.ip())?, turn.allocations.get()),
    };
    let limits = RelayLimits {
        per_account: turn.allocations_per_account.get(),
        total,
        peers: PEERS,
        bandwidth: turn.bytes_per_second,
    };
    let accounts = Arc::new(Accounts { store: store.clone(), clock: clock.clone() });
    Ok(Some(RelayServer::start(credentials, way, limits, accounts)))
}

fn sockets(turn: &TurnSettings, listen: IpAddr) -> Result<RelayWay, StartError> {
    let address = |key, text: &str| -> Result<Option<IpAddr>, StartError> {
        let wrong = || StartError::Relay(format!("{key} must be an IP address, not {text:?}"));
        if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(|_| wrong()) }
    };
    let bind = address("turn.relay_bind", &turn.relay_bind)?.unwrap_or(listen);
    let advertise = address("turn.relay_address", &turn.relay_address)?;
    if bind.is_unspecified() && advertise.is_none() {
        let text =
            "turn.relay = \"udp\" needs turn.relay_address: clients must be told where relays are";
        return Err(StartError::Relay(text.to_owned()));
    }
    let [first, last] = turn.relay_ports.map(std::num::NonZeroU16::get);
    if first > last {
        let text = "turn.relay_ports must be two ports, the lower one first";
        return Err(StartError::Relay(text.to_owned()));
    }
    Ok(RelayWay::Sockets { bind, advertise, ports: first..=last })
}

/// Where the relay is reached by TLS: on the main port, if that speaks TLS and lets the relay
/// in. Port 0 is not known yet.
pub(super) fn secure_way(settings: &Settings) -> Option<SecureWay> {
    settings.http.tls().filter(|_| settings.turn.over_http_port)?;
    let url = &settings.public_url;
    let port = url.port().filter(|_| url.is_secure()).unwrap_or_default();
    Some(SecureWay { host: url.host().map(str::to_owned), port: Arc::new(port.into()) })
}

/// What clients are told about STUN and TURN.
pub(super) fn introductions(
    settings: &Settings,
    credentials: RelayCredentials,
    port: &Arc<AtomicU16>,
    secure: Option<&SecureWay>,
) -> Introductions {
    let list = |servers: &[IceServer]| {
        servers
            .iter()
            .map(|server| crate::domain::IceServer {
                domain: server.domain.clone(),
                ip: server.ip.clone(),
                port: server.port.get(),
            })
            .collect()
    };
    let public_host = settings.turn.public_host.as_str();
    let host = if public_host.is_empty() { settings.public_url.host() } else { Some(public_host) };
    Introductions {
        stun: list(&settings.webrtc.stun),
        turn: list(&settings.webrtc.turn),
        host: host.map(str::to_owned),
        port: Arc::clone(port),
        secure: secure.cloned(),
        listens: settings.turn.listen.address().is_some()
            && settings.turn.relay != RelayMode::External,
        relays: settings.turn.relay != RelayMode::Off,
        credentials,
    }
}

impl App {
    /// Lets the relay listen, by UDP and TCP on one port.
    pub(super) fn listen_for_relay(&self) -> Result<Option<SocketAddr>, StartError> {
        let (Some(relay), Some(address)) = (&self.relay, self.settings.turn.listen.address())
        else {
            return Ok(None);
        };
        let failed = |source| StartError::Listen { address, source };
        // A port that is free for one need not be free for the other.
        let tries = if address.port() == 0 { TRIES } else { 1 };
        let mut last = std::io::Error::from(std::io::ErrorKind::AddrInUse);
        for _ in 0..tries {
            let attempt = self.stop.child_token();
            let local = relay.listen_udp(address, &attempt).map_err(failed)?;
            match relay.listen_tcp(local, &self.streams_admission(), &attempt) {
                Ok(_) => {
                    self.relay_port.store(local.port(), Ordering::Relaxed);
                    return Ok(Some(local));
                }
                Err(error) => last = error,
            }
            attempt.cancel();
        }
        Err(failed(last))
    }

    /// Who may come to the relay by streams: they count with all other connections, and one
    /// address has at most half of the relay's own.
    fn streams_admission(&self) -> StreamAdmission {
        let (all, own) = (self.admission.clone(), self.relay_streams.clone());
        Arc::new(move |address| {
            let places = (all.admit(Some(address)).ok()?, own.admit(Some(address)).ok()?);
            Some(Box::new(places))
        })
    }

    /// Takes clients of the relay that come in on the main port.
    pub(super) fn diversion(&self, http: &TcpListener) -> Option<Diversion> {
        let relay = self.relay.as_ref().filter(|_| self.settings.turn.over_http_port)?;
        let streams = relay.streams(http.local_addr().ok()?);
        let (stop, own) = (self.stop.clone(), self.relay_streams.clone());
        Some(Diversion {
            // STUN's types begin so; HTTP begins with a capital letter.
            fits: |first| first <= 3,
            take: Arc::new(move |stream, peer| {
                let Ok(place) = own.admit(Some(peer.ip())) else { return };
                let (streams, stop) = (streams.clone(), stop.clone());
                let writing = if stream.is_secure() { Writing::Apart } else { Writing::Together };
                tokio::spawn(async move {
                    stop.run_until_cancelled(streams.converse(stream, peer, writing)).await;
                    drop(place);
                });
            }),
        })
    }
}
