//! What is wrong with the settings, in one sentence that names the key, its origin and what is allowed.

use std::fmt;
use std::path::PathBuf;

use figment::error::{Actual, Kind};

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("the settings file {} cannot be read: {source}", file.display())]
    Unreadable {
        /// Its path.
        file: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// The file is no TOML.
    #[error("{} is not valid TOML: {problem}", file.display())]
    Syntax {
        /// Its path.
        file: PathBuf,
        /// Line and reason.
        problem: String,
    },
    /// The data folder cannot be made.
    #[error("the folder {} (data_dir) cannot be made: {source}", folder.display())]
    DataDir {
        /// Its path.
        folder: PathBuf,
        /// What the operating system says.
        source: std::io::Error,
    },
    /// Nothing is called so.
    #[error("{key} ({origin}) is not a known setting{hint}")]
    UnknownKey {
        /// The key as understood.
        key: String,
        /// Who gave it.
        origin: Origin,
        /// The nearest known key, and those of its section.
        hint: String,
    },
    /// The value does not fit.
    #[error("{key} ({origin}) must be {allowed}{found}")]
    BadValue {
        /// The key.
        key: String,
        /// Who gave it.
        origin: Origin,
        /// What fits.
        allowed: String,
        /// What was given, if it may be shown.
        found: String,
    },
}

/// Who gave a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The settings file.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
    /// Nobody: it is built in.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "in {}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Default => f.write_str("by default"),
        }
    }
}

/// Keys whose values may hold a password.
const SECRETS: &[&str] = &["auth.token_secret", "turn.secret", "database.url", "bus.url"];

/// A sentence about a value that was read and does not fit.
pub(super) fn bad_value(key: String, origin: Origin, kind: &Kind) -> SettingsError {
    let (found, allowed) = match kind {
        Kind::InvalidType(actual, expected) | Kind::InvalidValue(actual, expected) => {
            (show(actual), in_plain_words(expected))
        }
        Kind::UnknownVariant(found, known) | Kind::UnknownField(found, known) => {
            (format!("\"{found}\""), either(known))
        }
        Kind::MissingField(field) => (String::new(), format!("given with its {field}")),
        other => (other.to_string(), "something else".to_owned()),
    };
    unfit(key, origin, allowed, &found)
}

/// A sentence about a value that does not fit; secrets are not repeated.
pub(super) fn unfit(key: String, origin: Origin, allowed: String, found: &str) -> SettingsError {
    let hidden = found.is_empty() || SECRETS.contains(&key.as_str());
    let found = if hidden { String::new() } else { format!(", but is {found}") };
    SettingsError::BadValue { key, origin, allowed, found }
}

/// What was found, as an operator would write it.
fn show(actual: &Actual) -> String {
    match actual {
        Actual::Bool(value) => value.to_string(),
        Actual::Unsigned(value) => value.to_string(),
        Actual::Signed(value) => value.to_string(),
        Actual::Float(value) => value.to_string(),
        Actual::Char(value) => format!("\"{value}\""),
        Actual::Str(value) => format!("\"{value}\""),
        Actual::Seq => "a list".to_owned(),
        Actual::Map => "a section".to_owned(),
        Actual::Unit | Actual::Option => "nothing".to_owned(),
        Actual::Other(value) => value.clone(),
        other => other.to_string(),
    }
}

/// Rust's names of types, for people who do not write Rust.
fn in_plain_words(expected: &str) -> String {
    match expected {
        "a boolean" => "true or false".to_owned(),
        "a string" | "path string" => "a text".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a nonzero u16" | "u16 > 0" => "a whole number from 1 to 65535".to_owned(),
        "a nonzero u32" => format!("a whole number from 1 to {}", u32::MAX),
        "a nonzero usize" | "a nonzero u64" => "a whole number of at least 1".to_owned(),
        "u32" => format!("a whole number from 0 to {}", u32::MAX),
        "usize" | "u64" => "a whole number of at least 0".to_owned(),
        other if other.starts_with("struct ") => "a section with keys of its own".to_owned(),
        other => other.to_owned(),
    }
}

/// `a, b or c`.
fn either(known: &[&str]) -> String {
    match known {
        [] => "absent".to_owned(),
        [only] => (*only).to_owned(),
        [rest @ .., last] => format!("{} or {last}", rest.join(", ")),
    }
}
