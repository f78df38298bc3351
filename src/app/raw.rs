//! The dialects of raw connections, set up as the settings say.

use std::num::NonZeroUsize;

use axum::Router;

use crate::dialect::multichat::{self, Origins};
use crate::session::Gate;
use crate::settings::Settings;
use crate::transport::websocket::RawSettings;

/// How connections of a dialect with frames of this size are treated.
pub(super) fn connections(settings: &Settings, frame_bytes: NonZeroUsize) -> RawSettings {
    let limits = &settings.limits;
    RawSettings {
        frame_bytes: frame_bytes.get(),
        first_frame_bytes: None,
        sink_frames: limits.sink_frames.get(),
        sink_bytes: limits.sink_bytes.get(),
        ping: limits.ping_seconds.duration(),
        silence: limits.silence_seconds.duration(),
    }
}

/// multichat's addresses.
pub(super) fn multichat(settings: &Settings, gate: &Gate) -> Router {
    let own = settings.http.allowed_origins.named().map(str::to_owned);
    let own = own.chain(settings.public_url.origin());
    let manners = multichat::Manners {
        settings: settings.multichat.clone(),
        max_text_chars: settings.limits.max_text_chars.get(),
        public_url: settings.public_url.as_str().to_owned(),
        frames_per_second: settings.limits.frames_per_second,
        frames_burst: settings.limits.burst(),
        origins: Origins(own.collect()),
    };
    multichat::routes(gate, manners, connections(settings, settings.multichat.max_frame_bytes))
}
