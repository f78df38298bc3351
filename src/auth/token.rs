//! Access tokens: JWT, HS256, one kind for all dialects.
//!
//! A token names its login; whether that login and its account are alive, the store knows.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::domain::{DeviceId, LoginId, Principal, Timestamp, UserId};
use crate::settings::{AuthSettings, Seconds, Secret};

/// No token of ours comes near it.
const MAX_BYTES: usize = 4096;

/// What a token says, and how the wire spells it.
#[derive(Serialize, Deserialize)]
struct Claims {
    exp: i64,
    iat: i64,
    sub: i64,
    kind: Kind,
    login: i64,
    /// The same for those who look for it under its usual name: a login has one token.
    #[serde(default)]
    jti: String,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    User,
    Device,
}

/// What chat bots are told of a user; without a login, so that it opens nothing here.
#[derive(Serialize)]
struct Introduction<'a> {
    exp: i64,
    iat: i64,
    sub: i64,
    first_name: &'a str,
    last_name: &'a str,
}

/// What a valid token proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Whose token it is.
    pub principal: Principal,
    /// Of which login.
    pub login: LoginId,
    /// From when on it proves nothing.
    pub expires: Timestamp,
}

/// Why a token proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not one of ours.
    #[error("invalid token")]
    Invalid,
    /// Its time is over.
    #[error("token expired")]
    Expired,
}

/// Makes and reads tokens.
pub struct Tokens {
    signing: EncodingKey,
    checking: DecodingKey,
    validation: Validation,
    user_lifetime: Seconds,
    device_lifetime: Seconds,
    clock: Clock,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tokens(..)")
    }
}

impl Tokens {
    /// Signs with a secret.
    pub fn new(secret: &Secret, settings: &AuthSettings, clock: Clock) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.required_spec_claims.clear();
        validation.validate_exp = false; // done below, by our clock and without leeway
        validation.validate_aud = false;
        let secret = secret.expose().as_bytes();
        Self {
            signing: EncodingKey::from_secret(secret),
            checking: DecodingKey::from_secret(secret),
            validation,
            user_lifetime: settings.token_lifetime,
            device_lifetime: settings.device_token_lifetime,
            clock,
        }
    }

    /// When a login that begins now ends; the whole second at or after its lifetime, as tokens count in those.
    pub fn expiry(&self, principal: Principal) -> Timestamp {
        let lifetime = match principal {
            Principal::User(_) => self.user_lifetime,
            Principal::Device(_) => self.device_lifetime,
        };
        let end = self.clock.now().plus_secs(lifetime.get());
        Timestamp::from_secs(end.secs() + i64::from(end > Timestamp::from_secs(end.secs())))
    }

    /// A token of a login that ends at a whole second, as `expiry` gave it.
    pub fn issue(&self, principal: Principal, login: LoginId, expires: Timestamp) -> String {
        let (kind, sub) = match principal {
            Principal::User(id) => (Kind::User, id.get()),
            Principal::Device(id) => (Kind::Device, id.get()),
        };
        let (exp, iat) = (expires.secs(), self.clock.now().secs());
        let (login, jti) = (login.get(), login.to_string());
        let claims = Claims { exp, iat, sub, kind, login, jti };
        encode(&Header::new(Algorithm::HS256), &claims, &self.signing)
            .expect("numbers and words always serialize")
    }

    /// A token that tells a chat bot who a user is; it is accepted nowhere here.
    pub fn introduce(&self, user: UserId, first_name: &str, last_name: &str) -> String {
        let exp = self.expiry(Principal::User(user)).secs();
        let iat = self.clock.now().secs();
        let claims = Introduction { exp, iat, sub: user.get(), first_name, last_name };
        encode(&Header::new(Algorithm::HS256), &claims, &self.signing)
            .expect("numbers and words always serialize")
    }

    /// What a token proves right now.
    pub fn read(&self, token: &str) -> Result<Proof, TokenError> {
        if token.len() > MAX_BYTES {
            return Err(TokenError::Invalid);
        }
        let Claims { exp, sub, kind, login, .. } = decode(token, &self.checking, &self.validation)
            .map_err(|_| TokenError::Invalid)?
            .claims;
        let principal = match kind {
            Kind::User => Principal::User(UserId::new(sub)),
            Kind::Device => Principal::Device(DeviceId::new(sub)),
        };
        if exp <= self.clock.now().secs() {
            return Err(TokenError::Expired);
        }
        let expires = Timestamp::from_secs(exp);
        Ok(Proof { principal, login: LoginId::new(login), expires })
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64URL_NOPAD;

    use super::*;

    const ANN: Principal = Principal::User(UserId::new(7));
    const LAMP: Principal = Principal::Device(DeviceId::new(7));

    fn tokens(secret: &str, clock: &Clock) -> Tokens {
        Tokens::new(&Secret::new(secret), &AuthSettings::default(), clock.clone())
    }

    fn fresh(tokens: &Tokens, principal: Principal) -> String {
        tokens.issue(principal, LoginId::new(3), tokens.expiry(principal))
    }

    fn noon() -> Clock {
        Clock::held_at(Timestamp::from_secs(1_700_000_000))
    }

    fn part(token: &str, at: usize) -> String {
        let part = token.split('.').nth(at).unwrap();
        String::from_utf8(BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn what_introduces_a_user_to_bots_proves_nothing_here() {
        let tokens = tokens("secret", &Clock::system());
        let token = tokens.introduce(UserId::new(7), "Ann", "Lee");
        assert_eq!(tokens.read(&token), Err(TokenError::Invalid));
    }

    #[test]
    fn a_token_looks_as_clients_expect() {
        let token = fresh(&tokens("secret", &noon()), ANN);
        assert_eq!(part(&token, 0), r#"{"typ":"JWT","alg":"HS256"}"#);
        let claims =
            r#"{"exp":1700086400,"iat":1700000000,"sub":7,"kind":"user","login":3,"jti":"3"}"#;
        assert_eq!(part(&token, 1), claims);
    }

    #[test]
    fn a_token_proves_its_account_until_its_last_second() {
        let clock = noon();
        let tokens = tokens("secret", &clock);
        for (principal, lifetime) in [(ANN, 86_400), (LAMP, 2_592_000)] {
            let (token, expires) = (fresh(&tokens, principal), tokens.expiry(principal));
            let proof = Proof { principal, login: LoginId::new(3), expires };
            assert_eq!(tokens.read(&token), Ok(proof));
            clock.advance(lifetime * 1_000_000 - 1);
            assert_eq!(tokens.read(&token), Ok(proof));
            clock.advance(1);
            assert_eq!(tokens.read(&token), Err(TokenError::Expired));
        }
    }

    #[test]
    fn a_token_never_lives_shorter_than_its_lifetime() {
        let clock = Clock::held_at(Timestamp::from_micros(1_700_000_000_900_000));
        let settings = AuthSettings { token_lifetime: Seconds::new(1), ..AuthSettings::default() };
        let tokens = Tokens::new(&Secret::new("secret"), &settings, clock.clone());
        let token = fresh(&tokens, ANN);
        clock.advance(1_099_999);
        assert!(tokens.read(&token).is_ok());
        clock.advance(1);
        assert_eq!(tokens.read(&token), Err(TokenError::Expired));
    }

    #[test]
    fn what_others_made_proves_nothing() {
        let clock = noon();
        let ours = tokens("secret", &clock);
        let forge = |header: &str, claims: &str| {
            let [header, claims] =
                [header, claims].map(|part| BASE64URL_NOPAD.encode(part.as_bytes()));
            format!("{header}.{claims}.")
        };
        let signed = |claims: serde_json::Value| {
            encode(&Header::default(), &claims, &EncodingKey::from_secret(b"secret")).unwrap()
        };
        let future = 1_800_000_000;
        let token = fresh(&ours, ANN);
        let table = [
            fresh(&tokens("other", &clock), ANN),
            forge(r#"{"alg":"none"}"#, &part(&token, 1)),
            token[..token.len() - 1].to_owned(),
            format!("{token}.x"),
            String::new(),
            "x".repeat(MAX_BYTES + 1),
            signed(serde_json::json!({ "exp": future, "iat": 1, "sub": 7 })),
            signed(
                serde_json::json!({ "exp": future, "iat": 1, "sub": "7", "kind": "user", "login": 3 }),
            ),
            signed(serde_json::json!({ "iat": 1, "sub": 7, "kind": "user", "login": 3 })),
            signed(
                serde_json::json!({ "exp": future, "iat": 1, "sub": 7, "kind": "god", "login": 3 }),
            ),
        ];
        for token in table {
            assert_eq!(ours.read(&token), Err(TokenError::Invalid), "{token}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_a_token_and_none_makes_it_panic(
            any in ".{0,80}",
            parts in "[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}",
            claims in ".{0,40}",
        ) {
            let ours = tokens("secret", &Clock::held_at(Timestamp::from_secs(1_000)));
            let head = BASE64URL_NOPAD.encode(br#"{"alg":"HS256","typ":"JWT"}"#);
            let forged = format!("{head}.{}.x", BASE64URL_NOPAD.encode(claims.as_bytes()));
            for token in [any, parts, forged] {
                assert_eq!(ours.read(&token), Err(TokenError::Invalid));
            }
        }
    }
}
