//! The page of rooms: small, and our own work.

use std::fmt::Write as _;

use std::net::IpAddr;

use axum::Extension;
use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::form::login_address;
use super::{Pages, escape, go_to, page as safe};
use crate::domain::{Refusal, RefusalKind};
use crate::service::Caller;

/// Shows the page to who is logged in.
pub(super) async fn page(
    State(pages): State<Pages>,
    Extension(address): Extension<IpAddr>,
    OriginalUri(here): OriginalUri,
    headers: HeaderMap,
) -> Response {
    let caller = match pages.caller(&headers, address).await {
        Ok(caller) => caller,
        Err(refusal) if refusal.is_our_fault() => return unavailable(),
        Err(refusal) if refusal.is_too_often() => return too_often(&refusal),
        Err(_) => return go_to(&login_address(here.path())),
    };
    match with_rooms(&pages, &caller).await {
        Ok(html) => safe(StatusCode::OK, html),
        Err(_) => unavailable(),
    }
}

/// Who asks too fast is told when to return.
pub(super) fn too_often(refusal: &Refusal) -> Response {
    let mut response = safe(StatusCode::TOO_MANY_REQUESTS, refusal.to_string());
    if let RefusalKind::TooOften { retry_after } = refusal.kind() {
        response.headers_mut().insert(header::RETRY_AFTER, retry_after.into());
    }
    response
}

fn unavailable() -> Response {
    safe(StatusCode::SERVICE_UNAVAILABLE, "This does not work right now.".to_owned())
}

async fn with_rooms(pages: &Pages, caller: &Caller) -> Result<String, Refusal> {
    let services = pages.web.services();
    let user = services.own_account(caller).await?;
    let rooms = services.list_rooms(caller, pages.settings.show_groups).await?;
    let mut links = String::new();
    for room in &rooms {
        let (id, title) = (room.id, escape(&room.title));
        // A text takes all that is written to it.
        let _ = writeln!(links, "<li class=\"room-link\" data-room-id=\"{id}\">{title}</li>");
    }
    Ok(include_str!("chat.html")
        .replace("{username}", &escape(&user.username))
        .replace("{rooms}", &links))
}

/// Its script.
pub(super) async fn script() -> Response {
    asset("text/javascript; charset=utf-8", include_str!("chat.js"))
}

/// Its looks.
pub(super) async fn style() -> Response {
    asset("text/css; charset=utf-8", include_str!("chat.css"))
}

fn asset(mime: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, mime),
        (header::CACHE_CONTROL, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, text).into_response()
}
