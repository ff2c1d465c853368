//! Whom a probe asks, as written in it.

use crate::model::{Container, Handler, PortRef, Probe, ProbeKind, Reach, Reading, Workload};

/// A probe that asks another machine, by name or address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ask {
    /// The container whose probe it is.
    pub container: Box<str>,
    /// Which probe.
    pub probe: ProbeKind,
    /// Name or address, in lower case, without brackets and final dot.
    pub host: Box<str>,
    /// The question, for people: `http://shipping:80/health/ready`.
    pub question: Box<str>,
    /// Whether it asks for the other's readiness rather than for anything else.
    pub of_readiness: bool,
}

/// Every question that the valid probes of a workload put to other machines, in the order of containers and probes.
pub(super) fn asks(workload: &Workload<'_>) -> Vec<Ask> {
    let mut asks = Vec::new();
    for container in &workload.containers {
        for (kind, probe) in container.valid_probes() {
            asks.extend(targets(workload, container, probe).into_iter().map(|target| Ask {
                container: (&*container.name).into(),
                probe: kind,
                host: plain_host(&target.host).into(),
                of_readiness: asks_readiness(&target.path),
                question: target.question.into(),
            }));
        }
    }
    asks
}

struct Target {
    host: String,
    path: String,
    question: String,
}

fn targets(workload: &Workload<'_>, container: &Container<'_>, probe: &Probe<'_>) -> Vec<Target> {
    if let Some(Handler::Exec(_)) = probe.handler() {
        return exec_targets(workload, container, probe);
    }
    let Some((_, host)) = workload.other_host(probe) else { return Vec::new() };
    let (path, question) = match probe.handler() {
        Some(Handler::HttpGet(http)) => {
            let path = http.path.as_deref().unwrap_or_default();
            let scheme = http.scheme.as_deref().filter(|scheme| !scheme.is_empty()).unwrap_or("HTTP").to_ascii_lowercase();
            let slash = if path.starts_with('/') { "" } else { "/" };
            (path, format!("{scheme}://{host}:{}{slash}{path}", shown_port(http.port.as_ref())))
        }
        Some(Handler::TcpSocket(tcp)) => ("", format!("tcp://{host}:{}", shown_port(tcp.port.as_ref()))),
        _ => ("", host.to_owned()),
    };
    vec![Target { host: host.to_owned(), path: path.to_owned(), question }]
}

/// Whom an exec command asks, where it says so itself: a host from a variable is known to the rules by its name only, so that no value is shown.
fn exec_targets(workload: &Workload<'_>, container: &Container<'_>, probe: &Probe<'_>) -> Vec<Target> {
    let Some(reading) = Reading::of_probe(probe, container, workload) else { return Vec::new() };
    let named = reading
        .targets()
        .filter(|target| matches!(target.reach, Reach::Remote | Reach::OwnService) && !target.host.contains('$'));
    named
        .map(|target| {
            let port = target.port.map(|port| format!(":{port}")).unwrap_or_default();
            Target {
                host: target.host.clone(),
                path: target.path.clone(),
                question: format!("{} {}{port}{}", target.client, target.host, target.path),
            }
        })
        .collect()
}

fn shown_port(port: Option<&PortRef<'_>>) -> String {
    match port {
        Some(PortRef::Number(number)) => number.to_string(),
        Some(PortRef::Name(name)) => name.to_string(),
        None => String::new(),
    }
}

/// Whether a path is that of a readiness endpoint.
pub(crate) fn asks_readiness(path: &str) -> bool {
    let path = path.to_ascii_lowercase();
    path.contains("ready") || path.contains("readiness")
}

/// A host as names are compared.
pub(super) fn plain_host(host: &str) -> String {
    host.trim().trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase()
}

/// Name and namespace of the Service that a host may mean: `svc`, `svc.ns`, `svc.ns.svc` and that with any cluster domain. `None` where no such name
/// is a Service's, as for addresses.
pub(super) fn service_name<'h>(host: &'h str, own_namespace: Option<&'h str>) -> Option<(&'h str, Option<&'h str>)> {
    if host.is_empty() || host.parse::<std::net::IpAddr>().is_ok() {
        return None;
    }
    let mut labels = host.split('.');
    match (labels.next()?, labels.next(), labels.next()) {
        (service, None, _) => Some((service, own_namespace)),
        (service, Some(namespace), None | Some("svc")) => Some((service, Some(namespace))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_mean_services() {
        let cases = [
            ("orders", Some(("orders", Some("own")))),
            ("orders.shop", Some(("orders", Some("shop")))),
            ("orders.shop.svc", Some(("orders", Some("shop")))),
            ("orders.shop.svc.cluster.local", Some(("orders", Some("shop")))),
            ("orders.shop.example", None),
            ("10.0.0.1", None),
            ("fd00::1", None),
            ("", None),
        ];
        for (host, expected) in cases {
            assert_eq!(service_name(host, Some("own")), expected, "{host}");
        }
        assert_eq!(plain_host(" Orders.Shop. "), "orders.shop");
        assert_eq!(plain_host("[FD00::1]"), "fd00::1");
    }
}
