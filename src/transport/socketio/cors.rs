//! Which pages may talk to us, and what their browsers want to hear about it.
//!
//! Old clients always ask with credentials, so the origin is reflected; nothing on this path
//! is authorized by a cookie.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

/// The origin of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// Not a browser, or a page of our own.
    None,
    /// A page that may.
    Allowed(HeaderValue),
    /// A page that may not.
    Foreign,
}

impl Origin {
    /// An empty list of `allowed` origins allows all.
    pub(super) fn of(headers: &HeaderMap, allowed: &[String]) -> Self {
        match headers.get(header::ORIGIN) {
            None => Self::None,
            Some(origin)
                if allowed.is_empty() || allowed.iter().any(|one| one.as_str() == origin) =>
            {
                Self::Allowed(origin.clone())
            }
            Some(_) => Self::Foreign,
        }
    }

    /// Lets the page read the answer.
    pub(super) fn admit(self, response: &mut Response) {
        if let Self::Allowed(origin) = self {
            let headers = response.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            let yes = HeaderValue::from_static("true");
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
    }
}

/// The answer to the question that precedes a request.
pub(super) fn preflight(headers: &HeaderMap) -> Response {
    let wanted = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let wanted = wanted.unwrap_or(HeaderValue::from_static("content-type"));
    let answer = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, OPTIONS")),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, wanted),
        (header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400")),
    ];
    (StatusCode::NO_CONTENT, answer).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_judged() {
        let mut headers = HeaderMap::new();
        let ours = ["https://a.example".to_owned()];
        assert_eq!(Origin::of(&headers, &ours), Origin::None);
        let here = HeaderValue::from_static("https://a.example");
        headers.insert(header::ORIGIN, here.clone());
        assert_eq!(Origin::of(&headers, &ours), Origin::Allowed(here.clone()));
        assert_eq!(Origin::of(&headers, &[]), Origin::Allowed(here));
        headers.insert(header::ORIGIN, HeaderValue::from_static("https://b.example"));
        assert_eq!(Origin::of(&headers, &ours), Origin::Foreign);
    }
}
