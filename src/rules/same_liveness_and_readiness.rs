use super::{Context, Findings, Rule};
use crate::model::{ProbeKind, same_check};

declare_rule! {
    /// Liveness and readiness ask the same question.
    ///
    /// ## What it does
    ///
    /// Fires when liveness and readiness are the same check (ports resolved, defaults applied) and liveness is the slower one. Where it is not
    /// slower, `liveness-not-slower-than-readiness` speaks instead.
    ///
    /// ## Why it is bad
    ///
    /// Waiting longer is the documented pattern, and it helps as long as trouble is short. But a question that decides whether to send traffic is
    /// rarely the one that decides whether to restart: a dependency that stays down past the threshold restarts every replica.
    ///
    /// ```yaml,fires
    /// livenessProbe:
    ///   httpGet: { path: /health, port: 8080 }
    ///   failureThreshold: 6
    /// readinessProbe:
    ///   httpGet: { path: /health, port: 8080 }
    ///   failureThreshold: 3
    /// ```
    ///
    /// ## Instead
    ///
    /// Two endpoints: one that only says whether the process still makes progress, and one that says whether it can serve.
    ///
    /// ```yaml,clean
    /// livenessProbe:
    ///   httpGet: { path: /livez, port: 8080 }
    /// readinessProbe:
    ///   httpGet: { path: /readyz, port: 8080 }
    /// ```
    pub struct SameLivenessAndReadiness {}
    id: "same-liveness-and-readiness",
    why: "whatever keeps the pod out of the traffic for long enough also restarts it",
    actions: [Off, Off, Warn],
    covered_by: "liveness-not-slower-than-readiness",
    needs: LIVENESS & READINESS,
}

impl Rule for SameLivenessAndReadiness {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        for container in &cx.workload.containers {
            let (Some(liveness), Some(readiness)) =
                (container.valid_probe(ProbeKind::Liveness), container.valid_probe(ProbeKind::Readiness))
            else {
                continue;
            };
            let (tolerance, acted) = (liveness.timing().tolerance(), readiness.timing().acted());
            if !same_check(container, liveness, readiness) || tolerance <= acted {
                continue;
            }
            let message = format!("same check as readiness: {tolerance} s of what makes the pod unready restart the container");
            let help = "livenessProbe:   # an endpoint that only says whether the process still makes progress\n  httpGet:\n    path: /livez".to_owned();
            out.probe(cx, container, ProbeKind::Liveness, "", message, help);
        }
    }
}
