use super::{Context, Findings, Rule};
use crate::model::{Probe, ProbeKind};

declare_rule! {
    /// A pod that is well again stays out of the traffic for more than a minute.
    ///
    /// ## What it does
    ///
    /// Fires when `successThreshold * periodSeconds` of a readiness probe exceeds `maxSeconds` (60).
    ///
    /// ## Why it is bad
    ///
    /// After an outage all replicas are unready at once, and all stay so for this time after it is over. A rolling update waits as long for each
    /// pod.
    ///
    /// ```yaml,fires
    /// readinessProbe:
    ///   httpGet: { path: /readyz, port: 8080 }
    ///   periodSeconds: 30
    ///   successThreshold: 3
    /// ```
    ///
    /// ## Instead
    ///
    /// One success, or a shorter period. To let a new pod settle before the rollout goes on, use `minReadySeconds` of the Deployment.
    ///
    /// ```yaml,clean
    /// readinessProbe:
    ///   httpGet: { path: /readyz, port: 8080 }
    ///   periodSeconds: 10
    /// ```
    pub struct SlowRecovery {
        /// Longest time, in seconds, until a pod that answers again gets requests.
        max_seconds: u32 = 60,
    }
    id: "slow-recovery",
    why: "after an outage every replica stays out of the traffic for this much longer",
    actions: [Audit, Warn, Warn],
    needs: READINESS,
}

impl Rule for SlowRecovery {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        let most = i64::from(self.max_seconds);
        for container in &cx.workload.containers {
            let kind = ProbeKind::Readiness;
            let Some(timing) = container.valid_probe(kind).map(Probe::timing) else { continue };
            let recovery = timing.recovery();
            if recovery <= most {
                continue;
            }
            let message = format!("a pod that is well again stays out of the traffic for up to {recovery} s");
            let help = "readinessProbe:\n  periodSeconds: 10\n  successThreshold: 1".to_owned();
            out.probe(cx, container, kind, "", message, help).badness(recovery);
        }
    }
}
