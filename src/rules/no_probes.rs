use super::{Context, Findings, Rule};

declare_rule! {
    /// A long-running container has no probe at all.
    ///
    /// ## What it does
    ///
    /// Fires when a container of a long-running workload has neither liveness, readiness nor startup probe. Sidecars of service meshes are left
    /// out. Silent where `missing-readiness` already speaks as severely.
    ///
    /// ## Why it is bad
    ///
    /// Kubernetes then knows only whether the process runs. A rolling update replaces good pods by ones that never come up, and nothing notices a
    /// process that is stuck.
    ///
    /// ```yaml,fires
    /// args: [run]
    /// ```
    ///
    /// ## Instead
    ///
    /// Readiness for what serves requests. For a worker, a liveness probe that can tell whether it still makes progress, if there is a way to tell.
    ///
    /// ```yaml,clean
    /// livenessProbe:
    ///   exec: { command: [test, -e, /tmp/alive] }
    /// ```
    pub struct NoProbes {}
    id: "no-probes",
    why: "Kubernetes knows only whether the process runs, not whether it works",
    actions: [Off, Audit, Warn],
    covered_by: "missing-readiness",
}

impl Rule for NoProbes {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        if !cx.workload.is_long_running() {
            return;
        }

        for container in &cx.workload.containers {
            if container.has_probe() {
                continue;
            }
            let help = "readinessProbe:\n  httpGet:            # or tcpSocket, grpc, exec\n    path: /ready";
            out.container(cx, container, "", "runs on without any probe", help);
        }
    }
}
