use super::{Context, Findings, Rule};
use crate::model::{Handler, Host, classify_host};

declare_rule! {
    /// A probe with `host: localhost` asks the node, not the container.
    ///
    /// ## What it does
    ///
    /// Fires when the `host` of an `httpGet` or `tcpSocket` probe is `localhost`, an address in 127.0.0.0/8, `::1` or the unspecified address, and the
    /// pod does not share the node's network (`hostNetwork: true`).
    ///
    /// ## Why it is bad
    ///
    /// The kubelet connects from the node, so `localhost` is the node itself. Either nothing listens there and the probe always fails, or something else
    /// does and the probe says nothing about the container.
    ///
    /// ```yaml,fires
    /// livenessProbe:
    ///   httpGet: { host: localhost, path: /healthz, port: 8080 }
    /// ```
    ///
    /// ## Instead
    ///
    /// Leave `host` out: the probe then goes to the pod's own address. A server that listens on 127.0.0.1 only must listen on all addresses, or be
    /// probed by `exec`.
    ///
    /// ```yaml,clean
    /// livenessProbe:
    ///   httpGet: { path: /healthz, port: 8080 }
    /// ```
    pub struct LoopbackHost {}
    id: "loopback-host",
    why: "the kubelet connects from the node, so the probe asks the node and not the container",
    actions: [Deny, Deny, Deny],
    needs: HOST,
    rewrite: "removes `host`",
}

impl Rule for LoopbackHost {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        if cx.workload.host_network {
            return;
        }
        for container in &cx.workload.containers {
            for (kind, probe) in container.valid_probes() {
                let Some((handler, host)) = probe.handler().and_then(Handler::host) else { continue };
                if classify_host(Some(host)) == Host::Loopback {
                    let message = format!("host \"{host}\" is the node, not this container");
                    let help = format!("{}:\n  {handler}:   # without host: the pod's own address", kind.field());
                    out.probe(cx, container, kind, &format!("{handler}/host"), message, help).rewrite_without();
                }
            }
        }
    }
}
