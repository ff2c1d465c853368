//! The program talks to nobody of its own accord: without a cluster it has no socket but the ones that listen and the ones that it accepted.

use std::collections::{HashMap, HashSet};
use std::fs;

use crate::client::post_head;
use crate::operations::get;
use crate::process::{Process, REVIEW};

/// A socket of the process: its protocol, and the ports on this side and the other.
type Socket = (&'static str, u16, u16);

fn sockets(pid: u32) -> Vec<Socket> {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let links: Vec<_> = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok()).collect();
    let mut known = HashMap::new();
    for protocol in ["tcp", "tcp6", "udp", "udp6", "raw", "raw6"] {
        let table = fs::read_to_string(format!("/proc/{pid}/net/{protocol}")).unwrap_or_default();
        for line in table.lines().skip(1) {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let port = |address: &str| u16::from_str_radix(address.rsplit(':').next().unwrap(), 16).unwrap();
            known.insert(fields[9].to_owned(), (protocol, port(fields[1]), port(fields[2])));
        }
    }
    // The others are Unix sockets, by which signals wake the runtime, and connections that ended between the two looks.
    let inodes = links.iter().filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']'));
    inodes.filter_map(|inode| known.get(inode).copied()).collect()
}

#[tokio::test]
async fn no_connection_goes_out() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(folder.path(), &[]).await;
    let own = [process.listen.port(), process.ops.port()];
    let mut kept = process.connect().await;
    let mut seen = HashSet::new();
    for _ in 0..50 {
        assert_eq!(kept.post("/validate?timeout=10s", REVIEW).await.status, 200);
        kept.send(&post_head("/mutate", REVIEW.len())).await;
        for socket in sockets(process.child.id()) {
            let (protocol, here, there) = socket;
            // It looks at its own port to tell whether the right certificate is served.
            let ours = protocol.starts_with("tcp") && (own.contains(&here) || there == process.listen.port());
            assert!(ours, "{socket:?} beside {own:?}");
            seen.insert(socket);
        }
        kept.send(REVIEW).await;
        assert_eq!(kept.reply().await.unwrap().status, 200);
        get(process.ops, "/metrics").await;
    }
    assert!(seen.len() >= 3, "two that listen and one connection: {seen:?}");
}
