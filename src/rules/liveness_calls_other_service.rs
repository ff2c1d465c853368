use super::{Context, Findings, Rule, readiness_calls_other_service::in_this_set};
use crate::{
    graph::asks_readiness,
    model::{Container, ProbeKind, Reach, Reading, Target},
    policy::Action,
};

declare_rule! {
    /// A liveness or startup probe asks another machine.
    ///
    /// ## What it does
    ///
    /// Fires when the `host` of an `httpGet` or `tcpSocket` liveness or startup probe names another host, or when the command of an `exec` probe asks one:
    /// by `curl`, `wget`, `nc`, a database client, `/dev/tcp` and the like. Variables are resolved where the container's `env` gives their value.
    /// Pods on the node's network (`hostNetwork: true`) that give an address are left out: it may be their own. So are the sidecars of service meshes.
    ///
    /// It only warns where a command's host is set in another object, or looks like the workload's own Service.
    ///
    /// ## Why it is bad
    ///
    /// When the other service is slow or down, this container is restarted, although nothing is wrong with it and a restart cannot help. All replicas are
    /// restarted at once, start-up load comes on top, and one outage becomes two. Such a probe also says nothing about the container itself.
    ///
    /// ```yaml,fires
    /// livenessProbe:
    ///   httpGet: { host: orders.shop.svc, path: /healthz, port: 80 }
    /// ```
    ///
    /// ```yaml,fires
    /// livenessProbe:
    ///   exec: { command: [sh, -c, "pg_isready -h postgres.shop || exit 1"] }
    /// ```
    ///
    /// ## Instead
    ///
    /// Ask the container itself whether it still makes progress. Handle the loss of another service where it is called: timeouts, retries, a circuit
    /// breaker, a degraded answer.
    ///
    /// ```yaml,clean
    /// livenessProbe:
    ///   httpGet: { path: /healthz, port: 8080 }
    /// ```
    ///
    /// A database that asks itself is right.
    ///
    /// ```yaml,clean
    /// livenessProbe:
    ///   exec: { command: [sh, -c, "pg_isready -U postgres -h 127.0.0.1"] }
    /// ```
    pub struct LivenessCallsOtherService {}
    id: "liveness-calls-other-service",
    why: "when that host is slow or down, healthy containers here are restarted, all at once",
    actions: [Deny, Deny, Deny],
    needs_any: HOST | EXEC,
}

impl Rule for LivenessCallsOtherService {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        for container in &cx.workload.containers {
            for kind in [ProbeKind::Liveness, ProbeKind::Startup] {
                let Some(probe) = container.valid_probe(kind) else { continue };
                if let Some((handler, host)) = cx.other_host(probe) {
                    let message = format!("{} asks another host, \"{host}\"", kind.word());
                    let help = format!("{}:\n  {handler}:   # without host: this container itself", kind.field());
                    out.probe(cx, container, kind, &format!("{handler}/host"), message, help);
                } else if let Some(reading) = Reading::of_probe(probe, container, cx.workload) {
                    report(*cx, out, container, kind, reading.targets());
                }
            }
        }
    }
}

/// Reports the most certain of the targets that are not this pod; doubtful ones only as a warning.
pub(super) fn report<'t>(
    cx: Context<'_>,
    out: &mut Findings,
    container: &Container<'_>,
    kind: ProbeKind,
    targets: impl Iterator<Item = &'t Target>,
) {
    let doubt = |target: &Target| match target.reach {
        Reach::Remote => Some(0),
        Reach::OwnService => Some(1),
        Reach::Setting => Some(2),
        Reach::Local | Reach::Unknown => None,
    };
    let Some((_, target)) = targets.filter_map(|target| Some((doubt(target)?, target))).min_by_key(|(doubt, _)| *doubt) else {
        return;
    };
    let (word, place) = (kind.word(), target.place());
    let readiness = asks_readiness(&target.path);
    let in_set = cx.around.filter(|_| kind == ProbeKind::Readiness && target.reach == Reach::Remote && target.literal);
    let message = match target.reach {
        Reach::Remote if let Some(asked) = in_set.and_then(|around| around.asked(&target.host, readiness)) => {
            in_this_set(&asked, readiness)
        }
        Reach::Remote if target.path.to_ascii_lowercase().contains("ready") && kind == ProbeKind::Readiness => {
            format!("readiness asks for the readiness of another service, {place}: one outage cascades")
        }
        Reach::Remote if kind == ProbeKind::Readiness => format!("readiness asks another service, {place}"),
        Reach::Remote => format!("{word} asks another host, {place}"),
        Reach::OwnService => format!("{word} asks {place}, probably its own Service: another replica may answer"),
        _ => format!("{word} asks {place}; cannot tell whether that is another host"),
    };
    let help = format!(
        "{}:\n  httpGet:      # or tcpSocket, grpc, or a command that asks localhost\n    path: {}\n    port: ...",
        kind.field(),
        if kind == ProbeKind::Readiness { "/ready" } else { "/healthz" }
    );
    let finding = out.probe(&cx, container, kind, "exec/command", message, help);
    if target.reach != Reach::Remote {
        finding.at_most(Action::Warn);
    }
}
