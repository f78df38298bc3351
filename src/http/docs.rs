//! The reference of what is asked over HTTP: NEO's routes from the same tables that route the
//! requests, the rest from a table of its own.
//!
//! `/docs` is for people, `/docs/openapi.json` and `klatsch openapi` are for programs.

mod examples;
mod notation;
mod operations;
mod others;
mod page;
mod shapes;

use std::sync::LazyLock;

use axum::Router;
use axum::http::header;
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    Components, ComponentsBuilder, Info, OpenApi, OpenApiBuilder, PathItem, PathsBuilder,
};

use super::Web;
use super::neo::chapters;
use operations::{BROWSER, TOKEN, addresses, of_entry, of_route};
use page::page;
use shapes::SHAPES;

/// The document, as JSON.
pub fn openapi() -> String {
    // The document is built of strings and numbers alone, which always serialize.
    document().to_pretty_json().unwrap_or_default()
}

/// `/docs` and `/docs/openapi.json`.
pub fn routes() -> Router<Web> {
    static DOCUMENT: LazyLock<String> = LazyLock::new(openapi);
    static PAGE: LazyLock<String> = LazyLock::new(page);
    let json = [(header::CONTENT_TYPE, "application/json")];
    let policy =
        [(header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'")];
    Router::new()
        .route("/docs", get(move || async move { (policy, Html(PAGE.as_str())).into_response() }))
        .route("/docs/openapi.json", get(move || async move { (json, DOCUMENT.as_str()) }))
}

fn document() -> OpenApi {
    let mut info = Info::new("Klatsch", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "Everything that is asked over HTTP. In the routes of the NEO interface a token travels \
         in the header `Authorization`, with or without `Bearer`, or in the body (`token` of a \
         user, `device_token` of a device); the others say how they know who asks."
            .to_owned(),
    );
    let mut paths = PathsBuilder::new();
    for (chapter, routes) in chapters() {
        for route in routes {
            for (method, path) in addresses(&route) {
                let operation = of_route(chapter, &route, path, &method);
                paths = paths.path(path, PathItem::new(method, operation));
            }
        }
    }
    for (chapter, entries) in others::chapters() {
        for entry in entries {
            let operation = of_entry(chapter, &entry);
            paths = paths.path(entry.path, PathItem::new(entry.verb, operation));
        }
    }
    OpenApiBuilder::new().info(info).paths(paths).components(Some(components())).build()
}

fn components() -> Components {
    let token = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    let cookie = ApiKey::Cookie(ApiKeyValue::new("sessionid"));
    let components = ComponentsBuilder::new()
        .security_scheme(TOKEN, SecurityScheme::Http(token))
        .security_scheme(BROWSER, SecurityScheme::ApiKey(cookie));
    let shapes = SHAPES.iter().fold(components, |components, (name, text)| {
        let of = notation::read(text).unwrap_or(notation::Type::Any);
        components.schema(*name, notation::schema(&of))
    });
    shapes.build()
}

#[cfg(test)]
mod tests {
    use super::*;
    use operations::verb_name;

    #[test]
    fn the_document_names_every_address_of_every_route() {
        let document: serde_json::Value = serde_json::from_str(&openapi()).unwrap();
        for (_, routes) in chapters() {
            for route in &routes {
                for (method, path) in addresses(route) {
                    let verb = verb_name(&method).to_lowercase();
                    assert!(document["paths"][path][&verb].is_object(), "{verb} {path}");
                }
            }
        }
        for entry in others::chapters().into_iter().flat_map(|(_, entries)| entries) {
            let verb = verb_name(&entry.verb).to_lowercase();
            let told = &document["paths"][entry.path][&verb];
            let answers = told["responses"].as_object().map_or(0, serde_json::Map::len);
            assert!(answers > 0 && answers == entry.answers.len(), "{verb} {}", entry.path);
        }
    }

    #[test]
    fn the_page_shows_every_route() {
        let page = page();
        for (_, routes) in chapters() {
            for route in routes {
                assert!(page.contains(route.path), "{}", route.path);
            }
        }
        for entry in others::chapters().into_iter().flat_map(|(_, entries)| entries) {
            let head = format!("<h3>{} {}</h3>", verb_name(&entry.verb), entry.path);
            assert!(page.contains(&head), "{head}");
        }
    }

    #[test]
    fn every_operation_has_an_id_of_its_own_examples_and_shapes() {
        let document: serde_json::Value = serde_json::from_str(&openapi()).unwrap();
        let mut ids = std::collections::HashSet::new();
        for (path, verbs) in document["paths"].as_object().unwrap() {
            for (verb, operation) in verbs.as_object().unwrap() {
                let id = operation["operationId"].as_str().unwrap_or_default();
                assert!(!id.is_empty() && ids.insert(id.to_owned()), "{verb} {path}: {id}");
                for body in operation["requestBody"]["content"].as_object().into_iter().flatten() {
                    assert!(body.1["example"].is_object(), "{verb} {path}");
                }
                for (status, response) in operation["responses"].as_object().unwrap() {
                    let content = &response["content"]["application/json"];
                    // Refusals outside NEO may be a status and a sentence.
                    let has_body = status.starts_with('2') && status != "204";
                    let shown = response["content"].is_object();
                    assert!(shown || !has_body, "{verb} {path} {status}");
                    let said = response["description"].as_str().unwrap_or_default();
                    assert!(!said.is_empty(), "{verb} {path} {status}");
                    assert!(content.is_null() || content["schema"].is_object(), "{path} {status}");
                }
            }
        }
        assert!(ids.len() > 120, "{}", ids.len());
        let names = document["components"]["schemas"].as_object().unwrap();
        assert!(SHAPES.iter().all(|(name, _)| names.contains_key(*name)));
    }
}
