//! `user list`: all accounts.

use crate::cli::CliError;
use crate::cli::output::{self, print};
use crate::cli::site::Site;
use crate::domain::UserId;

/// Read at once.
const PAGE: u64 = 500;

/// Prints one object a line, by number.
pub(super) async fn run(site: &Site) -> Result<(), CliError> {
    let mut after = UserId::new(0);
    loop {
        let users = site.store.list_users(after, PAGE).await?;
        let Some(last) = users.last() else { return Ok(()) };
        after = last.id;
        for user in &users {
            print(&output::user(user))?;
        }
    }
}
