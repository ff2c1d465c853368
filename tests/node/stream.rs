//! A stream of dry-run applies through the API server: whatever happens to the installation meanwhile, every one of them has to be judged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::http::Answer;
use crate::node::Node;

/// From the start of one call to the start of the next.
const INTERVAL: Duration = Duration::from_millis(20);

/// Applies, by turns, a Deployment to be filled in and one to be rejected, until it is ended.
pub(crate) struct Stream {
    ended: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
    thread: JoinHandle<Report>,
}

/// What became of a stream.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) calls: usize,
    /// How long the slowest took, and when it began, since the stream's start.
    pub(crate) slowest: (Duration, Duration),
    /// Calls that were not judged: when, since the stream's start, and what was answered.
    pub(crate) failed: Vec<(Duration, String)>,
}

impl Stream {
    /// Starts one in a namespace of its own.
    pub(crate) fn start(node: &'static Node, name: &str) -> Self {
        Self::demanding(node, name, is_judged)
    }

    /// As `start`, but a call may also pass unseen: it only must not fail.
    pub(crate) fn start_unseen(node: &'static Node, name: &str) -> Self {
        Self::demanding(node, name, |answer, good| matches!(answer.code, 200 | 201) || is_judged(answer, good))
    }

    fn demanding(node: &'static Node, name: &str, demand: fn(&Answer, bool) -> bool) -> Self {
        node.namespace(name);
        let ended = Arc::new(AtomicBool::new(false));
        let calls = Arc::new(AtomicUsize::new(0));
        let thread = {
            let (ended, calls, namespace) = (Arc::clone(&ended), Arc::clone(&calls), name.to_owned());
            std::thread::spawn(move || run(node, &namespace, demand, &ended, &calls))
        };
        Self { ended, calls, thread }
    }

    /// Waits until so many more calls were answered: what happens next happens in the middle of the stream.
    #[track_caller]
    pub(crate) fn go_on(&self, calls: usize) {
        let goal = self.calls.load(Ordering::Relaxed) + calls;
        let end = Instant::now() + Duration::from_mins(1);
        while self.calls.load(Ordering::Relaxed) < goal {
            assert!(Instant::now() < end, "no {calls} calls within a minute");
            std::thread::sleep(INTERVAL);
        }
    }

    /// Ends it; fails the test when a single call was not judged.
    #[track_caller]
    pub(crate) fn end_without_a_failure(self, what: &str) -> Report {
        let report = self.end();
        let shown: Vec<_> = report.failed.iter().take(10).collect();
        assert!(report.failed.is_empty(), "{what}: {} of {} calls failed: {shown:#?}", report.failed.len(), report.calls);
        let (took, at) = report.slowest;
        let (calls, took, at) = (report.calls, took.as_millis(), at.as_secs());
        println!("{what}: {calls} calls, none failed, the slowest took {took} ms, {at} s after the first");
        report
    }

    pub(crate) fn end(self) -> Report {
        self.ended.store(true, Ordering::Relaxed);
        self.thread.join().expect("the stream's thread")
    }
}

fn run(node: &Node, namespace: &str, demand: fn(&Answer, bool) -> bool, ended: &AtomicBool, calls: &AtomicUsize) -> Report {
    let start = Instant::now();
    let mut report = Report { calls: 0, slowest: (Duration::ZERO, Duration::ZERO), failed: Vec::new() };
    while !ended.load(Ordering::Relaxed) {
        let began = Instant::now();
        let good = report.calls.is_multiple_of(2);
        let answer = apply(node, namespace, good);
        if !answer.as_ref().is_ok_and(|answer| demand(answer, good)) {
            report.failed.push((start.elapsed(), describe(&answer)));
        }
        report.calls += 1;
        report.slowest = report.slowest.max((began.elapsed(), began - start));
        calls.store(report.calls, Ordering::Relaxed);
        std::thread::sleep(INTERVAL.saturating_sub(began.elapsed()));
    }
    report
}

/// One dry-run apply of a Deployment that gets numbers filled in, or of one that is rejected.
pub(crate) fn apply(node: &Node, namespace: &str, good: bool) -> std::io::Result<Answer> {
    let (name, liveness) = if good {
        ("good", json!({ "httpGet": { "path": "/", "port": 8080 }, "initialDelaySeconds": 40, "periodSeconds": 5 }))
    } else {
        ("bad", json!({ "httpGet": { "path": "/", "port": 8080 }, "periodSeconds": 2, "failureThreshold": 1 }))
    };
    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments/{name}?dryRun=All&fieldManager=stream&force=true");
    node.call("PATCH", &path, "application/apply-patch+yaml", &deployment(name, &liveness).to_string())
}

fn is_judged(answer: &Answer, good: bool) -> bool {
    if good { is_filled(answer) } else { is_rejected(answer) }
}

pub(crate) fn is_filled(answer: &Answer) -> bool {
    let timeout = answer.body["spec"]["template"]["spec"]["containers"][0]["livenessProbe"]["timeoutSeconds"].as_i64();
    matches!(answer.code, 200 | 201) && timeout.is_some_and(|timeout| timeout > 1)
}

pub(crate) fn is_rejected(answer: &Answer) -> bool {
    answer.code == 403 && answer.message().contains("hair-trigger-liveness")
}

pub(crate) fn describe(answer: &std::io::Result<Answer>) -> String {
    match answer {
        Ok(answer) if answer.code < 400 => format!("{}, accepted as it was", answer.code),
        Ok(answer) => format!("{}: {}", answer.code, answer.message()),
        Err(e) => e.to_string(),
    }
}

/// A Deployment of one container with this liveness probe.
pub(crate) fn deployment(name: &str, liveness: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": name },
        "spec": {
            "replicas": 1,
            "selector": { "matchLabels": { "app": name } },
            "template": {
                "metadata": { "labels": { "app": name } },
                "spec": {
                    // The server in the image does not heed SIGTERM.
                    "terminationGracePeriodSeconds": 1,
                    "containers": [{
                        "name": "app", "image": "localhost/app:1", "ports": [{ "containerPort": 8080 }],
                        "livenessProbe": liveness,
                        "readinessProbe": { "httpGet": { "path": "/index.html", "port": 8080 }, "periodSeconds": 2, "timeoutSeconds": 2 },
                    }],
                },
            },
        },
    })
}
