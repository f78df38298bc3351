//! `serve`: everything, until somebody says stop.

use std::path::Path;

use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::CliError;
use super::output::print;
use crate::app::{Address, App};
use crate::settings::Settings;
use crate::telemetry;

/// Serves until SIGTERM or Ctrl-C; a second one does not wait for the connections.
pub(super) async fn run(config: Option<&Path>) -> Result<(), CliError> {
    let settings = Settings::load(config)?;
    telemetry::start_log(&settings.log)?;
    for warning in settings.warnings() {
        tracing::warn!("{warning}");
    }
    let shutdown = stop_on_signals()?;
    let mut app = App::start(settings).await?;
    let listener = app.listen().await?;
    let address = listener.local_addr()?;
    tell(&json!({ "part": "http", "address": address, "url": app.url_of(address) }));
    for Address { part, address, url } in app.open_ports().await? {
        tell(&json!({ "part": part, "address": address, "url": url }));
    }
    app.serve(listener, shutdown).await;
    tracing::info!("stopped");
    Ok(())
}

/// Tells where something listens; whoever reads no further is served all the same.
fn tell(part: &serde_json::Value) {
    if let Err(error) = print(part) {
        tracing::warn!(%error, %part, "nobody reads what is listened on");
    }
}

/// A token that the first signal cancels.
fn stop_on_signals() -> Result<CancellationToken, CliError> {
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        for _ in 0..2 {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if stop.is_cancelled() {
                tracing::warn!("stopping at once");
                std::process::exit(1);
            }
            tracing::info!("stopping; again to stop at once");
            stop.cancel();
        }
    });
    Ok(shutdown)
}
