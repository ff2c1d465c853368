use super::{Context, Findings, Rule, finding::shorten};
use crate::graph::Service;
use crate::model::{Container, ProbeKind};

declare_rule! {
    /// A container that serves has no readiness probe.
    ///
    /// ## What it does
    ///
    /// Fires when a container of a long-running workload declares a port and has no readiness probe; also when it is the only one of its pod and a Service
    /// of the set selects it, declared ports or not. Containers of service meshes, and containers whose
    /// ports are all for metrics, are left out: no Service sends them requests.
    ///
    /// ## Why it is bad
    ///
    /// Without one the container counts as ready the moment its process runs: it gets requests before it can answer them, keeps getting them when it
    /// cannot, and a rolling update goes on as if all were well.
    ///
    /// ```yaml,fires
    /// ports: [{ name: http, containerPort: 8080 }]
    /// livenessProbe:
    ///   httpGet: { path: /healthz, port: http }
    /// ```
    ///
    /// ## Instead
    ///
    /// ```yaml,clean
    /// ports: [{ name: http, containerPort: 8080 }]
    /// readinessProbe:
    ///   httpGet: { path: /ready, port: http }
    /// ```
    pub struct MissingReadiness {}
    id: "missing-readiness",
    why: "it gets requests before it can answer them, and keeps getting them when it cannot",
    actions: [Audit, Warn, Deny],
    covered_by: "liveness-without-readiness",
}

impl Rule for MissingReadiness {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        if !cx.workload.is_long_running() {
            return;
        }
        for container in &cx.workload.containers {
            if container.probe(ProbeKind::Readiness).is_some() {
                continue;
            }
            let (service, port) = match (container.serving_port(), served_by(cx, container)) {
                (Some(port), _) => (None, port),
                (None, Some((service, port))) => (Some(service), port),
                (None, None) => continue,
            };
            let message = || match service {
                None => format!("serves on port {port}, but has no readiness probe"),
                Some(service) => {
                    format!("Service \"{}\" sends it requests, but it has no readiness probe", shorten(&service.name, 63))
                }
            };
            let help = || {
                format!("readinessProbe:\n  httpGet:            # or tcpSocket, grpc, exec\n    path: /ready\n    port: {port}")
            };
            out.container(cx, container, "", message, help);
        }
    }
}

/// The Service that sends requests to a container without declared ports, and the port it sends them to. Of several containers any may be meant.
fn served_by<'c>(cx: &Context<'c>, container: &Container<'_>) -> Option<(&'c Service, String)> {
    if !container.ports.is_empty() || cx.workload.containers.len() > 1 {
        return None;
    }
    let around = cx.around?;
    around.services().find_map(|service| Some((service, around.targets(service).first()?.to_string())))
}
