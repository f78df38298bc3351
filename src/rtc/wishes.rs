//! What a client asks of an allocation (RFC 8656, 7.2), and for how long it is given one.

use std::time::Duration;

use stun::attributes::{ATTR_CHANNEL_NUMBER, ATTR_EVEN_PORT, ATTR_RESERVATION_TOKEN, AttrType};
use stun::error_code::{
    CODE_ADDR_FAMILY_NOT_SUPPORTED, CODE_BAD_REQUEST, CODE_UNSUPPORTED_TRANS_PROTO, ErrorCode,
};
use stun::message::{Getter, Message};
use turn::proto::PROTO_UDP;
use turn::proto::lifetime::{DEFAULT_LIFETIME, Lifetime};
use turn::proto::reqfamily::{REQUESTED_FAMILY_IPV6, RequestedAddressFamily};
use turn::proto::reqtrans::RequestedTransport;

/// No allocation lives that long without being refreshed.
const LONGEST: Duration = Duration::from_hours(1);
/// Attributes that a request must not carry unless its server knows them, and this one does.
const KNOWN: [u16; 19] = [
    0x01, 0x06, 0x08, 0x09, 0x0a, 0x0c, 0x0d, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x20,
    0x22, 0x24, 0x25,
];
/// The first attribute that may be ignored by who does not know it.
const OPTIONAL: u16 = 0x8000;

/// Names a reserved port.
pub(super) type Token = [u8; 8];

/// What a client asks of an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wish {
    pub(super) v4: bool,
    pub(super) port: WishedPort,
    pub(super) lifetime: Duration,
}

/// Which relayed port it is to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WishedPort {
    Any,
    /// An even one; with the next one reserved for another allocation, or not.
    Even {
        reserve: bool,
    },
    /// The one that was reserved under this token.
    Reserved(Token),
}

impl Wish {
    /// Reads an Allocate request, or says why there can be no such allocation.
    pub(super) fn read(request: &Message) -> Result<Self, ErrorCode> {
        let mut transport = RequestedTransport::default();
        transport.get_from(request).map_err(|_| CODE_BAD_REQUEST)?;
        if transport.protocol != PROTO_UDP {
            return Err(CODE_UNSUPPORTED_TRANS_PROTO);
        }
        let even = request.get(ATTR_EVEN_PORT).ok();
        let token = request.get(ATTR_RESERVATION_TOKEN).ok();
        let (asks_family, v6) = family(request)?;
        let port = match (even, token) {
            (Some(_), Some(_)) => return Err(CODE_BAD_REQUEST),
            (None, Some(_)) if asks_family => return Err(CODE_BAD_REQUEST),
            (None, Some(token)) => {
                WishedPort::Reserved(token.try_into().map_err(|_| CODE_BAD_REQUEST)?)
            }
            (Some(even), None) => match even[..] {
                [bits] => WishedPort::Even { reserve: bits & 0x80 != 0 },
                _ => return Err(CODE_BAD_REQUEST),
            },
            (None, None) => WishedPort::Any,
        };
        let lifetime = asked_lifetime(request).filter(|asked| !asked.is_zero());
        Ok(Self { v4: !v6, port, lifetime: granted_lifetime(lifetime) })
    }
}

/// Whether a request names a family of addresses, and whether that is IPv6.
pub(super) fn family(request: &Message) -> Result<(bool, bool), ErrorCode> {
    let mut family = RequestedAddressFamily::default();
    match family.get_from(request) {
        Ok(()) => Ok((true, family == REQUESTED_FAMILY_IPV6)),
        Err(stun::Error::ErrAttributeNotFound) => Ok((false, false)),
        Err(stun::Error::Other(_)) => Err(CODE_ADDR_FAMILY_NOT_SUPPORTED),
        Err(_) => Err(CODE_BAD_REQUEST),
    }
}

/// The lifetime that a request names.
pub(super) fn asked_lifetime(request: &Message) -> Option<Duration> {
    let mut lifetime = Lifetime::default();
    lifetime.get_from(request).ok().map(|()| lifetime.0)
}

/// The lifetime that is given: never less than the default, as the RFC has it.
pub(super) fn granted_lifetime(asked: Option<Duration>) -> Duration {
    asked.unwrap_or(DEFAULT_LIFETIME).clamp(DEFAULT_LIFETIME, LONGEST)
}

/// Attributes of a request that its server must know, and this one does not.
pub(super) fn unknown_attributes(request: &Message) -> Vec<AttrType> {
    let found = request.attributes.0.iter().map(|attribute| attribute.typ);
    found.filter(|typ| typ.value() < OPTIONAL && !KNOWN.contains(&typ.value())).collect()
}

/// Whether a request names a channel that there may be: RFC 8656 has them from 0x4000 to 0x4FFF,
/// where RFC 5766 had them up to 0x7FFF.
pub(super) fn names_channel(request: &Message) -> bool {
    request.get(ATTR_CHANNEL_NUMBER).is_ok_and(|value| matches!(value[..], [0x40..=0x4f, _, _, _]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_between_the_default_and_an_hour() {
        let secs = |asked: Option<u64>| granted_lifetime(asked.map(Duration::from_secs)).as_secs();
        for (asked, granted) in
            [(None, 600), (Some(1), 600), (Some(777), 777), (Some(3600), 3600), (Some(9999), 3600)]
        {
            assert_eq!(secs(asked), granted, "{asked:?}");
        }
    }
}
