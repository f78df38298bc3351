//! A stream that yields only so many bytes until its client is trusted.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream whose reading stops at a bound, and goes on when the bound is lifted.
#[derive(Debug)]
pub(super) struct Rationed<T> {
    inner: T,
    /// Bytes that may still be read; `None` without a bound.
    left: Option<usize>,
    stalled: bool,
}

impl<T> Rationed<T> {
    pub(super) fn new(inner: T, bytes: Option<usize>) -> Self {
        Self { inner, left: bytes, stalled: false }
    }

    /// Whether somebody wanted to read more than the bound allows.
    pub(super) const fn is_stalled(&self) -> bool {
        self.stalled
    }

    /// From now on everything is read. Whoever reads must ask again by itself.
    pub(super) fn lift(&mut self) {
        self.left = None;
        self.stalled = false;
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Rationed<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(left) = self.left else {
            return Pin::new(&mut self.inner).poll_read(context, buf);
        };
        if left == 0 {
            self.stalled = true;
            return Poll::Pending;
        }
        let mut part = buf.take(left);
        ready!(Pin::new(&mut self.inner).poll_read(context, &mut part))?;
        let read = part.filled().to_vec();
        buf.put_slice(&read);
        self.left = Some(left - read.len());
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Rationed<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
