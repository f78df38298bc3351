//! The named channels of Socket.IO: `authenticate`, `join_conversation`, `message`,
//! `writing`, `webrtc_*` and, for new clients, `sync`, `history` and `read`.
//!
//! Lives at `/socket.io/`, namespace `/`. A connection is open to anyone and says who it
//! is at any time.

mod calls;
mod codec;
mod encode;
mod familiar;
mod session;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::sync::Arc;

use session::NeoSession;

use crate::session::{Gate, Pace};
use crate::transport::socketio::{Data, Packet, SocketTransport};

/// What an operator decides about this dialect.
#[derive(Clone, Debug)]
pub struct NeoManners {
    /// Longest text, in characters.
    pub max_text_chars: usize,
    /// Most files of one message.
    pub files_per_message: usize,
    /// On which channels a forwarded signal is told, in this order.
    pub forward_channels: Vec<String>,
    /// Commands of one connection that are carried out in a second, on average.
    pub events_per_second: NonZeroU32,
    /// Commands of one connection that are carried out at once.
    pub events_burst: NonZeroU32,
}

/// A socket has connected: lets it through the gate, in a task of its own.
pub fn open(gate: &Gate, manners: &Arc<NeoManners>, mut socket: SocketTransport) {
    // Clients send what they kept while they were cut off before anything else.
    if let Some(token) = socket.take_token() {
        let data = Data::Json(serde_json::json!({ "token": token }).into());
        socket.receive_first(Packet { channel: "authenticate".into(), data, ack: None });
    }
    let host = socket.headers().get(axum::http::header::HOST);
    let host = host.and_then(|host| host.to_str().ok()).map(str::to_owned);
    let address = socket.client().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let session = NeoSession::new(Arc::clone(manners), host);
    let pace = Pace::new(manners.events_per_second, manners.events_burst);
    tokio::spawn(gate.admit(session, socket, address, pace));
}
