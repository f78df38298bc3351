//! How much one client, one user or one address may claim, in every dialect alike.

use std::num::{NonZeroU32, NonZeroUsize};

use serde::{Deserialize, Serialize};

use super::values::Seconds;

/// How much one client, one user or one address may claim.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitSettings {
    /// Largest JSON body of an HTTP request, in bytes.
    pub body_bytes: NonZeroUsize,
    /// Largest uploaded file, in bytes.
    pub upload_bytes: NonZeroUsize,
    /// Files one message may announce.
    pub files_per_message: NonZeroUsize,
    /// Largest Socket.IO packet, in bytes.
    pub event_bytes: NonZeroUsize,
    /// Longest text of a message, in Unicode scalar values.
    pub max_text_chars: NonZeroUsize,
    /// Frames a second of one raw WebSocket.
    pub frames_per_second: NonZeroU32,
    /// Frames it may send at once; 0 = twice `frames_per_second`.
    pub frames_burst: u32,
    /// HTTP commands a second of one account; ten times that of one address without an account.
    pub requests_per_second: NonZeroU32,
    /// HTTP commands it may send at once; 0 = five times `requests_per_second`.
    pub requests_burst: u32,
    /// Live connections of all, over all dialects.
    pub connections: NonZeroUsize,
    /// Those of one address, an IPv4 address or an IPv6 /64; 0 = half of `connections`.
    pub connections_per_address: usize,
    /// Live connections of one user, over all dialects.
    pub sockets_per_user: NonZeroUsize,
    /// Failed logins and registrations a minute from one address.
    pub auth_per_minute: NonZeroU32,
    /// Members of one courier group.
    pub group_members: NonZeroUsize,
    /// Groups one user may make in a minute.
    pub groups_per_minute: NonZeroU32,
    /// Frames that wait for a slow reader before it is let go.
    pub sink_frames: NonZeroUsize,
    /// Bytes that wait for a slow reader before it is let go.
    pub sink_bytes: NonZeroUsize,
    /// Seconds between the pings of a raw WebSocket.
    pub ping_seconds: Seconds,
    /// Seconds of silence after which a raw WebSocket counts as gone.
    pub silence_seconds: Seconds,
    /// Seconds in which the head of a request must have come.
    pub head_seconds: Seconds,
    /// Seconds over which connections are closed when the server goes down; 0 = at once.
    pub drain_seconds: u32,
}

impl LimitSettings {
    /// Live connections of one address.
    pub const fn per_address(&self) -> usize {
        match self.connections_per_address {
            0 => self.connections.get().div_ceil(2),
            own => own,
        }
    }

    /// HTTP commands an account may send at once.
    pub const fn request_burst(&self) -> NonZeroU32 {
        match NonZeroU32::new(self.requests_burst) {
            Some(burst) => burst,
            None => self.requests_per_second.saturating_mul(const { NonZeroU32::new(5).unwrap() }),
        }
    }

    /// Frames a raw WebSocket may send at once.
    pub const fn burst(&self) -> NonZeroU32 {
        match NonZeroU32::new(self.frames_burst) {
            Some(burst) => burst,
            None => self.frames_per_second.saturating_mul(const { NonZeroU32::new(2).unwrap() }),
        }
    }
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            body_bytes: const { NonZeroUsize::new(1 << 20).unwrap() },
            upload_bytes: const { NonZeroUsize::new(100 << 20).unwrap() },
            files_per_message: const { NonZeroUsize::new(32).unwrap() },
            event_bytes: const { NonZeroUsize::new(1 << 20).unwrap() },
            max_text_chars: const { NonZeroUsize::new(8192).unwrap() },
            frames_per_second: const { NonZeroU32::new(20).unwrap() },
            frames_burst: 0,
            requests_per_second: const { NonZeroU32::new(100).unwrap() },
            requests_burst: 0,
            connections: const { NonZeroUsize::new(50_000).unwrap() },
            connections_per_address: 0,
            sockets_per_user: const { NonZeroUsize::new(20).unwrap() },
            auth_per_minute: const { NonZeroU32::new(120).unwrap() },
            group_members: const { NonZeroUsize::new(500).unwrap() },
            groups_per_minute: const { NonZeroU32::new(120).unwrap() },
            sink_frames: const { NonZeroUsize::new(1024).unwrap() },
            sink_bytes: const { NonZeroUsize::new(4 << 20).unwrap() },
            ping_seconds: Seconds::new(20),
            silence_seconds: Seconds::new(60),
            head_seconds: Seconds::new(60),
            drain_seconds: 5,
        }
    }
}
