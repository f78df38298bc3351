//! The payloads of Engine.IO 3 polling, as clients of 2014 to 2020 read and write them.
//!
//! A text payload is a row of `length:packet`, counted in UTF-16 units. Clients of the 1.x
//! line encode their text twice and read nothing but the binary payload; later ones take both.

use std::fmt::Write;

use bytes::Bytes;

/// The packets of a text payload; `None` if it is none.
pub(super) fn split(payload: &str) -> Option<Vec<&str>> {
    let mut packets = Vec::new();
    let mut rest = payload;
    while !rest.is_empty() {
        let (digits, behind) =
            rest.split_at_checked(rest.bytes().take(10).position(|b| b == b':')?)?;
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return None;
        }
        let (packet, after) = split_units(&behind[1..], digits.parse().ok()?)?;
        packets.push(packet);
        rest = after;
    }
    (!packets.is_empty()).then_some(packets)
}

/// Splits behind a number of UTF-16 units.
fn split_units(text: &str, units: usize) -> Option<(&str, &str)> {
    // No character is shorter in bytes than in units.
    if text.as_bytes().get(..units)?.is_ascii() {
        return text.split_at_checked(units);
    }
    let mut seen = 0;
    for (at, character) in text.char_indices() {
        if seen >= units {
            return (seen == units).then(|| text.split_at(at));
        }
        seen += character.len_utf16();
    }
    (seen == units).then_some((text, ""))
}

/// What a POST holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Posted {
    /// Each packet with its length in front.
    pub(super) packets: Vec<Bytes>,
    /// Whether this client has shown that it does not encode twice.
    pub(super) is_plain: bool,
}

/// Reads the body of a POST. Unless the client `is_plain`, text that can have been encoded
/// twice is decoded once more.
pub(super) fn read_post(body: &str, is_plain: bool) -> Option<Posted> {
    let packets = split(body)?;
    if is_plain || body.is_ascii() {
        return Some(Posted { packets: packets.into_iter().map(measured).collect(), is_plain });
    }
    let decoded: Option<Vec<String>> = packets.iter().copied().map(decode_twice).collect();
    Some(match decoded {
        Some(decoded) => Posted {
            packets: decoded.iter().map(|packet| measured(packet)).collect(),
            is_plain: false,
        },
        None => Posted { packets: packets.into_iter().map(measured).collect(), is_plain: true },
    })
}

/// Undoes the second of two encodings; `None` if there were not two.
fn decode_twice(packet: &str) -> Option<String> {
    let bytes: Result<Vec<u8>, _> = packet.chars().map(|c| u8::try_from(u32::from(c))).collect();
    String::from_utf8(bytes.ok()?).ok()
}

/// A packet with its length in front.
fn measured(packet: &str) -> Bytes {
    let units: usize = packet.chars().map(char::len_utf16).sum();
    Bytes::from(format!("{units}:{packet}"))
}

/// The binary payload, which every client reads that can take bytes.
pub(super) fn to_binary(packets: &[&str]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(packets.iter().map(|packet| packet.len() + 12).sum());
    for packet in packets {
        payload.push(0);
        payload.extend(packet.len().to_string().bytes().map(|digit| digit - b'0'));
        payload.push(0xFF);
        payload.extend_from_slice(packet.as_bytes());
    }
    payload
}

/// The text payload in nothing but ASCII, for clients that cannot take bytes. All text stands
/// in JSON strings, where an escape means the same.
pub(super) fn to_ascii(packets: &[&str]) -> String {
    let mut payload = String::new();
    for packet in packets {
        let packet = escaped(packet);
        payload.push_str(&packet.len().to_string());
        payload.push(':');
        payload.push_str(&packet);
    }
    payload
}

fn escaped(packet: &str) -> String {
    let mut ascii = String::with_capacity(packet.len());
    for character in packet.chars() {
        if character.is_ascii() {
            ascii.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            write!(ascii, "\\u{unit:04x}").expect("a string takes everything");
        }
    }
    ascii
}

/// An ASCII payload as a script that calls the client back.
pub(super) fn to_script(payload: &str, callback: &str) -> String {
    let text = serde_json::Value::from(payload);
    format!("___eio[{callback}]({text});")
}

/// The payload in the form that a client without any other way posts.
pub(super) fn from_form(body: &str) -> Option<String> {
    let data = body.split('&').find_map(|field| field.strip_prefix("d="))?.replace('+', " ");
    let data = percent_encoding::percent_decode_str(&data).decode_utf8().ok()?;
    // The client has doubled the backslash of each `\n` and written line ends as `\n`.
    let mut payload = String::with_capacity(data.len());
    let mut rest = &*data;
    while let Some(at) = rest.find('\\') {
        payload.push_str(&rest[..at]);
        let (text, len) = match &rest[at..] {
            escape if escape.starts_with("\\\\n") => ("\\n", 3),
            escape if escape.starts_with("\\n") => ("\n", 2),
            _ => ("\\", 1),
        };
        payload.push_str(text);
        rest = &rest[at + len..];
    }
    payload.push_str(rest);
    Some(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_payloads_are_split_by_units() {
        let table: [(&str, Option<&[&str]>); 12] = [
            ("1:2", Some(&["2"])),
            ("2:4é3:4😀6:4hello", Some(&["4é", "4😀", "4hello"])),
            ("2:403:4😀", Some(&["40", "4😀"])),
            ("0:1:2", Some(&["", "2"])),
            ("2:4😀", None),
            ("5:4a", None),
            ("ok", None),
            ("", None),
            (":4a", None),
            ("-1:4", None),
            ("+1:4", None),
            ("99999999999:4", None),
        ];
        for (payload, packets) in table {
            assert_eq!(split(payload).as_deref(), packets, "{payload}");
        }
    }

    fn packets(posted: &Posted) -> Vec<&str> {
        posted.packets.iter().map(|packet| std::str::from_utf8(packet).unwrap()).collect()
    }

    #[test]
    fn posts_are_read_as_their_clients_write_them() {
        let table: [(&str, bool, &[&str], bool); 7] = [
            ("2:4a", false, &["2:4a"], false),
            // Encoded twice.
            ("3:4Ã©2:4a", false, &["2:4é", "2:4a"], false),
            ("5:4ð\u{9f}\u{98}\u{80}", false, &["3:4😀"], false),
            // One packet that cannot have been encoded twice proves a plain client.
            ("3:4Ã©2:4é", false, &["3:4Ã©", "2:4é"], true),
            ("3:4日本", false, &["3:4日本"], true),
            ("3:4Ã©", true, &["3:4Ã©"], true),
            ("2:4a", true, &["2:4a"], true),
        ];
        for (body, was_plain, expected, is_plain) in table {
            let posted = read_post(body, was_plain).unwrap();
            assert_eq!(
                (packets(&posted).as_slice(), posted.is_plain),
                (expected, is_plain),
                "{body}"
            );
        }
        assert_eq!(read_post("hello", false), None);
    }

    #[test]
    fn payloads_are_written_in_each_form() {
        let packets = ["40", "42[\"é😀\"]"];
        assert_eq!(
            to_binary(&packets),
            [b"\x00\x02\xff40\x00\x01\x02\xff".as_slice(), packets[1].as_bytes()].concat()
        );
        let ascii = to_ascii(&packets);
        assert_eq!(ascii, r#"2:4024:42["\u00e9\ud83d\ude00"]"#);
        assert_eq!(to_script(&ascii, "7"), r#"___eio[7]("2:4024:42[\"\\u00e9\\ud83d\\ude00\"]");"#);
    }

    #[test]
    fn forms_are_read() {
        let table = [
            ("d=2%3A40", Some("2:40")),
            ("x=1&d=a+b%2Bc", Some("a b+c")),
            (r"d=a\nb", Some("a\nb")),
            (r"d=a\\nb", Some(r"a\nb")),
            (r"d=%22a\%22", Some(r#""a\""#)),
            ("d=%C3%A9", Some("é")),
            ("d=%FF", None),
            ("a=1", None),
        ];
        for (body, payload) in table {
            assert_eq!(from_form(body).as_deref(), payload, "{body}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_body_makes_a_reader_panic(body in "[0-9:é😀a\\\\+%d=&]{0,40}", any in ".{0,60}") {
            for body in [&body, &any] {
                let _ = (read_post(body, false), read_post(body, true), from_form(body));
                if let Some(packets) = split(body) {
                    let units = |text: &str| text.encode_utf16().count();
                    assert!(packets.iter().map(|packet| units(packet)).sum::<usize>() < units(body));
                }
            }
        }

        #[test]
        fn what_is_written_is_read_again(packets in proptest::collection::vec("\\PC{0,20}", 1..5)) {
            let packets: Vec<_> = packets.iter().map(String::as_str).collect();
            let mut written = String::new();
            for packet in &packets {
                write!(written, "{}:{packet}", packet.encode_utf16().count()).unwrap();
            }
            assert_eq!(split(&written), Some(packets.clone()));
            assert!(split(&to_ascii(&packets)).is_some_and(|read| read.len() == packets.len()));
        }
    }
}
