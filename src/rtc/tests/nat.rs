//! Clients behind NATs of all kinds, in a network that exists in this process alone; and in
//! one thread, for between threads that network now and then forgets to pass something on.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tokio::sync::Mutex as AsyncMutex;
use webrtc_util::vnet::nat::{EndpointDependencyType, NatType};
use webrtc_util::vnet::net::{Net, NetConfig};
use webrtc_util::vnet::router::{ChunkFilterFn, Nic, Router, RouterConfig};

use super::*;

const SERVER: &str = "198.51.100.1:3478";
/// Longer than a test.
const LONG: Duration = Duration::from_hours(1);

const INDEPENDENT: EndpointDependencyType = EndpointDependencyType::EndpointIndependent;
const BY_ADDRESS: EndpointDependencyType = EndpointDependencyType::EndpointAddrDependent;
const BY_PORT: EndpointDependencyType = EndpointDependencyType::EndpointAddrPortDependent;

/// What NATs map by and what they let in by.
const KINDS: [(&str, EndpointDependencyType, EndpointDependencyType); 4] = [
    ("full cone", INDEPENDENT, INDEPENDENT),
    ("address restricted", INDEPENDENT, BY_ADDRESS),
    ("port restricted", INDEPENDENT, BY_PORT),
    ("symmetric", BY_PORT, BY_PORT),
];

/// The Internet with our server and two homes, each behind a NAT of its own.
struct World {
    internet: Arc<AsyncMutex<Router>>,
    homes: Vec<Arc<Net>>,
    people: Arc<People>,
    credentials: RelayCredentials,
    _stop: tokio_util::sync::DropGuard,
}

impl World {
    async fn with(nats: &[(EndpointDependencyType, EndpointDependencyType, Duration)]) -> Self {
        let config = RouterConfig { cidr: "0.0.0.0/0".to_owned(), ..RouterConfig::default() };
        let internet = Arc::new(AsyncMutex::new(Router::new(config).unwrap()));
        let server: SocketAddr = SERVER.parse().unwrap();
        let outside = host(&internet, Some(server.ip())).await;
        let mut homes = Vec::new();
        for (index, (mapping, filtering, life)) in nats.iter().enumerate() {
            let nat = NatType {
                mapping_behavior: *mapping,
                filtering_behavior: *filtering,
                mapping_life_time: *life,
                ..NatType::default()
            };
            let config = RouterConfig {
                static_ip: format!("192.0.2.{}", index + 1),
                cidr: "192.168.0.0/24".to_owned(),
                nat_type: Some(nat),
                ..RouterConfig::default()
            };
            let home = Arc::new(AsyncMutex::new(Router::new(config).unwrap()));
            homes.push(host(&home, None).await);
            internet.lock().await.add_router(Arc::clone(&home)).await.unwrap();
            home.lock().await.set_router(Arc::clone(&internet)).await.unwrap();
        }
        internet.lock().await.start().await.unwrap();
        let (relay, people, credentials) = start(|_| {}, RelayWay::Internal);
        let stop = CancellationToken::new();
        let listener = outside.bind(server).await.unwrap();
        relay.serve(Arc::new(Listener { inner: listener, _net: outside }), server, &stop);
        Self { internet, homes, people, credentials, _stop: stop.drop_guard() }
    }

    async fn client(&self, home: usize, who: Principal) -> (Client, impl Conn + use<>) {
        let conn = self.homes[home].bind("0.0.0.0:0".parse().unwrap()).await.unwrap();
        let net = Some(Arc::clone(&self.homes[home]));
        let credentials = self.credentials.make(who, self.people.now());
        client_over(conn, net, SERVER.parse().unwrap(), credentials).await
    }

    async fn peer(&self, home: usize, who: Principal) -> Peer {
        let socket = self.homes[home].bind("0.0.0.0:0".parse().unwrap()).await.unwrap();
        socket.connect(SERVER.parse().unwrap()).await.unwrap();
        let (username, password) = self.credentials.make(who, self.people.now());
        Peer { socket, username, password, nonce: String::new() }
    }

    async fn lose(&self, keep: ChunkFilterFn) {
        self.internet.lock().await.add_chunk_filter(keep).await;
    }
}

/// A machine in a router's network.
async fn host(router: &Arc<AsyncMutex<Router>>, ip: Option<IpAddr>) -> Arc<Net> {
    let static_ip = ip.map(|ip| ip.to_string()).unwrap_or_default();
    let net = Arc::new(Net::new(Some(NetConfig { static_ip, ..NetConfig::default() })));
    let nic = net.get_nic().unwrap();
    router.lock().await.add_net(Arc::clone(&nic)).await.unwrap();
    nic.lock().await.set_router(Arc::clone(router)).await.unwrap();
    net
}

/// A listener that the end of an allocation does not close.
struct Listener {
    inner: Arc<dyn Conn + Send + Sync>,
    _net: Arc<Net>,
}

#[async_trait]
impl Conn for Listener {
    async fn connect(&self, to: SocketAddr) -> Result<(), webrtc_util::Error> {
        self.inner.connect(to).await
    }

    async fn recv(&self, bytes: &mut [u8]) -> Result<usize, webrtc_util::Error> {
        self.inner.recv(bytes).await
    }

    async fn recv_from(&self, bytes: &mut [u8]) -> Result<(usize, SocketAddr), webrtc_util::Error> {
        self.inner.recv_from(bytes).await
    }

    async fn send(&self, bytes: &[u8]) -> Result<usize, webrtc_util::Error> {
        self.inner.send(bytes).await
    }

    async fn send_to(&self, bytes: &[u8], to: SocketAddr) -> Result<usize, webrtc_util::Error> {
        self.inner.send_to(bytes, to).await
    }

    fn local_addr(&self) -> Result<SocketAddr, webrtc_util::Error> {
        self.inner.local_addr()
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        self.inner.remote_addr()
    }

    async fn close(&self) -> Result<(), webrtc_util::Error> {
        Ok(())
    }

    fn as_any(&self) -> &(dyn std::any::Any + Send + Sync) {
        self
    }
}

#[tokio::test]
async fn clients_behind_any_two_nats_reach_each_other() {
    for (index, (near_kind, near_maps, near_filters)) in KINDS.into_iter().enumerate() {
        for (far_kind, far_maps, far_filters) in KINDS.into_iter().skip(index) {
            let nats = [(near_maps, near_filters, LONG), (far_maps, far_filters, LONG)];
            let world = World::with(&nats).await;
            let (ann, near) = world.client(0, ANN).await;
            let (bob, far) = world.client(1, BOB).await;
            let seen = ann.send_binding_request().await.unwrap();
            assert_eq!(seen.ip().to_string(), "192.0.2.1", "{near_kind}");
            let seen = bob.send_binding_request().await.unwrap();
            assert_eq!(seen.ip().to_string(), "192.0.2.2", "{far_kind}");
            talk(&near, &far, 5).await;
            ann.close().await.unwrap();
            bob.close().await.unwrap();
        }
    }
}

#[tokio::test]
async fn loss_costs_datagrams_and_nothing_else() {
    let world = World::with(&[(BY_PORT, BY_PORT, LONG), (INDEPENDENT, BY_ADDRESS, LONG)]).await;
    let seen = AtomicUsize::new(0);
    world.lose(Box::new(move |_| seen.fetch_add(1, Ordering::Relaxed) % 5 != 4)).await;
    let (ann, near) = world.client(0, ANN).await;
    let (bob, far) = world.client(1, BOB).await;
    talk(&near, &far, 30).await;
    ann.close().await.unwrap();
    bob.close().await.unwrap();
}

#[tokio::test]
async fn an_answer_that_was_lost_is_given_again() {
    let world = World::with(&[(INDEPENDENT, BY_PORT, LONG), (BY_PORT, BY_PORT, LONG)]).await;
    let lost = AtomicUsize::new(0);
    // The first two that grant an allocation.
    let keep = move |datagram: &[u8]| {
        datagram.get(..2) != Some(&[1, 3]) || lost.fetch_add(1, Ordering::Relaxed) >= 2
    };
    world.lose(Box::new(move |chunk| keep(&chunk.user_data()))).await;
    let (ann, near) = world.client(0, ANN).await;
    let (bob, far) = world.client(1, BOB).await;
    talk(&near, &far, 2).await;
    ann.close().await.unwrap();
    bob.close().await.unwrap();
}

#[tokio::test]
async fn an_allocation_lives_as_long_as_its_mapping() {
    let short = Duration::from_millis(400);
    let world = World::with(&[(BY_PORT, BY_PORT, LONG), (BY_PORT, BY_PORT, short)]).await;
    let mut ann = world.peer(0, ANN).await;
    assert_eq!(ann.allocate().await, 0);
    tokio::time::sleep(2 * short).await;
    assert_eq!(ann.refresh(600).await, 0);

    // Behind a NAT that forgets, the next request comes from another port: from somebody else.
    let mut bob = world.peer(1, BOB).await;
    let mut ask = async |method, extra: fn() -> Vec<Box<dyn Setter>>| {
        let answered = async {
            loop {
                bob.socket.send(&bob.request(method, extra())).await.unwrap();
                // An answer to a mapping that has ended meanwhile does not come.
                let answer = timeout(short, bob.read()).await;
                if let Ok(answer) = answer {
                    if let Ok(nonce) = TextAttribute::get_from_as(&answer, ATTR_NONCE) {
                        bob.nonce = nonce.text;
                    }
                    return code(&answer);
                }
            }
        };
        timeout(DEADLINE, answered).await.unwrap()
    };
    let allocate =
        || -> Vec<Box<dyn Setter>> { vec![Box::new(RequestedTransport { protocol: PROTO_UDP })] };
    assert_eq!(ask(METHOD_ALLOCATE, allocate).await, 438);
    // 437: the answer to the first one was too late for its mapping, but within the next one's.
    assert!(matches!(ask(METHOD_ALLOCATE, allocate).await, 0 | 437));
    tokio::time::sleep(2 * short).await;
    assert_eq!(ask(METHOD_REFRESH, Vec::new).await, 437);
    assert_eq!(ask(METHOD_ALLOCATE, allocate).await, 0);
}
