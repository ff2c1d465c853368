use super::{Context, Finding, Findings, Rule};
use crate::{
    model::{Leaf, ProbeKind, Timing},
    policy::Action,
};

declare_rule! {
    /// A liveness probe gives a hanging container less than 20 seconds.
    ///
    /// ## What it does
    ///
    /// Fires when the shortest hang that trips the liveness probe, `(failureThreshold - 1) * max(periodSeconds, timeoutSeconds) + timeoutSeconds`, is below
    /// `minToleranceSeconds` (20). Kubernetes' own defaults give 21. With `denyBelowSeconds` (10 under the strict profile), a tolerance from there up is
    /// only warned about. Silent where `hair-trigger-liveness` already speaks as severely.
    ///
    /// ## Why it is bad
    ///
    /// Full garbage collections, failovers of a database, a node under memory pressure: many things stop a process for ten seconds and end by
    /// themselves. A restart makes each of them worse.
    ///
    /// ```yaml,fires
    /// livenessProbe:
    ///   httpGet: { path: /healthz, port: 8080 }
    ///   periodSeconds: 5
    ///   timeoutSeconds: 1
    ///   failureThreshold: 3
    /// ```
    ///
    /// ## Instead
    ///
    /// A higher `failureThreshold` costs nothing while the container is well.
    ///
    /// ```yaml,clean
    /// livenessProbe:
    ///   httpGet: { path: /healthz, port: 8080 }
    ///   periodSeconds: 5
    ///   timeoutSeconds: 5
    ///   failureThreshold: 4
    /// ```
    pub struct AggressiveLiveness {
        /// Shortest hang, in seconds, that may trip the probe.
        min_tolerance_seconds: u32 = 20,
        /// Where the action is `deny`: from this tolerance up, in seconds, only warn. Absent: deny all.
        deny_below_seconds: Option<u32> = None,
    }
    id: "aggressive-liveness",
    why: "pauses of this length end by themselves, and a restart makes them worse",
    actions: [Audit, Warn, Deny],
    profile_params: ["", "", r#"{"denyBelowSeconds": 10}"#],
    covered_by: "hair-trigger-liveness",
    needs: LIVENESS,
    rewrite: "raises `failureThreshold`",
}

impl Rule for AggressiveLiveness {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        let wanted = i64::from(self.min_tolerance_seconds);
        for container in &cx.workload.containers {
            let Some(probe) = container.valid_probe(ProbeKind::Liveness) else { continue };
            let tolerance = probe.timing().tolerance();
            if tolerance >= wanted {
                continue;
            }
            let message = format!("liveness restarts the container after a hang of {tolerance} s; give it {wanted} s or more");
            let finding =
                out.probe(cx, container, ProbeKind::Liveness, "", message, slower(probe.timing(), wanted)).badness(-tolerance);
            if self.deny_below_seconds.is_some_and(|limit| tolerance >= i64::from(limit)) {
                finding.at_most(Action::Warn);
            }
            raise_threshold(finding, probe.timing().threshold_for_tolerance(wanted));
        }
    }
}

/// Proposes a failure threshold, unless it is one that nobody would choose: then the period has to change too, which is for the author to decide.
pub(super) fn raise_threshold(finding: &mut Finding, threshold: i64) {
    if threshold <= MOST_FAILURES {
        finding.rewrite_leaf(Leaf::FailureThreshold, threshold);
    }
}

/// As for thresholds that are filled in.
const MOST_FAILURES: i64 = 30;

/// The same probe with a timeout of at most 5 s and the smallest threshold that tolerates `wanted` seconds.
pub(super) fn slower(timing: Timing, wanted: i64) -> String {
    let timeout = timing.timeout.max(5.min(timing.period));
    let mut better = Timing { timeout, ..timing };
    better.failure_threshold = timing.failure_threshold.max(3).max(better.threshold_for_tolerance(wanted));
    format!(
        "livenessProbe:\n  periodSeconds: {}\n  timeoutSeconds: {}\n  failureThreshold: {}   # tolerates a hang of {} s",
        better.period,
        better.timeout,
        better.failure_threshold,
        better.tolerance()
    )
}
