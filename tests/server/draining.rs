//! SIGTERM to the real process while it is being asked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use tokio::time::sleep;

use crate::client::{Client, config, post_head};
use crate::operations::get;
use crate::process::{Process, REVIEW};

#[derive(Default)]
struct Seen {
    ending: AtomicBool,
    answered: AtomicU32,
    closed: AtomicU32,
}

/// As an API server's client: asks on one connection until told that it closes, then on a new one, until there is none.
async fn keep_asking(address: SocketAddr, config: ClientConfig, seen: Arc<Seen>) {
    loop {
        let Ok(mut client) = Client::connect_to(address, config.clone()).await else {
            assert!(seen.ending.load(Ordering::SeqCst), "no connection before the end");
            return;
        };
        loop {
            let sent = client.try_send(&(post_head("/validate?timeout=10s", REVIEW.len()) + REVIEW)).await;
            let reply = client.reply().await.unwrap_or_else(|| panic!("a request without an answer; sent: {sent:?}"));
            assert_eq!(reply.status, 200);
            seen.answered.fetch_add(1, Ordering::Relaxed);
            if reply.closes() {
                assert!(seen.ending.load(Ordering::SeqCst), "closed before the end");
                seen.closed.fetch_add(1, Ordering::Relaxed);
                client.closed().await;
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_no_request_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path(), &["--drain-delay", "3s"]).await;
    let config = config(&process.authority, rustls::ALL_VERSIONS, &["http/1.1"]);
    let seen = Arc::new(Seen::default());
    let workers: Vec<_> = (0..16).map(|_| tokio::spawn(keep_asking(process.listen, config.clone(), Arc::clone(&seen)))).collect();
    while seen.answered.load(Ordering::Relaxed) < 200 {
        sleep(Duration::from_millis(10)).await;
    }
    seen.ending.store(true, Ordering::SeqCst);
    process.signal("TERM");
    // From when it says so; on a busy machine the signal takes its time.
    while get(process.ops, "/readyz").await.0 == 200 {
        sleep(Duration::from_millis(1)).await;
    }
    let before = seen.answered.load(Ordering::Relaxed);
    for worker in workers {
        worker.await.unwrap();
    }
    assert_eq!(process.exit_code().await, Some(0));
    let (answered, closed) = (seen.answered.load(Ordering::Relaxed), seen.closed.load(Ordering::Relaxed));
    println!("{before} answers before it was ending, {} after that, {closed} of them with Connection: close", answered - before);
    // All that were under way by then may be without it; after that, each has it.
    assert!(closed >= 16 && closed + 32 >= answered - before, "{closed} of {}", answered - before);
}

#[tokio::test]
async fn a_client_that_is_stuck_does_not_keep_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path(), &["--drain-delay", "100ms", "--shutdown-timeout", "500ms"]).await;
    let mut stuck = process.connect().await;
    stuck.send(&post_head("/validate", REVIEW.len())).await;
    let mut silent = process.connect().await;
    let told = Instant::now();
    process.signal("TERM");
    assert_eq!(process.exit_code().await, Some(0));
    // Its body would have been awaited for 10 s, its next request for 3 min.
    assert!(told.elapsed() < Duration::from_secs(8), "{:?}", told.elapsed());
    assert!(stuck.reply().await.is_none());
    silent.closed().await;
}
