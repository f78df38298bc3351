//! The log: what of it is written, and that asking for something else needs no restart.

use std::io::IsTerminal as _;
use std::panic::PanicHookInfo;
use std::sync::OnceLock;

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry};

use super::output::LogWriter;
use crate::settings::{LogFormat, LogSettings};

/// Variables that choose what is logged; the first one that is set wins.
const FILTERS: [&str; 2] = ["KLATSCH_LOG", "RUST_LOG"];

/// Puts another filter into the log that was started.
static FILTER: OnceLock<Handle<EnvFilter, Registry>> = OnceLock::new();

/// The log cannot be written as asked.
#[derive(Debug, thiserror::Error)]
#[error(
    "{variable} (environment variable) must be a filter such as info,klatsch::store=debug: {problem}"
)]
pub struct LogError {
    variable: &'static str,
    problem: String,
}

/// Begins to log; a second call in one process changes nothing.
pub fn start_log(settings: &LogSettings) -> Result<(), LogError> {
    let (filter, handle) = reload::Layer::new(filter(settings)?);
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(|| LogWriter)
        .with_ansi(std::io::stderr().is_terminal());
    let lines = match settings.format {
        LogFormat::Pretty => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let lines = lines.with_filter(filter_fn(is_harmless));
    if tracing_subscriber::registry().with(filter).with(lines).try_init().is_ok() {
        let _ = FILTER.set(handle);
        std::panic::set_hook(Box::new(tell_panic));
    }
    Ok(())
}

/// Parts that may say all they know: our own, and what tells of requests in our own words.
const DISCREET: [&str; 2] = ["klatsch", "tower_http"];

/// Whether a line may be written at all, whatever the filter wants: below INFO, libraries write
/// the frames, packets, heads and statements that pass through them, with tokens and passwords.
fn is_harmless(metadata: &Metadata<'_>) -> bool {
    // The crate stands first in a target, unless the line names one of its own.
    let part = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() <= Level::INFO || DISCREET.contains(&part)
}

/// Writes from now on what these settings and the environment ask for; what cannot be read
/// changes nothing.
pub fn change_log(settings: &LogSettings) -> Result<(), LogError> {
    let filter = filter(settings)?;
    let most = filter.max_level_hint().unwrap_or(LevelFilter::TRACE).into_level();
    if FILTER.get().is_some_and(|handle| handle.reload(filter).is_ok()) {
        // What comes by the other interface of logs is bounded on its own.
        ::log::set_max_level(most.map_or(::log::LevelFilter::Off, level_of));
    }
    Ok(())
}

/// Logs a panic: printed, as is usual, it would wait for a stream that is stuck.
fn tell_panic(panic: &PanicHookInfo<'_>) {
    let backtrace = std::backtrace::Backtrace::capture();
    tracing::error!(%panic, %backtrace, "a task has failed");
    // The end of the first thread is the end of the process, which does not wait for the log.
    if std::thread::current().name() == Some("main") {
        super::finish();
    }
}

fn level_of(level: tracing::Level) -> ::log::LevelFilter {
    match level {
        tracing::Level::ERROR => ::log::LevelFilter::Error,
        tracing::Level::WARN => ::log::LevelFilter::Warn,
        tracing::Level::INFO => ::log::LevelFilter::Info,
        tracing::Level::DEBUG => ::log::LevelFilter::Debug,
        tracing::Level::TRACE => ::log::LevelFilter::Trace,
    }
}

/// What is asked for, by the environment or by the settings.
fn filter(settings: &LogSettings) -> Result<EnvFilter, LogError> {
    let given = FILTERS.into_iter().find_map(|name| Some((name, std::env::var(name).ok()?)));
    let (variable, filter) = given.unwrap_or(("KLATSCH_LOG__FILTER", settings.filter.clone()));
    filter.parse().map_err(|error| LogError { variable, problem: format!("{error}") })
}
