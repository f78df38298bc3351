//! What an operator may set: one struct per section, each with its defaults.
//!
//! `config/klatsch.toml` is the reference for readers and a test keeps it equal to the defaults here.
//! A module gets its own section and never the whole.

mod aliases;
mod auth;
mod dialects;
mod limits;
mod origins;
mod problem;
mod server;
mod source;
#[cfg(test)]
mod tests;
mod values;
mod webrtc;

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use serde::{Deserialize, Serialize};

pub use auth::AuthSettings;
pub use dialects::{
    Announce, Anonymous, Backlog, BilledDialect, CourierSettings, DeliveryConfirm, Html,
    MembersChatSettings, MultichatSettings, NeoSettings, NotifyPer, PrivateChatSettings,
    ReceiptsPolicy, TrustUserId, UserListPolicy,
};
pub use limits::LimitSettings;
pub use origins::Origins;
pub use problem::SettingsError;
pub use server::{
    BusSettings, DatabaseSettings, HttpSettings, LogFormat, LogSettings, Synchronous,
};
pub use values::{Listen, Networks, Seconds, Secret, WebAddress};
pub use webrtc::{ForwardChannel, IceServer, RelayMode, TurnSettings, WebrtcSettings};

/// The database in the data folder, if no other is named.
const DATABASE: &str = "klatsch.db";
/// What stands for itself in the path of a database's address.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');
/// Bytes that a secret has at least, as many as the hash it is used with.
const SECRET_BYTES: usize = 32;
/// Seconds that clients can still count: their timers have milliseconds, in 31 bits, and end
/// at once if there are more.
const TIMER_SECONDS: i64 = i32::MAX as i64 / 1000;

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
        if !self.database.url.is_empty() {
            return self.database.url.clone();
        }
        // A relative path that begins like an address must not be read as one.
        let folder = Path::new(if self.data_dir.is_absolute() { "" } else { "." });
        let file = folder.join(&self.data_dir).join(DATABASE);
        let path = percent_encode(file.as_os_str().as_encoded_bytes(), PATH);
        Secret::new(format!("sqlite://{path}"))
    }

    /// The database's file, if it is SQLite and has one.
    pub fn database_file(&self) -> Option<PathBuf> {
        if self.database.url.is_empty() {
            return Some(self.data_dir.join(DATABASE));
        }
        let path = self.database.url.expose().strip_prefix("sqlite:")?;
        let path = path.split('?').next().unwrap_or(path);
        let path = path.strip_prefix("//").unwrap_or(path);
        let path = percent_decode_str(path).decode_utf8().ok()?;
        (!path.is_empty() && !path.starts_with(':')).then(|| PathBuf::from(&*path))
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
        } else if let Some(key) = self.short_secret() {
            // It could be guessed from anything that was made with it.
            let allowed =
                format!("at least {SECRET_BYTES} bytes, or empty for one that is generated");
            Some((key, allowed, String::new()))
        } else if let Some(contradiction) = self.slow_heartbeat() {
            Some(contradiction)
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

    /// The longer time of a heartbeat that clients cannot count.
    fn slow_heartbeat(&self) -> Option<(&'static str, String, String)> {
        let interval = ("neo.ping_interval", self.neo.ping_interval.get());
        let timeout = ("neo.ping_timeout", self.neo.ping_timeout.get());
        let (longer, other) =
            if interval.1 < timeout.1 { (timeout, interval) } else { (interval, timeout) };
        let allowed = format!(
            "at most {TIMER_SECONDS} together with {}, for clients count in milliseconds",
            other.0
        );
        let found = format!("{} with {}", longer.1, other.1);
        (longer.1 + other.1 > TIMER_SECONDS).then_some((longer.0, allowed, found))
    }

    /// The first of our own secrets that is too short.
    fn short_secret(&self) -> Option<&'static str> {
        let own_relay = self.turn.relay != RelayMode::External;
        [
            ("auth.token_secret", &self.auth.token_secret, true),
            ("turn.secret", &self.turn.secret, own_relay),
        ]
        .into_iter()
        .find(|(_, secret, ours)| *ours && is_short(secret))
        .map(|(key, ..)| key)
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
        if self.turn.relay == RelayMode::External && is_short(&self.turn.secret) {
            warnings.push(format!(
                "turn.secret has fewer than {SECRET_BYTES} bytes: it could be guessed from any password made with it"
            ));
        }
        warnings.extend(webrtc::warn_of_ports(&self.turn, &self.webrtc));
        warnings
    }

    /// What of the data others on this machine may enter or read, one sentence each.
    pub fn open_to_others(&self) -> Vec<String> {
        let mode = |path: &Path| Some(path.metadata().ok()?.permissions().mode());
        let mut warnings = Vec::new();
        if mode(&self.data_dir).is_some_and(|mode| mode & 0o011 != 0) {
            let folder = self.data_dir.display();
            warnings.push(format!(
                "others may enter the data folder {folder}: chmod 700 keeps them out"
            ));
        }
        if let Some(file) = self.database_file()
            && mode(&file).is_some_and(|mode| mode & 0o077 != 0)
        {
            let file = file.display();
            warnings.push(format!("others may read the database {file}: chmod 600 keeps them out"));
        }
        warnings
    }
}

fn is_short(secret: &Secret) -> bool {
    !secret.is_empty() && secret.expose().len() < SECRET_BYTES
}
