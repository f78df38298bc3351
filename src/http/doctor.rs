//! The page `/doctor`: what of this server a browser reaches, STUN and TURN included.

use axum::Router;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use axum::response::Html;
use axum::routing::get;

/// What the page may do: run its own script, and talk with the server it came from.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; \
                      form-action 'self'; frame-ancestors 'none'";

/// The page and its script, for a router with any state.
pub(super) fn routes<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    let page = async || {
        let headers = [(CONTENT_SECURITY_POLICY, POLICY), (REFERRER_POLICY, "no-referrer")];
        (headers, Html(include_str!("doctor.html")))
    };
    let script =
        async || ([(CONTENT_TYPE, "text/javascript; charset=utf-8")], include_str!("doctor.js"));
    let style = async || ([(CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("doctor.css"));
    Router::new()
        .route("/doctor", get(page))
        .route("/doctor.js", get(script))
        .route("/doctor.css", get(style))
}
