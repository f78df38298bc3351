//! Everything that is asked over HTTP, one module per API.
//!
//! `router` has all routes of ours, `layers::around` is put around those and Socket.IO alike.

pub mod body;
mod bytes;
mod collect;
mod complaint;
pub mod docs;
mod doctor;
pub mod error;
mod forwarded;
pub mod health;
pub mod identity;
pub mod layers;
mod members;
pub mod multichat;
pub mod neo;
mod parts;
pub mod private_chat;
mod storage;
mod streaming;
pub mod web;

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{Extensions, HeaderMap, StatusCode, header};

use crate::domain::Refusal;
use crate::service::Services;
use crate::settings::{HttpSettings, LimitSettings, WebAddress};
use crate::wire::origin::is_of_host;
use error::Failure;

/// What writes the figures for `/metrics`.
pub type Figures = Arc<dyn Fn() -> String + Send + Sync>;

/// What handlers know. Cheap to clone.
#[derive(Clone)]
pub struct Web {
    services: Services,
    shared: Arc<Shared>,
    storage_requires_auth: bool,
}

struct Shared {
    http: HttpSettings,
    limits: LimitSettings,
    public_url: WebAddress,
    figures: Figures,
}

impl Web {
    /// Brings together what handlers know.
    pub fn new(
        services: Services,
        http: HttpSettings,
        limits: LimitSettings,
        public_url: WebAddress,
        figures: Figures,
    ) -> Self {
        let shared = Arc::new(Shared { http, limits, public_url, figures });
        Self { services, shared, storage_requires_auth: false }
    }

    /// The same, where stored files are for those who show a token and may read them.
    #[must_use]
    pub fn guarding_storage(self, storage_requires_auth: bool) -> Self {
        Self { storage_requires_auth, ..self }
    }

    /// The use cases.
    pub const fn services(&self) -> &Services {
        &self.services
    }

    /// The limits that concern HTTP.
    pub fn limits(&self) -> &LimitSettings {
        &self.shared.limits
    }

    /// Bytes a JSON body may have.
    pub fn body_bytes(&self) -> usize {
        self.shared.limits.body_bytes.get()
    }

    /// The address that clients know us by, or an empty text.
    pub fn public_url(&self) -> &str {
        self.shared.public_url.as_str()
    }

    /// Whether a client reached us by TLS, so that cookies may insist on it.
    pub fn is_secure(&self, extensions: &Extensions) -> bool {
        self.shared.public_url.is_secure()
            || self.shared.http.tls().is_some()
            || layers::is_secure(extensions)
    }

    /// Whether a request was made by a page of ours, or by no page at all.
    pub fn is_own_page(&self, headers: &HeaderMap) -> bool {
        let Some(origin) = headers.get(header::ORIGIN) else { return true };
        let Ok(origin) = origin.to_str() else { return false };
        let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
        self.shared.http.allowed_origins.named().any(|named| named == origin)
            || self.shared.public_url.origin().is_some_and(|own| own == origin)
            || host.is_some_and(|host| is_of_host(origin, host))
    }

    /// Whether a visit was made from a page of ours, or by a person: what is only looked at may
    /// be led to from everywhere, what changes something may not.
    pub fn is_own_visit(&self, headers: &HeaderMap) -> bool {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        if let Some(site) = text("sec-fetch-site") {
            return matches!(site, "none" | "same-origin");
        }
        let Some(from) = text(header::REFERER.as_str()) else { return true };
        let Some((scheme, rest)) = from.split_once("://") else { return false };
        let origin = format!("{scheme}://{}", rest.split('/').next().unwrap_or_default());
        self.shared.public_url.origin().is_some_and(|own| own == origin)
            || text(header::HOST.as_str()).is_some_and(|host| is_of_host(&origin, host))
    }

    fn figures(&self) -> String {
        (self.shared.figures)()
    }
}

/// What stands in an address in the place of its one name.
type Named = Result<Path<String>, PathRejection>;

/// The same as text; what is none names nothing, as far as we know.
fn named(name: Named) -> String {
    name.map(|Path(name)| name).unwrap_or_default()
}

/// All routes of ours.
pub fn router(web: Web) -> Router {
    let settings = web.shared.http.clone();
    let routes = neo::routes()
        .merge(health::routes())
        .merge(docs::routes())
        .merge(web::routes())
        .merge(doctor::routes())
        .merge(members::routes())
        .merge(storage::routes())
        .method_not_allowed_fallback(async || {
            let refusal = Refusal::malformed("this address does not take this verb");
            Failure::new(StatusCode::METHOD_NOT_ALLOWED, refusal)
        })
        .fallback(async || Failure::from(Refusal::not_found("there is nothing at this address")))
        .with_state(web);
    layers::api(routes, &settings)
}
