//! Logins of browsers: a random `sessionid` for the cookie, and a key derived from it for addresses.
//!
//! The key stands in addresses and pages, so the cookie cannot be computed from it. Only hashes are stored.

use data_encoding::BASE32HEX_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::settings::Secret;

/// Keeps keys of browser logins apart from whatever else the secret makes.
const PURPOSE: &[u8] = b"klatsch browser login\0";

/// Makes browser logins.
#[derive(Clone)]
pub struct Browsers {
    keyed: Hmac<Sha256>,
}

impl std::fmt::Debug for Browsers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Browsers(..)")
    }
}

/// A browser's new login.
pub struct BrowserLogin {
    /// The cookie's value.
    pub session_id: String,
    /// What stands in private-chat's addresses.
    pub session_key: String,
    /// What is stored of the cookie's value.
    pub session_hash: [u8; 32],
    /// What is stored of the key.
    pub key_hash: [u8; 32],
}

impl std::fmt::Debug for BrowserLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BrowserLogin(..)")
    }
}

impl Browsers {
    /// Derives keys with a secret.
    pub fn new(secret: &Secret) -> Self {
        let mut keyed = Hmac::new_from_slice(secret.expose().as_bytes())
            .expect("HMAC takes keys of every length");
        keyed.update(PURPOSE);
        Self { keyed }
    }

    /// A new login, to be stored.
    pub fn start(&self) -> BrowserLogin {
        let session_id = random_key();
        let session_key = self.key_of(&session_id);
        let (session_hash, key_hash) = (hash_of(&session_id), hash_of(&session_key));
        BrowserLogin { session_id, session_key, session_hash, key_hash }
    }

    /// The key of a login, for the page that shows the cookie.
    pub fn key_of(&self, session_id: &str) -> String {
        let code = self.keyed.clone().chain_update(session_id.as_bytes()).finalize().into_bytes();
        key(&code[..20])
    }
}

/// What is stored of a random text that must stay secret.
pub fn hash_of(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

/// 32 characters of a–z and 0–9 that nobody can guess.
pub fn random_key() -> String {
    key(&rand::random::<[u8; 20]>())
}

/// 20 bytes as 32 characters.
fn key(bytes: &[u8]) -> String {
    BASE32HEX_NOPAD.encode(bytes).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_key(text: &str) -> bool {
        text.len() == 32 && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    }

    #[test]
    fn the_key_follows_from_the_cookie_and_the_secret() {
        let browsers = Browsers::new(&Secret::new("secret"));
        let login = browsers.start();
        assert!(is_key(&login.session_id) && is_key(&login.session_key));
        assert_ne!(login.session_id, login.session_key);
        assert_eq!(browsers.key_of(&login.session_id), login.session_key);
        assert_eq!(hash_of(&login.session_id), login.session_hash);
        assert_eq!(hash_of(&login.session_key), login.key_hash);
        assert_ne!(
            Browsers::new(&Secret::new("other")).key_of(&login.session_id),
            login.session_key
        );
        assert_ne!(browsers.start().session_id, login.session_id);
    }

    #[test]
    fn a_key_stays_the_same_over_restarts() {
        let browsers = Browsers::new(&Secret::new("secret"));
        assert_eq!(browsers.key_of("0123"), Browsers::new(&Secret::new("secret")).key_of("0123"));
        assert!(is_key(&browsers.key_of("")));
    }
}
