use super::{Context, Findings, Rule};
use crate::model::{Kind, List, ProbeKind};

declare_rule! {
    /// A Job has a liveness or readiness probe.
    ///
    /// ## What it does
    ///
    /// Fires when a regular container of a Job or CronJob has a liveness or readiness probe. Sidecars are left out: readiness may order their
    /// start.
    ///
    /// ## Why it is bad
    ///
    /// A Job is done when its process ends. Nothing sends it requests, so readiness has no effect; liveness restarts work that takes long, from its
    /// beginning. What limits a Job that hangs is `activeDeadlineSeconds`.
    ///
    /// ```yaml,fires
    /// apiVersion: batch/v1
    /// kind: Job
    /// metadata: { name: report }
    /// spec:
    ///   template:
    ///     spec:
    ///       restartPolicy: OnFailure
    ///       containers:
    ///         - name: report
    ///           image: example.com/report:1
    ///           livenessProbe: { exec: { command: [check] } }
    /// ```
    ///
    /// ## Instead
    ///
    /// A deadline for the whole Job.
    ///
    /// ```yaml,clean
    /// apiVersion: batch/v1
    /// kind: Job
    /// metadata: { name: report }
    /// spec:
    ///   activeDeadlineSeconds: 3600
    ///   template:
    ///     spec:
    ///       restartPolicy: OnFailure
    ///       containers:
    ///         - name: report
    ///           image: example.com/report:1
    /// ```
    pub struct ProbeOnJob {}
    id: "probe-on-job",
    why: "nothing sends a Job requests, and a restart loses its work",
    actions: [Off, Off, Warn],
}

impl Rule for ProbeOnJob {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        if !matches!(cx.workload.kind, Kind::Job | Kind::CronJob) {
            return;
        }
        for container in cx.workload.containers.iter().filter(|container| container.list == List::Regular) {
            for kind in [ProbeKind::Liveness, ProbeKind::Readiness] {
                if container.valid_probe(kind).is_none() {
                    continue;
                }
                let effect = if kind == ProbeKind::Liveness { "it restarts work that takes long" } else { "it has no effect" };
                let message = format!("a {} has a {} probe: {effect}", cx.workload.kind_name(), kind.word());
                let job = if cx.workload.kind == Kind::Job { "spec:\n" } else { "spec:\n  jobTemplate:\n    spec:\n" };
                let indent = if cx.workload.kind == Kind::Job { "  " } else { "      " };
                let help = format!("{job}{indent}activeDeadlineSeconds: 3600   # instead of the probe");
                out.probe(cx, container, kind, "", message, help);
            }
        }
    }
}
