//! Commands of probes and hooks.

use std::sync::{Arc, OnceLock};

use probekeeper::admission::Admission;
use probekeeper::policy::{Policy, PolicyStore, Profile};
use serde_json::json;

use super::contract::{ROUTES, ask};

/// Any words, separated by tabs, as a command: it is read in bounded time, and nothing of the environment's values is told.
pub fn exec(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if text.contains("hunter2") {
        return;
    }
    let command: Vec<&str> = text.split('\t').collect();
    let probe = |period: i64| json!({ "exec": { "command": command }, "timeoutSeconds": 1, "periodSeconds": period, "successThreshold": 1, "failureThreshold": 3 });
    let container = json!({
        "name": "web", "image": "web:1", "ports": [{ "name": "http", "containerPort": 8080 }],
        // The contract looks for this word in every answer.
        "env": [
            { "name": "TOKEN", "value": "hunter2-token" }, { "name": "URL", "value": "http://hunter2.example:5432/hunter2" },
            { "name": "BOTH", "value": "$(URL)?$(TOKEN)" }, { "name": "PORT", "value": "8080" }, { "name": "HOST", "value": "localhost" },
            { "name": "IP", "valueFrom": { "fieldRef": { "fieldPath": "status.podIP" } } },
            { "name": "KEY", "valueFrom": { "secretKeyRef": { "name": "s", "key": "k" } } },
        ],
        "livenessProbe": probe(10), "readinessProbe": probe(5), "startupProbe": probe(3),
        "lifecycle": { "preStop": { "exec": { "command": command } } },
    });
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web", "namespace": "shop" },
        "spec": { "containers": [container], "terminationGracePeriodSeconds": 30 },
    });
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": { "uid": "u-1", "operation": "CREATE", "namespace": "shop", "name": "web", "object": pod },
    });
    for route in ROUTES {
        assert!(ask(judge(), route, review.to_string().as_bytes()).is_some());
    }
}

fn judge() -> &'static Admission {
    static JUDGE: OnceLock<Admission> = OnceLock::new();
    JUDGE.get_or_init(|| Admission::new(Arc::new(PolicyStore::new(Policy::builtin(Profile::Strict)))))
}
