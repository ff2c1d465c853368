use super::{Context, Findings, Rule};
use crate::model::{MESH_PORTS, PortRef};

declare_rule! {
    /// A probe asks a port number that is not among the declared ones.
    ///
    /// ## What it does
    ///
    /// Fires when a container declares ports and the port of a probe is a number that is not among them. Silent where nothing is declared, about
    /// the ports that mesh injectors rewrite probes to (15020, 15021), and where the probe asks another host.
    ///
    /// ## Why it is bad
    ///
    /// Declaring ports is optional, so the probe may be right. But where some are declared and this one is not, it is often the number of
    /// yesterday: the port was moved in one place and forgotten in the other.
    ///
    /// ```yaml,fires
    /// ports: [{ name: http, containerPort: 8080 }]
    /// livenessProbe:
    ///   httpGet: { path: /healthz, port: 8000 }
    /// ```
    ///
    /// ## Instead
    ///
    /// Declare it, with a name, and use the name.
    ///
    /// ```yaml,clean
    /// ports: [{ name: http, containerPort: 8080 }, { name: health, containerPort: 8000 }]
    /// livenessProbe:
    ///   httpGet: { path: /healthz, port: health }
    /// ```
    pub struct UndeclaredPort {}
    id: "undeclared-port",
    why: "a port that was moved in one place and forgotten in the other looks like this",
    actions: [Off, Off, Warn],
}

impl Rule for UndeclaredPort {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        for container in cx.workload.containers.iter().filter(|container| !container.ports.is_empty()) {
            for (kind, probe) in container.valid_probes() {
                let Some(handler) = probe.handler() else { continue };
                let Some(port @ PortRef::Number(number)) = handler.port() else { continue };
                if MESH_PORTS.contains(&number) || cx.other_host(probe).is_some() || container.declared(&port).next().is_some() {
                    continue;
                }
                let declared: Vec<String> =
                    container.ports.iter().filter_map(|port| port.container_port).map(|port| port.to_string()).take(6).collect();
                let message = format!("port {number} is not declared by this container (declared: {})", declared.join(", "));
                let help = format!("ports:\n  - containerPort: {number}   # or the port that is meant");
                out.probe(cx, container, kind, &format!("{}/port", handler.field()), message, help);
            }
        }
    }
}
