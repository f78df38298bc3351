//! Messages as the relay itself reads and writes them, beside what the TURN library does.

use std::net::SocketAddr;
use std::time::Duration;

use stun::agent::TransactionId;
use stun::attributes::{ATTR_XOR_PEER_ADDRESS, AttrType};
use stun::error_code::{CODE_UNKNOWN_ATTRIBUTE, ErrorCode, ErrorCodeAttribute};
use stun::integrity::MessageIntegrity;
use stun::message::{
    CLASS_ERROR_RESPONSE, CLASS_SUCCESS_RESPONSE, Message, MessageClass, MessageType, Setter,
};
use stun::textattrs::TextAttribute;
use stun::uattrs::UnknownAttributes;
use stun::xoraddr::XorMappedAddress;
use turn::proto::lifetime::Lifetime;
use turn::proto::relayaddr::RelayedAddress;
use turn::proto::rsrvtoken::ReservationToken;

use super::wishes::{Token, unknown_attributes};

/// A text that a message carries.
pub(super) fn text(message: &Message, attribute: AttrType) -> Option<String> {
    TextAttribute::get_from_as(message, attribute).ok().map(|found| found.text)
}

/// All addresses that a request names; the library's own reader sees the first alone.
pub(super) fn peers(message: &Message) -> Option<Vec<SocketAddr>> {
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

/// A refusal, signed if its reader has shown a key.
pub(super) fn refusal(
    message: &Message,
    code: ErrorCode,
    key: Option<&MessageIntegrity>,
) -> Option<Vec<u8>> {
    let mut attributes: Vec<Box<dyn Setter>> =
        vec![Box::new(ErrorCodeAttribute { code, reason: Vec::new() })];
    if code == CODE_UNKNOWN_ATTRIBUTE {
        attributes.push(Box::new(UnknownAttributes(unknown_attributes(message))));
    }
    if let Some(key) = key {
        attributes.push(Box::new(MessageIntegrity(key.0.clone())));
    }
    answer(message, CLASS_ERROR_RESPONSE, attributes)
}

/// An answer of this class with these attributes.
pub(super) fn answer(
    to: &Message,
    class: MessageClass,
    attributes: Vec<Box<dyn Setter>>,
) -> Option<Vec<u8>> {
    let mut setters: Vec<Box<dyn Setter>> = vec![
        Box::new(MessageType::new(to.typ.method, class)),
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

/// The answer to who asked for an allocation and has one.
pub(super) fn granted(
    request: &Message,
    source: SocketAddr,
    relayed: SocketAddr,
    lifetime: Duration,
    token: Option<Token>,
    key: &MessageIntegrity,
) -> Option<Vec<u8>> {
    let mut attributes: Vec<Box<dyn Setter>> = vec![
        Box::new(RelayedAddress { ip: relayed.ip(), port: relayed.port() }),
        Box::new(Lifetime(lifetime)),
        Box::new(XorMappedAddress { ip: source.ip(), port: source.port() }),
    ];
    if let Some(token) = token {
        attributes.push(Box::new(ReservationToken(token.to_vec())));
    }
    attributes.push(Box::new(MessageIntegrity(key.0.clone())));
    answer(request, CLASS_SUCCESS_RESPONSE, attributes)
}

/// The answer to who has kept an allocation, or given it back.
pub(super) fn refreshed(
    request: &Message,
    lifetime: Duration,
    key: &MessageIntegrity,
) -> Option<Vec<u8>> {
    let attributes: Vec<Box<dyn Setter>> =
        vec![Box::new(Lifetime(lifetime)), Box::new(MessageIntegrity(key.0.clone()))];
    answer(request, CLASS_SUCCESS_RESPONSE, attributes)
}
