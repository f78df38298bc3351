//! The notation in which the tables of the reference write what an answer holds, read into
//! JSON Schema and into an example.
//!
//! `integer`, `text`, `flag` and `any` are leaves; `[T]` is a list, `{key: T, key?: T}` an object
//! whose second key may be absent, `T?` may be null, `A | B` is one of the two, and any other
//! word is the name of a shape in `shapes`.

use serde_json::{Map, Value, json};
use utoipa::openapi::schema::{
    AnyOfBuilder, ArrayBuilder, ObjectBuilder, Schema, SchemaType, Type as JsonType,
};
use utoipa::openapi::{Ref, RefOr};

use super::examples::example_of;
use super::shapes::SHAPES;

/// A type of the notation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Integer,
    Text,
    Flag,
    Any,
    List(Box<Self>),
    Object(Vec<Field>),
    Nullable(Box<Self>),
    Either(Vec<Self>),
    Named(String),
}

/// A key of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) optional: bool,
    pub(super) value: Type,
}

/// Reads the notation; text that is none yields `None`, which a test rules out for the tables.
pub(super) fn read(text: &str) -> Option<Type> {
    let mut rest = text;
    let found = either(&mut rest)?;
    rest.trim().is_empty().then_some(found)
}

fn either(rest: &mut &str) -> Option<Type> {
    let mut choices = vec![nullable(rest)?];
    while take(rest, '|') {
        choices.push(nullable(rest)?);
    }
    if choices.len() == 1 { choices.pop() } else { Some(Type::Either(choices)) }
}

fn nullable(rest: &mut &str) -> Option<Type> {
    let found = single(rest)?;
    Some(if take(rest, '?') { Type::Nullable(Box::new(found)) } else { found })
}

fn single(rest: &mut &str) -> Option<Type> {
    if take(rest, '[') {
        let item = either(rest)?;
        return take(rest, ']').then(|| Type::List(Box::new(item)));
    }
    if take(rest, '{') {
        return fields(rest).map(Type::Object);
    }
    Some(match word(rest)? {
        "integer" => Type::Integer,
        "text" => Type::Text,
        "flag" => Type::Flag,
        "any" => Type::Any,
        name => Type::Named(name.to_owned()),
    })
}

fn fields(rest: &mut &str) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while !take(rest, '}') {
        if !fields.is_empty() && !take(rest, ',') {
            return None;
        }
        let name = word(rest)?.to_owned();
        let optional = take(rest, '?');
        if !take(rest, ':') {
            return None;
        }
        fields.push(Field { name, optional, value: either(rest)? });
    }
    Some(fields)
}

fn take(rest: &mut &str, sign: char) -> bool {
    let stripped = rest.trim_start().strip_prefix(sign);
    *rest = stripped.unwrap_or(rest);
    stripped.is_some()
}

fn word<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let text = rest.trim_start();
    let end = text
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.')
        .unwrap_or(text.len());
    let (word, behind) = text.split_at(end);
    *rest = behind;
    (!word.is_empty()).then_some(word)
}

/// The JSON Schema of a type.
pub(super) fn schema(of: &Type) -> RefOr<Schema> {
    let leaf = |kind: SchemaType| ObjectBuilder::new().schema_type(kind).build();
    match of {
        Type::Integer => leaf(JsonType::Integer.into()).into(),
        Type::Text => leaf(JsonType::String.into()).into(),
        Type::Flag => leaf(JsonType::Boolean.into()).into(),
        Type::Any => leaf(SchemaType::AnyValue).into(),
        Type::List(item) => ArrayBuilder::new().items(schema(item)).into(),
        Type::Object(fields) => {
            let mut object = ObjectBuilder::new();
            for Field { name, optional, value } in fields {
                object = object.property(name, schema(value));
                if !optional {
                    object = object.required(name);
                }
            }
            object.into()
        }
        Type::Nullable(inner) => match &**inner {
            Type::Integer => leaf(nullable_type(JsonType::Integer)).into(),
            Type::Text => leaf(nullable_type(JsonType::String)).into(),
            Type::Flag => leaf(nullable_type(JsonType::Boolean)).into(),
            other => any_of([schema(other), leaf(JsonType::Null.into()).into()]),
        },
        Type::Either(choices) => any_of(choices.iter().map(schema)),
        Type::Named(name) => Ref::from_schema_name(name.as_str()).into(),
    }
}

fn nullable_type(kind: JsonType) -> SchemaType {
    SchemaType::from_iter([kind, JsonType::Null])
}

fn any_of(choices: impl IntoIterator<Item = RefOr<Schema>>) -> RefOr<Schema> {
    Schema::AnyOf(choices.into_iter().fold(AnyOfBuilder::new(), AnyOfBuilder::item).build()).into()
}

/// An example of a type; `key` is the name of the key that holds it.
pub(super) fn example(of: &Type, key: &str) -> Value {
    match of {
        Type::Integer => example_of(key).filter(Value::is_number).unwrap_or_else(|| json!(1)),
        Type::Text => example_of(key).filter(Value::is_string).unwrap_or_else(|| json!("text")),
        Type::Flag => example_of(key).filter(Value::is_boolean).unwrap_or_else(|| json!(true)),
        Type::Any => json!({}),
        Type::List(item) => json!([example(item, key)]),
        Type::Object(fields) => {
            let pairs = fields.iter().filter(|field| !field.optional);
            let pairs = pairs.map(|field| (field.name.clone(), example(&field.value, &field.name)));
            Value::Object(pairs.collect::<Map<_, _>>())
        }
        Type::Nullable(inner) => example(inner, key),
        Type::Either(choices) => choices.first().map_or(Value::Null, |first| example(first, key)),
        Type::Named(name) => SHAPES
            .iter()
            .find(|(known, _)| known == name)
            .and_then(|(_, text)| read(text))
            .map_or(Value::Null, |found| example(&found, key)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notation_is_read_into_schemas() {
        let table = [
            ("integer", json!({"type": "integer"})),
            ("text?", json!({"type": ["string", "null"]})),
            ("[flag]", json!({"type": "array", "items": {"type": "boolean"}})),
            ("Circle.simple", json!({"$ref": "#/components/schemas/Circle.simple"})),
            (
                "{id: integer, name?: text}",
                json!({
                    "type": "object", "required": ["id"],
                    "properties": {"id": {"type": "integer"}, "name": {"type": "string"}},
                }),
            ),
            (
                "A.b | {}",
                json!({"anyOf": [{"$ref": "#/components/schemas/A.b"}, {"type": "object"}]}),
            ),
        ];
        for (text, expected) in table {
            let found = serde_json::to_value(schema(&read(text).unwrap())).unwrap();
            assert_eq!(found, expected, "{text}");
        }
        for wrong in ["", "{", "{a}", "[integer", "{a: text b: text}", "text text", "|"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn every_shape_is_written_in_the_notation_and_names_known_shapes() {
        for (name, text) in SHAPES {
            let found = read(text).unwrap_or_else(|| panic!("{name}: {text}"));
            let mut named = Vec::new();
            names(&found, &mut named);
            for other in named {
                assert!(SHAPES.iter().any(|(known, _)| *known == other), "{name} names {other}");
            }
            assert!(!example(&found, name).is_null(), "{name}");
        }
    }

    fn names(of: &Type, into: &mut Vec<String>) {
        match of {
            Type::Named(name) => into.push(name.clone()),
            Type::List(inner) | Type::Nullable(inner) => names(inner, into),
            Type::Either(choices) => choices.iter().for_each(|choice| names(choice, into)),
            Type::Object(fields) => fields.iter().for_each(|field| names(&field.value, into)),
            Type::Integer | Type::Text | Type::Flag | Type::Any => {}
        }
    }
}
