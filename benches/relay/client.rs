//! A small TURN client: an allocation, a channel, and frames as they are on the wire.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use klatsch::clock::Clock;
use klatsch::domain::{Principal, Timestamp, UserId};
use klatsch::rtc::RelayCredentials;
use stun::agent::TransactionId;
use stun::attributes::{ATTR_NONCE, ATTR_REALM, ATTR_USERNAME};
use stun::error_code::ErrorCodeAttribute;
use stun::integrity::MessageIntegrity;
use stun::message::{
    BINDING_REQUEST, CLASS_REQUEST, Getter, METHOD_ALLOCATE, METHOD_CHANNEL_BIND, Message,
    MessageType, Method, Setter,
};
use stun::textattrs::{TextAttribute, Username};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use turn::auth::generate_auth_key;
use turn::proto::PROTO_UDP;
use turn::proto::channum::ChannelNumber;
use turn::proto::peeraddr::PeerAddress;
use turn::proto::relayaddr::RelayedAddress;
use turn::proto::reqtrans::RequestedTransport;

use super::servers::SECRET;

/// The channel of every client.
const CHANNEL: u16 = 0x4000;
const PATIENCE: Duration = Duration::from_secs(10);

/// How clients come to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

/// A way to the server that carries frames.
pub(crate) enum Wire {
    Udp(UdpSocket),
    Tcp(TcpStream, BytesMut),
}

impl Wire {
    async fn open(server: SocketAddr, transport: Transport) -> Self {
        match transport {
            Transport::Udp => {
                let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                socket.connect(server).await.unwrap();
                Self::Udp(socket)
            }
            Transport::Tcp => {
                let stream = TcpStream::connect(server).await.unwrap();
                stream.set_nodelay(true).unwrap();
                Self::Tcp(stream, BytesMut::with_capacity(64 << 10))
            }
        }
    }

    /// Sends a frame, which is padded already.
    pub(crate) async fn send(&mut self, frame: &[u8]) {
        match self {
            Self::Udp(socket) => drop(socket.send(frame).await),
            Self::Tcp(stream, _) => stream.write_all(frame).await.unwrap(),
        }
    }

    /// Waits for a frame.
    pub(crate) async fn receive(&mut self, frame: &mut [u8]) -> usize {
        match self {
            Self::Udp(socket) => socket.recv(frame).await.unwrap(),
            Self::Tcp(stream, bytes) => loop {
                if let Some(len) = frame_in(bytes) {
                    frame[..len].copy_from_slice(&bytes[..len]);
                    bytes.advance(len);
                    return len;
                }
                assert!(stream.read_buf(bytes).await.unwrap() > 0, "the server hangs up");
            },
        }
    }
}

/// The length of the frame at the beginning, with its padding, if all of it is there.
fn frame_in(bytes: &[u8]) -> Option<usize> {
    let said = usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]));
    let head = if bytes[0] & 0xc0 == 0x40 { 4 } else { 20 };
    let len = (head + said).next_multiple_of(4);
    (bytes.len() >= len).then_some(len)
}

/// A client with an allocation.
pub(crate) struct Client {
    pub(crate) wire: Wire,
    pub(crate) relayed: SocketAddr,
    username: String,
    key: Vec<u8>,
    nonce: String,
    realm: String,
}

impl Client {
    pub(crate) async fn open(server: SocketAddr, transport: Transport) -> Self {
        let account = Principal::User(UserId::new(1));
        let (username, password) = RelayCredentials::new(SECRET, 86_400).make(account, now());
        let wire = Wire::open(server, transport).await;
        let (relayed, key) = (server, Vec::new());
        let (nonce, realm) = (String::new(), String::new());
        let mut client = Self { wire, relayed, username, key, nonce, realm };
        let wanted = || -> Box<dyn Setter> { Box::new(RequestedTransport { protocol: PROTO_UDP }) };
        let challenge = client.ask(METHOD_ALLOCATE, vec![wanted()]).await;
        client.nonce = TextAttribute::get_from_as(&challenge, ATTR_NONCE).unwrap().text;
        client.realm = TextAttribute::get_from_as(&challenge, ATTR_REALM).unwrap().text;
        client.key = generate_auth_key(&client.username, &client.realm, &password);
        let answer = client.ask(METHOD_ALLOCATE, vec![wanted()]).await;
        let mut relayed = RelayedAddress::default();
        relayed.get_from(&answer).expect("the server grants an allocation");
        client.relayed = SocketAddr::new(relayed.ip, relayed.port);
        client
    }

    /// Binds the channel to another client.
    pub(crate) async fn bind(&mut self, peer: SocketAddr) {
        let peer = PeerAddress { ip: peer.ip(), port: peer.port() };
        let extra: Vec<Box<dyn Setter>> = vec![Box::new(ChannelNumber(CHANNEL)), Box::new(peer)];
        let answer = self.ask(METHOD_CHANNEL_BIND, extra).await;
        let mut refusal = ErrorCodeAttribute::default();
        let refused = refusal.get_from(&answer).is_ok();
        assert!(!refused, "the server does not bind a channel: {refusal}");
    }

    async fn ask(&mut self, method: Method, extra: Vec<Box<dyn Setter>>) -> Message {
        let mut setters: Vec<Box<dyn Setter>> =
            vec![Box::new(TransactionId::new()), Box::new(MessageType::new(method, CLASS_REQUEST))];
        setters.extend(extra);
        if !self.key.is_empty() {
            for (attribute, text) in [
                (ATTR_USERNAME, &self.username),
                (ATTR_REALM, &self.realm),
                (ATTR_NONCE, &self.nonce),
            ] {
                setters.push(Box::new(Username::new(attribute, text.clone())));
            }
            setters.push(Box::new(MessageIntegrity(self.key.clone())));
        }
        let mut message = Message::new();
        message.build(&setters).unwrap();
        self.wire.send(&message.raw).await;
        let mut frame = [0; 2048];
        let len = timeout(PATIENCE, self.wire.receive(&mut frame)).await.expect("an answer");
        let mut answer = Message { raw: frame[..len].to_vec(), ..Message::default() };
        answer.decode().unwrap();
        answer
    }
}

/// A frame for the other of a pair with so many bytes.
pub(crate) fn frame(bytes: u16) -> Vec<u8> {
    let mut frame = [CHANNEL.to_be_bytes(), bytes.to_be_bytes()].concat();
    frame.resize(4 + usize::from(bytes).next_multiple_of(4), b'k');
    frame
}

/// Whether a server answers already.
pub(crate) fn is_answered(server: SocketAddr) -> bool {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let mut message = Message::new();
    message.build(&[Box::new(TransactionId::new()), Box::new(BINDING_REQUEST)]).unwrap();
    let _ = socket.send_to(&message.raw, server);
    let answered = socket.recv_from(&mut [0; 256]).is_ok();
    if !answered {
        std::thread::sleep(Duration::from_millis(50));
    }
    answered
}

/// The present moment.
pub(crate) fn now() -> Timestamp {
    Clock::system().now()
}
