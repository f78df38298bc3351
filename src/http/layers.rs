//! What happens to every HTTP request before it finds its route, and to every answer.
//!
//! The path is tidied outside the router, because a router has chosen before its own layers
//! run. Nothing here looks at queries or bodies, where secrets may be.

use std::any::Any;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request};
use axum::http::{Extensions, HeaderMap, HeaderName, Method, Uri, header, uri::PathAndQuery};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use tower::ServiceBuilder;
use tower::util::MapRequestLayer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::trace::{DefaultOnFailure, DefaultOnResponse, TraceLayer};
use tracing::{Level, Span};

use super::collect::UNTRUSTED_BYTES;
use super::error::Failure;
use super::forwarded::{self, BySecureScheme};
use crate::domain::{Refusal, RefusalKind};
use crate::settings::HttpSettings;
use crate::telemetry::shown_path;

/// The header that names a request in the answer and in the log.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What every request meets, whatever serves it.
pub fn around(inner: Router, settings: &HttpSettings) -> Router {
    let tidy = ServiceBuilder::new().layer(MapRequestLayer::new(tidied)).service(inner);
    let proxies = settings.trusted_proxies.clone();
    let find_client = from_fn(move |mut request: Request, next: Next| {
        let peer = peer(request.extensions());
        let address = forwarded::client(&proxies, request.headers(), peer);
        // What the client called us is what its page's origin is compared with.
        let trusted = proxies.contains(peer);
        let secure = trusted.then(|| forwarded::believe(request.headers_mut())).flatten();
        request.extensions_mut().insert(address);
        request.extensions_mut().insert(BySecureScheme(secure.unwrap_or(false)));
        next.run(request)
    });
    let layers = ServiceBuilder::new()
        .layer(MapRequestLayer::new(without_foreign_id))
        .layer(SetRequestIdLayer::new(REQUEST_ID, MakeRequestUuid))
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        .layer(find_client)
        .layer(
            TraceLayer::new_for_http()
                .make_span_with(span)
                .on_response(DefaultOnResponse::new().level(Level::DEBUG))
                .on_failure(DefaultOnFailure::new().level(Level::DEBUG)),
        )
        .layer(DefaultBodyLimit::max(UNTRUSTED_BYTES))
        .layer(CatchPanicLayer::custom(panicked));
    Router::new().fallback_service(tidy).layer(layers)
}

/// What the routes of token APIs meet: any page may call them.
pub fn api(router: Router, settings: &HttpSettings) -> Router {
    router.layer(cors(settings))
}

/// Whether a client reached us by TLS of a proxy, as far as can be told.
pub fn is_secure(extensions: &Extensions) -> bool {
    extensions.get().is_some_and(|BySecureScheme(secure)| *secure)
}

/// Where a request comes from, as far as can be told.
pub fn client_address(extensions: &Extensions) -> IpAddr {
    extensions.get().copied().unwrap_or_else(|| peer(extensions))
}

/// The same for whoever has no more than the head of a request, and the other end.
pub fn client(settings: &HttpSettings, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
    forwarded::client(&settings.trusted_proxies, headers, peer.to_canonical())
}

/// The other end of the connection; without one it is this machine itself.
fn peer(extensions: &Extensions) -> IpAddr {
    extensions
        .get::<ConnectInfo<SocketAddr>>()
        .map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |info| info.0.ip().to_canonical())
}

/// A known client doubles the leading slash, another appends encoded spaces.
fn tidied(mut request: Request) -> Request {
    let path = request.uri().path();
    let mut tidy = path.trim_start_matches('/');
    while let Some(shorter) = tidy.strip_suffix("%20") {
        tidy = shorter;
    }
    if tidy.len() + 1 == path.len() {
        return request;
    }
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut parts = request.uri().clone().into_parts();
    if let Ok(tidy) = PathAndQuery::try_from(format!("/{tidy}{query}")) {
        parts.path_and_query = Some(tidy);
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
}

/// The ids in our log are ours.
fn without_foreign_id(mut request: Request) -> Request {
    request.headers_mut().remove(REQUEST_ID);
    request
}

fn span(request: &Request) -> Span {
    let id = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
    let address = client_address(request.extensions());
    let path = shown_path(request.uri().path());
    tracing::info_span!("http", id, method = %request.method(), %path, %address)
}

#[expect(clippy::needless_pass_by_value, reason = "the layer hands it over")]
fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
    tracing::error!(panic = text, "a request's handler panicked");
    let refusal = Refusal::new(RefusalKind::Unavailable, "the server made a mistake");
    Failure::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, refusal).into_response()
}

/// Open to all pages, or to those named; never with credentials.
fn cors(settings: &HttpSettings) -> CorsLayer {
    let origins = settings.allowed_origins.clone();
    let origin = if origins.allow_all() {
        AllowOrigin::any()
    } else {
        AllowOrigin::predicate(move |origin, _| origin.to_str().is_ok_and(|o| origins.allow(o)))
    };
    CorsLayer::new()
        .allow_origin(origin)
        // By name: old browsers take no asterisk here.
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        // Without credentials a page may send along what it likes.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([REQUEST_ID, header::RETRY_AFTER, header::CONTENT_RANGE])
        .max_age(Duration::from_hours(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_tidied_at_both_ends() {
        let table = [
            ("/account/login", "/account/login"),
            ("//android/token", "/android/token"),
            ("///a//b?x=//y", "/a//b?x=//y"),
            ("/account/modify%20%20", "/account/modify"),
            ("//account/modify%20?a=%20", "/account/modify?a=%20"),
            ("/", "/"),
            ("//", "/"),
        ];
        for (path, tidy) in table {
            let uri: Uri = format!("http://host{path}").parse().unwrap();
            let request = Request::builder().uri(uri).body(axum::body::Body::empty()).unwrap();
            let found = tidied(request).uri().path_and_query().unwrap().to_string();
            assert_eq!(found, tidy, "{path}");
        }
    }
}
