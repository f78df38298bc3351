//! Bodies that are read whole: what is kept of one, and of whose.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use bytes::BytesMut;
use http_body_util::BodyExt as _;

use crate::domain::{Refusal, RefusalKind};

/// Bytes that are kept of the body of somebody who has not said who it is; as many as a connection may have held.
pub(super) const UNTRUSTED_BYTES: usize = 256 << 10;

/// Why a body was not read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotWhole {
    /// It has more bytes than these.
    TooLarge(usize),
    /// It did not arrive.
    Broken,
}

impl From<NotWhole> for Refusal {
    fn from(why: NotWhole) -> Self {
        match why {
            NotWhole::TooLarge(limit @ UNTRUSTED_BYTES) => {
                let text = format!("the body may have at most {limit} bytes without a valid token");
                Self::new(RefusalKind::TooLarge, text)
            }
            NotWhole::TooLarge(limit) => {
                let text = format!("the body may have at most {limit} bytes (limits.body_bytes)");
                Self::new(RefusalKind::TooLarge, text)
            }
            NotWhole::Broken => Self::malformed("the body did not arrive whole"),
        }
    }
}

/// A body that is being read.
pub(super) struct Collecting {
    body: Body,
    read: BytesMut,
    limit: usize,
}

impl Collecting {
    /// Begins to read a body of at most `limit` bytes, unless it is announced as larger.
    pub(super) fn begin(headers: &HeaderMap, body: Body, limit: usize) -> Result<Self, NotWhole> {
        let announced =
            headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
        if announced.is_some_and(|length: u64| length > limit as u64) {
            return Err(NotWhole::TooLarge(limit));
        }
        Ok(Self { body, read: BytesMut::new(), limit })
    }

    /// Reads to the end, or to just beyond what is kept of a stranger's: whether it was the end.
    pub(super) async fn as_stranger(&mut self) -> Result<bool, NotWhole> {
        self.read_to(UNTRUSTED_BYTES.min(self.limit)).await
    }

    /// What has been read so far.
    pub(super) fn so_far(&self) -> &[u8] {
        &self.read
    }

    /// Reads the rest.
    pub(super) async fn whole(mut self) -> Result<Bytes, NotWhole> {
        if self.read_to(self.limit).await? {
            return Ok(self.read.freeze());
        }
        Err(NotWhole::TooLarge(self.limit))
    }

    async fn read_to(&mut self, bound: usize) -> Result<bool, NotWhole> {
        while self.read.len() <= bound {
            let Some(frame) = self.body.frame().await else { return Ok(true) };
            if let Ok(data) = frame.map_err(|_| NotWhole::Broken)?.into_data() {
                self.read.extend_from_slice(&data);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_more_is_read_than_is_kept() {
        for (size, limit, strange, whole) in [
            (0, 10, true, Ok(0)),
            (10, 10, true, Ok(10)),
            (11, 10, false, Err(NotWhole::TooLarge(10))),
            (UNTRUSTED_BYTES, 1 << 20, true, Ok(UNTRUSTED_BYTES)),
            (UNTRUSTED_BYTES + 1, 1 << 20, false, Ok(UNTRUSTED_BYTES + 1)),
        ] {
            let body = Body::from(vec![b'x'; size]);
            let mut reading = Collecting::begin(&HeaderMap::new(), body, limit).unwrap();
            assert_eq!(reading.as_stranger().await, Ok(strange), "{size} of {limit}");
            assert_eq!(reading.whole().await.map(|bytes| bytes.len()), whole);
        }
        let headers = HeaderMap::from_iter([(header::CONTENT_LENGTH, 33.into())]);
        let announced = Collecting::begin(&headers, Body::empty(), 32);
        assert_eq!(announced.err(), Some(NotWhole::TooLarge(32)));
    }
}
