//! What proxies say of a request: whose it is, and under which address it was made.
//!
//! Only trusted ones are believed. What stands rightmost was added last, so addresses are read
//! from there; scheme and host are those of the first proxy, which the client itself called.

use std::net::{IpAddr, Ipv4Addr};

use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, header};

use crate::settings::Networks;

/// Stands for everybody whose address a trusted proxy has forwarded in a way that cannot be
/// read: they share limits with each other, and not with the proxy. Nobody connects from it.
pub(super) const UNREADABLE: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Whether a client reached us by TLS, as far as can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BySecureScheme(pub(super) bool);

/// The nearest address that no proxy of ours has.
pub(super) fn client(proxies: &Networks, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
    if !proxies.contains(peer) {
        return peer;
    }
    let mut client = peer;
    for line in headers.get_all("x-forwarded-for").iter().rev() {
        let line = String::from_utf8_lossy(line.as_bytes());
        for hop in line.rsplit(',').map(str::trim).filter(|hop| !hop.is_empty()) {
            let Some(address) = address(hop) else { return UNREADABLE };
            client = address;
            if !proxies.contains(client) {
                return client;
            }
        }
    }
    client
}

/// Reads an address as proxies write them: with or without a port, brackets, quotes, a zone.
fn address(hop: &str) -> Option<IpAddr> {
    let quoted = hop.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let text = quoted.unwrap_or(hop).trim();
    let is_port = |text: &str| text.parse::<u16>().is_ok() && !text.starts_with('+');
    let bare = match text.strip_prefix('[') {
        Some(rest) => {
            let (inside, behind) = rest.split_once(']')?;
            let fits = behind.is_empty() || behind.strip_prefix(':').is_some_and(is_port);
            fits.then_some(inside.trim())?
        }
        None => text,
    };
    let parse = |text: &str| {
        let (plain, zone) = text.split_once('%').unwrap_or((text, "none"));
        let address: IpAddr = plain.trim().parse().ok()?;
        (!zone.is_empty()).then(|| address.to_canonical())
    };
    parse(bare).or_else(|| match bare.rsplit_once(':') {
        // Without brackets a port can be told where all eight parts of an address are there.
        Some((address, port)) if bare == text && is_port(port) => parse(address),
        _ => None,
    })
}

/// Puts what the client called us in the place of what the proxy did, and tells whether that
/// was by TLS; `peer` is a trusted proxy.
pub(super) fn believe(headers: &mut HeaderMap) -> Option<bool> {
    let secure = first(headers, "x-forwarded-proto").and_then(|scheme| {
        let is = |names: [&str; 2]| names.iter().any(|name| scheme.eq_ignore_ascii_case(name));
        if is(["https", "wss"]) { Some(true) } else { is(["http", "ws"]).then_some(false) }
    });
    let told = first(headers, "x-forwarded-host").and_then(|host| authority(&host));
    let port = first(headers, "x-forwarded-port");
    let port = port.and_then(|port| port.parse::<u16>().ok()).filter(|port| *port > 0);
    let host = match told {
        Some(host) => Some((host, false)),
        // The proxy's port is another than that at which we were called.
        None => port.and_then(|_| Some((own_authority(headers)?, true))),
    };
    if let Some((host, replaces)) = host {
        let keeps = host.port_u16().filter(|_| !replaces);
        let usual = if secure == Some(true) { 443 } else { 80 };
        let shown = match keeps.or(port).or(host.port_u16()) {
            Some(port) if port != usual || secure.is_none() => format!("{}:{port}", host.host()),
            _ => host.host().to_owned(),
        };
        if let Ok(shown) = HeaderValue::try_from(shown) {
            headers.insert(header::HOST, shown);
        }
    }
    secure
}

/// The host and port under which a request was made, if they are such.
pub(super) fn own_authority(headers: &HeaderMap) -> Option<Authority> {
    authority(headers.get(header::HOST)?.to_str().ok()?)
}

fn authority(text: &str) -> Option<Authority> {
    let authority: Authority = text.parse().ok()?;
    let name = authority.host().trim_matches(['[', ']']);
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-._:".contains(&b);
    let plain = !name.is_empty() && name.bytes().all(fits) && !text.contains('@');
    plain.then_some(authority)
}

/// The first of a list of words, which the first proxy has written.
fn first(headers: &HeaderMap, name: &str) -> Option<String> {
    let line = headers.get(name)?.to_str().ok()?;
    let word = line.split(',').next()?.trim().trim_matches('"');
    (!word.is_empty()).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(list: &str) -> Networks {
        serde_json::from_str(list).unwrap()
    }

    #[test]
    fn forwarded_addresses_are_believed_from_trusted_proxies_only() {
        let proxies = proxies(r#"["10.0.0.0/8", "::ffff:192.168.0.0/112", "2001:db8:9::/48"]"#);
        let unreadable = "0.0.0.0";
        let table = [
            ("9.9.9.9", "1.1.1.1", "9.9.9.9"),
            ("9.9.9.9", "rubbish", "9.9.9.9"),
            ("10.0.0.1", "1.1.1.1", "1.1.1.1"),
            ("192.168.0.7", "1.1.1.1", "1.1.1.1"),
            ("192.169.0.7", "1.1.1.1", "192.169.0.7"),
            ("2001:db8:9::1", "1.1.1.1", "1.1.1.1"),
            ("10.0.0.1", "6.6.6.6, 1.1.1.1, 10.0.0.2", "1.1.1.1"),
            ("10.0.0.1", "6.6.6.6,1.1.1.1:80 ,10.0.0.2:99", "1.1.1.1"),
            ("10.0.0.1", "6.6.6.6, [2001:db8::1]:443, \"[2001:db8:9::2]:1\"", "2001:db8::1"),
            // As Azure's gateway and others write them.
            ("10.0.0.1", "203.0.113.1:51101", "203.0.113.1"),
            ("10.0.0.1", "[2001:db8::1]:51101", "2001:db8::1"),
            ("10.0.0.1", "[2001:db8::1]", "2001:db8::1"),
            ("10.0.0.1", "2001:db8::1", "2001:db8::1"),
            ("10.0.0.1", "2001:DB8:0:0::1", "2001:db8::1"),
            ("10.0.0.1", "2001:db8:1:2:3:4:5:6:51101", "2001:db8:1:2:3:4:5:6"),
            ("10.0.0.1", "\"203.0.113.1\"", "203.0.113.1"),
            ("10.0.0.1", "\"203.0.113.1:1\"", "203.0.113.1"),
            ("10.0.0.1", "\"[2001:db8::1]:1\"", "2001:db8::1"),
            ("10.0.0.1", "\t203.0.113.1\t", "203.0.113.1"),
            ("10.0.0.1", "::ffff:203.0.113.1", "203.0.113.1"),
            ("10.0.0.1", "[::ffff:203.0.113.1]:1", "203.0.113.1"),
            ("10.0.0.1", "::ffff:cb00:7101", "203.0.113.1"),
            ("10.0.0.1", "1.1.1.1, ::ffff:10.0.0.2", "1.1.1.1"),
            ("10.0.0.1", "fe80::1%eth0", "fe80::1"),
            ("10.0.0.1", "[fe80::1%25eth0]:443", "fe80::1"),
            ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
            ("10.0.0.1", "", "10.0.0.1"),
            ("10.0.0.1", " , ", "10.0.0.1"),
            ("10.0.0.1", "1.1.1.1, ", "1.1.1.1"),
            // What cannot be read is somebody, and not the proxy.
            ("10.0.0.1", "rubbish", unreadable),
            ("10.0.0.1", "unknown", unreadable),
            ("10.0.0.1", "_hidden", unreadable),
            ("10.0.0.1", "1.1.1.1, rubbish", unreadable),
            ("10.0.0.1", "1.1.1.1, rubbish, 10.0.0.2", unreadable),
            ("10.0.0.1", "rubbish, 1.1.1.1", "1.1.1.1"),
            ("10.0.0.1", "203.0.113.1:port", unreadable),
            ("10.0.0.1", "203.0.113.1:99999", unreadable),
            ("10.0.0.1", "203.0.113.256", unreadable),
            ("10.0.0.1", "[2001:db8::1", unreadable),
            ("10.0.0.1", "[2001:db8::1]443", unreadable),
            ("10.0.0.1", "[]", unreadable),
            ("10.0.0.1", "\"", unreadable),
            ("10.0.0.1", ":", unreadable),
            ("10.0.0.1", "chat.example.org", unreadable),
        ];
        for (peer, line, expected) in table {
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-for", line.parse().unwrap());
            let found = client(&proxies, &headers, peer.parse().unwrap());
            assert_eq!(found.to_string(), expected, "{peer} {line}");
        }
    }

    #[test]
    fn several_lines_are_one_list_and_bytes_that_are_no_text_are_unreadable() {
        let proxies = proxies(r#"["10.0.0.0/8"]"#);
        let peer: IpAddr = "10.0.0.1".parse().unwrap();
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", HeaderValue::from_static("6.6.6.6"));
        headers.append("x-forwarded-for", HeaderValue::from_static("1.1.1.1:5, 10.0.0.2"));
        headers.append("x-forwarded-for", HeaderValue::from_static("10.0.0.3"));
        assert_eq!(client(&proxies, &headers, peer).to_string(), "1.1.1.1");
        headers.append("x-forwarded-for", HeaderValue::from_bytes(b"\xff1.1.1.1").unwrap());
        assert_eq!(client(&proxies, &headers, peer), UNREADABLE);
    }

    /// Forwarding headers without what all their names begin with, and their values.
    type Given = &'static [(&'static str, &'static str)];

    #[test]
    fn what_the_client_called_us_comes_from_the_proxy() {
        let table: &[(Given, Option<bool>, &str)] = &[
            (&[], None, "127.0.0.1:8000"),
            (&[("proto", "https")], Some(true), "127.0.0.1:8000"),
            (&[("proto", "HTTPS")], Some(true), "127.0.0.1:8000"),
            (&[("proto", "wss")], Some(true), "127.0.0.1:8000"),
            (&[("proto", "http")], Some(false), "127.0.0.1:8000"),
            (&[("proto", "https, http")], Some(true), "127.0.0.1:8000"),
            (&[("proto", "gopher")], None, "127.0.0.1:8000"),
            (&[("proto", "")], None, "127.0.0.1:8000"),
            (&[("host", "chat.example")], None, "chat.example"),
            (&[("host", "chat.example:8443")], None, "chat.example:8443"),
            (&[("host", "chat.example, inner")], None, "chat.example"),
            (&[("host", "[2001:db8::1]:8443")], None, "[2001:db8::1]:8443"),
            (&[("host", "a b"), ("proto", "https")], Some(true), "127.0.0.1:8000"),
            (&[("host", "evil;script-src")], None, "127.0.0.1:8000"),
            (&[("host", "me@evil")], None, "127.0.0.1:8000"),
            (&[("host", "chat.example/x")], None, "127.0.0.1:8000"),
            (&[("host", "chat.example"), ("port", "8443")], None, "chat.example:8443"),
            (
                &[("proto", "https"), ("host", "chat.example"), ("port", "443")],
                Some(true),
                "chat.example",
            ),
            (
                &[("proto", "http"), ("host", "chat.example"), ("port", "443")],
                Some(false),
                "chat.example:443",
            ),
            (
                &[("proto", "https"), ("host", "chat.example:8443"), ("port", "443")],
                Some(true),
                "chat.example:8443",
            ),
            (&[("port", "9000")], None, "127.0.0.1:9000"),
            (&[("port", "443"), ("proto", "https")], Some(true), "127.0.0.1"),
            (&[("port", "0")], None, "127.0.0.1:8000"),
            (&[("port", "many")], None, "127.0.0.1:8000"),
        ];
        for (given, secure, host) in table {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("127.0.0.1:8000"));
            for (name, value) in *given {
                let name = format!("x-forwarded-{name}");
                headers.insert(
                    axum::http::HeaderName::try_from(name).unwrap(),
                    value.parse().unwrap(),
                );
            }
            assert_eq!(believe(&mut headers), *secure, "{given:?}");
            assert_eq!(headers[header::HOST], host, "{given:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_makes_it_panic(bytes: Vec<u8>, text in ".{0,40}") {
            for line in [bytes, text.into_bytes()] {
                let Ok(value) = HeaderValue::from_bytes(&line) else { continue };
                let mut headers = HeaderMap::new();
                for name in ["x-forwarded-for", "x-forwarded-host", "x-forwarded-port"] {
                    headers.insert(name, value.clone());
                }
                client(&proxies(r#"["0.0.0.0/0"]"#), &headers, [10, 0, 0, 1].into());
                believe(&mut headers);
            }
        }
    }
}
