//! Reads an event as it stands on the wire: `["channel",argument,…]`.
//!
//! The library has seen before that it is an array that begins with a string, and passes over
//! the rest without looking closely; so this is where broken JSON is found.

use std::{borrow::Cow, fmt};

use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::Value;

use super::packet::Data;

/// This is not JSON.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// The channel and the argument.
pub(super) fn read(text: &str) -> Result<(String, Data), Broken> {
    let event = serde_json::from_str::<Event>(text).or_else(|error| {
        without_lone_surrogates(text).map_or(Err(error), |text| serde_json::from_str(&text))
    });
    match event {
        Ok(Event(channel, None)) => Ok((channel, Data::Missing)),
        Ok(Event(channel, Some(value))) => Ok((channel, Data::Json(value))),
        // Numbers beyond all bounds and towers of brackets are JSON all the same.
        Err(_) if serde_json::from_str::<IgnoredAny>(text).is_ok() => {
            read_channel(text).map(|channel| (channel, Data::Unreadable)).ok_or(Broken)
        }
        Err(_) => Err(Broken),
    }
}

/// The channel alone, without a look at the rest.
pub(super) fn read_channel(text: &str) -> Option<String> {
    let first = text.trim_start().strip_prefix('[')?;
    let mut values = serde_json::Deserializer::from_str(first).into_iter::<Cow<'_, str>>();
    values.next()?.ok().map(Cow::into_owned)
}

/// Replaces the halves of characters that some clients send when they shorten a text.
fn without_lone_surrogates(text: &str) -> Option<String> {
    let mut repaired = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        repaired.push_str(before);
        let (len, replaced) = match surrogate(escape) {
            Some(0xD800..=0xDBFF)
                if matches!(escape.get(6..).and_then(surrogate), Some(0xDC00..=0xDFFF)) =>
            {
                (12, false)
            }
            Some(_) => (6, true),
            // The escaped character may be a backslash, which begins no escape of its own.
            None => (1 + escape[1..].chars().next().map_or(0, char::len_utf8), false),
        };
        let (escape, after) = escape.split_at(len);
        repaired.push_str(if replaced { "\u{FFFD}" } else { escape });
        rest = after;
    }
    repaired.push_str(rest);
    (repaired != text).then_some(repaired)
}

/// The surrogate that an escape at the very beginning stands for.
fn surrogate(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    u16::from_str_radix(digits, 16).ok().filter(|unit| (0xD800..=0xDFFF).contains(unit))
}

struct Event(String, Option<Value>);

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(EventVisitor)
    }
}

struct EventVisitor;

impl<'de> Visitor<'de> for EventVisitor {
    type Value = Event;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a channel and its argument")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Event, A::Error> {
        let channel =
            seq.next_element()?.ok_or_else(|| serde::de::Error::missing_field("channel"))?;
        let argument = seq.next_element()?;
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Event(channel, argument))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn events_are_read() {
        let deep = format!("[\"a\",{}{}]", "[".repeat(500), "]".repeat(500));
        let table = [
            (r#"["a"]"#, Ok(Data::Missing)),
            (r#"["a",null]"#, Ok(Data::Json(json!(null)))),
            (r#"["a",[1,2]]"#, Ok(Data::Json(json!([1, 2])))),
            (r#"["a",{"b":"é"},3,"more"]"#, Ok(Data::Json(json!({"b": "é"})))),
            (r#" [ "a" , "\ud83d\ude00" ] "#, Ok(Data::Json(json!("😀")))),
            (r#"["a","\\ud83d \ud83d\" \ude00x"]"#, Ok(Data::Json(json!("\\ud83d �\" �x")))),
            (r#"["a","\ud83d\ud83d\ude00"]"#, Ok(Data::Json(json!("�😀")))),
            (r#"["a",1e999]"#, Ok(Data::Unreadable)),
            (&deep, Ok(Data::Unreadable)),
            (r#"["a",{"b":}]"#, Err(Broken)),
            (r#"["a",1] and more"#, Err(Broken)),
            (r#"["a","\ud83d"#, Err(Broken)),
            (r#"["a","\"#, Err(Broken)),
            ("", Err(Broken)),
        ];
        for (text, expected) in table {
            let read = read(text).map(|(channel, data)| {
                assert_eq!(channel, "a");
                data
            });
            assert_eq!(read, expected, "{text}");
        }
    }

    #[test]
    fn a_channel_is_read_alone() {
        assert_eq!(read_channel(r#" ["message",{"broken"#).as_deref(), Some("message"));
        assert_eq!(read_channel(r#"{"a":1}"#), None);
        assert_eq!(read_channel("[1]"), None);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_a_reader_panic(
            any in ".{0,60}",
            inside in r#"(\\\\u[dD][89a-fA-F][0-9a-f]{2}|\\\\|"|é|u|[\\[\\]{}:,0-9e.-]|[a-z]){0,20}"#,
        ) {
            let texts = [any, format!("[{inside}"), format!("[\"a\",\"{inside}\"]")];
            for text in texts {
                let _ = (read(&text), read_channel(&text), without_lone_surrogates(&text));
            }
        }
    }
}
