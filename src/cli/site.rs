//! What commands work on: the settings, and the database brought up to date.

use std::path::Path;

use crate::auth::{Auth, Secrets};
use crate::clock::Clock;
use crate::domain::{Email, User, UserId};
use crate::settings::{LogSettings, Settings};
use crate::store::Store;
use crate::{app, telemetry};

use super::CliError;

/// Settings and database of one command.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    pub(super) store: Store,
}

impl Site {
    /// Reads the settings, opens the database and migrates it, as a server would.
    pub(super) async fn open(config: Option<&Path>) -> Result<Self, CliError> {
        let settings = Settings::load(config)?;
        quietly(&settings)?;
        let clock = Clock::system();
        let store = app::open_store(&settings, clock.clone()).await?;
        store.migrate().await?;
        Ok(Self { settings, clock, store })
    }

    /// Closes the database, whatever came of the command.
    pub(super) async fn close(self, done: Result<(), CliError>) -> Result<(), CliError> {
        let closed = self.store.close().await;
        done?;
        Ok(closed?)
    }

    /// What proves identities here, with the same secrets as the server's.
    pub(super) fn auth(&self) -> Result<Auth, CliError> {
        let Settings { data_dir, auth, turn, limits, .. } = &self.settings;
        let secrets = Secrets::open(data_dir, &auth.token_secret, &turn.secret)?;
        Ok(Auth::new(auth, limits, &secrets, &self.clock))
    }

    /// The user somebody names.
    pub(super) async fn find(&self, whose: &Whose) -> Result<User, CliError> {
        let found = match whose {
            Whose::Id(id) => self.store.find_user(*id).await?,
            Whose::Email(email) => self.store.find_user_by_email(email).await?,
        };
        found.ok_or_else(|| CliError::Refused(format!("there is no user {whose}")))
    }

    /// The same, if the account may log in.
    pub(super) async fn find_active(&self, whose: &Whose) -> Result<User, CliError> {
        let user = self.find(whose).await?;
        if user.active {
            return Ok(user);
        }
        Err(CliError::Refused(format!(
            "the user {whose} is inactive; `user set --active` changes that"
        )))
    }
}

/// Logs what is wrong and nothing else, unless somebody asks for more.
pub(super) fn quietly(settings: &Settings) -> Result<(), CliError> {
    let filter = "warn".to_owned();
    Ok(telemetry::start_log(&LogSettings { filter, ..settings.log.clone() })?)
}

/// A user as an operator names one: by number or by e-mail address.
#[derive(Clone, Debug)]
pub(super) enum Whose {
    Id(UserId),
    Email(Email),
}

impl std::fmt::Display for Whose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Email(email) => f.write_str(email.as_str()),
        }
    }
}

impl std::str::FromStr for Whose {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(id) => Ok(Self::Id(UserId::new(id))),
            Err(_) => email(text).map(Self::Email),
        }
    }
}

/// Reads an e-mail address.
pub(super) fn email(text: &str) -> Result<Email, String> {
    Email::new(text).ok_or_else(|| "not an e-mail address".to_owned())
}
