use super::{Context, Findings, Rule};

declare_rule! {
    /// A container that serves stops at once when its pod is deleted.
    ///
    /// ## What it does
    ///
    /// Fires when a container of a long-running workload declares a port that is not for metrics and has no preStop hook.
    ///
    /// ## Why it is bad
    ///
    /// When a pod is deleted, the process gets its signal at the same moment as every proxy and load balancer is told to send nothing more. Until
    /// all have heard of it, requests go to a process that no longer listens. Readiness does not help: the endpoint stops being ready whatever it
    /// says.
    ///
    /// ```yaml,fires
    /// ports: [{ name: http, containerPort: 8080 }]
    /// ```
    ///
    /// ## Instead
    ///
    /// A few seconds between the two (Kubernetes 1.30 or newer), or a server that goes on listening for a while after its signal.
    ///
    /// ```yaml,clean
    /// ports: [{ name: http, containerPort: 8080 }]
    /// lifecycle:
    ///   preStop: { sleep: { seconds: 5 } }
    /// ```
    pub struct MissingPrestop {}
    id: "missing-prestop",
    why: "in every rolling update requests still arrive at a process that no longer listens",
    actions: [Off, Off, Warn],
}

impl Rule for MissingPrestop {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        if !cx.workload.is_long_running() {
            return;
        }
        for container in &cx.workload.containers {
            let Some(port) = container.serving_port() else { continue };
            if container.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.pre_stop.is_some()) {
                continue;
            }
            let message = format!(
                "serves on port {port} without a preStop hook: it stops before the last requests have been sent elsewhere"
            );
            let help = "lifecycle:\n  preStop: { sleep: { seconds: 5 } }".to_owned();
            out.container(cx, container, "", message, help);
        }
    }
}
