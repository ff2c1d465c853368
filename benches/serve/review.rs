//! AdmissionReviews as an API server sends them: a Deployment with every default filled in, the record of who set which field, and, from
//! 5 kB on, the annotation in which `kubectl apply` keeps what the author wrote; all members in the API server's order.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

/// Members in the order in which the API server's types have them, as in recorded reviews. `serde_json` has them sorted, which would put the request's
/// uid behind the object. What is not named here stays sorted: the API server's own maps are.
const ORDER: &str = "\
    uid group version kind resource requestKind requestResource name namespace manager operation apiVersion userInfo object oldObject \
    dryRun options username groups metadata time fieldsType fieldsV1 creationTimestamp labels annotations managedFields spec replicas \
    selector template strategy revisionHistoryLimit progressDeadlineSeconds image containers containerPort protocol ports env value httpGet \
    path port scheme timeoutSeconds periodSeconds successThreshold failureThreshold restartPolicy terminationGracePeriodSeconds dnsPolicy \
    securityContext schedulerName resources livenessProbe readinessProbe startupProbe terminationMessagePath terminationMessagePolicy \
    imagePullPolicy status";

/// A review of at least `bytes`, and little more. The larger, the more containers and environment variables.
pub(crate) fn review(bytes: usize) -> Vec<u8> {
    let containers = (bytes / 10_000).clamp(1, 8);
    let build = |variables| build(containers, variables, bytes >= 5_000);
    // The fewest variables that are enough.
    let (mut few, mut enough) = (0, bytes / 100);
    while few < enough {
        let middle = few.midpoint(enough);
        if build(middle).to_string().len() >= bytes { enough = middle } else { few = middle + 1 }
    }
    ordered(&build(enough))
}

/// A review of so many containers, each with a few environment variables.
#[allow(dead_code)] // not every bench asks for it
pub(crate) fn with_containers(containers: usize) -> Vec<u8> {
    ordered(&build(containers, 4 * containers, true))
}

fn build(containers: usize, variables: usize, applied: bool) -> Value {
    let share = |index: usize| (variables + index) / containers;
    let annotations = if applied {
        let written = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "annotations": {}, "labels": labels(), "name": "order-history", "namespace": "shop" },
            "spec": { "replicas": 3, "selector": { "matchLabels": { "app": "order-history" } }, "template": {
                "metadata": { "labels": labels() },
                "spec": { "containers": (0..containers).map(|index| written(index, share(index))).collect::<Vec<_>>() } } },
        });
        json!({ "kubectl.kubernetes.io/last-applied-configuration": format!("{written}\n") })
    } else {
        json!({})
    };
    let kind = json!({ "group": "apps", "version": "v1", "kind": "Deployment" });
    let resource = json!({ "group": "apps", "version": "v1", "resource": "deployments" });
    let fields: Map<_, _> =
        (0..containers).map(|index| (format!("k:{{\"name\":\"{}\"}}", name(index)), owned(share(index)))).collect();
    json!({
        "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": kind, "resource": resource, "requestKind": kind, "requestResource": resource,
            "name": "order-history", "namespace": "shop", "operation": "CREATE",
            "userInfo": { "username": "jane@example.com", "groups": ["team-orders", "system:authenticated"] },
            "object": {
                "kind": "Deployment", "apiVersion": "apps/v1",
                "metadata": {
                    "name": "order-history", "namespace": "shop", "labels": labels(), "annotations": annotations,
                    "managedFields": [{
                        "manager": "kubectl-client-side-apply", "operation": "Update", "apiVersion": "apps/v1",
                        "time": "2026-05-05T08:00:00Z", "fieldsType": "FieldsV1",
                        "fieldsV1": { "f:spec": { "f:replicas": {}, "f:selector": {}, "f:strategy": { "f:type": {} },
                            "f:template": { "f:metadata": { "f:labels": { ".": {}, "f:app": {} } },
                                "f:spec": { "f:containers": fields, "f:dnsPolicy": {}, "f:restartPolicy": {} } } } },
                    }],
                },
                "spec": {
                    "replicas": 3, "selector": { "matchLabels": { "app": "order-history" } },
                    "template": {
                        "metadata": { "creationTimestamp": null, "labels": labels() },
                        "spec": {
                            "containers": (0..containers).map(|index| stored(index, share(index))).collect::<Vec<_>>(),
                            "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
                            "securityContext": {}, "schedulerName": "default-scheduler",
                        },
                    },
                    "strategy": { "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": "25%", "maxSurge": "25%" } },
                    "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
                },
                "status": {},
            },
            "oldObject": null, "dryRun": false,
            "options": { "kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "kubectl-client-side-apply" },
        },
    })
}

fn ordered(review: &Value) -> Vec<u8> {
    let mut text = String::new();
    write_ordered(review, &mut text);
    text.into_bytes()
}

fn write_ordered(value: &Value, text: &mut String) {
    let rank = |key: &str| ORDER.split(' ').position(|known| known == key).unwrap_or(usize::MAX);
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_cached_key(|(key, _)| rank(key));
            text.push('{');
            for (at, (key, value)) in members.into_iter().enumerate() {
                let _ = write!(text, "{}{}:", if at == 0 { "" } else { "," }, Value::from(key.as_str()));
                write_ordered(value, text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (at, item) in items.iter().enumerate() {
                text.push_str(if at == 0 { "" } else { "," });
                write_ordered(item, text);
            }
            text.push(']');
        }
        _ => {
            let _ = write!(text, "{value}");
        }
    }
}

fn labels() -> Value {
    json!({ "app": "order-history" })
}

fn name(index: usize) -> String {
    if index == 0 { "app".to_owned() } else { format!("side-{index}") }
}

fn variables(count: usize) -> Vec<Value> {
    (0..count)
        .map(|index| json!({ "name": format!("SETTING_{index}"), "value": format!("https://service-{index}.shop.svc.cluster.local:8443/v1") }))
        .collect()
}

/// What the author wrote: every probe leaves something out.
fn written(index: usize, count: usize) -> Value {
    json!({
        "name": name(index), "image": "registry.example/shop/order-history:1.4.2", "env": variables(count),
        "ports": [{ "name": port(index), "containerPort": 8080 + index }],
        "livenessProbe": { "httpGet": { "path": "/healthz", "port": port(index) }, "periodSeconds": 10, "failureThreshold": 6 },
        "readinessProbe": { "httpGet": { "path": "/readyz", "port": port(index) }, "periodSeconds": 5 },
        "startupProbe": { "httpGet": { "path": "/healthz", "port": port(index) }, "periodSeconds": 5, "failureThreshold": 30 },
    })
}

/// The same with the API server's defaults.
fn stored(index: usize, count: usize) -> Value {
    let probe = |path: &str, period: u32, failures: u32| {
        json!({ "httpGet": { "path": path, "port": port(index), "scheme": "HTTP" },
            "timeoutSeconds": 1, "periodSeconds": period, "successThreshold": 1, "failureThreshold": failures })
    };
    json!({
        "name": name(index), "image": "registry.example/shop/order-history:1.4.2", "env": variables(count),
        "ports": [{ "name": port(index), "containerPort": 8080 + index, "protocol": "TCP" }],
        "resources": {},
        "livenessProbe": probe("/healthz", 10, 6), "readinessProbe": probe("/readyz", 5, 3), "startupProbe": probe("/healthz", 5, 30),
        "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File", "imagePullPolicy": "IfNotPresent",
    })
}

/// Who set what, for one container.
fn owned(count: usize) -> Value {
    let variables: Map<_, _> = (0..count)
        .map(|index| (format!("k:{{\"name\":\"SETTING_{index}\"}}"), json!({ ".": {}, "f:name": {}, "f:value": {} })))
        .collect();
    json!({ ".": {}, "f:env": variables, "f:image": {}, "f:imagePullPolicy": {}, "f:livenessProbe": probe_fields(),
        "f:readinessProbe": probe_fields(), "f:name": {}, "f:ports": {}, "f:resources": {} })
}

fn probe_fields() -> Value {
    json!({ ".": {}, "f:failureThreshold": {}, "f:httpGet": { ".": {}, "f:path": {}, "f:port": {} }, "f:periodSeconds": {} })
}

fn port(index: usize) -> String {
    if index == 0 { "http".to_owned() } else { format!("http-{index}") }
}
