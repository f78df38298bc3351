//! `user token`: a login without a password, for operators and scripts.

use clap::Args;

use crate::cli::CliError;
use crate::cli::output::print_line;
use crate::cli::site::{Site, Whose};
use crate::domain::Principal;

/// Whose token.
#[derive(Debug, Args)]
pub(in crate::cli) struct Token {
    /// E-mail address or number.
    #[arg(value_name = "EMAIL_OR_ID")]
    whose: Whose,
}

impl Token {
    /// Prints the bare token.
    pub(super) async fn run(self, site: &Site) -> Result<(), CliError> {
        let user = site.find_active(&self.whose).await?;
        let tokens = site.auth()?.tokens;
        let principal = Principal::User(user.id);
        let expires = tokens.expiry(principal);
        let login = site.store.start_login(principal, expires).await?;
        Ok(print_line(&tokens.issue(principal, login, expires))?)
    }
}
