use super::{Context, Findings, Rule};
use crate::model::{Probe, ProbeKind, Timing};

declare_rule! {
    /// A startup probe gives the container less than 10 seconds.
    ///
    /// ## What it does
    ///
    /// Fires when the start-up time that a startup probe guarantees, `initialDelaySeconds + (failureThreshold - 1) * periodSeconds`, is below
    /// `minSeconds` (10).
    ///
    /// ## Why it is bad
    ///
    /// A startup probe that gives up restarts the container. One that gives up after a few seconds does so on the day when the node is busy or the
    /// image is cold, and then on every attempt.
    ///
    /// ```yaml,fires
    /// startupProbe:
    ///   httpGet: { path: /healthz, port: 8080 }
    ///   periodSeconds: 1
    ///   failureThreshold: 5
    /// ```
    ///
    /// ## Instead
    ///
    /// Time that is not needed costs nothing: the probe ends at its first success.
    ///
    /// ```yaml,clean
    /// startupProbe:
    ///   httpGet: { path: /healthz, port: 8080 }
    ///   periodSeconds: 1
    ///   failureThreshold: 60
    /// ```
    pub struct StartupBudgetTooSmall {
        /// Start-up time, in seconds, that must be guaranteed.
        min_seconds: u32 = 10,
    }
    id: "startup-budget-too-small",
    why: "a container that starts a little slower than usual is killed while it starts, again and again",
    actions: [Warn, Warn, Deny],
    needs: STARTUP,
}

impl Rule for StartupBudgetTooSmall {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        let wanted = i64::from(self.min_seconds);
        for container in &cx.workload.containers {
            let kind = ProbeKind::Startup;
            let Some(timing) = container.valid_probe(kind).map(Probe::timing) else { continue };
            let guaranteed = timing.guaranteed_start_up();
            if guaranteed >= wanted {
                continue;
            }
            let message = format!("startup guarantees only {guaranteed} s to start; give it {wanted} s or more");
            let better = Timing { failure_threshold: timing.threshold_for_start_up(wanted.max(30)), ..timing };
            let help = format!(
                "startupProbe:\n  failureThreshold: {}   # guarantees {} s",
                better.failure_threshold,
                better.guaranteed_start_up()
            );
            out.probe(cx, container, kind, "", message, help).badness(-guaranteed);
        }
    }
}
