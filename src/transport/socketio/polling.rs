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
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use socketioxide::socket::Sid;
use tower::ServiceExt;

use super::{
    Shared,
    cors::{self, Origin},
    payload,
    post::collect,
    query::{Query, Session, normalised},
    registry::Line,
    season,
    seats::SessionSeat,
    upgrade,
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
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        // Each answer is meant for one moment; some caches replay what does not say so.
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

async fn converse(shared: &Arc<Shared>, mut request: Request) -> Response {
    if let Some(uri) = normalised(request.uri()) {
        *request.uri_mut() = uri;
    }
    let uri = request.uri().clone();
    let query = Query::of(&uri);
    let mut begun = None;
    if query.is_websocket && request.method() == Method::GET && !is_upgrade(request.headers()) {
        let unknown = match query.session {
            Session::Nonsense => true,
            Session::Of(sid) => !shared.exists(sid).await,
            Session::New => false,
        };
        return if unknown { refusal(1, "Session ID unknown") } else { refusal(3, "Bad request") };
    }
    if query.session == Session::New {
        let Some(seat) = shared.admit_session() else {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        };
        request.extensions_mut().insert(seat.clone());
        let peer = request.extensions().get::<ConnectInfo<Peer>>();
        begun = peer.map(|ConnectInfo(peer)| (seat, peer.seat.clone()));
    }
    if query.is_websocket {
        websocket(shared, &query, request).await
    } else if request.method() == Method::POST {
        post(shared, &query, request).await
    } else {
        if let Some(connection) = query.sid().and_then(|sid| shared.registry.connection(sid)) {
            connection.beat();
        }
        let response = poll(shared, &query, request).await;
        dress(shared, &query, response, begun).await
    }
}

fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(header::SEC_WEBSOCKET_KEY)
        && headers
            .get(header::UPGRADE)
            .is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// A refusal as clients know it.
fn refusal(code: u8, message: &'static str) -> Response {
    let body = serde_json::json!({"code": code, "message": message});
    (StatusCode::BAD_REQUEST, axum::Json(body)).into_response()
}

/// Has the library answer a poll, unless it is let go because the client changes over to a
/// WebSocket.
async fn poll(shared: &Shared, query: &Query<'_>, request: Request) -> Response {
    let Some(sid) = query.sid() else { return shared.pass_on(request).await };
    let waiting = shared.registry.polls.enter(sid);
    tokio::select! {
        biased;
        response = shared.pass_on(request) => response,
        () = waiting.released() => {
            let nothing = if query.is_version_3 { "1:6" } else { "6" };
            ([(header::CONTENT_TYPE, TEXT)], nothing).into_response()
        }
    }
}

/// Takes a WebSocket: a session of its own, or the next transport of one that polls.
async fn websocket(shared: &Arc<Shared>, query: &Query<'_>, mut request: Request) -> Response {
    let protocol = first_protocol(request.headers());
    let wire = request.extensions().get::<ConnectInfo<Peer>>().map(|peer| peer.0.wire.clone());
    let mut response = match (query.sid(), wire) {
        (Some(sid), Some(wire)) => match shared.polls(sid).await {
            Ok(()) => upgrade::open(shared, sid, query.is_version_3, wire, request),
            Err(refused) => return refused,
        },
        (_, wire) => {
            // The session finds it in the request it is made from, so that the stream can be
            // ended from outside.
            if let Some(wire) = wire {
                let (line, _) =
                    Line::open(wire, shared.registry.clone(), query.is_version_3, &mut []);
                request.extensions_mut().insert(line);
            }
            shared.pass_on(request).await
        }
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS
        && let Some(protocol) = protocol
    {
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    response
}

/// The first subprotocol that is offered: clients that offer any give up if none is taken.
fn first_protocol(headers: &HeaderMap) -> Option<HeaderValue> {
    let offered = headers.get(header::SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    let first = offered.split(',').next()?.trim();
    HeaderValue::try_from(first).ok().filter(|first| !first.is_empty())
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
    if is_bytes {
        return shared.pass_on(Request::from_parts(parts, Body::from(body))).await;
    }
    if !query.is_version_3 {
        let body = season::in_season(body);
        parts.headers.remove(header::CONTENT_LENGTH);
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
    let packets =
        posted.packets.into_iter().filter(season::is_in_season).map(season::without_query);
    let pieces = packets.map(|packet| Ok::<_, axum::Error>(Frame::data(packet)));
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
        let response = response.map(Body::new);
        let kind = response.headers().get(header::CONTENT_TYPE);
        if response.status() == StatusCode::BAD_REQUEST
            && kind.is_some_and(|kind| kind == "application/json")
        {
            return numbered(response).await;
        }
        response
    }

    /// Whether a session exists, whatever its transport.
    async fn exists(&self, sid: Sid) -> bool {
        let Err(refused) = self.polls(sid).await else { return true };
        let body = refused.into_body().collect().await.map(http_body_util::Collected::to_bytes);
        body.is_ok_and(|body| !String::from_utf8_lossy(&body).contains("\"code\":1,"))
    }

    /// Whether a session exists and polls; the refusal if not. The library tells who posts
    /// nothing.
    async fn polls(&self, sid: Sid) -> Result<(), Response> {
        let uri = format!("/socket.io/?EIO=4&transport=polling&sid={sid}");
        let request = Request::post(uri).body(Body::empty()).expect("a sid fits into an address");
        let response = self.pass_on(request).await;
        if response.status() == StatusCode::OK { Ok(()) } else { Err(response) }
    }
}

/// The library tells the codes of its refusals as text; clients compare numbers.
async fn numbered(response: Response) -> Response {
    const KEY: &str = "\"code\":\"";
    let (mut parts, body) = response.into_parts();
    let Ok(body) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let text = String::from_utf8_lossy(&body);
    let body = match text.split_once(KEY).map(|(before, rest)| (before, rest.split_once('"'))) {
        Some((before, Some((code, after)))) => format!("{before}\"code\":{code}{after}"),
        _ => text.into_owned(),
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(body))
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
