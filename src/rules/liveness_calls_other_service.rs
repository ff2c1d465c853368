use super::{Context, Findings, Rule};
use crate::model::ProbeKind;

declare_rule! {
    /// A liveness or startup probe asks another machine.
    ///
    /// ## What it does
    ///
    /// Fires when the `host` of an `httpGet` or `tcpSocket` liveness or startup probe names another host. Pods on the node's network
    /// (`hostNetwork: true`) that give an address are left out: it may be their own.
    ///
    /// ## Why it is bad
    ///
    /// When the other service is slow or down, this container is restarted, although nothing is wrong with it and a restart cannot help. All replicas are
    /// restarted at once, start-up load comes on top, and one outage becomes two. Such a probe also says nothing about the container itself.
    ///
    /// ```yaml,fires
    /// livenessProbe:
    ///   httpGet: { host: orders.shop.svc, path: /healthz, port: 80 }
    /// ```
    ///
    /// ## Instead
    ///
    /// Ask the container itself whether it still makes progress. Handle the loss of another service where it is called: timeouts, retries, a circuit
    /// breaker, a degraded answer.
    ///
    /// ```yaml,clean
    /// livenessProbe:
    ///   httpGet: { path: /healthz, port: 8080 }
    /// ```
    pub struct LivenessCallsOtherService {}
    id: "liveness-calls-other-service",
    why: "when that host is slow or down, healthy containers here are restarted, all at once",
    actions: [Deny, Deny, Deny],
}

impl Rule for LivenessCallsOtherService {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        for container in &cx.workload.containers {
            for kind in [ProbeKind::Liveness, ProbeKind::Startup] {
                let Some(probe) = container.valid_probe(kind) else { continue };
                let Some((handler, host)) = cx.other_host(probe) else { continue };
                let message = format!("{} asks another host, \"{host}\"", kind.word());
                let help = format!("{}:\n  {handler}:   # without host: this container itself", kind.field());
                out.probe(cx, container, kind, &format!("{handler}/host"), message, help);
            }
        }
    }
}
