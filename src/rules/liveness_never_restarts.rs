use super::{Context, Findings, Rule};
use crate::model::ProbeKind;

declare_rule! {
    /// A liveness probe kills a container that is never restarted.
    ///
    /// ## What it does
    ///
    /// Fires when a container with a liveness probe is not restarted after it ended: `restartPolicy: Never` of the pod, or of the container where
    /// it has its own. Native sidecars are always restarted; containers with restart rules are left out.
    ///
    /// ## Why it is bad
    ///
    /// Liveness kills the container, and it stays dead. What looks like a probe that heals is one that ends the work.
    ///
    /// ```yaml,fires
    /// apiVersion: v1
    /// kind: Pod
    /// metadata: { name: import }
    /// spec:
    ///   restartPolicy: Never
    ///   containers:
    ///     - name: import
    ///       image: example.com/import:1
    ///       livenessProbe: { exec: { command: [check] } }
    /// ```
    ///
    /// ## Instead
    ///
    /// `OnFailure`, or no liveness probe: `activeDeadlineSeconds` ends what hangs.
    ///
    /// ```yaml,clean
    /// apiVersion: v1
    /// kind: Pod
    /// metadata: { name: import }
    /// spec:
    ///   restartPolicy: OnFailure
    ///   containers:
    ///     - name: import
    ///       image: example.com/import:1
    ///       livenessProbe: { exec: { command: [check] } }
    /// ```
    pub struct LivenessNeverRestarts {}
    id: "liveness-never-restarts",
    why: "the container is killed and stays dead",
    actions: [Audit, Warn, Warn],
    needs: LIVENESS,
}

impl Rule for LivenessNeverRestarts {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        for container in &cx.workload.containers {
            let kind = ProbeKind::Liveness;
            let policy = container.restart_policy.as_deref().or(cx.workload.restart_policy.as_deref());
            if container.valid_probe(kind).is_none() || policy != Some("Never") || container.restart_policy_rules.is_some() {
                continue;
            }
            let message = "a container that fails liveness is killed and, with restartPolicy Never, not restarted".to_owned();
            let help = "restartPolicy: OnFailure   # of the pod".to_owned();
            out.probe(cx, container, kind, "", message, help);
        }
    }
}
