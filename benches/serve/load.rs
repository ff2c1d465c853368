//! The load client: each connection sends the same request again as soon as it is answered.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::proc;

/// What to send, to whom, for how long.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) address: SocketAddr,
    pub(crate) authority: PathBuf,
    pub(crate) path: String,
    pub(crate) body: PathBuf,
    pub(crate) connections: usize,
    pub(crate) seconds: f64,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) requests_per_second: f64,
    pub(crate) p50_micros: f64,
    pub(crate) p99_micros: f64,
    /// With those sent to warm up.
    pub(crate) all_requests: u64,
    pub(crate) client_cpu_micros: f64,
}

/// Part of the time before anything is measured: handshakes, caches, and the server's buffers growing to their size.
const WARM_UP: f64 = 0.2;

/// Runs the plan and prints the figures as JSON.
pub(crate) fn run(plan: &Plan) {
    let body = std::fs::read(&plan.body).unwrap();
    let mut request = format!(
        "POST {}?timeout=10s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: kube-apiserver-admission\r\nContent-Length: {}\r\n\
         Accept: application/json, */*\r\nContent-Type: application/json\r\n\r\n",
        plan.path,
        body.len()
    )
    .into_bytes();
    request.extend_from_slice(&body);
    let request: Arc<[u8]> = request.into();
    let config = Arc::new(config(&std::fs::read(&plan.authority).unwrap()));
    let threads = std::thread::available_parallelism().unwrap().get().min(plan.connections);
    let measured = Duration::from_secs_f64(plan.seconds);
    let from = Instant::now() + measured.mul_f64(WARM_UP);
    let until = from + measured;
    let workers: Vec<_> = (0..threads)
        .map(|thread| {
            let connections = (thread..plan.connections).step_by(threads).count();
            let (config, request, address) = (Arc::clone(&config), Arc::clone(&request), plan.address);
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
                let local = async {
                    let tasks: Vec<_> = (0..connections)
                        .map(|_| tokio::spawn(one_connection(address, Arc::clone(&config), Arc::clone(&request), from, until)))
                        .collect();
                    let mut counted = (Vec::new(), 0);
                    for task in tasks {
                        let (times, all) = task.await.unwrap();
                        counted.0.extend(times);
                        counted.1 += all;
                    }
                    counted
                };
                let counted = runtime.block_on(local);
                (counted, proc::cpu_nanos_of_this_thread())
            })
        })
        .collect();
    let mut times = Vec::new();
    let (mut all, mut cpu) = (0, 0);
    for worker in workers {
        let ((more, count), nanos) = worker.join().unwrap();
        times.extend(more);
        all += count;
        cpu += nanos;
    }
    assert!(times.len() > 10, "too few answers to say anything");
    times.sort_unstable();
    #[allow(clippy::cast_precision_loss)]
    let figures = Figures {
        requests_per_second: times.len() as f64 / plan.seconds,
        p50_micros: f64::from(times[times.len() / 2]) / 1e3,
        p99_micros: f64::from(times[times.len() * 99 / 100]) / 1e3,
        all_requests: all,
        client_cpu_micros: cpu as f64 / 1e3 / all as f64,
    };
    println!("{}", serde_json::to_string(&figures).unwrap());
}

/// Nanoseconds that each answer took that was asked for and came within the time, and how many answers there were in all.
async fn one_connection(
    address: SocketAddr,
    config: Arc<ClientConfig>,
    request: Arc<[u8]>,
    from: Instant,
    until: Instant,
) -> (Vec<u32>, u64) {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(config).connect(name, stream).await.unwrap();
    let mut times = Vec::with_capacity(1 << 16);
    let mut buffer = vec![0; 256 << 10];
    let mut all = 0;
    let mut asked = Instant::now();
    while asked < until {
        stream.write_all(&request).await.unwrap();
        stream.flush().await.unwrap();
        let mut filled = 0;
        loop {
            let length = stream.read(&mut buffer[filled..]).await.unwrap();
            assert!(length > 0, "the server closed the connection");
            filled += length;
            if is_whole(&buffer[..filled]) {
                break;
            }
        }
        let now = Instant::now();
        all += 1;
        if asked >= from && now <= until {
            times.push(u32::try_from((now - asked).as_nanos()).unwrap_or(u32::MAX));
        }
        asked = now;
    }
    (times, all)
}

/// Whether a whole answer is there. Any but a 200 is a reason to stop.
fn is_whole(answer: &[u8]) -> bool {
    assert!(answer.len() < 12 || &answer[9..12] == b"200", "{}", String::from_utf8_lossy(answer));
    let Some(head) = answer.windows(4).position(|window| window == b"\r\n\r\n") else { return false };
    let text = std::str::from_utf8(&answer[..head]).unwrap();
    let length: usize = text.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
    answer.len() >= head + 4 + length
}

/// Trusts one authority and speaks as an API server does.
pub(crate) fn config(authorities: &[u8]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(authorities) {
        roots.add(authority.unwrap()).unwrap();
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}
