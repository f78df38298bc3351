//! Objects, of which only declared keys are kept.

use std::fmt;

use serde::Deserializer;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The declared keys of a JSON object, each with its JSON text; of several keys of one name
/// the last counts.
#[derive(Clone, Debug, Default)]
pub struct Object<'a>(Vec<(&'static str, &'a RawValue)>);

impl<'a> Object<'a> {
    /// Reads an object for these keys; `None` if the text is none, or no JSON.
    pub fn read(text: &'a str, names: &[&'static str]) -> Option<Self> {
        let mut found = Self::default();
        visit(text, |name, raw| {
            if let Some(name) = names.iter().find(|known| **known == name) {
                found.0.retain(|(known, _)| known != name);
                found.0.push((name, raw));
            }
        })?;
        Some(found)
    }

    /// What stands under a declared key.
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, raw)| *raw)
    }

    /// All declared keys that are there.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &'a RawValue)> + '_ {
        self.0.iter().copied()
    }
}

/// Shows every key of an object and its JSON text, in their order; `None` if it is none.
pub fn visit<'a>(text: &'a str, take: impl FnMut(&str, &'a RawValue)) -> Option<()> {
    let mut reader = serde_json::Deserializer::from_str(text);
    reader.deserialize_map(Keys(take)).ok()?;
    reader.end().ok()
}

/// The first elements of a list, at most so many; `None` if it is none.
pub(super) fn elements(text: &str, most: usize) -> Option<Vec<&RawValue>> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let elements = reader.deserialize_seq(Elements(most)).ok()?;
    reader.end().ok()?;
    Some(elements)
}

struct Keys<F>(F);

impl<'de, F: FnMut(&str, &'de RawValue)> Visitor<'de> for Keys<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        let mut name = String::new();
        while map.next_key_seed(Name(&mut name))?.is_some() {
            (self.0)(&name, map.next_value()?);
        }
        Ok(())
    }
}

/// Reads a key into room that is used again.
struct Name<'a>(&'a mut String);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.0.clear();
        self.0.push_str(text);
        Ok(())
    }
}

struct Elements(usize);

impl<'de> Visitor<'de> for Elements {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while elements.len() < self.0 {
            let Some(raw) = seq.next_element()? else { return Ok(elements) };
            elements.push(raw);
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(elements)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_keys_are_kept_as_their_text_and_the_last_of_a_name_counts() {
        let text = r#" {"b":[{"":0}], "a": {"x" : 1.50} ,"\u0063":2,"a":null,"zz":{"a":5}} "#;
        let object = Object::read(text, &["a", "c", "d"]).unwrap();
        assert_eq!(object.get("a").unwrap().get(), "null");
        assert_eq!(object.get("c").unwrap().get(), "2");
        assert!(object.get("b").is_none() && object.get("d").is_none());
        assert_eq!(object.iter().count(), 2);
        for text in ["", "1", "[]", "{", "{\"a\":}", "{} {}", "{\"a\":1,}", "null"] {
            assert!(Object::read(text, &["a"]).is_none(), "{text}");
        }
    }

    #[test]
    fn of_a_list_no_more_is_kept_than_wanted() {
        let list = |text, most| elements(text, most).map(|list| list.len());
        assert_eq!(list("[1,2,3]", 2), Some(2));
        assert_eq!(list("[1,2,3]", 5), Some(3));
        assert_eq!(list("[]", 0), Some(0));
        assert_eq!(list("[1,2,]", 1), None);
        assert_eq!(list("{}", 1), None);
    }
}
