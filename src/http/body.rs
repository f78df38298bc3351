//! What a NEO request says: the keys of its JSON body, or of its path.
//!
//! The body is read whatever its `Content-Type`. Ids may be numeric strings, everything else
//! is strict; an optional key that is `null` counts as absent.

use axum::http::StatusCode;
use serde_json::value::RawValue;

use super::error::Failure;
use crate::domain::Refusal;
use crate::json::{self, Object};

/// The declared keys of a request, each with its JSON text.
#[derive(Clone, Debug, Default)]
pub struct Keys(Vec<(String, Box<RawValue>)>);

/// What a key may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A whole number, perhaps written as a string.
    Number,
    /// A string.
    Text,
    /// A boolean.
    Flag,
    /// A list of anything.
    List,
}

impl Shape {
    /// The shape for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Number => "a number",
            Self::Text => "a string",
            Self::Flag => "a boolean",
            Self::List => "a list",
        }
    }

    fn fits(self, raw: &RawValue) -> bool {
        match self {
            Self::Number => number(raw).is_some(),
            Self::Text => raw.get().starts_with('"'),
            Self::Flag => json::boolean(raw).is_some(),
            Self::List => raw.get().starts_with('['),
        }
    }
}

/// A key that a route reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub shape: Shape,
    /// Whether the route can do without.
    pub optional: bool,
}

/// A mandatory number.
pub const fn number_key(name: &'static str) -> Key {
    Key { name, shape: Shape::Number, optional: false }
}

/// A mandatory text.
pub const fn text_key(name: &'static str) -> Key {
    Key { name, shape: Shape::Text, optional: false }
}

/// A mandatory list.
pub const fn list_key(name: &'static str) -> Key {
    Key { name, shape: Shape::List, optional: false }
}

/// A mandatory boolean.
pub const fn flag_key(name: &'static str) -> Key {
    Key { name, shape: Shape::Flag, optional: false }
}

impl Key {
    /// The same key, which may be absent.
    #[must_use]
    pub const fn optional(mut self) -> Self {
        self.optional = true;
        self
    }
}

impl Keys {
    /// Reads these keys of the bytes of a body.
    pub fn read(bytes: &[u8], names: &[&'static str]) -> Result<Self, Failure> {
        let text = std::str::from_utf8(bytes).map(json::tidy).unwrap_or_default();
        if !json::is_sound(&text) {
            let text = "the body is not JSON";
            return Err(Failure::new(StatusCode::NOT_ACCEPTABLE, Refusal::malformed(text)));
        }
        if text.trim() == "null" {
            let text = "the body is null; send a JSON object";
            return Err(Failure::new(StatusCode::METHOD_NOT_ALLOWED, Refusal::malformed(text)));
        }
        let keys = Self::of(&text, names);
        keys.ok_or_else(|| Refusal::malformed("the body is not a JSON object").into())
    }

    /// Reads these keys of an object.
    pub fn of(text: &str, names: &[&'static str]) -> Option<Self> {
        let object = Object::read(text, names)?;
        Some(Self(object.iter().map(|(name, raw)| (name.to_owned(), raw.to_owned())).collect()))
    }

    /// The parameters of a path, as if they had come in a body.
    pub fn from_path<'a>(parameters: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let raw = |text: &str| serde_json::value::to_raw_value(text).expect("texts are JSON");
        Self(parameters.map(|(name, value)| (name.to_owned(), raw(value))).collect())
    }

    /// Refuses the first of these keys that is missing or holds something else than it should.
    pub fn check(&self, keys: &[Key]) -> Result<(), Refusal> {
        for key in keys {
            match self.get(key.name) {
                None if key.optional => {}
                None => return Err(Refusal::malformed(format!("{} is missing", key.name))),
                Some(value) if key.shape.fits(value) => {}
                Some(_) => {
                    let expected = key.shape.as_str();
                    return Err(Refusal::malformed(format!("{} must be {expected}", key.name)));
                }
            }
        }
        Ok(())
    }

    /// The JSON text that a key holds, unless it is absent or `null`.
    pub fn get(&self, name: &str) -> Option<&RawValue> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, raw)| &**raw).filter(|raw| !json::is_null(raw))
    }

    /// A text, without its U+0000, which no database of ours takes.
    pub fn text(&self, name: &'static str) -> Result<String, Refusal> {
        self.maybe_text(name)?.ok_or_else(|| missing(name))
    }

    /// A text that may be absent.
    pub fn maybe_text(&self, name: &'static str) -> Result<Option<String>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some(raw) => match json::string(raw) {
                Some(text) => Ok(Some(text.replace('\0', ""))),
                None => Err(mistyped(name, Shape::Text)),
            },
        }
    }

    /// A number, wrapped as what it stands for.
    pub fn number<T>(&self, name: &'static str, wrap: fn(i64) -> T) -> Result<T, Refusal> {
        self.maybe_number(name, wrap)?.ok_or_else(|| missing(name))
    }

    /// A number that may be absent, wrapped as what it stands for.
    pub fn maybe_number<T>(
        &self,
        name: &'static str,
        wrap: fn(i64) -> T,
    ) -> Result<Option<T>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some(value) => match number(value) {
                Some(number) => Ok(Some(wrap(number))),
                None => Err(mistyped(name, Shape::Number)),
            },
        }
    }

    /// A boolean that may be absent.
    pub fn maybe_flag(&self, name: &'static str) -> Result<Option<bool>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some(raw) => json::boolean(raw).map(Some).ok_or_else(|| mistyped(name, Shape::Flag)),
        }
    }

    /// The first elements of a list, one more than `most` at most; none when it is absent.
    pub fn list(&self, name: &'static str, most: usize) -> Result<Vec<&RawValue>, Refusal> {
        match self.get(name) {
            None => Ok(Vec::new()),
            Some(raw) => json::list(raw, most).ok_or_else(|| mistyped(name, Shape::List)),
        }
    }
}

fn number(raw: &RawValue) -> Option<i64> {
    json::integer(raw).or_else(|| json::string(raw)?.trim().parse().ok())
}

fn missing(name: &str) -> Refusal {
    Refusal::malformed(format!("{name} is missing"))
}

fn mistyped(name: &str, shape: Shape) -> Refusal {
    Refusal::malformed(format!("{name} must be {}", shape.as_str()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::CircleId;

    const NAMES: [&str; 6] = ["circle_id", "name", "on", "files", "id", "none"];

    fn keys(value: &serde_json::Value) -> Keys {
        Keys::of(&value.to_string(), &NAMES).unwrap()
    }

    #[test]
    fn bodies_are_read_by_the_page_s_rules() {
        let table = [
            (r#"{"a":1}"#, Ok(())),
            ("\u{FEFF}{\"a\":1}", Ok(())),
            (r#"{"a":"cut \ud83d"}"#, Ok(())),
            (r#"{"a":1e999}"#, Err(406)),
            ("", Err(406)),
            ("hi", Err(406)),
            ("\u{1F4A3}", Err(406)),
            ("null", Err(405)),
            ("[1]", Err(400)),
            ("5", Err(400)),
        ];
        for (body, verdict) in table {
            let read = Keys::read(body.as_bytes(), &NAMES);
            assert_eq!(read.map(drop).map_err(|e| e.status().as_u16()), verdict, "{body}");
        }
    }

    #[test]
    fn a_bad_key_is_named() {
        let wanted = [
            number_key("circle_id"),
            text_key("name").optional(),
            flag_key("on").optional(),
            list_key("files").optional(),
        ];
        let table = [
            (json!({"circle_id": 1}), None),
            (json!({"circle_id": "1", "name": null}), None),
            (json!({}), Some("circle_id is missing")),
            (json!({"circle_id": null}), Some("circle_id is missing")),
            (json!({"circle_id": "x"}), Some("circle_id must be a number")),
            (json!({"circle_id": 1.0}), None),
            (json!({"circle_id": 1.5}), Some("circle_id must be a number")),
            (json!({"circle_id": true}), Some("circle_id must be a number")),
            (json!({"circle_id": 1e300}), Some("circle_id must be a number")),
            (json!({"circle_id": "99999999999999999999"}), Some("circle_id must be a number")),
            (json!({"circle_id": 1, "name": 5}), Some("name must be a string")),
            (json!({"circle_id": 1, "on": "True"}), Some("on must be a boolean")),
            (json!({"circle_id": 1, "files": {}}), Some("files must be a list")),
        ];
        for (body, text) in table {
            let refused = keys(&body).check(&wanted).err().map(|refusal| refusal.to_string());
            assert_eq!(refused.as_deref(), text, "{body}");
        }
    }

    #[test]
    fn keys_are_read_as_what_they_stand_for() {
        let keys = keys(&json!({"id": " 7 ", "name": "a\u{0}b", "none": null}));
        assert_eq!(keys.number("id", CircleId::new), Ok(CircleId::new(7)));
        assert_eq!(keys.text("name"), Ok("ab".to_owned()));
        assert_eq!(keys.maybe_text("none"), Ok(None));
        assert!(keys.text("none").is_err());
        assert!(keys.list("name", 9).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_body_makes_it_panic(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..64),
            text in ".{0,40}",
            number: f64,
        ) {
            let read = |body: &[u8]| Keys::read(body, &NAMES);
            let _ = read(&bytes);
            let value = json!({ "id": text, "name": number, "list": [text] });
            for body in [text.clone().into_bytes(), value.to_string().into_bytes()] {
                let Ok(keys) = read(&body) else { continue };
                let _ = keys.check(&[number_key("id"), text_key("name"), list_key("list")]);
                let _ = (keys.text("id"), keys.number("id", CircleId::new), keys.list("id", 9));
            }
        }
    }
}
