//! Why a command was not carried out, in one sentence.

use std::error::Error;

use crate::app::StartError;
use crate::auth::{PasswordError, SecretsError};
use crate::settings::SettingsError;
use crate::store::StoreError;
use crate::telemetry::LogError;

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The settings cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The log cannot be written as asked.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The server's own secrets cannot be had.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The database cannot do it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A password cannot be hashed.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// The server does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Something of the operating system failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// What was asked makes no sense, or is not so; the sentence says why.
    #[error("{0}")]
    Refused(String),
}

impl CliError {
    /// The error and its causes, each said once.
    pub fn sentence(&self) -> String {
        let mut sentence = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let more = error.to_string();
            if !sentence.contains(&more) {
                sentence = format!("{sentence}: {more}");
            }
            cause = error.source();
        }
        sentence.replace('\n', " ")
    }
}
