//! The body of a request on its way in: whether all of it was read, and for how long it may stop.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a client may send nothing while its body is waited for.
const SILENCE: Duration = Duration::from_secs(30);
/// The pace below which that time is used up, in bytes a second.
const PACE: u64 = 500;

/// A body that tells whether it was read to its end, and fails when it does not go on.
pub(super) struct Arriving {
    body: Incoming,
    is_read: Arc<AtomicBool>,
    /// How much longer the client may be waited for.
    credit: Duration,
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

/// The rest of a body did not come in time.
#[derive(Debug, thiserror::Error)]
#[error("the rest of the body did not come in time")]
struct Stopped;

impl Arriving {
    /// The body, and what tells later whether all of it was read.
    pub(super) fn new(body: Incoming) -> (Self, Arc<AtomicBool>) {
        let is_read = Arc::new(AtomicBool::new(body.is_end_stream()));
        (Self { body, is_read: is_read.clone(), credit: SILENCE, waiting: None }, is_read)
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) else {
            let now = Instant::now();
            let (_, timer) =
                this.waiting.get_or_insert_with(|| (now, Box::pin(sleep_until(now + this.credit))));
            ready!(timer.as_mut().poll(context));
            return Poll::Ready(Some(Err(axum::Error::new(Stopped))));
        };
        if let Some((since, _)) = this.waiting.take() {
            this.credit = this.credit.saturating_sub(since.elapsed());
        }
        if let Some(Ok(data)) = frame.as_ref().map(|frame| frame.as_ref().map(Frame::data_ref)) {
            let bytes = data.map_or(0, Bytes::len) as u64;
            this.credit = SILENCE.min(this.credit + Duration::from_millis(bytes * 1000 / PACE));
        }
        if frame.is_none() || this.body.is_end_stream() {
            this.is_read.store(true, Ordering::Relaxed);
        }
        Poll::Ready(frame.map(|frame| frame.map_err(axum::Error::new)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
