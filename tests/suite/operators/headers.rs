//! Headers that keep browsers safe stand on every answer, whoever gives it.

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::support::site::{Process, Site};
use crate::support::world::DEADLINE;

const WEBSOCKET: &[u8] =
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: localhost\r\n\
    Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A server with a certificate of its own, and who trusts it.
struct Protected {
    _site: Site,
    server: Process,
    connector: TlsConnector,
    _folder: tempfile::TempDir,
}

impl Protected {
    async fn start(connections: &str) -> Self {
        let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: String| {
            let file = folder.path().join(name);
            std::fs::write(&file, text).unwrap();
            file.into_os_string().into_string().unwrap()
        };
        let site = Site::new()
            .set("HTTP__TLS_CERTIFICATE", file("certificate.pem", signed.cert.pem()))
            .set("HTTP__TLS_KEY", file("key.pem", signed.signing_key.serialize_pem()))
            .set("LIMITS__CONNECTIONS", connections);
        let server = site.start().await;
        let mut roots = RootCertStore::empty();
        roots.add(signed.cert.der().clone()).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots);
        let connector = TlsConnector::from(Arc::new(config.with_no_client_auth()));
        Self { _site: site, server, connector, _folder: folder }
    }

    fn place(&self) -> &str {
        self.server.url.strip_prefix("https://").unwrap()
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.place()).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        self.connector.connect(name, stream).await.unwrap()
    }

    async fn ask(&self, method: &str, path: &str) -> (u16, HeaderMap) {
        answer(self.connect().await, method, path).await
    }
}

async fn ask(place: &str, method: &str, path: &str) -> (u16, HeaderMap) {
    answer(TcpStream::connect(place).await.unwrap(), method, path).await
}

/// The head of an answer.
async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    method: &str,
    path: &str,
) -> (u16, HeaderMap) {
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut read = Vec::new();
    let heard = async {
        while !read.windows(4).any(|end| end == b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0, "{method} {path}");
        }
    };
    tokio::time::timeout(DEADLINE, heard).await.expect("an answer in time");
    let text = String::from_utf8_lossy(&read);
    let mut lines = text.split("\r\n\r\n").next().unwrap().split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let fields = lines.map(|line| {
        let (name, value) = line.split_once(':').unwrap();
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        (name, HeaderValue::from_str(value.trim()).unwrap())
    });
    let mut headers = HeaderMap::new();
    fields.for_each(|(name, value)| {
        headers.append(name, value);
    });
    (status, headers)
}

fn is_safe(headers: &HeaderMap, by_tls: bool) -> bool {
    let text =
        |name: &str| headers.get_all(name).iter().map(|v| v.to_str().unwrap()).collect::<Vec<_>>();
    let policies = text("content-security-policy").join(", ");
    text("x-content-type-options") == ["nosniff"]
        && policies.matches("frame-ancestors 'none'").count() == 1
        && (text("strict-transport-security") == ["max-age=31536000"]) == by_tls
        && (by_tls || text("strict-transport-security").is_empty())
}

const ADDRESSES: &[(&str, &str)] = &[
    ("GET", "/"),
    ("GET", "/nothing/here"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("GET", "/docs"),
    ("GET", "/docs/openapi.json"),
    ("GET", "/doctor"),
    ("GET", "/chat/"),
    ("GET", "/chat/page.js"),
    ("GET", "/accounts/page.css"),
    ("GET", "/accounts/login/"),
    ("GET", "/accounts/logout/"),
    ("POST", "/accounts/login/"),
    ("GET", "/dialogs/"),
    ("GET", "/storage/00000000-0000-4000-8000-000000000000"),
    ("GET", "/media/file/00000000-0000-4000-8000-000000000000"),
    ("GET", "/socket.io/?EIO=4&transport=polling"),
    ("GET", "/socket.io/?EIO=3&transport=polling&j=0"),
    ("GET", "/socket.io/?EIO=9&transport=polling"),
    ("OPTIONS", "/socket.io/"),
    ("GET", "/socket.io/socket.io.js"),
    ("GET", "/courier"),
    ("GET", "/chat/stream/"),
    ("GET", "/members/chat/"),
    ("GET", "/private-chat/key/name"),
    ("POST", "/account/login"),
    ("DELETE", "/account/login"),
    ("OPTIONS", "/account/login"),
    ("POST", "/auth/login"),
    ("POST", "/media/upload/1"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_has_them() {
    let site = Site::new();
    let server = site.start().await;
    let plain = server.url.strip_prefix("http://").unwrap();
    let protected = Protected::start("50000").await;
    for (method, path) in ADDRESSES {
        let (status, headers) = ask(plain, method, path).await;
        assert!(is_safe(&headers, false), "{method} {path}: {status} {headers:?}");
        let (status, headers) = protected.ask(method, path).await;
        assert!(is_safe(&headers, true), "{method} {path}: {status} {headers:?}");
    }
    // Who comes without TLS to a port that speaks it is told so, and that binds nobody.
    let (status, headers) = ask(protected.place(), "GET", "/").await;
    assert_eq!(status, 400);
    assert!(is_safe(&headers, false), "{headers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_of_the_listener_have_them_too() {
    let protected = Protected::start("1").await;
    let mut holder = protected.connect().await;
    holder.write_all(WEBSOCKET).await.unwrap();
    let mut status = [0; 12];
    holder.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 101");
    // Others may still be leaving.
    let refused = async {
        loop {
            let (status, headers) = protected.ask("GET", "/").await;
            assert!(is_safe(&headers, true), "{headers:?}");
            if matches!(status, 429 | 503) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(DEADLINE, refused).await.expect("somebody is refused");
}
