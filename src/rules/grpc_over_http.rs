use super::{Context, Findings, Rule};
use crate::model::{Handler, Port, resolve_port};

declare_rule! {
    /// A probe sends HTTP/1.1 to a gRPC port.
    ///
    /// ## What it does
    ///
    /// Fires when an `httpGet` probe asks a port whose declared name begins with `grpc`, or whose Service says `appProtocol: grpc` (over a set of files), unless its `protocol` is HTTP2. Ports for gRPC's
    /// companions (`grpc-web`, `grpc-gateway`, `grpc-metrics`) are left out.
    ///
    /// ## Why it is bad
    ///
    /// A gRPC server speaks HTTP/2 only, and drops the connection of a client that does not: every run fails.
    ///
    /// ```yaml,fires
    /// ports: [{ name: grpc, containerPort: 9000 }]
    /// livenessProbe:
    ///   httpGet: { path: /healthz, port: grpc }
    /// ```
    ///
    /// ## Instead
    ///
    /// The `grpc` handler, which asks the standard health service.
    ///
    /// ```yaml,clean
    /// ports: [{ name: grpc, containerPort: 9000 }]
    /// livenessProbe:
    ///   grpc: { port: 9000 }
    /// ```
    pub struct GrpcOverHttp {}
    id: "grpc-over-http",
    why: "a gRPC server speaks HTTP/2 only and hangs up on the probe",
    actions: [Warn, Warn, Warn],
    needs: HTTP_GET,
}

impl Rule for GrpcOverHttp {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        for container in &cx.workload.containers {
            for (kind, probe) in container.valid_probes() {
                let Some(handler @ Handler::HttpGet(http)) = probe.handler() else { continue };
                let Some(port) = handler.port() else { continue };
                let mut named = container.declared(&port).filter(|declared| declared.name.as_deref().is_some_and(is_grpc));
                let resolved = match resolve_port(container, &port) {
                    Port::Number(number) => Some(number),
                    Port::Unknown => None,
                };
                let (by, number) = match (named.next(), resolved) {
                    (Some(declared), _) => ("name", declared.container_port),
                    (None, Some(number)) if cx.app_protocol(number) == Some("grpc") => ("Service's appProtocol", Some(number)),
                    _ => continue,
                };
                if http.protocol.as_deref() == Some("HTTP2") {
                    continue;
                }
                let message = format!("HTTP/1.1 to port {port}, which by its {by} speaks gRPC");
                let number = number.map_or_else(|| "...".to_owned(), |number| number.to_string());
                let help = format!("{}:\n  grpc:            # instead of httpGet\n    port: {number}", kind.field());
                out.probe(cx, container, kind, "httpGet", message, help);
            }
        }
    }
}

fn is_grpc(name: &str) -> bool {
    name.starts_with("grpc")
        && !name.split('-').any(|word| matches!(word, "web" | "gateway" | "gw" | "http" | "metrics" | "health" | "admin"))
}
