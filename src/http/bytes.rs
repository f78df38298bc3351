//! Bytes of files as they go out: whole, one range of them, or not at all when they are known.
//!
//! What strangers have uploaded must never run as a page of ours: types are not guessed by
//! the browser, nothing is allowed to load, and most types are offered for saving only.

use std::io::{self, SeekFrom};

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;

use crate::domain::Media;
use crate::service::stored_name;

/// How many bytes are read at once.
const PIECE: usize = 48 * 1024;
/// Image types that browsers may show on their own.
const SHOWN: [&str; 6] =
    ["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp"];

/// Sends a file, or the one range of it that is asked for; none if it has no such range.
pub(super) async fn serve(
    asked: &HeaderMap,
    headers: HeaderMap,
    mut file: File,
    size: u64,
) -> io::Result<Option<Response>> {
    let tag = &headers[header::ETAG];
    if asked.get(header::IF_NONE_MATCH).is_some_and(|known| matches(known, tag)) {
        return Ok(Some((StatusCode::NOT_MODIFIED, headers).into_response()));
    }
    let unchanged = asked.get(header::IF_RANGE).is_none_or(|known| known == tag);
    let range = asked.get(header::RANGE).filter(|_| unchanged);
    let range = range.and_then(|value| value.to_str().ok());
    let response = match range.map_or(Wanted::Everything, |range| read_range(range, size)) {
        Wanted::Everything => {
            let length = [(header::CONTENT_LENGTH, HeaderValue::from(size))];
            let body = Body::from_stream(ReaderStream::with_capacity(file, PIECE));
            (StatusCode::OK, headers, length, body).into_response()
        }
        Wanted::Nothing => return Ok(None),
        Wanted::Part { first, last } => {
            file.seek(SeekFrom::Start(first)).await?;
            let part = file.take(last - first + 1);
            let body = Body::from_stream(ReaderStream::with_capacity(part, PIECE));
            let part = [
                (header::CONTENT_LENGTH, HeaderValue::from(last - first + 1)),
                (header::CONTENT_RANGE, value(&format!("bytes {first}-{last}/{size}"))),
            ];
            (StatusCode::PARTIAL_CONTENT, headers, part, body).into_response()
        }
    };
    Ok(Some(response))
}

/// What goes with the refusal of a range.
pub(super) fn no_such_range(size: u64) -> [(HeaderName, String); 1] {
    [(header::CONTENT_RANGE, format!("bytes */{size}"))]
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

/// By which name a file is offered for saving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// The one that it was stored under, or the announced one if that was made of it.
    Safe,
    /// The one that was announced, where browsers understand it.
    Announced,
}

/// Every header but those about length.
pub(super) fn describe(media: &Media, naming: Naming, cache: &'static str) -> HeaderMap {
    let mime = media.mime.as_deref().unwrap_or("application/octet-stream");
    let inline = SHOWN.contains(&mime) || mime.starts_with("audio/") || mime.starts_with("video/");
    let name = format!(
        "{}{}",
        media.filename.as_deref().unwrap_or("file"),
        media.extension.as_deref().unwrap_or_default()
    );
    let announced = media.identifier.rsplit(['/', '\\']).next().unwrap_or_default();
    let announced: String = announced.chars().filter(|c| !c.is_control()).collect();
    let shown = match naming {
        Naming::Announced if !announced.is_empty() => announced,
        // The one that was made safe of it says less.
        Naming::Safe if stored_name(&announced) == name => announced,
        Naming::Announced | Naming::Safe => name,
    };
    let keeps = |c: char| (c.is_ascii_graphic() || c == ' ') && c != '"' && c != '\\';
    let plain: String = shown.chars().map(|c| if keeps(c) { c } else { '_' }).collect();
    let encoded = utf8_percent_encode(&shown, NON_ALPHANUMERIC);
    let disposition = if inline { "inline" } else { "attachment" };
    let disposition = format!("{disposition}; filename=\"{plain}\"; filename*=UTF-8''{encoded}");
    HeaderMap::from_iter([
        (header::CONTENT_TYPE, value(mime)),
        (header::CONTENT_DISPOSITION, value(&disposition)),
        (header::ETAG, value(&format!("\"{}\"", media.file.get().simple()))),
        (header::CACHE_CONTROL, value(cache)),
        (header::ACCEPT_RANGES, value("bytes")),
        (header::X_CONTENT_TYPE_OPTIONS, value("nosniff")),
        (header::CONTENT_SECURITY_POLICY, value("sandbox; default-src 'none'")),
    ])
}

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
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
            let headers = describe(&media, Naming::Safe, "no-cache");
            let found = headers[header::CONTENT_DISPOSITION].to_str().unwrap();
            assert!(found.starts_with(disposition), "{mime}: {found}");
            assert_eq!(headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        }
    }

    #[test]
    fn names_keep_what_a_header_can_carry() {
        let table = [
            ("cat #1.png", "cat__1", ".png", "cat #1.png"),
            (
                "it's 100% (new) & ~ok;.png",
                "it_s_100__(new)____ok_",
                ".png",
                "it's 100% (new) & ~ok;.png",
            ),
            ("a\"b.png", "a_b", ".png", "a_b.png"),
            ("K\u{e4}tzchen.png", "K_tzchen", ".png", "K_tzchen.png"),
            ("dir/cat #1.png", "cat__1", ".png", "cat #1.png"),
            ("announced.png", "uploaded", ".png", "uploaded.png"),
        ];
        for (announced, filename, extension, shown) in table {
            let media = Media {
                identifier: announced.to_owned(),
                filename: Some(filename.to_owned()),
                extension: Some(extension.to_owned()),
                ..picture()
            };
            let headers = describe(&media, Naming::Safe, "no-cache");
            let found = headers[header::CONTENT_DISPOSITION].to_str().unwrap();
            let plain = found.split("; filename*").next().unwrap();
            assert!(plain.ends_with(&format!("; filename=\"{shown}\"")), "{announced}: {found}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_range_and_no_name_makes_it_panic(header in ".{0,30}", size: u64, name in ".{0,30}") {
            let _ = read_range(&header, size);
            let _ = read_range(&format!("bytes={header}"), size);
            let headers = describe(&Media { filename: Some(name), ..picture() }, Naming::Announced, "");
            assert!(!headers[header::CONTENT_DISPOSITION].is_empty());
        }
    }
}
