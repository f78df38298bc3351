//! Bytes that come in: one file in the part `file` of a multipart body, never whole in memory.
//!
//! Who may not bring the file is told before the first byte of it is read.

use axum::extract::multipart::Field;
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::domain::{MediaId, Refusal, RefusalKind};
use crate::http::Web;
use crate::http::error::{Answer, Failure, Success};
use crate::http::identity::{self, Who};
use crate::http::layers::client_address;
use crate::http::{Named, named};
use crate::service::{Caller, Upload};

/// How many bytes the other parts and the boundaries of a body may take.
const ENVELOPE: u64 = 64 * 1024;

/// Takes in one file.
pub(super) async fn receive(State(web): State<Web>, media: Named, request: Request) -> Response {
    answer(web, &named(media), request).await.into_response()
}

async fn answer(web: Web, media: &str, mut request: Request) -> Answer {
    let address = client_address(request.extensions());
    let headers = request.headers();
    let caller = identity::header_caller(&web, Who::Either, headers, address).await?;
    let caller = caller.ok_or_else(Refusal::unidentified)?;
    let number = media.trim().parse().map_err(|_| Refusal::malformed("media_id must be a number"));
    let media = MediaId::new(number?);
    let announced: Option<u64> =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
    let announced = announced.map(|size| size.saturating_sub(ENVELOPE));
    let upload = web.services().begin_upload(&caller, media, announced).await?;
    // The upload counts for itself; the extractor would stop at two mebibytes.
    DefaultBodyLimit::disable().apply(&mut request);
    let multipart = Multipart::from_request(request, &web)
        .await
        .map_err(|_| Refusal::malformed("the body must be multipart/form-data"))?;
    let (upload, name) = take(multipart, upload).await?;
    finish(web, caller, upload, name).await?;
    Ok(Success::default())
}

/// In a task of its own: a client that hangs up now does not stop half of it.
async fn finish(
    web: Web,
    caller: Caller,
    upload: Upload,
    name: Option<String>,
) -> Result<(), Failure> {
    let work = async move { web.services().finish_upload(&caller, upload, name.as_deref()).await };
    match tokio::spawn(work).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(Refusal::unknown().into()),
    }
}

/// Reads parts until the file has come; others are passed over.
async fn take(
    mut multipart: Multipart,
    mut upload: Upload,
) -> Result<(Upload, Option<String>), Failure> {
    let mut passed = 0;
    while let Some(field) = multipart.next_field().await.map_err(|_| broken())? {
        if field.name() != Some("file") {
            passed = pass(field, passed).await?;
            continue;
        }
        let name = field.file_name().map(ToOwned::to_owned);
        let mut field = field;
        while let Some(piece) = field.chunk().await.map_err(|_| broken())? {
            upload.write(&piece).await?;
        }
        return Ok((upload, name));
    }
    Err(Failure::new(StatusCode::NOT_FOUND, Refusal::malformed("the part `file` is missing")))
}

/// Passes over a part; a body of nothing but such parts does not go on for ever.
async fn pass(mut field: Field<'_>, mut passed: u64) -> Result<u64, Failure> {
    while let Some(piece) = field.chunk().await.map_err(|_| broken())? {
        passed += piece.len() as u64;
        if passed > ENVELOPE {
            let text = "the other parts of the body are too large";
            return Err(Refusal::new(RefusalKind::TooLarge, text).into());
        }
    }
    Ok(passed)
}

fn broken() -> Refusal {
    Refusal::malformed("the multipart body is broken or did not arrive whole")
}
