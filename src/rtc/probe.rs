//! A client of STUN and TURN that finds out what works, for `klatsch doctor`.
//!
//! It knows just enough to tell a port that nobody listens on from a relay that relays.

use std::net::SocketAddr;
use std::time::Duration;

use stun::agent::TransactionId;
use stun::attributes::{ATTR_NONCE, ATTR_REALM, ATTR_USERNAME};
use stun::error_code::ErrorCodeAttribute;
use stun::integrity::MessageIntegrity;
use stun::message::{
    BINDING_REQUEST, CLASS_INDICATION, CLASS_REQUEST, CLASS_SUCCESS_RESPONSE, Getter,
    METHOD_ALLOCATE, METHOD_CREATE_PERMISSION, METHOD_DATA, METHOD_SEND, Message, MessageType,
    Method, Setter,
};
use stun::textattrs::{Nonce, Realm, TextAttribute, Username};
use stun::xoraddr::XorMappedAddress;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;
use turn::auth::generate_auth_key;
use turn::proto::PROTO_UDP;
use turn::proto::data::Data;
use turn::proto::peeraddr::PeerAddress;
use turn::proto::relayaddr::RelayedAddress;
use turn::proto::reqtrans::RequestedTransport;

/// How long an answer may take; by UDP it is asked for once more after a third of that.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often something is sent by UDP.
const TRIES: u32 = 3;
/// Bytes of the header of a message.
const HEADER: usize = 20;
/// What goes through the relay.
const WORDS: &[u8] = b"is anybody there?";

/// Why something does not work.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// Nothing came back.
    #[error("nothing answers")]
    Silent,
    /// The operating system says no.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The server says no.
    #[error("the server refuses with {0}")]
    Refused(u16),
    /// What came back makes no sense.
    #[error("what answers does not speak STUN")]
    Odd,
}

impl From<stun::Error> for ProbeError {
    fn from(_: stun::Error) -> Self {
        Self::Odd
    }
}

/// How the server is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeWay {
    /// Datagrams.
    Udp,
    /// A stream.
    Tcp,
}

/// Our address as a STUN server sees it.
pub async fn find_reflexive(server: SocketAddr) -> Result<SocketAddr, ProbeError> {
    let mut line = Line::open(server, ProbeWay::Udp).await?;
    let answer = line.ask(vec![Box::new(BINDING_REQUEST)]).await?;
    let mut mapped = XorMappedAddress::default();
    mapped.get_from(&answer)?;
    Ok(SocketAddr::new(mapped.ip, mapped.port))
}

/// Whether a TURN server asks for credentials, as it should.
pub async fn find_relay(server: SocketAddr, way: ProbeWay) -> Result<(), ProbeError> {
    Line::open(server, way).await?.challenge().await.map(|_| ())
}

/// Sends a datagram from one allocation to another.
pub async fn try_relay(
    server: SocketAddr,
    way: ProbeWay,
    username: &str,
    password: &str,
) -> Result<(), ProbeError> {
    let mut near = Account::open(server, way, username, password).await?;
    let mut far = Account::open(server, way, username, password).await?;
    let (here, there) = (near.allocate().await?, far.allocate().await?);
    near.permit(there).await?;
    far.permit(here).await?;
    for _ in 0..TRIES {
        near.send(there).await?;
        match timeout(PATIENCE / TRIES, far.hear()).await {
            Ok(heard) => return heard,
            Err(_) if way == ProbeWay::Tcp => return Err(ProbeError::Silent),
            Err(_) => {}
        }
    }
    Err(ProbeError::Silent)
}

/// A connection of either kind.
enum Line {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Line {
    async fn open(server: SocketAddr, way: ProbeWay) -> Result<Self, ProbeError> {
        match way {
            ProbeWay::Udp => {
                let here = if server.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
                let socket = UdpSocket::bind(here).await?;
                socket.connect(server).await?;
                Ok(Self::Udp(socket))
            }
            ProbeWay::Tcp => {
                let connecting = timeout(PATIENCE, TcpStream::connect(server)).await;
                Ok(Self::Tcp(connecting.map_err(|_| ProbeError::Silent)??))
            }
        }
    }

    async fn write(&mut self, raw: &[u8]) -> Result<(), ProbeError> {
        match self {
            Self::Udp(socket) => socket.send(raw).await.map(|_| ())?,
            Self::Tcp(stream) => stream.write_all(raw).await?,
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<Message, ProbeError> {
        let mut raw = vec![0; 2048];
        match self {
            Self::Udp(socket) => {
                let len = socket.recv(&mut raw).await?;
                raw.truncate(len);
            }
            Self::Tcp(stream) => {
                stream.read_exact(&mut raw[..HEADER]).await?;
                let len = usize::from(u16::from_be_bytes([raw[2], raw[3]]));
                let rest = raw.get_mut(HEADER..HEADER + len).ok_or(ProbeError::Odd)?;
                stream.read_exact(rest).await?;
                raw.truncate(HEADER + len);
            }
        }
        let mut message = Message { raw, ..Message::default() };
        message.decode()?;
        Ok(message)
    }

    /// Asks, and waits for what answers just that.
    async fn ask(&mut self, attributes: Vec<Box<dyn Setter>>) -> Result<Message, ProbeError> {
        let mut setters: Vec<Box<dyn Setter>> = vec![Box::new(TransactionId::new())];
        setters.extend(attributes);
        let mut request = Message::new();
        request.build(&setters)?;
        let tries = if matches!(self, Self::Udp(_)) { TRIES } else { 1 };
        for _ in 0..tries {
            self.write(&request.raw).await?;
            let answer = async {
                loop {
                    let answer = self.read().await?;
                    if answer.transaction_id == request.transaction_id {
                        return Ok::<_, ProbeError>(answer);
                    }
                }
            };
            if let Ok(answer) = timeout(PATIENCE / tries, answer).await {
                let answer = answer?;
                return match code(&answer) {
                    // Who is asked for credentials looks at what to do next.
                    None | Some(401) => Ok(answer),
                    Some(code) => Err(ProbeError::Refused(code)),
                };
            }
        }
        Err(ProbeError::Silent)
    }

    /// Realm and nonce of a server that asks for credentials.
    async fn challenge(&mut self) -> Result<(String, String), ProbeError> {
        let answer = self
            .ask(vec![
                Box::new(MessageType::new(METHOD_ALLOCATE, CLASS_REQUEST)),
                Box::new(RequestedTransport { protocol: PROTO_UDP }),
            ])
            .await?;
        let text = |attribute| TextAttribute::get_from_as(&answer, attribute).map(|a| a.text);
        Ok((text(ATTR_REALM)?, text(ATTR_NONCE)?))
    }
}

/// The code of an error.
fn code(answer: &Message) -> Option<u16> {
    if answer.typ.class == CLASS_SUCCESS_RESPONSE {
        return None;
    }
    let mut error = ErrorCodeAttribute::default();
    error.get_from(answer).ok().map_or(Some(0), |()| Some(error.code.0))
}

/// A connection with credentials.
struct Account {
    line: Line,
    username: String,
    password: String,
    realm: String,
    nonce: String,
}

impl Account {
    async fn open(
        server: SocketAddr,
        way: ProbeWay,
        username: &str,
        password: &str,
    ) -> Result<Self, ProbeError> {
        let mut line = Line::open(server, way).await?;
        let (realm, nonce) = line.challenge().await?;
        let (username, password) = (username.to_owned(), password.to_owned());
        Ok(Self { line, username, password, realm, nonce })
    }

    async fn ask(
        &mut self,
        method: Method,
        attribute: Box<dyn Setter>,
    ) -> Result<Message, ProbeError> {
        let key = generate_auth_key(&self.username, &self.realm, &self.password);
        let answer = self
            .line
            .ask(vec![
                Box::new(MessageType::new(method, CLASS_REQUEST)),
                attribute,
                Box::new(Username::new(ATTR_USERNAME, self.username.clone())),
                Box::new(Realm::new(ATTR_REALM, self.realm.clone())),
                Box::new(Nonce::new(ATTR_NONCE, self.nonce.clone())),
                Box::new(MessageIntegrity(key)),
            ])
            .await?;
        match code(&answer) {
            None => Ok(answer),
            Some(code) => Err(ProbeError::Refused(code)),
        }
    }

    async fn allocate(&mut self) -> Result<SocketAddr, ProbeError> {
        let transport = RequestedTransport { protocol: PROTO_UDP };
        let answer = self.ask(METHOD_ALLOCATE, Box::new(transport)).await?;
        let mut relayed = RelayedAddress::default();
        relayed.get_from(&answer)?;
        Ok(SocketAddr::new(relayed.ip, relayed.port))
    }

    async fn permit(&mut self, peer: SocketAddr) -> Result<(), ProbeError> {
        let peer = PeerAddress { ip: peer.ip(), port: peer.port() };
        self.ask(METHOD_CREATE_PERMISSION, Box::new(peer)).await.map(|_| ())
    }

    async fn send(&mut self, to: SocketAddr) -> Result<(), ProbeError> {
        let mut indication = Message::new();
        indication.build(&[
            Box::new(TransactionId::new()),
            Box::new(MessageType::new(METHOD_SEND, CLASS_INDICATION)),
            Box::new(PeerAddress { ip: to.ip(), port: to.port() }),
            Box::new(Data(WORDS.to_vec())),
        ])?;
        self.line.write(&indication.raw).await
    }

    /// Waits for what goes through the relay.
    async fn hear(&mut self) -> Result<(), ProbeError> {
        loop {
            let message = self.line.read().await?;
            if message.typ != MessageType::new(METHOD_DATA, CLASS_INDICATION) {
                continue;
            }
            let mut data = Data::default();
            data.get_from(&message)?;
            if data.0 == WORDS {
                return Ok(());
            }
        }
    }
}
