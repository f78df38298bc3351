//! The page that shows what was said and what was read.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::Value;

/// What one listener read.
pub(super) struct Row {
    listener: &'static str,
    frames: Vec<Value>,
}

impl Row {
    pub(super) fn new(listener: &'static str, frames: Vec<Value>) -> Self {
        let told = frames.into_iter().filter(|frame| !is_arrival(frame)).map(scrubbed);
        Self { listener, frames: told.collect() }
    }
}

/// Marks of delivery come when connections prove it, and have a place of their own.
fn is_arrival(frame: &Value) -> bool {
    frame["type"] == "delivered"
}

/// Whether a frame tells that somebody came, or went.
pub(super) fn is_presence(frame: &Value, online: bool) -> bool {
    let neo = frame[0] == "presence" && frame[1]["online"] == online;
    let raw = frame["type"] == "presence" && frame["online"] == online;
    let dialog = frame["type"] == if online { "gone-online" } else { "gone-offline" };
    let room = frame["msg_type"] == if online { 4 } else { 5 };
    neo || raw || dialog || room
}

/// The page as it grows.
pub(super) struct Page {
    text: String,
}

impl Page {
    pub(super) fn new() -> Self {
        let text = "# Rosetta\n\n\
            What is said in one dialect, and what is read in the others. This page is written by\n\
            the test `rosetta` and fails it when it is not current. Numbers and dates stand as\n\
            `<…>`; every connection has asked for all that its dialect offers. Ann speaks, Bob\n\
            listens.\n";
        Self { text: text.to_owned() }
    }

    /// Where the following happens.
    pub(super) fn place(&mut self, is_pair: bool) {
        let heading = if is_pair { "In a conversation of two" } else { "In a group" };
        let _ = write!(self.text, "\n## {heading}\n");
    }

    /// Something that is done, and what comes of it.
    pub(super) fn deed(&mut self, speaker: &str, deed: &str, own: &[Value], rows: Vec<Row>) {
        let _ = write!(self.text, "\n### {speaker} {deed}\n\n| who | reads |\n| --- | --- |\n");
        let own: Vec<_> = own
            .iter()
            .filter(|frame| !is_arrival(frame) || rows.is_empty())
            .cloned()
            .map(scrubbed)
            .collect();
        if !own.is_empty() {
            self.row(&format!("{speaker} itself"), &own);
        }
        for Row { listener, frames } in rows {
            self.row(listener, &frames);
        }
    }

    fn row(&mut self, who: &str, frames: &[Value]) {
        let shown: Vec<_> = frames
            .iter()
            .map(|frame| format!("`{}`", frame.to_string().replace('|', "\\|")))
            .collect();
        let shown = if shown.is_empty() { "–".to_owned() } else { shown.join("<br>") };
        let _ = writeln!(self.text, "| {who} | {shown} |");
    }

    /// Compares it with the page that is kept, or writes that.
    pub(super) fn check(&self) {
        let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/rosetta.md");
        if std::env::var_os("KLATSCH_UPDATE").is_some() {
            std::fs::write(&file, &self.text).unwrap();
        }
        let kept = std::fs::read_to_string(&file).unwrap_or_default();
        let differs = kept.lines().zip(self.text.lines()).find(|(kept, now)| kept != now);
        assert!(
            kept == self.text,
            "docs/rosetta.md is not current (KLATSCH_UPDATE=1 writes it anew), first at {differs:?}"
        );
    }
}

/// Keys whose numbers differ from run to run.
const NUMBERS: [&str; 14] = [
    "id",
    "message_id",
    "conversation_id",
    "conv_id",
    "chat_id",
    "member_id",
    "user_id",
    "sender_id",
    "link_id",
    "seq",
    "revision",
    "room",
    "media_id",
    "smile_id",
];

/// The same frame with `<…>` in the place of numbers and dates.
pub(super) fn scrubbed(frame: Value) -> Value {
    match frame {
        Value::Object(map) => map
            .into_iter()
            .map(|(key, value)| {
                let value = match value {
                    Value::Number(_) if NUMBERS.contains(&key.as_str()) => hidden(&key),
                    Value::String(text) if key == "room" && text.parse::<i64>().is_ok() => {
                        hidden(&key)
                    }
                    Value::Array(ids) if key == "message_id" => {
                        ids.iter().map(|_| hidden("id")).collect()
                    }
                    other => scrubbed(other),
                };
                (key, value)
            })
            .collect(),
        Value::Array(items) => items.into_iter().map(scrubbed).collect(),
        Value::String(text) => Value::String(undated(&text)),
        other => other,
    }
}

fn hidden(key: &str) -> Value {
    Value::String(format!("<{key}>"))
}

/// Puts `<date>` and `<uuid>` where they stand in a text, alone or in an address.
fn undated(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    'next: while !rest.is_empty() {
        for (pattern, name) in [
            ("9999-99-99T99:99:99", "<date>"),
            ("9999-99-99 99:99:99", "<date>"),
            ("99.99.9999 99:99:99", "<date>"),
            ("xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx", "<uuid>"),
        ] {
            if let Some(found) = rest.get(..pattern.len())
                && fits(found, pattern)
            {
                shown.push_str(name);
                let tail = &rest[pattern.len()..];
                let fraction = tail.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
                rest = fraction.strip_prefix('Z').unwrap_or(fraction);
                continue 'next;
            }
        }
        let first = rest.chars().next().unwrap_or_default();
        shown.push(first);
        rest = &rest[first.len_utf8()..];
    }
    shown
}

fn fits(text: &str, pattern: &str) -> bool {
    text.bytes().zip(pattern.bytes()).all(|(byte, wanted)| match wanted {
        b'9' => byte.is_ascii_digit(),
        b'x' => byte.is_ascii_hexdigit(),
        other => byte == other,
    })
}
