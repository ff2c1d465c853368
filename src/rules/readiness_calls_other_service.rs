use super::{Context, Findings, Rule, liveness_calls_other_service::report};
use crate::model::{Handler, PortRef, ProbeKind, Reading, data_store};

declare_rule! {
    /// A readiness probe asks another service.
    ///
    /// ## What it does
    ///
    /// Fires when the `host` of an `httpGet` or `tcpSocket` readiness probe names another host, or when the command of an `exec` probe asks one: by `curl`,
    /// `wget`, `nc`, `grpc_health_probe`, `/dev/tcp` and the like. Variables are resolved where the container's `env` gives their value. Data stores are
    /// another matter (`readiness-calls-data-store`). Pods on the node's network (`hostNetwork: true`) that give an address are left out: it may be their
    /// own. So are the sidecars of service meshes.
    ///
    /// It only warns where a command's host is set in another object, or looks like the workload's own Service.
    ///
    /// A call that the container makes *inside* its own readiness handler does the same harm, but cannot be seen in YAML.
    ///
    /// ## Why it is bad
    ///
    /// When the other service is not ready, every replica of this one becomes unready at once and its callers get nothing, not even the answers that need
    /// no other service. If they ask this one's readiness in turn, the outage walks up the chain: A waits for B, B waits for C. Asking the other's
    /// *readiness* endpoint makes it worse still: its momentary "send me no traffic" becomes everyone's. The kubelet, on the node, often cannot even
    /// resolve a Service's name.
    ///
    /// ```yaml,fires
    /// readinessProbe:
    ///   httpGet: { host: order-history.shop.svc, path: /health/ready, port: 80 }
    /// ```
    ///
    /// ```yaml,fires
    /// readinessProbe:
    ///   exec: { command: [sh, -c, "curl -fsS http://$(ORDERS_HOST):8080/health/ready || exit 1"] }
    /// env: [{ name: ORDERS_HOST, value: orders.shop }]
    /// ```
    ///
    /// ## Instead
    ///
    /// Ready means "this container can take requests". Ask only that, and handle the loss of another service where it is called.
    ///
    /// ```yaml,clean
    /// readinessProbe:
    ///   httpGet: { path: /health/ready, port: 8080 }
    /// ```
    pub struct ReadinessCallsOtherService {}
    id: "readiness-calls-other-service",
    why: "when that service is down, every replica here becomes unready at once, and so on up the chain of callers",
    actions: [Warn, Deny, Deny],
}

impl Rule for ReadinessCallsOtherService {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        for container in &cx.workload.containers {
            let kind = ProbeKind::Readiness;
            let Some(probe) = container.valid_probe(kind) else { continue };
            let Some((handler, host)) = cx.other_host(probe) else {
                if let Some(reading) = Reading::of_probe(probe, container, cx.workload) {
                    report(*cx, out, container, kind, reading.targets().filter(|target| target.data_store().is_none()));
                }
                continue;
            };
            let path = match probe.handler() {
                Some(Handler::TcpSocket(tcp)) if matches!(tcp.port, Some(PortRef::Number(port)) if data_store(port).is_some()) => {
                    continue;
                }
                Some(Handler::HttpGet(http)) => http.path.as_deref().unwrap_or_default(),
                _ => "",
            };
            let message = if path.to_ascii_lowercase().contains("ready") || path.to_ascii_lowercase().contains("readiness") {
                format!("readiness asks for the readiness of another service, \"{host}\": one outage cascades")
            } else {
                format!("readiness asks another service, \"{host}\"")
            };
            let help = format!("{}:\n  {handler}:   # without host: this container itself", kind.field());
            out.probe(cx, container, kind, &format!("{handler}/host"), message, help);
        }
    }
}
