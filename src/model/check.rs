//! When two probes are the same check: what the kubelet would send is compared, not how it is written.

use super::{Container, Handler, HttpGet, PortRef, Probe, Text};

/// Whether two probes of one container ask the same question of the same target: ports by number after resolving names, default path and scheme,
/// headers by name without regard to case and order (but for the values of one name), command word by word, gRPC service.
pub fn same_check(container: &Container<'_>, one: &Probe<'_>, other: &Probe<'_>) -> bool {
    match (one.handler(), other.handler()) {
        (Some(Handler::HttpGet(a)), Some(Handler::HttpGet(b))) => {
            same_port(container, a.port.as_ref(), b.port.as_ref())
                && same_host(a.host.as_ref(), b.host.as_ref())
                && scheme(a).eq_ignore_ascii_case(scheme(b))
                && path(a) == path(b)
                && same_headers(a, b)
        }
        (Some(Handler::TcpSocket(a)), Some(Handler::TcpSocket(b))) => {
            same_port(container, a.port.as_ref(), b.port.as_ref()) && same_host(a.host.as_ref(), b.host.as_ref())
        }
        (Some(Handler::Grpc(a)), Some(Handler::Grpc(b))) => {
            a.port == b.port && a.service.as_deref().unwrap_or_default() == b.service.as_deref().unwrap_or_default()
        }
        (Some(Handler::Exec(a)), Some(Handler::Exec(b))) => a.command == b.command,
        _ => false,
    }
}

/// A port that a probe names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// The number that the kubelet connects to.
    Number(i64),
    /// A name that the container does not declare: the probe never runs (semantics 2.6).
    Unknown,
}

/// What the kubelet makes of a port: a name is looked up among the container's own ports, case-sensitively.
pub fn resolve_port(container: &Container<'_>, port: &PortRef<'_>) -> Port {
    match port {
        PortRef::Number(number) => Port::Number(*number),
        PortRef::Name(name) => container
            .ports
            .iter()
            .find(|declared| declared.name.as_ref() == Some(name))
            .and_then(|declared| declared.container_port)
            .map_or(Port::Unknown, Port::Number),
    }
}

fn same_port(container: &Container<'_>, a: Option<&PortRef<'_>>, b: Option<&PortRef<'_>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => match (resolve_port(container, a), resolve_port(container, b)) {
            (Port::Number(a), Port::Number(b)) => a == b,
            (Port::Unknown, Port::Unknown) => a == b,
            _ => false,
        },
        (None, None) => true,
        _ => false,
    }
}

fn same_host(a: Option<&Text<'_>>, b: Option<&Text<'_>>) -> bool {
    let host = |text: Option<&Text<'_>>| text.map(|text| text.to_ascii_lowercase()).filter(|text| !text.is_empty());
    host(a) == host(b)
}

fn scheme<'h>(http: &'h HttpGet<'_>) -> &'h str {
    http.scheme.as_deref().filter(|scheme| !scheme.is_empty()).unwrap_or("HTTP")
}

/// A missing leading slash works (semantics 2.7), so it makes no difference.
fn path<'h>(http: &'h HttpGet<'_>) -> &'h str {
    let path = http.path.as_deref().unwrap_or_default();
    path.strip_prefix('/').unwrap_or(path)
}

fn same_headers(a: &HttpGet<'_>, b: &HttpGet<'_>) -> bool {
    if a.http_headers.is_empty() && b.http_headers.is_empty() {
        return true;
    }
    let sorted = |http: &HttpGet<'_>| {
        let mut headers: Vec<_> =
            http.http_headers.iter().map(|header| (header.name.to_ascii_lowercase(), header.value.to_string())).collect();
        // Go sends the names sorted, and the values of one name in the order in which they were written.
        headers.sort_by(|(one, _), (other, _)| one.cmp(other));
        headers
    };
    sorted(a) == sorted(b)
}
