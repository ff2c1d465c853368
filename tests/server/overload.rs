//! More than the server can do, from a client that sends at its own pace: what is answered comes in time, the rest is told at once.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use probekeeper::cli::serve;
use probekeeper::server::Limits;
use tokio::runtime::Runtime;
use tokio::time::{Instant, interval, sleep, timeout};

use crate::client::{Client, config, post_head};
use crate::fixture::Fixture;

/// What an API server gives a webhook, and so how long an answer is worth something to it.
const PATIENCE: Duration = Duration::from_secs(3);

/// A judgement that takes 20 ms of a thread: the server is the bottleneck, not the client beside it.
const REQUEST: &str = "nap 20";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Answered,
    Refused,
    /// No connection: the cap is reached.
    Unconnected,
    /// A connection that ended after the request was sent.
    Lost,
    Late,
}

/// Connections as an API server's client keeps them: one request at a time on each, and a new one when none is idle.
struct Pool {
    fixture: Fixture,
    config: rustls::ClientConfig,
    idle: Mutex<Vec<Client>>,
}

impl Pool {
    async fn call(&self) -> (Outcome, Duration) {
        let started = Instant::now();
        let ended = timeout(PATIENCE, self.exchange()).await.unwrap_or(Outcome::Late);
        (ended, started.elapsed())
    }

    async fn exchange(&self) -> Outcome {
        let kept = self.idle.lock().unwrap().pop();
        let mut client = match kept {
            Some(client) => client,
            None => match Client::connect_with(&self.fixture, self.config.clone()).await {
                Ok(client) => client,
                Err(_) => return Outcome::Unconnected,
            },
        };
        if client.try_send(&(post_head("/validate?timeout=3s", REQUEST.len()) + REQUEST)).await.is_err() {
            return Outcome::Lost;
        }
        let Some(reply) = client.reply().await else { return Outcome::Lost };
        assert_eq!(reply.header("retry-after"), None);
        if !reply.closes() {
            self.idle.lock().unwrap().push(client);
        }
        match reply.status {
            200 => Outcome::Answered,
            503 => Outcome::Refused,
            other => panic!("status {other}"),
        }
    }
}

#[test]
fn at_twice_the_capacity_answers_come_in_time_and_the_rest_is_refused_at_once() {
    // The program's own runtime, and the client apart from it.
    let runtime = serve::runtime().unwrap();
    let guard = runtime.enter();
    let fixture = Fixture::start(Limits::default());
    drop(guard);
    let client = Runtime::new().unwrap();
    client.block_on(measure(fixture));
}

async fn measure(fixture: Fixture) {
    let config = config(&fixture.authority, rustls::ALL_VERSIONS, &["http/1.1"]);
    let pool = Arc::new(Pool { fixture, config, idle: Mutex::default() });

    // Capacity: as many at a time as there are threads, and a few more.
    let until = Instant::now() + Duration::from_millis(1500);
    let workers: Vec<_> = (0..16)
        .map(|_| {
            let pool = Arc::clone(&pool);
            tokio::spawn(async move {
                let mut answered = 0_u32;
                while Instant::now() < until {
                    assert_eq!(pool.call().await.0, Outcome::Answered);
                    answered += 1;
                }
                answered
            })
        })
        .collect();
    let mut answered = 0;
    for worker in workers {
        answered += worker.await.unwrap();
    }
    let capacity = f64::from(answered) / 1.5;

    // Twice that, whatever comes back.
    let seconds = 5.0;
    let mut ticks = interval(Duration::from_secs_f64(1.0 / (2.0 * capacity)));
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let mut calls = Vec::new();
    while Instant::now() < until {
        ticks.tick().await;
        let pool = Arc::clone(&pool);
        calls.push(tokio::spawn(async move { pool.call().await }));
    }
    let mut ended = Vec::new();
    for call in calls {
        ended.push(call.await.unwrap());
    }
    let sorted = |wanted: Outcome| {
        let mut times: Vec<_> = ended.iter().filter(|(outcome, _)| *outcome == wanted).map(|(_, took)| *took).collect();
        times.sort_unstable();
        times
    };
    let (answers, refusals) = (sorted(Outcome::Answered), sorted(Outcome::Refused));
    let at = |times: &[Duration], hundredths: usize| times[(times.len() * hundredths / 100).min(times.len() - 1)];
    let text = format!(
        "capacity {capacity:.0}/s, sent {} in {seconds} s: answered {} (p50 {:?}, p99 {:?}), 503 {}, unconnected {}, lost {}, late {}",
        ended.len(),
        answers.len(),
        at(&answers, 50),
        at(&answers, 99),
        refusals.len(),
        sorted(Outcome::Unconnected).len(),
        sorted(Outcome::Lost).len(),
        sorted(Outcome::Late).len(),
    );
    println!("{text}");
    assert!(sorted(Outcome::Lost).is_empty() && sorted(Outcome::Late).is_empty(), "{text}");
    assert!(at(&answers, 99) < Duration::from_millis(2500), "{text}");
    assert!(f64::from(u32::try_from(answers.len()).unwrap()) > 0.5 * capacity * seconds, "overload costs no capacity: {text}");
    assert!(refusals.len() > ended.len() / 20, "{text}");
    assert!(at(&refusals, 50) < Duration::from_millis(500), "refused at once: {:?}, {text}", at(&refusals, 50));

    // And right afterwards all is as before.
    sleep(Duration::from_secs(1)).await;
    let (outcome, took) = pool.call().await;
    assert_eq!(outcome, Outcome::Answered);
    assert!(took < Duration::from_secs(1), "{took:?}");
    pool.fixture.counted("probekeeper_admission_in_flight 0").await;
}
