use super::{Context, Findings, Rule};
use crate::{model::PortRef, policy::Action};

declare_rule! {
    /// A probe connects by TCP to a port that is declared for UDP or SCTP.
    ///
    /// ## What it does
    ///
    /// Fires when the port of a probe is declared by the container, and only for UDP or SCTP. A number is only warned about: a server may listen on
    /// TCP as well without declaring it.
    ///
    /// ## Why it is bad
    ///
    /// Probes use TCP. Unless the server listens there on TCP too, every run fails: liveness restarts the container for ever, readiness keeps it
    /// out of the traffic.
    ///
    /// ```yaml,fires
    /// ports: [{ name: syslog, containerPort: 514, protocol: UDP }]
    /// livenessProbe:
    ///   tcpSocket: { port: syslog }
    /// ```
    ///
    /// ## Instead
    ///
    /// A port that the server answers on by TCP, declared as such, or a command.
    ///
    /// ```yaml,clean
    /// ports: [{ name: syslog, containerPort: 514, protocol: UDP }, { name: health, containerPort: 8080 }]
    /// livenessProbe:
    ///   httpGet: { path: /healthz, port: health }
    /// ```
    pub struct NonTcpPort {}
    id: "non-tcp-port",
    why: "probes use TCP, so unless the server listens there on TCP too every run fails",
    actions: [Warn, Warn, Deny],
}

impl Rule for NonTcpPort {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        for container in &cx.workload.containers {
            for (kind, probe) in container.valid_probes() {
                let Some(handler) = probe.handler() else { continue };
                let Some(port) = handler.port() else { continue };
                let mut protocols =
                    container.declared(&port).map(|declared| declared.protocol.as_deref().unwrap_or("TCP")).peekable();
                let Some(protocol) = protocols.peek().copied() else { continue };
                if protocols.any(|protocol| !matches!(protocol, "UDP" | "SCTP")) || cx.other_host(probe).is_some() {
                    continue;
                }
                let message = format!("port {port} is declared for {protocol} only; probes use TCP");
                let help = format!(
                    "ports:\n  - {{ name: health, containerPort: ... }}   # one that answers by TCP\n{}:\n  {}:\n    port: health",
                    kind.field(),
                    handler.field()
                );
                let finding = out.probe(cx, container, kind, &format!("{}/port", handler.field()), message, help);
                if matches!(port, PortRef::Number(_)) {
                    finding.at_most(Action::Warn);
                }
            }
        }
    }
}
