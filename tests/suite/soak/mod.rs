//! A hundred honest clients beside everything at once that a stranger, or one account, may try to
//! fill memory and time with.
//!
//! `make soak` runs it for ten minutes against the release build and prints its figures; in the
//! suite it runs for half a minute and asserts what is stored, who is cut off, and bounds that
//! no machine is too slow for.

mod abuse;

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::support::site::{Process, Site, Wire};
use abuse::Target;

/// Accounts of honest people, and connections of each.
const ACCOUNTS: usize = 20;
const CONNECTIONS: usize = 5;
/// How often each connection posts.
const PAUSE: Duration = Duration::from_millis(500);
/// How much slower the slowest hundredth of the answers may become.
const RATIO: u32 = 3;
/// Below that, answers of an unloaded machine say nothing about a ratio.
const QUIET: Duration = Duration::from_millis(30);
/// Kilobytes that all of it may make the server hold more.
const MEMORY: u64 = 400 << 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn honest_clients_notice_little_of_everything_at_once() {
    let seconds = std::env::var("KLATSCH_SOAK_SECONDS").ok().and_then(|text| text.parse().ok());
    let long = seconds.is_some();
    let length = Duration::from_secs(seconds.unwrap_or(30));
    let site = Site::new().set("LIMITS__CONNECTIONS", "2000");
    let room = site.room().await;
    let mut tokens = Vec::new();
    for index in 0..ACCOUNTS {
        tokens.push(site.person(&format!("honest{index}")).await);
    }
    let intruder = site.person("intruder").await;
    let server = site.start().await;
    let target = Target::prepare(&server.url, room, intruder).await;

    let alone = honest(&server, room, &tokens, length / 4).await;
    let before = server.memory();
    let stop = CancellationToken::new();
    let attacks = target.start(&stop);
    let watch = tokio::spawn(highest(server.pid(), stop.clone()));
    let beside = honest(&server, room, &tokens, length * 3 / 4).await;
    stop.cancel();
    let peak = watch.await.unwrap();
    let done = attacks.finish().await;

    let grown = peak.saturating_sub(before);
    println!("what was tried: {done}");
    println!("answers alone: {alone}");
    println!("answers beside: {beside}");
    let ratio = beside.p99.as_secs_f64() / alone.p99.as_secs_f64();
    println!("p99 beside / alone: {ratio:.2} (aim {RATIO}); memory: +{} MiB", grown >> 10);
    let tenfold = if long { 1 } else { 10 };
    assert!(long || beside.p99 <= alone.p99.max(QUIET) * RATIO * tenfold, "{alone}; {beside}");
    assert!(grown <= MEMORY, "{grown} kB more");
}

/// The times that answers took.
struct Answers {
    count: usize,
    p50: Duration,
    p99: Duration,
    longest: Duration,
}

impl std::fmt::Display for Answers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { count, p50, p99, longest } = self;
        write!(f, "{count}, p50 {p50:.1?}, p99 {p99:.1?}, longest {longest:.1?}")
    }
}

/// Lets everybody post at their pace, and fails if anybody is refused or cut off.
async fn honest(server: &Process, room: i64, tokens: &[String], length: Duration) -> Answers {
    let end = Instant::now() + length;
    let mut clients = JoinSet::new();
    for (index, token) in tokens.iter().cycle().take(tokens.len() * CONNECTIONS).enumerate() {
        let (url, token) = (server.url.clone(), token.clone());
        // Spread, so that nobody posts at the same moment as all others.
        let delay = PAUSE * u32::try_from(index).unwrap() / 100;
        clients.spawn(async move {
            tokio::time::sleep(delay).await;
            let mut wire = Wire::open(&url, &token).await.expect("an honest client is let in");
            let mut times = Vec::new();
            while Instant::now() < end {
                let text = format!("{index}-{}", times.len());
                let message = json!({ "conversation_id": room, "text_message": text });
                let begun = Instant::now();
                let answer = wire.ask("message", &message).await.expect("nobody is cut off");
                times.push(begun.elapsed());
                assert_eq!(answer["success"], true, "{answer}");
                tokio::time::sleep(PAUSE).await;
            }
            times
        });
    }
    let mut times = Vec::new();
    while let Some(own) = clients.join_next().await {
        times.extend(own.unwrap());
    }
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100];
    Answers { count: times.len(), p50: at(50), p99: at(99), longest: at(100) }
}

/// The most memory that a process has until the stop, in kilobytes.
async fn highest(pid: u32, stop: CancellationToken) -> u64 {
    let mut peak = 0;
    let watch = async {
        loop {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let now = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
            peak = peak.max(now.unwrap_or(0));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let _: Option<()> = stop.run_until_cancelled(watch).await;
    peak
}
