use super::{Context, Findings, Rule};
use crate::model::ProbeKind;

declare_rule! {
    /// A long-running container has no liveness probe.
    ///
    /// ## What it does
    ///
    /// Fires when a container of a long-running workload has no liveness probe. Sidecars of service meshes are left out. Silent where `no-probes`
    /// speaks.
    ///
    /// ## Why it is bad
    ///
    /// A process that is wedged, but has not ended, stays wedged until somebody looks. Mind that liveness is not needed where a process ends when
    /// it cannot go on: a liveness probe without a reason does harm, and this rule is off but in the strict profile.
    ///
    /// ```yaml,fires
    /// readinessProbe:
    ///   httpGet: { path: /readyz, port: 8080 }
    /// ```
    ///
    /// ## Instead
    ///
    /// An endpoint that only says whether the process still makes progress.
    ///
    /// ```yaml,clean
    /// livenessProbe:
    ///   httpGet: { path: /livez, port: 8080 }
    /// readinessProbe:
    ///   httpGet: { path: /readyz, port: 8080 }
    /// ```
    pub struct MissingLiveness {}
    id: "missing-liveness",
    why: "a process that is wedged stays so until somebody looks",
    actions: [Off, Off, Warn],
    covered_by: "no-probes",
}

impl Rule for MissingLiveness {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        if !cx.workload.is_long_running() {
            return;
        }

        for container in &cx.workload.containers {
            if container.probe(ProbeKind::Liveness).is_some() {
                continue;
            }
            let help = "livenessProbe:\n  httpGet:            # or tcpSocket, grpc, exec\n    path: /livez".to_owned();
            out.container(cx, container, "", "runs on, but has no liveness probe".to_owned(), help);
        }
    }
}
