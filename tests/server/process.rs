//! The program itself: start, readiness, signals, exit codes.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::client::{Client, config, post_head};
use crate::fixture::issue;
use crate::operations::get;

pub(crate) const REVIEW: &str = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"u-1","operation":"DELETE","kind":{"group":"","version":"v1","kind":"Pod"},"object":null,"oldObject":null}}"#;

pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) listen: SocketAddr,
    pub(crate) ops: SocketAddr,
    pub(crate) authority: String,
}

impl Process {
    pub(crate) async fn start(folder: &Path, flags: &[&str]) -> Self {
        let authority = folder.join("ca.pem");
        let mut child = serve().arg("--ca-out").arg(&authority).args(flags).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let serving: serde_json::Value = loop {
            let line = lines.next().expect("it ended").unwrap();
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            if line["message"] == "serving" {
                break line;
            }
        };
        // Nobody reads any more; the pipe stays open until the process ends.
        std::thread::spawn(move || lines.count());
        let address = |name: &str| serving[name].as_str().unwrap().parse().unwrap();
        let process = Self {
            child,
            listen: address("listen"),
            ops: address("ops"),
            authority: std::fs::read_to_string(authority).unwrap(),
        };
        for _ in 0..500 {
            if get(process.ops, "/readyz").await.0 == 200 {
                return process;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("not ready: {}", get(process.ops, "/readyz?verbose").await.1);
    }

    /// Waits until the metrics hold this line.
    pub(crate) async fn counted(&self, line: &str) {
        for _ in 0..1000 {
            if get(self.ops, "/metrics").await.1.lines().any(|found| found == line) {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
        panic!("no `{line}` in\n{}", get(self.ops, "/metrics").await.1);
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::connect_to(self.listen, config(&self.authority, rustls::ALL_VERSIONS, &["http/1.1"])).await.unwrap()
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits until it says that it is not ready, and what it says then. A signal takes its time on a busy machine.
    pub(crate) async fn unready(&self) -> String {
        for _ in 0..2000 {
            let (status, text) = get(self.ops, "/readyz").await;
            if status == 503 {
                return text;
            }
            sleep(Duration::from_millis(5)).await;
        }
        panic!("still ready");
    }

    pub(crate) async fn exit_code(&mut self) -> Option<i32> {
        for _ in 0..1000 {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("it does not end");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_probekeeper"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0", "--log-format", "json"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("PROBEKEEPER_")) {
        command.env_remove(name);
    }
    command
}

#[tokio::test]
async fn sigterm_drains_and_ends_with_zero() {
    let folder = tempfile::tempdir().unwrap();
    // All that is asked below has to come while it drains.
    let mut process = Process::start(folder.path(), &["--drain-delay", "3s"]).await;
    let (mut kept, mut busy) = (process.connect().await, process.connect().await);
    let reply = kept.post("/validate?timeout=10s", REVIEW).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert!(reply.body.contains(r#""uid":"u-1""#) && reply.body.contains(r#""allowed":true"#), "{}", reply.body);
    assert!(!reply.closes());
    busy.send(&post_head("/validate", REVIEW.len())).await;

    process.signal("TERM");
    let gates = process.unready().await;
    assert!(gates.contains("[-]running: ending"), "{gates}");
    let reply = kept.post("/validate", REVIEW).await;
    assert_eq!(reply.status, 200);
    assert!(reply.closes());
    let mut new = process.connect().await;
    assert!(new.post("/mutate", REVIEW).await.closes(), "new connections are served while draining");

    while TcpStream::connect(process.listen).await.is_ok() {
        sleep(Duration::from_millis(20)).await;
    }
    assert!(process.child.try_wait().unwrap().is_none(), "a request is in flight");
    busy.send(REVIEW).await;
    assert_eq!(busy.reply().await.unwrap().status, 200);
    assert_eq!(process.exit_code().await, Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path(), &["--drain-delay", "1h"]).await;
    // Not even a request in flight keeps it.
    let mut busy = process.connect().await;
    busy.send(&post_head("/validate", REVIEW.len())).await;
    process.counted("probekeeper_admission_in_flight 1").await;
    process.signal("TERM");
    process.unready().await;
    assert!(process.child.try_wait().unwrap().is_none());
    process.signal("INT");
    assert_eq!(process.exit_code().await, Some(130));
    assert!(busy.reply().await.is_none());
}

#[test]
fn what_keeps_it_from_starting_is_one_line_and_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (issue(), issue());
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("crt"), &one.certificate).unwrap();
    std::fs::write(path("other-key"), &other.key).unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let nowhere = path("nowhere/ca.pem");
    for (flags, expected) in [
        (["--listen", &address], format!("cannot listen on {address}; free the port or choose another with --listen")),
        (["--ops-listen", &address], format!("cannot listen on {address}; free the port or choose another with --ops-listen")),
        (
            ["--tls", &format!("files:{},{}", path("crt"), path("no-key"))],
            format!(
                "cannot read {}: No such file or directory; mount the file or correct --tls files:CERT,KEY\n",
                path("no-key")
            ),
        ),
        (
            ["--tls", &format!("files:{},{}", path("crt"), path("other-key"))],
            format!("the key in {} does not belong", path("other-key")),
        ),
        (["--ca-out", &nowhere], format!("--ca-out: {nowhere}: cannot be written")),
    ] {
        let output = replaced(flags).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(&expected), "`{expected}` in {text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
    for flags in [["--tls", "nonsense"], ["--drain-delay", "10"], ["--max-body-bytes", "8MB"], ["--listen", "8443"]] {
        let output = replaced(flags).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        assert!(String::from_utf8(output.stderr).unwrap().contains(flags[0]));
    }
}

/// A flag may be given once, so the ports are given only where they are not the subject.
pub(crate) fn replaced(flags: [&str; 2]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_probekeeper"));
    command.arg("serve").args(flags).stdin(Stdio::null());
    for port in ["--listen", "--ops-listen"] {
        if flags[0] != port {
            command.args([port, "127.0.0.1:0"]);
        }
    }
    command
}
