//! Clients of their own at the replicas' webhook port. API servers keep connections for long: by them alone, nobody would notice a certificate that no new one trusts.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::http;
use crate::installation::{Installation, NAME};

/// The name by which API servers ask for the replicas.
const SERVER_NAME: &str = "probekeeper.probekeeper.svc";

/// Connects to every replica again and again, trusting what is published at that moment and nothing else.
pub(crate) struct Newcomers {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<(usize, Vec<String>)>,
}

impl Newcomers {
    /// What was read of the configurations is `fresh` for so long: on a busy machine it may be older than any that an API server goes by.
    pub(crate) fn start(this: Installation, fresh: Duration) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&ended);
        let pods: Vec<String> =
            this.pods().iter().filter_map(|pod| Some(format!("{}:8443", pod["status"]["podIP"].as_str()?))).collect();
        assert_eq!(pods.len(), 3);
        let thread = std::thread::spawn(move || {
            let (mut connections, mut failed) = (0, Vec::new());
            while !stop.load(Ordering::Relaxed) {
                let read = Instant::now();
                for bundle in this.bundles() {
                    let tls = http::client_config(&STANDARD.decode(&bundle).expect("base64"));
                    for address in &pods {
                        match ask(address, &tls) {
                            Err(error) if read.elapsed() < fresh => failed.push(format!("{address}: {error}")),
                            _ => connections += 1,
                        }
                    }
                }
                std::thread::sleep(Duration::from_millis(50));
            }
            (connections, failed)
        });
        Self { ended, thread }
    }

    /// Ends them; fails the test when a single one could not connect.
    #[track_caller]
    pub(crate) fn end_without_a_failure(self) {
        self.ended.store(true, Ordering::Relaxed);
        let (connections, failed) = self.thread.join().expect("the newcomers' thread");
        assert!(failed.is_empty(), "{} of {} new connections failed: {failed:#?}", failed.len(), connections + failed.len());
        assert!(connections > 10, "hardly anybody came: {connections}");
        println!("{connections} new connections by what was published at that moment, none failed");
    }
}

/// One request to a replica: the status line of its answer, or why there is none.
pub(crate) fn ask(address: &str, tls: &Arc<ClientConfig>) -> std::io::Result<String> {
    let tcp = TcpStream::connect(address)?;
    tcp.set_read_timeout(Some(Duration::from_secs(10)))?;
    let name = ServerName::try_from(SERVER_NAME).expect("a name");
    let mut stream = StreamOwned::new(ClientConnection::new(Arc::clone(tls), name).expect("TLS client"), tcp);
    write!(stream, "GET /validate HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n")?;
    // A refusal comes after the handshake, as the first thing that is read.
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
