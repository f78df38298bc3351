//! The reference of what is asked over HTTP: NEO's routes from the same tables that route the
//! requests, the rest from a table of its own.
//!
//! `/docs` is for people, `/docs/openapi.json` and `klatsch openapi` are for programs.

mod others;

use std::fmt::Write as _;
use std::sync::LazyLock;

use axum::Router;
use axum::http::header;
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use utoipa::openapi::path::{
    HttpMethod, OperationBuilder, Parameter, ParameterBuilder, ParameterIn,
};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
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
use others::{Entry, Way};

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
        "Everything that is asked over HTTP. In the routes of the NEO interface a token travels \
         in the body (`token` of a user, `device_token` of a device) or in the header \
         `Authorization`; the others say how they know who asks."
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
    for (chapter, entries) in others::chapters() {
        for entry in entries {
            let operation = other_operation(chapter, &entry);
            paths = paths.path(entry.path, PathItem::new(entry.verb, operation));
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
        operation = operation.parameter(parameter(name, ParameterIn::Path, shape, false));
    }
    if *method != HttpMethod::Get {
        let body = if route.reads_itself() {
            body_of(Way::Parts.mime(), &[super::body::text_key("file")])
        } else {
            body_of(Way::Json.mime(), &keys_of(route))
        };
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

/// The same of an address that is not a route of NEO.
fn other_operation(chapter: &str, entry: &Entry) -> utoipa::openapi::path::Operation {
    let mut operation = OperationBuilder::new()
        .tag(chapter)
        .summary(Some(entry.summary))
        .description(Some(format!("For {}.", entry.by)));
    for name in parameters(entry.path) {
        let shape = if name == "id" { Shape::Number } else { Shape::Text };
        operation = operation.parameter(parameter(name, ParameterIn::Path, shape, false));
    }
    for Key { name, shape, optional } in &entry.query {
        operation = operation.parameter(parameter(name, ParameterIn::Query, *shape, *optional));
    }
    if let Some((way, keys)) = &entry.body {
        operation = operation.request_body(Some(body_of(way.mime(), keys)));
    }
    for (status, what) in &entry.answers {
        let response = ResponseBuilder::new().description(*what);
        operation = operation.response(status.to_string(), response);
    }
    operation.build()
}

fn parameter(name: &str, place: ParameterIn, shape: Shape, optional: bool) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(if optional { Required::False } else { Required::True })
        .schema(Some(schema(shape)))
        .build()
}

/// What success holds, key by key.
fn answers_of(route: &Route) -> Vec<String> {
    let own = route.gives.iter().map(|(key, shape)| format!("{key}: {shape}"));
    std::iter::once("success: true".to_owned()).chain(own).collect()
}

fn body_of(mime: &str, keys: &[Key]) -> RequestBody {
    let mut body = ObjectBuilder::new();
    for key in keys {
        body = body.property(key.name, schema(key.shape));
        if !key.optional {
            body = body.required(key.name);
        }
    }
    let content = ContentBuilder::new().schema(Some(body.build())).build();
    RequestBodyBuilder::new().content(mime, content).required(Some(Required::True)).build()
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
    html.push_str("<h2 id=\"others\">Other interfaces</h2>");
    for (title, entries) in others::chapters() {
        // Writing into a string cannot fail.
        let _ = write!(html, "<h2>{title}</h2>");
        for entry in &entries {
            write_entry(&mut html, entry);
        }
    }
    html.push_str(include_str!("docs_events.html"));
    html
}

fn write_entry(html: &mut String, entry: &Entry) {
    let Entry { verb, path, summary, by, .. } = entry;
    let verb = verb_name(verb);
    let _ = write!(
        html,
        "<section><h3>{verb} {path}</h3><p>{summary} For {}.</p>",
        by.replace('`', "")
    );
    write_keys(html, entry.query.iter().chain(entry.body.iter().flat_map(|(_, keys)| keys)));
    for (status, what) in &entry.answers {
        let _ = write!(html, "<p>{status}: {}</p>", what.replace('`', ""));
    }
    html.push_str("</section>");
}

fn write_keys<'a>(html: &mut String, keys: impl Iterator<Item = &'a Key>) {
    let mut keys = keys.peekable();
    if keys.peek().is_none() {
        return;
    }
    html.push_str("<table><tr><th>key</th><th>holds</th><th></th></tr>");
    for Key { name, shape, optional } in keys {
        let (holds, optional) = (shape.as_str(), if *optional { "optional" } else { "" });
        let _ = write!(html, "<tr><td>{name}</td><td>{holds}</td><td>{optional}</td></tr>");
    }
    html.push_str("</table>");
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
        write_keys(html, keys_of(route).iter());
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
        HttpMethod::Patch => "PATCH",
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
}
