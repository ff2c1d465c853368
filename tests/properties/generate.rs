//! Pod-like objects: first as a careful author writes them, then with accidents.

use probekeeper::{
    model::Kind,
    policy::{Choices, Defaults, FillWith, OnInternalError, OwnedObjects, Policy, ProbeDefaults, Profile, Startup},
};
use proptest::{collection::vec, option, prelude::*, sample::Index, sample::select};
use serde_json::{Map, Value, json};

pub(crate) use super::contract::{PROBES, pod_spec_pointer};

pub(crate) const NUMBERS: [&str; 5] =
    ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"];

/// An object as in an author's file: valid, and without the numbers that the author leaves to Kubernetes.
pub(crate) fn file() -> BoxedStrategy<Value> {
    let pod = (
        vec(container(), 1..4),
        vec((container(), any::<bool>()), 0..3),
        option::of(select(vec!["Always", "OnFailure", "Never"])),
        option::weighted(0.3, 0..200_i64),
        option::weighted(0.2, any::<bool>()),
    );
    let pod = pod.prop_map(|(mut containers, init, restart_policy, grace, host_network)| {
        for (at, container) in containers.iter_mut().enumerate() {
            container["name"] = json!(["app", "proxy", "log"][at]);
        }
        let init: Vec<_> = init
            .into_iter()
            .enumerate()
            .map(|(at, (mut container, sidecar))| {
                container["name"] = json!(["setup", "istio-proxy"][at]);
                if sidecar {
                    container["restartPolicy"] = json!("Always");
                } else {
                    container.as_object_mut().unwrap().retain(|field, _| !PROBES.contains(&field.as_str()));
                }
                container
            })
            .collect();
        let mut pod = json!({ "containers": containers });
        let mut set = |field: &str, value: Option<Value>| {
            if let Some(value) = value {
                pod[field] = value;
            }
        };
        set("initContainers", Some(json!(init)).filter(|_| !init.is_empty()));
        set("restartPolicy", restart_policy.map(Value::from));
        set("terminationGracePeriodSeconds", grace.map(Value::from));
        set("hostNetwork", host_network.map(Value::from));
        pod
    });
    (select(Kind::ALL.to_vec()), pod, option::weighted(0.4, 20..900_i64), any::<bool>()).prop_map(
        |(kind, pod, progress_deadline, annotations)| {
            let mut object = json!({ "apiVersion": api_version(kind), "kind": kind.name(), "metadata": { "name": "web", "namespace": "shop" } });
            if annotations {
                object["metadata"]["annotations"] = json!({ "team": "a", "sidecar.istio.io/rewriteAppHTTPProbers": "false", "probekeeper.dev/allow": "slow-readiness: why not; no-probs: y" });
            }
            let mut place = &mut object;
            for part in kind.pod_spec_pointer().split('/').skip(1) {
                place = &mut place[part];
            }
            *place = pod;
            if kind != Kind::Pod {
                object["spec"]["selector"] = json!({ "matchLabels": { "app": "web" } });
            }
            if let (Kind::Deployment, Some(seconds)) = (kind, progress_deadline) {
                object["spec"]["progressDeadlineSeconds"] = json!(seconds);
            }
            object
        },
    ).boxed()
}

fn api_version(kind: Kind) -> String {
    if kind.group().is_empty() { "v1".to_owned() } else { format!("{}/v1", kind.group()) }
}

fn container() -> BoxedStrategy<Value> {
    // Two probes with the same handler are common, and rules look for them.
    let probes = [option::weighted(0.7, probe(1)), option::weighted(0.6, probe(3)), option::weighted(0.25, probe(1))];
    let ports = prop_oneof![
        4 => Just(Value::Null),
        4 => Just(json!([{ "name": "http", "containerPort": 8080 }, { "containerPort": 9000 }])),
        1 => Just(json!([{ "name": "https", "containerPort": 8080 }, { "name": "grpc", "containerPort": 9000 }])),
        1 => Just(json!([{ "name": "http", "containerPort": 8080 }, { "name": "dns", "containerPort": 9000, "protocol": "UDP" }])),
    ];
    let grace = option::weighted(0.1, 1..=40_i64);
    let hook = prop_oneof![
        8 => Just(Value::Null),
        1 => Just(json!({ "preStop": { "exec": { "command": ["sleep", "30"] } } })),
        1 => Just(json!({ "preStop": { "exec": { "command": ["sh", "-c", "sleep 5; drain"] } } })),
    ];
    (probes, ports, any::<bool>(), option::weighted(0.2, select(vec!["X", "Y"])), hook, grace)
        .prop_map(|(probes, ports, same, env, hook, grace)| {
            let mut container = json!({ "name": "", "image": "example.invalid/app:v1" });
            for (field, value) in [("ports", ports), ("lifecycle", hook)] {
                if !value.is_null() {
                    container[field] = value;
                }
            }
            if let Some(name) = env {
                container["env"] = json!([
                    { "name": name, "value": "v" },
                    { "name": "POD_IP", "valueFrom": { "fieldRef": { "fieldPath": "status.podIP" } } },
                    { "name": "DB_HOST", "value": "hunter2.db" },
                ]);
            }
            for (field, probe) in PROBES.iter().zip(probes) {
                if let Some(probe) = probe {
                    container[field] = probe;
                }
            }
            if let (true, Some(from), true) = (same, container.get(PROBES[0]).cloned(), container.get(PROBES[1]).is_some()) {
                let probe = container[PROBES[1]].as_object_mut().unwrap();
                probe.retain(|field, _| NUMBERS.contains(&field.as_str()));
                let handler = from.as_object().unwrap().iter().filter(|(field, _)| HANDLERS.contains(&field.as_str()));
                probe.extend(handler.map(|(field, value)| (field.clone(), value.clone())));
            }
            if let (Some(seconds), Some(probe)) = (grace, container.get_mut(PROBES[0])) {
                probe["terminationGracePeriodSeconds"] = json!(seconds);
            }
            container
        })
        .boxed()
}

const HANDLERS: [&str; 4] = ["exec", "httpGet", "tcpSocket", "grpc"];

fn probe(max_successes: i64) -> BoxedStrategy<Value> {
    let number = |range: std::ops::RangeInclusive<i64>| {
        option::weighted(0.4, prop_oneof![30 => range, 1 => Just(0), 1 => Just(i64::from(i32::MAX))])
    };
    let numbers = (number(0..=60), number(1..=15), number(1..=30), option::weighted(0.3, 1..=max_successes), number(1..=12));
    (handler(), numbers)
        .prop_map(|(mut probe, (d, t, p, s, f))| {
            for (field, number) in NUMBERS.iter().zip([d, t, p, s, f]) {
                if let Some(number) = number {
                    probe[field] = json!(number);
                }
            }
            probe
        })
        .boxed()
}

fn handler() -> BoxedStrategy<Value> {
    let port = select(vec![json!(8080), json!(9000), json!(15020), json!("http"), json!("nope"), json!(65535)]);
    let host = option::weighted(0.2, select(vec!["localhost", "127.0.0.1", "::1", "db", "orders.shop.svc", "10.0.0.1", "d\nb"]));
    let path = option::weighted(
        0.8,
        select(vec![
            "/healthz",
            "/readyz",
            "/quit",
            "/",
            "ready",
            "//x",
            "//a\n\u{1b}b",
            "http://x/y",
            "a:b",
            "/\u{1f600}",
            "/a\n\tb\u{7f}",
            "",
        ]),
    );
    let header = option::weighted(0.1, prop_oneof!["[A-Za-z-]{1,6}", Just("Authorization".to_owned())]);
    let command = select(vec![
        json!(["true"]),
        json!(["cat", "/tmp/ready"]),
        json!(["sleep", "2"]),
        json!(["sh", "-c", "exit 0"]),
        json!(["sh", "-c", "curl -f localhost || true"]),
        json!(["sh", "-c", "sleep 1"]),
        json!(["sh", "-c", "curl -s http://localhost:8080/ready || exit 1"]),
        json!(["wget", "-q", "--spider", "http://localhost:8080/ready"]),
        json!(["curl", "-f", "http://orders.shop:8080/ready"]),
        json!(["pg_isready", "-h", "$(DB_HOST)"]),
        json!(["redis-cli", "-h", "$(POD_IP)", "ping"]),
        json!(["sh", "-c", "nc -z postgres 5432 && ps aux | grep java"]),
    ]);
    prop_oneof![
        4 => (port.clone(), host.clone(), path, header, option::weighted(0.1, select(vec!["HTTP", "HTTPS"]))).prop_map(|(port, host, path, header, scheme)| {
            let mut http = json!({ "port": port });
            if let Some(host) = host {
                http["host"] = json!(host);
            }
            if let Some(path) = path {
                http["path"] = json!(path);
            }
            if let Some(scheme) = scheme {
                http["scheme"] = json!(scheme);
            }
            if let Some(header) = header {
                http["httpHeaders"] = json!([{ "name": header, "value": "hunter2" }]);
            }
            json!({ "httpGet": http })
        }),
        1 => (port, host).prop_map(|(port, host)| {
            let mut tcp = json!({ "port": port });
            if let Some(host) = host {
                tcp["host"] = json!(host);
            }
            json!({ "tcpSocket": tcp })
        }),
        1 => option::of("[a-z]{0,4}").prop_map(|service| match service {
            Some(service) => json!({ "grpc": { "port": 9000, "service": service } }),
            None => json!({ "grpc": { "port": 9000 } }),
        }),
        2 => command.prop_map(|command| json!({ "exec": { "command": command } })),
    ]
    .boxed()
}

/// The author's next version of a file: some numbers written, some taken out, perhaps another image.
#[derive(Debug, Clone)]
pub(crate) struct Edits {
    numbers: Vec<(Index, usize, Option<i64>)>,
    image: bool,
}

pub(crate) fn edits() -> BoxedStrategy<Edits> {
    let number = (any::<Index>(), select(vec![0, 1, 2, 4]), option::of(1..=20_i64));
    (vec(number, 0..5), any::<bool>()).prop_map(|(numbers, image)| Edits { numbers, image }).boxed()
}

impl Edits {
    pub(crate) fn apply(&self, file: &Value) -> Value {
        let mut file = file.clone();
        let pointer = pod_spec_pointer(&file);
        let pod = file.pointer_mut(pointer).unwrap();
        if self.image {
            pod["containers"][0]["image"] = json!("example.invalid/app:v2");
        }
        let mut probes: Vec<&mut Map<String, Value>> = Vec::new();
        for (_, list) in pod.as_object_mut().unwrap().iter_mut().filter(|(field, _)| field.ends_with("ontainers")) {
            for container in list.as_array_mut().unwrap() {
                let fields = container.as_object_mut().unwrap().iter_mut();
                probes.extend(
                    fields.filter(|(field, _)| PROBES.contains(&field.as_str())).map(|(_, probe)| probe.as_object_mut().unwrap()),
                );
            }
        }
        for (which, number, value) in &self.numbers {
            if probes.is_empty() {
                break;
            }
            let at = which.index(probes.len());
            match value {
                Some(value) => drop(probes[at].insert(NUMBERS[*number].to_owned(), json!(value))),
                None => drop(probes[at].remove(NUMBERS[*number])),
            }
        }
        file
    }
}

/// Any JSON, shallow.
pub(crate) fn json_value() -> BoxedStrategy<Value> {
    let number = select(vec![
        json!(0),
        json!(-1),
        json!(1.5),
        json!(1e300),
        json!(i64::MIN),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(i32::MAX),
        json!(i64::from(i32::MAX) + 1),
        json!(5.0),
    ]);
    let text = select(vec!["", "5", "Always", "off", "\u{0}", "\u{1f600}\u{202e}", "a/b~c", "\" at line 3", "{}"]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number,
        text.prop_map(Value::from),
        (0..100_i64).prop_map(Value::from)
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let key = select(vec![
            "metadata",
            "spec",
            "template",
            "containers",
            "livenessProbe",
            "readinessProbe",
            "startupProbe",
            "exec",
            "command",
            "httpGet",
            "port",
            "name",
            "timeoutSeconds",
            "failureThreshold",
            "annotations",
            "probekeeper.dev/filled",
            "x",
        ]);
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((key, inner), 0..4)
                .prop_map(|entries| entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Value>()),
        ]
    })
    .boxed()
}

/// What can go wrong with one place of a document.
#[derive(Debug, Clone)]
pub(crate) enum Accident {
    Replace(Value),
    Remove,
    Wrap,
    Unwrap,
    Repeat,
    Insert(&'static str, Value),
}

pub(crate) fn accidents() -> BoxedStrategy<Vec<(Index, Accident)>> {
    let fields = vec![
        "exec",
        "grpc",
        "httpGet",
        "timeoutSeconds",
        "periodSeconds",
        "livenessProbe",
        "initContainers",
        "restartPolicy",
        "annotations",
        "ownerReferences",
        "deletionTimestamp",
        "subResource",
        "template",
        "jobTemplate",
    ];
    let accident = prop_oneof![
        4 => json_value().prop_map(Accident::Replace),
        2 => Just(Accident::Remove),
        1 => Just(Accident::Wrap),
        1 => Just(Accident::Unwrap),
        1 => Just(Accident::Repeat),
        2 => (select(fields), json_value()).prop_map(|(field, value)| Accident::Insert(field, value)),
    ];
    vec((any::<Index>(), accident), 0..5).boxed()
}

/// Strikes a document at places chosen among all that it has.
pub(crate) fn strike(document: &mut Value, accidents: &[(Index, Accident)]) {
    for (which, accident) in accidents {
        let mut places = Vec::new();
        collect(document, String::new(), &mut places);
        let pointer = &places[which.index(places.len())];
        let place = document.pointer_mut(pointer).unwrap();
        match accident {
            Accident::Replace(value) => *place = value.clone(),
            Accident::Wrap => *place = json!([place.take()]),
            Accident::Unwrap => {
                let inner = match place {
                    Value::Array(list) => list.first_mut().map(Value::take),
                    Value::Object(map) => map.values_mut().next().map(Value::take),
                    _ => None,
                };
                *place = inner.unwrap_or_default();
            }
            Accident::Repeat => {
                if let Value::Array(list) = place {
                    list.extend(list.clone());
                }
            }
            Accident::Insert(field, value) => {
                if let Value::Object(map) = place {
                    map.insert((*field).to_owned(), value.clone());
                }
            }
            Accident::Remove => remove(document, pointer),
        }
    }
}

fn remove(document: &mut Value, pointer: &str) {
    let Some((parent, key)) = pointer.rsplit_once('/') else { return };
    match document.pointer_mut(parent).unwrap() {
        Value::Object(map) => drop(map.remove(&key.replace("~1", "/").replace("~0", "~"))),
        Value::Array(list) => drop(list.remove(key.parse().unwrap())),
        _ => {}
    }
}

fn collect(value: &Value, pointer: String, into: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                collect(value, format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1")), into);
            }
        }
        Value::Array(list) => list.iter().enumerate().for_each(|(at, value)| collect(value, format!("{pointer}/{at}"), into)),
        _ => {}
    }
    into.push(pointer);
}

/// Any policy that compiles: every profile, computed values, the operator's own, or none.
pub(crate) fn policy() -> BoxedStrategy<Choices> {
    let fill = |range: std::ops::RangeInclusive<i64>| prop_oneof![4 => Just(FillWith::Auto), 1 => range.prop_map(FillWith::Value), 1 => Just(FillWith::Leave)];
    let probe = move || {
        (fill(0..=90), fill(1..=20), fill(1..=30), fill(1..=40)).prop_map(
            |(initial_delay, timeout, period, failure_threshold)| ProbeDefaults {
                initial_delay,
                timeout,
                period,
                failure_threshold,
            },
        )
    };
    let owned = select(vec![OwnedObjects::Warn, OwnedObjects::Skip, OwnedObjects::Deny]);
    let internal = select(vec![OnInternalError::Allow, OnInternalError::Fail]);
    (auto_policy(), (probe(), probe(), probe()), any::<bool>(), owned, internal)
        .prop_map(|(choices, (liveness, readiness, startup), own, owned_objects, on_internal_error)| {
            let defaults = Defaults { liveness, readiness, startup, ..choices.defaults };
            Choices { defaults: if own { defaults } else { choices.defaults }, owned_objects, on_internal_error, ..choices }
        })
        .boxed()
}

/// A policy that only computes.
pub(crate) fn auto_policy() -> BoxedStrategy<Choices> {
    (select(Profile::ALL.to_vec()), any::<bool>(), prop_oneof![3 => Just(30), 1 => 0..=300_i64])
        .prop_map(|(profile, fill_unknown, allowance_seconds)| Choices {
            profile,
            defaults: Defaults { fill_unknown, ..Defaults::default() },
            startup: Startup { allowance_seconds, ..Startup::default() },
            ..Choices::default()
        })
        .boxed()
}

pub(crate) fn compile(choices: &Choices) -> Policy {
    Policy::compile(choices).unwrap_or_else(|refused| panic!("{refused:?}"))
}
