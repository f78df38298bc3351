//! Headers that keep browsers from misreading an answer, on every answer of a listener.

use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, header};

/// Nobody may show our pages inside theirs.
const FRAMES: &str = "frame-ancestors 'none'";
/// A year of TLS alone, for browsers that have come by it once.
const ONLY_BY_TLS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Adds what is missing; what stands there already is stricter or meant so.
pub(super) fn shield(response: &mut Response, by_tls: bool) {
    let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    if by_tls {
        headers.entry(header::STRICT_TRANSPORT_SECURITY).or_insert(ONLY_BY_TLS);
    }
    if switches {
        // It has no body, and small clients have small rooms for a head.
        return;
    }
    let nosniff = HeaderValue::from_static("nosniff");
    headers.entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(nosniff);
    refuse_frames(headers);
}

fn refuse_frames(headers: &mut HeaderMap) {
    let mut policies = headers.get_all(header::CONTENT_SECURITY_POLICY).iter();
    let says = |policy: &HeaderValue| {
        policy.to_str().is_ok_and(|policy| policy.contains("frame-ancestors"))
    };
    if !policies.any(says) {
        // Policies add up, so another one takes nothing away from what is there.
        headers.append(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(FRAMES));
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;

    use super::*;

    fn shielded(mut response: Response, by_tls: bool) -> HeaderMap {
        shield(&mut response, by_tls);
        response.headers().clone()
    }

    #[test]
    fn what_is_missing_is_added_and_nothing_else() {
        let plain = shielded(StatusCode::NOT_FOUND.into_response(), false);
        assert_eq!(plain[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(plain[header::CONTENT_SECURITY_POLICY], FRAMES);
        assert!(!plain.contains_key(header::STRICT_TRANSPORT_SECURITY));
        let own = (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
        let page = shielded([own].into_response(), true);
        assert_eq!(page.get_all(header::CONTENT_SECURITY_POLICY).iter().count(), 1);
        assert_eq!(page[header::STRICT_TRANSPORT_SECURITY], "max-age=31536000");
        let sandbox =
            shielded([(header::CONTENT_SECURITY_POLICY, "sandbox")].into_response(), true);
        let policies: Vec<_> = sandbox.get_all(header::CONTENT_SECURITY_POLICY).iter().collect();
        assert_eq!(policies, ["sandbox", FRAMES]);
        let switching = shielded(StatusCode::SWITCHING_PROTOCOLS.into_response(), true);
        assert_eq!(switching.len(), 1);
    }
}
