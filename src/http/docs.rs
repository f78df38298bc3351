//! The reference of the HTTP API, made from the same tables that route the requests.
//!
//! `/docs` is for people, `/docs/openapi.json` and `klatsch openapi` are for programs.

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::Router;
use axum::http::header;
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ArrayBuilder, Object, Schema, Type};
use utoipa::openapi::{
    ContentBuilder, Info, ObjectBuilder, OpenApi, OpenApiBuilder, PathItem, PathsBuilder, RefOr,
    Required, ResponseBuilder,
};

use super::Web;
use super::body::{Key, Shape};
use super::identity::Who;
use super::neo::route::{Route, Verb};
use super::neo::{Chapter, chapters};

/// What every answer of failure looks like.
const ENVELOPE: &str = "{\"success\": false, \"message\": text}";

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
        "The HTTP API of the NEO interface. A token travels in the body (`token` of a user, \
         `device_token` of a device) or in the header `Authorization`."
            .to_owned(),
    );
    let mut paths = PathsBuilder::new();
    for (chapter, routes) in chapters() {
        for route in routes {
            for (method, path) in addresses(&route) {
                let operation = operation(chapter, &route, path, &method);
                paths = paths.path(path, PathItem::new(method, operation));
            }
        }
    }
    OpenApiBuilder::new().info(info).paths(paths).build()
}

/// Every verb and address of a route.
fn addresses(route: &Route) -> Vec<(HttpMethod, &'static str)> {
    let posts = std::iter::once(route.path).chain(route.aliases.iter().copied());
    let mut all = Vec::new();
    for path in posts {
        all.push((if route.is_get() { HttpMethod::Get } else { HttpMethod::Post }, path));
        match route.verb {
            Some(Verb::Put) => all.push((HttpMethod::Put, path)),
            Some(Verb::Delete) => all.push((HttpMethod::Delete, path)),
            None => {}
        }
    }
    all.extend(route.twins.iter().map(|path| (HttpMethod::Get, *path)));
    all
}

fn operation(
    chapter: &str,
    route: &Route,
    path: &str,
    method: &HttpMethod,
) -> utoipa::openapi::path::Operation {
    let mut operation = OperationBuilder::new()
        .tag(chapter)
        .summary(Some(route.summary))
        .description(Some(format!("For {}.", route.who.as_str())));
    for name in parameters(path) {
        let shape =
            route.keys.iter().find(|key| key.name == name).map_or(Shape::Number, |k| k.shape);
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .schema(Some(schema(shape)));
        operation = operation.parameter(parameter.build());
    }
    if *method != HttpMethod::Get && !route.reads_itself() {
        let content = ContentBuilder::new().schema(Some(body_of(route))).build();
        let body = RequestBodyBuilder::new()
            .content("application/json", content)
            .required(Some(Required::True))
            .build();
        operation = operation.request_body(Some(body));
    }
    let success = answers_of(route).join(", ");
    operation =
        operation.response(route.status.to_string(), ResponseBuilder::new().description(success));
    for status in &route.fails {
        operation =
            operation.response(status.to_string(), ResponseBuilder::new().description(ENVELOPE));
    }
    operation.build()
}

/// What success holds, key by key.
fn answers_of(route: &Route) -> Vec<String> {
    let own = route.gives.iter().map(|(key, shape)| format!("{key}: {shape}"));
    std::iter::once("success: true".to_owned()).chain(own).collect()
}

fn body_of(route: &Route) -> Object {
    let mut body = ObjectBuilder::new();
    for key in keys_of(route) {
        body = body.property(key.name, schema(key.shape));
        if !key.optional {
            body = body.required(key.name);
        }
    }
    body.build()
}

/// The keys of a route, with those of the token.
fn keys_of(route: &Route) -> Vec<Key> {
    let token = super::body::text_key("token").optional();
    let device_token = super::body::text_key("device_token").optional();
    let tokens = match route.who {
        Who::Anybody => vec![],
        Who::User | Who::Admin => vec![token],
        Who::Device => vec![device_token],
        Who::Either => vec![token, device_token],
    };
    tokens.into_iter().chain(route.keys.iter().copied()).collect()
}

fn schema(shape: Shape) -> RefOr<Schema> {
    let of = |kind| ObjectBuilder::new().schema_type(kind).build();
    match shape {
        Shape::Number => of(Type::Integer).into(),
        Shape::Text => of(Type::String).into(),
        Shape::Flag => of(Type::Boolean).into(),
        Shape::List => ArrayBuilder::new().items(Object::default()).into(),
    }
}

fn parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

/// A page without scripts: every route of the table, and where the events are described.
fn page() -> String {
    let mut html = String::from(include_str!("docs_head.html"));
    for chapter in chapters() {
        write_chapter(&mut html, &chapter);
    }
    html.push_str(include_str!("docs_events.html"));
    html
}

fn write_chapter(html: &mut String, (title, routes): &Chapter) {
    // Writing into a string cannot fail.
    let _ = write!(html, "<h2>{title}</h2>");
    for route in routes {
        let _ = write!(
            html,
            "<section><h3>{}</h3><p>{} For {}.</p><p>",
            route.path,
            route.summary,
            route.who.as_str()
        );
        for (method, path) in addresses(route) {
            let verb = verb_name(&method);
            let _ = write!(html, "<code>{verb} {path}</code> ");
        }
        html.push_str("</p>");
        let keys = keys_of(route);
        if !keys.is_empty() {
            html.push_str("<table><tr><th>key</th><th>holds</th><th></th></tr>");
            for key in keys {
                let optional = if key.optional { "optional" } else { "" };
                let holds = key.shape.as_str();
                let _ = write!(
                    html,
                    "<tr><td>{}</td><td>{holds}</td><td>{optional}</td></tr>",
                    key.name
                );
            }
            html.push_str("</table>");
        }
        let gives = answers_of(route).join(", ");
        let fails: Vec<_> = route.fails.iter().map(u16::to_string).collect();
        let _ = write!(html, "<p>{}: {gives}</p>", route.status);
        if !fails.is_empty() {
            let _ = write!(html, "<p>Fails with {}</p>", fails.join(", "));
        }
        html.push_str("</section>");
    }
}

const fn verb_name(method: &HttpMethod) -> &'static str {
    match method {
        HttpMethod::Get => "GET",
        HttpMethod::Put => "PUT",
        HttpMethod::Delete => "DELETE",
        _ => "POST",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    }

    #[test]
    fn the_page_shows_every_route() {
        let page = page();
        for (_, routes) in chapters() {
            for route in routes {
                assert!(page.contains(route.path), "{}", route.path);
            }
        }
    }
}
