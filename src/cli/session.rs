//! `session`: browser logins without a browser.

use std::path::Path;

use clap::Subcommand;
use serde_json::json;

use super::CliError;
use super::output::{moment, print};
use super::site::{Site, Whose};
use crate::domain::Principal;

/// What can be done with browser logins.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make one; print its key and its cookie's value.
    Add {
        /// E-mail address or number.
        #[arg(value_name = "EMAIL_OR_ID")]
        whose: Whose,
    },
}

/// Carries it out.
pub(super) async fn run(config: Option<&Path>, command: Command) -> Result<(), CliError> {
    let Command::Add { whose } = command;
    let site = Site::open(config).await?;
    let done = add(&site, &whose).await;
    site.close(done).await
}

async fn add(site: &Site, whose: &Whose) -> Result<(), CliError> {
    let user = site.find_active(whose).await?;
    let auth = site.auth()?;
    let login = auth.browsers.start();
    let expires = auth.tokens.expiry(Principal::User(user.id));
    let hashes = (login.session_hash, login.key_hash);
    site.store.start_browser_login(user.id, expires, hashes).await?;
    Ok(print(&json!({
        "session_key": login.session_key,
        "sessionid": login.session_id,
        "expires": moment(expires),
    }))?)
}
