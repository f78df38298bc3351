//! Who asks for a connection: by header, by the address's query, or by cookie, in this order.

use std::net::{IpAddr, Ipv4Addr};

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::future::Either;

use super::Door;
use super::session::MultichatSession;
use super::style::{Style, value};
use crate::domain::{Credentials, Refusal, RefusalKind};
use crate::session::{Caller, Pace};
use crate::settings::Anonymous;
use crate::transport::{UNTRUSTED_BYTES, websocket};
use crate::wire::origin::is_of_host;

/// The cookie of a browser's login.
const COOKIE: &str = "sessionid";

/// Pages, besides our own, whose requests may lean on cookies.
#[derive(Clone, Debug, Default)]
pub struct Origins(pub Vec<String>);

impl Origins {
    /// Whether a page that may lean on cookies has made a request, or no page at all.
    fn allow(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else { return true };
        let Ok(origin) = origin.to_str() else { return false };
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        host.is_some_and(|host| is_of_host(origin, host))
            || self.0.iter().any(|known| known == origin)
    }
}

/// What a handshake offers, and whether it is a cookie.
fn offered(headers: &HeaderMap, query: &str) -> (Option<Credentials>, bool) {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = header.map(|header| match header.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim().to_owned(),
        _ => header.to_owned(),
    });
    if let Some(token) = bearer.or_else(|| value(query, "token")) {
        return (Some(Credentials::Token(token)), false);
    }
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';'));
    let session = pairs.find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == COOKIE).then(|| value.to_owned())
    });
    let by_cookie = session.is_some();
    (session.map(Credentials::Cookie), by_cookie)
}

/// Answers a handshake.
pub(super) async fn open(door: Door, request: Request<Body>) -> Response {
    let address = request.extensions().get::<IpAddr>().copied();
    let address = address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let query = request.uri().query().unwrap_or_default().to_owned();
    let headers = request.headers();
    let (credentials, by_cookie) = offered(headers, &query);
    if by_cookie && !door.manners.origins.allow(headers) {
        return refused(&Refusal::forbidden("this page may not lean on a login"));
    }
    let browser = headers.contains_key(header::ORIGIN);
    let identified = match &credentials {
        Some(credentials) => door.gate.identify(credentials, address).await,
        None => door.gate.refuse(address).and_then(|()| Err(Refusal::unidentified())),
    };
    let caller = match identified.and_then(require_user) {
        Ok(caller) => Some(caller),
        Err(refusal) if accepts(&door, &refusal) => None,
        Err(refusal) => return refused(&refusal),
    };
    let manners = door.manners;
    let style = Style::of(&query, browser, &manners.settings);
    let keep = manners.keep().filter(|_| by_cookie);
    let pace = Pace::refusing(manners.frames_per_second, manners.frames_burst);
    let session = MultichatSession::new(manners, style, keep);
    let mut raw = door.raw;
    if caller.is_none() {
        raw.frame_bytes = raw.frame_bytes.min(UNTRUSTED_BYTES);
    }
    websocket::upgrade(request, raw, move |socket| match caller {
        Some(caller) => Either::Left(door.gate.admit_as(caller, session, socket, pace)),
        None => Either::Right(door.gate.admit(session, socket, address, pace)),
    })
}

fn accepts(door: &Door, refusal: &Refusal) -> bool {
    let too_often = matches!(refusal.kind(), RefusalKind::TooOften { .. });
    door.manners.settings.anonymous == Anonymous::Accept && !too_often && !refusal.is_our_fault()
}

/// Rooms are for people.
fn require_user(caller: Caller) -> Result<Caller, Refusal> {
    match caller.principal.user() {
        Some(_) => Ok(caller),
        None => Err(Refusal::forbidden("devices do not enter rooms")),
    }
}

fn refused(refusal: &Refusal) -> Response {
    let text = format!("{refusal}\n");
    if let RefusalKind::TooOften { retry_after } = refusal.kind() {
        let headers = [(header::RETRY_AFTER, retry_after.to_string())];
        return (StatusCode::TOO_MANY_REQUESTS, headers, text).into_response();
    }
    let ours = refusal.is_our_fault();
    let status = if ours { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::FORBIDDEN };
    (status, text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(header::HeaderName, &str)]) -> HeaderMap {
        all.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_header_wins_over_the_query_and_the_query_over_the_cookie() {
        let cookie = (header::COOKIE, "a=b; sessionid=s; sessionid=t");
        let table = [
            (
                vec![(header::AUTHORIZATION, "Bearer h"), cookie.clone()],
                "token=q",
                Some("h"),
                false,
            ),
            (vec![(header::AUTHORIZATION, "h")], "", Some("h"), false),
            (vec![cookie.clone()], "token=q%2e", Some("q."), false),
            (vec![cookie], "html=raw", Some("s"), true),
            (vec![(header::COOKIE, "xsessionid=s")], "", None, false),
        ];
        for (all, query, secret, by_cookie) in table {
            let (credentials, cookie) = offered(&headers(&all), query);
            let found = match credentials {
                Some(Credentials::Token(found) | Credentials::Cookie(found)) => Some(found),
                _ => None,
            };
            assert_eq!((found.as_deref(), cookie), (secret, by_cookie), "{all:?} {query}");
        }
    }

    #[test]
    fn cookies_count_for_pages_of_ours_only() {
        let origins = Origins(vec!["https://chat.example".to_owned()]);
        let table = [
            (None, true),
            (Some("http://localhost:8000"), true),
            (Some("https://localhost:8000"), true),
            (Some("http://localhost"), false),
            (Some("http://localhost:8001"), false),
            (Some("http://evil.example"), false),
            (Some("https://chat.example"), true),
            (Some("https://chat.example.evil"), false),
            (Some("null"), false),
            (Some(""), false),
        ];
        for (origin, verdict) in table {
            let host = (header::HOST, "localhost:8000");
            let origin_header = origin.map(|origin| (header::ORIGIN, origin));
            let all: Vec<_> = [host].into_iter().chain(origin_header).collect();
            assert_eq!(origins.allow(&headers(&all)), verdict, "{origin:?}");
        }
    }
}
