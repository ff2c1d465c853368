use super::{Context, Findings, Rule, aggressive_liveness::raise_threshold};
use crate::{
    model::{Leaf, ProbeKind, Timing, same_check},
    policy::Action,
};

declare_rule! {
    /// Liveness and readiness ask the same question, and liveness does not wait longer.
    ///
    /// ## What it does
    ///
    /// Fires when liveness and readiness are the same check (ports resolved, defaults applied) and the shortest hang that trips liveness is no longer than
    /// `readiness.failureThreshold * periodSeconds + timeoutSeconds`, the time in which readiness has surely acted. The documented pattern "same endpoint, higher
    /// `failureThreshold` for liveness" passes. With `denyOnlyChosenThreshold` (set by the recommended profile) it denies only where the author chose the
    /// `failureThreshold` of liveness; with Kubernetes' default of 3 it warns: that is the skeleton of most charts.
    ///
    /// ## Why it is bad
    ///
    /// Readiness takes a struggling pod out of the traffic so that it can recover. If liveness acts on the same signal at the same time, the pod is killed
    /// instead, and under load all replicas are, one after the other.
    ///
    /// ```yaml,fires
    /// livenessProbe:
    ///   httpGet: { path: /health, port: 8080 }
    ///   periodSeconds: 10
    /// readinessProbe:
    ///   httpGet: { path: /health, port: 8080 }
    ///   periodSeconds: 10
    /// ```
    ///
    /// ## Instead
    ///
    /// Give liveness an endpoint of its own that only says whether the process is wedged, or at least more patience.
    ///
    /// ```yaml,clean
    /// livenessProbe:
    ///   httpGet: { path: /health, port: 8080 }
    ///   failureThreshold: 6
    /// readinessProbe:
    ///   httpGet: { path: /health, port: 8080 }
    ///   failureThreshold: 3
    /// ```
    pub struct LivenessNotSlowerThanReadiness {
        /// Where the action is `deny`: deny only a `failureThreshold` of liveness other than Kubernetes' default, and warn about the default.
        deny_only_chosen_threshold: bool = false,
    }
    id: "liveness-not-slower-than-readiness",
    why: "the pod is killed when it should only be taken out of the traffic",
    actions: [Warn, Deny, Deny],
    profile_params: ["", r#"{"denyOnlyChosenThreshold": true}"#, ""],
    needs: LIVENESS & READINESS,
    rewrite: "raises `failureThreshold` of liveness",
}

impl Rule for LivenessNotSlowerThanReadiness {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        for container in &cx.workload.containers {
            let (Some(liveness), Some(readiness)) =
                (container.valid_probe(ProbeKind::Liveness), container.valid_probe(ProbeKind::Readiness))
            else {
                continue;
            };
            if !same_check(container, liveness, readiness) {
                continue;
            }
            let (l, r) = (liveness.timing(), readiness.timing());
            let acted = r.acted();
            if l.tolerance() > acted {
                continue;
            }
            let message = format!(
                "same check as readiness, and liveness gives up after {} s; readiness needs up to {acted} s",
                l.tolerance()
            );
            let slower = Timing { failure_threshold: l.threshold_for_tolerance(acted.saturating_add(1)).max(6), ..l };
            let help = format!(
                "livenessProbe:\n  failureThreshold: {}   # gives up after {} s; better still, an endpoint of its own",
                slower.failure_threshold,
                slower.tolerance()
            );
            let finding =
                out.probe(cx, container, ProbeKind::Liveness, "", message, help).badness(acted.saturating_sub(l.tolerance()));
            let threshold = Leaf::FailureThreshold;
            let chosen = liveness.defaulted(threshold) != threshold.api_default()
                && !cx.workload.is_filled(container, ProbeKind::Liveness, threshold);
            if self.deny_only_chosen_threshold && !chosen {
                finding.at_most(Action::Warn);
            }
            raise_threshold(finding, slower.failure_threshold);
        }
    }
}
