use super::{Context, Findings, Rule};
use crate::model::Edit;

declare_rule! {
    /// A probe's timeout is longer than its period.
    ///
    /// ## What it does
    ///
    /// Fires when `timeoutSeconds` is greater than `periodSeconds`.
    ///
    /// ## Why it is bad
    ///
    /// Runs never overlap: against a target that hangs, the real period is the timeout. Detection takes longer than the period suggests, and some load
    /// balancer controllers that copy the readiness probe refuse the numbers.
    ///
    /// ```yaml,fires
    /// readinessProbe:
    ///   httpGet: { path: /ready, port: 8080 }
    ///   periodSeconds: 5
    ///   timeoutSeconds: 10
    /// ```
    ///
    /// ## Instead
    ///
    /// A timeout within the period.
    ///
    /// ```yaml,clean
    /// readinessProbe:
    ///   httpGet: { path: /ready, port: 8080 }
    ///   periodSeconds: 5
    ///   timeoutSeconds: 3
    /// ```
    pub struct TimeoutExceedsPeriod {}
    id: "timeout-exceeds-period",
    why: "runs never overlap, so against a hanging target the period is really the timeout",
    actions: [Audit, Warn, Deny],
    rewrite: "raises `periodSeconds` to the timeout, which is what a hanging target sees anyway",
}

impl Rule for TimeoutExceedsPeriod {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        for container in &cx.workload.containers {
            for (kind, probe) in container.valid_probes() {
                let timing = probe.timing();
                if timing.timeout > timing.period {
                    let message = format!("timeout of {} s is longer than the period of {} s", timing.timeout, timing.period);
                    let help = format!(
                        "{}:\n  periodSeconds: {}   # or a timeoutSeconds of {}",
                        kind.field(),
                        timing.timeout,
                        timing.period
                    );
                    let finding = out.probe(cx, container, kind, "timeoutSeconds", message, help);
                    finding.badness(timing.timeout - timing.period);
                    let period = format!("{}/periodSeconds", cx.workload.probe_pointer(container, kind));
                    finding.rewrite.push(Edit::set(period, timing.timeout));
                }
            }
        }
    }
}
