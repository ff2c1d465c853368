use super::{Context, Findings, Rule, readiness_cannot_fail::report};
use crate::model::ProbeKind;

declare_rule! {
    /// A liveness or startup probe runs a command that always succeeds.
    ///
    /// ## What it does
    ///
    /// Fires when the `exec` command of a liveness or startup probe can only exit 0: `true`, `echo`, `printf`, `sleep` within the timeout, `exit 0`, or a shell
    /// script that ends in one of those whatever happens before, as in `|| true`. A command that cannot be read with certainty is taken to be able to fail.
    ///
    /// ## Why it is bad
    ///
    /// A container that hangs is never restarted, and everybody believes that it would be. A startup probe that cannot fail holds nothing back: liveness and
    /// readiness begin at once.
    ///
    /// ```yaml,fires
    /// livenessProbe:
    ///   exec: { command: [sh, -c, "curl -fs localhost:8080/healthz || true"] }
    /// ```
    ///
    /// ## Instead
    ///
    /// Let the command fail, or leave the probe out.
    ///
    /// ```yaml,clean
    /// livenessProbe:
    ///   httpGet: { path: /healthz, port: 8080 }
    /// ```
    pub struct LivenessCannotFail {}
    id: "liveness-cannot-fail",
    why: "the probe never acts, and everybody believes that it would",
    actions: [Warn, Warn, Deny],
    needs: EXEC,
}

impl Rule for LivenessCannotFail {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        for container in &cx.workload.containers {
            for kind in [ProbeKind::Liveness, ProbeKind::Startup] {
                report(*cx, out, container, kind);
            }
        }
    }
}
