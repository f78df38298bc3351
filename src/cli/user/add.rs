//! `user add`: a new account.

use clap::Args;

use super::{Details, told};
use crate::cli::CliError;
use crate::cli::output::{self, print};
use crate::cli::site::{Site, email};
use crate::domain::Email;
use crate::store::NewUser;

/// Whom to add.
#[derive(Debug, Args)]
pub(in crate::cli) struct Add {
    /// E-mail address; nobody else may have it.
    #[arg(value_parser = email)]
    email: Email,
    #[command(flatten)]
    details: Details,
}

impl Add {
    /// Adds and prints.
    pub(super) async fn run(self, site: &Site) -> Result<(), CliError> {
        let password_hash = self.details.password_hash(site).await?;
        let Self { email, details } = self;
        let new = NewUser {
            email,
            username: details.username,
            password_hash,
            first_name: details.first_name.unwrap_or_default(),
            last_name: details.last_name.unwrap_or_default(),
            birthday: details.birthday,
            superuser: details.superuser,
            staff: details.staff,
            employee: details.employee,
            premium_until: details.premium_until,
            balance: details.balance.unwrap_or(site.settings.members_chat.initial_balance.into()),
        };
        let user = site.store.start_user(new).await.map_err(told)?;
        Ok(print(&output::user(&user))?)
    }
}
