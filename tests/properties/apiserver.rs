//! The API server and its clients, as far as a webhook can tell: defaulting, field ownership, `kubectl apply`'s annotation, AdmissionReviews.

use probekeeper::model::Record;
use proptest::{prelude::*, sample::select};
use serde_json::{Map, Value, json};

use super::contract::api_default;
use super::generate::{NUMBERS, PROBES, pod_spec_pointer};

pub(crate) const UID: &str = "705ab4f5-6393-11e8-b7cc-42010a800002";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// How an author's file reaches the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    /// `kubectl create` and `replace`: whole objects, and nothing tells what was left out.
    Replace,
    /// Helm 3: merges with what is stored, and nothing tells.
    Helm,
    /// `kubectl apply`.
    Apply,
    /// `kubectl apply --server-side`.
    ServerSideApply,
}

pub(crate) fn client() -> impl Strategy<Value = Client> {
    select(vec![Client::Replace, Client::Helm, Client::Apply, Client::ServerSideApply])
}

/// A client whose requests say what its author wrote.
pub(crate) fn telling_client() -> impl Strategy<Value = Client> {
    select(vec![Client::Apply, Client::ServerSideApply])
}

impl Client {
    /// The object as the webhook sees it when the file is sent for the first time.
    pub(crate) fn create(self, file: &Value) -> Value {
        let mut object = defaulted(file);
        self.witness(&mut object, file);
        object
    }

    /// The object as the webhook sees it when the author sends the next version of the file.
    pub(crate) fn update(self, stored: &Value, old_file: &Value, file: &Value) -> Value {
        let mut object = defaulted(file);
        if self != Self::Replace {
            keep_what_nobody_wrote(&mut object, stored, old_file, file);
            if let Some(record) = stored["metadata"]["annotations"].get(Record::ANNOTATION) {
                object["metadata"]["annotations"][Record::ANNOTATION] = record.clone();
            }
        }
        self.witness(&mut object, file);
        object
    }

    fn witness(self, object: &mut Value, file: &Value) {
        match self {
            Self::Apply => {
                object["metadata"]["annotations"][LAST_APPLIED] = json!(file.to_string() + "\n");
                object["metadata"]["managedFields"] = json!([ownership("kubectl-client-side-apply", "Update", &defaulted(file))]);
            }
            Self::ServerSideApply => object["metadata"]["managedFields"] = json!([ownership("kubectl", "Apply", file)]),
            Self::Replace | Self::Helm => {
                object["metadata"]["managedFields"] = json!([ownership("helm", "Update", &defaulted(file))]);
            }
        }
    }
}

/// Calls `each` with list, container index and probe field of every probe.
fn probes(object: &Value) -> Vec<(String, String, &'static str, &Map<String, Value>)> {
    let mut all = Vec::new();
    let pod = object.pointer(pod_spec_pointer(object));
    for list in ["containers", "initContainers"] {
        let containers = pod.and_then(|pod| pod.get(list)).and_then(Value::as_array).into_iter().flatten();
        for (at, container) in containers.enumerate() {
            for probe in PROBES {
                if let Some(fields) = container.get(probe).and_then(Value::as_object) {
                    let pointer = format!("{}/{list}/{at}/{probe}", pod_spec_pointer(object));
                    all.push((pointer, container["name"].as_str().unwrap_or_default().to_owned(), probe, fields));
                }
            }
        }
    }
    all
}

/// Every number of every probe that stands in an object, by pointer.
pub(crate) fn numbers(object: &Value) -> Vec<(String, i64)> {
    let of_probe = |(pointer, _, _, fields): (String, String, &str, &Map<String, Value>)| {
        NUMBERS
            .iter()
            .filter_map(|number| Some((format!("{pointer}/{number}"), fields.get(*number)?.as_i64()?)))
            .collect::<Vec<_>>()
    };
    probes(object).into_iter().flat_map(of_probe).collect()
}

/// What the API server makes of an object: absent, null and zero numbers become the defaults; a delay of zero is never serialised. Of a custom kind it
/// knows no defaults.
pub(crate) fn defaulted(object: &Value) -> Value {
    let mut result = object.clone();
    if object["kind"] == "Rollout" {
        return result;
    }
    for (pointer, _, _, fields) in probes(object) {
        let probe = result.pointer_mut(&pointer).unwrap();
        for number in NUMBERS {
            let absent = fields.get(number).is_none_or(|value| value.is_null() || *value == json!(0));
            match number {
                "initialDelaySeconds" if absent => drop(probe.as_object_mut().unwrap().remove(number)),
                _ if absent => probe[number] = json!(api_default(number).unwrap()),
                _ => {}
            }
        }
        probe.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        if let Some(http) = probe.get_mut("httpGet").and_then(Value::as_object_mut) {
            for (field, default) in [("path", "/"), ("scheme", "HTTP")] {
                if http.get(field).is_none_or(|value| value.is_null() || value == "") {
                    http.insert(field.to_owned(), json!(default));
                }
            }
        }
        if let Some(grpc) = probe.get_mut("grpc").and_then(Value::as_object_mut) {
            grpc.entry("service").or_insert(json!(""));
        }
    }
    result
}

/// A merge keeps what is stored where neither the old nor the new file says anything.
fn keep_what_nobody_wrote(object: &mut Value, stored: &Value, old_file: &Value, file: &Value) {
    for (pointer, ..) in probes(file) {
        for number in NUMBERS {
            let place = format!("{pointer}/{number}");
            let written = file.pointer(&place).is_some() || old_file.pointer(&place).is_some();
            if let (false, Some(value)) = (written, stored.pointer(&place)) {
                object.pointer_mut(&pointer).unwrap()[number] = value.clone();
            }
        }
    }
}

fn ownership(manager: &str, operation: &str, written: &Value) -> Value {
    let mut fields = json!({});
    for (pointer, container, probe, of_probe) in probes(written) {
        let list = pointer.rsplit('/').nth(2).unwrap();
        let mut place = &mut fields;
        for part in pod_spec_pointer(written).split('/').skip(1) {
            place = &mut place[format!("f:{part}")];
        }
        let place = &mut place[format!("f:{list}")][format!("k:{{\"name\":\"{container}\"}}")];
        place["."] = json!({});
        place[format!("f:{probe}")] = of_probe.keys().map(|field| (format!("f:{field}"), json!({}))).collect();
    }
    json!({ "manager": manager, "operation": operation, "apiVersion": "apps/v1", "fieldsType": "FieldsV1", "fieldsV1": fields })
}

pub(crate) fn review(operation: &str, object: &Value, old: Option<&Value>) -> Value {
    let namespace = object["metadata"]["namespace"].as_str().unwrap_or("shop");
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": UID, "kind": { "group": "", "version": "v1", "kind": object["kind"] },
            "name": "web", "namespace": namespace, "operation": operation, "userInfo": { "username": "admin" },
            "object": object, "oldObject": old, "dryRun": false, "options": null,
        },
    })
}
