//! From exec to the first answer, with the default flags: a certificate is made on the way.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use crate::{load, proc};

/// A process that is killed when it is no longer needed.
pub(crate) struct Running {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Running {
    /// The process identifier.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> std::process::ExitStatus {
        self.child.wait().unwrap()
    }

    /// Waits until the port is there.
    pub(crate) fn spawn(command: &mut Command, address: SocketAddr) -> Self {
        let running = Self { child: command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap(), address };
        for _ in 0..10_000 {
            if TcpStream::connect(address).is_ok() {
                return running;
            }
            sleep(Duration::from_micros(500));
        }
        panic!("{address} is not served");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address on loopback that nobody uses at the moment.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// The product, with the given certificate flags.
pub(crate) fn product(address: SocketAddr, flags: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_probekeeper"));
    command.args(["serve", "--listen", &address.to_string(), "--ops-listen", "127.0.0.1:0", "--log-format", "json"]).args(flags);
    command.stderr(Stdio::null());
    command
}

/// Milliseconds from exec to the first answer to `body`, and then the resident memory in KiB.
pub(crate) fn first_answer(folder: &Path, body: &[u8]) -> (f64, u64) {
    let authority = folder.join("start-ca.pem");
    // It may not be there yet.
    let _ = std::fs::remove_file(&authority);
    let flags = ["--ca-out".to_owned(), authority.display().to_string()];
    let address = free_address();
    let started = Instant::now();
    let running = Running::spawn(&mut product(address, &flags), address);
    let config = Arc::new(load::config(&std::fs::read(&authority).unwrap()));
    let session = ClientConnection::new(config, ServerName::try_from("localhost").unwrap()).unwrap();
    let mut stream = StreamOwned::new(session, TcpStream::connect(address).unwrap());
    let head =
        format!("POST /validate HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    let mut answer = [0; 64];
    let length = stream.read(&mut answer).unwrap();
    let took = started.elapsed();
    assert!(answer[..length].starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..length]));
    (took.as_secs_f64() * 1e3, proc::memory_kib(running.pid(), "VmRSS"))
}
