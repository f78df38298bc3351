//! Nonces that need no memory: the time and a keyed hash over it and the client's address.

use std::net::IpAddr;

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::domain::Timestamp;

/// Seconds for which a nonce is taken.
const LIFETIME: i64 = 3600;
/// Bytes of the hash that a nonce shows.
const SHOWN: usize = 12;

/// Makes and checks nonces.
#[derive(Clone)]
pub(super) struct Nonces {
    key: [u8; 32],
}

impl std::fmt::Debug for Nonces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Nonces(..)")
    }
}

impl Nonces {
    /// With a key that ends with the process; a client whose nonce is stale asks again.
    pub(super) fn new() -> Self {
        Self { key: rand::random() }
    }

    /// A nonce for this client.
    pub(super) fn make(&self, client: IpAddr, now: Timestamp) -> String {
        let time = now.secs().to_be_bytes();
        format!("{}{}", HEXLOWER.encode(&time), HEXLOWER.encode(&self.sign(client, time)))
    }

    /// Whether a nonce was made for this client and is not too old.
    pub(super) fn is_fresh(&self, nonce: &str, client: IpAddr, now: Timestamp) -> bool {
        let Ok(bytes) = HEXLOWER.decode(nonce.as_bytes()) else { return false };
        let Some((time, shown)) = bytes.split_first_chunk::<8>() else { return false };
        let age = now.secs() - i64::from_be_bytes(*time);
        (0..LIFETIME).contains(&age) && shown == self.sign(client, *time)
    }

    fn sign(&self, client: IpAddr, time: [u8; 8]) -> [u8; SHOWN] {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of every length");
        mac.update(&time);
        match client {
            IpAddr::V4(ip) => mac.update(&ip.octets()),
            IpAddr::V6(ip) => mac.update(&ip.octets()),
        }
        let mut shown = [0; SHOWN];
        shown.copy_from_slice(&mac.finalize().into_bytes()[..SHOWN]);
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_good_for_its_client_and_for_an_hour() {
        let nonces = Nonces::new();
        let (here, there): (IpAddr, IpAddr) =
            ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let at = Timestamp::from_secs;
        let nonce = nonces.make(here, at(1000));
        assert!(nonces.is_fresh(&nonce, here, at(1000)));
        assert!(nonces.is_fresh(&nonce, here, at(4599)));
        assert!(!nonces.is_fresh(&nonce, here, at(4600)));
        assert!(!nonces.is_fresh(&nonce, here, at(999)));
        assert!(!nonces.is_fresh(&nonce, there, at(1000)));
        assert!(!Nonces::new().is_fresh(&nonce, here, at(1000)));
        for forged in ["", "00", "zz", &nonce[1..], &nonce[..nonce.len() - 2]] {
            assert!(!nonces.is_fresh(forged, here, at(1000)), "{forged}");
        }
    }
}
