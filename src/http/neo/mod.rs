//! The HTTP API of the NEO interface (protocols/neo.md, section 6).
//!
//! Each module lists its routes; `route` says what happens to a request before its handler.

mod account;
mod admin;
mod bytes;
mod call;
mod circle;
mod conversation;
mod device;
mod lists;
mod media;
mod message;
pub mod route;
mod upload;

use axum::Router;

use super::Web;
use route::Route;

/// A part of the API under its heading.
pub type Chapter = (&'static str, Vec<Route>);

/// Every route, by chapter, in the page's order.
pub fn chapters() -> Vec<Chapter> {
    vec![
        ("Account", account::routes()),
        ("Circle", circle::routes()),
        ("Conversation", conversation::routes()),
        ("Message", message::routes()),
        ("Media", media::routes()),
        ("Device", device::routes()),
        ("Calls", call::routes()),
        ("Administration", [admin::routes(), media::admin_routes()].concat()),
    ]
}

/// A router with all of them.
pub fn routes() -> Router<Web> {
    let routes = chapters().into_iter().flat_map(|(_, routes)| routes);
    routes.fold(Router::new(), |router, route| route.mount(router))
}
