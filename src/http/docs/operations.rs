//! The operations of the reference, made of the tables.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use utoipa::openapi::path::{
    HttpMethod, Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn,
};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema, Type as JsonType};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Required, Response, ResponseBuilder};

use super::examples::example_of;
use super::notation;
use super::others::{Entry, Shown, Way};
use crate::http::body::{Key, Shape, text_key};
use crate::http::identity::Who;
use crate::http::neo::route::{Route, Verb};

/// The name of the security scheme of tokens in the header `Authorization`.
pub(super) const TOKEN: &str = "token";
/// The name of the security scheme of the cookie that a browser login has.
pub(super) const BROWSER: &str = "browser";

/// What the statuses of failure mean in the NEO interface.
const MEANINGS: &[(u16, &str)] = &[
    (400, "a key is missing or mistyped, or the wish cannot be granted"),
    (401, "the token is missing, or not (or no longer) valid"),
    (403, "the asker may not do this, or the account is not active"),
    (404, "there is no such thing"),
    (405, "the body is `null`"),
    (406, "the body is not JSON"),
    (409, "it is taken, or done already"),
    (412, "the device is not active"),
    (413, "the body is too large"),
    (416, "the file has no such range"),
    (417, "the previous password is wrong"),
    (429, "too often; `Retry-After` says when to come back"),
    (503, "the database does not answer; with the code `unknown` it may have been done"),
];

/// Every verb and address of a route.
pub(super) fn addresses(route: &Route) -> Vec<(HttpMethod, &'static str)> {
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

/// The operation of a route of NEO at one of its addresses.
pub(super) fn of_route(chapter: &str, route: &Route, path: &str, method: &HttpMethod) -> Operation {
    let mut operation = OperationBuilder::new()
        .tag(chapter)
        .operation_id(Some(operation_id(method, path)))
        .summary(Some(route.summary))
        .description(Some(format!("For {}.", route.who.as_str())));
    for name in parameters(path) {
        let shape =
            route.keys.iter().find(|key| key.name == name).map_or(Shape::Number, |k| k.shape);
        operation = operation.parameter(parameter(name, ParameterIn::Path, shape, false));
    }
    if *method != HttpMethod::Get {
        let body = if route.reads_itself() {
            body_of(Way::Parts.mime(), &[text_key("file")])
        } else {
            body_of(Way::Json.mime(), &keys_of(route))
        };
        operation = operation.request_body(Some(body));
    }
    if route.who != Who::Anybody {
        operation = operation.security(SecurityRequirement::new(TOKEN, [""; 0]));
        if *method != HttpMethod::Get {
            // The body may hold the token as well.
            operation = operation.security(SecurityRequirement::default());
        }
    }
    operation = operation.response(route.status.to_string(), success(route));
    for status in statuses_of(route) {
        operation = operation.response(status.to_string(), failure(status, "Failure"));
    }
    operation.build()
}

/// The same of an address that is not a route of NEO.
pub(super) fn of_entry(chapter: &str, entry: &Entry) -> Operation {
    let mut operation = OperationBuilder::new()
        .tag(chapter)
        .operation_id(Some(operation_id(&entry.verb, entry.path)))
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
    if let Some(scheme) = entry.security() {
        operation = operation.security(SecurityRequirement::new(scheme, [""; 0]));
    }
    for (status, shown) in &entry.answers {
        operation = operation.response(status.to_string(), response(*shown));
    }
    operation.build()
}

/// A verb and a path as one word: `getCircleInfoByCircleId`.
fn operation_id(method: &HttpMethod, path: &str) -> String {
    let mut id = verb_name(method).to_lowercase();
    for part in path.split('/') {
        let (by, part) = match part.strip_prefix('{') {
            Some(name) => ("By", name),
            None => ("", part),
        };
        id.push_str(by);
        for word in part.split(|c: char| !c.is_ascii_alphanumeric()) {
            let mut letters = word.chars();
            id.extend(letters.next().map(|first| first.to_ascii_uppercase()));
            id.push_str(letters.as_str());
        }
    }
    id
}

fn success(route: &Route) -> RefOr<Response> {
    if let Some(bytes) = route.sends {
        return response(Shown::Bytes(bytes));
    }
    let text = success_of(route);
    let Some(of) = notation::read(&text) else {
        return ResponseBuilder::new().description(text).into();
    };
    let content = ContentBuilder::new()
        .schema(Some(notation::schema(&of)))
        .example(Some(notation::example(&of, "")))
        .build();
    ResponseBuilder::new().description("done").content(Way::Json.mime(), content).into()
}

/// What success holds, in the notation.
pub(super) fn success_of(route: &Route) -> String {
    let own = route.gives.iter().map(|(key, shape)| format!("{key}: {shape}"));
    let keys: Vec<_> = std::iter::once("success: flag".to_owned()).chain(own).collect();
    format!("{{{}}}", keys.join(", "))
}

/// The statuses of failure of a route: its own, and those that every route of its kind has.
pub(super) fn statuses_of(route: &Route) -> BTreeSet<u16> {
    let mut all: BTreeSet<u16> = route.fails.iter().copied().collect();
    all.extend([400, 429, 503]);
    if !route.is_get() {
        all.extend([405, 406, 413]);
    }
    if route.who != Who::Anybody {
        all.extend([401, 403]);
    }
    if matches!(route.who, Who::Device | Who::Either) {
        all.insert(412);
    }
    all
}

fn failure(status: u16, shape: &'static str) -> RefOr<Response> {
    let meaning = MEANINGS.iter().find(|(known, _)| *known == status);
    let text = meaning.map_or("refused", |(_, meaning)| meaning);
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(shape))).build();
    ResponseBuilder::new().description(text).content(Way::Json.mime(), content).into()
}

fn response(shown: Shown) -> RefOr<Response> {
    let response = ResponseBuilder::new();
    match shown {
        Shown::Json(text) => {
            let of = notation::read(text).unwrap_or(notation::Type::Any);
            let content = ContentBuilder::new()
                .schema(Some(notation::schema(&of)))
                .example(Some(notation::example(&of, "")))
                .build();
            response.description("JSON").content(Way::Json.mime(), content)
        }
        Shown::Page(text) => response.description(text).content("text/html", text_content()),
        Shown::Text(text) => response.description(text).content("text/plain", text_content()),
        Shown::Script(text) => {
            response.description(text).content("text/javascript", text_content())
        }
        Shown::Bytes(text) => {
            let content = ContentBuilder::new().build();
            response.description(text).content("*/*", content)
        }
        Shown::Nothing(text) => response.description(text),
    }
    .into()
}

fn text_content() -> utoipa::openapi::Content {
    let text = ObjectBuilder::new().schema_type(JsonType::String).build();
    ContentBuilder::new().schema(Some(text)).build()
}

fn parameter(name: &str, place: ParameterIn, shape: Shape, optional: bool) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(if optional { Required::False } else { Required::True })
        .schema(Some(schema(name, shape)))
        .example(Some(example(name, shape)))
        .build()
}

fn body_of(mime: &str, keys: &[Key]) -> RequestBody {
    let mut body = ObjectBuilder::new();
    let mut shown = Map::new();
    for key in keys {
        body = body.property(key.name, schema(key.name, key.shape));
        if !key.optional {
            body = body.required(key.name);
            shown.insert(key.name.to_owned(), example(key.name, key.shape));
        }
    }
    let content =
        ContentBuilder::new().schema(Some(body.build())).example(Some(Value::Object(shown)));
    RequestBodyBuilder::new().content(mime, content.build()).required(Some(Required::True)).build()
}

/// The keys of a route, with those of the token.
pub(super) fn keys_of(route: &Route) -> Vec<Key> {
    let token = text_key("token").optional();
    let device_token = text_key("device_token").optional();
    let tokens = match route.who {
        Who::Anybody => vec![],
        Who::User | Who::Admin => vec![token],
        Who::Device => vec![device_token],
        Who::Either => vec![token, device_token],
    };
    tokens.into_iter().chain(route.keys.iter().copied()).collect()
}

/// What the lists of requests hold, in the notation.
fn items(key: &str) -> &'static str {
    match key {
        "medias" => "{name: text, purpose: text, circle_id?: integer?, device_id?: integer?}",
        _ => "text",
    }
}

fn schema(key: &str, shape: Shape) -> RefOr<Schema> {
    let of = |kind| ObjectBuilder::new().schema_type(kind).build();
    match shape {
        Shape::Number => of(JsonType::Integer).into(),
        Shape::Text if key == "file" => {
            ObjectBuilder::new().content_media_type("application/octet-stream").into()
        }
        Shape::Text => of(JsonType::String).into(),
        Shape::Flag => of(JsonType::Boolean).into(),
        Shape::List => {
            let item = notation::read(items(key)).unwrap_or(notation::Type::Any);
            ArrayBuilder::new().items(notation::schema(&item)).into()
        }
    }
}

fn example(key: &str, shape: Shape) -> Value {
    match shape {
        Shape::Number => example_of(key).filter(Value::is_number).unwrap_or_else(|| 1.into()),
        Shape::Text => example_of(key).filter(Value::is_string).unwrap_or_else(|| "text".into()),
        Shape::Flag => true.into(),
        Shape::List => {
            let item = notation::read(items(key)).unwrap_or(notation::Type::Any);
            Value::Array(vec![notation::example(&item, key)])
        }
    }
}

fn parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

/// The verb as it stands in a request.
pub(super) const fn verb_name(method: &HttpMethod) -> &'static str {
    match method {
        HttpMethod::Get => "GET",
        HttpMethod::Put => "PUT",
        HttpMethod::Delete => "DELETE",
        HttpMethod::Patch => "PATCH",
        _ => "POST",
    }
}
