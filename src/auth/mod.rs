//! Proving who one is: passwords, tokens, browser logins, and how often one may be wrong.
//!
//! Whether an account or a login is alive is known to the store; here are only proofs.

mod attempts;
mod browser;
mod password;
mod secrets;
mod token;

use std::net::IpAddr;

pub use attempts::{Account, Attempts, Claim, Network, TooOften};
pub use browser::{BrowserLogin, Browsers, hash_of, random_key};
pub use password::{PasswordError, Passwords, Verdict};
pub use secrets::{Secrets, SecretsError};
pub use token::{Proof, TokenError, Tokens};

use crate::clock::Clock;
use crate::settings::{AuthSettings, LimitSettings};

/// All proofs, made ready once at the start.
#[derive(Debug)]
pub struct Auth {
    /// Tokens.
    pub tokens: Tokens,
    /// Passwords.
    pub passwords: Passwords,
    /// Browser logins.
    pub browsers: Browsers,
    /// How often who was wrong.
    pub attempts: Attempts,
}

/// Somebody says a password.
#[derive(Debug)]
pub struct Attempt<'a> {
    /// Of which account.
    pub account: Account<'a>,
    /// From where.
    pub address: IpAddr,
    /// What the account has stored; none if there is no such account, or it has no password.
    pub stored: Option<String>,
}

impl Auth {
    /// Makes everything ready.
    pub fn new(
        settings: &AuthSettings,
        limits: &LimitSettings,
        secrets: &Secrets,
        clock: &Clock,
    ) -> Self {
        Self {
            tokens: Tokens::new(&secrets.token, settings, clock.clone()),
            passwords: Passwords::new(),
            browsers: Browsers::new(&secrets.token),
            attempts: Attempts::new(limits.auth_per_minute, clock.clone()),
        }
    }

    /// Whether the password is right; counts it if it is not, and does not even look if too many were not.
    ///
    /// The count is asked and moved while the hashing turn is held: however many come at once, no more are
    /// tried beyond the limit than there are turns, and going away early hides nothing.
    pub async fn prove(&self, attempt: Attempt<'_>, password: String) -> Result<Verdict, TooOften> {
        let claim = self.attempts.claim(attempt.account, attempt.address);
        claim.check()?;
        let turn = self.passwords.turn().await;
        claim.check()?;
        Ok(turn.verify(attempt.stored, password, move || claim.failed()).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Principal, Timestamp, UserId};
    use crate::settings::Secret;

    #[tokio::test]
    async fn a_right_password_does_not_help_after_ten_wrong_ones() {
        let clock = Clock::held_at(Timestamp::from_secs(1_000));
        let secrets = Secrets { token: Secret::new("token"), turn: Secret::new("turn") };
        let auth = Auth::new(&AuthSettings::default(), &LimitSettings::default(), &secrets, &clock);
        let stored = auth.passwords.hash("right".to_owned()).await.unwrap();
        let account = Account::Known(Principal::User(UserId::new(1)));
        let attempt =
            || Attempt { account, address: [10, 0, 0, 1].into(), stored: Some(stored.clone()) };
        for _ in 0..10 {
            assert_eq!(auth.prove(attempt(), "right".to_owned()).await, Ok(Verdict::Right));
            assert_eq!(auth.prove(attempt(), "wrong".to_owned()).await, Ok(Verdict::Wrong));
        }
        let refused = Err(TooOften { retry_after: 900 });
        assert_eq!(auth.prove(attempt(), "right".to_owned()).await, refused);
        let elsewhere = Attempt { address: [10, 0, 0, 2].into(), ..attempt() };
        assert_eq!(auth.prove(elsewhere, "right".to_owned()).await, Ok(Verdict::Right));
    }
}
