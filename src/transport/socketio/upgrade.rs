//! A WebSocket that is to become the transport of a session that polls.
//!
//! The library gives a session over to such a WebSocket as soon as it is opened, and ends the
//! session if nothing comes of it. So the handshake is carried out here, beside the session,
//! which goes on polling and learns of nothing until the client says `5`. Only then does the
//! library get the stream, with the handshake in front of what the client says next: it reads
//! that without waiting, and cannot fail any more.

use std::{
    collections::HashMap,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Request, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use socketioxide::socket::Sid;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    sync::Notify,
    time::{Instant, sleep_until},
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{
    Shared,
    probe::{self, Said},
    registry::Line,
};
use crate::transport::wire::Wire;

/// How long a client may take from opening the WebSocket to `5`.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long after the answer to the probe a waiting poll is let go: the client stops polling
/// when it reads the answer, and would poll once more if it were let go before.
const RELEASE_AFTER: Duration = Duration::from_millis(100);
/// When it did poll once more, that poll is let go as well.
const RELEASE_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// How many bytes a client may send ahead.
const MAX_AHEAD: usize = 16 << 10;

/// The answer to a probe.
pub(super) const PROBED: &[u8] = b"\x81\x063probe";
/// What the library is shown of the handshake.
const HANDSHAKE: &[u8] = b"\x81\x86\0\0\0\x002probe\x81\x81\0\0\0\x005";

/// The polls that wait for something to be sent.
#[derive(Debug, Default)]
pub(super) struct Polls(Mutex<HashMap<Sid, Arc<Notify>>>);

impl Polls {
    /// A poll waits from now on.
    pub(super) fn enter(self: &Arc<Self>, sid: Sid) -> WaitingPoll {
        let released = Arc::new(Notify::new());
        self.0.lock().insert(sid, released.clone());
        WaitingPoll { polls: self.clone(), sid, released }
    }

    /// Lets the poll of a session go with nothing; whether one waited.
    fn release(&self, sid: Sid) -> bool {
        let waiting = self.0.lock().remove(&sid);
        waiting.inspect(|poll| poll.notify_one()).is_some()
    }
}

/// A poll that waits.
#[derive(Debug)]
pub(super) struct WaitingPoll {
    polls: Arc<Polls>,
    sid: Sid,
    released: Arc<Notify>,
}

impl WaitingPoll {
    /// Waits until it is let go.
    pub(super) async fn released(&self) {
        self.released.notified().await;
    }
}

impl Drop for WaitingPoll {
    fn drop(&mut self) {
        let mut polls = self.polls.0.lock();
        if polls.get(&self.sid).is_some_and(|poll| Arc::ptr_eq(poll, &self.released)) {
            polls.remove(&self.sid);
        }
    }
}

/// Opens a WebSocket beside a session.
pub(super) fn open(
    shared: &Arc<Shared>,
    sid: Sid,
    is_version_3: bool,
    wire: Arc<Wire>,
    mut request: Request<Body>,
) -> Response {
    let Some(key) = request.headers().get(header::SEC_WEBSOCKET_KEY) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let accept = HeaderValue::try_from(derive_accept_key(key.as_bytes()));
    let upgrade =
        Upgrade { shared: shared.clone(), sid, version: if is_version_3 { 3 } else { 4 }, wire };
    tokio::spawn(upgrade.run(hyper::upgrade::on(&mut request)));
    let headers = [
        (header::CONNECTION, HeaderValue::from_static("Upgrade")),
        (header::UPGRADE, HeaderValue::from_static("websocket")),
        (header::SEC_WEBSOCKET_ACCEPT, accept.expect("base64 fits into a header")),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

struct Upgrade {
    shared: Arc<Shared>,
    sid: Sid,
    version: u8,
    wire: Arc<Wire>,
}

impl Upgrade {
    async fn run(self, upgraded: OnUpgrade) {
        // It fails if the client has gone.
        let Ok(upgraded) = upgraded.await else { return };
        let mut io = TokioIo::new(upgraded);
        match tokio::time::timeout(PATIENCE, self.shake_hands(&mut io)).await {
            Ok(Ok(Some(ahead))) => self.hand_over(io, ahead).await,
            // Nobody is there to be told.
            Ok(Err(_)) => {}
            Ok(Ok(None)) | Err(_) => {
                let goodbye = async {
                    io.write_all(probe::CLOSE).await?;
                    io.shutdown().await
                };
                let _ = tokio::time::timeout(PATIENCE, goodbye).await;
            }
        }
    }

    /// Answers until the client says `5`, and returns what it has said behind that; `None` for
    /// who says something else.
    async fn shake_hands(&self, io: &mut TokioIo<Upgraded>) -> io::Result<Option<Vec<u8>>> {
        let mut said = Vec::new();
        let mut releases = [RELEASE_AFTER, RELEASE_AGAIN_AFTER].into_iter();
        let mut probed = None;
        let mut release_at: Option<Instant> = None;
        loop {
            while let Some(frame) = probe::next(&mut said) {
                match frame {
                    Said::Probe => {
                        io.write_all(PROBED).await?;
                        io.flush().await?;
                        let now = *probed.get_or_insert_with(Instant::now);
                        if release_at.is_none() {
                            release_at = releases.next().map(|after| now + after);
                        }
                    }
                    Said::Upgrade => return Ok(Some(said)),
                    Said::Ping(payload) => {
                        io.write_all(&probe::pong(&payload)).await?;
                        io.flush().await?;
                    }
                    Said::Pong => {}
                    Said::Other => return Ok(None),
                }
            }
            if said.len() > MAX_AHEAD {
                return Ok(None);
            }
            tokio::select! {
                read = io.read_buf(&mut said) => if read? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                },
                () = wait_until(release_at) => {
                    release_at = if self.shared.registry.polls.release(self.sid) {
                        releases.next().zip(probed).map(|(after, probed)| probed + after)
                    } else {
                        Some(Instant::now() + RELEASE_AFTER)
                    };
                }
            }
        }
    }

    /// The session is the WebSocket's from now on.
    async fn hand_over(self, mut io: TokioIo<Upgraded>, mut said: Vec<u8>) {
        let Some(mut service) = self.shared.service.get().cloned() else { return };
        let registry = self.shared.registry.clone();
        let (line, is_probed) = Line::open(self.wire, registry, self.version == 3, &mut said);
        self.shared.registry.add_line(self.sid, &line);
        if is_probed && io.write_all(PROBED).await.is_err() {
            return;
        }
        let stream = Upgrading { io, ahead: [HANDSHAKE, &said].concat(), held_back: PROBED.len() };
        let Self { sid, version, .. } = self;
        let uri = format!("/socket.io/?EIO={version}&transport=websocket&sid={sid}");
        let request = Request::get(uri).body(()).expect("a sid fits into an address");
        // What could fail has happened here before.
        let _ =
            tower::Service::<(Upgrading, Request<()>)>::call(&mut service, (stream, request)).await;
    }
}

async fn wait_until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// The stream as the library sees it: the handshake is still to come.
struct Upgrading {
    io: TokioIo<Upgraded>,
    /// What is read before the rest.
    ahead: Vec<u8>,
    /// So many bytes, which the client has had already, are not written.
    held_back: usize,
}

impl AsyncRead for Upgrading {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.io).poll_read(context, buf);
        }
        let len = self.ahead.len().min(buf.remaining());
        buf.put_slice(&self.ahead[..len]);
        self.ahead.drain(..len);
        if self.ahead.is_empty() {
            self.ahead = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Upgrading {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.held_back > 0 {
            let len = buf.len().min(self.held_back);
            self.held_back -= len;
            return Poll::Ready(Ok(len));
        }
        Pin::new(&mut self.io).poll_write(context, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
