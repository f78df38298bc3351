//! The servers, each in a process and on a core of its own.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::num::NonZeroU32;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use klatsch::domain::{Principal, Timestamp};
use klatsch::rtc::{
    RelayAccounts, RelayCredentials, RelayLimits, RelayServer, RelayUnavailable, RelayWay,
    StreamAdmission,
};
use tokio_util::sync::CancellationToken;

use super::client;
use super::usage;

/// The secret of all servers.
pub(crate) const SECRET: &str = "north";
const HERE: &str = "127.0.0.1";

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    Coturn,
    Internal,
    Sockets,
}

impl Contender {
    pub(crate) const ALL: [Self; 3] = [Self::Coturn, Self::Internal, Self::Sockets];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Coturn => "coturn",
            Self::Internal => "klatsch, internal",
            Self::Sockets => "klatsch, udp",
        }
    }

    /// Whether it can be measured here.
    pub(crate) fn is_there(self) -> bool {
        let there = self != Self::Coturn || Command::new("turnserver").arg("-h").output().is_ok();
        if !there {
            println!("skipped: coturn, for it is not installed; so there are no ratios");
        }
        there
    }
}

/// A server that runs until it is dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn start(contender: Contender) -> Self {
        let (child, address) = match contender {
            Contender::Coturn => coturn(),
            Contender::Internal | Contender::Sockets => klatsch(contender.name()),
        };
        usage::pin_to_core(child.id(), 0);
        Self { child, address }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn klatsch(name: &str) -> (Child, SocketAddr) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["serve", name])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address = lines.next().unwrap().unwrap().parse().unwrap();
    (child, address)
}

/// With one thread for its one core, which is its best.
fn coturn() -> (Child, SocketAddr) {
    let probe = UdpSocket::bind((HERE, 0)).unwrap();
    let address = probe.local_addr().unwrap();
    drop(probe);
    let port = address.port().to_string();
    let folder = std::env::temp_dir().join(format!("klatsch-bench-coturn-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let child = Command::new("turnserver")
        .args(["-n", "-L", HERE, "-E", HERE, "-p", &port, "-m", "1", "-r", "klatsch"])
        .args(["--use-auth-secret", &format!("--static-auth-secret={SECRET}")])
        .args([
            "--allowed-peer-ip=127.0.0.1",
            "--allow-loopback-peers",
            "--no-cli",
            "--no-tls",
            "--no-dtls",
            "--no-auth-pings",
        ])
        .args(["--no-dynamic-ip-list", "--no-dynamic-realms", "--no-software-attribute"])
        .args(["--no-stdout-log", "--simple-log", "--log-file", "/dev/null"])
        .args(["--pidfile", "/dev/null", "-b", &folder.join("db").to_string_lossy()])
        .current_dir(&folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while !client::is_answered(address) {
        assert!(Instant::now() < deadline, "coturn does not answer");
    }
    (child, address)
}

/// Everybody may be relayed.
struct Everybody;

impl RelayAccounts for Everybody {
    fn relayed_since(
        &self,
        principals: Vec<Principal>,
    ) -> BoxFuture<'_, Result<HashMap<Principal, Timestamp>, RelayUnavailable>> {
        let long_ago = Timestamp::from_secs(0);
        Box::pin(async move { Ok(principals.into_iter().map(|one| (one, long_ago)).collect()) })
    }

    fn now(&self) -> Timestamp {
        client::now()
    }
}

/// Our relay alone, as this process.
pub(crate) fn serve(name: &str) {
    let way = if name == Contender::Sockets.name() {
        let bind = HERE.parse().unwrap();
        RelayWay::Sockets { bind, advertise: None, ports: 49_152..=65_535 }
    } else {
        RelayWay::Internal
    };
    let bandwidth = NonZeroU32::MAX;
    let limits = RelayLimits { per_account: 1000, total: 1000, peers: 64, bandwidth };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let credentials = RelayCredentials::new(SECRET, 86_400);
        let server = RelayServer::start(credentials, way, limits, Arc::new(Everybody));
        let stop = CancellationToken::new();
        let address =
            server.listen_udp((HERE.parse::<std::net::IpAddr>().unwrap(), 0).into(), &stop);
        let address = address.unwrap();
        let admit: StreamAdmission = Arc::new(|_| Some(Box::new(())));
        server.listen_tcp(address, &admit, &stop).unwrap();
        println!("{address}");
        std::future::pending::<()>().await;
    });
}
