//! What becomes of a datagram, before the TURN library sees it: the library keeps memory for
//! every unauthenticated packet, has no quota and answers wrong credentials as bad requests.
//!
//! Pure but for the ledger it asks. A refusal of somebody who has shown credentials is signed.

use std::net::{IpAddr, SocketAddr};

use stun::agent::TransactionId;
use stun::attributes::{
    ATTR_MESSAGE_INTEGRITY, ATTR_NONCE, ATTR_REALM, ATTR_USERNAME, ATTR_XOR_PEER_ADDRESS, AttrType,
};
use stun::error_code::{
    CODE_ALLOC_MISMATCH, CODE_ALLOC_QUOTA_REACHED, CODE_BAD_REQUEST, CODE_FORBIDDEN,
    CODE_INSUFFICIENT_CAPACITY, CODE_STALE_NONCE, CODE_UNAUTHORIZED, CODE_WRONG_CREDENTIALS,
    ErrorCode, ErrorCodeAttribute,
};
use stun::integrity::MessageIntegrity;
use stun::message::{
    CLASS_ERROR_RESPONSE, CLASS_INDICATION, CLASS_REQUEST, METHOD_ALLOCATE, METHOD_BINDING,
    METHOD_CHANNEL_BIND, METHOD_CREATE_PERMISSION, METHOD_REFRESH, METHOD_SEND, Message,
    MessageType, Setter,
};
use stun::textattrs::{Nonce, Realm, TextAttribute};
use stun::xoraddr::XorMappedAddress;
use turn::auth::generate_auth_key;

use super::credentials::{Claim, RelayCredentials};
use super::ledger::{Exceeded, Ledger, Place};
use super::nonce::Nonces;
use super::strangers::Strangers;
use crate::domain::Timestamp;

/// The realm; short, for it stands in every answer to a stranger.
pub(super) const REALM: &str = "klatsch";

/// What becomes of a datagram.
pub(super) enum Verdict {
    /// The library takes it; what it says of nonces is settled.
    Pass {
        /// The nonce that it names.
        nonce: Option<String>,
        /// Further addresses to permit, of which the library sees only the first.
        peers: Vec<SocketAddr>,
    },
    /// The same, once it is known that the account may be relayed.
    Allocate {
        claim: Claim,
        nonce: String,
        /// What is answered if it may not.
        refusal: Vec<u8>,
    },
    /// It is answered so.
    Answer(ErrorCode, Vec<u8>),
    /// Nothing, for this reason.
    Drop(&'static str),
}

/// Judges datagrams.
#[derive(Debug)]
pub(super) struct Front {
    credentials: RelayCredentials,
    nonces: Nonces,
    strangers: Strangers,
    /// Whether this address may be talked to.
    may_reach: fn(IpAddr) -> bool,
}

impl Front {
    pub(super) fn new(credentials: RelayCredentials, may_reach: fn(IpAddr) -> bool) -> Self {
        Self { credentials, nonces: Nonces::new(), strangers: Strangers::new(), may_reach }
    }

    /// The key of a name, with which its messages are signed.
    pub(super) fn key(&self, username: &str) -> Vec<u8> {
        generate_auth_key(username, REALM, &self.credentials.password(username))
    }

    /// What becomes of a datagram from `source`.
    pub(super) fn judge(
        &self,
        datagram: &[u8],
        place: Place,
        ledger: &Ledger,
        now: Timestamp,
    ) -> Verdict {
        let pass = || Verdict::Pass { nonce: None, peers: Vec::new() };
        let holds = || ledger.holder(place).is_some();
        match datagram.first() {
            Some(0x40..=0x7f) if holds() => return pass(),
            Some(0..=3) => {}
            _ => return Verdict::Drop("noise"),
        }
        let mut message = Message { raw: datagram.to_vec(), ..Message::default() };
        if message.decode().is_err() {
            return Verdict::Drop("noise");
        }
        let MessageType { method, class } = message.typ;
        if class == CLASS_INDICATION && method == METHOD_SEND && holds() {
            return pass();
        }
        if class != CLASS_REQUEST {
            return Verdict::Drop("unexpected");
        }
        let source = place.1.ip();
        match method {
            METHOD_BINDING if self.strangers.may_be_answered(source) => pass(),
            METHOD_BINDING => Verdict::Drop("pace"),
            METHOD_ALLOCATE | METHOD_REFRESH | METHOD_CREATE_PERMISSION | METHOD_CHANNEL_BIND => {
                self.judge_request(&message, place, ledger, now)
            }
            _ => Verdict::Drop("unexpected"),
        }
    }

    fn judge_request(
        &self,
        message: &Message,
        place: Place,
        ledger: &Ledger,
        now: Timestamp,
    ) -> Verdict {
        let source = place.1.ip();
        let challenge = |code| self.challenge(message, code, source, now);
        if !message.contains(ATTR_MESSAGE_INTEGRITY) {
            return challenge(CODE_UNAUTHORIZED);
        }
        let (Some(username), Some(realm), Some(nonce)) =
            (text(message, ATTR_USERNAME), text(message, ATTR_REALM), text(message, ATTR_NONCE))
        else {
            return self.to_stranger(source, CODE_BAD_REQUEST, || {
                refusal(message, CODE_BAD_REQUEST, None)
            });
        };
        if !self.nonces.is_fresh(&nonce, source, now) {
            return challenge(CODE_STALE_NONCE);
        }
        let Some(claim) = self.credentials.read(&username).filter(|_| realm == REALM) else {
            return challenge(CODE_UNAUTHORIZED);
        };
        let key = MessageIntegrity(self.key(&username));
        if key.check(&mut message.clone()).is_err() {
            return challenge(CODE_UNAUTHORIZED);
        }
        let refuse = |code| match refusal(message, code, Some(&key)) {
            Some(bytes) => Verdict::Answer(code, bytes),
            None => Verdict::Drop("unanswerable"),
        };
        let holder = ledger.holder(place);
        if message.typ.method == METHOD_ALLOCATE {
            // A call must not die at its credential's end, so only here the clock counts.
            if claim.expires <= now {
                return challenge(CODE_UNAUTHORIZED);
            }
            return match holder {
                Some(_) => refuse(CODE_ALLOC_MISMATCH),
                None => match self.challenge(message, CODE_UNAUTHORIZED, source, now) {
                    Verdict::Answer(_, refusal) => Verdict::Allocate { claim, nonce, refusal },
                    other => other,
                },
            };
        }
        match holder {
            None => return refuse(CODE_ALLOC_MISMATCH),
            Some(holder) if holder != claim.principal => return refuse(CODE_WRONG_CREDENTIALS),
            Some(_) => {}
        }
        if message.typ.method == METHOD_REFRESH {
            return Verdict::Pass { nonce: Some(nonce), peers: Vec::new() };
        }
        let Some(peers) = peers(message) else { return refuse(CODE_BAD_REQUEST) };
        if !peers.iter().all(|peer| (self.may_reach)(peer.ip())) {
            return refuse(CODE_FORBIDDEN);
        }
        if !ledger.add_peers(place, &peers) {
            return refuse(CODE_INSUFFICIENT_CAPACITY);
        }
        Verdict::Pass { nonce: Some(nonce), peers }
    }

    /// The answer to who may not hold another allocation.
    pub(super) fn exceeded(&self, datagram: &[u8], exceeded: Exceeded) -> Verdict {
        let mut message = Message { raw: datagram.to_vec(), ..Message::default() };
        let code = match exceeded {
            Exceeded::Account => CODE_ALLOC_QUOTA_REACHED,
            Exceeded::Total => CODE_INSUFFICIENT_CAPACITY,
        };
        let decoded = message.decode().ok();
        let signed = decoded.and_then(|()| text(&message, ATTR_USERNAME)).and_then(|username| {
            refusal(&message, code, Some(&MessageIntegrity(self.key(&username))))
        });
        signed.map_or(Verdict::Drop("unanswerable"), |bytes| Verdict::Answer(code, bytes))
    }

    /// Asks for credentials, or for better ones.
    fn challenge(
        &self,
        message: &Message,
        code: ErrorCode,
        source: IpAddr,
        now: Timestamp,
    ) -> Verdict {
        self.to_stranger(source, code, || {
            let nonce = self.nonces.make(source, now);
            answer(
                message,
                vec![
                    Box::new(ErrorCodeAttribute { code, reason: Vec::new() }),
                    Box::new(Nonce::new(ATTR_NONCE, nonce)),
                    Box::new(Realm::new(ATTR_REALM, REALM.to_owned())),
                ],
            )
        })
    }

    fn to_stranger(
        &self,
        source: IpAddr,
        code: ErrorCode,
        make: impl FnOnce() -> Option<Vec<u8>>,
    ) -> Verdict {
        if !self.strangers.may_be_answered(source) {
            return Verdict::Drop("pace");
        }
        make().map_or(Verdict::Drop("unanswerable"), |bytes| Verdict::Answer(code, bytes))
    }
}

fn text(message: &Message, attribute: AttrType) -> Option<String> {
    TextAttribute::get_from_as(message, attribute).ok().map(|found| found.text)
}

/// All addresses that a request names; the library's own reader sees the first alone.
fn peers(message: &Message) -> Option<Vec<SocketAddr>> {
    let named = message.attributes.0.iter().filter(|one| one.typ == ATTR_XOR_PEER_ADDRESS);
    let peers: Option<Vec<_>> = named
        .map(|attribute| {
            let mut alone = Message { transaction_id: message.transaction_id, ..Message::new() };
            alone.add(ATTR_XOR_PEER_ADDRESS, &attribute.value);
            let mut peer = XorMappedAddress::default();
            peer.get_from_as(&alone, ATTR_XOR_PEER_ADDRESS).ok()?;
            Some(SocketAddr::new(peer.ip, peer.port))
        })
        .collect();
    peers.filter(|peers| !peers.is_empty())
}

fn refusal(message: &Message, code: ErrorCode, key: Option<&MessageIntegrity>) -> Option<Vec<u8>> {
    let mut attributes: Vec<Box<dyn Setter>> =
        vec![Box::new(ErrorCodeAttribute { code, reason: Vec::new() })];
    if let Some(key) = key {
        attributes.push(Box::new(MessageIntegrity(key.0.clone())));
    }
    answer(message, attributes)
}

fn answer(to: &Message, attributes: Vec<Box<dyn Setter>>) -> Option<Vec<u8>> {
    let mut setters: Vec<Box<dyn Setter>> = vec![
        Box::new(MessageType::new(to.typ.method, CLASS_ERROR_RESPONSE)),
        Box::new(TransactionIdOf(to.transaction_id)),
    ];
    setters.extend(attributes);
    let mut message = Message::new();
    message.build(&setters).ok()?;
    Some(message.raw)
}

/// Sets the transaction that a message belongs to.
struct TransactionIdOf(TransactionId);

impl Setter for TransactionIdOf {
    fn add_to(&self, message: &mut Message) -> Result<(), stun::Error> {
        message.transaction_id = self.0;
        message.write_transaction_id();
        Ok(())
    }
}
