use super::{Context, Findings, Rule};
use crate::model::{Leaf, ProbeKind};

declare_rule! {
    /// A delay only repeats what the startup probe does.
    ///
    /// ## What it does
    ///
    /// Fires when there is a startup probe and the `initialDelaySeconds` of liveness or readiness lies within the longest start-up that it lets pass.
    /// Silent where that was filled in.
    ///
    /// ## Why it is bad
    ///
    /// Liveness and readiness do not run before the startup probe has succeeded. The delay still counts from the start of the container: on a quick
    /// start it only keeps traffic away from a pod that could serve, and on a slow one it does nothing.
    ///
    /// ```yaml,fires
    /// startupProbe:
    ///   httpGet: { path: /healthz, port: 8080 }
    ///   failureThreshold: 12
    /// readinessProbe:
    ///   httpGet: { path: /readyz, port: 8080 }
    ///   initialDelaySeconds: 30
    /// ```
    ///
    /// ## Instead
    ///
    /// Leave it out.
    ///
    /// ```yaml,clean
    /// startupProbe:
    ///   httpGet: { path: /healthz, port: 8080 }
    ///   failureThreshold: 12
    /// readinessProbe:
    ///   httpGet: { path: /readyz, port: 8080 }
    /// ```
    pub struct RedundantInitialDelay {}
    id: "redundant-initial-delay",
    why: "the startup probe holds it back already; after a quick start the delay only wastes time",
    actions: [Off, Off, Warn],
    needs: STARTUP,
}

impl Rule for RedundantInitialDelay {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        for container in &cx.workload.containers {
            let Some(startup) = container.valid_probe(ProbeKind::Startup) else { continue };
            let ours = |leaf| cx.workload.is_filled(container, ProbeKind::Startup, leaf);
            if [Leaf::FailureThreshold, Leaf::PeriodSeconds, Leaf::InitialDelaySeconds].into_iter().any(ours) {
                continue;
            }
            let budget = startup.timing().start_up_upper_bound();
            for kind in [ProbeKind::Liveness, ProbeKind::Readiness] {
                let Some(probe) = container.valid_probe(kind) else { continue };
                let delay = probe.timing().initial_delay;
                if delay <= 0 || delay > budget || cx.workload.is_filled(container, kind, Leaf::InitialDelaySeconds) {
                    continue;
                }
                let message = format!("a delay of {delay} s, within the {budget} s that the startup probe gives");
                let help = format!("{}:   # without initialDelaySeconds", kind.field());
                out.probe(cx, container, kind, "initialDelaySeconds", message, help);
            }
        }
    }
}
