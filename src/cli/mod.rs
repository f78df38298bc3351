//! The command line: one file for each command of the surface.
//!
//! Results go to standard output as JSON, errors as one sentence to standard error; any command may run beside a
//! server on the same database.

mod check;
mod doctor;
mod error;
mod migrate;
mod openapi;
mod output;
mod room;
mod serve;
mod session;
mod site;
mod user;
mod way;

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::telemetry;

pub use error::CliError;

/// A self-hosted realtime server: five chat dialects, one set of conversations.
#[derive(Debug, Parser)]
#[command(name = "klatsch", version, about)]
pub struct Cli {
    /// Settings file [default: config/klatsch.toml, if it is there].
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

/// What the server can be told to do.
#[derive(Debug, Subcommand)]
enum Command {
    /// Migrate the database and serve until SIGTERM or Ctrl-C.
    Serve,
    /// Apply migrations.
    Migrate,
    /// Read the settings, open the database, and say what `serve` would do.
    Check(check::Options),
    /// Look from outside at a server that runs: polling, WebSocket, STUN and TURN.
    Doctor(doctor::Options),
    /// Accounts of people.
    #[command(subcommand)]
    User(user::Command),
    /// Rooms that everybody, or the staff, may join.
    #[command(subcommand)]
    Room(room::Command),
    /// Browser logins.
    #[command(subcommand)]
    Session(session::Command),
    /// Print the `OpenAPI` document of the HTTP API.
    Openapi,
}

/// Reads the arguments and carries the command out.
pub fn main() -> ExitCode {
    let failed = match Cli::try_parse() {
        Ok(cli) => run(cli).err(),
        Err(error) if error.use_stderr() => {
            telemetry::complain(&said(&error));
            telemetry::finish();
            return ExitCode::from(2);
        }
        Err(help) => {
            let shown = help.print().and_then(|()| std::io::stdout().flush());
            shown.err().map(|error| output::unwritten(&error).into())
        }
    };
    if let Some(error) = &failed {
        telemetry::complain(&format!("klatsch: {}", error.sentence()));
    }
    telemetry::finish();
    if failed.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// What is wrong with the arguments, with colours for eyes.
fn said(error: &clap::Error) -> String {
    let said = error.render();
    let said =
        if std::io::stderr().is_terminal() { said.ansi().to_string() } else { said.to_string() };
    said.trim_end().to_owned()
}

fn run(cli: Cli) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let config = cli.config.as_deref();
    runtime.block_on(async {
        match cli.command {
            Command::Serve => serve::run(config).await,
            Command::Migrate => migrate::run(config).await,
            Command::Check(options) => check::run(config, options).await,
            Command::Doctor(options) => doctor::run(config, options).await,
            Command::User(command) => user::run(config, command).await,
            Command::Room(command) => room::run(config, command).await,
            Command::Session(command) => session::run(config, command).await,
            Command::Openapi => openapi::run(),
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_of_the_surface_is_understood() {
        let table = [
            "serve",
            "serve --config f.toml",
            "migrate",
            "check",
            "doctor",
            "doctor http://127.0.0.1:8000 --token t",
            "user add a@example.org",
            "user add a@example.org --password p --username u --first-name f --last-name l --birthday 1990-01-02 \
             --superuser --staff --employee --premium-until 2030-01-01 --balance 5",
            "user add a@example.org --password-stdin",
            "user set 7 --no-superuser --no-staff --no-employee --no-active",
            "user set a@example.org --active --add-balance -3 --username u --password p",
            "user list",
            "user token 7",
            "room add Tea --staff-only --description green",
            "room list",
            "room remove 3",
            "session add a@example.org",
            "openapi",
        ];
        for line in table {
            let words = std::iter::once("klatsch").chain(line.split_whitespace());
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        }
    }

    #[test]
    fn contradictions_are_refused() {
        let table = [
            "user add",
            "user add a@example.org --password p --password-stdin",
            "user set 7 --staff --no-staff",
            "user set 7 --balance 1 --add-balance 1",
            "user add a@example.org --balance -1",
            "room add",
            "room remove tea",
            "serve now",
        ];
        for line in table {
            let words = std::iter::once("klatsch").chain(line.split_whitespace());
            assert!(Cli::try_parse_from(words).is_err(), "{line}");
        }
    }
}
