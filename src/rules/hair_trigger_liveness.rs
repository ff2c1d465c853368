use super::{
    Context, Findings, Rule,
    aggressive_liveness::{raise_threshold, slower},
};
use crate::model::ProbeKind;

declare_rule! {
    /// A liveness probe restarts the container after a hang of a few seconds.
    ///
    /// ## What it does
    ///
    /// Fires when the shortest hang that trips the liveness probe, `(failureThreshold - 1) * max(periodSeconds, timeoutSeconds) + timeoutSeconds`, is below
    /// `minToleranceSeconds` (5).
    ///
    /// ## Why it is bad
    ///
    /// A garbage collection, a cold cache, a busy node or one lost packet stops any process for a few seconds. A restart turns that into an outage: the
    /// container loses its warm state, its requests, and adds start-up load when the node has least to spare.
    ///
    /// ```yaml,fires
    /// livenessProbe:
    ///   httpGet: { path: /healthz, port: 8080 }
    ///   periodSeconds: 2
    ///   failureThreshold: 1
    /// ```
    ///
    /// ## Instead
    ///
    /// Liveness is for a process that will never recover by itself: give it time. Leave the numbers out and they are filled in, or write them:
    ///
    /// ```yaml,clean
    /// livenessProbe:
    ///   httpGet: { path: /healthz, port: 8080 }
    ///   periodSeconds: 10
    ///   timeoutSeconds: 5
    ///   failureThreshold: 3
    /// ```
    pub struct HairTriggerLiveness {
        /// Shortest hang, in seconds, that may trip the probe.
        min_tolerance_seconds: u32 = 5,
    }
    id: "hair-trigger-liveness",
    why: "a pause that any process can have restarts a healthy container",
    actions: [Deny, Deny, Deny],
    needs: LIVENESS,
    rewrite: "raises `failureThreshold`, so that a hang of 20 s is tolerated",
}

impl Rule for HairTriggerLiveness {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        for container in &cx.workload.containers {
            let Some(probe) = container.valid_probe(ProbeKind::Liveness) else { continue };
            let tolerance = probe.timing().tolerance();
            if tolerance < i64::from(self.min_tolerance_seconds) {
                let message = format!("liveness restarts the container after a hang of {tolerance} s");
                let finding = out.probe(cx, container, ProbeKind::Liveness, "", message, slower(probe.timing(), 20));
                let wanted = i64::from(self.min_tolerance_seconds).max(20);
                raise_threshold(finding.badness(-tolerance), probe.timing().threshold_for_tolerance(wanted));
            }
        }
    }
}
