//! `probekeeper serve` beside a server that does nothing, on loopback: throughput, latency, CPU per request, memory and start.
//!
//! `cargo bench --bench serve [-- --quick | --seconds S --rounds N | --client-nice N]`, `-- --handshakes` for those alone, `-- --soak MINUTES [--rate R]` for mixed traffic
//! over a long time, and `-- --peers [--requests N --rounds N]` for what a real API server sees of both and of a ValidatingAdmissionPolicy. Both servers are processes of their own, with the same TLS stack and the
//! same server code; the second one's judge answers a constant, at once or after 5 µs. The load client is a third process, so that its CPU time is told apart. All
//! of them share the machine's cores: throughput and latency say what a client sees, CPU per request what the server itself costs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a measurement that goes wrong ends

#[allow(dead_code)] // the tests' own, of which this needs a part
#[path = "../../tests/controlplane/cluster.rs"]
mod cluster;
#[allow(dead_code)]
#[path = "../../tests/controlplane/command.rs"]
mod command;
mod compare;
mod handshake;
#[allow(dead_code)]
#[path = "../../tests/controlplane/http.rs"]
mod http;
mod load;
mod noop;
mod peers;
mod proc;
mod review;
mod soak;
mod start;

/// The product's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("noop") => noop::run(&arguments[1], &arguments[2], &arguments[3]),
        Some("load") => load::run(&serde_json::from_str(&arguments[1]).unwrap()),
        _ if arguments.iter().any(|argument| argument == "--soak") => soak::run(&soak::Options {
            minutes: value(&arguments, "--soak").unwrap_or(60.0),
            requests_per_second: value(&arguments, "--rate").unwrap_or(200),
        }),
        _ if arguments.iter().any(|argument| argument == "--peers") => peers::run(&peers::Options {
            requests: value(&arguments, "--requests").unwrap_or(100),
            rounds: value(&arguments, "--rounds").unwrap_or(7),
        }),
        _ if arguments.iter().any(|argument| argument == "--handshakes") => compare::handshakes(),
        _ if arguments.iter().any(|argument| argument == "--bench") => compare::run(&options(&arguments)),
        // `cargo test --all-targets` builds and starts this too.
        _ => println!("run with: cargo bench --bench serve"),
    }
}

/// What follows an argument.
fn value<T: std::str::FromStr<Err: std::fmt::Debug>>(arguments: &[String], name: &str) -> Option<T> {
    let at = arguments.iter().position(|argument| argument == name)?;
    Some(arguments.get(at + 1).unwrap_or_else(|| panic!("{name} needs a value")).parse().unwrap())
}

fn options(arguments: &[String]) -> compare::Options {
    let quick = arguments.iter().any(|argument| argument == "--quick");
    compare::Options {
        seconds: value(arguments, "--seconds").unwrap_or(if quick { 0.3 } else { 1.5 }),
        rounds: value(arguments, "--rounds").unwrap_or(if quick { 2 } else { 5 }),
        starts: if quick { 5 } else { 15 },
        client_nice: value(arguments, "--client-nice").unwrap_or(5),
    }
}
