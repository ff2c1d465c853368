use super::{Context, Findings, Rule};
use crate::model::{Container, Handler, Port, ProbeKind, Protocol, Reach, Reading, resolve_port};

declare_rule! {
    /// A gRPC server is probed by a TCP connect, or by a program where Kubernetes can ask itself.
    ///
    /// ## What it does
    ///
    /// Fires when a `tcpSocket` probe goes to a port that the container names `grpc` or `grpc-...` or whose Service says `appProtocol: grpc` (over a set of
    /// files), and when a command is `grpc_health_probe` without TLS against
    /// this pod.
    ///
    /// ## Why it is bad
    ///
    /// A TCP connect succeeds as long as the kernel accepts connections for the process, even when the server no longer answers. `grpc_health_probe` asks the
    /// right question, but needs the binary in the image and a process in every run; since 1.27 the kubelet asks the gRPC health service itself.
    ///
    /// ```yaml,fires
    /// ports: [{ name: grpc, containerPort: 50051 }]
    /// readinessProbe:
    ///   tcpSocket: { port: grpc }
    /// ```
    ///
    /// ## Instead
    ///
    /// ```yaml,clean
    /// ports: [{ name: grpc, containerPort: 50051 }]
    /// readinessProbe:
    ///   grpc: { port: 50051 }   # only a number
    /// ```
    pub struct GrpcOverTcp {}
    id: "grpc-over-tcp",
    why: "the kubelet can ask the gRPC health service itself, which says more and starts no process",
    actions: [Off, Warn, Warn],
    needs_any: TCP_SOCKET | EXEC,
}

impl Rule for GrpcOverTcp {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        for container in &cx.workload.containers {
            for (kind, probe) in container.valid_probes() {
                match probe.handler() {
                    Some(Handler::TcpSocket(tcp)) if cx.other_host(probe).is_none() => {
                        let Some(Port::Number(number)) = tcp.port.as_ref().map(|port| resolve_port(container, port)) else {
                            continue;
                        };
                        let said = match grpc_name(container, number) {
                            Some(name) => format!("\"{name}\""),
                            None if cx.app_protocol(number) == Some("grpc") => "appProtocol grpc".to_owned(),
                            None => continue,
                        };
                        let message = format!("{} only opens a connection to port {number} ({said})", kind.word());
                        out.probe(cx, container, kind, "tcpSocket", message, grpc(kind, &number.to_string(), ""));
                    }
                    Some(Handler::Exec(_)) => {
                        let Some(reading) = Reading::of_probe(probe, container, cx.workload) else { continue };
                        let Some(call) =
                            reading.only().filter(|call| matches!(&*call.program, "grpc_health_probe" | "grpc-health-probe"))
                        else {
                            continue;
                        };
                        // What the kubelet's own check cannot send.
                        if call.arguments.iter().any(|argument| argument.trim_start_matches('-').starts_with("rpc-header")) {
                            continue;
                        }
                        let [target] = call.targets.as_slice() else { continue };
                        if target.protocol != (Protocol::Grpc { tls: false }) || target.reach != Reach::Local {
                            continue;
                        }
                        let Some(number) = target.port else { continue };
                        let declared = container.ports.iter().any(|port| port.container_port == Some(i64::from(number)));
                        let port = if target.literal || declared { number.to_string() } else { "...".to_owned() };
                        let message = format!(
                            "{} starts {} where the kubelet can ask the gRPC health service itself",
                            kind.word(),
                            call.program
                        );
                        out.probe(cx, container, kind, "exec/command", message, grpc(kind, &port, &target.path));
                    }
                    _ => {}
                }
            }
        }
    }
}

/// The name of a declared port that says gRPC. `grpc-web` is HTTP.
fn grpc_name<'c>(container: &'c Container<'_>, number: i64) -> Option<&'c str> {
    container
        .ports
        .iter()
        .filter(|port| port.container_port == Some(number))
        .filter_map(|port| port.name.as_deref())
        .find(|name| name.starts_with("grpc") && !name.starts_with("grpc-web") && !name.starts_with("grpcweb"))
}

fn grpc(kind: ProbeKind, port: &str, service: &str) -> String {
    let service = if service.is_empty() || service.contains('$') { String::new() } else { format!("\n    service: {service}") };
    format!(
        "{}:\n  grpc:\n    port: {port}   # only a number; the server must offer grpc.health.v1.Health{service}",
        kind.field()
    )
}
