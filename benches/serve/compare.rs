//! Runs both servers in turn under the same load and prints medians as a table.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::SystemTime;

use probekeeper::pki::issue::development;

use crate::load::{Figures, Plan};
use crate::start::{Running, first_answer, free_address, product};
use crate::{handshake, proc, review};

/// How long and how often.
pub(crate) struct Options {
    /// Of each measurement.
    pub(crate) seconds: f64,
    /// Measurements of each kind, interleaved.
    pub(crate) rounds: usize,
    /// Starts of the product.
    pub(crate) starts: usize,
    /// By how much the servers go before the load client, as for `nice`. At 0 each answer that wakes the client may interrupt the server, the more often the
    /// longer its answers take, which no API server on cores of its own does; above 5 the client comes too late, and cores are idle.
    pub(crate) client_nice: u8,
}

const SIZES: [usize; 4] = [2_000, 5_000, 20_000, 200_000];
const CONNECTIONS: [usize; 2] = [1, 25];
/// What the second no-op server spins for before each answer: about what the product thinks of 5 kB.
const SPIN: u32 = 5;
const SUBJECTS: [Subject; 4] = [
    Subject { name: "no-op", path: "/validate", server: 0 },
    Subject { name: "no-op + 5 µs", path: "/validate", server: 1 },
    Subject { name: "/validate", path: "/validate", server: 2 },
    Subject { name: "/mutate", path: "/mutate", server: 2 },
];

struct Subject {
    name: &'static str,
    path: &'static str,
    /// No-op, spinning no-op, product.
    server: usize,
}

/// One measurement.
struct Sample {
    throughput: f64,
    p50: f64,
    p99: f64,
    cpu: f64,
    client_cpu: f64,
}

/// A folder with an authority and a pair of it.
fn certificates() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let issued = development(None, SystemTime::now()).unwrap();
    for (name, text) in [("ca.crt", &issued.authority), ("tls.crt", &issued.certificate), ("tls.key", &issued.key)] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// Measures handshakes alone.
pub(crate) fn handshakes() {
    let folder = certificates();
    handshake::run(folder.path(), &start_product(folder.path()));
}

/// Measures and prints.
pub(crate) fn run(options: &Options) {
    let folder = certificates();
    let bodies = SIZES.map(|size| {
        let body = review::review(size);
        std::fs::write(folder.path().join(format!("{size}.json")), &body).unwrap();
        body
    });

    let starts: Vec<_> = (0..options.starts).map(|_| first_answer(folder.path(), &bodies[1])).collect();
    println!(
        "exec to first answer (self-signed): {:.1} ms, resident then {} KiB; medians of {}",
        median(starts.iter().map(|(millis, _)| *millis)),
        median_whole(starts.iter().map(|(_, kib)| *kib)),
        starts.len()
    );

    let servers = [start_noop(folder.path(), 0), start_noop(folder.path(), SPIN), start_product(folder.path())];
    let [noop, _, product] = &servers;
    std::thread::sleep(std::time::Duration::from_millis(500));
    println!("idle resident memory: no-op {} KiB, probekeeper {} KiB", rss(noop), rss(product));
    handshake::run(folder.path(), product);
    println!(
        "{} rounds of {} s, {} cores shared by server and client (nice {})",
        options.rounds,
        options.seconds,
        std::thread::available_parallelism().unwrap(),
        options.client_nice
    );

    let cells = SIZES.len() * CONNECTIONS.len();
    // samples[cell][subject][round]
    let mut samples: Vec<[Vec<Sample>; SUBJECTS.len()]> = (0..cells).map(|_| [const { Vec::new() }; SUBJECTS.len()]).collect();
    for round in 0..options.rounds {
        for (cell, (size, connections)) in grid().enumerate() {
            for at in 0..SUBJECTS.len() {
                // Nobody always runs first.
                let subject = (at + round) % SUBJECTS.len();
                let server = &servers[SUBJECTS[subject].server];
                samples[cell][subject].push(measure(folder.path(), server, SUBJECTS[subject].path, size, connections, options));
            }
        }
        eprintln!("round {} of {} done", round + 1, options.rounds);
    }

    println!();
    println!(
        "| body | connections | path | requests/s | of no-op | p50 µs | p99 µs | p99 of no-op | server CPU µs/request | of no-op | client CPU µs/request |"
    );
    println!("|--:|--:|:--|--:|--:|--:|--:|--:|--:|--:|--:|");
    for (cell, (size, connections)) in grid().enumerate() {
        let bytes = bodies[SIZES.iter().position(|other| *other == size).unwrap()].len();
        for (subject, samples_of_subject) in SUBJECTS.iter().zip(&samples[cell]) {
            let figure = |get: fn(&Sample) -> f64| median(samples_of_subject.iter().map(get));
            // Each round against its own no-op: what else the machine did in that minute concerns both.
            let ratio = |get: fn(&Sample) -> f64| {
                median(samples_of_subject.iter().zip(&samples[cell][0]).map(|(one, noop)| get(one) / get(noop)))
            };
            println!(
                "| {:.1} kB | {connections} | {} | {:.0} | {:.2} | {:.0} | {:.0} | {:.2} | {:.1} | {:.2} | {:.1} |",
                f64::from(u32::try_from(bytes).unwrap()) / 1e3,
                subject.name,
                figure(|sample| sample.throughput),
                ratio(|sample| sample.throughput),
                figure(|sample| sample.p50),
                figure(|sample| sample.p99),
                ratio(|sample| sample.p99),
                figure(|sample| sample.cpu),
                ratio(|sample| sample.cpu),
                figure(|sample| sample.client_cpu),
            );
        }
    }
    println!();
    for (name, server) in [("no-op", noop), ("probekeeper", product)] {
        println!(
            "resident memory of {name} after the load: {} KiB, at most {} KiB",
            rss(server),
            proc::memory_kib(server.pid(), "VmHWM")
        );
    }
}

fn grid() -> impl Iterator<Item = (usize, usize)> {
    SIZES.into_iter().flat_map(|size| CONNECTIONS.into_iter().map(move |connections| (size, connections)))
}

pub(crate) fn start_noop(folder: &Path, spin_micros: u32) -> Running {
    let address = free_address();
    let mut command = Command::new(std::env::current_exe().unwrap());
    Running::spawn(command.arg("noop").arg(address.to_string()).arg(folder).arg(spin_micros.to_string()), address)
}

pub(crate) fn start_product(folder: &Path) -> Running {
    let address = free_address();
    let pair = format!("files:{},{}", folder.join("tls.crt").display(), folder.join("tls.key").display());
    Running::spawn(&mut product(address, &["--tls".to_owned(), pair]), address)
}

fn measure(folder: &Path, server: &Running, path: &str, size: usize, connections: usize, options: &Options) -> Sample {
    let plan = Plan {
        address: server.address,
        authority: folder.join("ca.crt"),
        path: path.to_owned(),
        body: folder.join(format!("{size}.json")),
        connections,
        seconds: options.seconds,
    };
    let before = proc::cpu_nanos(server.pid());
    let output = Command::new("nice")
        .args(["-n", &options.client_nice.to_string()])
        .arg(std::env::current_exe().unwrap())
        .arg("load")
        .arg(serde_json::to_string(&plan).unwrap())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let cpu = proc::cpu_nanos(server.pid()) - before;
    assert!(output.status.success(), "the load client failed");
    let figures: Figures = serde_json::from_slice(&output.stdout).unwrap();
    #[allow(clippy::cast_precision_loss)]
    Sample {
        throughput: figures.requests_per_second,
        p50: figures.p50_micros,
        p99: figures.p99_micros,
        cpu: cpu as f64 / 1e3 / figures.all_requests as f64,
        client_cpu: figures.client_cpu_micros,
    }
}

fn rss(server: &Running) -> u64 {
    proc::memory_kib(server.pid(), "VmRSS")
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}

fn median_whole(values: impl Iterator<Item = u64>) -> u64 {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    values[values.len() / 2]
}
