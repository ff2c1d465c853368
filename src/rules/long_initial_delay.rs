use super::{Context, Findings, Rule};
use crate::model::{Leaf, ProbeKind};

declare_rule! {
    /// A probe waits for minutes where a startup probe would react at once.
    ///
    /// ## What it does
    ///
    /// Fires when the `initialDelaySeconds` of liveness or readiness is `minSeconds` (120) or more and there is no startup probe. Silent about a
    /// delay that was filled in.
    ///
    /// ## Why it is bad
    ///
    /// The delay is always waited for, also when the container is up after five seconds: readiness keeps it out of the traffic for minutes on every
    /// rollout and every restart, and liveness does not see a hang during all that time. And when the container needs a little longer one day, it
    /// is killed.
    ///
    /// ```yaml,fires
    /// readinessProbe:
    ///   httpGet: { path: /readyz, port: 8080 }
    ///   initialDelaySeconds: 180
    /// ```
    ///
    /// ## Instead
    ///
    /// A startup probe with a generous budget ends at its first success.
    ///
    /// ```yaml,clean
    /// startupProbe:
    ///   httpGet: { path: /healthz, port: 8080 }
    ///   periodSeconds: 5
    ///   failureThreshold: 60
    /// readinessProbe:
    ///   httpGet: { path: /readyz, port: 8080 }
    /// ```
    pub struct LongInitialDelay {
        /// Shortest delay, in seconds, that is too long.
        min_seconds: u32 = 120,
    }
    id: "long-initial-delay",
    why: "a startup probe ends at its first success; the delay is waited for every time",
    actions: [Off, Audit, Warn],
}

impl Rule for LongInitialDelay {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        let limit = i64::from(self.min_seconds);
        for container in &cx.workload.containers {
            if container.probe(ProbeKind::Startup).is_some() {
                continue;
            }
            for kind in [ProbeKind::Liveness, ProbeKind::Readiness] {
                let Some(probe) = container.valid_probe(kind) else { continue };
                let delay = probe.timing().initial_delay;
                if delay < limit || cx.workload.is_filled(container, kind, Leaf::InitialDelaySeconds) {
                    continue;
                }
                let message = || format!("{} first runs after {delay} s, however soon the container is up", kind.word());
                let threshold = delay.saturating_add(4) / 5 + 1;
                let help = || {
                    format!(
                        "startupProbe:              # with the handler of this probe, and without its delay\n  periodSeconds: 5\n  failureThreshold: {threshold}"
                    )
                };
                out.probe(cx, container, kind, "initialDelaySeconds", message, help).badness(delay);
            }
        }
    }
}
