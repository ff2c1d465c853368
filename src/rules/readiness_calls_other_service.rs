use super::{
    Context, Finding, Findings, Rule,
    finding::{listed, shorten},
};
use crate::graph::{Asked, asks_readiness};
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
    /// Over a set of files (`probekeeper lint DIR`) it says which of the others are taken down with it.
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
            let readiness = asks_readiness(path);
            let message = match cx.around.and_then(|around| around.asked(host, path)) {
                Some(asked) => in_this_set(&asked, readiness),
                None if readiness => {
                    format!("readiness asks for the readiness of another service, \"{host}\": one outage cascades")
                }
                None => format!("readiness asks another service, \"{host}\""),
            };
            let help = format!("{}:\n  {handler}:   # without host: this container itself", kind.field());
            out.probe(cx, container, kind, &format!("{handler}/host"), message, help);
        }
    }
}

/// Whom it asks and who falls with that one, by name. The Service passes requests only to ready pods, so any question asks for readiness too.
fn in_this_set(asked: &Asked<'_>, readiness: bool) -> String {
    let service = shorten(&asked.service.name, 30);
    if asked.own {
        return format!("readiness calls its own Service, \"{service}\": other pods answer for this one");
    }
    let verb = if readiness { "calls the readiness of" } else { "calls" };
    let message = format!("{verb} {service}, which is in this set");
    let fallen = asked.cascade();
    let so = if fallen.len() == 1 { "so is" } else { "so are" };
    let with = |shown| format!("{message}: when it is down, {so} {}", listed(fallen.iter().copied(), shown));
    // As many names as a message has room for.
    let fitting = [4, 3, 2, 1].into_iter().map(with).find(|message| message.chars().count() <= Finding::MESSAGE_RUNES);
    fitting.filter(|_| !fallen.is_empty()).unwrap_or(message)
}
