//! `user`: accounts of people.

mod add;
mod list;
mod set;
mod token;

use std::io::Read as _;
use std::path::Path;

use clap::{Args, Subcommand};

use super::CliError;
use super::site::Site;
use crate::auth::Passwords;
use crate::domain::{Timestamp, Username};
use crate::store::StoreError;
use crate::wire::neo::{read_date, read_day};

/// What can be done with accounts.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make an account; without a password nobody can log in to it by password.
    Add(Box<add::Add>),
    /// Change an account.
    Set(Box<set::Set>),
    /// List all accounts, one JSON object a line.
    List,
    /// Print a fresh access token of an account.
    Token(token::Token),
}

/// Carries it out.
pub(super) async fn run(config: Option<&Path>, command: Command) -> Result<(), CliError> {
    let site = Site::open(config).await?;
    let done = match command {
        Command::Add(add) => add.run(&site).await,
        Command::Set(set) => set.run(&site).await,
        Command::List => list::run(&site).await,
        Command::Token(token) => token.run(&site).await,
    };
    site.close(done).await
}

/// What can be said of an account, new or not.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
struct Details {
    /// Password; others on this machine may see it, `--password-stdin` hides it.
    #[arg(long, value_name = "P")]
    password: Option<String>,
    /// Read the password from standard input.
    #[arg(long, conflicts_with = "password")]
    password_stdin: bool,
    /// Public handle.
    #[arg(long, value_name = "U", value_parser = username)]
    username: Option<Username>,
    /// Given name.
    #[arg(long, value_name = "F", value_parser = name)]
    first_name: Option<String>,
    /// Family name.
    #[arg(long, value_name = "L", value_parser = name)]
    last_name: Option<String>,
    /// Day of birth, in any common form.
    #[arg(long, value_name = "D", value_parser = birthday)]
    birthday: Option<Timestamp>,
    /// Let it administrate the server.
    #[arg(long)]
    superuser: bool,
    /// Let it into staff rooms.
    #[arg(long)]
    staff: bool,
    /// Let it post without paying.
    #[arg(long)]
    employee: bool,
    /// Let it post without paying until then (UTC), in any common form.
    #[arg(long, value_name = "DATE", value_parser = date)]
    premium_until: Option<Timestamp>,
    /// Coins it has.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(0..=MAX_BALANCE))]
    balance: Option<i64>,
}

/// Numbers above it are not safe in every client.
const MAX_BALANCE: i64 = (1 << 53) - 1;

impl Details {
    /// What to store of the password, if one is given.
    async fn password_hash(&self, site: &Site) -> Result<Option<String>, CliError> {
        let password = match &self.password {
            Some(password) => password.clone(),
            None if self.password_stdin => from_stdin()?,
            None => return Ok(None),
        };
        let least = site.settings.auth.min_password_length.get();
        if password.chars().count() < least {
            let sentence =
                format!("a password has at least {least} characters (auth.min_password_length)");
            return Err(CliError::Refused(sentence));
        }
        Ok(Some(Passwords::new().hash(password).await?))
    }
}

/// Everything that is said, without the line's end.
fn from_stdin() -> std::io::Result<String> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

/// Says of a taken name what is taken.
fn told(error: StoreError) -> CliError {
    if error.is_duplicate_of("uq_users_email_key") {
        CliError::Refused("another user has this e-mail address".to_owned())
    } else if error.is_duplicate_of("uq_users_username") {
        CliError::Refused("another user has this username".to_owned())
    } else {
        error.into()
    }
}

fn username(text: &str) -> Result<Username, String> {
    Username::new(text).ok_or_else(|| {
        "1 to 150 letters, digits and @ . + - _ are allowed, and neither . nor .. alone".to_owned()
    })
}

fn name(text: &str) -> Result<String, String> {
    let fits = text.chars().count() <= 150 && !text.contains('\0');
    fits.then(|| text.to_owned()).ok_or_else(|| "at most 150 characters are allowed".to_owned())
}

fn birthday(text: &str) -> Result<Timestamp, String> {
    read_day(text).ok_or_else(|| "not a date; write it as 1990-12-31".to_owned())
}

fn date(text: &str) -> Result<Timestamp, String> {
    let found = crate::wire::members_chat::read_date(text).or_else(|| read_date(text));
    found.ok_or_else(|| "not a date; write it as 2030-12-31".to_owned())
}
