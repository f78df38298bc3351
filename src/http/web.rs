//! The page at `/` and the official Socket.IO bundle, embedded in the binary.
//!
//! They lie in `web/dist` when the crate is compiled; without them `/` says how to build them. The bundle's
//! addresses lie under `/socket.io/`, so these routes have to be asked before the Socket.IO service is.

use std::borrow::Cow;

use axum::Router;
use axum::extract::Path;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use rust_embed::RustEmbed;

/// What the page may do: run its own script, and talk with the server it came from.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

#[derive(RustEmbed)]
#[folder = "web/dist"]
struct Dist;

/// The page, its assets and the client's bundle, for a router with any state.
pub fn routes<S>() -> Router<S>
where
    S: Clone + Send + Sync + 'static,
{
    let mut router = Router::new().route("/", get(page)).route("/assets/{file}", get(asset));
    for path in BUNDLE {
        let name = path.trim_start_matches('/');
        router = router.route(path, get(async move |headers: HeaderMap| embedded(name, &headers)));
    }
    router
}

/// Where Socket.IO servers serve the client.
const BUNDLE: [&str; 4] = [
    "/socket.io/socket.io.js",
    "/socket.io/socket.io.js.map",
    "/socket.io/socket.io.min.js",
    "/socket.io/socket.io.min.js.map",
];

async fn page(headers: HeaderMap) -> Response {
    let unbuilt = || Html(include_str!("web_unbuilt.html")).into_response();
    let response = match Dist::get("index.html") {
        Some(_) => embedded("index.html", &headers),
        None => unbuilt(),
    };
    ([(CONTENT_SECURITY_POLICY, POLICY), (REFERRER_POLICY, "same-origin")], response)
        .into_response()
}

async fn asset(Path(file): Path<String>, headers: HeaderMap) -> Response {
    embedded(&format!("assets/{file}"), &headers)
}

fn embedded(name: &str, headers: &HeaderMap) -> Response {
    match Dist::get(name) {
        Some(file) => {
            let hash = file.metadata.sha256_hash();
            // A source map is JSON, whatever its ending is thought to mean.
            let map = name.strip_suffix(".map").is_some();
            let mime = if map { "application/json" } else { file.metadata.mimetype() };
            answer(file.data, mime, &hash, headers)
        }
        None => {
            (StatusCode::NOT_FOUND, "not found; the page is built by `make web`").into_response()
        }
    }
}

/// The bytes, or word that the client's copy is still good: an address keeps its name when its content changes.
fn answer(bytes: Cow<'static, [u8]>, mime: &str, hash: &[u8], headers: &HeaderMap) -> Response {
    let tag = format!("\"{}\"", data_encoding::HEXLOWER.encode(&hash[..hash.len().min(16)]));
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let fresh = known.flat_map(|list| list.split(',')).any(|one| {
        let one = one.trim();
        one == "*" || one.trim_start_matches("W/") == tag
    });
    let charset = if mime.starts_with("text/") { "; charset=utf-8" } else { "" };
    let caching = [
        (CACHE_CONTROL, "no-cache".to_owned()),
        (ETAG, tag),
        (X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    if fresh {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    (caching, [(CONTENT_TYPE, format!("{mime}{charset}"))], bytes).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;

    async fn ask(path: &str) -> Response {
        let request = Request::get(path).body(Body::empty()).unwrap();
        routes::<()>().oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn the_root_is_a_page_with_a_strict_policy_built_or_not() {
        let response = ask("/").await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
        assert_eq!(response.headers()[CONTENT_SECURITY_POLICY], POLICY);
    }

    #[tokio::test]
    async fn the_bundle_is_the_package_s_own_wherever_the_page_is_built() {
        for path in BUNDLE {
            let response = ask(path).await;
            let built = Dist::get(path.trim_start_matches('/')).is_some();
            let status = if built { StatusCode::OK } else { StatusCode::NOT_FOUND };
            assert_eq!(response.status(), status, "{path}");
        }
    }

    #[tokio::test]
    async fn nothing_outside_the_folder_is_served() {
        for path in [
            "/assets/..%2f..%2fpackage.json",
            "/assets/nothing.js",
            "/assets/%2e%2e%2f%2e%2e%2fbuild.mjs",
        ] {
            assert_eq!(ask(path).await.status(), StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[test]
    fn a_copy_that_is_still_good_is_not_sent_again() {
        let respond = |known: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, known.parse().unwrap());
            answer(Cow::Borrowed(b"x"), "text/css", &[0xab; 32], &headers)
        };
        let tag = "\"abababababababababababababababab\"";
        assert_eq!(respond("\"other\"").status(), StatusCode::OK);
        assert_eq!(respond("\"other\"").headers()[CONTENT_TYPE], "text/css; charset=utf-8");
        assert_eq!(respond("\"other\"").headers()[ETAG], tag);
        for known in [tag, "\"a\", W/\"abababababababababababababababab\"", "*"] {
            let known: &'static str = Box::leak(known.to_owned().into_boxed_str());
            assert_eq!(respond(known).status(), StatusCode::NOT_MODIFIED, "{known}");
        }
    }
}
