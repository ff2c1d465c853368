use super::{
    Context, Finding, Findings, Rule,
    finding::{listed, shorten},
    liveness_calls_other_service::report,
};
use crate::graph::{Asked, asks_readiness};
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
    /// Over a set of files (`probekeeper lint DIR`) it says which of the others are taken down with it.
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
    needs: READINESS,
    needs_any: HOST | EXEC,
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
            let readiness = asks_readiness(path);
            let message = match cx.around.and_then(|around| around.asked(host, readiness)) {
                Some(asked) => in_this_set(&asked, readiness),
                None if readiness => {
                    format!("readiness asks for the readiness of another service, \"{host}\": one outage cascades")
                }
                None => format!("readiness asks another service, \"{host}\""),
            };
            let help = format!("{}:\n  {handler}:   # without host: this container itself", kind.field());
            out.probe(cx, container, kind, &format!("{handler}/host"), message, help);
        }
    }
}

/// Whom it asks and who falls with that one, by name. The Service passes requests only to ready pods, so any question asks for readiness too.
pub(super) fn in_this_set(asked: &Asked<'_>, readiness: bool) -> String {
    let service = shorten(&asked.service.name, 30);
    if asked.own {
        return format!("readiness calls its own Service, \"{service}\": other pods answer for this one");
    }
    let verb = if readiness { "calls the readiness of" } else { "calls" };
    let message = format!("{verb} {service}, which is in this set");
    let fallen = asked.cascade();
    let so = if fallen.len() == 1 { "so is" } else { "so are" };
    let with = |shown| format!("{message}: when it is down, {so} {}", listed(fallen.iter().copied(), shown));
    // As many names as a message has room for.
    let fitting = [4, 3, 2, 1].into_iter().map(with).find(|message| message.chars().count() <= Finding::MESSAGE_RUNES);
    fitting.filter(|_| !fallen.is_empty()).unwrap_or(message)
}
