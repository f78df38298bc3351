//! Anything may come in from anybody: raw bytes, and requests that are signed as they should be
//! with whatever inside. Nothing may panic, and the server must still answer afterwards.

#![no_main]

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use arbitrary::Arbitrary;
use futures_util::future::BoxFuture;
use klatsch::domain::{Principal, Timestamp, UserId};
use klatsch::rtc::{
    RelayAccounts, RelayCredentials, RelayLimits, RelayServer, RelayStreams, RelayUnavailable,
    RelayWay, Writing,
};
use libfuzzer_sys::fuzz_target;
use stun::agent::TransactionId;
use stun::attributes::{ATTR_NONCE, ATTR_REALM, ATTR_USERNAME, AttrType};
use stun::integrity::MessageIntegrity;
use stun::message::{
    BINDING_REQUEST, CLASS_REQUEST, METHOD_ALLOCATE, METHOD_CHANNEL_BIND, METHOD_CREATE_PERMISSION,
    METHOD_REFRESH, Message, MessageType, Method, Setter,
};
use stun::textattrs::{TextAttribute, Username};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::runtime::Runtime;
use tokio::time::timeout;
use turn::auth::generate_auth_key;
use turn::proto::PROTO_UDP;
use turn::proto::reqtrans::RequestedTransport;

const REALM: &str = "klatsch";
const ANN: Principal = Principal::User(UserId::new(1));
const PATIENCE: Duration = Duration::from_secs(10);

/// What a client does.
#[derive(Arbitrary, Debug)]
enum Move {
    /// Sends bytes.
    Raw(Vec<u8>),
    /// Sends a frame of a channel.
    Frame(u16, Vec<u8>),
    /// Sends a signed request with these attributes.
    Signed(Verb, Vec<(Kind, Vec<u8>)>),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Verb {
    Allocate,
    Refresh,
    CreatePermission,
    ChannelBind,
}

impl Verb {
    const fn method(self) -> Method {
        match self {
            Self::Allocate => METHOD_ALLOCATE,
            Self::Refresh => METHOD_REFRESH,
            Self::CreatePermission => METHOD_CREATE_PERMISSION,
            Self::ChannelBind => METHOD_CHANNEL_BIND,
        }
    }
}

/// An attribute, most often one that means something.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Kind {
    ChannelNumber,
    Lifetime,
    PeerAddress,
    Data,
    AddressFamily,
    EvenPort,
    Transport,
    DontFragment,
    ReservationToken,
    Other(u16),
}

impl Kind {
    const fn number(self) -> AttrType {
        AttrType(match self {
            Self::ChannelNumber => 0x000c,
            Self::Lifetime => 0x000d,
            Self::PeerAddress => 0x0012,
            Self::Data => 0x0013,
            Self::AddressFamily => 0x0017,
            Self::EvenPort => 0x0018,
            Self::Transport => 0x0019,
            Self::DontFragment => 0x001a,
            Self::ReservationToken => 0x0022,
            Self::Other(number) => number,
        })
    }
}

/// Bytes as an attribute.
struct Attribute(AttrType, Vec<u8>);

impl Setter for Attribute {
    fn add_to(&self, message: &mut Message) -> Result<(), stun::Error> {
        message.add(self.0, &self.1);
        Ok(())
    }
}

/// Everybody may be relayed, and time stands still.
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
        Timestamp::from_secs(1_000_000)
    }
}

/// The server, which lives as long as the process.
struct Target {
    runtime: Runtime,
    streams: RelayStreams,
    /// The client's port, another one each time.
    port: Mutex<u32>,
}

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let streams = runtime.block_on(async {
        let bandwidth = NonZeroU32::MAX;
        let limits = RelayLimits { per_account: 64, total: 64, peers: 8, bandwidth };
        let credentials = RelayCredentials::new("north", 86_400);
        let accounts = Arc::new(Everybody);
        let server = RelayServer::start(credentials, RelayWay::Internal, limits, accounts);
        server.streams("127.0.0.1:3478".parse().unwrap())
    });
    Target { runtime, streams, port: Mutex::new(0) }
});

/// A client at the other end of a pipe.
struct Client {
    stream: DuplexStream,
    username: String,
    key: Vec<u8>,
    nonce: String,
}

impl Client {
    fn over(stream: DuplexStream) -> Self {
        let now = Everybody.now();
        let (username, password) = RelayCredentials::new("north", 86_400).make(ANN, now);
        let key = generate_auth_key(&username, REALM, &password);
        Self { stream, username, key, nonce: "none".to_owned() }
    }

    fn request(&self, method: Method, extra: Vec<Box<dyn Setter>>) -> Vec<u8> {
        let mut setters: Vec<Box<dyn Setter>> =
            vec![Box::new(TransactionId::new()), Box::new(MessageType::new(method, CLASS_REQUEST))];
        setters.extend(extra);
        for (attribute, text) in [
            (ATTR_USERNAME, self.username.as_str()),
            (ATTR_REALM, REALM),
            (ATTR_NONCE, self.nonce.as_str()),
        ] {
            setters.push(Box::new(Username::new(attribute, text.to_owned())));
        }
        setters.push(Box::new(MessageIntegrity(self.key.clone())));
        let mut message = Message::new();
        // What cannot be built cannot be sent.
        let _ = message.build(&setters);
        message.raw
    }

    async fn read(&mut self) -> Option<Message> {
        let mut head = [0; 20];
        timeout(PATIENCE, self.stream.read_exact(&mut head)).await.ok()?.ok()?;
        let mut rest = vec![0; usize::from(u16::from_be_bytes([head[2], head[3]]))];
        self.stream.read_exact(&mut rest).await.ok()?;
        let mut message = Message { raw: [&head[..], &rest].concat(), ..Message::default() };
        message.decode().ok().map(|()| message)
    }

    /// Has an allocation afterwards.
    async fn allocate(&mut self) {
        for _ in 0..2 {
            let wanted = Box::new(RequestedTransport { protocol: PROTO_UDP });
            let request = self.request(METHOD_ALLOCATE, vec![wanted]);
            let _ = self.stream.write_all(&request).await;
            let Some(answer) = self.read().await else { return };
            if let Ok(nonce) = TextAttribute::get_from_as(&answer, ATTR_NONCE) {
                self.nonce = nonce.text;
            }
        }
    }

    async fn make(&mut self, done: Move) {
        let bytes = match done {
            Move::Raw(bytes) => bytes,
            Move::Frame(number, data) => {
                let len = u16::try_from(data.len()).unwrap_or(u16::MAX);
                let mut frame = [number.to_be_bytes(), len.to_be_bytes()].concat();
                frame.extend(data);
                frame.resize(frame.len().next_multiple_of(4), 0);
                frame
            }
            Move::Signed(verb, attributes) => {
                let attributes = attributes.into_iter().map(|(kind, bytes)| -> Box<dyn Setter> {
                    Box::new(Attribute(kind.number(), bytes))
                });
                self.request(verb.method(), attributes.collect())
            }
        };
        // The server hangs up on nonsense.
        let _ = timeout(PATIENCE, self.stream.write_all(&bytes)).await;
    }
}

async fn play(moves: Vec<Move>, target: &'static Target, peer: SocketAddr) {
    let (near, far) = tokio::io::duplex(1 << 20);
    let server = tokio::spawn(serve(target.streams.clone(), far, peer));
    let mut client = Client::over(near);
    client.allocate().await;
    for done in moves {
        client.make(done).await;
    }
    drop(client);
    server.await.expect("no datagram makes the server panic");
}

/// Serves a stream to its end.
async fn serve(streams: RelayStreams, stream: DuplexStream, peer: SocketAddr) {
    streams.converse(stream, peer, Writing::Together).await;
}

/// Somebody else is served as before.
async fn look(target: &'static Target, from: IpAddr) {
    let (mut near, far) = tokio::io::duplex(4096);
    let server = tokio::spawn(serve(target.streams.clone(), far, (from, 9).into()));
    let mut message = Message::new();
    message.build(&[Box::new(TransactionId::new()), Box::new(BINDING_REQUEST)]).unwrap();
    near.write_all(&message.raw).await.unwrap();
    let mut head = [0; 2];
    // Who asks very often is not answered each time.
    let answered = timeout(Duration::from_millis(20), near.read_exact(&mut head)).await;
    assert!(answered.is_err() || head == [1, 1]);
    drop(near);
    server.await.expect("no datagram makes the server panic");
}

fuzz_target!(|moves: Vec<Move>| {
    let target = &*TARGET;
    let port = {
        let mut port = target.port.lock().unwrap();
        *port += 1;
        1024 + (*port % 60_000) as u16
    };
    // Many addresses, for the server answers none of them for ever.
    let peer = SocketAddr::from(([127, 0, (port >> 8) as u8, port as u8], port));
    target.runtime.block_on(async {
        play(moves, target, peer).await;
        look(target, peer.ip()).await;
    });
});
