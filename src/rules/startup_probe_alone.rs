use super::{Context, Findings, Rule};
use crate::model::ProbeKind;

declare_rule! {
    /// A container has a startup probe, but neither liveness nor readiness.
    ///
    /// ## What it does
    ///
    /// Fires when a container has a startup probe and no other.
    ///
    /// ## Why it is bad
    ///
    /// A startup probe holds the other two back until the container has started. Without them it only restarts a container that starts slowly;
    /// nothing watches it afterwards.
    ///
    /// ```yaml,fires
    /// startupProbe:
    ///   httpGet: { path: /healthz, port: 8080 }
    /// ```
    ///
    /// ## Instead
    ///
    /// Add the probe that was meant: readiness for what serves, liveness for what can get stuck.
    ///
    /// ```yaml,clean
    /// startupProbe:
    ///   httpGet: { path: /healthz, port: 8080 }
    ///   failureThreshold: 6
    /// readinessProbe:
    ///   httpGet: { path: /readyz, port: 8080 }
    /// ```
    pub struct StartupProbeAlone {}
    id: "startup-probe-alone",
    why: "it can only restart a slow start; nothing watches the container afterwards",
    actions: [Warn, Warn, Deny],
    needs: STARTUP,
}

impl Rule for StartupProbeAlone {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        for container in &cx.workload.containers {
            let kind = ProbeKind::Startup;
            let alone = container.probe(ProbeKind::Liveness).is_none() && container.probe(ProbeKind::Readiness).is_none();
            if container.valid_probe(kind).is_none() || !alone {
                continue;
            }
            let message =
                "a startup probe without liveness and readiness: nothing watches the container once it has started".to_owned();
            let help = "readinessProbe:   # or livenessProbe, with the handler of the startup probe".to_owned();
            out.probe(cx, container, kind, "", message, help);
        }
    }
}
