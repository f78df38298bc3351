//! Pages for people with browsers: logging in and out by a form, and the page of rooms.
//!
//! All of it leans on a cookie, so a form must show the token that came with it, and no other
//! site may ask.

mod chat;
mod form;

use std::net::IpAddr;

use axum::Router;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::Web;
use super::identity::cookie;
use crate::domain::Refusal;
use crate::service::Caller;
use crate::settings::MultichatSettings;

/// The cookie of a browser's login.
pub const SESSION_COOKIE: &str = "sessionid";

/// What pages may do: run their own script, and talk with the server they came from.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// What these handlers know.
#[derive(Clone)]
struct Pages {
    web: Web,
    settings: MultichatSettings,
}

/// Logging in and out, which other pages need as well, and the page of rooms if it is wanted.
pub fn routes(web: Web, settings: &MultichatSettings) -> Router {
    let pages = Pages { web, settings: settings.clone() };
    let router = Router::new()
        .route("/accounts/login", get(form::show).post(form::take))
        .route("/accounts/login/", get(form::show).post(form::take))
        .route("/accounts/logout", get(form::leave).post(form::leave))
        .route("/accounts/logout/", get(form::leave).post(form::leave))
        .route("/accounts/page.css", get(chat::style));
    if !settings.enabled {
        return router.with_state(pages);
    }
    router
        .route("/chat", get(chat::page))
        .route("/chat/", get(chat::page))
        .route("/chat/page.js", get(chat::script))
        .with_state(pages)
}

/// The page of rooms in the place of whatever else stands at `/`.
pub fn at_root(web: Web, settings: &MultichatSettings, all: Router) -> Router {
    if !settings.enabled || !settings.page_at_root {
        return all;
    }
    let pages = Pages { web, settings: settings.clone() };
    Router::new().route("/", get(chat::page)).with_state(pages).fallback_service(all)
}

impl Pages {
    /// Who shows a cookie.
    async fn caller(&self, headers: &HeaderMap, address: IpAddr) -> Result<Caller, Refusal> {
        let session = cookie(headers, SESSION_COOKIE).ok_or_else(Refusal::unidentified)?;
        self.web.services().browser(session, address).await
    }
}

/// A page with everything that keeps it safe.
fn page(status: StatusCode, html: String) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "same-origin"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, "no-store"),
    ];
    (status, headers, html).into_response()
}

/// Sends a browser somewhere else on this site.
fn go_to(address: &str) -> Response {
    let location = [(header::LOCATION, address.to_owned())];
    (StatusCode::FOUND, location).into_response()
}

/// A text that stands in a page or an attribute.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}
