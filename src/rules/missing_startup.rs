use super::{Context, Findings, Rule};
use crate::model::ProbeKind;

declare_rule! {
    /// A long-running container is probed, but not while it starts.
    ///
    /// ## What it does
    ///
    /// Fires when a container of a long-running workload has a liveness or readiness probe and no startup probe. Off in every profile:
    /// `no-startup-allowance` says where one is needed.
    ///
    /// ## Why it is bad
    ///
    /// Without a startup probe the other two have to serve both a start that takes long and a hang that should be noticed soon, and numbers that
    /// suit one do not suit the other.
    ///
    /// ```yaml,fires
    /// livenessProbe:
    ///   httpGet: { path: /healthz, port: 8080 }
    /// ```
    ///
    /// ## Instead
    ///
    /// A startup probe with the handler of the liveness probe and a budget of its own.
    ///
    /// ```yaml,clean
    /// startupProbe:
    ///   httpGet: { path: /healthz, port: 8080 }
    ///   periodSeconds: 5
    ///   failureThreshold: 12
    /// livenessProbe:
    ///   httpGet: { path: /healthz, port: 8080 }
    /// ```
    pub struct MissingStartup {}
    id: "missing-startup",
    why: "one set of numbers has to suit both a slow start and a hang",
    actions: [Off, Off, Off],
}

impl Rule for MissingStartup {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        if !cx.workload.is_long_running() {
            return;
        }

        for container in &cx.workload.containers {
            if container.probe(ProbeKind::Startup).is_some() || !container.has_probe() {
                continue;
            }
            let help =
                "startupProbe:              # with the handler of the liveness probe\n  periodSeconds: 5\n  failureThreshold: 12"
                    .to_owned();
            out.container(cx, container, "", "has no startup probe".to_owned(), help);
        }
    }
}
