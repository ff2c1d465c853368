//! What a connection costs whose TLS session is resumed, beside one with a full handshake.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, StreamOwned};

use crate::start::Running;
use crate::{load, proc};

/// Connections of each kind in a round, and rounds; the kinds take turns, so that what else the machine does concerns both.
const CONNECTIONS: u32 = 100;
const ROUNDS: usize = 10;

/// Measures and prints one line.
pub(crate) fn run(folder: &Path, server: &Running) {
    let mut full = load::config(&std::fs::read(folder.join("ca.crt")).unwrap());
    let resumed = Arc::new(full.clone());
    full.resumption = Resumption::disabled();
    let full = Arc::new(full);
    // The first of them has nothing to resume.
    connect(server.address, &resumed);
    let mut ratios = Vec::new();
    let mut figures = Vec::new();
    for _ in 0..ROUNDS {
        let [full, resumed] = [(&full, HandshakeKind::Full), (&resumed, HandshakeKind::Resumed)].map(|(config, kind)| {
            let (cpu, start) = (proc::cpu_nanos(server.pid()), Instant::now());
            for _ in 0..CONNECTIONS {
                assert_eq!(connect(server.address, config), kind);
            }
            let micros = start.elapsed().as_secs_f64() * 1e6 / f64::from(CONNECTIONS);
            #[allow(clippy::cast_precision_loss)]
            let cpu = (proc::cpu_nanos(server.pid()) - cpu) as f64 / 1e3 / f64::from(CONNECTIONS);
            (micros, cpu)
        });
        ratios.push((resumed.0 / full.0, resumed.1 / full.1));
        figures.push((full, resumed));
    }
    let median = |get: &dyn Fn(usize) -> f64| {
        let mut values: Vec<f64> = (0..ROUNDS).map(get).collect();
        values.sort_by(f64::total_cmp);
        values[ROUNDS / 2]
    };
    println!(
        "connect, one request, close: full handshake {:.0} µs (server CPU {:.0} µs), resumed {:.0} µs ({:.0} µs): {:.2} of the time, {:.2} of the CPU; medians of {ROUNDS} rounds of {CONNECTIONS}",
        median(&|at| figures[at].0.0),
        median(&|at| figures[at].0.1),
        median(&|at| figures[at].1.0),
        median(&|at| figures[at].1.1),
        median(&|at| ratios[at].0),
        median(&|at| ratios[at].1),
    );
}

fn connect(address: SocketAddr, config: &Arc<ClientConfig>) -> HandshakeKind {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_nodelay(true).unwrap();
    let connection = ClientConnection::new(Arc::clone(config), ServerName::try_from("localhost").unwrap()).unwrap();
    let mut stream = StreamOwned::new(connection, socket);
    stream.write_all(b"GET /validate HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // To the end: the ticket for the next one comes with the answer.
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 405"), "{}", String::from_utf8_lossy(&answer));
    stream.conn.handshake_kind().unwrap()
}
