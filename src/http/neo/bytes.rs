//! Bytes that go out: as they are, whole or one range of them, or as a data URI in JSON.
//!
//! What strangers have uploaded must never run as a page of ours: types are not guessed by
//! the browser, nothing is allowed to load, and most types are offered for saving only.

use std::io::SeekFrom;
use std::net::IpAddr;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64;
use futures_util::stream;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use crate::domain::{Media, MediaId, Refusal};
use crate::http::Web;
use crate::http::error::Failure;
use crate::http::identity::{self, Who};
use crate::http::layers::client_address;
use crate::service::Opened;

/// How many bytes are read at once; a multiple of three, so that pieces of base64 fit together.
const PIECE: usize = 3 * 16 * 1024;
/// Image types that browsers may show on their own.
const SHOWN: [&str; 6] =
    ["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp"];

/// Sends a file, or the one range of it that is asked for.
pub(super) async fn send(
    State(web): State<Web>,
    Path(media): Path<String>,
    request: Request,
) -> Response {
    let (asked, _) = request.into_parts();
    let address = client_address(&asked.extensions);
    match answer(&web, &media, &asked.headers, address).await {
        Ok(response) => response,
        Err(failure) => failure.into_response(),
    }
}

async fn answer(
    web: &Web,
    media: &str,
    asked: &HeaderMap,
    address: IpAddr,
) -> Result<Response, Failure> {
    let caller = identity::header_caller(web, Who::Either, asked, address).await?;
    let caller = caller.ok_or_else(Refusal::unidentified)?;
    let number = media.trim().parse().map_err(|_| Refusal::malformed("media_id must be a number"));
    let opened = web.services().open_media(&caller, MediaId::new(number?)).await?;
    let headers = describe(&opened.media);
    let tag = &headers[header::ETAG];
    if asked.get(header::IF_NONE_MATCH).is_some_and(|known| matches(known, tag)) {
        return Ok((StatusCode::NOT_MODIFIED, headers).into_response());
    }
    let unchanged = asked.get(header::IF_RANGE).is_none_or(|known| known == tag);
    let range = asked.get(header::RANGE).filter(|_| unchanged);
    let Opened { mut file, size, .. } = opened;
    let range = range.and_then(|value| value.to_str().ok());
    match range.map_or(Wanted::Everything, |range| read_range(range, size)) {
        Wanted::Everything => {
            let length = [(header::CONTENT_LENGTH, HeaderValue::from(size))];
            let body = Body::from_stream(ReaderStream::with_capacity(file, PIECE));
            Ok((StatusCode::OK, headers, length, body).into_response())
        }
        Wanted::Nothing => {
            let refusal = Refusal::malformed("the file has no such range");
            let failure = Failure::new(StatusCode::RANGE_NOT_SATISFIABLE, refusal);
            let whole = [(header::CONTENT_RANGE, format!("bytes */{size}"))];
            Ok((whole, failure).into_response())
        }
        Wanted::Part { first, last } => {
            file.seek(SeekFrom::Start(first)).await.map_err(|error| {
                tracing::error!(%error, "a file could not be read");
                Refusal::unavailable()
            })?;
            let part = file.take(last - first + 1);
            let body = Body::from_stream(ReaderStream::with_capacity(part, PIECE));
            let part = [
                (header::CONTENT_LENGTH, HeaderValue::from(last - first + 1)),
                (header::CONTENT_RANGE, value(&format!("bytes {first}-{last}/{size}"))),
            ];
            Ok((StatusCode::PARTIAL_CONTENT, headers, part, body).into_response())
        }
    }
}

/// What a `Range` header asks of a file.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    /// No single range of bytes.
    Everything,
    /// From the first to the last, both included.
    Part { first: u64, last: u64 },
    /// What is not there.
    Nothing,
}

fn read_range(header: &str, size: u64) -> Wanted {
    let Some((first, last)) =
        header.trim().strip_prefix("bytes=").and_then(|ranges| ranges.split_once('-'))
    else {
        return Wanted::Everything;
    };
    let (first, last) = (first.trim(), last.trim());
    let number = |text: &str| text.parse::<u64>().ok();
    match (number(first), number(last)) {
        (Some(first), _) if first >= size && last.is_empty() => Wanted::Nothing,
        (Some(first), Some(last)) if first <= last && first >= size => Wanted::Nothing,
        (Some(first), Some(last)) if first <= last => {
            Wanted::Part { first, last: last.min(size - 1) }
        }
        (Some(first), None) if last.is_empty() => Wanted::Part { first, last: size - 1 },
        (None, Some(0)) if first.is_empty() => Wanted::Nothing,
        (None, Some(_)) if first.is_empty() && size == 0 => Wanted::Nothing,
        (None, Some(tail)) if first.is_empty() => {
            Wanted::Part { first: size.saturating_sub(tail), last: size - 1 }
        }
        _ => Wanted::Everything,
    }
}

fn matches(known: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(known), Ok(tag)) = (known.to_str(), tag.to_str()) else { return false };
    known
        .split(',')
        .map(|one| one.trim().trim_start_matches("W/"))
        .any(|one| one == tag || one == "*")
}

/// Every header but those about length.
fn describe(media: &Media) -> HeaderMap {
    let mime = media.mime.as_deref().unwrap_or("application/octet-stream");
    let inline = SHOWN.contains(&mime) || mime.starts_with("audio/") || mime.starts_with("video/");
    let name = format!(
        "{}{}",
        media.filename.as_deref().unwrap_or("file"),
        media.extension.as_deref().unwrap_or_default()
    );
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii_graphic() && c != '"' && c != '\\' { c } else { '_' })
        .collect();
    let encoded = utf8_percent_encode(&name, NON_ALPHANUMERIC);
    let disposition = if inline { "inline" } else { "attachment" };
    let disposition = format!("{disposition}; filename=\"{plain}\"; filename*=UTF-8''{encoded}");
    HeaderMap::from_iter([
        (header::CONTENT_TYPE, value(mime)),
        (header::CONTENT_DISPOSITION, value(&disposition)),
        (header::ETAG, value(&format!("\"{}\"", media.file.get().simple()))),
        // The bytes behind an address may be replaced, so it is asked for each time.
        (header::CACHE_CONTROL, value("private, no-cache")),
        (header::ACCEPT_RANGES, value("bytes")),
        (header::X_CONTENT_TYPE_OPTIONS, value("nosniff")),
        (header::CONTENT_SECURITY_POLICY, value("sandbox; default-src 'none'")),
    ])
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// A success whose `data` is a file's bytes in base64, made while it is sent.
pub(super) fn as_data_uri(opened: Opened, mime: &str) -> Response {
    let uri = serde_json::Value::from(format!("data:{mime};base64,")).to_string();
    // The quote at the end of the JSON text waits for the bytes.
    let open = format!("{{\"success\":true,\"data\":{}", &uri[..uri.len() - 1]);
    let length = open.len() as u64 + opened.size.div_ceil(3) * 4 + 2;
    let pieces = stream::unfold(Some((Some(open), opened.file)), async |state| {
        let (open, mut file) = state?;
        if let Some(open) = open {
            return Some((Ok(Bytes::from(open)), Some((None, file))));
        }
        let mut piece = Vec::with_capacity(PIECE);
        match (&mut file).take(PIECE as u64).read_to_end(&mut piece).await {
            Ok(0) => Some((Ok(Bytes::from_static(b"\"}")), None)),
            Ok(_) => Some((Ok(Bytes::from(BASE64.encode(&piece))), Some((None, file)))),
            Err(error) => Some((Err(error), None)),
        }
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CONTENT_LENGTH, HeaderValue::from(length)),
    ];
    (headers, Body::from_stream(pieces)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::neo::samples::picture;

    #[test]
    fn single_ranges_are_read_and_others_passed_over() {
        let part = |first, last| Wanted::Part { first, last };
        let table = [
            ("bytes=0-3", 10, part(0, 3)),
            ("bytes=4-", 10, part(4, 9)),
            ("bytes=4-100", 10, part(4, 9)),
            ("bytes=-3", 10, part(7, 9)),
            ("bytes=-30", 10, part(0, 9)),
            ("bytes=9-9", 10, part(9, 9)),
            ("bytes=10-", 10, Wanted::Nothing),
            ("bytes=10-12", 10, Wanted::Nothing),
            ("bytes=-0", 10, Wanted::Nothing),
            ("bytes=0-", 0, Wanted::Nothing),
            ("bytes=-5", 0, Wanted::Nothing),
            ("bytes=5-2", 10, Wanted::Everything),
            ("bytes=0-1,3-4", 10, Wanted::Everything),
            ("bytes=", 10, Wanted::Everything),
            ("bytes=-", 10, Wanted::Everything),
            ("lines=0-1", 10, Wanted::Everything),
            ("bytes=99999999999999999999-", 10, Wanted::Everything),
        ];
        for (header, size, wanted) in table {
            assert_eq!(read_range(header, size), wanted, "{header}");
        }
    }

    #[test]
    fn only_harmless_types_are_shown_by_browsers() {
        let table = [
            ("image/png", "inline"),
            ("video/mp4", "inline"),
            ("audio/ogg", "inline"),
            ("image/svg+xml", "attachment"),
            ("text/html", "attachment"),
            ("application/pdf", "attachment"),
        ];
        for (mime, disposition) in table {
            let media = Media { mime: Some(mime.to_owned()), ..picture() };
            let headers = describe(&media);
            let found = headers[header::CONTENT_DISPOSITION].to_str().unwrap();
            assert!(found.starts_with(disposition), "{mime}: {found}");
            assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_range_and_no_name_makes_it_panic(header in ".{0,30}", size: u64, name in ".{0,30}") {
            let _ = read_range(&header, size);
            let _ = read_range(&format!("bytes={header}"), size);
            let headers = describe(&Media { filename: Some(name), ..picture() });
            assert!(!headers[header::CONTENT_DISPOSITION].is_empty());
        }
    }
}
