//! Who asks: tokens in bodies, headers and cookies.
//!
//! A request that leans on a cookie must come from a page of ours: cookies travel with
//! requests that a foreign page has made up.

use std::fmt;
use std::net::IpAddr;

use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};

use axum::http::{HeaderMap, StatusCode, header};

use super::Web;
use super::body::Keys;
use super::error::{At, Failure};
use crate::domain::{Credentials, Principal, Refusal, RefusalKind};
use crate::service::Caller;

/// The cookie of a user's token.
pub const USER_COOKIE: &str = "neo_user_token";
/// The cookie of a device's token.
pub const DEVICE_COOKIE: &str = "neo_device_token";

/// The keys of a body that may hold a token.
pub const TOKEN_KEYS: [&str; 2] = ["token", "device_token"];

/// Who may ask for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Anybody; no token is looked at.
    Anybody,
    /// A user.
    User,
    /// A device.
    Device,
    /// A user or a device.
    Either,
    /// A user who is an administrator.
    Admin,
}

impl Who {
    /// The kind of asker for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anybody => "nobody in particular",
            Self::User => "a user",
            Self::Device => "a device",
            Self::Either => "a user or a device",
            Self::Admin => "an administrator",
        }
    }
}

/// A token, and of what kind of account it is said to be.
struct Offer {
    token: String,
    device: Option<bool>,
}

/// Who asks with the keys of a body: the body's token first, then the header, then the cookie.
pub async fn body_caller(
    web: &Web,
    who: Who,
    keys: &Keys,
    headers: &HeaderMap,
    address: IpAddr,
) -> Result<Option<Caller>, Failure> {
    if who == Who::Anybody {
        web.services().pace_stranger(address)?;
        return Ok(None);
    }
    let offer = match in_body(keys)? {
        Some(offer) => Some(offer),
        None => in_header(headers).or_else(|| in_cookie(web, headers)),
    };
    identify(web, who, offer, address).await.map(Some)
}

/// Whether somebody has said who it is by what has come of a body, or beside it.
pub(super) async fn known_so_far(
    web: &Web,
    who: Who,
    body: &[u8],
    headers: &HeaderMap,
    address: IpAddr,
) -> bool {
    if who == Who::Anybody {
        return false;
    }
    let beside = || in_header(headers).or_else(|| in_cookie(web, headers));
    identify(web, who, in_part(body).or_else(beside), address).await.is_ok()
}

/// The token in a body of which not all has come.
fn in_part(body: &[u8]) -> Option<Offer> {
    struct Tokens<'a>(&'a mut Option<Offer>);

    impl<'de> Visitor<'de> for Tokens<'_> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut keys: A) -> Result<(), A::Error> {
            while let Some(key) = keys.next_key::<String>()? {
                let device = match key.as_str() {
                    "token" => false,
                    "device_token" => true,
                    _ => {
                        keys.next_value::<IgnoredAny>()?;
                        continue;
                    }
                };
                if let Some(token) = keys.next_value::<Option<String>>()?
                    && (device || self.0.is_none())
                {
                    *self.0 = Some(Offer { token, device: Some(device) });
                }
            }
            Ok(())
        }
    }

    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    let mut found = None;
    // It breaks off in the middle, of course; what counts is what was found before.
    let _ = serde_json::Deserializer::from_slice(body).deserialize_map(Tokens(&mut found));
    found
}

/// Who asks with the `Authorization` header alone.
pub async fn header_caller(
    web: &Web,
    who: Who,
    headers: &HeaderMap,
    address: IpAddr,
) -> Result<Option<Caller>, Failure> {
    if who == Who::Anybody {
        web.services().pace_stranger(address)?;
        return Ok(None);
    }
    identify(web, who, in_header(headers), address).await.map(Some)
}

async fn identify(
    web: &Web,
    who: Who,
    offer: Option<Offer>,
    address: IpAddr,
) -> Result<Caller, Failure> {
    let Some(Offer { token, device }) = offer else {
        web.services().pace_stranger(address)?;
        return Err(Refusal::new(RefusalKind::Unidentified, "a token is missing").into());
    };
    let inactive = match device {
        Some(true) => StatusCode::PRECONDITION_FAILED,
        Some(false) | None => StatusCode::UNAUTHORIZED,
    };
    let caller = web
        .services()
        .identify_request(&Credentials::Token(token), address)
        .await
        .at(RefusalKind::Inactive, inactive)?;
    let is_device = caller.principal.device().is_some();
    if who == Who::Admin {
        web.services().require_administrator(&caller).await?;
    }
    let right_kind = match who {
        Who::Device => is_device,
        Who::User | Who::Admin => !is_device,
        Who::Either | Who::Anybody => device.is_none_or(|device| device == is_device),
    };
    if !right_kind || device.is_some_and(|device| device != is_device) {
        let text = "the token belongs to another kind of account";
        return Err(Refusal::new(RefusalKind::Unidentified, text).into());
    }
    Ok(caller)
}

fn in_body(keys: &Keys) -> Result<Option<Offer>, Refusal> {
    if let Some(token) = keys.maybe_text("device_token")? {
        return Ok(Some(Offer { token, device: Some(true) }));
    }
    Ok(keys.maybe_text("token")?.map(|token| Offer { token, device: Some(false) }))
}

fn in_header(headers: &HeaderMap) -> Option<Offer> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?.trim();
    let token = match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
        _ => value,
    };
    Some(Offer { token: token.to_owned(), device: None })
}

fn in_cookie(web: &Web, headers: &HeaderMap) -> Option<Offer> {
    let (token, device) = match (cookie(headers, DEVICE_COOKIE), cookie(headers, USER_COOKIE)) {
        (Some(token), _) => (token, true),
        (None, Some(token)) => (token, false),
        (None, None) => return None,
    };
    web.is_own_page(headers).then(|| Offer { token: token.to_owned(), device: Some(device) })
}

/// The value of a cookie.
pub fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(';')).find_map(|pair| {
        let (found, value) = pair.trim().split_once('=')?;
        (found == name).then_some(value)
    })
}

/// The principal's user, where a route is for users.
pub fn user_of(caller: &Caller) -> Result<crate::domain::UserId, Refusal> {
    match caller.principal {
        Principal::User(user) => Ok(user),
        Principal::Device(_) => Err(Refusal::forbidden("only users may do this")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: header::HeaderName, value: &[u8]) -> HeaderMap {
        let value = axum::http::HeaderValue::from_bytes(value).ok();
        value.map(|value| (name, value)).into_iter().collect()
    }

    #[test]
    fn a_token_is_found_in_a_part_of_a_body() {
        let table = [
            (r#"{"token":"abc","text":"xx"#, Some(("abc", false))),
            (
                "\u{feff} {\"a\":[{\"token\":\"no\"}], \"device_token\":\"abc\", \"x",
                Some(("abc", true)),
            ),
            (r#"{"token":"abc","device_token":"def","text":""#, Some(("def", true))),
            (r#"{"token":null,"device_token":"def","text":""#, Some(("def", true))),
            (r#"{"token":"abc"#, None),
            (r#"{"text":"xx"#, None),
            (r#"["token","abc""#, None),
            ("", None),
        ];
        for (body, token) in table {
            let found = in_part(body.as_bytes());
            let found = found.as_ref().map(|o| (o.token.as_str(), o.device == Some(true)));
            assert_eq!(found, token, "{body}");
        }
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        let table = [
            ("neo_user_token=a", Some("a")),
            ("x=1; neo_user_token=a.b=c;y", Some("a.b=c")),
            ("neo_user_token=", Some("")),
            ("my_neo_user_token=a; neo_user_token", None),
            ("", None),
        ];
        for (line, value) in table {
            let headers = headers(header::COOKIE, line.as_bytes());
            assert_eq!(cookie(&headers, USER_COOKIE), value, "{line}");
        }
    }

    #[test]
    fn a_token_is_read_with_and_without_its_scheme() {
        let table =
            [("Bearer a.b", "a.b"), ("bearer  a", "a"), ("a.b", "a.b"), ("Basic a", "Basic a")];
        for (line, token) in table {
            let offer = in_header(&headers(header::AUTHORIZATION, line.as_bytes())).unwrap();
            assert_eq!((offer.token.as_str(), offer.device), (token, None), "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_header_makes_it_panic(bytes: Vec<u8>, text in ".{0,40}") {
            for line in [bytes, format!("neo_user_token={text}").into_bytes()] {
                let _ = cookie(&headers(header::COOKIE, &line), USER_COOKIE);
                let _ = in_header(&headers(header::AUTHORIZATION, &line));
            }
        }
    }
}
