//! Many rooms over one WebSocket: `join`, `leave` and `send`, and what has grown around them.
//!
//! Lives at `/chat/stream/`. Who connects is known by the handshake: a header, the address or
//! the login's cookie; whoever comes with a cookie must come from a page of ours.

mod codec;
mod commands;
mod encode;
mod handshake;
mod hearing;
mod session;
mod style;
#[cfg(test)]
mod tests;

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::get;

use crate::session::Gate;
use crate::settings::MultichatSettings;
use crate::transport::websocket::RawSettings;

pub use handshake::Origins;

/// How often a connection says at most that its user types.
const TYPING_PACE: Duration = Duration::from_secs(2);

/// What an operator decides about this dialect.
#[derive(Clone, Debug)]
pub struct Manners {
    /// Its section.
    pub settings: MultichatSettings,
    /// Longest text, in characters.
    pub max_text_chars: usize,
    /// Where the server is reached, or nothing.
    pub public_url: String,
    /// Commands of one connection that are carried out in a second, on average.
    pub frames_per_second: NonZeroU32,
    /// Commands of one connection that are carried out at once.
    pub frames_burst: NonZeroU32,
    /// Pages whose cookies count.
    pub origins: Origins,
}

impl Manners {
    /// How long authors may change their minds, if not for ever.
    fn edit_window(&self) -> Option<Duration> {
        let seconds = self.settings.edit_window;
        (seconds > 0).then(|| Duration::from_secs(seconds.into()))
    }

    /// How long rooms of lost connections are kept, if at all.
    fn keep(&self) -> Option<Duration> {
        let seconds = self.settings.resume_seconds;
        (seconds > 0).then(|| Duration::from_secs(seconds.into()))
    }
}

/// What the handler of handshakes knows.
#[derive(Clone)]
struct Door {
    gate: Gate,
    manners: Arc<Manners>,
    raw: RawSettings,
}

/// The dialect's addresses; none if it is switched off.
pub fn routes(gate: &Gate, manners: Manners, raw: RawSettings) -> Router {
    if !manners.settings.enabled {
        return Router::new();
    }
    let door = Door { gate: gate.clone(), manners: Arc::new(manners), raw };
    Router::new()
        .route("/chat/stream", get(open))
        .route("/chat/stream/", get(open))
        .with_state(door)
}

async fn open(State(door): State<Door>, request: Request) -> Response {
    handshake::open(door, request).await
}
