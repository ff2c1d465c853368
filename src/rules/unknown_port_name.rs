use super::{Context, Findings, Rule, closest};
use crate::model::{Container, Handler, Port, PortRef, ProbeKind, Scalar, resolve_port};

declare_rule! {
    /// A probe names a port that its container does not declare.
    ///
    /// ## What it does
    ///
    /// Fires when the `port` of an `httpGet` or `tcpSocket` probe is a name and no port of the same container has exactly this name. Names are compared
    /// case-sensitively, and ports of other containers in the pod do not count. Containers of service meshes (`istio-proxy`, `linkerd-proxy`) are left out:
    /// their injectors rewrite ports.
    ///
    /// ## Why it is bad
    ///
    /// Nothing in Kubernetes checks that the name exists. The kubelet cannot look it up, treats that as an error of its own and throws the result away:
    /// a readiness probe then never makes the pod ready, a liveness probe never acts, and a container with such a startup probe is never started, never
    /// ready and never restarted.
    ///
    /// ```yaml,fires
    /// ports: [{ name: http, containerPort: 8080 }]
    /// readinessProbe:
    ///   httpGet: { path: /ready, port: web }
    /// ```
    ///
    /// ## Instead
    ///
    /// Declare the name, or use the declared one (or the number).
    ///
    /// ```yaml,clean
    /// ports: [{ name: http, containerPort: 8080 }]
    /// readinessProbe:
    ///   httpGet: { path: /ready, port: http }
    /// ```
    pub struct UnknownPortName {}
    id: "unknown-port-name",
    why: "the kubelet cannot look the name up, and Kubernetes checks it nowhere",
    actions: [Deny, Deny, Deny],
    needs: PORT_NAME,
    rewrite: "writes the declared name, or the number, where only one can be meant",
}

impl Rule for UnknownPortName {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        for container in &cx.workload.containers {
            for (kind, probe) in container.valid_probes() {
                let (handler, port) = match probe.handler() {
                    Some(Handler::HttpGet(http)) => ("httpGet", http.port.as_ref()),
                    Some(Handler::TcpSocket(tcp)) => ("tcpSocket", tcp.port.as_ref()),
                    _ => continue,
                };
                let Some(port @ PortRef::Name(name)) = port else { continue };
                // A name that is declared without a number is another mistake, which the API server refuses.
                let is_declared = container.ports.iter().any(|port| port.name.as_ref() == Some(name));
                if is_declared || resolve_port(container, port) != Port::Unknown {
                    continue;
                }
                let effect = match kind {
                    ProbeKind::Liveness => "it never acts",
                    ProbeKind::Readiness => "the pod never becomes ready",
                    ProbeKind::Startup => "the container never counts as started",
                };
                let message = format!("port \"{name}\" is not declared by this container ({}): {effect}", declared(container));
                let help = format!("{}:\n  {handler}:\n    port: {}", kind.field(), proposal(container, name));
                let finding = out.probe(cx, container, kind, &format!("{handler}/port"), message, help);
                if let Some(port) = meant(container, name) {
                    finding.rewrite_to(port);
                }
            }
        }
    }
}

fn declared(container: &Container<'_>) -> String {
    let names: Vec<&str> = container.ports.iter().filter_map(|port| port.name.as_deref()).take(4).collect();
    if names.is_empty() { "no port has a name".to_owned() } else { format!("declared: {}", names.join(", ")) }
}

/// The port that is meant, where no other can be: the number that was put in quotes, the one declared name, or the one that is near.
fn meant(container: &Container<'_>, name: &str) -> Option<Scalar> {
    if let Ok(number) = name.parse::<u16>() {
        return (number > 0).then(|| i64::from(number).into());
    }
    let mut names: Vec<&str> = container.ports.iter().filter_map(|port| port.name.as_deref()).collect();
    names.sort_unstable();
    names.dedup();
    if let ([only], [_]) = (&*names, &*container.ports) {
        return Some((*only).into());
    }
    let near = closest(name, names.iter().copied())?;
    let others = names.into_iter().filter(|other| *other != near);
    closest(name, others).is_none().then(|| near.into())
}

/// The name or number that is probably meant, else a hint to declare the name.
fn proposal(container: &Container<'_>, name: &str) -> String {
    let names = || container.ports.iter().filter_map(|port| port.name.as_deref());
    let only = if container.ports.len() == 1 { container.ports.first() } else { None };
    if let Ok(number) = name.parse::<u16>() {
        return format!("{number}   # a number, without quotes");
    }
    match (closest(name, names()), only) {
        (Some(near), _) => near.to_owned(),
        (None, Some(port)) => match (&port.name, port.container_port) {
            (Some(name), _) => name.to_string(),
            (None, Some(number)) => number.to_string(),
            (None, None) => format!("{name}   # and declare it under ports"),
        },
        (None, None) => format!("{name}   # and declare it: ports: [{{ name: {name}, containerPort: ... }}]"),
    }
}
