//! Origins of pages, written as browsers name them in `Origin`.
//!
//! Whatever no browser would ever send is refused at the start: it would let nobody in.

use std::net::Ipv6Addr;

use serde::de::{Deserializer, Error as _, Unexpected};
use serde::{Deserialize, Serialize};

/// What an operator may write.
const ALLOWED: &str = "a list of origins as browsers send them, such as https://chat.example.org, \
                       http://localhost:3000, capacitor://localhost, null or *, with neither a path \
                       nor a pattern";

/// Origins of pages that may do something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Origins(Vec<String>);

impl Origins {
    /// Whether none is named, which stands for all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether pages of this origin may: it is named, or all are.
    pub fn allow(&self, origin: &str) -> bool {
        self.allow_all() || self.0.iter().any(|named| named.eq_ignore_ascii_case(origin))
    }

    /// Whether all may: none is named, or `*` is.
    pub fn allow_all(&self) -> bool {
        self.0.is_empty() || self.0.iter().any(|named| named == "*")
    }

    /// Those whose pages may lean on cookies: each by its own name. `*` does not make
    /// everybody trusted, and any page can make itself one of origin `null`.
    pub fn named(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str).filter(|named| !matches!(*named, "*" | "null"))
    }

    /// All of them; none if all may.
    pub fn listed(&self) -> Vec<String> {
        if self.allow_all() { Vec::new() } else { self.0.clone() }
    }
}

impl<'de> Deserialize<'de> for Origins {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = |text: &String| {
            canonical(text).ok_or_else(|| D::Error::invalid_value(Unexpected::Str(text), &ALLOWED))
        };
        let texts = Vec::<String>::deserialize(deserializer)?;
        Ok(Self(texts.iter().map(read).collect::<Result<_, _>>()?))
    }
}

/// An origin as browsers write it: in lower case, and without the port that goes without
/// saying; none if it is no origin.
pub(super) fn canonical(text: &str) -> Option<String> {
    if matches!(text, "*" | "null") {
        return Some(text.to_owned());
    }
    let (scheme, authority) = text.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    if !is_scheme {
        return None;
    }
    let usual = match scheme.as_str() {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    };
    if authority.is_empty() {
        // As some web views name the pages of an app; on the web every page has a host.
        return usual.is_none().then(|| format!("{scheme}://"));
    }
    let (host, port) = match authority.rsplit_once(':') {
        // An address in brackets has colons of its own.
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let host = canonical_host(host)?;
    let port = match port {
        Some(port) if port.bytes().all(|b| b.is_ascii_digit()) => {
            Some(port.parse::<u16>().ok().filter(|port| *port > 0)?)
        }
        Some(_) => return None,
        None => None,
    };
    let port = port.filter(|port| Some(*port) != usual).map(|port| format!(":{port}"));
    Some(format!("{scheme}://{host}{}", port.unwrap_or_default()))
}

fn canonical_host(host: &str) -> Option<String> {
    if let Some(address) = host.strip_prefix('[') {
        let address: Ipv6Addr = address.strip_suffix(']')?.parse().ok()?;
        return Some(format!("[{address}]"));
    }
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    (!host.is_empty() && host.bytes().all(fits)).then(|| host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_read_as_browsers_write_it() {
        let table = [
            ("https://chat.example.org", Some("https://chat.example.org")),
            ("https://Chat.Example.org:443", Some("https://chat.example.org")),
            ("http://localhost:80", Some("http://localhost")),
            ("http://localhost:3000", Some("http://localhost:3000")),
            ("https://chat.example.org:80", Some("https://chat.example.org:80")),
            ("http://127.0.0.1:8000", Some("http://127.0.0.1:8000")),
            ("http://[0::1]:8000", Some("http://[::1]:8000")),
            ("http://[::1]", Some("http://[::1]")),
            ("capacitor://localhost", Some("capacitor://localhost")),
            ("ionic://localhost", Some("ionic://localhost")),
            ("tauri://localhost", Some("tauri://localhost")),
            ("app://.", Some("app://.")),
            ("app://-", Some("app://-")),
            ("file://", Some("file://")),
            ("app://", Some("app://")),
            ("chrome-extension://abcdefghijklmnop", Some("chrome-extension://abcdefghijklmnop")),
            ("https://xn--ktzchen-5wa.example", Some("https://xn--ktzchen-5wa.example")),
            ("*", Some("*")),
            ("null", Some("null")),
            ("http://localhost:*", None),
            ("https://*.example.org", None),
            ("https://*", None),
            ("*://localhost", None),
            ("*:*", None),
            ("localhost", None),
            ("localhost:3000", None),
            ("chat.example.org", None),
            ("//chat.example.org", None),
            ("://chat.example.org", None),
            ("https://", None),
            ("https:///", None),
            ("https://chat.example.org/", None),
            ("https://chat.example.org/chat", None),
            ("https://chat.example.org?x", None),
            ("https://chat.example.org#x", None),
            ("https://me@chat.example.org", None),
            ("https://chat example.org", None),
            (" https://chat.example.org", None),
            ("https://chat.example.org:", None),
            ("https://chat.example.org:0", None),
            ("https://chat.example.org:65536", None),
            ("https://chat.example.org:+80", None),
            ("https://:443", None),
            ("https://[::1", None),
            ("https://[chat]", None),
            ("https://::1", None),
            ("https://kätzchen.example", None),
            ("^https://.*$", None),
            ("https://a.example,https://b.example", None),
            ("Null", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(canonical(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn who_may_is_named_or_everybody() {
        let read = |text: &str| serde_json::from_str::<Origins>(text).unwrap();
        let some = read(r#"["https://Chat.example:443", "app://.", "null"]"#);
        for (origin, may) in [
            ("https://chat.example", true),
            ("https://CHAT.example", true),
            ("app://.", true),
            ("null", true),
            ("https://chat.example:8443", false),
            ("http://chat.example", false),
            ("https://chat.example.evil", false),
            ("app://", false),
            ("", false),
        ] {
            assert_eq!(some.allow(origin), may, "{origin}");
        }
        assert_eq!(some.named().collect::<Vec<_>>(), ["https://chat.example", "app://."]);
        for all in [read("[]"), read(r#"["*"]"#), read(r#"["https://a.example", "*"]"#)] {
            assert!(all.allow("https://b.example") && all.allow("null") && all.allow_all());
            assert!(all.listed().is_empty() && !all.named().any(|named| named == "*"));
        }
    }
}
