//! Two people and a session key in the address: `new-message`, `online`, `is-typing`,
//! `read_message` and the rest of the old page's channels.
//!
//! Lives at `/{session_key}/{username}` on a port of its own and under `/private-chat` on the
//! main listener. A socket is bound to one opponent for its whole life.

mod answers;
mod asking;
mod codec;
mod date;
mod encode;
mod session;
mod shown;
mod sockets;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;

use date::DateFormat;
use encode::Style;
use session::PrivateChatSession;
use sockets::Sockets;

use crate::domain::Listed;
use crate::session::{Gate, Pace};
use crate::settings::{
    Announce, Html, LimitSettings, Origins, PrivateChatSettings, UserListPolicy,
};
use crate::transport::websocket::{RawSettings, upgrade};

/// Where the dialect lives on the main listener.
const PREFIX: &str = "/private-chat/";

/// What an operator decides about this dialect.
#[derive(Debug)]
struct Manners {
    dates: DateFormat,
    public_url: String,
    auto_dialog: bool,
    announce_bound: bool,
    user_list: Listed,
    errors: bool,
    max_text_chars: usize,
    sockets: Sockets,
}

/// The way into the dialect. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PrivateChat {
    door: Arc<Door>,
}

#[derive(Debug)]
struct Door {
    gate: Gate,
    manners: Arc<Manners>,
    html: Html,
    origins: Origins,
    raw: RawSettings,
    per_second: NonZeroU32,
    burst: NonZeroU32,
}

/// What a client's address and headers say.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Visit {
    key: String,
    /// Whom it is bound to.
    opponent: String,
    style: Style,
}

impl PrivateChat {
    /// The dialect as its settings have it.
    pub fn new(
        gate: &Gate,
        settings: &PrivateChatSettings,
        limits: &LimitSettings,
        public_url: &str,
    ) -> Self {
        let manners = Manners {
            dates: DateFormat::new(&settings.datetime_format, &settings.time_zone),
            public_url: public_url.to_owned(),
            auto_dialog: settings.auto_dialog,
            announce_bound: settings.announce == Announce::Bound,
            user_list: match settings.user_list {
                UserListPolicy::All => Listed::All,
                UserListPolicy::Contacts => Listed::Contacts,
                UserListPolicy::Off => Listed::Nobody,
            },
            errors: settings.errors,
            max_text_chars: limits.max_text_chars.get(),
            sockets: Sockets::default(),
        };
        let ping = limits.ping_seconds.duration();
        let raw = RawSettings {
            frame_bytes: settings.max_frame_bytes.get(),
            first_frame_bytes: None,
            sink_frames: limits.sink_frames.get(),
            sink_bytes: limits.sink_bytes.get(),
            ping,
            // A ping has as long to be answered as lies between two of them.
            silence: limits.silence_seconds.duration().min(2 * ping),
        };
        let door = Door {
            gate: gate.clone(),
            manners: Arc::new(manners),
            html: settings.html,
            origins: settings.allowed_origins.clone(),
            raw,
            per_second: limits.frames_per_second,
            burst: limits.burst(),
        };
        Self { door: Arc::new(door) }
    }

    /// For the main listener.
    pub fn routes(&self) -> Router {
        Router::new()
            .route("/private-chat/{*rest}", axum::routing::get(below))
            .with_state(self.clone())
    }

    /// For a port of its own, where every path is an address of this dialect.
    pub fn own_port(&self) -> Router {
        Router::new().fallback(anywhere).with_state(self.clone())
    }

    fn open(&self, request: Request, path: &str) -> Response {
        let door = &self.door;
        let Some((key, opponent)) = address(path) else {
            return (StatusCode::NOT_FOUND, "the address is /<session key>/<username>\n")
                .into_response();
        };
        let origin = request.headers().get(header::ORIGIN);
        let origin = origin.map(|origin| origin.to_str().unwrap_or_default());
        if !origin.is_none_or(|origin| door.origins.allow(origin)) {
            return (StatusCode::FORBIDDEN, "pages of this origin may not connect\n")
                .into_response();
        }
        let style = style(door.html, origin.is_some(), request.uri());
        let visit = Visit { key, opponent, style };
        let client = request.extensions().get::<IpAddr>().copied();
        let client = client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let pace = Pace::refusing(door.per_second, door.burst);
        let session = PrivateChatSession::new(Arc::clone(&door.manners), visit);
        let gate = door.gate.clone();
        upgrade(request, door.raw.clone(), move |socket| gate.admit(session, socket, client, pace))
    }
}

async fn below(State(chat): State<PrivateChat>, request: Request) -> Response {
    let path = request.uri().path().strip_prefix(PREFIX).unwrap_or_default().to_owned();
    chat.open(request, &path)
}

async fn anywhere(State(chat): State<PrivateChat>, request: Request) -> Response {
    let path = request.uri().path().trim_start_matches('/').to_owned();
    // Both addresses may be configured as the page's base.
    let path = path.strip_prefix(PREFIX.trim_start_matches('/')).unwrap_or(&path).to_owned();
    chat.open(request, &path)
}

/// The key and the opponent's name; what follows them has no meaning.
fn address(path: &str) -> Option<(String, String)> {
    let mut segments =
        path.split('/').map(|segment| percent_decode_str(segment).decode_utf8_lossy());
    let (key, opponent) = (segments.next()?, segments.next()?);
    let whole = !key.is_empty() && !opponent.is_empty();
    whole.then(|| (key.into_owned(), opponent.into_owned()))
}

/// How texts are written for a client.
fn style(html: Html, from_page: bool, uri: &Uri) -> Style {
    let query = uri.query().unwrap_or_default();
    let says = |wanted: &str| query.split('&').any(|part| part == wanted);
    let escapes = match html {
        _ if says("html=escape") => true,
        _ if says("html=raw") => false,
        Html::Auto => from_page,
        Html::Raw => false,
        Html::Escape => true,
    };
    match (says("extras=1"), escapes) {
        (true, _) => Style::Extras,
        (false, true) => Style::Escaped,
        (false, false) => Style::Raw,
    }
}
