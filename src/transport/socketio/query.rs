//! The query of an Engine.IO request, as far as this side of the library has to know it.

use http::Uri;
use socketioxide::socket::Sid;

/// What a request says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Query<'a> {
    pub(super) is_version_3: bool,
    pub(super) is_websocket: bool,
    pub(super) session: Session,
    /// The client takes no bytes.
    pub(super) is_base64: bool,
    /// The client takes nothing but scripts; the number of its callback.
    pub(super) jsonp: Option<&'a str>,
}

/// The session a request belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Session {
    /// It begins one.
    #[default]
    New,
    /// One that may exist.
    Of(Sid),
    /// One that cannot exist.
    Nonsense,
}

impl<'a> Query<'a> {
    pub(super) const fn sid(&self) -> Option<Sid> {
        match self.session {
            Session::Of(sid) => Some(sid),
            Session::New | Session::Nonsense => None,
        }
    }

    pub(super) fn of(uri: &'a Uri) -> Self {
        let mut query = Self::default();
        // What is said twice counts as it was said first, as the library reads it.
        for (key, value) in pairs(uri).rev() {
            match key {
                "EIO" => query.is_version_3 = value != "4",
                "transport" => query.is_websocket = value == "websocket",
                "sid" => query.session = value.parse().map_or(Session::Nonsense, Session::Of),
                "b64" => query.is_base64 = value == "1" || value == "true",
                "j" => query.jsonp = Some(value).filter(|j| is_number(j)),
                _ => {}
            }
        }
        query
    }
}

/// The address as the library reads it: all that is not the fourth version is spoken to as
/// the third, and an empty session is none. `None` if nothing has to be changed.
pub(super) fn normalised(uri: &Uri) -> Option<Uri> {
    let version = pairs(uri).find(|(key, _)| *key == "EIO").map(|(_, version)| version);
    let is_known = matches!(version, Some("3" | "4"));
    if is_known && !pairs(uri).any(|pair| pair == ("sid", "")) {
        return None;
    }
    let mut address = format!("{}?EIO={}", uri.path(), version.filter(|_| is_known).unwrap_or("3"));
    for pair in uri.query().unwrap_or_default().split('&') {
        if !pair.is_empty() && !pair.starts_with("EIO=") && pair != "sid=" {
            address.push('&');
            address.push_str(pair);
        }
    }
    address.parse().ok()
}

/// The token in the query of a handshake, for clients that can say it nowhere else.
pub(super) fn token(uri: &Uri) -> Option<String> {
    let (_, token) = pairs(uri).find(|(key, token)| *key == "token" && !token.is_empty())?;
    Some(percent_encoding::percent_decode_str(token).decode_utf8_lossy().into_owned())
}

fn pairs(uri: &Uri) -> impl DoubleEndedIterator<Item = (&str, &str)> {
    uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='))
}

fn is_number(text: &str) -> bool {
    (1..=10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read() {
        let uri: Uri =
            "/socket.io/?EIO=3&transport=polling&b64=1&j=12&sid=aaaaaaaaaaaaaaaa".parse().unwrap();
        let query = Query::of(&uri);
        assert!(query.is_version_3 && query.is_base64 && !query.is_websocket);
        assert_eq!(query.jsonp, Some("12"));
        assert_eq!(query.sid().unwrap().as_str(), "aaaaaaaaaaaaaaaa");
        let uri: Uri = "/socket.io/?EIO=4&transport=websocket&j=1);x(&sid=short".parse().unwrap();
        let expected = Query { is_websocket: true, session: Session::Nonsense, ..Query::default() };
        assert_eq!(Query::of(&uri), expected);
    }

    #[test]
    fn addresses_are_made_readable() {
        let table = [
            ("transport=polling", Some("EIO=3&transport=polling")),
            ("EIO=2&transport=polling", Some("EIO=3&transport=polling")),
            ("transport=polling&EIO=1&b64=1", Some("EIO=3&transport=polling&b64=1")),
            ("EIO=&t=1", Some("EIO=3&t=1")),
            ("EIO=4&sid=&transport=polling", Some("EIO=4&transport=polling")),
            ("EIO=4&sid=&sid=abc", Some("EIO=4&sid=abc")),
            ("", Some("EIO=3")),
            ("transport=polling&EIO=4", None),
            ("EIO=3&sid=abc", None),
        ];
        for (query, expected) in table {
            let uri: Uri = format!("/socket.io/?{query}").parse().unwrap();
            let expected = expected.map(|query| format!("/socket.io/?{query}"));
            assert_eq!(normalised(&uri).map(|uri| uri.to_string()), expected, "{query}");
        }
    }

    #[test]
    fn tokens_are_found() {
        let table = [
            ("EIO=3&token=a.b%2Ec", Some("a.b.c")),
            ("EIO=3&token=", None),
            ("EIO=3&token", None),
            ("EIO=3&tokens=a", None),
        ];
        for (query, expected) in table {
            let uri: Uri = format!("/socket.io/?{query}").parse().unwrap();
            assert_eq!(token(&uri).as_deref(), expected, "{query}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_address_makes_it_panic(query in "[ -~]{0,60}", sid in "[ -~é]{0,20}") {
            for query in [query, format!("EIO=4&sid={sid}"), format!("j={sid}&b64={sid}")] {
                if let Ok(uri) = format!("/socket.io/?{query}").parse::<Uri>() {
                    let _ = (Query::of(&uri), normalised(&uri), token(&uri));
                }
            }
        }
    }
}
