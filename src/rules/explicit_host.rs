use super::{Context, Findings, Rule};
use crate::{
    model::{Handler, Host, classify_host},
    rules::finding::shorten,
};

declare_rule! {
    /// A probe sets `host`.
    ///
    /// ## What it does
    ///
    /// Fires when an `httpGet` or `tcpSocket` probe sets `host`. Pods on the node's network (`hostNetwork: true`) may name `localhost` or a
    /// loopback address: their server may listen nowhere else. Silent where `loopback-host`, `liveness-calls-other-service` or
    /// `readiness-calls-other-service` already says as much.
    ///
    /// ## Why it is bad
    ///
    /// Without `host` the kubelet asks the pod's own address, which is what a probe is for. From Kubernetes 1.34 on, the Pod Security standard
    /// "baseline" refuses pods whose probes set it.
    ///
    /// ```yaml,fires
    /// livenessProbe:
    ///   httpGet: { host: 10.1.2.3, path: /healthz, port: 8080 }
    /// ```
    ///
    /// ## Instead
    ///
    /// Leave `host` out. A server that tells its sites apart by name gets the name in a header.
    ///
    /// ```yaml,clean
    /// livenessProbe:
    ///   httpGet:
    ///     path: /healthz
    ///     port: 8080
    ///     httpHeaders: [{ name: Host, value: shop.example.com }]
    /// ```
    pub struct ExplicitHost {}
    id: "explicit-host",
    why: "a probe asks its own pod, and Pod Security refuses another host from Kubernetes 1.34 on",
    actions: [Off, Warn, Deny],
    covered_by: "loopback-host" | "liveness-calls-other-service" | "readiness-calls-other-service",
    needs: HOST,
}

impl Rule for ExplicitHost {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        for container in &cx.workload.containers {
            for (kind, probe) in container.valid_probes() {
                let Some((handler, host)) = probe.handler().and_then(Handler::host) else { continue };
                if cx.workload.host_network && classify_host(Some(host)) == Host::Loopback {
                    continue;
                }
                let message =
                    format!("host \"{}\" is set; the kubelet asks the pod itself when it is left out", shorten(host, 60));
                let help = format!("{}:\n  {handler}:   # without host: the pod's own address", kind.field());
                out.probe(cx, container, kind, &format!("{handler}/host"), message, help);
            }
        }
    }
}
