use super::{Context, Findings, Rule};
use crate::model::{Leaf, ProbeKind};

declare_rule! {
    /// A container that is found wedged may take minutes to be killed.
    ///
    /// ## What it does
    ///
    /// Fires when a container has a liveness or startup probe, the probe has no `terminationGracePeriodSeconds` of its own, and the pod's exceeds
    /// `maxSeconds` (120). One finding for each container.
    ///
    /// ## Why it is bad
    ///
    /// The pod's grace period is meant for an orderly end. A container that failed liveness is wedged: it does not react to the signal, and the
    /// whole grace period passes before it is killed and restarted.
    ///
    /// ```yaml,fires
    /// apiVersion: apps/v1
    /// kind: StatefulSet
    /// metadata: { name: db }
    /// spec:
    ///   selector: { matchLabels: { app: db } }
    ///   template:
    ///     metadata: { labels: { app: db } }
    ///     spec:
    ///       terminationGracePeriodSeconds: 600
    ///       containers:
    ///         - name: db
    ///           image: example.com/db:1
    ///           livenessProbe: { exec: { command: [db-alive] } }
    /// ```
    ///
    /// ## Instead
    ///
    /// A grace period for the probe. Where the long one is meant for a wedged process too (a database that must flush), allow this rule and say so.
    ///
    /// ```yaml,clean
    /// apiVersion: apps/v1
    /// kind: StatefulSet
    /// metadata: { name: db }
    /// spec:
    ///   selector: { matchLabels: { app: db } }
    ///   template:
    ///     metadata: { labels: { app: db } }
    ///     spec:
    ///       terminationGracePeriodSeconds: 600
    ///       containers:
    ///         - name: db
    ///           image: example.com/db:1
    ///           livenessProbe: { exec: { command: [db-alive] }, terminationGracePeriodSeconds: 60 }
    /// ```
    pub struct SlowTermination {
        /// Longest grace period of the pod, in seconds, that does for a wedged container.
        max_seconds: u32 = 120,
    }
    id: "slow-termination",
    why: "a wedged process does not react to the signal, so all of the grace period passes before the restart",
    actions: [Audit, Warn, Warn],
}

impl Rule for SlowTermination {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        let grace = cx.workload.grace_period;
        if grace <= i64::from(self.max_seconds) {
            return;
        }
        for container in &cx.workload.containers {
            let slow = [ProbeKind::Liveness, ProbeKind::Startup].into_iter().find(|kind| {
                container.valid_probe(*kind).is_some_and(|probe| probe.defaulted(Leaf::TerminationGracePeriodSeconds).is_none())
            });
            let Some(kind) = slow else { continue };
            let message =
                format!("a container that failed {} may take {grace} s to be killed: the pod's grace period", kind.word());
            let wanted = container.pre_stop().at_least.saturating_add(30);
            let help = format!("{}:\n  terminationGracePeriodSeconds: {wanted}", kind.field());
            out.container(cx, container, kind.field(), message, help).badness(grace);
        }
    }
}
