//! The real process under floods that ask nothing, or too much: its memory stays bounded, and who asks properly is answered meanwhile.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::client::{Client, Reply, config, post_head};
use crate::process::{Process, REVIEW};

/// Resident memory, in MiB.
pub(crate) fn resident(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
}

/// What became of proper calls beside a flood.
struct Proper {
    answered: u32,
    /// Told that the answer would come too late, as a crowded machine may make it.
    late: u32,
    /// Most of resident memory that was seen, in MiB.
    most: u64,
}

impl Proper {
    fn count(&mut self, reply: &Reply) {
        match reply.status {
            200 => self.answered += 1,
            // Room for them there must be, and time where the machine has it.
            503 if reply.body.contains("after the caller's deadline") => self.late += 1,
            _ => panic!("{reply:?}"),
        }
    }

    fn went_well(&self) {
        assert!(self.answered > 4 && self.late * 10 <= self.answered, "{} answered, {} late", self.answered, self.late);
    }
}

impl std::fmt::Display for Proper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "at most {} MiB, {} proper calls answered, {} late", self.most, self.answered, self.late)
    }
}

/// Asks properly, again and again, on a kept connection and on new ones; each answer must come within the API server's patience.
async fn well_behaved(process: Arc<Process>, flooding: Arc<AtomicBool>) -> Proper {
    let mut kept = process.connect().await;
    let mut proper = Proper { answered: 0, late: 0, most: 0 };
    while flooding.load(Ordering::Relaxed) {
        let asked = Instant::now();
        let reply = kept.post("/validate?timeout=10s", REVIEW).await;
        proper.count(&reply);
        if reply.closes() {
            kept = process.connect().await;
        }
        let mut new = process.connect().await;
        proper.count(&new.post("/mutate?timeout=10s", REVIEW).await);
        assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
        proper.most = proper.most.max(resident(&process));
        sleep(Duration::from_millis(20)).await;
    }
    proper
}

/// 10,000 of them in CI, which take two minutes where nothing is optimised; elsewhere as many as `PROBEKEEPER_HANDSHAKES` says, or 1,000.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_without_requests() {
    let usual = if std::env::var_os("CI").is_some() { 10_000 } else { 1_000 };
    let count: usize = std::env::var("PROBEKEEPER_HANDSHAKES").map_or(usual, |count| count.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let process = Arc::new(Process::start(folder.path(), &["--max-connections", "64"]).await);
    let flooding = Arc::new(AtomicBool::new(true));
    let polite = tokio::spawn(well_behaved(Arc::clone(&process), Arc::clone(&flooding)));
    let before = resident(&process);
    let config = config(&process.authority, rustls::ALL_VERSIONS, &["http/1.1"]);
    let workers: Vec<_> = (0..8)
        .map(|_| {
            let (config, address) = (config.clone(), process.listen);
            tokio::spawn(async move {
                let mut open = std::collections::VecDeque::new();
                for _ in 0..count / 8 {
                    // One that makes room for a newer one is no failure of the server.
                    open.extend(Client::connect_to(address, config.clone()).await.ok());
                    if open.len() > 20 {
                        open.pop_front();
                    }
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    flooding.store(false, Ordering::Relaxed);
    let proper = polite.await.unwrap();
    println!("{count} handshakes: {before} MiB before, {proper}");
    proper.went_well();
    assert!(proper.most < before + 64, "{before} MiB before, {proper}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_that_never_end() {
    let folder = tempfile::tempdir().unwrap();
    let process = Arc::new(Process::start(folder.path(), &[]).await);
    let flooding = Arc::new(AtomicBool::new(true));
    let polite = tokio::spawn(well_behaved(Arc::clone(&process), Arc::clone(&flooding)));
    let before = resident(&process);
    let config = config(&process.authority, rustls::ALL_VERSIONS, &["http/1.1"]);
    // 60 bodies of which 6 MiB come: 360 MiB if nobody stopped them.
    let most_of_it = Arc::new("x".repeat(6 << 20));
    let senders: Vec<_> = (0..60)
        .map(|_| {
            let (config, address, body) = (config.clone(), process.listen, Arc::clone(&most_of_it));
            tokio::spawn(async move {
                let mut client = Client::connect_to(address, config).await.unwrap();
                client.send(&post_head("/validate", 8 << 20)).await;
                // Where it is refused, the rest is not read.
                let _ = client.try_send(&body).await;
                let mut answer = [0; 12];
                let _ = client.stream.read(&mut answer).await;
                answer[9..12] == *b"503"
            })
        })
        .collect();
    let mut refused = 0;
    for sender in senders {
        refused += usize::from(sender.await.unwrap());
    }
    flooding.store(false, Ordering::Relaxed);
    let proper = polite.await.unwrap();
    println!("60 bodies, {refused} refused: {before} MiB before, {proper}");
    proper.went_well();
    // 64 MiB in flight, a copy of the largest while it grows, and what the allocator keeps.
    assert!(proper.most < before + 160, "{before} MiB before, {proper}");
}

/// How many files the process has open.
fn open_files(process: &Process) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", process.child.id())).unwrap().count()
}

/// What a client may do that no API server does.
#[derive(Debug, Clone, Copy)]
enum Misdeed {
    SaysNothing,
    SaysPartOfHello,
    NoTls,
    ShakesHandsAndLeaves,
    PartOfHead,
    PartOfBody,
    ResetsWithinBody,
    LeavesWithinAnswer,
    SaysGoodbyeAfterAsking,
    NeverReadsAnswers,
    AnnouncesTooMuch,
    WrongContentType,
}

const MISDEEDS: [Misdeed; 12] = [
    Misdeed::SaysNothing,
    Misdeed::SaysPartOfHello,
    Misdeed::NoTls,
    Misdeed::ShakesHandsAndLeaves,
    Misdeed::PartOfHead,
    Misdeed::PartOfBody,
    Misdeed::ResetsWithinBody,
    Misdeed::LeavesWithinAnswer,
    Misdeed::SaysGoodbyeAfterAsking,
    Misdeed::NeverReadsAnswers,
    Misdeed::AnnouncesTooMuch,
    Misdeed::WrongContentType,
];

/// Does it once and keeps the connection for a moment. Any end of it is right: others tell what the answers are.
async fn misbehave(misdeed: Misdeed, address: SocketAddr, config: rustls::ClientConfig) -> std::io::Result<()> {
    const MOMENT: Duration = Duration::from_millis(300);
    let instead_of_tls: Option<&[u8]> = match misdeed {
        Misdeed::SaysNothing => Some(b""),
        Misdeed::SaysPartOfHello => Some(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        Misdeed::NoTls => Some(b"POST /validate HTTP/1.1\r\nHost: x\r\n\r\n"),
        _ => None,
    };
    if let Some(bytes) = instead_of_tls {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(bytes).await?;
        sleep(MOMENT).await;
        return Ok(());
    }
    let mut client = Client::connect_to(address, config).await?;
    let request = post_head("/validate?timeout=10s", REVIEW.len()) + REVIEW;
    match misdeed {
        Misdeed::PartOfHead => client.try_send(&request[..20]).await?,
        Misdeed::PartOfBody | Misdeed::ResetsWithinBody => {
            client.try_send(&post_head("/mutate", 8 << 20)).await?;
            client.try_send(&"x".repeat(1 << 20)).await?;
        }
        Misdeed::LeavesWithinAnswer | Misdeed::SaysGoodbyeAfterAsking => client.try_send(&request).await?,
        Misdeed::NeverReadsAnswers => client.try_send(&request.repeat(500)).await?,
        Misdeed::AnnouncesTooMuch => client.try_send(&post_head("/validate", (8 << 20) + 1)).await?,
        Misdeed::WrongContentType => client.try_send(&request.replace("application/json", "text/plain")).await?,
        _ => {}
    }
    match misdeed {
        Misdeed::ShakesHandsAndLeaves => return Ok(()),
        Misdeed::ResetsWithinBody => client.stream.get_ref().0.set_zero_linger()?,
        Misdeed::LeavesWithinAnswer => drop(client.stream.read(&mut [0; 10]).await?),
        Misdeed::SaysGoodbyeAfterAsking => client.stream.shutdown().await?,
        _ => sleep(MOMENT).await,
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_misdeed_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let process = Arc::new(Process::start(folder.path(), &["--max-connections", "64"]).await);
    let before = (resident(&process), open_files(&process));
    let flooding = Arc::new(AtomicBool::new(true));
    let polite = tokio::spawn(well_behaved(Arc::clone(&process), Arc::clone(&flooding)));
    let config = config(&process.authority, rustls::ALL_VERSIONS, &["http/1.1"]);
    let workers: Vec<_> = (0..48)
        .map(|at| {
            let (config, address) = (config.clone(), process.listen);
            tokio::spawn(async move {
                for round in 0..12 {
                    // Whoever makes room for another, or is cut, is no failure of the server.
                    let _ = misbehave(MISDEEDS[(at + round) % MISDEEDS.len()], address, config.clone()).await;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    flooding.store(false, Ordering::Relaxed);
    let proper = polite.await.unwrap();
    println!("every misdeed: {} MiB before, {proper}", before.0);
    proper.went_well();
    // A MiB for each of those that send one, which grows by doubling, and what the allocator keeps.
    assert!(proper.most < before.0 + 64, "{} MiB before, {proper}", before.0);
    process.counted("probekeeper_connections 0").await;
    process.counted("probekeeper_admission_in_flight 0").await;
    // One or two more may be somebody who asks for the metrics.
    assert!(open_files(&process) <= before.1 + 2, "{} files open, {} before", open_files(&process), before.1);
}
