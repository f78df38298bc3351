//! `migrate`: the database brought up to date, and nothing else.

use std::path::Path;

use serde_json::json;

use super::CliError;
use super::output::print;
use super::site::{quietly, store_options};
use crate::clock::Clock;
use crate::settings::Settings;
use crate::store::Store;

/// Applies what is missing and names it.
pub(super) async fn run(config: Option<&Path>) -> Result<(), CliError> {
    let settings = Settings::load(config)?;
    quietly(&settings)?;
    settings.make_data_dir()?;
    let store = Store::open(&store_options(&settings), Clock::system()).await?;
    let applied = store.list_pending_migrations().await?;
    store.migrate().await?;
    store.close().await?;
    Ok(print(&json!({ "applied": applied }))?)
}
