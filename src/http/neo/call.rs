//! What calls need to know before they begin.

use axum::extract::{Request, State};
use axum::http::header;

use super::route::Route;
use crate::domain::Refusal;
use crate::http::Web;
use crate::http::error::{Answer, Success};
use crate::http::identity::{Who, header_caller};
use crate::http::layers::client_address;
use crate::wire::neo::ice_servers;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::raw_get("/webrtc/ice-servers", "Names STUN and TURN servers.", servers)
            .by(Who::Either)
            .gives([("iceServers", "[IceServer]"), ("ttl", "integer")]),
    ]
}

async fn servers(State(web): State<Web>, request: Request) -> Answer {
    let (headers, address) = (request.headers(), client_address(request.extensions()));
    let caller = header_caller(&web, Who::Either, headers, address).await?;
    let caller = caller.ok_or_else(Refusal::unidentified)?;
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let told = ice_servers(&web.services().ice_servers(&caller, host));
    let list = told["iceServers"].clone();
    Ok(Success::default().with("iceServers", list).with("ttl", told["ttl"].clone()))
}
