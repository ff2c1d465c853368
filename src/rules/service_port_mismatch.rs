use super::{Context, Findings, Rule, finding::listed};
use crate::graph::{Around, Service, TargetPort};
use crate::model::{Container, Handler, Port, ProbeKind, resolve_port};

declare_rule! {
    /// Readiness checks a port that no Service sends requests to.
    ///
    /// ## What it does
    ///
    /// Fires when Services select the pod, and none of them has the port as its target that a readiness probe of the pod checks. It needs the Services
    /// (`probekeeper lint` over all files of an application): of a single object it says nothing. One readiness probe on a targeted port is enough for the
    /// pod, so a sidecar may check its own; a command may check anything, and a Service without ports forwards to all.
    ///
    /// ## Why it is bad
    ///
    /// Readiness decides whether the Service sends requests. Where it checks another port, it says nothing about the one that must answer: a management
    /// server can be well while the real one is stuck or not yet up. Often it is a plain mistake in `targetPort`.
    ///
    /// ```yaml,fires
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: { name: web }
    /// spec:
    ///   selector: { matchLabels: { app: web } }
    ///   template:
    ///     metadata: { labels: { app: web } }
    ///     spec:
    ///       containers:
    ///         - name: web
    ///           image: example.com/web:1
    ///           ports: [{ name: http, containerPort: 8080 }]
    ///           readinessProbe:
    ///             httpGet: { path: /ready, port: 8081 }
    /// ---
    /// apiVersion: v1
    /// kind: Service
    /// metadata: { name: web }
    /// spec:
    ///   selector: { app: web }
    ///   ports: [{ port: 80, targetPort: http }]
    /// ```
    ///
    /// ## Instead
    ///
    /// Check the port that takes the requests.
    ///
    /// ```yaml,clean
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: { name: web }
    /// spec:
    ///   selector: { matchLabels: { app: web } }
    ///   template:
    ///     metadata: { labels: { app: web } }
    ///     spec:
    ///       containers:
    ///         - name: web
    ///           image: example.com/web:1
    ///           ports: [{ name: http, containerPort: 8080 }]
    ///           readinessProbe:
    ///             httpGet: { path: /ready, port: http }
    /// ---
    /// apiVersion: v1
    /// kind: Service
    /// metadata: { name: web }
    /// spec:
    ///   selector: { app: web }
    ///   ports: [{ port: 80, targetPort: http }]
    /// ```
    pub struct ServicePortMismatch {}
    id: "service-port-mismatch",
    why: "readiness decides who gets requests, and here it says nothing about the port that gets them",
    actions: [Off, Off, Audit],
    needs: AROUND & READINESS,
}

impl Rule for ServicePortMismatch {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        let Some(around) = cx.around else { return };
        let services: Vec<&Service> = around.services().collect();
        if services.is_empty() || services.iter().any(|service| service.ports.is_empty()) {
            return;
        }
        let mut targets: Vec<i64> = services.iter().flat_map(|service| around.targets(service)).collect();
        targets.sort_unstable();
        targets.dedup();
        let checked: Vec<_> =
            cx.workload.containers.iter().filter_map(|container| Some((container, checked(cx, container)?))).collect();
        if checked.iter().any(|(_, (_, port))| targets.contains(port)) {
            return;
        }
        let names = listed(services.iter().map(|service| &*service.name), 2);
        let noun = if services.len() == 1 { "Service" } else { "Services" };
        for (container, (at, port)) in checked {
            let numbers: Vec<String> = targets.iter().map(ToString::to_string).collect();
            let (message, help) = match targets.first() {
                Some(target) => (
                    format!(
                        "readiness checks port {port}, but requests go to {} ({noun} {names})",
                        listed(numbers.iter().map(String::as_str), 3)
                    ),
                    format!("readinessProbe:\n  {at}: {target}").replace('/', ":\n    "),
                ),
                None => (
                    format!(
                        "readiness checks port {port}, but {noun} {names} targets {}, which no container declares",
                        unknown(around)
                    ),
                    "# in the Service\nports:\n  - targetPort:   # a name that a container declares, or a number".to_owned(),
                ),
            };
            out.probe(cx, container, ProbeKind::Readiness, at, message, help);
        }
    }
}

/// Field and number of the port of this container that its readiness checks; `None` where it checks none or another host's.
fn checked(cx: &Context<'_>, container: &Container<'_>) -> Option<(&'static str, i64)> {
    let probe = container.valid_probe(ProbeKind::Readiness)?;
    let (at, port) = match probe.handler()? {
        Handler::HttpGet(http) => ("httpGet/port", resolve_port(container, http.port.as_ref()?)),
        Handler::TcpSocket(tcp) => ("tcpSocket/port", resolve_port(container, tcp.port.as_ref()?)),
        Handler::Grpc(grpc) => ("grpc/port", Port::Number(grpc.port?)),
        Handler::Exec(_) => return None,
    };
    match port {
        Port::Number(number) if cx.other_host(probe).is_none() => Some((at, number)),
        _ => None,
    }
}

fn unknown(around: Around<'_>) -> String {
    let mut ports = around.services().flat_map(|service| &service.ports);
    let name = ports.find_map(|port| match &port.target {
        TargetPort::Name(name) => Some(&**name),
        TargetPort::Number(_) => None,
    });
    format!("port \"{}\"", super::finding::shorten(name.unwrap_or_default(), 20))
}
