//! What an operator may set: one struct per section, each with its defaults.
//!
//! `config/klatsch.toml` is the reference for readers and a test keeps it equal to the defaults here.
//! A module gets its own section and never the whole.

mod aliases;
mod auth;
mod dialects;
mod limits;
mod problem;
mod server;
mod source;
#[cfg(test)]
mod tests;
mod values;
mod webrtc;

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use auth::AuthSettings;
pub use dialects::{
    Announce, Anonymous, Backlog, BilledDialect, CourierSettings, DeliveryConfirm, Html,
    MembersChatSettings, MultichatSettings, NeoSettings, NotifyPer, PrivateChatSettings,
    ReceiptsPolicy, TrustUserId, UserListPolicy,
};
pub use limits::LimitSettings;
pub use problem::SettingsError;
pub use server::{
    BusSettings, DatabaseSettings, HttpSettings, LogFormat, LogSettings, Synchronous,
};
pub use values::{Listen, Networks, Seconds, Secret, WebAddress};
pub use webrtc::{ForwardChannel, IceServer, RelayMode, TurnSettings, WebrtcSettings};

/// Everything that can be set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Folder of the database, the uploads and the generated secrets.
    pub data_dir: PathBuf,
    /// Address under which clients reach this server; unset = links are given as bare paths.
    pub public_url: WebAddress,
    /// Whether `/storage` asks for a token.
    pub storage_requires_auth: bool,
    /// The main listener.
    pub http: HttpSettings,
    /// Where everything is stored.
    pub database: DatabaseSettings,
    /// What joins several nodes.
    pub bus: BusSettings,
    /// What the server writes about itself.
    pub log: LogSettings,
    /// Tokens, passwords, registration.
    pub auth: AuthSettings,
    /// How much one client may claim.
    pub limits: LimitSettings,
    /// Socket.IO and its HTTP API.
    pub neo: NeoSettings,
    /// What clients are told about STUN and TURN.
    pub webrtc: WebrtcSettings,
    /// The embedded STUN and TURN server.
    pub turn: TurnSettings,
    /// The dialect of letters.
    pub courier: CourierSettings,
    /// The dialect of two people and a session key.
    pub private_chat: PrivateChatSettings,
    /// The dialect of paying members.
    pub members_chat: MembersChatSettings,
    /// The dialect of many rooms.
    pub multichat: MultichatSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            data_dir: "data".into(),
            public_url: WebAddress::default(),
            storage_requires_auth: false,
            http: HttpSettings::default(),
            database: DatabaseSettings::default(),
            bus: BusSettings::default(),
            log: LogSettings::default(),
            auth: AuthSettings::default(),
            limits: LimitSettings::default(),
            neo: NeoSettings::default(),
            webrtc: WebrtcSettings::default(),
            turn: TurnSettings::default(),
            courier: CourierSettings::default(),
            private_chat: PrivateChatSettings::default(),
            members_chat: MembersChatSettings::default(),
            multichat: MultichatSettings::default(),
        }
    }
}

impl Settings {
    /// Reads defaults, file and environment; a file that is named must exist.
    pub fn load(file: Option<&Path>) -> Result<Self, SettingsError> {
        source::load(file, std::env::vars_os())
    }

    /// Where the database is.
    pub fn database_url(&self) -> Secret {
        match self.database_file() {
            Some(file) if self.database.url.is_empty() => {
                Secret::new(format!("sqlite:{}", file.display()))
            }
            _ => self.database.url.clone(),
        }
    }

    /// The database's file, if it is SQLite and has one.
    pub fn database_file(&self) -> Option<PathBuf> {
        if self.database.url.is_empty() {
            return Some(self.data_dir.join("klatsch.db"));
        }
        let path = self.database.url.expose().strip_prefix("sqlite:")?;
        let path = path.split('?').next().unwrap_or(path);
        let path = path.strip_prefix("//").unwrap_or(path);
        (!path.is_empty() && !path.starts_with(':')).then(|| PathBuf::from(path))
    }

    /// Makes the data folder, readable by its owner alone, if it is missing.
    pub fn make_data_dir(&self) -> Result<(), SettingsError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.data_dir);
        made.map_err(|source| SettingsError::DataDir { folder: self.data_dir.clone(), source })
    }

    /// The first pair of settings that cannot go together: key, what is allowed, what was found.
    fn contradiction(&self) -> Option<(&'static str, String, String)> {
        let frame = self.members_chat.max_frame_bytes.get();
        let least = self.members_chat.max_file_bytes.get().saturating_add(65_538);
        let database = self.database.url.expose();
        let bus = self.bus.url.expose();
        let begins = |text: &str, schemes: &[&str]| {
            text.is_empty() || schemes.iter().any(|scheme| text.starts_with(scheme))
        };
        if self.http.listen.address().is_none() {
            let allowed = "an address and a port such as 127.0.0.1:8000";
            Some(("http.listen", allowed.to_owned(), "\"\"".to_owned()))
        } else if self.http.tls_certificate.as_os_str().is_empty()
            != self.http.tls_key.as_os_str().is_empty()
        {
            let allowed = "given together with http.tls_key, or neither of them";
            let found = format!("\"{}\"", self.http.tls_certificate.display());
            Some(("http.tls_certificate", allowed.to_owned(), found))
        } else if !begins(
            database,
            &["sqlite:", "postgres://", "postgresql://", "mysql://", "mariadb://"],
        ) {
            let allowed = "empty, or an address that begins with sqlite:, postgres:// or mysql://";
            Some(("database.url", allowed.to_owned(), String::new()))
        } else if !begins(bus, &["redis://", "rediss://"]) {
            let allowed = "empty, or an address that begins with redis://";
            Some(("bus.url", allowed.to_owned(), String::new()))
        } else if frame < least {
            let allowed =
                format!("at least {least}: members_chat.max_file_bytes and 65538 for a head");
            Some(("members_chat.max_frame_bytes", allowed, frame.to_string()))
        } else if jiff::tz::TimeZone::get(&self.private_chat.time_zone).is_err() {
            let found = format!("\"{}\"", self.private_chat.time_zone);
            Some(("private_chat.time_zone", "a time zone such as Europe/Berlin".to_owned(), found))
        } else if let Err(error) = self.log.filter.parse::<tracing_subscriber::EnvFilter>() {
            let allowed = format!("a filter such as info,klatsch::store=debug ({error})");
            Some(("log.filter", allowed, format!("\"{}\"", self.log.filter)))
        } else {
            None
        }
    }

    /// What is set in a way that an operator should know about, one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.courier.enabled && self.courier.trust_user_id == TrustUserId::Always {
            warnings.push(
                "courier.trust_user_id is always: whoever knows a user's number is that user"
                    .to_owned(),
            );
        }
        if !self.bus.url.is_empty() && self.auth.token_secret.is_empty() {
            warnings.push(
                "bus.url is set and auth.token_secret is not: several nodes need the same secret"
                    .to_owned(),
            );
        }
        warnings
    }
}
