use super::{Context, Findings, Rule};
use crate::model::{Container, Handler, ProbeKind};

declare_rule! {
    /// Commands run as probes more often than they should.
    ///
    /// ## What it does
    ///
    /// Fires when an `exec` liveness or readiness probe has a `periodSeconds` below `minPeriodSeconds` (5), and when the exec probes of a pod together start more
    /// than one process in two seconds. Startup probes are left out: they end with the first success.
    ///
    /// ## Why it is bad
    ///
    /// Every run makes the container runtime enter the container's namespaces and start a process there. That costs tens of milliseconds of CPU on the node,
    /// charged to the container's own limits, and a pod of such probes on every node adds up. A slow runtime then makes probes fail by timeout.
    ///
    /// ```yaml,fires
    /// livenessProbe:
    ///   exec: { command: [cat, /tmp/healthy] }
    ///   periodSeconds: 2
    /// ```
    ///
    /// ## Instead
    ///
    /// A longer period, or a handler that starts no process: `httpGet`, `tcpSocket`, `grpc`.
    ///
    /// ```yaml,clean
    /// livenessProbe:
    ///   exec: { command: [cat, /tmp/healthy] }
    ///   periodSeconds: 10
    /// ```
    pub struct FrequentExec {
        /// Shortest period of an exec probe, in seconds.
        min_period_seconds: u32 = 5,
    }
    id: "frequent-exec",
    why: "every run starts a process in the container, at the cost of the node and of the container's own limits",
    actions: [Audit, Warn, Deny],
    needs: EXEC,
}

/// One process in two seconds, in runs of an hour: whole numbers keep the comparison exact for every common period.
const MOST_RUNS_PER_HOUR: i64 = 1800;

impl Rule for FrequentExec {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        let shortest = i64::from(self.min_period_seconds);
        let mut runs_per_hour = 0_i64;
        let mut count = 0;
        let mut fastest: Option<(i64, &Container<'_>, ProbeKind)> = None;
        let before = out.len();
        for container in &cx.workload.containers {
            for kind in [ProbeKind::Liveness, ProbeKind::Readiness] {
                let Some(probe) = container.valid_probe(kind) else { continue };
                let Some(Handler::Exec(_)) = probe.handler() else { continue };
                let period = probe.timing().period.max(1);
                runs_per_hour = runs_per_hour.saturating_add(3600 / period);
                count += 1;
                if fastest.is_none_or(|(least, ..)| period < least) {
                    fastest = Some((period, container, kind));
                }
                if period < shortest {
                    let message = format!("{} starts a process every {period} s; {shortest} s or more is enough", kind.word());
                    let help = format!(
                        "{}:\n  periodSeconds: {shortest}   # or httpGet, tcpSocket, grpc: they start no process",
                        kind.field()
                    );
                    out.probe(cx, container, kind, "periodSeconds", message, help).badness(-period);
                }
            }
        }
        let Some((period, container, kind)) = fastest.filter(|_| out.len() == before && runs_per_hour > MOST_RUNS_PER_HOUR)
        else {
            return;
        };
        let message = format!("{count} exec probes of this pod start {runs_per_hour} processes in an hour, more than one in 2 s");
        let help = format!(
            "{}:\n  periodSeconds: {}   # or httpGet, tcpSocket, grpc: they start no process",
            kind.field(),
            period.saturating_mul(2)
        );
        out.probe(cx, container, kind, "periodSeconds", message, help).badness(runs_per_hour);
    }
}
