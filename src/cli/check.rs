//! `check`: what `serve` would do, without doing any of it; in sentences, or as one object.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::CliError;
use super::output::{print, print_line};
use super::site::quietly;
use crate::app::{StartError, store_options};
use crate::clock::Clock;
use crate::settings::{Listen, RelayMode, Settings};
use crate::store::Store;
use crate::transport::tls::Tls;

/// Parts that can be set and are not built yet; `serve` reads their settings and does nothing with them.
const UNBUILT: &[&str] = &["bus"];

/// What is asked for.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Print one JSON object instead of sentences.
    #[arg(long)]
    json: bool,
}

/// Looks at everything and says what it saw.
pub(super) async fn run(config: Option<&Path>, options: Options) -> Result<(), CliError> {
    let settings = Settings::load(config)?;
    quietly(&settings)?;
    if let Some((certificate, key)) = settings.http.tls() {
        Tls::read(certificate, key).map_err(StartError::from)?;
    }
    let database = check_database(&settings).await?;
    let mut warnings = settings.warnings();
    warnings.extend(settings.open_to_others());
    if !settings.bus.url.is_empty() {
        warnings.push(
            "bus.url is set, but this version runs alone: nodes would not hear each other"
                .to_owned(),
        );
    }
    let report = json!({
        "data_dir": settings.data_dir,
        "database": database,
        "bus": if settings.bus.url.is_empty() { "none: one process" } else { "set" },
        "listens": listeners(&settings),
        "not_built_yet": UNBUILT,
        "warnings": warnings,
    });
    Ok(if options.json { print(&report) } else { print_line(&sentences(&report).join("\n")) }?)
}

/// The report for people, a sentence a line.
fn sentences(report: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let database = &report["database"];
    let kind = match database["kind"].as_str() {
        Some("sqlite") => "SQLite",
        Some("postgres") => "PostgreSQL",
        _ => "MySQL or MariaDB",
    };
    let place = database["file"].as_str().map_or(String::new(), |file| format!(" in {file}"));
    let mut lines = vec![
        format!("Files and secrets lie in {}.", text(&report["data_dir"])),
        format!(
            "The database is {kind}{place}; it {}.",
            match database["state"].as_str() {
                Some("up to date") => "is up to date",
                Some("would be migrated") => "would be migrated",
                _ => "would be made",
            }
        ),
    ];
    for (part, address) in report["listens"].as_object().into_iter().flatten() {
        lines.push(match address.as_str() {
            Some(address) => format!("{part} would listen on {address}."),
            None => format!("{part} has no port of its own."),
        });
    }
    let warnings = report["warnings"].as_array().into_iter().flatten();
    lines.extend(
        warnings.map(|warning| format!("Warning: {}.", text(warning).trim_end_matches('.'))),
    );
    lines
}

/// Addresses by part; `null` where a part listens on the main address only, or not at all.
fn listeners(settings: &Settings) -> Value {
    let address = |listen: Listen| listen.address().map(|address| address.to_string());
    let dialect = |enabled: bool, listen| Some(listen).filter(|_| enabled).and_then(address);
    let relays = settings.turn.relay != RelayMode::External;
    json!({
        "http": address(settings.http.listen),
        "turn": dialect(relays, settings.turn.listen),
        "courier": dialect(settings.courier.enabled, settings.courier.listen),
        "private_chat": dialect(settings.private_chat.enabled, settings.private_chat.listen),
    })
}

/// Opens the database, if there is one to open.
async fn check_database(settings: &Settings) -> Result<Value, CliError> {
    if let Some(file) = settings.database_file().filter(|file| !file.exists()) {
        check_writable(settings, &file)?;
        return Ok(json!({ "kind": "sqlite", "file": file, "state": "would be made" }));
    }
    let store = Store::open(&store_options(settings), Clock::system()).await?;
    store.ping().await?;
    let pending = store.list_pending_migrations().await?;
    let kind = format!("{:?}", store.backend()).to_lowercase();
    let state = if pending.is_empty() { "up to date" } else { "would be migrated" };
    store.close().await?;
    Ok(json!({ "kind": kind, "state": state, "pending_migrations": pending }))
}

/// Whether a file could be made: the nearest folder above it that exists must be one we may write to.
fn check_writable(settings: &Settings, file: &Path) -> Result<(), CliError> {
    let absolute = std::path::absolute(file)?;
    let folder = absolute.parent().unwrap_or(Path::new("/"));
    // No other folder is made.
    let made = std::path::absolute(&settings.data_dir)?;
    if !made.starts_with(folder) && !folder.is_dir() {
        let text =
            format!("there is no folder {}, where database.url wants its file", folder.display());
        return Err(CliError::Refused(text));
    }
    let existing: PathBuf = absolute
        .ancestors()
        .skip(1)
        .find(|folder| folder.exists())
        .unwrap_or(Path::new("/"))
        .into();
    let shown = existing.display();
    if !existing.is_dir() {
        return Err(CliError::Refused(format!("{shown} is in the way: data_dir must be a folder")));
    }
    if existing.metadata()?.permissions().readonly() {
        return Err(CliError::Refused(format!(
            "{shown} cannot be written to, and data_dir lies in it"
        )));
    }
    Ok(())
}
