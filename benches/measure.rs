//! How long something takes, and how many instructions: the clock of a busy machine lies, the count of instructions hardly does.
//!
//! Instructions are counted by callgrind, which runs this very bench again for one case, with few and with more rounds: the difference is what the
//! rounds cost, without the start of the process. Where valgrind is missing, that is said, and only times are printed.

use std::hint::black_box;
use std::process::Command;
use std::time::Instant;

/// One thing to measure.
pub(crate) struct Case {
    pub(crate) name: String,
    /// Bytes that are read in one round.
    pub(crate) bytes: usize,
    /// Gets everything ready, and gives what is done in one round.
    make: Box<dyn Fn() -> Work>,
}

pub(crate) type Work = Box<dyn FnMut() -> usize>;

impl Case {
    /// What is done in a round gives something that depends on its result, so that it is not optimised away.
    pub(crate) fn new(name: impl Into<String>, bytes: usize, make: impl Fn() -> Work + 'static) -> Self {
        Self { name: name.into(), bytes, make: Box::new(make) }
    }
}

/// Rounds under callgrind: a few and more. The start differs a little from process to process (seeds of hash maps): many rounds make that small.
const COUNTED: [u64; 2] = [10, 210];
/// Batches of which the fastest is the time: what else the machine does only adds.
const BATCHES: u32 = 60;
/// A batch takes about so long.
const BATCH_NANOS: f64 = 2e6;

/// Measures every case and prints a table, or runs the rounds of one case for callgrind.
pub(crate) fn run(cases: &[Case]) {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, at, rounds] = &arguments[..]
        && word == "count"
    {
        let mut work = (cases[at.parse::<usize>().unwrap()].make)();
        for _ in 0..rounds.parse().unwrap() {
            black_box(work());
        }
        return;
    }
    if !arguments.iter().any(|argument| argument == "--bench") {
        // `cargo test --all-targets` starts this too: every case must work.
        for case in cases {
            black_box((case.make)()());
        }
        return;
    }
    let only = arguments.iter().find(|argument| !argument.starts_with('-'));
    let counts = Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success());
    if !counts {
        println!("valgrind is not installed (Debian: apt-get install valgrind): times only, no counts of instructions");
    }
    println!("| case | bytes | µs | instructions |\n|:--|--:|--:|--:|");
    for (at, case) in cases.iter().enumerate() {
        if only.is_some_and(|only| !case.name.contains(&**only)) {
            continue;
        }
        let micros = fastest(&mut (case.make)()) / 1e3;
        let instructions = if counts { instructions(at).to_string() } else { "?".to_owned() };
        println!("| {} | {} | {micros:.2} | {instructions} |", case.name, case.bytes);
    }
}

/// Nanoseconds of one round in the fastest batch.
fn fastest(work: &mut dyn FnMut() -> usize) -> f64 {
    let mut batch = |rounds: u32| {
        let start = Instant::now();
        for _ in 0..rounds {
            black_box(work());
        }
        start.elapsed().as_secs_f64() * 1e9 / f64::from(rounds)
    };
    let first = batch(50);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // at least one and at most 2e6
    let rounds = (BATCH_NANOS / first).clamp(1.0, BATCH_NANOS) as u32;
    (0..BATCHES).map(|_| batch(rounds)).fold(f64::INFINITY, f64::min)
}

/// Instructions of one round.
fn instructions(at: usize) -> u64 {
    let [few, more] = COUNTED.map(|rounds| {
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(std::env::current_exe().unwrap())
            .args(["count", &at.to_string(), &rounds.to_string()])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let count = said.lines().find_map(|line| line.split_once("Collected :")).map(|(_, count)| count.trim().to_owned());
        count.and_then(|count| count.parse::<u64>().ok()).unwrap_or_else(|| panic!("callgrind did not count: {said}"))
    });
    (more - few) / (COUNTED[1] - COUNTED[0])
}
