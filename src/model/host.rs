//! Where the `host` of an httpGet or tcpSocket probe leads.

use std::net::IpAddr;

/// What a host name or address means to the kubelet, which connects from the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// The pod itself: no host, or one that cannot be told from it.
    Pod,
    /// `localhost`, 127/8 or ::1: the node, unless the pod has the node's network (semantics 2.8).
    Loopback,
    /// Another machine.
    Other,
}

/// Classifies the `host` field of a probe.
pub fn classify_host(host: Option<&str>) -> Host {
    let Some(host) = host.map(str::trim).filter(|host| !host.is_empty()) else { return Host::Pod };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if bare.trim_end_matches('.').eq_ignore_ascii_case("localhost") {
        return Host::Loopback;
    }
    match bare.parse::<IpAddr>() {
        Ok(address) if address.is_loopback() => Host::Loopback,
        Ok(IpAddr::V6(address)) if address.to_ipv4_mapped().is_some_and(|address| address.is_loopback()) => Host::Loopback,
        // The node's own wildcard address connects to the node itself.
        Ok(address) if address.is_unspecified() => Host::Loopback,
        _ => Host::Other,
    }
}
