//! The relay from outside: datagrams over real sockets, and the library's own client.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use proptest::prelude::*;
use stun::agent::TransactionId;
use stun::attributes::{
    ATTR_NONCE, ATTR_REALM, ATTR_RESERVATION_TOKEN, ATTR_UNKNOWN_ATTRIBUTES, ATTR_USERNAME,
    AttrType,
};
use stun::error_code::ErrorCodeAttribute;
use stun::integrity::MessageIntegrity;
use stun::message::{
    CLASS_INDICATION, CLASS_REQUEST, CLASS_SUCCESS_RESPONSE, Getter, METHOD_ALLOCATE,
    METHOD_BINDING, METHOD_CHANNEL_BIND, METHOD_CREATE_PERMISSION, METHOD_REFRESH, METHOD_SEND,
    Message, MessageType, Method, Setter,
};
use stun::textattrs::{Nonce, Realm, TextAttribute, Username};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use turn::auth::generate_auth_key;
use turn::client::{Client, ClientConfig};
use turn::proto::PROTO_UDP;
use turn::proto::channum::ChannelNumber;
use turn::proto::data::Data;
use turn::proto::lifetime::Lifetime;
use turn::proto::peeraddr::PeerAddress;
use turn::proto::relayaddr::RelayedAddress;
use turn::proto::reqtrans::RequestedTransport;
use webrtc_util::Conn;
use webrtc_util::vnet::net::Net;

use super::*;
use crate::domain::{Principal, Timestamp, UserId};

mod nat;
mod rfc;
mod shares;

const DEADLINE: Duration = Duration::from_secs(20);
const REALM: &str = "klatsch";
const ANN: Principal = Principal::User(UserId::new(1));
const BOB: Principal = Principal::User(UserId::new(2));

/// Accounts as the tests want them.
#[derive(Default)]
struct People {
    since: Mutex<HashMap<Principal, Timestamp>>,
    now: Mutex<i64>,
    /// While this is held for writing, nobody learns anything of Ann.
    slow: Arc<tokio::sync::RwLock<()>>,
    /// Lookups of Ann that have begun.
    begun: AtomicUsize,
}

impl RelayAccounts for People {
    fn relayed_since(
        &self,
        principals: Vec<Principal>,
    ) -> BoxFuture<'_, Result<HashMap<Principal, Timestamp>, RelayUnavailable>> {
        let about_ann = principals.contains(&ANN);
        let since = self.since.lock();
        let found = principals.into_iter().filter_map(|one| Some((one, *since.get(&one)?)));
        let found = found.collect();
        if !about_ann {
            return Box::pin(async move { Ok(found) });
        }
        self.begun.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            let _turn = self.slow.read().await;
            Ok(found)
        })
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_secs(*self.now.lock())
    }
}

/// A server that listens nowhere yet, for Ann and Bob.
fn start(
    set: impl FnOnce(&mut RelayLimits),
    way: RelayWay,
) -> (RelayServer, Arc<People>, RelayCredentials) {
    let people = Arc::new(People::default());
    *people.now.lock() = 1_000_000;
    people.since.lock().insert(ANN, Timestamp::from_secs(0));
    people.since.lock().insert(BOB, Timestamp::from_secs(0));
    let credentials = RelayCredentials::new("north", 86_400);
    let bandwidth = NonZeroU32::new(100_000_000).unwrap();
    let mut limits = RelayLimits { per_account: 64, total: 1000, peers: 64, bandwidth };
    set(&mut limits);
    let accounts = Arc::clone(&people) as Arc<dyn RelayAccounts>;
    let server = RelayServer::start(credentials.clone(), way, limits, accounts);
    (server, people, credentials)
}

struct Relay {
    address: SocketAddr,
    people: Arc<People>,
    credentials: RelayCredentials,
    _stop: tokio_util::sync::DropGuard,
}

impl Relay {
    async fn open() -> Self {
        Self::with(|_| {}, RelayWay::Internal).await
    }

    #[expect(clippy::unused_async, reason = "what listens needs a runtime")]
    async fn with(set: impl FnOnce(&mut RelayLimits), way: RelayWay) -> Self {
        let (server, people, credentials) = start(set, way);
        let stop = CancellationToken::new();
        let here = "127.0.0.1:0".parse().unwrap();
        let address = server.listen_udp(here, &stop).unwrap();
        let admit: StreamAdmission = Arc::new(|_| Some(Box::new(())));
        server.listen_tcp(address, &admit, &stop).unwrap();
        Self { address, people, credentials, _stop: stop.drop_guard() }
    }

    fn credentials(&self, who: Principal) -> (String, String) {
        self.credentials.make(who, self.people.now())
    }

    /// The library's own client, with an allocation.
    async fn client(&self, who: Principal) -> (Client, impl Conn + use<>) {
        let conn = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        client_over(conn, None, self.address, self.credentials(who)).await
    }

    /// A client that writes each message itself.
    async fn peer(&self, who: Principal) -> Peer {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(self.address).await.unwrap();
        let (username, password) = self.credentials(who);
        Peer { socket: Arc::new(socket), username, password, nonce: String::new() }
    }
}

/// The library's own client over this, with an allocation.
async fn client_over(
    conn: Arc<dyn Conn + Send + Sync>,
    vnet: Option<Arc<Net>>,
    server: SocketAddr,
    (username, password): (String, String),
) -> (Client, impl Conn + use<>) {
    let config = ClientConfig {
        stun_serv_addr: server.to_string(),
        turn_serv_addr: server.to_string(),
        username,
        password,
        realm: String::new(),
        software: String::new(),
        rto_in_ms: 0,
        conn,
        vnet,
    };
    let client = Client::new(config).await.unwrap();
    client.listen().await.unwrap();
    let relay = client.allocate().await.unwrap();
    (client, relay)
}

struct Peer {
    socket: Arc<dyn Conn + Send + Sync>,
    username: String,
    password: String,
    nonce: String,
}

impl Peer {
    fn request(&self, method: Method, extra: Vec<Box<dyn Setter>>) -> Vec<u8> {
        let mut setters: Vec<Box<dyn Setter>> =
            vec![Box::new(TransactionId::new()), Box::new(MessageType::new(method, CLASS_REQUEST))];
        setters.extend(extra);
        setters.push(Box::new(Username::new(ATTR_USERNAME, self.username.clone())));
        setters.push(Box::new(Realm::new(ATTR_REALM, REALM.to_owned())));
        setters.push(Box::new(Nonce::new(ATTR_NONCE, self.nonce.clone())));
        let key = generate_auth_key(&self.username, REALM, &self.password);
        setters.push(Box::new(MessageIntegrity(key)));
        let mut message = Message::new();
        message.build(&setters).unwrap();
        message.raw
    }

    async fn ask(&mut self, method: Method, extra: Vec<Box<dyn Setter>>) -> Message {
        let request = self.request(method, extra);
        self.socket.send(&request).await.unwrap();
        let answer = self.read().await;
        if let Ok(nonce) = TextAttribute::get_from_as(&answer, ATTR_NONCE) {
            self.nonce = nonce.text;
        }
        answer
    }

    async fn read(&self) -> Message {
        let mut bytes = [0; 2048];
        let len = timeout(DEADLINE, self.socket.recv(&mut bytes)).await.unwrap().unwrap();
        let mut answer = Message { raw: bytes[..len].to_vec(), ..Message::default() };
        answer.decode().unwrap();
        answer
    }

    async fn allocate(&mut self) -> u16 {
        let transport = || -> Vec<Box<dyn Setter>> {
            vec![Box::new(RequestedTransport { protocol: PROTO_UDP })]
        };
        let first = self.ask(METHOD_ALLOCATE, transport()).await;
        match code(&first) {
            // The first one only fetches the nonce.
            438 => code(&self.ask(METHOD_ALLOCATE, transport()).await),
            other => other,
        }
    }

    async fn permit(&mut self, peers: &[&str]) -> u16 {
        let peers = peers.iter().map(|peer| -> Box<dyn Setter> {
            let peer: SocketAddr = peer.parse().unwrap();
            Box::new(PeerAddress { ip: peer.ip(), port: peer.port() })
        });
        code(&self.ask(METHOD_CREATE_PERMISSION, peers.collect()).await)
    }

    async fn refresh(&mut self, secs: u64) -> u16 {
        let lifetime = Lifetime(Duration::from_secs(secs));
        code(&self.ask(METHOD_REFRESH, vec![Box::new(lifetime)]).await)
    }

    /// Whether an answer is signed with our key.
    fn signs(&self, answer: &Message) -> bool {
        let key = generate_auth_key(&self.username, REALM, &self.password);
        MessageIntegrity(key).check(&mut answer.clone()).is_ok()
    }
}

/// The code of an error, or 0 of a success.
fn code(answer: &Message) -> u16 {
    if answer.typ.class == CLASS_SUCCESS_RESPONSE {
        return 0;
    }
    let mut error = ErrorCodeAttribute::default();
    error.get_from(answer).unwrap();
    error.code.0
}

/// Sends datagrams both ways between two relayed addresses; some may get lost.
async fn talk(near: &impl Conn, far: &impl Conn, rounds: u8) {
    let (here, there) = (near.local_addr().unwrap(), far.local_addr().unwrap());
    for round in 0..rounds {
        pass(near, far, (there, here), &[round; 50]).await;
        pass(far, near, (here, there), &[round; 60]).await;
    }
}

/// Sends a datagram, again where it is lost, until it is heard.
async fn pass(
    from: &impl Conn,
    to: &impl Conn,
    (target, source): (SocketAddr, SocketAddr),
    said: &[u8],
) {
    let mut bytes = [0; 100];
    let heard = async {
        loop {
            from.send_to(said, target).await.unwrap();
            // The first ones of each side only permit the other's.
            let heard = timeout(Duration::from_millis(200), to.recv_from(&mut bytes)).await;
            if let Ok(heard) = heard
                && let (len, from) = heard.unwrap()
                && &bytes[..len] == said
            {
                return assert_eq!(from, source);
            }
        }
    };
    let permit = to.send_to(b"open", source);
    permit.await.unwrap();
    timeout(DEADLINE, heard).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clients_talk_through_their_relayed_addresses() {
    let bind = "127.0.0.1".parse().unwrap();
    let sockets = RelayWay::Sockets { bind, advertise: None, ports: 40_000..=60_000 };
    for way in [RelayWay::Internal, sockets] {
        let relay = Relay::with(|_| {}, way).await;
        let (ann, near) = relay.client(ANN).await;
        let (bob, far) = relay.client(BOB).await;
        talk(&near, &far, 20).await;
        ann.close().await.unwrap();
        bob.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_request_that_comes_twice_is_given_the_same_allocation() {
    let relay = Relay::open().await;
    let mut ann = relay.peer(ANN).await;
    let wanted =
        || -> Vec<Box<dyn Setter>> { vec![Box::new(RequestedTransport { protocol: PROTO_UDP })] };
    assert_eq!(code(&ann.ask(METHOD_ALLOCATE, wanted()).await), 438);
    let request = ann.request(METHOD_ALLOCATE, wanted());
    let mut granted = Vec::new();
    for _ in 0..3 {
        ann.socket.send(&request).await.unwrap();
        let answer = ann.read().await;
        assert_eq!((code(&answer), ann.signs(&answer)), (0, true));
        let mut relayed = RelayedAddress::default();
        relayed.get_from(&answer).unwrap();
        granted.push((relayed.ip, relayed.port));
    }
    granted.dedup();
    assert_eq!(granted.len(), 1);
    // Another request is none that comes twice.
    assert_eq!(ann.allocate().await, 437);
    // And what is given back can be had again at once.
    assert_eq!(ann.refresh(0).await, 0);
    assert_eq!(ann.allocate().await, 0);
}

#[tokio::test]
async fn who_shows_nothing_or_something_wrong_is_asked_for_credentials() {
    let relay = Relay::open().await;
    let mut ann = relay.peer(ANN).await;
    let mut bare = Message::new();
    let kind = MessageType::new(METHOD_ALLOCATE, CLASS_REQUEST);
    bare.build(&[Box::new(TransactionId::new()), Box::new(kind)]).unwrap();
    ann.socket.send(&bare.raw).await.unwrap();
    let answer = ann.read().await;
    assert_eq!(code(&answer), 401);
    assert_eq!(answer.transaction_id, bare.transaction_id);
    assert_eq!(TextAttribute::get_from_as(&answer, ATTR_REALM).unwrap().text, REALM);
    ann.nonce = TextAttribute::get_from_as(&answer, ATTR_NONCE).unwrap().text;

    let right = ann.password.clone();
    ann.password = "wrong".to_owned();
    assert_eq!(ann.allocate().await, 401);
    ann.password = right;
    for username in ["nobody", "2000000:x1", "2000000"] {
        let known = std::mem::replace(&mut ann.username, username.to_owned());
        ann.password = relay.credentials.password(username);
        assert_eq!(ann.allocate().await, 401, "{username}");
        ann.username = known;
    }
    ann.password = relay.credentials.password(&ann.username);
    *relay.people.now.lock() += 3600;
    assert_eq!(code(&ann.ask(METHOD_ALLOCATE, Vec::new()).await), 438);
    assert_eq!(ann.allocate().await, 0);
}

#[tokio::test]
async fn a_call_survives_its_credentials_but_no_new_one_begins_with_them() {
    let relay = Relay::open().await;
    let mut ann = relay.peer(ANN).await;
    assert_eq!(ann.allocate().await, 0);
    *relay.people.now.lock() += 86_400;
    assert_eq!(ann.refresh(600).await, 438);
    assert_eq!(ann.refresh(600).await, 0);
    let mut late = relay.peer(ANN).await;
    late.username = ann.username.clone();
    late.password = ann.password.clone();
    assert_eq!(late.allocate().await, 401);
}

#[tokio::test]
async fn refusals_after_the_credentials_were_shown_are_signed() {
    let relay = Relay::with(
        |limits| {
            limits.per_account = 2;
            limits.total = 3;
            limits.peers = 2;
        },
        RelayWay::Internal,
    )
    .await;
    let mut ann = relay.peer(ANN).await;
    assert_eq!(ann.refresh(600).await, 438);
    let none = ann.ask(METHOD_REFRESH, Vec::new()).await;
    assert_eq!((code(&none), ann.signs(&none)), (437, true));
    assert_eq!(ann.allocate().await, 0);
    assert_eq!(ann.allocate().await, 437);
    // Somebody else on the same socket.
    let (username, password) = relay.credentials(BOB);
    let own = (ann.username.clone(), ann.password.clone());
    (ann.username, ann.password) = (username, password);
    let foreign = ann.ask(METHOD_REFRESH, Vec::new()).await;
    assert_eq!((code(&foreign), ann.signs(&foreign)), (441, true));
    (ann.username, ann.password) = own;
    assert_eq!(ann.permit(&["203.0.113.113:2000", "203.0.113.114:2000"]).await, 0);
    assert_eq!(ann.permit(&["203.0.113.115:2000"]).await, 508);
    assert_eq!(ann.permit(&[]).await, 400);
    assert_eq!(relay.peer(ANN).await.allocate().await, 0);
    assert_eq!(relay.peer(ANN).await.allocate().await, 486);
    let mut bob = relay.peer(BOB).await;
    assert_eq!(bob.allocate().await, 0);
    assert_eq!(relay.peer(BOB).await.allocate().await, 508);
    // What is given back can be held again.
    assert_eq!(bob.refresh(0).await, 0);
    assert_eq!(relay.peer(BOB).await.allocate().await, 0);
}

#[tokio::test]
async fn who_may_not_be_relayed_any_more_is_cut_off() {
    let relay = Relay::open().await;
    let mut ann = relay.peer(ANN).await;
    assert_eq!(ann.allocate().await, 0);
    let void = relay.people.now().plus_secs(1);
    relay.people.since.lock().insert(ANN, void);
    let ended = async {
        while ann.refresh(600).await != 437 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(DEADLINE, ended).await.unwrap();
    let mut again = relay.peer(ANN).await;
    assert_eq!(again.allocate().await, 401);
    *relay.people.now.lock() += 1;
    assert_eq!(relay.peer(ANN).await.allocate().await, 0);
    relay.people.since.lock().remove(&ANN);
    assert_eq!(relay.peer(ANN).await.allocate().await, 401);
}

#[tokio::test]
async fn a_relay_with_sockets_reaches_no_network_of_the_operator() {
    let here = "127.0.0.1".parse().unwrap();
    let way = RelayWay::Sockets { bind: here, advertise: None, ports: 40_000..=60_000 };
    let relay = Relay::with(|_| {}, way).await;
    let victim = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut ann = relay.peer(ANN).await;
    assert_eq!(ann.allocate().await, 0);
    for peer in ["127.0.0.1:80", "10.0.0.1:80", "169.254.169.254:80", "224.0.0.1:80"] {
        assert_eq!(ann.permit(&[peer]).await, 403, "{peer}");
    }
    // A send needs no permission to be tried: the socket itself must refuse.
    let (client, near) = relay.client(BOB).await;
    let _ = near.send_to(b"knock", victim.local_addr().unwrap()).await;
    let mut bytes = [0; 16];
    let heard = timeout(Duration::from_millis(300), victim.recv_from(&mut bytes)).await;
    assert!(heard.is_err(), "the victim hears nothing");
    client.close().await.unwrap();
}

/// With sockets only live allocations may be named, and an answer says that one lives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_allocation_can_be_named_as_soon_as_it_is_granted() {
    let here = "127.0.0.1".parse().unwrap();
    let way = RelayWay::Sockets { bind: here, advertise: None, ports: 40_000..=60_000 };
    let relay = Relay::with(|limits| limits.per_account = 1000, way).await;
    let mut ann = relay.peer(ANN).await;
    assert_eq!(ann.allocate().await, 0);
    for round in 0..100 {
        let mut bob = relay.peer(BOB).await;
        bob.nonce.clone_from(&ann.nonce);
        let granted =
            bob.ask(METHOD_ALLOCATE, vec![Box::new(RequestedTransport { protocol: PROTO_UDP })]);
        let mut relayed = RelayedAddress::default();
        relayed.get_from(&granted.await).unwrap();
        assert_eq!(ann.permit(&[&format!("127.0.0.1:{}", relayed.port)]).await, 0, "{round}");
        assert_eq!(bob.refresh(0).await, 0);
    }
}

/// A client with a stream to the relay.
struct StreamPeer {
    stream: TcpStream,
    peer: Peer,
}

impl StreamPeer {
    async fn open(relay: &Relay, who: Principal) -> Self {
        let stream = TcpStream::connect(relay.address).await.unwrap();
        Self { stream, peer: relay.peer(who).await }
    }

    /// The next frame with its head, without its padding.
    async fn frame(&mut self) -> Vec<u8> {
        let mut frame = vec![0; 4];
        let reading = async {
            self.stream.read_exact(&mut frame).await.unwrap();
            let said = usize::from(u16::from_be_bytes([frame[2], frame[3]]));
            let is_data = frame[0] & 0xc0 == 0x40;
            let len = if is_data { 4 + said } else { 20 + said };
            frame.resize(len.next_multiple_of(4), 0);
            self.stream.read_exact(&mut frame[4..]).await.unwrap();
            frame.truncate(len);
        };
        timeout(DEADLINE, reading).await.unwrap();
        frame
    }

    async fn ask(&mut self, method: Method, extra: Vec<Box<dyn Setter>>) -> Message {
        self.stream.write_all(&self.peer.request(method, extra)).await.unwrap();
        let mut answer = Message { raw: self.frame().await, ..Message::default() };
        answer.decode().unwrap();
        if let Ok(nonce) = TextAttribute::get_from_as(&answer, ATTR_NONCE) {
            self.peer.nonce = nonce.text;
        }
        answer
    }

    /// Its relayed address.
    async fn allocate(&mut self) -> SocketAddr {
        let transport = || -> Vec<Box<dyn Setter>> {
            vec![Box::new(RequestedTransport { protocol: PROTO_UDP })]
        };
        assert_eq!(code(&self.ask(METHOD_ALLOCATE, transport()).await), 438);
        let done = self.ask(METHOD_ALLOCATE, transport()).await;
        assert_eq!(code(&done), 0);
        let mut relayed = RelayedAddress::default();
        relayed.get_from(&done).unwrap();
        SocketAddr::new(relayed.ip, relayed.port)
    }
}

#[tokio::test]
async fn a_stream_carries_frames_and_its_allocation_ends_with_it() {
    let relay = Relay::open().await;
    let mut ann = StreamPeer::open(&relay, ANN).await;
    assert_eq!(ann.allocate().await.ip().to_string(), "203.0.113.113");
    drop(ann);
    // Nonsense ends a stream, and nothing else.
    let mut noise = TcpStream::connect(relay.address).await.unwrap();
    noise.write_all(b"\x80\x00\x00\x00").await.unwrap();
    assert_eq!(timeout(DEADLINE, noise.read(&mut [0; 1])).await.unwrap().unwrap_or(0), 0);
    assert_eq!(relay.peer(ANN).await.allocate().await, 0);
}

#[tokio::test]
async fn strangers_cost_no_memory_and_few_answers() {
    let relay = Relay::open().await;
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    stranger.connect(relay.address).await.unwrap();
    let mut bare = Message::new();
    let kind = MessageType::new(METHOD_ALLOCATE, CLASS_REQUEST);
    bare.build(&[Box::new(TransactionId::new()), Box::new(kind)]).unwrap();
    let mut least = usize::MAX;
    // Other tests need memory as well, but not each time as much as strangers would.
    for _ in 0..5 {
        let before = resident();
        for round in 0..100_000 {
            let _ = stranger.try_send(&bare.raw);
            if round % 1000 == 0 {
                tokio::task::yield_now().await;
            }
        }
        least = least.min(resident().saturating_sub(before));
    }
    assert_eq!(relay.peer(BOB).await.socket.send(&bare.raw).await.unwrap(), bare.raw.len());
    assert!(least < 4 << 20, "{least} bytes more");
}

/// Bytes this process holds.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_datagram_makes_the_front_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let front = front::Front::new(RelayCredentials::new("north", 60), |_| true);
        let bounds = ledger::Bounds { per_account: 1, total: 1, peers: 1 };
        let ledger = ledger::Ledger::new(bounds);
        let place = (ledger::LineId(0), "127.0.0.1:9".parse().unwrap());
        let now = Timestamp::from_secs(1);
        front.judge(&bytes, place, &ledger, now);
        // The same behind the head of a real message.
        let mut framed = vec![0, 3];
        framed.extend((bytes.len() as u16).to_be_bytes());
        framed.extend([0x21, 0x12, 0xa4, 0x42]);
        framed.extend([7; 12]);
        framed.extend(&bytes);
        front.judge(&framed, place, &ledger, now);
    }
}
