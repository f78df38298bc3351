//! Reads an event as it stands on the wire: `["channel",argument,…]`.
//!
//! The library has seen before that it is an array that begins with a string, and passes over
//! the rest without looking closely; so this is where broken JSON is found.

use std::{borrow::Cow, fmt};

use serde::de::{Deserialize, Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::packet::{Data, Json};
use crate::json;

/// This is not JSON.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// The channel and the argument.
pub(super) fn read(text: &str) -> Result<(String, Data), Broken> {
    let text = json::tidy(text);
    let Event(channel, argument) = serde_json::from_str(&text).map_err(|_| Broken)?;
    let data = match argument {
        None => Data::Missing,
        // Numbers beyond all bounds and towers of brackets are JSON all the same.
        Some(raw) if !json::is_sound(raw.get()) => Data::Unreadable,
        Some(raw) => Data::Json(Json::from(raw)),
    };
    Ok((channel, data))
}

/// The channel alone, without a look at the rest.
pub(super) fn read_channel(text: &str) -> Option<String> {
    let first = text.trim_start().strip_prefix('[')?;
    let mut values = serde_json::Deserializer::from_str(first).into_iter::<Cow<'_, str>>();
    values.next()?.ok().map(Cow::into_owned)
}

struct Event(String, Option<Box<RawValue>>);

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
        let raw = |text: &str| Ok(Data::Json(crate::json::owned(text).unwrap().into()));
        let deep = format!("[\"a\",{}{}]", "[".repeat(500), "]".repeat(500));
        let table = [
            (r#"["a"]"#, Ok(Data::Missing)),
            (r#"["a",null]"#, Ok(Data::Json(json!(null).into()))),
            (r#"["a",[1,2]]"#, Ok(Data::Json(json!([1, 2]).into()))),
            (r#"["a",{"b":"é"},3,"more"]"#, Ok(Data::Json(json!({"b": "é"}).into()))),
            (r#" [ "a" , "\ud83d\ude00" ] "#, raw(r#""\ud83d\ude00""#)),
            (r#"["a","\\ud83d \ud83d\" \ude00x"]"#, raw(r#""\\ud83d �\" �x""#)),
            (r#"["a","\ud83d\ud83d\ude00"]"#, raw(r#""�\ud83d\ude00""#)),
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
                let _ = (read(&text), read_channel(&text));
            }
        }
    }
}
