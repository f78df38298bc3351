//! Letters: `init_personal`, `personal`, `init_group`, `group` and `seen`, what waits right
//! after the greeting, and extras for those who ask.
//!
//! Lives on a port of its own, under every path, and at `/courier` on the main listener. The
//! first message says who the client is.

mod backlog;
mod codec;
mod complaint;
mod encode;
mod extras;
mod greeting;
mod hearing;
mod requests;
mod session;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;

use session::{CourierSession, turned_away};

use crate::domain::{Credentials, Principal, RefusalKind, UserId};
use crate::session::{Gate, Pace};
use crate::settings::{
    CourierSettings, DeliveryConfirm, LimitSettings, Networks, Origins, ReceiptsPolicy, WebAddress,
};
use crate::transport::Close;
use crate::transport::listener::Peer;
use crate::transport::websocket::{RawSettings, is_upgrade, upgrade};

/// Largest first message, in bytes.
const FIRST_FRAME: usize = 16_384;
/// Who sends one of these, or one that begins with `x-forwarded-`, speaks for somebody else.
const FORWARDING: [HeaderName; 3] =
    [header::FORWARDED, header::VIA, HeaderName::from_static("x-real-ip")];

/// What an operator decides about this dialect.
#[derive(Debug)]
struct CourierManners {
    max_text_chars: usize,
    public_url: String,
    backlog_aliases: bool,
    delivery_confirm: DeliveryConfirm,
    receipts: ReceiptsPolicy,
    auth_timeout: Duration,
    /// What may be held back while waiting messages are written: frames, and bytes.
    held_frames: usize,
    held_bytes: usize,
}

/// What the handshake says.
#[derive(Clone, Default)]
struct Visit {
    /// A token that was verified, and whose it is.
    identity: Option<(String, UserId)>,
    /// How the connection ends at once, if the token was not right.
    refused: Option<Close>,
    /// Whether a program on this machine connects, for itself.
    local: bool,
    /// Whether it asks for more than the original document has.
    extras: bool,
}

impl std::fmt::Debug for Visit {
    /// Keeps tokens out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Visit").field("local", &self.local).finish_non_exhaustive()
    }
}

/// The way into the dialect. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Courier {
    door: Arc<Door>,
}

#[derive(Debug)]
struct Door {
    gate: Gate,
    manners: Arc<CourierManners>,
    raw: RawSettings,
    per_second: NonZeroU32,
    burst: NonZeroU32,
    /// Origins of pages that may connect.
    origins: Origins,
    /// Who forwards others' requests, and is never taken for a program of its own.
    proxies: Networks,
}

impl Courier {
    /// The dialect as its settings have it.
    pub fn new(
        gate: &Gate,
        settings: &CourierSettings,
        limits: &LimitSettings,
        public_url: &WebAddress,
        proxies: &Networks,
    ) -> Self {
        let manners = CourierManners {
            max_text_chars: limits.max_text_chars.get(),
            public_url: public_url.as_str().to_owned(),
            backlog_aliases: settings.backlog_aliases,
            delivery_confirm: settings.delivery_confirm,
            receipts: settings.receipts,
            auth_timeout: settings.auth_timeout.duration(),
            held_frames: limits.sink_frames.get(),
            held_bytes: limits.sink_bytes.get(),
        };
        let raw = RawSettings {
            frame_bytes: settings.max_frame_bytes.get(),
            first_frame_bytes: Some(FIRST_FRAME.min(settings.max_frame_bytes.get())),
            sink_frames: limits.sink_frames.get(),
            sink_bytes: limits.sink_bytes.get(),
            ping: limits.ping_seconds.duration(),
            silence: limits.silence_seconds.duration(),
        };
        let door = Door {
            gate: gate.clone(),
            manners: Arc::new(manners),
            raw,
            per_second: limits.frames_per_second,
            burst: limits.burst(),
            origins: settings.allowed_origins.clone(),
            proxies: proxies.clone(),
        };
        Self { door: Arc::new(door) }
    }

    /// For the main listener.
    pub fn routes(&self) -> Router {
        Router::new()
            .route("/courier", axum::routing::any(open))
            .route("/courier/", axum::routing::any(open))
            .with_state(self.clone())
    }

    /// For a port of its own, where every path is the same.
    pub fn own_port(&self) -> Router {
        Router::new().fallback(open_own).with_state(self.clone())
    }
}

/// On the main listener, which stands behind forwarders that often do not say so.
async fn open(State(courier): State<Courier>, request: Request) -> Response {
    answer(&courier.door, request, false).await
}

/// On the port of its own.
async fn open_own(State(courier): State<Courier>, request: Request) -> Response {
    let local = courier.door.is_local(&request);
    answer(&courier.door, request, local).await
}

async fn answer(door: &Door, request: Request, local: bool) -> Response {
    let origin = origin(request.headers());
    if is_upgrade(&request) && !origin.is_none_or(|origin| door.origins.allow(origin)) {
        let text = "pages of this origin may not connect (courier.allowed_origins)\n";
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    let address = request.extensions().get::<IpAddr>().copied();
    let address = address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let mut visit = Visit {
        local,
        extras: queried(request.uri(), "extras").is_some_and(|word| word == "1"),
        ..Visit::default()
    };
    if let Some(token) = token(&request).filter(|_| is_upgrade(&request)) {
        match door.gate.identify(&Credentials::Token(token.clone()), address).await {
            Ok(caller) => match caller.principal {
                Principal::User(user) => visit.identity = Some((token, user)),
                Principal::Device(_) => visit.refused = Some(Close::Refused("invalid token")),
            },
            Err(refusal) => {
                if let RefusalKind::TooOften { retry_after } = refusal.kind() {
                    let wait = [(header::RETRY_AFTER, retry_after.to_string())];
                    return (StatusCode::TOO_MANY_REQUESTS, wait).into_response();
                }
                visit.refused = Some(turned_away(&refusal, false));
            }
        }
    }
    let session = CourierSession::new(Arc::clone(&door.manners), visit);
    let pace = Pace::refusing(door.per_second, door.burst);
    let gate = door.gate.clone();
    upgrade(request, door.raw.clone(), move |socket| gate.admit(session, socket, address, pace))
}

fn origin(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or_default())
}

/// A token in the handshake: in its header, else in its query.
fn token(request: &Request) -> Option<String> {
    let header = request.headers().get(header::AUTHORIZATION);
    let header = header.and_then(|header| greeting::bearer(header.to_str().ok()?));
    header.map(str::to_owned).or_else(|| queried(request.uri(), "token"))
}

/// A value of the query that is not empty.
fn queried(uri: &Uri, name: &str) -> Option<String> {
    let pairs = uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
    let found = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value).next()?;
    let found = percent_decode_str(found).decode_utf8().ok()?;
    (!found.is_empty()).then(|| found.into_owned())
}

impl Door {
    /// Whether a program on this machine connects: from here and to here, for nobody else, and
    /// not a page of somewhere else in a browser of this machine. Where clients come by a public
    /// address, something in between connects for them.
    fn is_local(&self, request: &Request) -> bool {
        let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<Peer>>() else {
            return false;
        };
        let headers = request.headers();
        let ends = [peer.address, peer.called].map(|end| end.ip().to_canonical());
        self.manners.public_url.is_empty()
            && ends.iter().all(IpAddr::is_loopback)
            && !self.proxies.contains(peer.address.ip())
            && !is_forwarded(headers)
            && origin(headers).is_none_or(is_loopback_origin)
    }
}

fn is_forwarded(headers: &HeaderMap) -> bool {
    headers
        .keys()
        .any(|name| FORWARDING.contains(name) || name.as_str().starts_with("x-forwarded-"))
}

fn is_loopback_origin(origin: &str) -> bool {
    let Ok(uri) = origin.parse::<Uri>() else { return false };
    let Some(host) = uri.host().filter(|_| uri.scheme().is_some()) else { return false };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}
