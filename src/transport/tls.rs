//! The certificate that the main listener shows, read again when its files change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_mins(1);

/// A certificate and its key cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{} ({key}) is not usable: {problem}", file.display())]
pub struct TlsError {
    file: PathBuf,
    key: &'static str,
    problem: String,
}

/// Accepts TLS. Cheap to clone.
#[derive(Clone)]
pub struct Tls(Arc<Shared>);

struct Shared {
    certificate: PathBuf,
    key: PathBuf,
    current: RwLock<(Files, TlsAcceptor)>,
}

/// What the files hold.
#[derive(Clone, PartialEq, Eq)]
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl std::fmt::Debug for Tls {
    /// Keeps the key out of logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("certificate", &self.0.certificate).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads a certificate with its chain, and its key, from files in PEM.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let files = Files::read(certificate, key)?;
        let acceptor = files.acceptor(certificate, key)?;
        let current = RwLock::new((files, acceptor));
        Ok(Self(Arc::new(Shared { certificate: certificate.into(), key: key.into(), current })))
    }

    /// Looks at the files for ever: who renews certificates need not restart the server.
    pub async fn keep_fresh(self) {
        let mut pace = tokio::time::interval(LOOK);
        loop {
            pace.tick().await;
            let this = self.clone();
            let looked = tokio::task::spawn_blocking(move || this.refresh()).await;
            if let Ok(Err(error)) = looked {
                tracing::warn!(%error, "the certificate that was there before is kept");
            }
        }
    }

    /// Takes what the files hold now; what cannot be used changes nothing.
    pub fn refresh(&self) -> Result<(), TlsError> {
        let Shared { certificate, key, current } = &*self.0;
        let files = Files::read(certificate, key)?;
        if current.read().0 == files {
            return Ok(());
        }
        let acceptor = files.acceptor(certificate, key)?;
        *current.write() = (files, acceptor);
        tracing::info!(certificate = %certificate.display(), "a new certificate is shown");
        Ok(())
    }

    /// The handshake with one client.
    pub(super) async fn accept(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let acceptor = self.0.current.read().1.clone();
        acceptor.accept(stream).await
    }
}

impl Files {
    fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let read = |file: &Path, name| std::fs::read(file).map_err(wrong(file, name));
        Ok(Self { certificate: read(certificate, CERTIFICATE)?, key: read(key, KEY)? })
    }

    fn acceptor(&self, certificate: &Path, key: &Path) -> Result<TlsAcceptor, TlsError> {
        let chain =
            CertificateDer::pem_slice_iter(&self.certificate).collect::<Result<Vec<_>, _>>();
        let chain = chain.map_err(wrong(certificate, CERTIFICATE))?;
        if chain.is_empty() {
            return Err(wrong(certificate, CERTIFICATE)("it holds no certificate"));
        }
        let secret = PrivateKeyDer::from_pem_slice(&self.key).map_err(wrong(key, KEY))?;
        let config = ServerConfig::builder().with_no_client_auth();
        let config =
            config.with_single_cert(chain, secret).map_err(wrong(certificate, CERTIFICATE))?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

const CERTIFICATE: &str = "http.tls_certificate";
const KEY: &str = "http.tls_key";

fn wrong<E: std::fmt::Display>(
    file: &Path,
    key: &'static str,
) -> impl FnOnce(E) -> TlsError + use<E> {
    let file = file.to_owned();
    move |problem| TlsError { file, key, problem: problem.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path) -> (PathBuf, PathBuf) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        (certificate, key)
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = write(folder.path());
        let missing = folder.path().join("missing.pem");
        for (certificate, key, named) in [
            (&missing, &key, "missing.pem (http.tls_certificate)"),
            (&certificate, &missing, "missing.pem (http.tls_key)"),
            (&key, &key, "key.pem (http.tls_certificate)"),
            (&certificate, &certificate, "cert.pem (http.tls_key)"),
        ] {
            let error = Tls::read(certificate, key).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
        }
        Tls::read(&certificate, &key).unwrap();
    }

    #[test]
    fn a_renewed_certificate_is_taken_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = write(folder.path());
        let tls = Tls::read(&certificate, &key).unwrap();
        let shown = || tls.0.current.read().0.certificate.clone();
        let first = shown();
        tls.refresh().unwrap();
        assert!(shown() == first);
        // Only one of the two files has arrived yet.
        let old = std::fs::read(&key).unwrap();
        let (_, _) = write(folder.path());
        let new = std::fs::read(&key).unwrap();
        std::fs::write(&key, old).unwrap();
        assert!(tls.refresh().is_err());
        assert!(shown() == first);
        std::fs::write(&key, new).unwrap();
        tls.refresh().unwrap();
        assert!(shown() != first);
    }
}
