//! The real process under floods that ask nothing, or too much: its memory stays bounded, and who asks properly is answered meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::time::sleep;

use crate::client::{Client, config, post_head};
use crate::process::{Process, REVIEW};

/// Resident memory, in MiB.
pub(crate) fn resident(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
}

/// Asks properly, again and again, on a kept connection and on new ones; each answer must come within the API server's patience.
async fn well_behaved(process: Arc<Process>, flooding: Arc<AtomicBool>) -> (u32, u64) {
    let mut kept = process.connect().await;
    let (mut answered, mut most) = (0, 0);
    while flooding.load(Ordering::Relaxed) {
        let asked = Instant::now();
        assert_eq!(kept.post("/validate?timeout=10s", REVIEW).await.status, 200);
        let mut new = process.connect().await;
        assert_eq!(new.post("/mutate?timeout=10s", REVIEW).await.status, 200);
        assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
        answered += 2;
        most = most.max(resident(&process));
        sleep(Duration::from_millis(20)).await;
    }
    (answered, most)
}

/// `PROBEKEEPER_HANDSHAKES` of them: 10,000 take a minute where nothing is optimised.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_without_requests() {
    let count: usize = std::env::var("PROBEKEEPER_HANDSHAKES").map_or(1000, |count| count.parse().unwrap());
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
    let (answered, most) = polite.await.unwrap();
    println!("{count} handshakes: {before} MiB before, at most {most} MiB, {answered} proper calls answered");
    assert!(answered > 4);
    assert!(most < before + 64, "{before} MiB before, {most} MiB at most");
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
    let (answered, most) = polite.await.unwrap();
    println!("60 bodies: {before} MiB before, at most {most} MiB, {refused} refused, {answered} proper calls answered");
    assert!(answered > 4);
    // 64 MiB in flight, a copy of the largest while it grows, and what the allocator keeps.
    assert!(most < before + 160, "{before} MiB before, {most} MiB at most");
}
