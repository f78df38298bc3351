//! Stands in front of the library and speaks with each client as that client can.
//!
//! The library reads and writes the payloads of newer clients only, loses what does not fit
//! into one reply when a client changes over to a WebSocket, and forgets to end a session whose
//! body was too large. Whatever is said about a client's text stands in `payload`.

use std::sync::{Arc, atomic::Ordering};

use axum::{
    body::{Body, Bytes},
    extract::{ConnectInfo, Request, State},
    response::{IntoResponse, Response},
};
use futures_util::stream;
use http::{HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use tower::ServiceExt;

use super::{
    Shared,
    cors::{self, Origin},
    payload,
    post::collect,
    query::{Query, Session, with_version},
    registry::Line,
    seats::SessionSeat,
};
use crate::transport::{listener::Peer, seat::Seat};

const TEXT: &str = "text/plain; charset=UTF-8";
const BYTES: &str = "application/octet-stream";
const SCRIPT: &str = "text/javascript; charset=UTF-8";

/// Answers every request on the path.
pub(super) async fn handle(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let origin = Origin::of(request.headers(), &shared.settings.allowed_origins);
    let mut response = match (&origin, request.method()) {
        (Origin::Foreign, _) => StatusCode::FORBIDDEN.into_response(),
        (_, &Method::OPTIONS) => cors::preflight(request.headers()),
        _ => converse(&shared, request).await,
    };
    origin.admit(&mut response);
    response
}

async fn converse(shared: &Arc<Shared>, mut request: Request) -> Response {
    if let Some(uri) = with_version(request.uri()) {
        *request.uri_mut() = uri;
    }
    let uri = request.uri().clone();
    let query = Query::of(&uri);
    let mut begun = None;
    if query.session == Session::New {
        let Some(seat) = shared.admit_session() else {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        };
        request.extensions_mut().insert(seat.clone());
        let peer = request.extensions().get::<ConnectInfo<Peer>>();
        begun = peer.map(|ConnectInfo(peer)| (seat, peer.seat.clone()));
    }
    if query.is_websocket {
        prepare_upgrade(shared, &query, &mut request);
        shared.pass_on(request).await
    } else if request.method() == Method::POST {
        post(shared, &query, request).await
    } else {
        if let Some(connection) = query.sid().and_then(|sid| shared.registry.connection(sid)) {
            connection.beat();
        }
        dress(shared, &query, shared.pass_on(request).await, begun).await
    }
}

/// Remembers the stream, so that it can be ended from outside.
fn prepare_upgrade(shared: &Arc<Shared>, query: &Query<'_>, request: &mut Request) {
    let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<Peer>>() else { return };
    let line = Line::open(peer.wire.clone(), shared.registry.clone());
    match query.sid() {
        Some(sid) => shared.registry.add_line(sid, &line),
        // The session finds it in the request it is made from.
        None => {
            request.extensions_mut().insert(line);
        }
    }
}

/// Takes what a client posts.
async fn post(shared: &Arc<Shared>, query: &Query<'_>, request: Request) -> Response {
    let connection = query.sid().and_then(|sid| shared.registry.connection(sid));
    let (mut parts, body) = request.into_parts();
    let body = match collect(body, connection.as_ref(), &shared.settings).await {
        Ok(body) => body,
        Err(status) => {
            // The session would otherwise hang about until its ping timeout.
            if let Some(connection) = connection {
                connection.cut();
            }
            return status.into_response();
        }
    };
    let is_bytes = parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == BYTES);
    if !query.is_version_3 || is_bytes {
        return shared.pass_on(Request::from_parts(parts, Body::from(body))).await;
    }
    let is_plain = connection.as_ref().is_some_and(|c| c.is_plain.load(Ordering::Relaxed));
    let Some(posted) = read(&body, query, is_plain) else {
        if let Some(connection) = connection {
            connection.cut();
        }
        return StatusCode::BAD_REQUEST.into_response();
    };
    if let Some(connection) = connection {
        connection.is_plain.store(posted.is_plain, Ordering::Relaxed);
    }
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(TEXT));
    // In pieces, for the library goes over the whole rest of a piece with every packet.
    let pieces = posted.packets.into_iter().map(|packet| Ok::<_, axum::Error>(Frame::data(packet)));
    let body = Body::new(StreamBody::new(stream::iter(pieces)));
    shared.pass_on(Request::from_parts(parts, body)).await
}

fn read(body: &Bytes, query: &Query<'_>, is_plain: bool) -> Option<payload::Posted> {
    let text = std::str::from_utf8(body).ok()?;
    if query.jsonp.is_some() {
        return payload::read_post(&payload::from_form(text)?, is_plain);
    }
    payload::read_post(text, is_plain)
}

/// Gives a reply the form its client reads.
async fn dress(
    shared: &Shared,
    query: &Query<'_>,
    response: Response,
    begun: Option<(Arc<SessionSeat>, Arc<Seat>)>,
) -> Response {
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_text = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    let is_handshake = query.session == Session::New;
    if response.status() != StatusCode::OK || !is_text || !(query.is_version_3 || is_handshake) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(body) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let text = String::from_utf8_lossy(&body);
    if is_handshake && let Some(sid) = session_id(&text) {
        if let Some(cookie) = session_cookie(sid) {
            parts.headers.insert(header::SET_COOKIE, cookie);
        }
        if let (Ok(sid), Some((session, seat))) = (sid.parse(), begun) {
            seat.hand_over(|place| session.settle(sid, place));
        }
    }
    let (body, kind) = match payload::split(&text).filter(|_| query.is_version_3) {
        Some(packets) => match query.jsonp {
            Some(callback) => {
                let script = payload::to_script(&payload::to_ascii(&packets), callback);
                (script.into(), SCRIPT)
            }
            None if query.is_base64 => (payload::to_ascii(&packets).into(), TEXT),
            None => (payload::to_binary(&packets).into(), BYTES),
        },
        None if is_handshake => {
            (with_max_payload(&text, shared.settings.untrusted_body_bytes), TEXT)
        }
        None => (body, TEXT),
    };
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    Response::from_parts(parts, Body::from(body))
}

/// Tells newer clients how much they may post at once; the library tells its own bound, which
/// is far greater so that no reply is ever cut in two.
fn with_max_payload(handshake: &str, max: usize) -> Bytes {
    const KEY: &str = "\"maxPayload\":";
    let Some((before, rest)) = handshake.split_once(KEY) else {
        return Bytes::copy_from_slice(handshake.as_bytes());
    };
    let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    Bytes::from(format!("{before}{KEY}{max}{after}"))
}

/// The id that a handshake names.
fn session_id(handshake: &str) -> Option<&str> {
    let (_, rest) = handshake.split_once("\"sid\":\"")?;
    Some(rest.split_once('"')?.0)
}

/// The cookie by which proxies of old keep a session on one node.
fn session_cookie(sid: &str) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("io={sid}; Path=/; HttpOnly; SameSite=Lax")).ok()
}

impl Shared {
    /// Has the library answer.
    async fn pass_on(&self, request: Request) -> Response {
        let Some(service) = self.service.get() else {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        };
        let Ok(response) = service.clone().oneshot(request).await;
        response.map(Body::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handshakes_are_changed() {
        let open = r#"0{"sid":"abc","pingTimeout":60000,"maxPayload":50000000}"#;
        assert_eq!(
            with_max_payload(open, 1024),
            r#"0{"sid":"abc","pingTimeout":60000,"maxPayload":1024}"#
        );
        assert_eq!(session_id(open), Some("abc"));
        assert_eq!(session_cookie("abc").unwrap(), "io=abc; Path=/; HttpOnly; SameSite=Lax");
        assert_eq!(session_id("ok"), None);
    }

    proptest::proptest! {
        #[test]
        fn no_handshake_makes_it_panic(before in ".{0,20}", value in ".{0,20}") {
            for text in [format!("{before}\"maxPayload\":{value}"), format!("{before}\"sid\":\"{value}")] {
                let _ = (with_max_payload(&text, 7), session_id(&text).map(session_cookie));
            }
        }
    }
}
