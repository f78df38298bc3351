//! Binary frames: `!`, a JSON object, `#`, and the bytes of a file.
//!
//! A JSON parser says where the object ends: `#` and `}` may stand in its strings, and every
//! byte in the file. The checks go in the order of the page (6.2).

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::ChatManners;
use super::codec::{self, KEYS, Wrong, reference_in};
use crate::domain::{ClientRef, Text};
use crate::json::{self, Object};

/// Bytes a name may have.
const NAME: usize = 255;
/// Characters a type may have.
const MIME: usize = 127;
/// What some programs put before a text in UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{FEFF}".as_bytes();
/// What stands for every type that is not said well.
const ANYTHING: &str = "application/octet-stream";

/// A file with what was said about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) bytes: Bytes,
    pub(super) name: String,
    pub(super) mime: String,
    pub(super) text: Text,
    pub(super) reference: Option<ClientRef>,
}

/// The keys of the object before the file, with their types checked.
#[derive(Default)]
struct Head {
    name: String,
    size: Option<u64>,
    mime: String,
    text: String,
    reference: Option<ClientRef>,
}

/// Reads a frame.
pub(super) fn read(frame: &Bytes, manners: &ChatManners) -> Result<Sent, Wrong> {
    let (head, start) = split(frame, manners.max_head_bytes).ok_or_else(|| bad("", None))?;
    let keys = Object::read(&head, &KEYS).ok_or_else(|| bad("", None))?;
    let reference = reference_in(&keys).ok().flatten();
    let head = Head::read(&keys).map_err(|key| bad(key, reference))?;
    let bytes = frame.slice(start..);
    match check(&head, &bytes, manners) {
        Ok(text) => Ok(Sent {
            bytes,
            name: tidy(&head.name),
            mime: mime(&head.mime),
            text,
            reference: head.reference,
        }),
        Err(wrong) => Err(wrong.to(head.reference)),
    }
}

/// The client's own name for a frame that is not read otherwise.
pub(super) fn reference(frame: &Bytes, manners: &ChatManners) -> Option<ClientRef> {
    let (head, _) = split(frame, manners.max_head_bytes)?;
    reference_in(&Object::read(&head, &KEYS)?).ok().flatten()
}

fn check(head: &Head, bytes: &Bytes, manners: &ChatManners) -> Result<Text, Wrong> {
    if bytes.len() > manners.max_file_bytes {
        return Err(too_large(manners));
    }
    let received = bytes.len() as u64;
    if let Some(declared) = head.size.filter(|declared| *declared != received) {
        let text = format!("The file has {received} bytes, and {declared} were declared.");
        let wrong = Wrong::new("file_size_mismatch", text);
        return Err(wrong.with("declared", declared).with("received", received));
    }
    if bytes.is_empty() {
        return Err(Wrong::new("empty_file", "The file has no bytes."));
    }
    let text = codec::limited(head.text.clone(), manners)?;
    let mime = mime(&head.mime);
    let allowed = &manners.allowed_types;
    if !allowed.is_empty() && !allowed.iter().any(|one| one.eq_ignore_ascii_case(&mime)) {
        let text = format!("Files of the type {mime} are not allowed.");
        return Err(Wrong::new("file_type_not_allowed", text));
    }
    Ok(text)
}

pub(super) fn too_large(manners: &ChatManners) -> Wrong {
    let limit = manners.max_file_bytes;
    let text = format!("A file may have at most {limit} bytes.");
    Wrong::new("file_too_large", text).with("limit", limit)
}

fn bad(key: &str, reference: Option<ClientRef>) -> Wrong {
    let text = match key {
        "" => {
            "A binary frame must be `!`, a JSON object, `#` and the bytes of the file.".to_owned()
        }
        key => format!("In the head of a file, {key} is of the wrong type."),
    };
    Wrong::new("bad_file_frame", text).to(reference)
}

/// The object, and where the file begins.
fn split(frame: &[u8], most: usize) -> Option<(Cow<'_, str>, usize)> {
    let behind = frame.strip_prefix(b"!")?;
    let window = &behind[..behind.len().min(most)];
    let mark = if window.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
    let window = &window[mark..];
    let mut values = serde_json::Deserializer::from_slice(window).into_iter::<&RawValue>();
    let head = json::tidy(values.next()?.ok()?.get());
    let end = 1 + mark + values.byte_offset();
    let blank = frame[end..].iter().take_while(|byte| b" \t\r\n".contains(byte)).count();
    let mark = end + blank;
    (frame.get(mark) == Some(&b'#')).then_some((head, mark + 1))
}

impl Head {
    /// The keys, or the first that is of the wrong type.
    fn read(keys: &Object<'_>) -> Result<Self, &'static str> {
        let reference = reference_in(keys).map_err(|()| "client_ref")?;
        let text = |key: &'static str| match keys.get(key) {
            Some(raw) => json::string(raw).ok_or(key),
            None => Ok(String::new()),
        };
        let (name, mime, words) = (text("name")?, text("type")?, text("text")?);
        let size = |raw| json::integer(raw).and_then(|size| u64::try_from(size).ok());
        let size = keys.get("size").map(|raw| size(raw).ok_or("size")).transpose()?;
        Ok(Self { name, size, mime, text: words, reference })
    }
}

/// A file's name without path and control characters, at most 255 bytes long.
fn tidy(raw: &str) -> String {
    let last = raw.rsplit(['/', '\\']).next().unwrap_or_default();
    let mut name: String = last.chars().filter(|c| !c.is_control()).collect();
    name.truncate(name.floor_char_boundary(NAME));
    if name.is_empty() { "file".to_owned() } else { name }
}

/// A type as it is served.
fn mime(raw: &str) -> String {
    let token = |text: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "!#$&-^_.+".contains(c);
        !text.is_empty() && text.chars().all(plain)
    };
    let known = raw.len() <= MIME
        && raw.split_once('/').is_some_and(|(kind, subtype)| token(kind) && token(subtype));
    if known { raw.to_ascii_lowercase() } else { ANYTHING.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lose_paths_and_controls_and_end_at_a_character() {
        let long = format!("{}ü", "x".repeat(254));
        let table = [
            ("cat #1.png", "cat #1.png"),
            ("../../etc/passwd", "passwd"),
            ("C:\\pictures\\cat.png", "cat.png"),
            ("a\u{7}b\n.txt", "ab.txt"),
            ("котик.png", "котик.png"),
            ("", "file"),
            ("a/", "file"),
            ("\u{1}", "file"),
            (&long, &long[..254]),
        ];
        for (raw, name) in table {
            assert_eq!(tidy(raw), name, "{raw:?}");
        }
    }

    #[test]
    fn types_that_are_none_become_the_most_general_one() {
        let long = format!("image/{}", "x".repeat(122));
        let table = [
            ("image/png", "image/png"),
            ("Image/PNG", "image/png"),
            ("image/svg+xml", "image/svg+xml"),
            ("", ANYTHING),
            ("image", ANYTHING),
            ("image/", ANYTHING),
            ("/png", ANYTHING),
            ("a/b/c", ANYTHING),
            ("text/html; charset=x", ANYTHING),
            ("text/html\r\nx: y", ANYTHING),
            (&long, ANYTHING),
        ];
        for (raw, known) in table {
            assert_eq!(mime(raw), known, "{raw:?}");
        }
    }
}
