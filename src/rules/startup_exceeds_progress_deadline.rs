use super::{Context, Findings, Rule};
use crate::model::{Probe, ProbeKind};

declare_rule! {
    /// A rollout fails before its pods have used the time they are given to start.
    ///
    /// ## What it does
    ///
    /// Fires for a Deployment when the longest time until a pod counts as available reaches `progressDeadlineSeconds` (600 when left out). That
    /// time is the longest start-up that is let pass (`initialDelaySeconds + failureThreshold * periodSeconds` of the startup probe, else of the
    /// liveness probe, else 0) or the delay of readiness, whichever is longer, plus `periodSeconds * successThreshold` of readiness, plus
    /// `minReadySeconds`.
    ///
    /// ## Why it is bad
    ///
    /// The rollout is reported as failed, and tools that watch it roll back, while the pods are still within the time that their own probes allow.
    ///
    /// ```yaml,fires
    /// startupProbe:
    ///   httpGet: { path: /healthz, port: 8080 }
    ///   periodSeconds: 10
    ///   failureThreshold: 90
    /// livenessProbe:
    ///   httpGet: { path: /healthz, port: 8080 }
    /// ```
    ///
    /// ## Instead
    ///
    /// Raise the deadline above the start-up budget, or lower the budget.
    ///
    /// ```yaml,clean
    /// startupProbe:
    ///   httpGet: { path: /healthz, port: 8080 }
    ///   periodSeconds: 10
    ///   failureThreshold: 30
    /// livenessProbe:
    ///   httpGet: { path: /healthz, port: 8080 }
    /// ```
    pub struct StartupExceedsProgressDeadline {}
    id: "startup-exceeds-progress-deadline",
    why: "the rollout is reported as failed while its pods may still be starting",
    actions: [Warn, Warn, Deny],
}

impl Rule for StartupExceedsProgressDeadline {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        let Some(deadline) = cx.workload.progress_deadline else { return };
        for container in &cx.workload.containers {
            let timing = |kind| container.valid_probe(kind).map(Probe::timing);
            let [liveness, readiness, startup] = ProbeKind::ALL.map(timing);
            let bound = startup.or(liveness).map_or(0, |timing| timing.start_up_upper_bound());
            let available = cx.workload.time_to_available(bound, readiness);
            if available < deadline {
                continue;
            }
            let kind = match (startup, liveness, readiness) {
                (Some(_), ..) => ProbeKind::Startup,
                (_, Some(_), _) => ProbeKind::Liveness,
                (_, _, Some(_)) => ProbeKind::Readiness,
                _ => continue,
            };
            let message = format!("a pod may take {available} s until it is available; the rollout fails after {deadline} s");
            let help = format!("spec:\n  progressDeadlineSeconds: {}", available.saturating_add(60));
            out.container(cx, container, kind.field(), message, help).badness(available.saturating_sub(deadline));
        }
    }
}
