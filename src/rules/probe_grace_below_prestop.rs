use super::{Context, Findings, Rule};
use crate::model::{Leaf, ProbeKind};

declare_rule! {
    /// The preStop hook takes all of a probe's grace period.
    ///
    /// ## What it does
    ///
    /// Fires when `terminationGracePeriodSeconds` of a liveness or startup probe is no longer than the preStop hook of the container takes: a
    /// `sleep` action, or a command that begins with `sleep N`.
    ///
    /// ## Why it is bad
    ///
    /// The hook runs within the grace period. Nothing is left of it when the process gets its signal, and it is killed two seconds later, without
    /// its orderly end.
    ///
    /// ```yaml,fires
    /// livenessProbe:
    ///   httpGet: { path: /livez, port: 8080 }
    ///   terminationGracePeriodSeconds: 10
    /// lifecycle:
    ///   preStop: { sleep: { seconds: 15 } }
    /// ```
    ///
    /// ## Instead
    ///
    /// The hook's time and what the process itself needs.
    ///
    /// ```yaml,clean
    /// livenessProbe:
    ///   httpGet: { path: /livez, port: 8080 }
    ///   terminationGracePeriodSeconds: 30
    /// lifecycle:
    ///   preStop: { sleep: { seconds: 15 } }
    /// ```
    pub struct ProbeGraceBelowPrestop {}
    id: "probe-grace-below-prestop",
    why: "nothing of the grace period is left for the process itself",
    actions: [Warn, Warn, Deny],
    needs: PRE_STOP,
}

impl Rule for ProbeGraceBelowPrestop {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        for container in &cx.workload.containers {
            let hook = container.pre_stop().at_least;
            for kind in [ProbeKind::Liveness, ProbeKind::Startup] {
                let Some(probe) = container.valid_probe(kind) else { continue };
                let Some(grace) = probe.defaulted(Leaf::TerminationGracePeriodSeconds) else { continue };
                if hook == 0 || grace > hook {
                    continue;
                }
                let message = format!("preStop takes {hook} s of the {grace} s that {} gives the container to end", kind.word());
                let help = format!("{}:\n  terminationGracePeriodSeconds: {}", kind.field(), hook.saturating_add(15));
                out.probe(cx, container, kind, "terminationGracePeriodSeconds", message, help)
                    .badness(hook.saturating_sub(grace));
            }
        }
    }
}
