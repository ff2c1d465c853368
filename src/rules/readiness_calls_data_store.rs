use super::{Context, Findings, Rule};
use crate::{
    model::{Handler, PortRef, ProbeKind, Reach, Reading, data_store},
    policy::Action,
};

declare_rule! {
    /// A readiness probe asks a database, cache or broker elsewhere.
    ///
    /// ## What it does
    ///
    /// Fires when a readiness probe opens a connection to another host at a data store's well-known port (5432, 3306, 6379, 27017, 9042, 9092, 5672, 11211, 1433,
    /// 1521), or when its command asks one with a client such as `pg_isready`, `mysqladmin`, `redis-cli`, `mongosh` or `kafka-topics`. A data store that asks
    /// itself is right and left alone; so are pods on the node's network (`hostNetwork: true`) that give an address.
    ///
    /// A query that the container makes *inside* its own readiness handler does the same, but cannot be seen in YAML.
    ///
    /// ## Why it is bad
    ///
    /// Many tutorials recommend it, and for one replica it does little harm. But all replicas ask the same store: when it is slow for as long as a few probes,
    /// every one of them becomes unready in the same moment, and callers get a refused connection in place of an error that they could understand. Probes are
    /// also load: replicas times probes per second, each with its own connection.
    ///
    /// ```yaml,fires
    /// readinessProbe:
    ///   exec: { command: [sh, -c, "pg_isready -h postgres.shop -p 5432"] }
    /// ```
    ///
    /// ## Instead
    ///
    /// Ready means "this container can take requests". Answer with an error, a cached value or a retry while the store is away.
    ///
    /// ```yaml,clean
    /// readinessProbe:
    ///   httpGet: { path: /ready, port: 8080 }
    /// ```
    pub struct ReadinessCallsDataStore {}
    id: "readiness-calls-data-store",
    why: "when the store is slow, every replica becomes unready in the same moment",
    actions: [Off, Audit, Warn],
    needs: READINESS,
    needs_any: HOST | EXEC,
}

impl Rule for ReadinessCallsDataStore {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        let kind = ProbeKind::Readiness;
        for container in &cx.workload.containers {
            let Some(probe) = container.valid_probe(kind) else { continue };
            if let (Some(Handler::TcpSocket(tcp)), Some((_, host))) = (probe.handler(), cx.other_host(probe)) {
                let Some(PortRef::Number(port)) = tcp.port else { continue };
                let Some(store) = data_store(port) else { continue };
                let message = format!("readiness connects to {store} elsewhere, \"{host}\" port {port}");
                let help = "readinessProbe:\n  tcpSocket:   # without host: this container itself".to_owned();
                out.probe(cx, container, kind, "tcpSocket/host", message, help);
                continue;
            }
            let Some(reading) = Reading::of_probe(probe, container, cx.workload) else { continue };
            let mut stores = reading.targets().filter_map(|target| Some((target, target.data_store()?)));
            let found = stores
                .by_ref()
                .filter(|(target, _)| matches!(target.reach, Reach::Remote | Reach::Setting))
                .min_by_key(|(target, _)| target.reach != Reach::Remote);
            let Some((target, store)) = found else { continue };
            let place = target.place();
            let message = if target.reach == Reach::Remote {
                format!("readiness asks {store} elsewhere, {place}")
            } else {
                format!("readiness asks {store}, {place}; cannot tell whether that is another host")
            };
            let help =
                "readinessProbe:\n  httpGet:      # what this container itself can answer\n    path: /ready\n    port: ..."
                    .to_owned();
            let finding = out.probe(cx, container, kind, "exec/command", message, help);
            if target.reach != Reach::Remote {
                finding.at_most(Action::Warn);
            }
        }
    }
}
