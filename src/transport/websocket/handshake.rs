//! The HTTP side: from a request to a socket.

use std::future::Future;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::{RawSettings, RawSocket};

/// Whether a request asks for a WebSocket.
pub fn is_upgrade<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    request.method() == Method::GET
        && has_word(headers, &header::CONNECTION, "upgrade")
        && has_word(headers, &header::UPGRADE, "websocket")
        && headers.get(header::SEC_WEBSOCKET_VERSION).is_some_and(|version| version == "13")
        && headers.contains_key(header::SEC_WEBSOCKET_KEY)
}

fn has_word(headers: &HeaderMap, name: &header::HeaderName, word: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(word))
}

/// Answers a request for a WebSocket and runs `run` with it, in a task of its own; any other
/// request is told that there is nothing else here (426).
pub fn upgrade<F, R>(mut request: Request<Body>, settings: RawSettings, run: F) -> Response
where
    F: FnOnce(RawSocket) -> R + Send + 'static,
    R: Future<Output = ()> + Send,
{
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY);
    let Some(key) = key.filter(|_| is_upgrade(&request)) else {
        let headers = [
            (header::UPGRADE, "websocket"),
            (header::CONNECTION, "upgrade"),
            (header::SEC_WEBSOCKET_VERSION, "13"),
        ];
        return (StatusCode::UPGRADE_REQUIRED, headers, "this address speaks WebSocket only\n")
            .into_response();
    };
    let accept = derive_accept_key(key.as_bytes());
    let upgrading = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match upgrading.await {
            // Apart, so that the connection does not carry the room for its handshake.
            Ok(upgraded) => {
                let socket = Box::pin(RawSocket::new(TokioIo::new(upgraded), &settings)).await;
                Box::pin(run(socket)).await;
            }
            Err(error) => tracing::debug!(%error, "a client left before its upgrade"),
        }
    });
    let headers = [
        (header::CONNECTION, "upgrade"),
        (header::UPGRADE, "websocket"),
        (header::SEC_WEBSOCKET_ACCEPT, accept.as_str()),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}
