//! `serve`: everything, until somebody says stop.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::CliError;
use crate::app::{Address, App};
use crate::settings::Settings;
use crate::telemetry;
use crate::transport::tls::Tls;

/// Serves until SIGTERM or Ctrl-C; a second one does not wait for the connections.
pub(super) async fn run(config: Option<&Path>) -> Result<(), CliError> {
    // A hangup before everything is there waits until it is.
    let hangups = signal(SignalKind::hangup())?;
    let settings = Settings::load(config)?;
    telemetry::start_log(&settings.log)?;
    for warning in settings.warnings() {
        tracing::warn!("{warning}");
    }
    let shutdown = stop_on_signals()?;
    let mut app = App::start(settings).await?;
    tokio::spawn(read_anew(hangups, config.map(PathBuf::from), app.tls()));
    match listen(&mut app).await {
        Ok(listener) => app.serve(listener, shutdown).await,
        Err(error) => {
            app.close().await;
            return Err(error);
        }
    }
    tracing::info!("stopped");
    Ok(())
}

/// Opens everything that is listened on, and tells where it is.
async fn listen(app: &mut App) -> Result<TcpListener, CliError> {
    let listener = app.listen().await?;
    let address = listener.local_addr()?;
    tell(&json!({ "part": "http", "address": address, "url": app.url_of(address) }));
    for Address { part, address, url } in app.open_ports().await? {
        tell(&json!({ "part": part, "address": address, "url": url }));
    }
    Ok(listener)
}

/// Tells where something listens, people in a sentence; whether anybody reads it makes no
/// difference.
fn tell(part: &serde_json::Value) {
    let text = |key: &str| part[key].as_str().unwrap_or_default();
    if std::io::stdout().is_terminal() {
        telemetry::announce(&format!("Listening for {}: {}", text("part"), text("url")));
    } else {
        telemetry::announce(&part.to_string());
    }
}

/// Reads certificates and the log's filter anew at each hangup; what cannot be read changes nothing.
async fn read_anew(mut hangups: Signal, config: Option<PathBuf>, tls: Option<Tls>) {
    while hangups.recv().await.is_some() {
        let (config, tls) = (config.clone(), tls.clone());
        let read = move || {
            let changed = Settings::load(config.as_deref())
                .map_err(CliError::from)
                .and_then(|settings| Ok(telemetry::change_log(&settings.log)?));
            match changed {
                Ok(()) => tracing::info!("the log's filter is read anew"),
                Err(error) => {
                    tracing::warn!(error = error.sentence(), "the log's filter stays as it is");
                }
            }
            if let Some(Err(error)) = tls.map(|tls| tls.refresh()) {
                tracing::warn!(%error, "the certificate that was there before is kept");
            }
        };
        let _ = tokio::task::spawn_blocking(read).await;
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
                telemetry::finish();
                std::process::exit(1);
            }
            tracing::info!("stopping; again to stop at once");
            stop.cancel();
        }
    });
    Ok(shutdown)
}
