use super::{Context, Findings, Rule};
use crate::model::{Handler, PortRef, ProbeKind};

declare_rule! {
    /// A readiness probe asks another service.
    ///
    /// ## What it does
    ///
    /// Fires when the `host` of an `httpGet` or `tcpSocket` readiness probe names another host. A TCP connect to a well-known data store port (5432, 3306,
    /// 6379, 27017, 9042, 9092, 5672, 11211, 1433, 1521) is another matter and left out, as are pods on the node's network (`hostNetwork: true`) that give
    /// an address: it may be their own.
    ///
    /// A call that the container makes *inside* its own readiness handler does the same harm, but cannot be seen in YAML.
    ///
    /// ## Why it is bad
    ///
    /// When the other service is not ready, every replica of this one becomes unready at once and its callers get nothing, not even the answers that need
    /// no other service. If they ask this one's readiness in turn, the outage walks up the chain: A waits for B, B waits for C. Asking the other's
    /// *readiness* endpoint makes it worse still: its momentary "send me no traffic" becomes everyone's. The kubelet, on the node, often cannot even
    /// resolve a Service's name.
    ///
    /// ```yaml,fires
    /// readinessProbe:
    ///   httpGet: { host: order-history.shop.svc, path: /health/ready, port: 80 }
    /// ```
    ///
    /// ## Instead
    ///
    /// Ready means "this container can take requests". Ask only that, and handle the loss of another service where it is called.
    ///
    /// ```yaml,clean
    /// readinessProbe:
    ///   httpGet: { path: /health/ready, port: 8080 }
    /// ```
    pub struct ReadinessCallsOtherService {}
    id: "readiness-calls-other-service",
    why: "when that service is down, every replica here becomes unready at once, and so on up the chain of callers",
    actions: [Warn, Deny, Deny],
}

/// PostgreSQL, MySQL, Redis, MongoDB, Cassandra, Kafka, RabbitMQ, memcached, SQL Server, Oracle.
const DATA_STORE_PORTS: [i64; 10] = [5432, 3306, 6379, 27017, 9042, 9092, 5672, 11211, 1433, 1521];

impl Rule for ReadinessCallsOtherService {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        for container in &cx.workload.containers {
            let kind = ProbeKind::Readiness;
            let Some(probe) = container.valid_probe(kind) else { continue };
            let Some((handler, host)) = cx.other_host(probe) else { continue };
            let path = match probe.handler() {
                Some(Handler::TcpSocket(tcp)) if matches!(tcp.port, Some(PortRef::Number(port)) if DATA_STORE_PORTS.contains(&port)) =>
                {
                    continue;
                }
                Some(Handler::HttpGet(http)) => http.path.as_deref().unwrap_or_default(),
                _ => "",
            };
            let message = if path.to_ascii_lowercase().contains("ready") || path.to_ascii_lowercase().contains("readiness") {
                format!("readiness asks for the readiness of another service, \"{host}\": one outage cascades")
            } else {
                format!("readiness asks another service, \"{host}\"")
            };
            let help = format!("{}:\n  {handler}:   # without host: this container itself", kind.field());
            out.probe(cx, container, kind, &format!("{handler}/host"), message, help);
        }
    }
}
