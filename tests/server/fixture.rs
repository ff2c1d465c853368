//! A server with a fake judge, on a port of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use probekeeper::admission::{Answer, Outcome, Route};
use probekeeper::pki::issue::{Issued, development};
use probekeeper::server::tls::{Pair, Served};
use probekeeper::server::{Judge, Limits, Server, bind};
use probekeeper::telemetry::metrics::Metrics;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A body that makes the fake judge panic.
pub(crate) const POISON: &str = "poison";

/// Says what it was asked. `nap N` as the body makes it take N milliseconds of its thread, `long N` answer N bytes.
pub(crate) struct Echo;

impl Judge for Echo {
    fn answer(&self, route: Route, body: &[u8]) -> Answer {
        assert!(body != POISON.as_bytes(), "poisoned");
        let number = |word: &str| std::str::from_utf8(body).ok()?.strip_prefix(word)?.trim().parse().ok();
        if let Some(milliseconds) = number("nap ") {
            std::thread::sleep(Duration::from_millis(milliseconds));
        }
        let long = number("long ").and_then(|length| usize::try_from(length).ok());
        Answer {
            status: 200,
            body: long.map_or_else(|| format!("{} {}", route.path(), body.len()).into_bytes(), |length| vec![b'x'; length]),
            outcome: Outcome {
                operation: "CREATE",
                kind: "Deployment".into(),
                verdict: "denied",
                findings: vec![("unknown-port-name", "deny")],
                filled: vec!["livenessProbe.timeoutSeconds"],
                rule_errors: vec!["hair-trigger-liveness"],
                ..Outcome::default()
            },
        }
    }
}

pub(crate) struct Fixture {
    pub(crate) address: SocketAddr,
    /// PEM of the authority that the client trusts.
    pub(crate) authority: String,
    pub(crate) server: Arc<Server<Echo>>,
    pub(crate) certificate: Served,
    pub(crate) metrics: Arc<Metrics>,
    running: JoinHandle<()>,
}

impl Fixture {
    pub(crate) fn start(limits: Limits) -> Self {
        Self::start_with(limits, &issue())
    }

    pub(crate) fn start_with(limits: Limits, issued: &Issued) -> Self {
        let metrics = Arc::new(Metrics::new());
        let certificate = Served::new(pair(issued), Arc::clone(&metrics));
        let server = Server::new(Echo, limits, Arc::clone(&metrics));
        let listener = TcpListener::from_std(bind("127.0.0.1:0".parse().unwrap()).unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let running = tokio::spawn(Arc::clone(&server).run(listener, certificate.acceptor().unwrap()));
        Self { address, authority: issued.authority.clone(), server, certificate, metrics, running }
    }

    /// Waits until the metrics hold this line: counters move just after the client has seen the effect.
    pub(crate) async fn counted(&self, line: &str) {
        for _ in 0..200 {
            if self.metrics.encode().lines().any(|found| found == line) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no `{line}` in\n{}", self.metrics.encode());
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        self.running.abort();
    }
}

pub(crate) fn issue() -> Issued {
    development(None, SystemTime::now()).unwrap()
}

pub(crate) fn pair(issued: &Issued) -> Pair {
    Pair::from_pem(issued.certificate.as_bytes(), issued.key.as_bytes(), ("certificate", "key")).unwrap()
}
