use super::{Context, Findings, Rule};
use crate::model::{Handler, ProbeKind, cannot_fail};

declare_rule! {
    /// A readiness probe runs a command that always succeeds.
    ///
    /// ## What it does
    ///
    /// Fires when the `exec` command of a readiness probe can only exit 0: `true`, `echo`, `exit 0`, or a shell script that ends in `|| true`.
    /// A command that cannot be read with certainty is taken to be able to fail.
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
}

impl Rule for ReadinessCannotFail {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        for container in &cx.workload.containers {
            let Some(probe) = container.valid_probe(ProbeKind::Readiness) else { continue };
            let Some(Handler::Exec(exec)) = probe.handler() else { continue };
            if let Some(reason) = cannot_fail(exec, probe.timing().timeout) {
                let message = format!("readiness cannot fail: the command {reason}");
                let help = "readinessProbe:\n  httpGet:          # or tcpSocket, grpc, or a command that can exit non-zero\n    path: /ready\n    port: ..."
                    .to_owned();
                out.probe(cx, container, ProbeKind::Readiness, "exec/command", message, help);
            }
        }
    }
}
