use super::{Context, Findings, Rule, finding::shorten};
use crate::model::ProbeKind;

declare_rule! {
    /// A Service sends requests to pods that are not ready.
    ///
    /// ## What it does
    ///
    /// Fires when a Service with `publishNotReadyAddresses: true` selects pods that have a readiness probe, and no other Service selects them that waits for
    /// it. It needs the Services (`probekeeper lint` over all files of an application): of a single object it says nothing.
    ///
    /// Members of a cluster that must find each other before they are ready need such a Service, beside the one that clients use: that is left alone.
    ///
    /// ## Why it is bad
    ///
    /// The readiness probe has no effect on requests: pods get them before they can answer, and go on getting them when they cannot.
    ///
    /// ```yaml,fires
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: { name: web }
    /// spec:
    ///   selector: { matchLabels: { app: web } }
    ///   template:
    ///     metadata: { labels: { app: web } }
    ///     spec:
    ///       containers:
    ///         - name: web
    ///           image: example.com/web:1
    ///           ports: [{ name: http, containerPort: 8080 }]
    ///           readinessProbe:
    ///             httpGet: { path: /ready, port: http }
    /// ---
    /// apiVersion: v1
    /// kind: Service
    /// metadata: { name: web }
    /// spec:
    ///   publishNotReadyAddresses: true
    ///   selector: { app: web }
    ///   ports: [{ port: 80, targetPort: http }]
    /// ```
    ///
    /// ## Instead
    ///
    /// A Service for clients that waits for readiness; where peers must find each other earlier, a second, headless one for them.
    ///
    /// ```yaml,clean
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: { name: web }
    /// spec:
    ///   selector: { matchLabels: { app: web } }
    ///   template:
    ///     metadata: { labels: { app: web } }
    ///     spec:
    ///       containers:
    ///         - name: web
    ///           image: example.com/web:1
    ///           ports: [{ name: http, containerPort: 8080 }]
    ///           readinessProbe:
    ///             httpGet: { path: /ready, port: http }
    /// ---
    /// apiVersion: v1
    /// kind: Service
    /// metadata: { name: web }
    /// spec:
    ///   selector: { app: web }
    ///   ports: [{ port: 80, targetPort: http }]
    /// ---
    /// apiVersion: v1
    /// kind: Service
    /// metadata: { name: web-peers }
    /// spec:
    ///   clusterIP: None
    ///   publishNotReadyAddresses: true
    ///   selector: { app: web }
    /// ```
    pub struct ServiceIgnoresReadiness {}
    id: "service-ignores-readiness",
    why: "readiness then has no effect: pods get requests before they can answer, and when they cannot",
    actions: [Off, Off, Warn],
    needs: AROUND & READINESS,
}

impl Rule for ServiceIgnoresReadiness {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        let Some(around) = cx.around else { return };
        if around.services().any(|service| !service.publishes_unready) {
            return;
        }
        let ready = |kind| cx.workload.containers.iter().find(move |container| container.valid_probe(kind).is_some());
        let (Some(service), Some(container)) = (around.services().next(), ready(ProbeKind::Readiness)) else { return };
        let message = format!(
            "Service \"{}\" sends requests to pods that are not ready (publishNotReadyAddresses)",
            shorten(&service.name, 63)
        );
        let help = "# in the Service, or in a second one for clients\npublishNotReadyAddresses: false".to_owned();
        out.probe(cx, container, ProbeKind::Readiness, "", message, help);
    }
}
