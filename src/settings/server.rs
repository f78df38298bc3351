//! The server itself: its listener, its database, its bus, its log.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::origins::Origins;
use super::values::{Listen, Networks, Seconds, Secret};

/// The main listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpSettings {
    /// Address and port; port 0 takes a free one.
    pub listen: Listen,
    /// Origins that browsers may call from; empty = any, for clients that show a token.
    pub allowed_origins: Origins,
    /// Peers whose forwarded headers are believed.
    pub trusted_proxies: Networks,
    /// File of the certificate and its chain in PEM; with it and its key the main listener
    /// speaks TLS alone. Empty = no TLS.
    pub tls_certificate: PathBuf,
    /// File of the certificate's private key in PEM.
    pub tls_key: PathBuf,
}

impl HttpSettings {
    /// The files of certificate and key, if the main listener speaks TLS.
    pub fn tls(&self) -> Option<(&Path, &Path)> {
        let Self { tls_certificate, tls_key, .. } = self;
        (!tls_certificate.as_os_str().is_empty()).then_some((tls_certificate, tls_key))
    }
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            listen: Listen::everywhere(8000),
            allowed_origins: Origins::default(),
            trusted_proxies: Networks::default(),
            tls_certificate: PathBuf::new(),
            tls_key: PathBuf::new(),
        }
    }
}

/// Where everything is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseSettings {
    /// `sqlite:…`, `postgres://…` or `mysql://…`; empty = SQLite in the data folder.
    pub url: Secret,
    /// SQLite only: whether a commit survives a loss of power, or only the end of the process.
    pub synchronous: Synchronous,
    /// Connections for reading; 0 = what suits the database.
    pub connections: u32,
    /// Seconds any wait for the database may take before it is given up.
    pub timeout: Seconds,
}

impl Default for DatabaseSettings {
    fn default() -> Self {
        Self {
            url: Secret::default(),
            synchronous: Synchronous::Full,
            connections: 0,
            timeout: Seconds::new(5),
        }
    }
}

/// When SQLite says that something is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Synchronous {
    /// When the disk has it.
    Full,
    /// When the operating system has it.
    Normal,
}

/// What joins several nodes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BusSettings {
    /// `redis://…`; empty = this process is the only one.
    pub url: Secret,
}

/// What the server writes about itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogSettings {
    /// For eyes or for programs.
    pub format: LogFormat,
    /// What is written, as in `info,klatsch::store=debug`; `KLATSCH_LOG` and `RUST_LOG` win over it.
    pub filter: String,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { format: LogFormat::Pretty, filter: "info,sea_orm_migration=warn".to_owned() }
    }
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// A line of text.
    Pretty,
    /// A JSON object.
    Json,
}
