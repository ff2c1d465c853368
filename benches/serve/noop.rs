//! The server to compare with: everything but the judgement.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use probekeeper::admission::{Answer, Outcome, Route};
use probekeeper::server::tls::{Pair, PairFiles, Served};
use probekeeper::server::{Judge, Limits, Server, bind};
use probekeeper::telemetry::metrics::Metrics;
use tokio::net::TcpListener;

/// Answers what needs no thought, after a time in which it only waits for the clock: what that costs is not what is thought about.
struct Constant {
    spin: Duration,
}

impl Judge for Constant {
    fn answer(&self, _: Route, review: &[u8]) -> Answer {
        if !self.spin.is_zero() {
            let until = Instant::now() + self.spin;
            while Instant::now() < until {
                std::hint::spin_loop();
            }
        }
        let body = [HEAD, uid(review), TAIL].concat();
        Answer {
            status: 200,
            body,
            outcome: Outcome { operation: "CREATE", kind: "Deployment".into(), verdict: "allowed", ..Outcome::default() },
        }
    }
}

const HEAD: &[u8] = br#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":""#;
const TAIL: &[u8] = br#"","allowed":true}}"#;

/// The request's uid, which an API server insists on: it stands at the beginning, and nothing else is read.
fn uid(review: &[u8]) -> &[u8] {
    const KEY: &[u8] = br#""uid":""#;
    let rest = review.windows(KEY.len()).position(|window| window == KEY).and_then(|at| review.get(at + KEY.len()..));
    rest.and_then(|rest| rest.split(|byte| *byte == b'"').next()).unwrap_or_default()
}

/// Serves on `address` with the pair in `folder` until it is killed; each answer takes so many microseconds more.
pub(crate) fn run(address: &str, folder: &str, spin_micros: &str) {
    let judge = Constant { spin: Duration::from_micros(spin_micros.parse().unwrap()) };
    let address: SocketAddr = address.parse().unwrap();
    let files = PairFiles { certificate: Path::new(folder).join("tls.crt"), key: Path::new(folder).join("tls.key") };
    let metrics = Arc::new(Metrics::new());
    let certificate = Served::new(Pair::from_files(&files).unwrap(), Arc::clone(&metrics));
    probekeeper::cli::serve::runtime().unwrap().block_on(async {
        let listener = TcpListener::from_std(bind(address).unwrap()).unwrap();
        Server::new(judge, Limits::default(), metrics).run(listener, certificate.acceptor().unwrap()).await;
    });
}
