use super::{Context, Findings, Rule};
use crate::model::{Container, ProbeKind, Reading};

declare_rule! {
    /// A readiness probe runs a command that always succeeds.
    ///
    /// ## What it does
    ///
    /// Fires when the `exec` command of a readiness probe can only exit 0: `true`, `echo`, `printf`, `sleep` within the timeout, `exit 0`, or a shell
    /// script that ends in one of those whatever happens before, as in `|| true`. A command that cannot be read with certainty is taken to be able to fail.
    ///
    /// ## Why it is bad
    ///
    /// The pod counts as ready the moment the container runs, and stays so when it hangs: Services send requests to a process that cannot answer, and a
    /// rolling update replaces working pods by broken ones without noticing.
    ///
    /// ```yaml,fires
    /// readinessProbe:
    ///   exec: { command: [sh, -c, "curl -fs localhost:8080/ready || true"] }
    /// ```
    ///
    /// ## Instead
    ///
    /// Ask the server something that it can only answer when it can serve.
    ///
    /// ```yaml,clean
    /// readinessProbe:
    ///   httpGet: { path: /ready, port: 8080 }
    /// ```
    pub struct ReadinessCannotFail {}
    id: "readiness-cannot-fail",
    why: "the pod gets traffic from its first moment, and keeps getting it when it hangs",
    actions: [Deny, Deny, Deny],
    needs: READINESS & EXEC,
}

impl Rule for ReadinessCannotFail {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        for container in &cx.workload.containers {
            report(*cx, out, container, ProbeKind::Readiness);
        }
    }
}

/// Reports a probe whose command always exits 0.
pub(super) fn report(cx: Context<'_>, out: &mut Findings, container: &Container<'_>, kind: ProbeKind) {
    let Some(probe) = container.valid_probe(kind) else { return };
    let Some(reason) =
        Reading::of_probe(probe, container, cx.workload).and_then(|reading| reading.cannot_fail(probe.timing().timeout))
    else {
        return;
    };
    let message = format!("{} cannot fail: the command {reason}", kind.word());
    let path = if kind == ProbeKind::Readiness { "/ready" } else { "/healthz" };
    let help = format!(
        "{}:\n  httpGet:          # or tcpSocket, grpc, or a command that can exit non-zero\n    path: {path}\n    port: ...",
        kind.field()
    );
    out.probe(&cx, container, kind, "exec/command", message, help);
}
