//! The bodies that clients post: how much is kept of one, and for how long.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::{Body, Bytes};
use bytes::BytesMut;
use http::StatusCode;
use http_body_util::BodyExt as _;
use tokio::time::Instant;

use super::SocketIoSettings;
use super::connection::Connection;
use super::registry::{DECISION, LOOK_AGAIN};

/// Reads a body. Of a client that has not said who it is no more is kept than may be, beside what
/// else is kept of it; when that is reached, what came before has time to make it known.
pub(super) async fn collect(
    body: Body,
    connection: Option<&Arc<Connection>>,
    settings: &SocketIoSettings,
) -> Result<Bytes, StatusCode> {
    let mut reading = Reading { connection, kept: BytesMut::new(), counted: 0 };
    let mut body = body;
    while let Some(frame) = body.frame().await {
        let data = frame.map_err(|_| StatusCode::BAD_REQUEST)?.into_data().unwrap_or_default();
        reading.keep(&data);
        let has_room = reading.make_room(settings.untrusted_body_bytes).await;
        if !has_room || reading.kept.len() > settings.body_bytes {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
    }
    Ok(std::mem::take(&mut reading.kept).freeze())
}

/// What has been read, and counts for its connection until it is passed on.
struct Reading<'a> {
    connection: Option<&'a Arc<Connection>>,
    kept: BytesMut,
    counted: usize,
}

impl Reading<'_> {
    fn is_trusted(&self) -> bool {
        self.connection.is_some_and(|connection| connection.is_trusted())
    }

    fn keep(&mut self, data: &[u8]) {
        self.kept.extend_from_slice(data);
        self.counted += data.len();
        if let Some(connection) = self.connection {
            connection.posted.fetch_add(data.len(), Ordering::SeqCst);
        }
    }

    /// Waits until no more is kept than may be, or the client is known.
    async fn make_room(&self, most: usize) -> bool {
        let until = Instant::now() + DECISION;
        loop {
            let all = self.connection.map_or(self.kept.len(), |connection| {
                connection.posted.load(Ordering::SeqCst) + connection.inbox.bytes()
            });
            if all <= most || self.is_trusted() {
                return true;
            }
            // Nobody can be known whose namespace is not even connected.
            if self.connection.is_none() || Instant::now() >= until {
                return false;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection {
            // What is passed on counts in the inbox.
            connection.posted.fetch_sub(self.counted, Ordering::SeqCst);
        }
    }
}
