//! Who somebody is, by whatever they show.
//!
//! The checks go in the same order for every dialect: signature and expiry, account, login.

use std::net::IpAddr;

use super::{Caller, Services};
use crate::auth::{TokenError, hash_of};
use crate::domain::{Credentials, LoginId, Principal, Refusal, RefusalKind, UserId};
use crate::settings::TrustUserId;
use crate::store::LoginState;

impl Services {
    /// Finds out who somebody is. The checks go: signature and expiry, account, login.
    pub async fn identify(
        &self,
        credentials: &Credentials,
        address: IpAddr,
    ) -> Result<Caller, Refusal> {
        let (principal, login) = match credentials {
            Credentials::Token(token) => self.named_by_token(token)?,
            Credentials::TokenOf { token, user } => {
                let named = self.named_by_token(token)?;
                if named.0 != Principal::User(*user) {
                    return Err(Refusal::conflict("the token is another user's"));
                }
                named
            }
            Credentials::SessionKey(key) => {
                match self.store().find_login_by_key(&hash_of(key)).await? {
                    Some(named) => named,
                    None => self.named_by_token(key)?,
                }
            }
            Credentials::Number { user, local } => {
                let named = self.named_by_number(*user, *local, address).await?;
                (Principal::User(named.0), named.1)
            }
            Credentials::Cookie(id) => {
                let found = self.store().find_login_by_session(&hash_of(id)).await?;
                found
                    .ok_or_else(|| Refusal::new(RefusalKind::Unidentified, "the login has ended"))?
            }
        };
        let identity = self.store().identity(principal, login).await?;
        let Some(identity) = identity else {
            return Err(Refusal::not_found("User not found"));
        };
        if !identity.active {
            let text = "the account is not active";
            return Err(Refusal::new(RefusalKind::Inactive, text));
        }
        require_living(identity.login)?;
        Ok(Caller { principal, login, connection: None, address })
    }

    /// Whom a bare number names, if it is believed; who may not ask learns nothing of it.
    async fn named_by_number(
        &self,
        user: UserId,
        local: bool,
        address: IpAddr,
    ) -> Result<(UserId, LoginId), Refusal> {
        let settings = self.courier().settings();
        let believed = match settings.trust_user_id {
            TrustUserId::Never => false,
            TrustUserId::Local => local,
            TrustUserId::Always => {
                let networks = &settings.trusted_networks;
                networks.is_empty() || networks.contains(address)
            }
        };
        if !believed {
            return Err(Refusal::forbidden("a bare user id is not believed"));
        }
        let unknown = || Refusal::not_found("there is no such user");
        let found = self.store().find_user(user).await?.ok_or_else(unknown)?;
        if !found.active {
            return Err(Refusal::new(RefusalKind::Inactive, "the account is not active"));
        }
        let expires = self.auth().tokens.expiry(Principal::User(user));
        Ok((user, self.store().number_login(user, expires).await?))
    }

    fn named_by_token(&self, token: &str) -> Result<(Principal, LoginId), Refusal> {
        let proof = self.auth().tokens.read(token).map_err(|error| {
            let kind = match error {
                TokenError::Invalid => RefusalKind::Unidentified,
                TokenError::Expired => RefusalKind::Expired,
            };
            Refusal::new(kind, "User not found")
        })?;
        Ok((proof.principal, proof.login))
    }
}

/// Refuses a login that has ended. Its time may have run out after its token was read.
pub(super) fn require_living(login: LoginState) -> Result<(), Refusal> {
    match login {
        LoginState::Living => Ok(()),
        LoginState::Expired => Err(Refusal::new(RefusalKind::Expired, "User not found")),
        LoginState::Ended => Err(Refusal::new(RefusalKind::Unidentified, "Invalid token")),
    }
}
