//! The HTTP API of the NEO interface (protocols/neo.md, section 6).
//!
//! Each module lists its routes; `route` says what happens to a request before its handler.

mod account;
mod admin;
mod circle;
mod device;
pub mod route;

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
        ("Device", device::routes()),
        ("Administration", admin::routes()),
    ]
}

/// A router with all of them.
pub fn routes() -> Router<Web> {
    let routes = chapters().into_iter().flat_map(|(_, routes)| routes);
    routes.fold(Router::new(), |router, route| route.mount(router))
}
