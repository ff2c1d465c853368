use super::{Context, Findings, Rule};
use crate::model::ProbeKind;

declare_rule! {
    /// A liveness probe without a startup probe gives the container little time to start.
    ///
    /// ## What it does
    ///
    /// Fires when there is a liveness probe, no startup probe, and the start-up time that liveness guarantees,
    /// `initialDelaySeconds + (failureThreshold - 1) * periodSeconds`, is below `minSeconds` (30).
    ///
    /// ## Why it is bad
    ///
    /// A container that needs longer is killed while it starts, and then again, each time a little later: it never comes up. It shows on the day when the node is
    /// busy, the image is cold or the migration takes long, and then on all replicas.
    ///
    /// ```yaml,fires
    /// livenessProbe:
    ///   httpGet: { path: /healthz, port: 8080 }
    ///   initialDelaySeconds: 5
    ///   periodSeconds: 5
    ///   failureThreshold: 3
    /// ```
    ///
    /// ## Instead
    ///
    /// A startup probe: it gives all the time that is needed, and liveness starts the moment it succeeds.
    ///
    /// ```yaml,clean
    /// startupProbe:
    ///   httpGet: { path: /healthz, port: 8080 }
    ///   periodSeconds: 5
    ///   failureThreshold: 24
    /// livenessProbe:
    ///   httpGet: { path: /healthz, port: 8080 }
    ///   periodSeconds: 5
    ///   failureThreshold: 4
    /// ```
    pub struct NoStartupAllowance {
        /// Start-up time, in seconds, that must be guaranteed.
        min_seconds: u32 = 30,
    }
    id: "no-startup-allowance",
    why: "a container that starts slowly is killed while it starts, again and again",
    actions: [Audit, Warn, Warn],
    needs: LIVENESS,
}

impl Rule for NoStartupAllowance {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        let wanted = i64::from(self.min_seconds);
        for container in &cx.workload.containers {
            let Some(probe) = container.valid_probe(ProbeKind::Liveness) else { continue };
            if container.probe(ProbeKind::Startup).is_some() {
                continue;
            }
            let guaranteed = probe.timing().guaranteed_start_up();
            if guaranteed >= wanted {
                continue;
            }
            let message = format!("liveness guarantees only {guaranteed} s to start, and there is no startup probe");
            let threshold = (wanted + 9) / 10 + 1;
            let help = format!(
                "startupProbe:              # with the handler of the liveness probe\n  periodSeconds: 10\n  failureThreshold: {threshold}      # guarantees {} s",
                (threshold - 1) * 10
            );
            out.probe(cx, container, ProbeKind::Liveness, "", message, help).badness(-guaranteed);
        }
    }
}
