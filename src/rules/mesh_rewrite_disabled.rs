use super::{Context, Findings, Rule};
use crate::model::Handler;

declare_rule! {
    /// Istio is told to leave the probes of a meshed pod as they are.
    ///
    /// ## What it does
    ///
    /// Fires when the pod carries the annotation `sidecar.istio.io/rewriteAppHTTPProbers: "false"` and a container has an `httpGet`, `tcpSocket` or
    /// `grpc` probe. Silent where the injection of the sidecar is off (`sidecar.istio.io/inject: "false"`).
    ///
    /// ## Why it is bad
    ///
    /// The kubelet is outside of the mesh. With mutual TLS its HTTP and gRPC requests are refused, so that the pod never becomes ready; and a
    /// connection always succeeds, because it is the sidecar that accepts it.
    ///
    /// ```yaml,fires
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: { name: web }
    /// spec:
    ///   selector: { matchLabels: { app: web } }
    ///   template:
    ///     metadata:
    ///       labels: { app: web }
    ///       annotations: { sidecar.istio.io/rewriteAppHTTPProbers: "false" }
    ///     spec:
    ///       containers:
    ///         - name: web
    ///           image: example.com/web:1
    ///           livenessProbe: { httpGet: { path: /healthz, port: 8080 } }
    /// ```
    ///
    /// ## Instead
    ///
    /// Leave the annotation out: the sidecar then answers for the container, after asking it.
    ///
    /// ```yaml,clean
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: { name: web }
    /// spec:
    ///   selector: { matchLabels: { app: web } }
    ///   template:
    ///     metadata:
    ///       labels: { app: web }
    ///     spec:
    ///       containers:
    ///         - name: web
    ///           image: example.com/web:1
    ///           livenessProbe: { httpGet: { path: /healthz, port: 8080 } }
    /// ```
    pub struct MeshRewriteDisabled {}
    id: "mesh-rewrite-disabled",
    why: "the kubelet is outside of the mesh: its requests are refused, or the sidecar accepts them itself",
    actions: [Off, Warn, Warn],
}

impl Rule for MeshRewriteDisabled {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        let Some(annotations) = &cx.workload.pod_metadata().annotations else { return };
        let labels = &cx.workload.pod_metadata().labels.0;
        let inject = annotations
            .inject
            .as_deref()
            .or_else(|| labels.iter().find(|(key, _)| &**key == "sidecar.istio.io/inject").map(|(_, value)| &**value));
        if annotations.rewrite_probes.as_deref() != Some("false") || inject == Some("false") {
            return;
        }
        let mut probes = cx.workload.containers.iter().flat_map(|container| {
            container
                .valid_probes()
                .filter(|(_, probe)| !matches!(probe.handler(), Some(Handler::Exec(_)) | None))
                .map(|(kind, _)| (&container.name, kind))
        });
        let Some((name, kind)) = probes.next() else { return };
        let others = probes.count();
        let more = if others == 0 { String::new() } else { format!(" and {others} more") };
        let message =
            format!("rewriteAppHTTPProbers is \"false\": Istio leaves the {} probe of \"{name}\"{more} as it is", kind.word());
        let pointer = format!("{}/annotations/sidecar.istio.io~1rewriteAppHTTPProbers", cx.workload.pod_metadata_pointer());
        out.pod(pointer, message, "metadata:\n  annotations:   # without sidecar.istio.io/rewriteAppHTTPProbers".to_owned());
    }
}
