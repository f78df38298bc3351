//! One message into a room of a thousand connections, and what an idle connection costs:
//! ours against a plain socketioxide room and a bare axum WebSocket broadcast of the same
//! bytes, in one run. Server and load generator have a core each.
//!
//! Prints ratios; timings of a noisy machine prove nothing by themselves.

mod clients;
mod servers;
mod usage;

use clients::{Crowd, Dialect, Door, Wire};
use servers::Server;

/// Connections in the room.
const LISTENERS: usize = 1000;
/// Connections of one dialect that are idle.
const IDLE: usize = 500;
/// Messages with one under way at a time.
const SINGLES: usize = 300;
/// Messages with several under way.
const PIPELINED: usize = 1200;
/// How many are under way then.
const UNDER_WAY: usize = 8;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Contender {
    Klatsch,
    /// Raw connections alone.
    KlatschRaw,
    /// Half Socket.IO, half raw.
    KlatschMixed,
    Socketioxide,
    Axum,
}

impl Contender {
    const ALL: [Self; 5] =
        [Self::Axum, Self::Socketioxide, Self::Klatsch, Self::KlatschRaw, Self::KlatschMixed];

    const fn name(self) -> &'static str {
        match self {
            Self::Klatsch => "klatsch",
            Self::KlatschRaw => "klatsch, raw",
            Self::KlatschMixed => "klatsch, half raw",
            Self::Socketioxide => "plain socketioxide",
            Self::Axum => "bare axum",
        }
    }

    const fn is_klatsch(self) -> bool {
        matches!(self, Self::Klatsch | Self::KlatschRaw | Self::KlatschMixed)
    }

    const fn wires(self) -> &'static [Wire] {
        const RAW: Wire = Wire::Raw(Dialect::Multichat);
        match self {
            Self::Klatsch | Self::Socketioxide => &[Wire::SocketIo],
            Self::KlatschRaw => &[RAW],
            Self::KlatschMixed => &[Wire::SocketIo, RAW],
            Self::Axum => &[Wire::Bare],
        }
    }
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
    let rounds: usize =
        std::env::var("KLATSCH_BENCH_ROUNDS").ok().and_then(|n| n.parse().ok()).unwrap_or(3);
    let only = std::env::var("KLATSCH_BENCH_ONLY").ok();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    usage::pin_to_core(std::process::id(), 1);
    let mut rows: Vec<(Contender, Vec<Figures>)> =
        Contender::ALL.map(|contender| (contender, Vec::new())).into();
    for _ in 0..rounds {
        // In alternation, so that a slow minute of the machine hits all alike.
        for (contender, figures) in &mut rows {
            if only.as_ref().is_some_and(|only| only != contender.name()) {
                continue;
            }
            figures.push(runtime.block_on(measure(*contender)));
            eprintln!("{}: {:?}", contender.name(), figures.last());
        }
    }
    report(&rows);
    println!("\n| {IDLE} idle connections | KiB each |\n|---|---|");
    let plain = [
        ("bare axum", Contender::Axum, Wire::Bare),
        ("plain socketioxide", Contender::Socketioxide, Wire::SocketIo),
        ("klatsch, Socket.IO", Contender::Klatsch, Wire::SocketIo),
    ];
    let idle = plain.into_iter().chain(
        Dialect::ALL.map(|dialect| (dialect.name(), Contender::KlatschRaw, Wire::Raw(dialect))),
    );
    for (name, contender, wire) in idle {
        let kib = runtime.block_on(idle_kib(contender, wire));
        println!("| {name} | {kib:.1} |");
    }
}

/// What a connection of this dialect costs that says nothing.
async fn idle_kib(contender: Contender, wire: Wire) -> f64 {
    let server = Server::start_idle(contender);
    let door = Door::open(&[wire], &server.address).await;
    // Warms up what is made at the first use, and takes up what hashing passwords has left.
    let first = Crowd::gather(&door, 2 * IDLE).await;
    let before = server.settled_kib().await;
    let crowd = Crowd::gather(&door, IDLE).await;
    let after = server.settled_kib().await;
    drop((first, crowd));
    (after - before) / IDLE as f64
}

/// What one run of one server gave.
#[derive(Clone, Copy, Debug)]
struct Figures {
    idle_kib: f64,
    single_us: f64,
    pipelined_us: f64,
    p50_ms: f64,
    p99_ms: f64,
}

async fn measure(contender: Contender) -> Figures {
    let server = Server::start(contender);
    // Passwords are hashed here, which takes memory for a moment.
    let door = Door::open(contender.wires(), &server.address).await;
    let first = Crowd::gather(&door, 1).await;
    let before = server.settled_kib().await;
    let mut crowd = Crowd::gather(&door, LISTENERS).await;
    let gathered = server.settled_kib().await;
    // Warms up what is compiled or cached at the first use.
    crowd.play(20, 1).await;
    let warm = server.usage();
    let latencies = crowd.play(SINGLES, 1).await;
    let singly = server.usage();
    crowd.play(PIPELINED, UNDER_WAY).await;
    let end = server.usage();
    drop(first);
    let deliveries = |messages: usize| (messages * LISTENERS) as f64;
    Figures {
        idle_kib: (gathered - before) / LISTENERS as f64,
        single_us: (singly.cpu_us - warm.cpu_us) / deliveries(SINGLES),
        pipelined_us: (end.cpu_us - singly.cpu_us) / deliveries(PIPELINED),
        p50_ms: quantile(&latencies, 0.5),
        p99_ms: quantile(&latencies, 0.99),
    }
}

fn quantile(sorted: &[f64], share: f64) -> f64 {
    let index = (sorted.len() as f64 * share) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

fn median(figures: &[Figures], of: impl Fn(&Figures) -> f64) -> f64 {
    let mut values: Vec<f64> = figures.iter().map(of).collect();
    values.sort_by(f64::total_cmp);
    quantile(&values, 0.5)
}

fn report(rows: &[(Contender, Vec<Figures>)]) {
    println!("one message to {LISTENERS} connections; medians; CPU of the server alone\n");
    println!(
        "| | µs per delivery, one at a time | {UNDER_WAY} under way | p50 ms | p99 ms | idle KiB |"
    );
    println!("|---|---|---|---|---|---|");
    for (contender, figures) in rows {
        println!(
            "| {} | {:.2} | {:.2} | {:.1} | {:.1} | {:.1} |",
            contender.name(),
            median(figures, |f| f.single_us),
            median(figures, |f| f.pipelined_us),
            median(figures, |f| f.p50_ms),
            median(figures, |f| f.p99_ms),
            median(figures, |f| f.idle_kib),
        );
    }
    let find = |wanted| &rows.iter().find(|(contender, _)| *contender == wanted).unwrap().1;
    for (ours, other) in [
        (Contender::Klatsch, Contender::Socketioxide),
        (Contender::Klatsch, Contender::Axum),
        (Contender::KlatschRaw, Contender::Axum),
        (Contender::KlatschMixed, Contender::Axum),
    ] {
        let (name, ours, theirs) = (ours.name(), find(ours), find(other));
        let ratio = |of: fn(&Figures) -> f64| median(ours, of) / median(theirs, of);
        println!(
            "\n{name} / {}: {:.2} one at a time, {:.2} with {UNDER_WAY} under way, {:.2} idle memory",
            other.name(),
            ratio(|f| f.single_us),
            ratio(|f| f.pipelined_us),
            ratio(|f| f.idle_kib),
        );
    }
}
