//! Two members, one chat: text, smiles and files in binary frames, each paid for with coins.
//!
//! Lives at `/members/chat/?other_member_id=`. The first frame is `Bearer …`, the answer is
//! the whole past of the chat; from then on every frame has exactly one answer.

mod codec;
mod encode;
mod file_frame;
mod session;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, Request};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, any, get};
use axum::{Json, Router};
use serde_json::json;

use session::ChatSession;

use crate::domain::{MessageId, UserId};
use crate::session::{Gate, Pace};
use crate::settings::Settings;
use crate::transport::websocket::{self, RawSettings};

/// Largest first frame, in bytes.
const FIRST_FRAME: usize = 16_384;
/// Largest number that every client can hold.
const MAX_ID: i64 = (1 << 53) - 1;

/// What an operator decides about this dialect.
#[derive(Clone, Debug)]
pub(crate) struct ChatManners {
    /// How long a client may take to say who it is.
    auth_timeout: Duration,
    /// Longest text, in characters.
    max_text_chars: usize,
    /// Largest frame of text that is looked into, in bytes.
    max_text_bytes: usize,
    /// Largest file, in bytes.
    max_file_bytes: usize,
    /// Largest head of a file frame, in bytes.
    max_head_bytes: usize,
    /// Types that may be sent; none named means all.
    allowed_types: Vec<String>,
    /// Under which address clients reach the server.
    public_url: String,
}

impl ChatManners {
    fn new(settings: &Settings) -> Self {
        let chats = &settings.members_chat;
        Self {
            auth_timeout: chats.auth_timeout.duration(),
            max_text_chars: settings.limits.max_text_chars.get(),
            max_text_bytes: settings.limits.event_bytes.get(),
            max_file_bytes: chats.max_file_bytes.get(),
            max_head_bytes: chats.max_file_head_bytes.get(),
            allowed_types: chats.allowed_file_types.clone(),
            public_url: settings.public_url.as_str().to_owned(),
        }
    }
}

/// What a connection was opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Address {
    other: UserId,
    limit: Option<u32>,
    before: Option<MessageId>,
    extras: bool,
}

/// What every handshake needs.
struct Door {
    gate: Gate,
    manners: Arc<ChatManners>,
    socket: RawSettings,
    settings: Settings,
}

/// The address of the dialect, if it is spoken at all.
pub fn routes(gate: &Gate, settings: &Settings) -> Router {
    if !settings.members_chat.enabled {
        // Said here: the HTTP API has an address of this form for other verbs.
        let text = "there is nothing at this address";
        let absent = any(async move || complaint(StatusCode::NOT_FOUND, "not_found", text));
        return both(absent);
    }
    let limits = &settings.limits;
    let socket = RawSettings {
        frame_bytes: settings.members_chat.max_frame_bytes.get(),
        first_frame_bytes: Some(FIRST_FRAME),
        sink_frames: limits.sink_frames.get(),
        sink_bytes: limits.sink_bytes.get(),
        ping: limits.ping_seconds.duration(),
        silence: limits.silence_seconds.duration(),
    };
    let manners = Arc::new(ChatManners::new(settings));
    let door = Arc::new(Door { gate: gate.clone(), manners, socket, settings: settings.clone() });
    let open = move |request: Request| {
        let door = Arc::clone(&door);
        async move { door.open(request) }
    };
    let other_verb = async || {
        let text = "this address speaks WebSocket only, which begins with GET";
        let refused = complaint(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", text);
        ([(header::ALLOW, "GET")], refused)
    };
    both(get(open).fallback(other_verb))
}

fn both(route: MethodRouter) -> Router {
    Router::new().route("/members/chat", route.clone()).route("/members/chat/", route)
}

impl Door {
    fn open(&self, request: Request<Body>) -> Response {
        if !self.is_welcome(request.headers()) {
            let text = "pages of this origin are not let in";
            return complaint(StatusCode::FORBIDDEN, "forbidden", text);
        }
        let most = u32::try_from(self.settings.members_chat.history_limit).unwrap_or(u32::MAX);
        let address = match read_address(request.uri(), most) {
            Ok(address) => address,
            Err(text) => {
                return complaint(StatusCode::UNPROCESSABLE_ENTITY, "validation_error", &text);
            }
        };
        let client = request.extensions().get::<IpAddr>().copied();
        let client = client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let limits = &self.settings.limits;
        let pace = Pace::refusing(limits.frames_per_second, limits.burst());
        let session = ChatSession::new(Arc::clone(&self.manners), address);
        let too_large = encode::too_large(&self.manners);
        let gate = self.gate.clone();
        websocket::upgrade(request, self.socket.clone(), move |socket| {
            gate.admit(session, socket.complaining(too_large), client, pace)
        })
    }

    /// Whether a page of this origin may connect; programs have none.
    fn is_welcome(&self, headers: &HeaderMap) -> bool {
        let allowed = &self.settings.http.allowed_origins;
        let Some(origin) = headers.get(header::ORIGIN) else { return true };
        origin.to_str().map_or_else(|_| allowed.allow_all(), |origin| allowed.allow(origin))
    }
}

fn complaint(status: StatusCode, code: &str, detail: &str) -> Response {
    (status, Json(json!({ "detail": detail, "code": code }))).into_response()
}

fn read_address(uri: &Uri, most: u32) -> Result<Address, String> {
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|_| "the query cannot be read".to_owned())?;
    let find =
        |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.trim());
    let id = |name: &str, value: &str| {
        let number = digits(value).filter(|number| (1..=MAX_ID).contains(number));
        number.ok_or_else(|| format!("{name} must be a positive integer"))
    };
    let other = find("other_member_id").unwrap_or_default();
    let other = UserId::new(id("other_member_id", other)?);
    let before = find("before_id").map(|value| id("before_id", value)).transpose()?;
    let limit = find("history_limit").map(|value| {
        let number = digits(value).and_then(|number| u32::try_from(number).ok());
        let number = number.filter(|number| *number <= most);
        number.ok_or_else(|| format!("history_limit must be an integer from 0 to {most}"))
    });
    Ok(Address {
        other,
        limit: limit.transpose()?,
        before: before.map(MessageId::new),
        extras: find("extras") == Some("1"),
    })
}

/// A number written in digits alone.
fn digits(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}
