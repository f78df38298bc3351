//! What RFC 8656 has clients find, beyond what browsers ask for.

use super::*;
use stun::xoraddr::XorMappedAddress;

/// An attribute as it stands on the wire.
struct Plain(u16, Vec<u8>);

impl Setter for Plain {
    fn add_to(&self, message: &mut Message) -> Result<(), stun::Error> {
        message.add(AttrType(self.0), &self.1);
        Ok(())
    }
}

fn with(extra: Vec<Plain>) -> Vec<Box<dyn Setter>> {
    let transport = Box::new(RequestedTransport { protocol: PROTO_UDP });
    let extra = extra.into_iter().map(|one| Box::new(one) as Box<dyn Setter>);
    std::iter::once(transport as Box<dyn Setter>).chain(extra).collect()
}

/// Asks for an allocation that is like no other of this client.
async fn apply(relay: &Relay, who: Principal, extra: Vec<Plain>) -> (Peer, Message) {
    let mut peer = relay.peer(who).await;
    assert_eq!(code(&peer.ask(METHOD_ALLOCATE, Vec::new()).await), 438);
    let answer = peer.ask(METHOD_ALLOCATE, with(extra)).await;
    assert!(peer.signs(&answer));
    (peer, answer)
}

fn lifetime(answer: &Message) -> u64 {
    let mut lifetime = Lifetime::default();
    lifetime.get_from(answer).unwrap();
    lifetime.0.as_secs()
}

fn relayed(answer: &Message) -> SocketAddr {
    let mut relayed = RelayedAddress::default();
    relayed.get_from(answer).unwrap();
    SocketAddr::new(relayed.ip, relayed.port)
}

#[tokio::test]
async fn attributes_that_must_be_understood_and_are_not_are_named() {
    let relay = Relay::open().await;
    for unknown in [0x7777, 0x001a, 0x001d, 0x0003, 0x7fff] {
        let (_, answer) = apply(&relay, ANN, vec![Plain(unknown, vec![0; 4])]).await;
        assert_eq!(code(&answer), 420, "{unknown:x}");
        assert_eq!(answer.get(ATTR_UNKNOWN_ATTRIBUTES).unwrap(), unknown.to_be_bytes());
    }
    let (mut ann, answer) = apply(&relay, ANN, vec![Plain(0x8777, vec![0; 4])]).await;
    assert_eq!(code(&answer), 0);
    for method in [METHOD_REFRESH, METHOD_CREATE_PERMISSION, METHOD_CHANNEL_BIND] {
        let answer = ann.ask(method, vec![Box::new(Plain(0x7777, Vec::new()))]).await;
        assert_eq!((code(&answer), ann.signs(&answer)), (420, true), "{method:?}");
    }
    let mut bare = Message::new();
    let kind = MessageType::new(METHOD_BINDING, CLASS_REQUEST);
    let change = Plain(0x0003, vec![0, 0, 0, 6]);
    bare.build(&[Box::new(TransactionId::new()), Box::new(kind), Box::new(change)]).unwrap();
    ann.socket.send(&bare.raw).await.unwrap();
    assert_eq!(code(&ann.read().await), 420);
}

#[tokio::test]
async fn lifetimes_are_those_of_the_rfc() {
    let relay = Relay::open().await;
    for (asked, granted) in [(0_u32, 600), (1, 600), (777, 777), (3600, 3600), (100_000, 3600)] {
        let (mut ann, answer) =
            apply(&relay, ANN, vec![Plain(0x000d, asked.to_be_bytes().to_vec())]).await;
        assert_eq!((code(&answer), lifetime(&answer)), (0, granted), "{asked}");
        let granted = if asked == 0 { 0 } else { granted };
        let again = Plain(0x000d, asked.to_be_bytes().to_vec());
        let answer = ann.ask(METHOD_REFRESH, vec![Box::new(again)]).await;
        assert_eq!((code(&answer), lifetime(&answer)), (0, granted), "{asked}");
        assert_eq!(ann.refresh(600).await, if asked == 0 { 437 } else { 0 });
    }
}

#[tokio::test]
async fn channels_are_those_of_the_rfc() {
    let relay = Relay::open().await;
    let (mut ann, _) = apply(&relay, ANN, Vec::new()).await;
    for (number, expected) in [
        (0x3fff_u16, 400),
        (0x4000, 0),
        (0x4fff, 0),
        (0x5000, 400),
        (0x7fff, 400),
        (0x8000, 400),
        (0xffff, 400),
    ] {
        let port = 2000 + number % 100;
        let peer = Box::new(PeerAddress { ip: "203.0.113.113".parse().unwrap(), port });
        let number = Box::new(Plain(0x000c, [number.to_be_bytes(), [0, 0]].concat()));
        let answer = ann.ask(METHOD_CHANNEL_BIND, vec![number, peer]).await;
        assert_eq!(code(&answer), expected);
    }
}

#[tokio::test]
async fn what_cannot_be_had_is_refused_by_its_own_code() {
    let relay = Relay::open().await;
    let table = [
        (vec![Plain(0x0022, vec![7; 8])], 508),
        (vec![Plain(0x0022, vec![7; 4])], 400),
        (vec![Plain(0x0022, vec![7; 8]), Plain(0x0018, vec![0])], 400),
        (vec![Plain(0x0022, vec![7; 8]), Plain(0x0017, vec![1, 0, 0, 0])], 400),
        (vec![Plain(0x0018, vec![0, 0])], 400),
        (vec![Plain(0x0017, vec![3, 0, 0, 0])], 440),
    ];
    for (extra, expected) in table {
        let (mut ann, answer) = apply(&relay, ANN, extra).await;
        assert_eq!(code(&answer), expected);
        // It is as if nothing had been asked for.
        assert_eq!(ann.allocate().await, 0);
    }
    for (transport, expected) in [(vec![17, 0, 0, 0], 0), (vec![6, 0, 0, 0], 442)] {
        let mut ann = relay.peer(ANN).await;
        ann.refresh(600).await;
        let answer = ann.ask(METHOD_ALLOCATE, vec![Box::new(Plain(0x0019, transport))]).await;
        assert_eq!(code(&answer), expected);
    }
    let mut ann = relay.peer(ANN).await;
    ann.refresh(600).await;
    assert_eq!(code(&ann.ask(METHOD_ALLOCATE, Vec::new()).await), 400);
    let (mut ann, answer) = apply(&relay, ANN, vec![Plain(0x0017, vec![2, 0, 0, 0])]).await;
    assert!(relayed(&answer).is_ipv6());
    let other = Box::new(Plain(0x0017, vec![1, 0, 0, 0]));
    assert_eq!(code(&ann.ask(METHOD_REFRESH, vec![other]).await), 443);
    let bind = "127.0.0.1".parse().unwrap();
    let way = RelayWay::Sockets { bind, advertise: None, ports: 40_000..=60_000 };
    let relay = Relay::with(|_| {}, way).await;
    let (_, answer) = apply(&relay, ANN, vec![Plain(0x0017, vec![2, 0, 0, 0])]).await;
    assert_eq!(code(&answer), 440);
}

#[tokio::test]
async fn a_reserved_port_is_given_to_its_account_once() {
    let bind = "127.0.0.1".parse().unwrap();
    let sockets = RelayWay::Sockets { bind, advertise: None, ports: 40_000..=60_000 };
    for way in [RelayWay::Internal, sockets] {
        let relay = Relay::with(|_| {}, way).await;
        let (_even, answer) = apply(&relay, ANN, vec![Plain(0x0018, vec![0])]).await;
        assert_eq!((code(&answer), relayed(&answer).port() % 2), (0, 0));
        assert!(answer.get(ATTR_RESERVATION_TOKEN).is_err());
        let (_first, answer) = apply(&relay, ANN, vec![Plain(0x0018, vec![0x80])]).await;
        assert_eq!((code(&answer), relayed(&answer).port() % 2), (0, 0));
        let port = relayed(&answer).port();
        let token = answer.get(ATTR_RESERVATION_TOKEN).unwrap();
        let (_, answer) = apply(&relay, BOB, vec![Plain(0x0022, token.clone())]).await;
        assert_eq!(code(&answer), 508);
        let (_second, answer) = apply(&relay, ANN, vec![Plain(0x0022, token.clone())]).await;
        assert_eq!((code(&answer), relayed(&answer).port()), (0, port + 1));
        let (_, answer) = apply(&relay, ANN, vec![Plain(0x0022, token)]).await;
        assert_eq!(code(&answer), 508);
    }
}

#[tokio::test]
async fn an_unspecified_address_serves_both_families_as_they_are() {
    if UdpSocket::bind("[::1]:0").await.is_err() {
        return;
    }
    for everywhere in ["[::]:0", "0.0.0.0:0"] {
        let (server, ..) = start(|_| {}, RelayWay::Internal);
        let stop = CancellationToken::new();
        let mut bound = None;
        // A port that is free for one need not be free for the others.
        while bound.is_none() {
            let Ok(local) = server.listen_udp(everywhere.parse().unwrap(), &stop) else { continue };
            let admit: StreamAdmission = Arc::new(|_| Some(Box::new(())));
            bound = server.listen_tcp(local, &admit, &stop).ok();
        }
        let port = bound.unwrap().port();
        for host in ["127.0.0.1", "::1"] {
            let host: std::net::IpAddr = host.parse().unwrap();
            let mut asked = Message::new();
            let kind = MessageType::new(METHOD_BINDING, CLASS_REQUEST);
            asked.build(&[Box::new(TransactionId::new()), Box::new(kind)]).unwrap();
            let udp = UdpSocket::bind((host, 0)).await.unwrap();
            udp.connect((host, port)).await.unwrap();
            let mut bytes = [0; 200];
            udp.send(&asked.raw).await.unwrap();
            let len = timeout(DEADLINE, udp.recv(&mut bytes)).await.unwrap().unwrap();
            assert_eq!(seen(&bytes[..len]), udp.local_addr().unwrap(), "{everywhere} {host}");
            let mut tcp = TcpStream::connect((host, port)).await.unwrap();
            tcp.write_all(&asked.raw).await.unwrap();
            let len = timeout(DEADLINE, tcp.read(&mut bytes)).await.unwrap().unwrap();
            assert_eq!(seen(&bytes[..len]), tcp.local_addr().unwrap(), "{everywhere} {host}");
        }
    }
}

/// The address that an answer to a Binding names.
fn seen(bytes: &[u8]) -> SocketAddr {
    let mut answer = Message { raw: bytes.to_vec(), ..Message::default() };
    answer.decode().unwrap();
    let mut seen = XorMappedAddress::default();
    seen.get_from(&answer).unwrap();
    SocketAddr::new(seen.ip, seen.port)
}
