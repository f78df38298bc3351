//! The way to a server for who looks at it from outside, by TLS if its address says so.
//!
//! Certificates are checked against what the system trusts; `SSL_CERT_FILE` names others.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::CliError;

/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What carries bytes both ways.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Way {
    /// Host and port.
    pub(super) host: String,
    secure: bool,
}

impl Way {
    /// From an address as people write it.
    pub(super) fn read(url: &str) -> Result<Self, CliError> {
        let refuse = |text: &str| Err(CliError::Refused(text.to_owned()));
        let (rest, secure) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
            (Some(rest), _) => (rest, false),
            (_, Some(rest)) => (rest, true),
            _ => return refuse("the address must begin with http:// or https://"),
        };
        let host = rest.split('/').next().unwrap_or_default();
        if host.is_empty() {
            return refuse("the address has no host");
        }
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let port = if secure { 443 } else { 80 };
        let host = if has_port { host.to_owned() } else { format!("{host}:{port}") };
        Ok(Self { host, secure })
    }

    /// A connection, or why there is none.
    pub(super) async fn connect(&self) -> Result<Box<dyn Stream>, String> {
        let address = resolve(&self.host).await?;
        let stream = match timeout(PATIENCE, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(format!("Nothing is to be had from {address}: {error}")),
            Err(_) => return Err(format!("Nothing answers at {address}")),
        };
        if !self.secure {
            return Ok(Box::new(stream));
        }
        let name = self.host.rsplit_once(':').map_or(self.host.as_str(), |(name, _)| name);
        let name = name.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(name).map_err(|error| error.to_string())?;
        match timeout(PATIENCE, connector()?.connect(name, stream)).await {
            Ok(Ok(stream)) => Ok(Box::new(stream)),
            Ok(Err(error)) => Err(format!("No TLS with {address}: {error}")),
            Err(_) => Err(format!("{address} says nothing by TLS")),
        }
    }
}

fn connector() -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        return Err("No certificates are trusted here; SSL_CERT_FILE can name some".to_owned());
    }
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The first address of a host and port.
pub(super) async fn resolve(place: &str) -> Result<SocketAddr, String> {
    let mut found = lookup_host(place).await.map_err(|error| format!("{place}: {error}"))?;
    found.next().ok_or_else(|| format!("{place} leads nowhere"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        let table = [
            ("http://127.0.0.1:8000", Some(("127.0.0.1:8000", false))),
            ("http://chat.example.org/", Some(("chat.example.org:80", false))),
            ("http://[::1]:8000/x", Some(("[::1]:8000", false))),
            ("https://chat.example.org", Some(("chat.example.org:443", true))),
            ("https://chat.example.org:8443/", Some(("chat.example.org:8443", true))),
            ("chat.example.org", None),
            ("http://", None),
        ];
        for (url, expected) in table {
            let way = Way::read(url).ok();
            let found = way.as_ref().map(|way| (way.host.as_str(), way.secure));
            assert_eq!(found, expected, "{url}");
        }
    }
}
