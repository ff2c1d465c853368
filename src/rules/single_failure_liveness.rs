use super::{Context, Findings, Rule};
use crate::model::{Probe, ProbeKind};

declare_rule! {
    /// One failed liveness run restarts the container.
    ///
    /// ## What it does
    ///
    /// Fires when the `failureThreshold` of a liveness probe is 1. Silent where `hair-trigger-liveness` already speaks as severely.
    ///
    /// ## Why it is bad
    ///
    /// A single lost packet, one refused connection while a listener is swapped, one slow answer: each happens every day somewhere, none is a
    /// reason to restart. A refusal is noticed within one period, so not even a long timeout helps.
    ///
    /// ```yaml,fires
    /// livenessProbe:
    ///   httpGet: { path: /healthz, port: 8080 }
    ///   periodSeconds: 30
    ///   timeoutSeconds: 20
    ///   failureThreshold: 1
    /// ```
    ///
    /// ## Instead
    ///
    /// Let it fail several times in a row, and shorten the period instead if hangs must be found soon.
    ///
    /// ```yaml,clean
    /// livenessProbe:
    ///   httpGet: { path: /healthz, port: 8080 }
    ///   periodSeconds: 10
    ///   timeoutSeconds: 5
    ///   failureThreshold: 3
    /// ```
    pub struct SingleFailureLiveness {}
    id: "single-failure-liveness",
    why: "a single lost packet or refused connection restarts a healthy container",
    actions: [Audit, Warn, Deny],
    covered_by: "hair-trigger-liveness",
    needs: LIVENESS,
}

impl Rule for SingleFailureLiveness {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        for container in &cx.workload.containers {
            let kind = ProbeKind::Liveness;
            let Some(timing) = container.valid_probe(kind).map(Probe::timing) else { continue };
            if timing.failure_threshold != 1 {
                continue;
            }
            let message = format!("one failed run, within {} s, restarts the container (failureThreshold 1)", timing.period);
            let threshold = timing.threshold_for_tolerance(20).max(3);
            let help = format!("livenessProbe:\n  failureThreshold: {threshold}");
            out.probe(cx, container, kind, "failureThreshold", message, help);
        }
    }
}
