use super::{Context, Findings, Rule};
use crate::model::{Probe, ProbeKind};

declare_rule! {
    /// One quick failed run makes the pod unready.
    ///
    /// ## What it does
    ///
    /// Fires when the `failureThreshold` of a readiness probe is 1 and its `timeoutSeconds` is at most `maxTimeoutSeconds` (2).
    ///
    /// ## Why it is bad
    ///
    /// One slow answer takes the pod out of its Services. Under load all replicas answer slowly once in a while: each that drops out leaves its
    /// traffic to the others, until none is left.
    ///
    /// ```yaml,fires
    /// readinessProbe:
    ///   httpGet: { path: /readyz, port: 8080 }
    ///   failureThreshold: 1
    ///   timeoutSeconds: 1
    /// ```
    ///
    /// ## Instead
    ///
    /// Two or three failures in a row, or more time to answer.
    ///
    /// ```yaml,clean
    /// readinessProbe:
    ///   httpGet: { path: /readyz, port: 8080 }
    ///   failureThreshold: 3
    ///   periodSeconds: 5
    /// ```
    pub struct SingleFailureReadiness {
        /// Longest timeout, in seconds, that is too short for a single attempt.
        max_timeout_seconds: u32 = 2,
    }
    id: "single-failure-readiness",
    why: "one slow answer under load takes pods out of the traffic, and the rest get theirs too",
    actions: [Off, Audit, Warn],
    needs: READINESS,
}

impl Rule for SingleFailureReadiness {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        for container in &cx.workload.containers {
            let kind = ProbeKind::Readiness;
            let Some(timing) = container.valid_probe(kind).map(Probe::timing) else { continue };
            if timing.failure_threshold != 1 || timing.timeout > i64::from(self.max_timeout_seconds) {
                continue;
            }
            let message =
                || format!("one answer that takes more than {} s makes the pod unready (failureThreshold 1)", timing.timeout);
            let help = "readinessProbe:\n  failureThreshold: 3   # or a timeoutSeconds of 3 or more";
            out.probe(cx, container, kind, "failureThreshold", message, help).badness(-timing.timeout);
        }
    }
}
