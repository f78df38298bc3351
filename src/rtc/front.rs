//! What becomes of a datagram, before the TURN library sees it: the library keeps memory for
//! every unauthenticated packet, has no quota and answers wrong credentials as bad requests.
//!
//! Pure but for the ledger it asks. A refusal of somebody who has shown credentials is signed.

use std::net::{IpAddr, SocketAddr};

use stun::attributes::{ATTR_DATA, ATTR_MESSAGE_INTEGRITY, ATTR_NONCE, ATTR_REALM, ATTR_USERNAME};
use stun::error_code::{
    CODE_ALLOC_MISMATCH, CODE_BAD_REQUEST, CODE_FORBIDDEN, CODE_INSUFFICIENT_CAPACITY,
    CODE_STALE_NONCE, CODE_UNAUTHORIZED, CODE_UNKNOWN_ATTRIBUTE, CODE_WRONG_CREDENTIALS, ErrorCode,
    ErrorCodeAttribute,
};
use stun::integrity::MessageIntegrity;
use stun::message::{
    CLASS_ERROR_RESPONSE, CLASS_INDICATION, CLASS_REQUEST, METHOD_ALLOCATE, METHOD_BINDING,
    METHOD_CHANNEL_BIND, METHOD_CREATE_PERMISSION, METHOD_REFRESH, METHOD_SEND, Message,
    MessageType,
};
use stun::textattrs::{Nonce, Realm};
use turn::auth::generate_auth_key;

use super::credentials::{Claim, RelayCredentials};
use super::ledger::{Ledger, Place};
use super::messages::{answer, peers, refusal, text};
use super::nonce::Nonces;
use super::strangers::Strangers;
use super::wishes::{Wish, names_channel, unknown_attributes};
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
    /// It gets an allocation, once it is known that the account may be relayed.
    Allocate(Box<Application>),
    /// It asks once more for what it was given, or is about to be.
    Repeated,
    /// It keeps its allocation, or gives it back.
    Refresh { request: Box<Message>, key: MessageIntegrity },
    /// This goes to a peer.
    Carry { peer: SocketAddr, data: Vec<u8> },
    /// It is answered so.
    Answer(ErrorCode, Vec<u8>),
    /// It has what it asked for, and is told so.
    Granted(Vec<u8>),
    /// Nothing, for this reason.
    Drop(&'static str),
}

/// A request for an allocation that may be had.
pub(super) struct Application {
    pub(super) claim: Claim,
    pub(super) username: String,
    pub(super) wish: Wish,
    pub(super) request: Message,
    pub(super) key: MessageIntegrity,
    /// What is answered if the account may not be relayed.
    pub(super) refusal: Vec<u8>,
}

/// Judges datagrams.
pub(super) struct Front {
    credentials: RelayCredentials,
    nonces: Nonces,
    strangers: Strangers,
    may_reach: MayReach,
}

/// Whether an address may be talked to.
type MayReach = Box<dyn Fn(SocketAddr) -> bool + Send + Sync>;

impl Front {
    pub(super) fn new(
        credentials: RelayCredentials,
        may_reach: impl Fn(SocketAddr) -> bool + Send + Sync + 'static,
    ) -> Self {
        let may_reach = Box::new(may_reach);
        Self { credentials, nonces: Nonces::new(), strangers: Strangers::new(), may_reach }
    }

    /// The key of a name, with which its messages are signed.
    pub(super) fn key(&self, username: &str) -> Vec<u8> {
        generate_auth_key(username, REALM, &self.credentials.password(username))
    }

    /// What becomes of a message that is no frame of a channel.
    pub(super) fn judge(
        &self,
        datagram: &[u8],
        place: Place,
        ledger: &Ledger,
        now: Timestamp,
    ) -> Verdict {
        let pass = || Verdict::Pass { nonce: None, peers: Vec::new() };
        if datagram.first().is_none_or(|first| *first > 3) {
            return Verdict::Drop("noise");
        }
        let mut message = Message { raw: datagram.to_vec(), ..Message::default() };
        if message.decode().is_err() {
            return Verdict::Drop("noise");
        }
        let MessageType { method, class } = message.typ;
        if class == CLASS_INDICATION && method == METHOD_SEND && ledger.holder(place).is_some() {
            let peer = peers(&message).and_then(|peers| peers.first().copied());
            let data = message.get(ATTR_DATA).ok();
            return match (peer, data) {
                (Some(peer), Some(data)) => Verdict::Carry { peer, data },
                _ => Verdict::Drop("noise"),
            };
        }
        if class != CLASS_REQUEST {
            return Verdict::Drop("unexpected");
        }
        let source = place.1.ip();
        match method {
            METHOD_BINDING if !unknown_attributes(&message).is_empty() => {
                self.to_stranger(source, CODE_UNKNOWN_ATTRIBUTE, || {
                    refusal(&message, CODE_UNKNOWN_ATTRIBUTE, None)
                })
            }
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
        if !unknown_attributes(message).is_empty() {
            return refuse(CODE_UNKNOWN_ATTRIBUTE);
        }
        let holder = ledger.holder(place);
        if message.typ.method == METHOD_ALLOCATE {
            if holder == Some(claim.principal) && ledger.is_made_by(place, message.transaction_id) {
                return Verdict::Repeated;
            }
            // A call must not die at its credential's end, so only here the clock counts.
            if claim.expires <= now {
                return challenge(CODE_UNAUTHORIZED);
            }
            if holder.is_some() {
                return refuse(CODE_ALLOC_MISMATCH);
            }
            let wish = match Wish::read(message) {
                Ok(wish) => wish,
                Err(code) => return refuse(code),
            };
            return match challenge(CODE_UNAUTHORIZED) {
                Verdict::Answer(_, refusal) => {
                    let request = message.clone();
                    let application = Application { claim, username, wish, request, key, refusal };
                    Verdict::Allocate(Box::new(application))
                }
                other => other,
            };
        }
        match holder {
            None => return refuse(CODE_ALLOC_MISMATCH),
            Some(holder) if holder != claim.principal => return refuse(CODE_WRONG_CREDENTIALS),
            Some(_) => {}
        }
        if message.typ.method == METHOD_REFRESH {
            return Verdict::Refresh { request: Box::new(message.clone()), key };
        }
        if message.typ.method == METHOD_CHANNEL_BIND && !names_channel(message) {
            return refuse(CODE_BAD_REQUEST);
        }
        let Some(peers) = peers(message) else { return refuse(CODE_BAD_REQUEST) };
        if !peers.iter().all(|peer| (self.may_reach)(*peer)) {
            return refuse(CODE_FORBIDDEN);
        }
        if !ledger.add_peers(place, &peers) {
            return refuse(CODE_INSUFFICIENT_CAPACITY);
        }
        Verdict::Pass { nonce: Some(nonce), peers }
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
                CLASS_ERROR_RESPONSE,
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
