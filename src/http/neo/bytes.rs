//! Bytes that go out: as they are, or as a data URI in JSON.

use std::net::IpAddr;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use data_encoding::BASE64;
use futures_util::stream;
use tokio::io::AsyncReadExt;

use crate::domain::{MediaId, Refusal};
use crate::http::Web;
use crate::http::bytes::{Naming, describe, no_such_range, serve};
use crate::http::error::Failure;
use crate::http::identity::{self, Who};
use crate::http::layers::client_address;
use crate::http::{Named, named};
use crate::service::Opened;

/// How many bytes are read at once; a multiple of three, so that pieces of base64 fit together.
const PIECE: usize = 3 * 16 * 1024;

/// Sends a file, or the one range of it that is asked for.
pub(super) async fn send(State(web): State<Web>, media: Named, request: Request) -> Response {
    let (asked, _) = request.into_parts();
    let address = client_address(&asked.extensions);
    match answer(&web, &named(media), &asked.headers, address).await {
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
    // The bytes behind an address may be replaced, so it is asked for each time.
    let headers = describe(&opened.media, Naming::Safe, "private, no-cache");
    let Opened { file, size, .. } = opened;
    let sent = serve(asked, headers, file, size).await.map_err(|error| {
        tracing::error!(%error, "a file could not be read");
        Refusal::unavailable()
    })?;
    Ok(sent.unwrap_or_else(|| {
        let refusal = Refusal::malformed("the file has no such range");
        let failure = Failure::new(StatusCode::RANGE_NOT_SATISFIABLE, refusal);
        (no_such_range(size), failure).into_response()
    }))
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
