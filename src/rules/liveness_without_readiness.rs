use super::{Context, Findings, Rule};
use crate::model::ProbeKind;

declare_rule! {
    /// A container that serves is restarted when it fails, but never taken out of the traffic.
    ///
    /// ## What it does
    ///
    /// Fires when a container of a long-running workload declares a port that is not for metrics, has a liveness probe and no readiness probe.
    ///
    /// ## Why it is bad
    ///
    /// The milder measure is missing: a container that cannot answer keeps getting requests until it is restarted, gets them again before it has
    /// started, and a rolling update goes on as if all were well.
    ///
    /// ```yaml,fires
    /// ports: [{ name: http, containerPort: 8080 }]
    /// livenessProbe:
    ///   httpGet: { path: /livez, port: http }
    /// ```
    ///
    /// ## Instead
    ///
    /// Readiness as well; of the two it is the one that what serves needs first.
    ///
    /// ```yaml,clean
    /// ports: [{ name: http, containerPort: 8080 }]
    /// livenessProbe:
    ///   httpGet: { path: /livez, port: http }
    /// readinessProbe:
    ///   httpGet: { path: /readyz, port: http }
    /// ```
    pub struct LivenessWithoutReadiness {}
    id: "liveness-without-readiness",
    why: "it gets requests before it can answer them, and until the moment it is restarted",
    actions: [Audit, Warn, Deny],
    needs: LIVENESS,
}

impl Rule for LivenessWithoutReadiness {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        if !cx.workload.is_long_running() {
            return;
        }

        for container in &cx.workload.containers {
            if container.valid_probe(ProbeKind::Liveness).is_none() || container.probe(ProbeKind::Readiness).is_some() {
                continue;
            }
            let Some(port) = container.serving_port() else { continue };
            let message = format!(
                "serves on port {port} with liveness but without readiness: it is restarted, never taken out of the traffic"
            );
            let help =
                format!("readinessProbe:\n  httpGet:            # or tcpSocket, grpc, exec\n    path: /ready\n    port: {port}");
            out.container(cx, container, "", message, help);
        }
    }
}
