use super::{Context, Findings, Rule, finding::shorten};
use crate::model::ProbeKind;

declare_rule! {
    /// A PodDisruptionBudget keeps pods on their node because they are not ready.
    ///
    /// ## What it does
    ///
    /// Fires when a PodDisruptionBudget without `unhealthyPodEvictionPolicy: AlwaysAllow` covers pods that have a readiness probe. It needs the budgets
    /// (`probekeeper lint` over all files of an application): of a single object it says nothing. A budget that never blocks (`minAvailable: 0`,
    /// `maxUnavailable: 100%`) is left alone.
    ///
    /// ## Why it is bad
    ///
    /// A pod that is not ready counts as missing from the budget. While too few are ready, not even the broken ones may be evicted: `kubectl drain` and
    /// node upgrades wait for pods that will never be well on that node.
    ///
    /// ```yaml,fires
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: { name: web }
    /// spec:
    ///   selector: { matchLabels: { app: web } }
    ///   template:
    ///     metadata: { labels: { app: web } }
    ///     spec:
    ///       containers:
    ///         - name: web
    ///           image: example.com/web:1
    ///           ports: [{ name: http, containerPort: 8080 }]
    ///           readinessProbe:
    ///             httpGet: { path: /ready, port: http }
    /// ---
    /// apiVersion: policy/v1
    /// kind: PodDisruptionBudget
    /// metadata: { name: web }
    /// spec:
    ///   minAvailable: 1
    ///   selector: { matchLabels: { app: web } }
    /// ```
    ///
    /// ## Instead
    ///
    /// Pods that are not ready may always go. (Leave it out only where an unready pod still holds what must not be lost, such as the last copy of data.)
    ///
    /// ```yaml,clean
    /// apiVersion: apps/v1
    /// kind: Deployment
    /// metadata: { name: web }
    /// spec:
    ///   selector: { matchLabels: { app: web } }
    ///   template:
    ///     metadata: { labels: { app: web } }
    ///     spec:
    ///       containers:
    ///         - name: web
    ///           image: example.com/web:1
    ///           ports: [{ name: http, containerPort: 8080 }]
    ///           readinessProbe:
    ///             httpGet: { path: /ready, port: http }
    /// ---
    /// apiVersion: policy/v1
    /// kind: PodDisruptionBudget
    /// metadata: { name: web }
    /// spec:
    ///   minAvailable: 1
    ///   unhealthyPodEvictionPolicy: AlwaysAllow
    ///   selector: { matchLabels: { app: web } }
    /// ```
    pub struct PdbBlocksUnready {}
    id: "pdb-blocks-unready",
    why: "while too few pods are ready, not even the broken ones may be evicted, and node drains wait for them",
    actions: [Off, Off, Warn],
    needs: AROUND & READINESS,
}

impl Rule for PdbBlocksUnready {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        let Some(around) = cx.around else { return };
        let ready = |kind| cx.workload.containers.iter().find(move |container| container.valid_probe(kind).is_some());
        let Some(container) = ready(ProbeKind::Readiness) else { return };
        let Some(budget) = around.budgets().find(|budget| !budget.always_allows_unready && !budget.never_blocks) else { return };
        let name = shorten(&budget.name, 63);
        let message = format!("PodDisruptionBudget \"{name}\" can keep pods on their node because they are not ready");
        let help = "# in the PodDisruptionBudget\nunhealthyPodEvictionPolicy: AlwaysAllow".to_owned();
        out.probe(cx, container, ProbeKind::Readiness, "", message, help);
    }
}
