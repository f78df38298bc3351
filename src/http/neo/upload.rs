//! Bytes that come in: one file in the part `file` of a multipart body, never whole in memory.
//!
//! Who may not bring the file is told before the first byte of it is read.

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::domain::{MediaId, Refusal};
use crate::http::Web;
use crate::http::error::{Answer, Failure, Success};
use crate::http::identity::{self, Who};
use crate::http::layers::client_address;
use crate::http::parts::{ENVELOPE, Parts, file_name};
use crate::http::{Named, named};
use crate::service::{Caller, Upload};

/// Takes in one file.
pub(super) async fn receive(State(web): State<Web>, media: Named, request: Request) -> Response {
    answer(web, &named(media), request).await.into_response()
}

async fn answer(web: Web, media: &str, request: Request) -> Answer {
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
    let parts = Parts::of(request).await;
    let parts = parts.ok_or_else(|| Refusal::malformed("the body must be multipart/form-data"))?;
    let (upload, name) = take(parts, upload).await?;
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
async fn take(mut parts: Parts, mut upload: Upload) -> Result<(Upload, Option<String>), Failure> {
    while let Some((mut field, fed)) = parts.next().await? {
        if field.name() != Some("file") {
            while fed.other(&mut field).await?.is_some() {}
            continue;
        }
        let name = file_name(&field);
        while let Some(piece) = fed.piece(&mut field).await? {
            upload.write(&piece).await?;
        }
        return Ok((upload, name));
    }
    Err(Failure::new(StatusCode::NOT_FOUND, Refusal::malformed("the part `file` is missing")))
}
