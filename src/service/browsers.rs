//! Logins of browsers: by a form, kept in a cookie.

use std::net::IpAddr;

use super::accounts::wrong_password;
use super::{Caller, Services};
use crate::auth::random_key;
use crate::domain::{CircleChange, Credentials, Principal, Refusal, RefusalKind, Timestamp};

/// A browser's new login.
pub struct BrowserEntry {
    /// The cookie's value.
    pub session_id: String,
    /// How long it is good for, in seconds.
    pub seconds: i64,
}

impl std::fmt::Debug for BrowserEntry {
    /// Keeps the secret out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BrowserEntry(..)")
    }
}

impl Services {
    /// Logs a browser in by a username or, if nobody has it, an e-mail address.
    pub async fn log_in_browser(
        &self,
        name: &str,
        password: String,
        address: IpAddr,
    ) -> Result<BrowserEntry, Refusal> {
        let found = match self.store().find_password_by_username(name).await? {
            Some(found) => Some(found),
            None => self.store().find_password(name).await?,
        };
        let (user, proven) = self.prove(name, found, password, address).await?;
        if !user.active {
            return Err(Refusal::new(RefusalKind::Inactive, "the account is not active"));
        }
        let principal = Principal::User(user.id);
        let expires: Timestamp = self.auth().tokens.expiry(principal);
        let entry = self.auth().browsers.start();
        let hashes = (entry.session_hash, entry.key_hash);
        let login =
            self.store().start_proven_login(principal, expires, &proven, Some(hashes)).await?;
        login.ok_or_else(wrong_password)?;
        self.tell_circles(&user, CircleChange::Connected).await?;
        let seconds = expires.secs() - self.clock().now().secs();
        Ok(BrowserEntry { session_id: entry.session_id, seconds })
    }

    /// A token for a form, which nobody can guess.
    pub fn form_token(&self) -> String {
        random_key()
    }

    /// Who shows the cookie of a browser's login.
    pub async fn browser(&self, session_id: &str, address: IpAddr) -> Result<Caller, Refusal> {
        self.identify_request(&Credentials::Cookie(session_id.to_owned()), address).await
    }
}
