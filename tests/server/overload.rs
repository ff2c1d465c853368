//! More than the server can do, from a client that sends at its own pace: what is answered comes in time, the rest is told at once.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use probekeeper::cli::serve;
use probekeeper::server::Limits;
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::time::{Instant, interval, sleep, timeout};

use crate::client::{Client, config, post_head};
use crate::fixture::Fixture;
use crate::flood::resident;
use crate::process::Process;

/// What an API server gives a webhook, and so how long an answer is worth something to it.
const PATIENCE: Duration = Duration::from_secs(3);

/// A judgement that takes 20 ms of a thread: the server is the bottleneck, not the client beside it.
const REQUEST: &str = "nap 20";

/// How many of these a second the server's threads can do.
fn possible() -> f64 {
    let threads = std::thread::available_parallelism().unwrap().get().min(4);
    50.0 * f64::from(u32::try_from(threads).unwrap())
}

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
    address: SocketAddr,
    config: rustls::ClientConfig,
    request: String,
    idle: Mutex<Vec<Client>>,
}

impl Pool {
    fn new(address: SocketAddr, authority: &str, path: &str, body: &str) -> Arc<Self> {
        let config = config(authority, rustls::ALL_VERSIONS, &["http/1.1"]);
        Arc::new(Self { address, config, request: post_head(path, body.len()) + body, idle: Mutex::default() })
    }

    /// Answers a second to 16 clients that each wait for their answer.
    async fn capacity(self: &Arc<Self>) -> f64 {
        let until = Instant::now() + Duration::from_millis(1500);
        let workers: Vec<_> = (0..16)
            .map(|_| {
                let pool = Arc::clone(self);
                tokio::spawn(async move {
                    let mut answered = 0_u32;
                    while Instant::now() < until {
                        answered += u32::from(pool.call().await.0 == Outcome::Answered);
                    }
                    answered
                })
            })
            .collect();
        let mut answered = 0;
        for worker in workers {
            answered += worker.await.unwrap();
        }
        f64::from(answered) / 1.5
    }

    /// Calls at this rate, whatever comes back; `look` is called with each.
    async fn load(self: &Arc<Self>, per_second: f64, seconds: f64, mut look: impl FnMut()) -> Calls {
        let mut ticks = interval(Duration::from_secs_f64(1.0 / per_second));
        let until = Instant::now() + Duration::from_secs_f64(seconds);
        let mut calls = Vec::new();
        while Instant::now() < until {
            ticks.tick().await;
            let pool = Arc::clone(self);
            calls.push(tokio::spawn(async move { pool.call().await }));
            look();
        }
        let mut ended = Vec::new();
        for call in calls {
            ended.push(call.await.unwrap());
        }
        Calls(ended)
    }

    async fn call(&self) -> (Outcome, Duration) {
        let started = Instant::now();
        let ended = timeout(PATIENCE, self.exchange()).await.unwrap_or(Outcome::Late);
        (ended, started.elapsed())
    }

    async fn exchange(&self) -> Outcome {
        let kept = self.idle.lock().unwrap().pop();
        let mut client = match kept {
            Some(client) => client,
            None => match Client::connect_to(self.address, self.config.clone()).await {
                Ok(client) => client,
                Err(_) => return Outcome::Unconnected,
            },
        };
        if client.try_send(&self.request).await.is_err() {
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

/// How each call ended, and after which time.
struct Calls(Vec<(Outcome, Duration)>);

impl Calls {
    /// Shortest first.
    fn of(&self, wanted: Outcome) -> Vec<Duration> {
        let mut times: Vec<_> = self.0.iter().filter(|(outcome, _)| *outcome == wanted).map(|(_, took)| *took).collect();
        times.sort_unstable();
        times
    }

    fn count(&self, wanted: Outcome) -> usize {
        self.of(wanted).len()
    }
}

impl std::fmt::Display for Calls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let answers = self.of(Outcome::Answered);
        let (half, most) = (percentile(&answers, 50), percentile(&answers, 99));
        let [refused, unconnected, lost, late] =
            [Outcome::Refused, Outcome::Unconnected, Outcome::Lost, Outcome::Late].map(|outcome| self.count(outcome));
        write!(f, "sent {}: answered {} (p50 {half:?}, p99 {most:?}), 503 {refused}, ", self.0.len(), answers.len())?;
        write!(f, "unconnected {unconnected}, lost {lost}, late {late}")
    }
}

fn percentile(times: &[Duration], hundredths: usize) -> Duration {
    times[(times.len() * hundredths / 100).min(times.len() - 1)]
}

/// Threads of this process that wait for a core at any moment, from which on others are to blame.
const CROWDED: f64 = 1.5;

/// What part of what is possible must be reached before the load comes. Judgements that only sleep need no core: where fewer come back, the client does not
/// get to ask, and its clock is as late as its questions.
const REACHED: f64 = 0.8;

/// These take all of the machine: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn at_twice_the_capacity_answers_come_in_time_and_the_rest_is_refused_at_once() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // The program's own runtime, and the client apart from it.
    let runtime = serve::runtime().unwrap();
    let guard = runtime.enter();
    // How many connections there may be is another test's matter.
    let fixture = Fixture::start(Limits { connections: 10_000, ..Limits::default() });
    drop(guard);
    let client = Runtime::new().unwrap();
    client.block_on(async {
        for attempt in 1..=3 {
            if measure(&fixture, attempt == 3).await {
                return;
            }
        }
    });
}

/// Seconds that the threads of this process spent ready to run, waiting for a core.
fn waited() -> f64 {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let delay = |path: std::path::PathBuf| {
        let text = std::fs::read_to_string(path.join("schedstat")).ok()?;
        text.split(' ').nth(1)?.parse::<f64>().ok()
    };
    threads.filter_map(|thread| delay(thread.ok()?.path())).sum::<f64>() / 1e9
}

/// False where others took so much of the machine that times say nothing about the server; `last` goes without them then.
async fn measure(fixture: &Fixture, last: bool) -> bool {
    let pool = Pool::new(fixture.address, &fixture.authority, "/validate?timeout=3s", REQUEST);
    // What is measured is too little where others have the machine, and then twice of it would be no overload.
    let (capacity, possible) = (pool.capacity().await, possible());
    let (seconds, before) = (5.0, waited());
    let calls = pool.load(2.0 * possible, seconds, || {}).await;
    let waited = waited() - before;
    let text = format!("capacity {capacity:.0}/s of {possible:.0}, in {seconds} s {calls}; waited {waited:.1} s for a core");
    println!("{text}");
    let (answers, refusals) = (calls.of(Outcome::Answered), calls.of(Outcome::Refused));
    assert_eq!(calls.count(Outcome::Lost), 0, "{text}");
    assert!(!answers.is_empty() && !refusals.is_empty(), "{text}");
    let crowded = waited > CROWDED * seconds || capacity < REACHED * possible;
    if crowded && !last {
        return false;
    }
    if !crowded {
        assert_eq!(calls.count(Outcome::Late), 0, "{text}");
        assert!(percentile(&answers, 99) < Duration::from_millis(2500), "{text}");
        let enough = 0.5 * capacity * seconds;
        assert!(f64::from(u32::try_from(answers.len()).unwrap()) > enough, "overload costs no capacity: {text}");
        assert!(refusals.len() > calls.0.len() / 20, "{text}");
        let half = percentile(&refusals, 50);
        assert!(half < Duration::from_millis(500), "refused at once: {half:?}, {text}");
    }

    // And right afterwards all is as before.
    sleep(Duration::from_secs(1)).await;
    let (outcome, took) = pool.call().await;
    assert_eq!(outcome, Outcome::Answered);
    assert!(crowded || took < Duration::from_secs(1), "{took:?}");
    fixture.counted("probekeeper_admission_in_flight 0").await;
    true
}

/// The program itself, with reviews that are as long to read as to judge.
#[test]
fn under_overload_memory_stays_bounded() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    Runtime::new().unwrap().block_on(measure_memory());
}

async fn measure_memory() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), &[]).await;
    let pool = Pool::new(process.listen, &process.authority, "/validate?timeout=3s", &large_review());
    let capacity = pool.capacity().await;
    let before = resident(&process);
    let (mut most, mut at) = (before, 0);
    let calls = pool
        .load(3.0 * capacity, 4.0, || {
            at += 1;
            if at % 16 == 0 {
                most = most.max(resident(&process));
            }
        })
        .await;
    let text = format!("capacity {capacity:.0}/s, {before} MiB before, at most {most} MiB, {calls}");
    println!("{text}");
    // Lost is not looked at: at the cap, a connection whose request is still on its way may have to make room.
    assert!(
        calls.count(Outcome::Answered) > 0 && calls.count(Outcome::Refused) + calls.count(Outcome::Unconnected) > 0,
        "{text}"
    );
    // 64 MiB in flight, copies while they grow, a read buffer for each connection, and what the allocator keeps.
    assert!(most < before + 160, "{text}");
    process.counted("probekeeper_admission_in_flight 0").await;
    assert_eq!(pool.call().await.0, Outcome::Answered, "all is as before");
}

/// About 100 kB: a Deployment of 150 containers.
fn large_review() -> String {
    let probe = json!({ "httpGet": { "path": "/healthz", "port": "http", "scheme": "HTTP" }, "periodSeconds": 10, "timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3 });
    let container = |at: usize| {
        json!({
            "name": format!("c{at}"), "image": "example.invalid/app:1", "ports": [{ "name": "http", "containerPort": 8000 + at }],
            "env": [{ "name": "NOTE", "value": "x".repeat(200) }], "livenessProbe": probe, "readinessProbe": probe,
        })
    };
    let containers: Vec<_> = (0..150).map(container).collect();
    let object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web", "namespace": "shop" },
        "spec": { "selector": { "matchLabels": { "app": "web" } }, "template": { "metadata": { "labels": { "app": "web" } }, "spec": { "containers": containers } } },
    });
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": { "uid": "u-1", "operation": "CREATE", "namespace": "shop", "name": "web", "object": object },
    })
    .to_string()
}
