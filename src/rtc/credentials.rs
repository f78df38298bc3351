//! Names and passwords of the relay: `<unix expiry>:<u|d><account id>`, and base64 of the
//! HMAC-SHA1 of the name, the usual shared-secret scheme.

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use crate::domain::{DeviceId, Principal, Timestamp, UserId};

/// Makes and reads the names and passwords that the relay takes.
#[derive(Clone)]
pub struct RelayCredentials {
    secret: String,
    /// For how many seconds a name opens new allocations.
    lifetime: i64,
}

impl std::fmt::Debug for RelayCredentials {
    /// Keeps the secret out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RelayCredentials").field("lifetime", &self.lifetime).finish_non_exhaustive()
    }
}

/// What a name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    /// Whose it is.
    pub(super) principal: Principal,
    /// Until when it opens allocations.
    pub(super) expires: Timestamp,
    /// When it was made.
    pub(super) made: Timestamp,
}

impl RelayCredentials {
    /// Signs with a secret that the relay knows as well.
    pub fn new(secret: impl Into<String>, lifetime: i64) -> Self {
        Self { secret: secret.into(), lifetime }
    }

    /// For how many seconds a name opens new allocations.
    pub const fn lifetime(&self) -> i64 {
        self.lifetime
    }

    /// A name for an account, and the password that goes with it.
    pub fn make(&self, principal: Principal, now: Timestamp) -> (String, String) {
        let expiry = now.secs() + self.lifetime;
        let username = match principal {
            Principal::User(id) => format!("{expiry}:u{id}"),
            Principal::Device(id) => format!("{expiry}:d{id}"),
        };
        let password = self.password(&username);
        (username, password)
    }

    /// The password of a name.
    pub(super) fn password(&self, username: &str) -> String {
        let mut mac = Hmac::<Sha1>::new_from_slice(self.secret.as_bytes())
            .expect("HMAC takes keys of every length");
        mac.update(username.as_bytes());
        BASE64.encode(&mac.finalize().into_bytes())
    }

    /// What a name says, if it is one of ours; whether it is signed is another question.
    pub(super) fn read(&self, username: &str) -> Option<Claim> {
        let (expiry, account) = username.split_once(':')?;
        let plain = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let id = account.get(1..).filter(|id| plain(id))?.parse().ok()?;
        let principal = match account.as_bytes().first()? {
            b'u' => Principal::User(UserId::new(id)),
            b'd' => Principal::Device(DeviceId::new(id)),
            _ => return None,
        };
        // Beyond this a number of seconds is no moment any more.
        let expiry: i64 =
            Some(expiry).filter(|text| plain(text) && text.len() < 12)?.parse().ok()?;
        let expires = Timestamp::from_secs(expiry);
        Some(Claim { principal, expires, made: Timestamp::from_secs(expiry - self.lifetime) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials() -> RelayCredentials {
        RelayCredentials::new("north", 86_400)
    }

    #[test]
    fn passwords_are_those_of_the_shared_secret_scheme() {
        let now = Timestamp::from_secs(1_539_248_580);
        let (name, password) = credentials().make(Principal::User(UserId::new(4)), now);
        // As `openssl dgst -sha1 -hmac north -binary | base64` has it.
        assert_eq!(name, "1539334980:u4");
        assert_eq!(password, "oxR1ODqMWW6upJoH82Y0ew/O1II=");
        let (name, other) = credentials().make(Principal::Device(DeviceId::new(4)), now);
        assert_eq!(name, "1539334980:d4");
        assert_ne!(other, password);
    }

    #[test]
    fn names_are_read_as_they_are_made_and_no_others() {
        let now = Timestamp::from_secs(1_539_248_580);
        for principal in [Principal::User(UserId::new(4)), Principal::Device(DeviceId::new(9))] {
            let (name, _) = credentials().make(principal, now);
            let claim = credentials().read(&name).unwrap();
            assert_eq!((claim.principal, claim.made), (principal, now));
            assert_eq!(claim.expires, Timestamp::from_secs(1_539_334_980));
        }
        for name in ["", ":", "1:", "1:u", "1:x4", "u4", "-1:u4", "1:u-4", "1:u+4", "x:u4", "1:ü4"]
        {
            assert_eq!(credentials().read(name), None, "{name}");
        }
        assert_eq!(credentials().read("999999999999:u4"), None);
    }
}
