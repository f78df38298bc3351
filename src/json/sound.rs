//! Whether every reader can do something with a piece of JSON.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// Whether it is JSON whose brackets stand at most 127 deep and whose numbers are finite. It
/// is what a tree of values could hold, found out without building one: what is passed on to
/// other clients must not bring their readers down.
pub fn is_sound(text: &str) -> bool {
    serde_json::from_str::<Sound>(text).is_ok()
}

struct Sound;

impl<'de> Deserialize<'de> for Sound {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Anything)
    }
}

struct Anything;

impl<'de> Visitor<'de> for Anything {
    type Value = Sound;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_str<E>(self, _: &str) -> Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_unit<E>(self) -> Result<Sound, E> {
        Ok(Sound)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Sound, A::Error> {
        while seq.next_element::<Sound>()?.is_some() {}
        Ok(Sound)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Sound, A::Error> {
        while map.next_entry::<Sound, Sound>()?.is_some() {}
        Ok(Sound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_a_tree_of_values_could_hold() {
        let tower = |height: usize| format!("{}{}", "[".repeat(height), "]".repeat(height));
        let texts = [
            "1",
            "-0.5e7",
            "1e999",
            "\"a\\u00e9\"",
            "\"\\ud83d\"",
            "[1,{\"a\":[null,true]}]",
            "{",
            "{} {}",
            "",
            "[1,]",
            "{\"\\ud83d\":1}",
            " {\"a\":1} ",
            "18446744073709551616",
        ];
        let towers = [tower(120), tower(127), tower(128), tower(100_000)];
        for text in texts.into_iter().chain(towers.iter().map(String::as_str)) {
            let value = serde_json::from_str::<serde_json::Value>(text);
            assert_eq!(is_sound(text), value.is_ok(), "{text:.40}");
        }
    }
}
