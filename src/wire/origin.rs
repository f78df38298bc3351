//! Whether a page belongs to the server that it asks: by its `Origin` and the request's `Host`.

/// Whether a page of this origin came from this host: the same name and the same port, where a
/// port that goes without saying may be said all the same.
pub fn is_of_host(origin: &str, host: &str) -> bool {
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let usual = if scheme.eq_ignore_ascii_case("https") { "443" } else { "80" };
    let (name, port) = parted(authority, usual);
    let (own_name, own_port) = parted(host, usual);
    !name.is_empty() && name.eq_ignore_ascii_case(own_name) && port == own_port
}

fn parted<'a>(authority: &'a str, usual: &'a str) -> (&'a str, &'a str) {
    match authority.rsplit_once(':') {
        // An address in brackets has colons of its own.
        Some((name, port)) if !port.contains(']') => (name, port),
        _ => (authority, usual),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_of_a_host_by_name_and_port() {
        let table = [
            ("http://localhost:8000", "localhost:8000", true),
            ("http://LOCALHOST:8000", "localhost:8000", true),
            ("https://chat.example", "chat.example", true),
            ("https://chat.example", "chat.example:443", true),
            ("https://chat.example:443", "chat.example", true),
            ("http://chat.example", "chat.example:80", true),
            ("https://chat.example", "chat.example:80", false),
            ("http://chat.example", "chat.example:443", false),
            ("http://[::1]:8000", "[::1]:8000", true),
            ("http://[::1]", "[::1]:80", true),
            ("http://[::1]", "[::2]", false),
            ("http://localhost", "localhost:8000", false),
            ("http://localhost:8001", "localhost:8000", false),
            ("http://evil.example", "chat.example", false),
            ("https://chat.example.evil", "chat.example", false),
            ("null", "chat.example", false),
            ("http://", "", false),
            ("", "", false),
        ];
        for (origin, host, own) in table {
            assert_eq!(is_of_host(origin, host), own, "{origin} {host}");
        }
    }
}
