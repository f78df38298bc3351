//! Texts as clients cut and save them.

use std::borrow::Cow;

/// What some programs put before a text in UTF-8.
const BYTE_ORDER_MARK: char = '\u{FEFF}';

/// JSON without a byte order mark and, in place of halves of characters, with the sign that
/// stands for what cannot be shown.
pub fn tidy(text: &str) -> Cow<'_, str> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    without_lone_surrogates(text).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// Replaces the halves of characters that some clients send when they shorten a text.
fn without_lone_surrogates(text: &str) -> Option<String> {
    if !text.contains("\\ud") && !text.contains("\\uD") {
        return None;
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_of_characters_and_marks_are_replaced() {
        let table = [
            ("\u{FEFF}{}", "{}"),
            ("\u{FEFF}\u{FEFF}{}", "\u{FEFF}{}"),
            (r#""\ud83d\ude00""#, r#""\ud83d\ude00""#),
            (r#""cut \ud83d""#, r#""cut \u{FFFD}""#),
            (r#""\uDE00x""#, r#""\u{FFFD}x""#),
            (r#""\\ud83d""#, r#""\\ud83d""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\u{FFFD}\ud83d\ude00""#),
            (r#""\ud8"#, r#""\ud8"#),
        ];
        for (text, tidied) in table {
            let tidied = tidied.replace(r"\u{FFFD}", "\u{FFFD}");
            assert_eq!(tidy(text), tidied, "{text}");
        }
    }
}
