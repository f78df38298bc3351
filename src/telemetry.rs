//! What the server tells about itself: its log on standard error, its metrics on `/metrics`.
//!
//! Secrets come in addresses, so nobody logs one without `shown_path`.

mod log;
mod output;

use std::borrow::Cow;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

pub use log::{LogError, change_log, start_log};

use output::{ERRORS, RESULTS};

const CONNECTIONS: &str = "klatsch_connections";
const SOCKETIO: &str = "klatsch_socketio_connections";
const SOCKETIO_TOTAL: &str = "klatsch_socketio_connections_total";
const SOCKETIO_ENDED: &str = "klatsch_socketio_ended_total";
const RENDERINGS: &str = "klatsch_renderings_total";
const MESSAGES: &str = "klatsch_messages_total";
const BATCH_ENTRIES: &str = "klatsch_log_batch_entries";
const COMMIT_SECONDS: &str = "klatsch_log_commit_seconds";
const SINK_OVERFLOWS: &str = "klatsch_sink_overflows_total";
const READ_ON: &str = "klatsch_read_on_total";
const REFUSALS: &str = "klatsch_refusals_total";
const CALLS: &str = "klatsch_calls_total";
const INSECURE: &str = "klatsch_insecure_settings";
const READS: &str = "klatsch_database_reads_total";
const LINES_DROPPED: &str = "klatsch_lines_dropped_total";

/// How long the end of the process waits for what is still to be written.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Tells a line on standard output, some time; never waits.
pub fn announce(line: &str) {
    RESULTS.tell(format!("{line}\n").as_bytes());
}

/// Tells a line on standard error, some time; never waits.
pub fn complain(line: &str) {
    ERRORS.tell(format!("{line}\n").as_bytes());
}

/// Waits a moment for what is still to be written; who reads nothing does not keep the process.
pub fn finish() {
    let deadline = Instant::now() + LAST_WORDS;
    RESULTS.flush(deadline);
    ERRORS.flush(deadline);
}

/// All metrics of this process.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics(..)")
    }
}

impl Metrics {
    /// Begins to measure; a second call in one process gives the same metrics again.
    pub fn start() -> Self {
        static STARTED: OnceLock<PrometheusHandle> = OnceLock::new();
        Self(STARTED.get_or_init(install).clone())
    }

    /// The page that Prometheus reads.
    pub fn render(&self) -> String {
        for (stream, output) in [("stdout", &RESULTS), ("stderr", &ERRORS)] {
            counter!(LINES_DROPPED, "stream" => stream).absolute(output.dropped());
        }
        self.0.render()
    }

    /// Folds what was measured, for ever; without it an unread page would grow.
    pub async fn keep_up(self) {
        let mut pace = tokio::time::interval(Duration::from_secs(5));
        loop {
            pace.tick().await;
            self.0.run_upkeep();
        }
    }
}

fn install() -> PrometheusHandle {
    let buckets = [
        (
            COMMIT_SECONDS,
            &[0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0][..],
        ),
        (BATCH_ENTRIES, &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0][..]),
    ];
    let builder = buckets.into_iter().fold(PrometheusBuilder::new(), |builder, (name, bounds)| {
        let matcher = Matcher::Full(name.to_owned());
        builder.set_buckets_for_metric(matcher, bounds).expect("the bounds are not empty")
    });
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::warn!("somebody else measures this process; /metrics stays empty");
    }
    // These are counted where they happen, by parts that know nothing of ours.
    describe_gauge!(CONNECTIONS, "live connections by dialect");
    describe_gauge!(SOCKETIO, "live Socket.IO connections by transport and Engine.IO generation");
    describe_counter!(
        SOCKETIO_TOTAL,
        "Socket.IO connections that began, by first transport and Engine.IO generation"
    );
    describe_counter!(SOCKETIO_ENDED, "Socket.IO connections that the server ended, by reason");
    describe_counter!(
        LINES_DROPPED,
        "lines of standard output or standard error (the log) that nobody took"
    );
    describe_gauge!(INSECURE, "settings that let others in, 1 while they do");
    describe_counter!(RENDERINGS, "events put into a dialect's words, by dialect");
    describe_counter!(MESSAGES, "messages posted, by dialect");
    describe_histogram!(BATCH_ENTRIES, "entries that one transaction of the log wrote");
    describe_histogram!(COMMIT_SECONDS, "seconds one transaction of the log took");
    describe_counter!(READS, "statements that read from the database outside of transactions");
    describe_counter!(SINK_OVERFLOWS, "connections ended because they read too slowly, by dialect");
    describe_counter!(
        READ_ON,
        "times a connection read in the log what came while a long reply was written, by dialect"
    );
    describe_counter!(REFUSALS, "commands and requests that were refused, by interface and code");
    describe_counter!(CALLS, "calls that are over, by what became of them");
    handle
}

/// A live connection, counted as long as this is held.
#[derive(Debug)]
pub struct LiveConnection(&'static str);

impl LiveConnection {
    /// Counts a connection of this dialect in.
    pub fn of(dialect: &'static str) -> Self {
        gauge!(CONNECTIONS, "dialect" => dialect).increment(1);
        Self(dialect)
    }
}

impl Drop for LiveConnection {
    fn drop(&mut self) {
        gauge!(CONNECTIONS, "dialect" => self.0).decrement(1);
    }
}

/// A message was posted.
pub fn count_message(dialect: &'static str) {
    counter!(MESSAGES, "dialect" => dialect).increment(1);
}

/// The log committed a transaction.
pub fn count_commit(entries: usize, took: Duration) {
    histogram!(BATCH_ENTRIES).record(entries as f64);
    histogram!(COMMIT_SECONDS).record(took);
}

/// A statement reads from the database, outside of any transaction.
pub fn count_read() {
    counter!(READS).increment(1);
}

/// A setting lets in who should rather stay outside, or no longer.
pub fn set_insecure(setting: &'static str, insecure: bool) {
    gauge!(INSECURE, "setting" => setting).set(f64::from(u8::from(insecure)));
}

/// A connection was ended because it read too slowly.
pub fn count_overflow(dialect: &'static str) {
    counter!(SINK_OVERFLOWS, "dialect" => dialect).increment(1);
}

/// A connection has missed events while a long reply was written, and reads on in the log.
pub fn count_read_on(dialect: &'static str) {
    counter!(READ_ON, "dialect" => dialect).increment(1);
}

/// A command or request was refused.
pub fn count_refusal(by: &'static str, code: &'static str) {
    counter!(REFUSALS, "by" => by, "code" => code).increment(1);
}

/// A call is over.
pub fn count_call(state: &'static str) {
    counter!(CALLS, "state" => state).increment(1);
}

/// An address as it may be logged: without its query, and without keys and tokens in its path.
pub fn shown_path(address: &str) -> Cow<'_, str> {
    let path = address.split(['?', '#']).next().unwrap_or_default();
    let mut hide = false;
    let mut hidden = false;
    let shown: Vec<_> = path
        .split('/')
        .map(|part| {
            let secret = !part.is_empty() && (hide || is_secret(part));
            hide = part == "private-chat";
            hidden |= secret;
            if secret { "…" } else { part }
        })
        .collect();
    if hidden { Cow::Owned(shown.join("/")) } else { Cow::Borrowed(path) }
}

/// Whether a part of a path looks like a session key or a token.
fn is_secret(part: &str) -> bool {
    let is_key = part.len() >= 32 && part.bytes().all(|byte| byte.is_ascii_alphanumeric());
    // Encoded, anything of that length may be one.
    is_key || part.starts_with("eyJ") || (part.len() >= 32 && part.contains('%'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_logged_without_secrets() {
        let key = "0123456789abcdefghijklmnopqrstuv";
        let table = [
            ("/healthz", "/healthz"),
            ("/socket.io/?EIO=4&token=secret", "/socket.io/"),
            (&format!("/private-chat/{key}/bob?html=raw"), "/private-chat/…/bob"),
            ("/private-chat/short/bob", "/private-chat/…/bob"),
            (&format!("/{key}/bob"), "/…/bob"),
            ("/eyJhbGciOi.eyJzdWIi.c2ln/bob", "/…/bob"),
            (
                "/media/file/0b8f7a52-7c3e-4a53-9d6f-2f5a1f0e6c11",
                "/media/file/0b8f7a52-7c3e-4a53-9d6f-2f5a1f0e6c11",
            ),
            (&format!("/%30{}/bob", &key[1..]), "/…/bob"),
            ("/private-chat/", "/private-chat/"),
            ("", ""),
        ];
        for (address, shown) in table {
            assert_eq!(shown_path(address), shown, "{address}");
        }
    }

    #[test]
    fn what_is_counted_stands_on_the_page() {
        Metrics::start();
        count_message("test");
        count_refusal("test", "rude");
        count_overflow("test");
        count_read_on("test");
        count_read();
        set_insecure("test", true);
        count_commit(3, Duration::from_millis(3));
        let (_one, two) = (LiveConnection::of("test"), LiveConnection::of("test"));
        drop(two);
        let page = Metrics::start().render();
        for line in [
            "# HELP klatsch_messages_total messages posted, by dialect",
            "klatsch_messages_total{dialect=\"test\"} 1",
            "klatsch_lines_dropped_total{stream=\"stderr\"} ",
            "klatsch_refusals_total{by=\"test\",code=\"rude\"} 1",
            "klatsch_sink_overflows_total{dialect=\"test\"} 1",
            "klatsch_read_on_total{dialect=\"test\"} 1",
            "# TYPE klatsch_database_reads_total counter",
            "klatsch_insecure_settings{setting=\"test\"} 1",
            "klatsch_connections{dialect=\"test\"} 1",
            "# TYPE klatsch_log_commit_seconds histogram",
            "# TYPE klatsch_log_batch_entries histogram",
        ] {
            assert!(page.contains(line), "{page}\nlacks {line}");
        }
    }
}
