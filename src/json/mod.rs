//! JSON of clients, read without holding more of it than is asked for.
//!
//! A tree of values takes fifty times the size of its text and more, and it is strangers who
//! choose the text. So an object is read for the keys that its reader declares, each kept as
//! its JSON text; everything else is passed over. What several clients get wrong and mean well
//! is taken the same way everywhere: a byte order mark, half of a character, `1.0` for `1`.

mod number;
mod object;
mod sound;
mod text;

pub use number::integer;
pub use object::{Object, visit};
pub use sound::is_sound;
pub use text::tidy;

use serde_json::value::RawValue;

/// A string.
pub fn string(raw: &RawValue) -> Option<String> {
    if !raw.get().starts_with('"') {
        return None;
    }
    // Keys are not looked at for halves of characters in texts that nobody has tidied.
    serde_json::from_str(&tidy(raw.get())).ok()
}

/// A boolean.
pub fn boolean(raw: &RawValue) -> Option<bool> {
    match raw.get() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// Whether it is `null`.
pub fn is_null(raw: &RawValue) -> bool {
    raw.get() == "null"
}

/// The first elements of a list, one more than `most` at most, so that a reader can tell that
/// there are too many.
pub fn list(raw: &RawValue, most: usize) -> Option<Vec<&RawValue>> {
    object::elements(raw.get(), most.saturating_add(1))
}

/// A piece of JSON in an allocation of its own.
pub fn owned(text: &str) -> Option<Box<RawValue>> {
    RawValue::from_string(text.to_owned()).ok()
}
