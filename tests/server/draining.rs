//! SIGTERM to the real process while it is being asked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use tokio::time::sleep;

use crate::client::{Client, config, post_head};
use crate::process::{Process, REVIEW};

/// Within this time from the start of its connection, a request is answered whatever happens. On a crowded machine a client may be slower.
const FIRST_LINGER: Duration = Duration::from_secs(1);

/// What has happened, as the clients see it.
#[derive(Default)]
struct Seen {
    /// The signal is on its way.
    ending: AtomicBool,
    /// The process has said that it is not ready any more.
    draining: AtomicBool,
    answered: AtomicU32,
    /// Answers to requests that were sent after it had said so.
    drained: AtomicU32,
}

/// As an API server's client: asks on one connection until told that it closes, then on a new one, until there is none.
async fn keep_asking(address: SocketAddr, config: ClientConfig, seen: Arc<Seen>) {
    loop {
        let begun = Instant::now();
        let Ok(mut client) = Client::connect_to(address, config.clone()).await else {
            assert!(seen.ending.load(Ordering::SeqCst), "no connection before the end");
            return;
        };
        loop {
            let draining = seen.draining.load(Ordering::SeqCst);
            let sent = client.try_send(&(post_head("/validate?timeout=10s", REVIEW.len()) + REVIEW)).await;
            let took = begun.elapsed();
            let Some(reply) = client.reply().await else {
                assert!(
                    took > FIRST_LINGER,
                    "a request without an answer, sent {took:?} after its connection was begun: {sent:?}"
                );
                return;
            };
            assert_eq!(reply.status, 200);
            seen.answered.fetch_add(1, Ordering::Relaxed);
            assert!(reply.closes() || !draining, "a request of the drain whose answer does not close the connection");
            seen.drained.fetch_add(u32::from(draining), Ordering::Relaxed);
            if reply.closes() {
                assert!(seen.ending.load(Ordering::SeqCst), "closed before the end");
                client.closed().await;
                break;
            }
        }
    }
}

/// Clients that ask without pause, beside one that is stuck within a request: that one ends with the time that is given.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_no_request_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path(), &["--drain-delay", "3s", "--shutdown-timeout", "2s"]).await;
    let config = config(&process.authority, rustls::ALL_VERSIONS, &["http/1.1"]);
    let seen = Arc::new(Seen::default());
    let workers: Vec<_> = (0..16).map(|_| tokio::spawn(keep_asking(process.listen, config.clone(), Arc::clone(&seen)))).collect();
    while seen.answered.load(Ordering::Relaxed) < 200 {
        sleep(Duration::from_millis(10)).await;
    }
    seen.ending.store(true, Ordering::SeqCst);
    process.signal("TERM");
    process.unready().await;
    seen.draining.store(true, Ordering::SeqCst);
    let mut stuck = process.connect().await;
    stuck.send(&post_head("/validate", REVIEW.len())).await;
    for worker in workers {
        worker.await.unwrap();
    }
    assert_eq!(process.exit_code().await, Some(0));
    assert!(stuck.reply().await.is_none(), "its body was awaited for 10 s, and then it was told so");
    let (answered, drained) = (seen.answered.load(Ordering::Relaxed), seen.drained.load(Ordering::Relaxed));
    println!("{answered} answers, {drained} of them with Connection: close to requests of the drain");
    assert!(drained >= 16, "{drained}");
}

#[tokio::test]
async fn a_client_that_is_stuck_does_not_keep_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path(), &["--drain-delay", "100ms", "--shutdown-timeout", "500ms"]).await;
    let mut stuck = process.connect().await;
    stuck.send(&post_head("/validate", REVIEW.len())).await;
    let mut silent = process.connect().await;
    process.signal("TERM");
    // The next request of the silent one would be awaited for 3 min.
    assert_eq!(process.exit_code().await, Some(0));
    assert!(stuck.reply().await.is_none(), "its body was awaited for 10 s, and then it was told so");
    silent.closed().await;
}
