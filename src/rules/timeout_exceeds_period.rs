use super::{Context, Findings, Rule, finding::shorten};
use crate::graph::Around;
use crate::model::{Edit, Handler, ProbeKind};

declare_rule! {
    /// A probe's timeout is longer than its period.
    ///
    /// ## What it does
    ///
    /// Fires when `timeoutSeconds` is greater than `periodSeconds`. For a readiness `httpGet` behind a Service that Google's load balancer controller serves
    /// (an Ingress of class `gce` in the set names it, or it has the annotation `cloud.google.com/neg`), also when the two are equal.
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
                } else if timing.timeout == timing.period
                    && kind == ProbeKind::Readiness
                    && matches!(probe.handler(), Some(Handler::HttpGet(_)))
                    && let Some(service) = cx.around.and_then(Around::gce_service)
                {
                    let message = format!(
                        "timeout of {} s is not below the period, and the load balancer of Service \"{}\" copies both",
                        timing.timeout,
                        shorten(&service.name, 63)
                    );
                    let help = format!("{}:\n  periodSeconds: {}", kind.field(), timing.timeout.saturating_add(1));
                    out.probe(cx, container, kind, "timeoutSeconds", message, help);
                }
            }
        }
    }
}
