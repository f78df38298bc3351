//! The parts of a multipart body, of which nothing is held that leads nowhere.
//!
//! The library below gathers what comes until it finds what it looks for, and takes all there is
//! at once. So it is given a piece at a time, and few of them for one step.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use axum::extract::multipart::Field;
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request};
use axum::http::header;
use http_body::Frame;
use percent_encoding::percent_decode;

use crate::domain::{Refusal, RefusalKind};

/// How many bytes the heads of parts, their boundaries and the parts that nobody asked for may take.
pub(super) const ENVELOPE: u64 = 64 * 1024;
/// Pieces may be as large as this.
const PIECE: usize = 64 * 1024;

/// A multipart body.
pub(super) struct Parts {
    multipart: Multipart,
    fed: Fed,
}

/// How much the library was given, and what of it was passed on as a file.
#[derive(Clone, Default)]
pub(super) struct Fed(Arc<Counts>);

#[derive(Default)]
struct Counts {
    all: AtomicU64,
    in_this_step: AtomicU64,
    of_files: AtomicU64,
    /// What was given before is looked at before there is more.
    pauses: AtomicBool,
}

impl Parts {
    /// Begins to read; `None` if the request has no such body.
    pub(super) async fn of(request: Request) -> Option<Self> {
        let fed = Fed::default();
        let counted = fed.clone();
        let mut request = request.map(|body| {
            let rest = Bytes::new();
            Body::new(PieceByPiece { body, rest, fed: counted })
        });
        // Files count for themselves; the extractor would stop at its own bound.
        DefaultBodyLimit::disable().apply(&mut request);
        let multipart = Multipart::from_request(request, &()).await.ok()?;
        Some(Self { multipart, fed })
    }

    /// The next part, and what counts its bytes.
    pub(super) async fn next(&mut self) -> Result<Option<(Field<'_>, Fed)>, Refusal> {
        let fed = self.fed.clone();
        fed.begin_step()?;
        match self.multipart.next_field().await {
            Ok(field) => Ok(field.map(|field| (field, fed))),
            Err(_) => Err(fed.failure()),
        }
    }
}

impl Fed {
    /// The next piece of a file.
    pub(super) async fn piece(&self, file: &mut Field<'_>) -> Result<Option<Bytes>, Refusal> {
        self.reset();
        let piece = file.chunk().await.map_err(|_| self.failure())?;
        let bytes = piece.as_ref().map_or(0, Bytes::len) as u64;
        self.0.of_files.fetch_add(bytes, Ordering::Relaxed);
        Ok(piece)
    }

    /// The next piece of another part.
    pub(super) async fn other(&self, part: &mut Field<'_>) -> Result<Option<Bytes>, Refusal> {
        self.begin_step()?;
        part.chunk().await.map_err(|_| self.failure())
    }

    fn begin_step(&self) -> Result<(), Refusal> {
        self.reset();
        let (all, files) = (&self.0.all, &self.0.of_files);
        // The last piece may belong to a file that has not been passed on.
        if all.load(Ordering::Relaxed) > files.load(Ordering::Relaxed) + ENVELOPE + PIECE as u64 {
            return Err(too_much());
        }
        Ok(())
    }

    fn reset(&self) {
        self.0.in_this_step.store(0, Ordering::Relaxed);
        self.0.pauses.store(true, Ordering::Relaxed);
    }

    fn is_full(&self) -> bool {
        self.0.in_this_step.load(Ordering::Relaxed) > ENVELOPE
    }

    fn failure(&self) -> Refusal {
        if self.is_full() {
            return too_much();
        }
        Refusal::malformed("the multipart body is broken or did not arrive whole")
    }
}

fn too_much() -> Refusal {
    let text = "the parts of the body beside the file are too large";
    Refusal::new(RefusalKind::TooLarge, text)
}

/// A body that is handed on a piece at a time, until too much of it leads nowhere.
struct PieceByPiece {
    body: Body,
    /// What has come and was not handed on.
    rest: Bytes,
    fed: Fed,
}

impl http_body::Body for PieceByPiece {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        if this.fed.0.pauses.swap(false, Ordering::Relaxed) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if this.fed.is_full() {
            return Poll::Ready(Some(Err(axum::Error::new(too_much()))));
        }
        if this.rest.is_empty() {
            let Some(frame) = ready!(Pin::new(&mut this.body).poll_frame(context)) else {
                return Poll::Ready(None);
            };
            match frame?.into_data() {
                Ok(data) => this.rest = data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        let piece = this.rest.split_to(this.rest.len().min(PIECE));
        let bytes = piece.len() as u64;
        this.fed.0.all.fetch_add(bytes, Ordering::Relaxed);
        this.fed.0.in_this_step.fetch_add(bytes, Ordering::Relaxed);
        this.fed.0.pauses.store(true, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

/// The name that a part gives its file: the extended form, which says its encoding, before the
/// plain one.
pub(super) fn file_name(part: &Field<'_>) -> Option<String> {
    named(part.headers().get(header::CONTENT_DISPOSITION)?.as_bytes())
}

fn named(disposition: &[u8]) -> Option<String> {
    let mut plain = None;
    let mut rest = String::from_utf8_lossy(disposition).into_owned();
    // What stands before the first parameter is the kind of disposition.
    while let Some(at) = rest.find(';') {
        rest.drain(..=at);
        let Some(equals) = rest.find(['=', ';']).filter(|at| rest[*at..].starts_with('=')) else {
            continue;
        };
        let name = rest[..equals].trim().to_ascii_lowercase();
        rest.drain(..=equals);
        let value = take_value(&mut rest);
        match name.as_str() {
            "filename*" => {
                if let Some(extended) = decode(&value) {
                    return Some(extended);
                }
            }
            "filename" => plain = plain.or(Some(value)),
            _ => {}
        }
    }
    plain
}

/// Takes a value off the front: a token, or a quoted text. Only a quote can be escaped, for
/// there are clients that send paths with backslashes.
fn take_value(rest: &mut String) -> String {
    *rest = rest.trim_start().to_owned();
    let Some(quoted) = rest.strip_prefix('"') else {
        let end = rest.find(';').unwrap_or(rest.len());
        let value = rest[..end].trim().to_owned();
        rest.drain(..end);
        return value;
    };
    let bytes = quoted.as_bytes();
    let closing =
        (0..bytes.len()).find(|at| bytes[*at] == b'"' && (*at == 0 || bytes[at - 1] != b'\\'));
    let end = closing.unwrap_or(bytes.len());
    let value = quoted[..end].replace("\\\"", "\"");
    let behind = quoted[end..].trim_start_matches('"').to_owned();
    *rest = behind;
    value
}

/// Reads `UTF-8'language'percent-encoded`.
fn decode(extended: &str) -> Option<String> {
    let (charset, rest) = extended.split_once('\'')?;
    let (_, encoded) = rest.split_once('\'')?;
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    let name = percent_decode(encoded.as_bytes()).decode_utf8().ok()?;
    (!name.is_empty()).then(|| name.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_read_in_every_form() {
        let table = [
            (r#"form-data; name="file"; filename="cat.png""#, Some("cat.png")),
            (r"form-data; name=file; filename=cat.png", Some("cat.png")),
            (r#"form-data; name="filename"; FileName = "a;b.png" "#, Some("a;b.png")),
            (r#"form-data; filename="a\"b.png""#, Some("a\"b.png")),
            (r#"form-data; filename="C:\dir\cat.png""#, Some(r"C:\dir\cat.png")),
            (r"form-data; name=file; filename*=utf-8''K%C3%A4tzchen.png", Some("Kätzchen.png")),
            (r"form-data; name=file; filename*=UTF-8'de'K%C3%A4tzchen.png", Some("Kätzchen.png")),
            (r#"form-data; filename="x.png"; filename*=Utf-8''%E2%82%AC.png"#, Some("€.png")),
            (r#"form-data; filename*=UTF-8''%e2%82%ac.png; filename="x.png""#, Some("€.png")),
            (r#"form-data; filename*="utf-8''a%20b.png""#, Some("a b.png")),
            (r#"form-data; filename*=utf-8''%C3%28.png; filename="x.png""#, Some("x.png")),
            (r#"form-data; filename*=iso-8859-1''%E4.png; filename="x.png""#, Some("x.png")),
            (r#"form-data; filename*=rubbish; filename="x.png""#, Some("x.png")),
            (r"form-data; filename*=iso-8859-1''%E4.png", None),
            (r#"form-data; name="file""#, None),
            ("form-data", None),
            ("form-data; filename", None),
            ("form-data; filename=\"open", Some("open")),
            ("form-data; filename=\"Kätzchen.png\"", Some("Kätzchen.png")),
        ];
        for (line, name) in table {
            assert_eq!(named(line.as_bytes()).as_deref(), name, "{line}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_disposition_makes_it_panic(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..60),
            value in ".{0,20}",
        ) {
            let _ = named(&bytes);
            let _ = named(format!("form-data; filename={value}; filename*=utf-8''{value}").as_bytes());
            let _ = named(format!("form-data; filename=\"{value}; filename*=\"{value}\"").as_bytes());
        }
    }
}
