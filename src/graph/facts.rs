//! What of an object bears on other objects. Whatever the API server would refuse gives no fact: when unsure, nothing is said.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Deserializer};

use super::asks::{Ask, asks};
use crate::model::{Owner, ProbeKind, Workload};

/// What one object adds to a set.
#[derive(Debug, Clone)]
pub enum Fact {
    /// A workload.
    Member(Member),
    /// A Service.
    Service(Service),
    /// A PodDisruptionBudget.
    Budget(Budget),
    /// An Ingress.
    Ingress(Ingress),
}

/// Whether objects of this kind give a fact by [`Fact::from_json`]. Workloads do not: their fact is [`Member::of`].
pub fn holds_facts(api_version: &str, kind: &str) -> bool {
    reader(api_version, kind).is_some()
}

type Reader = fn(&str) -> Option<Fact>;

fn reader(api_version: &str, kind: &str) -> Option<Reader> {
    match (api_version.rsplit_once('/').map_or("", |(group, _)| group), kind) {
        ("", "Service") => Some(|json| Service::of(serde_json::from_str(json).ok()?).map(Fact::Service)),
        ("policy", "PodDisruptionBudget") => Some(|json| Budget::of(serde_json::from_str(json).ok()?).map(Fact::Budget)),
        ("networking.k8s.io" | "extensions", "Ingress") => {
            Some(|json| Ingress::of(serde_json::from_str(json).ok()?).map(Fact::Ingress))
        }
        _ => None,
    }
}

impl Fact {
    /// Reads a Service, budget or Ingress from JSON text. `None` for other kinds, and for what cannot be read as its kind.
    pub fn from_json(api_version: &str, kind: &str, json: &str) -> Option<Self> {
        reader(api_version, kind)?(json)
    }
}

/// A workload of a set.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its kind, as in a manifest.
    pub kind: Cow<'static, str>,
    /// Absent where the file leaves it to the command line.
    pub namespace: Option<Box<str>>,
    /// Its name, or the prefix of a generated one.
    pub name: Box<str>,
    /// Labels of its pods.
    pub labels: Vec<(Box<str>, Box<str>)>,
    /// Ports that its containers declare.
    pub ports: Vec<MemberPort>,
    /// Whom its probes ask.
    pub asks: Vec<Ask>,
    /// Whether any container has a readiness probe.
    pub has_readiness: bool,
    /// Whether another workload made it: then that one stands for it.
    pub owned: bool,
}

/// A port that a container declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberPort {
    /// Its name, if it has one.
    pub name: Option<Box<str>>,
    /// Its number.
    pub number: i64,
    /// `TCP` where the container says nothing.
    pub protocol: Box<str>,
}

impl Member {
    /// What of a workload bears on others; `None` for incomplete ones and the mirrors of static pods.
    pub fn of(workload: &Workload<'_>) -> Option<Self> {
        if workload.is_incomplete() || workload.owner() == Owner::Node {
            return None;
        }
        let metadata = workload.pod_metadata();
        let ports = workload.containers.iter().flat_map(|container| &container.ports).filter_map(|port| {
            Some(MemberPort {
                name: port.name.as_deref().filter(|name| !name.is_empty()).map(Into::into),
                number: port.container_port?,
                protocol: port.protocol.as_deref().filter(|protocol| !protocol.is_empty()).unwrap_or("TCP").into(),
            })
        });
        Some(Self {
            kind: workload.custom.as_ref().map_or(workload.kind.name().into(), |custom| custom.definition.kind.clone().into()),
            namespace: workload.namespace().filter(|namespace| !namespace.is_empty()).map(Into::into),
            name: workload.name().into(),
            labels: metadata.labels.0.iter().map(|(key, value)| ((&**key).into(), (&**value).into())).collect(),
            ports: ports.collect(),
            asks: asks(workload),
            has_readiness: workload.containers.iter().any(|container| container.valid_probe(ProbeKind::Readiness).is_some()),
            owned: workload.owner() == Owner::Judged,
        })
    }

    pub(super) fn label(&self, key: &str) -> Option<&str> {
        // The last of two equal keys counts, as in JSON.
        self.labels.iter().rev().find(|(candidate, _)| &**candidate == key).map(|(_, value)| &**value)
    }
}

/// A Service.
#[derive(Debug, Clone)]
pub struct Service {
    /// Absent where the file leaves it to the command line.
    pub namespace: Option<Box<str>>,
    /// Its name.
    pub name: Box<str>,
    /// Labels that its pods have; a Service without any selects nothing.
    pub selector: Vec<(Box<str>, Box<str>)>,
    /// What it forwards; none for some headless Services.
    pub ports: Vec<ServicePort>,
    /// Whether it lists pods that are not ready.
    pub publishes_unready: bool,
    /// Whether Google's load balancer controller makes a health check for it (`cloud.google.com/neg`).
    pub has_neg: bool,
}

/// A port of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// Where requests come in.
    pub port: i64,
    /// Where they go to: the incoming number where the Service does not say.
    pub target: TargetPort,
    /// `TCP` where the Service does not say.
    pub protocol: Box<str>,
    /// What is spoken, if the Service says.
    pub app_protocol: Option<Box<str>>,
}

/// A port of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum TargetPort {
    /// By number, declared or not.
    Number(i64),
    /// By a name that some container declares.
    Name(Box<str>),
}

impl Service {
    fn of(object: Raw<RawService>) -> Option<Self> {
        let has_neg = object.metadata.annotations.get("cloud.google.com/neg").is_some_and(|neg| asks_for_neg(neg));
        let (name, namespace) = object.metadata.place()?;
        let spec = object.spec;
        let external = spec.kind.as_deref() == Some("ExternalName");
        let selector = if external { BTreeMap::new() } else { spec.selector };
        let ports = spec.ports.into_iter().filter_map(|port| {
            let number = port.port?;
            // An empty name and 0 mean "not set" to the API server.
            let target = port.target_port.filter(|target| !matches!(target, TargetPort::Number(0)));
            let target = target.filter(|target| !matches!(target, TargetPort::Name(name) if name.is_empty()));
            Some(ServicePort {
                port: number,
                target: target.unwrap_or(TargetPort::Number(number)),
                protocol: port.protocol.filter(|protocol| !protocol.is_empty()).unwrap_or_else(|| "TCP".into()),
                app_protocol: port.app_protocol,
            })
        });
        Some(Self {
            namespace,
            name,
            selector: selector.into_iter().collect(),
            ports: ports.collect(),
            publishes_unready: spec.publish_not_ready_addresses.unwrap_or(false),
            has_neg,
        })
    }
}

/// `{"ingress": true}` or a list of exposed ports; without either the annotation asks for nothing.
fn asks_for_neg(annotation: &str) -> bool {
    let Ok(neg) = serde_json::from_str::<serde_json::Value>(annotation) else { return false };
    let ports = neg.get("exposed_ports").and_then(serde_json::Value::as_object);
    neg.get("ingress").and_then(serde_json::Value::as_bool) == Some(true) || ports.is_some_and(|ports| !ports.is_empty())
}

/// A PodDisruptionBudget.
#[derive(Debug, Clone)]
pub struct Budget {
    /// Absent where the file leaves it to the command line.
    pub namespace: Option<Box<str>>,
    /// Its name.
    pub name: Box<str>,
    /// Which pods it covers.
    pub selector: Selector,
    /// Whether pods that are not ready may always be evicted (`unhealthyPodEvictionPolicy: AlwaysAllow`).
    pub always_allows_unready: bool,
    /// Whether it never blocks anything: `minAvailable: 0`, `maxUnavailable: 100%`.
    pub never_blocks: bool,
}

impl Budget {
    fn of(object: Raw<RawBudget>) -> Option<Self> {
        let (name, namespace) = object.metadata.place()?;
        let spec = object.spec;
        // No selector covers nothing; an empty one every pod of the namespace, but nothing in policy/v1beta1.
        let RawSelector { match_labels, match_expressions } = spec.selector?;
        if &*object.api_version == "policy/v1beta1" && match_labels.is_empty() && match_expressions.is_empty() {
            return None;
        }
        let none_needed = match spec.min_available {
            Some(Amount::Pods(pods)) => pods == 0,
            Some(Amount::Share(share)) => &*share == "0%",
            None => false,
        };
        let all_may_go = matches!(spec.max_unavailable, Some(Amount::Share(share)) if &*share == "100%");
        Some(Self {
            namespace,
            name,
            selector: Selector { labels: match_labels.into_iter().collect(), expressions: match_expressions },
            always_allows_unready: spec.unhealthy_pod_eviction_policy.as_deref() == Some("AlwaysAllow"),
            never_blocks: none_needed || all_may_go,
        })
    }
}

/// A label selector. All of it must match.
#[derive(Debug, Clone, Default)]
pub struct Selector {
    /// Labels with these values.
    pub labels: Vec<(Box<str>, Box<str>)>,
    expressions: Vec<Expression>,
}

#[derive(Debug, Clone, Deserialize)]
struct Expression {
    key: Box<str>,
    operator: Operator,
    #[serde(default)]
    values: Option<Vec<Box<str>>>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
enum Operator {
    In,
    NotIn,
    Exists,
    DoesNotExist,
}

impl Selector {
    pub(super) fn matches(&self, member: &Member) -> bool {
        self.labels.iter().all(|(key, value)| member.label(key) == Some(value))
            && self.expressions.iter().all(|expression| {
                let found = member.label(&expression.key);
                let among = |value: &str| expression.values.iter().flatten().any(|candidate| &**candidate == value);
                match expression.operator {
                    Operator::In => found.is_some_and(among),
                    Operator::NotIn => !found.is_some_and(among),
                    Operator::Exists => found.is_some(),
                    Operator::DoesNotExist => found.is_none(),
                }
            })
    }
}

/// An Ingress.
#[derive(Debug, Clone)]
pub struct Ingress {
    /// Absent where the file leaves it to the command line.
    pub namespace: Option<Box<str>>,
    /// Its name.
    pub name: Box<str>,
    /// Whether Google's load balancer controller serves it, by its class or the older annotation.
    pub is_gce: bool,
    /// Names of the Services it sends requests to.
    pub services: Vec<Box<str>>,
}

impl Ingress {
    fn of(object: Raw<RawIngress>) -> Option<Self> {
        let annotated = object.metadata.annotations.get("kubernetes.io/ingress.class").cloned();
        let (name, namespace) = object.metadata.place()?;
        let spec = object.spec;
        let class = spec.ingress_class_name.or(annotated);
        let paths = spec.rules.into_iter().filter_map(|rule| rule.http).flat_map(|http| http.paths);
        let backends = paths.filter_map(|path| path.backend).chain(spec.default_backend).chain(spec.backend);
        let mut services: Vec<Box<str>> =
            backends.filter_map(|backend| backend.service.and_then(|service| service.name).or(backend.service_name)).collect();
        services.sort_unstable();
        services.dedup();
        Some(Self { namespace, name, is_gce: matches!(class.as_deref(), Some("gce" | "gce-internal")), services })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw<S> {
    #[serde(default)]
    api_version: Box<str>,
    metadata: RawMetadata,
    spec: S,
}

#[derive(Debug, Deserialize)]
struct RawMetadata {
    #[serde(default)]
    name: Option<Box<str>>,
    #[serde(default)]
    namespace: Option<Box<str>>,
    #[serde(default, deserialize_with = "nullable")]
    annotations: BTreeMap<Box<str>, Box<str>>,
}

impl RawMetadata {
    fn place(self) -> Option<(Box<str>, Option<Box<str>>)> {
        let name = self.name.filter(|name| !name.is_empty())?;
        Some((name, self.namespace.filter(|namespace| !namespace.is_empty())))
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawService {
    #[serde(rename = "type", default)]
    kind: Option<Box<str>>,
    #[serde(default, deserialize_with = "nullable")]
    selector: BTreeMap<Box<str>, Box<str>>,
    #[serde(default, deserialize_with = "nullable")]
    ports: Vec<RawPort>,
    #[serde(default)]
    publish_not_ready_addresses: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPort {
    #[serde(default)]
    port: Option<i64>,
    #[serde(default)]
    target_port: Option<TargetPort>,
    #[serde(default)]
    protocol: Option<Box<str>>,
    #[serde(default)]
    app_protocol: Option<Box<str>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawBudget {
    #[serde(default)]
    selector: Option<RawSelector>,
    #[serde(default)]
    min_available: Option<Amount>,
    #[serde(default)]
    max_unavailable: Option<Amount>,
    #[serde(default)]
    unhealthy_pod_eviction_policy: Option<Box<str>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawSelector {
    #[serde(default, deserialize_with = "nullable")]
    match_labels: BTreeMap<Box<str>, Box<str>>,
    #[serde(default, deserialize_with = "nullable")]
    match_expressions: Vec<Expression>,
}

/// A number of pods, or a share of them.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Amount {
    Pods(i64),
    Share(Box<str>),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawIngress {
    #[serde(default)]
    ingress_class_name: Option<Box<str>>,
    #[serde(default)]
    default_backend: Option<RawBackend>,
    /// The default backend before networking.k8s.io/v1.
    #[serde(default)]
    backend: Option<RawBackend>,
    #[serde(default, deserialize_with = "nullable")]
    rules: Vec<RawRule>,
}

#[derive(Debug, Deserialize)]
struct RawRule {
    #[serde(default)]
    http: Option<RawHttp>,
}

#[derive(Debug, Deserialize)]
struct RawHttp {
    #[serde(default, deserialize_with = "nullable")]
    paths: Vec<RawPath>,
}

#[derive(Debug, Deserialize)]
struct RawPath {
    #[serde(default)]
    backend: Option<RawBackend>,
}

/// `service.name`, or `serviceName` as it was before networking.k8s.io/v1.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawBackend {
    #[serde(default)]
    service: Option<RawBackendService>,
    #[serde(default)]
    service_name: Option<Box<str>>,
}

#[derive(Debug, Deserialize)]
struct RawBackendService {
    #[serde(default)]
    name: Option<Box<str>>,
}

/// Reads `null` as the type's default, as the API server does.
fn nullable<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
