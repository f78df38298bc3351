//! `migrate`: the database brought up to date, and nothing else.

use std::path::Path;

use serde_json::json;

use super::CliError;
use super::output::print;
use super::site::quietly;
use crate::app::open_store;
use crate::clock::Clock;
use crate::settings::Settings;

/// Applies what is missing and names it.
pub(super) async fn run(config: Option<&Path>) -> Result<(), CliError> {
    let settings = Settings::load(config)?;
    quietly(&settings)?;
    let store = open_store(&settings, Clock::system()).await?;
    let applied = store.migrate().await?;
    store.close().await?;
    Ok(print(&json!({ "applied": applied }))?)
}
