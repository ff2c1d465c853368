//! Which sockets a process has.

use std::collections::HashMap;
use std::fs;

/// A socket of the process: its protocol, and the ports on this side and the other.
pub(crate) type Socket = (&'static str, u16, u16);

pub(crate) fn sockets(pid: u32) -> Vec<Socket> {
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
