//! JSON answers that are written piece by piece, each when the client has taken the one before.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use futures_util::stream;
use http_body::{Frame, SizeHint};
use serde_json::{Value, map};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::domain::Refusal;
use crate::service::{LARGE_ANSWER, Turn};

/// Bytes that are sent together.
const PIECE: usize = 64 << 10;
/// How long a client may take nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why an answer is not written to its end.
#[derive(Debug)]
pub(super) enum Interrupted {
    /// Something could not be read.
    Refused(Refusal),
    /// The client has gone, or takes nothing any more.
    Gone,
}

impl From<Refusal> for Interrupted {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

struct Piece {
    bytes: Bytes,
    last: bool,
}

/// What an answer is written with.
pub(super) struct Writer {
    buffer: Vec<u8>,
    pieces: mpsc::Sender<Result<Piece, Refusal>>,
    /// How long the client may take nothing.
    patience: Duration,
}

impl Writer {
    /// Writes text as it is.
    pub(super) async fn text(&mut self, text: &str) -> Result<(), Interrupted> {
        self.buffer.extend_from_slice(text.as_bytes());
        self.make_room().await
    }

    /// Writes a value.
    pub(super) async fn value(&mut self, value: &Value) -> Result<(), Interrupted> {
        serde_json::to_writer(&mut self.buffer, value).expect("a JSON value is always writable");
        self.make_room().await
    }

    /// Writes a value of an array.
    pub(super) async fn item(
        &mut self,
        first: &mut bool,
        value: &Value,
    ) -> Result<(), Interrupted> {
        self.separate(first).await?;
        self.value(value).await
    }

    /// Writes what stands between this and what came before, if something did.
    pub(super) async fn separate(&mut self, first: &mut bool) -> Result<(), Interrupted> {
        if !std::mem::take(first) {
            self.text(",").await?;
        }
        Ok(())
    }

    async fn make_room(&mut self) -> Result<(), Interrupted> {
        if self.buffer.len() < PIECE { Ok(()) } else { self.send(false).await }
    }

    async fn send(&mut self, last: bool) -> Result<(), Interrupted> {
        let bytes = std::mem::take(&mut self.buffer).into();
        match timeout(self.patience, self.pieces.send(Ok(Piece { bytes, last }))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Interrupted::Gone),
        }
    }
}

/// An object of which some values are written by somebody else.
pub(super) struct Object {
    entries: map::IntoIter,
    first: bool,
}

impl Object {
    /// An object with these entries.
    pub(super) fn new(shape: Value) -> Self {
        let entries = match shape {
            Value::Object(entries) => entries,
            _ => map::Map::new(),
        };
        Self { entries: entries.into_iter(), first: true }
    }

    /// Writes everything before a key, and the key; its value is the caller's to write.
    pub(super) async fn until(&mut self, out: &mut Writer, key: &str) -> Result<(), Interrupted> {
        while let Some((name, value)) = self.entries.next() {
            self.name(out, &name).await?;
            if name == key {
                return Ok(());
            }
            out.value(&value).await?;
        }
        Ok(())
    }

    /// Writes what is left, and the end.
    pub(super) async fn end(mut self, out: &mut Writer) -> Result<(), Interrupted> {
        while let Some((name, value)) = self.entries.next() {
            self.name(out, &name).await?;
            out.value(&value).await?;
        }
        out.text(if self.first { "{}" } else { "}" }).await
    }

    async fn name(&mut self, out: &mut Writer, name: &str) -> Result<(), Interrupted> {
        out.text(if std::mem::take(&mut self.first) { "{" } else { "," }).await?;
        out.value(&Value::from(name)).await?;
        out.text(":").await
    }
}

/// The same answer, for which an account keeps its turn until it is sent; a small one lets go of it at once.
pub(super) fn in_turn(response: Response, turn: Turn) -> Response {
    match response.body().size_hint().exact() {
        Some(length) if length <= LARGE_ANSWER as u64 => response,
        _ => response.map(|body| Body::new(InTurn { body, _turn: turn })),
    }
}

/// A body that is sent in somebody's turn.
struct InTurn {
    body: Body,
    _turn: Turn,
}

impl HttpBody for InTurn {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer that this writes. One that fits in one piece is sent as any other, and what is refused before the first
/// piece is full is a refusal as any other.
pub(super) async fn respond<F>(write: impl FnOnce(Writer) -> F) -> Result<Response, Refusal>
where
    F: Future<Output = Result<Writer, Interrupted>> + Send + 'static,
{
    respond_within(PATIENCE, write).await
}

async fn respond_within<F>(
    patience: Duration,
    write: impl FnOnce(Writer) -> F,
) -> Result<Response, Refusal>
where
    F: Future<Output = Result<Writer, Interrupted>> + Send + 'static,
{
    let (pieces, mut written) = mpsc::channel(1);
    let writing = write(Writer { buffer: Vec::new(), pieces: pieces.clone(), patience });
    tokio::spawn(async move {
        match writing.await {
            Ok(mut writer) => drop(writer.send(true).await),
            Err(Interrupted::Refused(refusal)) => drop(pieces.send(Err(refusal)).await),
            Err(Interrupted::Gone) => {}
        }
    });
    let first: Piece = written.recv().await.ok_or_else(Refusal::unavailable)??;
    let body = if first.last {
        Body::from(first.bytes)
    } else {
        Body::from_stream(stream::unfold(Some((Some(first), written)), async |state| {
            let (first, mut written) = state?;
            let next = match first {
                Some(first) => Some(Ok(first)),
                None => written.recv().await,
            };
            match next {
                Some(Ok(Piece { bytes, last: true })) => Some((Ok(bytes), None)),
                Some(Ok(piece)) => Some((Ok(piece.bytes), Some((None, written)))),
                Some(Err(refusal)) => {
                    tracing::warn!(%refusal, "an answer ends in its middle");
                    Some((Err(io::Error::other(refusal.to_string())), None))
                }
                None => Some((Err(io::ErrorKind::TimedOut.into()), None)),
            }
        }))
    };
    let mut response = Response::new(body);
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use serde_json::json;

    use super::*;

    async fn write(items: usize) -> Response {
        let answer = respond(async move |mut out: Writer| {
            let mut object = Object::new(json!({ "b": 1, "list": [], "a\"": null }));
            object.until(&mut out, "list").await?;
            out.text("[").await?;
            let mut first = true;
            for number in 0..items {
                out.item(&mut first, &json!({ "n": number })).await?;
            }
            out.text("]").await?;
            object.end(&mut out).await?;
            Ok(out)
        });
        answer.await.unwrap()
    }

    #[tokio::test]
    async fn the_bytes_are_those_of_the_whole_value() {
        for items in [0, 1, 2, 50_000] {
            let list: Vec<_> = (0..items).map(|number| json!({ "n": number })).collect();
            let whole = json!({ "b": 1, "list": list, "a\"": null }).to_string();
            let response = write(items).await;
            assert_eq!(response.headers()[header::CONTENT_TYPE], "application/json");
            let length = axum::body::HttpBody::size_hint(response.body()).exact();
            assert_eq!(length.is_some(), whole.len() < PIECE, "{items}");
            assert_eq!(to_bytes(response.into_body(), usize::MAX).await.unwrap(), whole);
        }
        let mut empty = Vec::new();
        let answer = respond(async move |mut out: Writer| {
            Object::new(json!({})).end(&mut out).await?;
            Ok(out)
        });
        empty.extend(to_bytes(answer.await.unwrap().into_body(), 9).await.unwrap());
        assert_eq!(empty, b"{}");
    }

    #[tokio::test]
    async fn a_refusal_before_the_first_piece_is_one_and_a_later_one_ends_the_body() {
        for (text, late) in [(10, false), (PIECE, true)] {
            let answer = respond(async move |mut out: Writer| {
                out.text(&"x".repeat(text)).await?;
                Err(Refusal::unavailable().into())
            });
            match answer.await {
                Err(refusal) => assert!(!late && refusal == Refusal::unavailable()),
                Ok(response) => {
                    assert!(late);
                    assert!(to_bytes(response.into_body(), usize::MAX).await.is_err());
                }
            }
        }
    }

    #[tokio::test]
    async fn who_takes_nothing_is_not_waited_for() {
        let (told, ended) = tokio::sync::oneshot::channel();
        let answer = respond_within(Duration::from_millis(10), async move |mut out: Writer| {
            let written = async {
                for _ in 0..100 {
                    out.text(&"x".repeat(PIECE)).await?;
                }
                Ok(())
            };
            let outcome: Result<(), Interrupted> = written.await;
            let _ = told.send(matches!(outcome, Err(Interrupted::Gone)));
            outcome.map(|()| out)
        });
        let response = answer.await.unwrap();
        assert!(ended.await.unwrap());
        assert!(to_bytes(response.into_body(), usize::MAX).await.is_err());
    }
}
