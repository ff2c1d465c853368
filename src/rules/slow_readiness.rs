use super::{Context, Findings, Rule};
use crate::model::{Probe, ProbeKind};

declare_rule! {
    /// A pod that fails stays in the traffic for more than a minute.
    ///
    /// ## What it does
    ///
    /// Fires when `failureThreshold * periodSeconds` of a readiness probe exceeds `maxSeconds` (60).
    ///
    /// ## Why it is bad
    ///
    /// Until readiness has failed often enough, the pod gets its share of the requests, and all of them fail.
    ///
    /// ```yaml,fires
    /// readinessProbe:
    ///   httpGet: { path: /readyz, port: 8080 }
    ///   periodSeconds: 30
    ///   failureThreshold: 5
    /// ```
    ///
    /// ## Instead
    ///
    /// Ask more often. An endpoint that is too costly for that answers from what it last found out.
    ///
    /// ```yaml,clean
    /// readinessProbe:
    ///   httpGet: { path: /readyz, port: 8080 }
    ///   periodSeconds: 10
    ///   failureThreshold: 3
    /// ```
    pub struct SlowReadiness {
        /// Longest time, in seconds, until a pod that refuses is taken out of the traffic.
        max_seconds: u32 = 60,
    }
    id: "slow-readiness",
    why: "a pod that cannot answer gets requests for all this time",
    actions: [Off, Off, Warn],
    needs: READINESS,
}

impl Rule for SlowReadiness {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        let most = i64::from(self.max_seconds);
        for container in &cx.workload.containers {
            let kind = ProbeKind::Readiness;
            let Some(timing) = container.valid_probe(kind).map(Probe::timing) else { continue };
            let (_, slowest) = timing.refusal_detection();
            if slowest <= most {
                continue;
            }
            let message = format!("a pod that refuses every request stays in the traffic for up to {slowest} s");
            let help = "readinessProbe:\n  periodSeconds: 10\n  failureThreshold: 3".to_owned();
            out.probe(cx, container, kind, "", message, help).badness(slowest);
        }
    }
}
