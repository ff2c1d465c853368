use super::{Context, Findings, Rule};
use crate::model::Handler;

declare_rule! {
    /// A probe has one second to answer.
    ///
    /// ## What it does
    ///
    /// Fires when `timeoutSeconds` of an `httpGet`, `exec` or `grpc` probe is 1, Kubernetes' own default, after what was left out has been filled
    /// in.
    ///
    /// ## Why it is bad
    ///
    /// An answer that takes longer counts as a failure. A command must be started first, which alone takes that long on a busy node; a garbage
    /// collection, a cold cache or a throttled CPU does the rest. The probe then fails when the node is busy, not when the container is broken.
    ///
    /// ```yaml,fires
    /// livenessProbe:
    ///   exec: { command: [pg_isready] }
    /// ```
    ///
    /// ## Instead
    ///
    /// As long as an answer may take on a bad day, and no longer than the period.
    ///
    /// ```yaml,clean
    /// livenessProbe:
    ///   exec: { command: [pg_isready] }
    ///   timeoutSeconds: 5
    /// ```
    pub struct DefaultTimeout {}
    id: "default-timeout",
    why: "on a busy node a healthy container needs longer than that to answer",
    actions: [Off, Audit, Warn],
}

impl Rule for DefaultTimeout {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        for container in &cx.workload.containers {
            for (kind, probe) in container.valid_probes() {
                let timing = probe.timing();
                // A connection is accepted by the kernel: a second is enough for that.
                if timing.timeout != 1 || matches!(probe.handler(), Some(Handler::TcpSocket(_)) | None) {
                    continue;
                }
                let message = || format!("{} has 1 s to answer, Kubernetes' default", kind.word());
                let help = || {
                    format!(
                        "{}:\n  periodSeconds: {}\n  timeoutSeconds: {}",
                        kind.field(),
                        timing.period.max(3),
                        timing.period.clamp(3, 5)
                    )
                };
                out.probe(cx, container, kind, "timeoutSeconds", message, help);
            }
        }
    }
}
