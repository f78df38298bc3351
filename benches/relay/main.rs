//! Kilobyte datagrams through the relay: ours, inside the process and with sockets of its own,
//! against coturn's `turnserver` under the same load, in one run. Server and load generator
//! have a core each.
//!
//! Prints ratios; timings of a noisy machine prove nothing by themselves. What a server costs
//! is its processor time: the load generator is often slower than the server.

mod client;
mod load;
mod servers;
#[path = "../fanout/usage.rs"]
mod usage;

use std::time::Duration;

use client::Transport;
use load::{Crowd, Pace};
use servers::{Contender, Server};
use usage::Usage;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Two clients each that send to one another.
const PAIRS: usize = 20;
/// Datagrams of a pair that are under way when as many are sent as go through.
const UNDER_WAY: usize = 4;
/// How often each client sends when the pace is that of calls.
const EVERY: Duration = Duration::from_millis(5);

/// What is sent through the servers.
const LOADS: [(&str, Transport, Pace); 4] = [
    ("UDP, as many as go through", Transport::Udp, Pace::Answers(UNDER_WAY)),
    ("UDP, 8000 a second", Transport::Udp, Pace::Every(EVERY)),
    ("TCP, as many as go through", Transport::Tcp, Pace::Answers(UNDER_WAY)),
    ("TCP, 8000 a second", Transport::Tcp, Pace::Every(EVERY)),
];

/// What one server made of one load.
#[derive(Clone, Copy, Debug)]
struct Figures {
    cpu_us: f64,
    per_second: f64,
    /// In hundredths.
    lost: f64,
    resident_kib: f64,
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("serve") => servers::serve(arguments.get(2).map_or("", String::as_str)),
        // `cargo test` runs benches that have no harness with this argument.
        Some("--test") => {}
        _ => compare(),
    }
}

fn compare() {
    let number = |key: &str| std::env::var(key).ok().and_then(|n| n.parse::<u64>().ok());
    let rounds = number("KLATSCH_BENCH_ROUNDS").unwrap_or(3);
    let span = Duration::from_secs(number("KLATSCH_BENCH_SECONDS").unwrap_or(4));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    usage::pin_to_core(std::process::id(), 1);
    let contenders: Vec<_> = Contender::ALL.into_iter().filter(|one| one.is_there()).collect();
    let mut rows: Vec<_> = LOADS
        .iter()
        .map(|load| (load, contenders.iter().map(|one| (*one, Vec::new())).collect::<Vec<_>>()))
        .collect();
    for _ in 0..rounds {
        // In alternation, so that a slow minute of the machine hits all alike.
        for ((_, transport, pace), figures) in &mut rows {
            for (contender, figures) in figures {
                let server = Server::start(*contender);
                figures.push(runtime.block_on(measure(&server, *transport, *pace, span)));
            }
        }
    }
    println!("one kilobyte from client to client through the relay, {PAIRS} pairs; medians\n");
    println!("| load | server | µs of CPU per packet | packets a second | lost | MiB |");
    println!("|---|---|---|---|---|---|");
    for ((load, ..), figures) in &rows {
        report(load, figures);
    }
}

async fn measure(server: &Server, transport: Transport, pace: Pace, span: Duration) -> Figures {
    let crowd = Crowd::gather(server.address, transport, pace, PAIRS).await;
    // Warms up what is made at the first use.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (before, counted) = (Usage::of(server.pid()), crowd.counted());
    let begun = std::time::Instant::now();
    tokio::time::sleep(span).await;
    let (after, now) = (Usage::of(server.pid()), crowd.counted());
    let (sent, heard) = ((now.sent - counted.sent) as f64, (now.heard - counted.heard) as f64);
    Figures {
        cpu_us: (after.cpu_us - before.cpu_us) / heard,
        per_second: heard / begun.elapsed().as_secs_f64(),
        lost: 100.0 * (1.0 - heard / sent).max(0.0),
        resident_kib: after.resident_kib,
    }
}

fn report(load: &str, rows: &[(Contender, Vec<Figures>)]) {
    let cpu = |figures: &[Figures]| median(figures, |f| f.cpu_us);
    let coturn = rows.iter().find(|(one, _)| *one == Contender::Coturn).map(|(_, f)| cpu(f));
    for (contender, figures) in rows {
        let own = cpu(figures);
        let ratio =
            coturn.map_or(String::new(), |coturn| format!(" ({:.2} of coturn)", own / coturn));
        println!(
            "| {load} | {} | {own:.2}{ratio} | {:.0} | {:.2} % | {:.1} |",
            contender.name(),
            median(figures, |f| f.per_second),
            median(figures, |f| f.lost),
            median(figures, |f| f.resident_kib) / 1024.0,
        );
    }
}

fn median(figures: &[Figures], of: impl Fn(&Figures) -> f64) -> f64 {
    let mut values: Vec<f64> = figures.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
