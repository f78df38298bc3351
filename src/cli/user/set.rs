//! `user set`: a changed account; a running server acts on it.

use clap::Args;

use super::{Details, MAX_BALANCE, told};
use crate::cli::CliError;
use crate::cli::output::{self, print};
use crate::cli::site::{Site, Whose, email};
use crate::domain::Email;
use crate::store::{Amended, Amount, UserChange};

/// Whom to change, and how.
#[derive(Debug, Args)]
pub(in crate::cli) struct Set {
    /// E-mail address or number.
    #[arg(value_name = "EMAIL_OR_ID")]
    whose: Whose,
    /// New e-mail address.
    #[arg(long, value_parser = email)]
    email: Option<Email>,
    #[command(flatten)]
    details: Details,
    #[command(flatten)]
    opposites: Opposites,
    /// Let it be used again.
    #[arg(long, conflicts_with = "no_active")]
    active: bool,
    /// Give it so many coins more, or fewer.
    #[arg(long, value_name = "N", allow_negative_numbers = true, conflicts_with = "balance")]
    add_balance: Option<i64>,
}

/// What can be taken away.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
struct Opposites {
    /// Let nobody log in by password.
    #[arg(long, conflicts_with_all = ["password", "password_stdin"])]
    no_password: bool,
    /// Forget the given name.
    #[arg(long, conflicts_with = "first_name")]
    no_first_name: bool,
    /// Forget the family name.
    #[arg(long, conflicts_with = "last_name")]
    no_last_name: bool,
    /// Forget the day of birth.
    #[arg(long, conflicts_with = "birthday")]
    no_birthday: bool,
    /// Administrates no more.
    #[arg(long, conflicts_with = "superuser")]
    no_superuser: bool,
    /// Out of staff rooms.
    #[arg(long, conflicts_with = "staff")]
    no_staff: bool,
    /// Pays again.
    #[arg(long, conflicts_with = "employee")]
    no_employee: bool,
    /// Pays again.
    #[arg(long, conflicts_with = "premium_until")]
    no_premium_until: bool,
    /// Cannot be used any more; all its logins end.
    #[arg(long)]
    no_active: bool,
}

/// What a pair of flags says.
fn either(yes: bool, no: bool) -> Option<bool> {
    (yes || no).then_some(yes)
}

/// A new value, none at all, or what was.
#[expect(
    clippy::option_option,
    reason = "as the change has it: what stays, what goes, what is new"
)]
fn or_none<T>(new: Option<T>, none: bool) -> Option<Option<T>> {
    if none { Some(None) } else { new.map(Some) }
}

impl Set {
    /// Changes and prints.
    pub(super) async fn run(self, site: &Site) -> Result<(), CliError> {
        let user = site.find(&self.whose).await?;
        let password_hash = self.details.password_hash(site).await?;
        let Self { email, details, opposites, active, add_balance, .. } = self;
        let text = |new: Option<String>, none: bool| if none { Some(String::new()) } else { new };
        let change = UserChange {
            email,
            username: details.username,
            password_hash: or_none(password_hash, opposites.no_password),
            first_name: text(details.first_name, opposites.no_first_name),
            last_name: text(details.last_name, opposites.no_last_name),
            birthday: or_none(details.birthday, opposites.no_birthday),
            active: either(active, opposites.no_active),
            superuser: either(details.superuser, opposites.no_superuser),
            staff: either(details.staff, opposites.no_staff),
            employee: either(details.employee, opposites.no_employee),
            premium_until: or_none(details.premium_until, opposites.no_premium_until),
            balance: details.balance.map(Amount::Exactly).or(add_balance.map(Amount::More)),
            keep_login: None,
        };
        if change == UserChange::default() {
            let text = "nothing to change is named: give one flag at least (klatsch user set --help lists them)";
            return Err(CliError::Refused(text.to_owned()));
        }
        match site.store.change_user(user.id, change).await.map_err(told)? {
            Amended::To(user) => Ok(print(&output::user(&user))?),
            Amended::BadBalance(balance) => Err(CliError::Refused(format!(
                "the balance is {balance}; it can neither fall below 0 nor rise above {MAX_BALANCE}"
            ))),
            Amended::Gone => {
                Err(CliError::Refused(format!("there is no user {} any more", user.id)))
            }
        }
    }
}
