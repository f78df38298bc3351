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
        for (key, value) in pairs(uri) {
            match key {
                "EIO" => query.is_version_3 = value == "3",
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

/// The address with the version that clients mean who name none; `None` if one is named.
pub(super) fn with_version(uri: &Uri) -> Option<Uri> {
    if pairs(uri).any(|(key, _)| key == "EIO") {
        return None;
    }
    let address = format!("{}?EIO=3&{}", uri.path(), uri.query().unwrap_or_default());
    address.parse().ok()
}

fn pairs(uri: &Uri) -> impl Iterator<Item = (&str, &str)> {
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
    fn who_names_no_version_means_the_third() {
        let bare: Uri = "/socket.io/?transport=polling".parse().unwrap();
        assert_eq!(with_version(&bare).unwrap(), "/socket.io/?EIO=3&transport=polling");
        let named: Uri = "/socket.io/?transport=polling&EIO=4".parse().unwrap();
        assert_eq!(with_version(&named), None);
    }

    proptest::proptest! {
        #[test]
        fn no_address_makes_it_panic(query in "[ -~]{0,60}", sid in "[ -~é]{0,20}") {
            for query in [query, format!("EIO=4&sid={sid}"), format!("j={sid}&b64={sid}")] {
                if let Ok(uri) = format!("/socket.io/?{query}").parse::<Uri>() {
                    let _ = (Query::of(&uri), with_version(&uri));
                }
            }
        }
    }
}
