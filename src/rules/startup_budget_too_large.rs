use super::{Context, Findings, Rule};
use crate::model::{Probe, ProbeKind};

declare_rule! {
    /// A startup probe waits for more than half an hour.
    ///
    /// ## What it does
    ///
    /// Fires when the longest start-up that a startup probe lets pass, `initialDelaySeconds + failureThreshold * periodSeconds`, exceeds
    /// `maxSeconds` (1800).
    ///
    /// ## Why it is bad
    ///
    /// Until the startup probe has succeeded or given up, liveness does not run: a container that hangs while it starts stays that way for all this
    /// time, and a rollout waits for it.
    ///
    /// ```yaml,fires
    /// startupProbe:
    ///   httpGet: { path: /healthz, port: 8080 }
    ///   periodSeconds: 10
    ///   failureThreshold: 1000
    /// ```
    ///
    /// ## Instead
    ///
    /// Twice the longest start-up that was ever seen is enough. What really takes hours belongs in a Job or an init container.
    ///
    /// ```yaml,clean
    /// startupProbe:
    ///   httpGet: { path: /healthz, port: 8080 }
    ///   periodSeconds: 10
    ///   failureThreshold: 60
    /// ```
    pub struct StartupBudgetTooLarge {
        /// Longest start-up, in seconds, that may be let pass.
        max_seconds: u32 = 1800,
    }
    id: "startup-budget-too-large",
    why: "a container that hangs while it starts is left alone for all this time",
    actions: [Off, Audit, Warn],
    needs: STARTUP,
}

impl Rule for StartupBudgetTooLarge {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        let most = i64::from(self.max_seconds);
        for container in &cx.workload.containers {
            let kind = ProbeKind::Startup;
            let Some(timing) = container.valid_probe(kind).map(Probe::timing) else { continue };
            let budget = timing.start_up_upper_bound();
            if budget <= most {
                continue;
            }
            let message = || format!("startup waits for up to {budget} s; a hang at start stays that long");
            let threshold = (most.saturating_sub(timing.initial_delay) / timing.period.max(1)).max(1);
            let help = || format!("startupProbe:\n  failureThreshold: {threshold}   # or fewer; {most} s at most");
            out.probe(cx, container, kind, "", message, help).badness(budget);
        }
    }
}
