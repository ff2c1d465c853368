use super::{Context, Findings, Rule, finding::shorten};
use crate::model::ProbeKind;

declare_rule! {
    /// Readiness probes wait for each other in a circle.
    ///
    /// ## What it does
    ///
    /// Fires when a readiness probe asks a workload whose own readiness, directly or through others, asks back; and when a readiness probe asks its own
    /// Service. It needs the Services and workloads of a set (`probekeeper lint` over all their files): of a single object it says nothing.
    ///
    /// A Service with pods of several workloads closes no circle: any of them may answer. Neither does a Service that lists pods that are not ready, unless
    /// the path asked for is that of a readiness endpoint.
    ///
    /// ## Why it is bad
    ///
    /// A Service sends requests only to ready pods. Once all of the circle are unready, after an outage or at the first installation, each waits for
    /// another to become ready first. None does, and nothing but a person ends it.
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
    ///           readinessProbe:
    ///             httpGet: { host: web, path: /ready, port: 80 }   # its own Service
    /// ---
    /// apiVersion: v1
    /// kind: Service
    /// metadata: { name: web }
    /// spec:
    ///   selector: { app: web }
    ///   ports: [{ port: 80, targetPort: 8080 }]
    /// ```
    ///
    /// ## Instead
    ///
    /// Each container answers for itself.
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
    ///           readinessProbe:
    ///             httpGet: { path: /ready, port: 8080 }
    /// ---
    /// apiVersion: v1
    /// kind: Service
    /// metadata: { name: web }
    /// spec:
    ///   selector: { app: web }
    ///   ports: [{ port: 80, targetPort: 8080 }]
    /// ```
    pub struct ReadinessCycle {}
    id: "readiness-cycle",
    why: "once all of them are unready, each waits for another to become ready first, and none ever does",
    actions: [Audit, Warn, Deny],
    needs: AROUND & READINESS,
}

impl Rule for ReadinessCycle {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        let Some(around) = cx.around else { return };
        for container in &cx.workload.containers {
            let kind = ProbeKind::Readiness;
            let found = around.asks(&container.name, kind).find_map(|ask| {
                let asked = around.asked(&ask.host, ask.of_readiness)?;
                let service = shorten(&asked.service.name, 60);
                let message = match (asked.own, asked.needs_ready) {
                    (true, true) => {
                        format!("readiness asks its own Service, \"{service}\", which sends requests only to pods that are ready already")
                    }
                    (true, false) => format!("readiness asks its own Service, \"{service}\": another pod may answer for this one"),
                    (false, _) => format!("readiness waits for itself: {}", round(&asked.circle()?)),
                };
                Some((ask, message))
            });
            let Some((ask, message)) = found else { continue };
            let help = match ask.at.split_once("/host") {
                Some((handler, _)) => format!("readinessProbe:\n  {handler}:   # without host: this container itself"),
                None => "readinessProbe:\n  exec:\n    command: [...]   # that asks localhost".to_owned(),
            };
            out.probe(cx, container, kind, ask.at, message, help);
        }
    }
}

/// `a asks b asks a`, with the middle of a long circle left out.
fn round(circle: &[&str]) -> String {
    const ROOM: usize = 120;
    let (Some(first), Some(second)) = (circle.first(), circle.get(1)) else { return String::new() };
    let whole = format!("{} asks {first}", circle.join(" asks "));
    if whole.chars().count() <= ROOM {
        return whole;
    }
    let short = |name: &str| shorten(name, 40);
    match circle.len() - 2 {
        0 => format!("{} asks {} and back", short(first), short(second)),
        others => format!("{} asks {}, and so on through {others} more", short(first), short(second)),
    }
}
