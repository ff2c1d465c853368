//! Policy files.

use std::sync::{Arc, OnceLock};

use probekeeper::admission::Admission;
use probekeeper::policy::{PolicyStore, load};
use serde_json::{Value, json};

use super::contract::{ROUTES, ask};

/// Any text as a policy: errors have a place in it; what is valid says the same when it is written out in full, and judges.
pub fn policy(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let policy = match load(text) {
        Ok(policy) => policy,
        Err(errors) => {
            assert!(!errors.0.is_empty());
            let lines = text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count();
            for error in &errors.0 {
                assert!((1..=lines).contains(&error.line) && error.column > 0, "{error} in {lines} lines");
                assert!(!error.message.is_empty());
            }
            return;
        }
    };
    assert_eq!(load(text).unwrap().hash, policy.hash);
    let whole = policy.effective().to_string();
    let again = load(&whole).unwrap_or_else(|errors| panic!("{errors}\n{whole}"));
    assert_eq!(again.effective(), policy.effective());
    let admission = Admission::new(Arc::new(PolicyStore::new(policy)));
    for route in ROUTES {
        assert!(ask(&admission, route, example()).is_some());
    }
}

fn example() -> &'static [u8] {
    static EXAMPLE: OnceLock<Vec<u8>> = OnceLock::new();
    EXAMPLE.get_or_init(|| {
        let probe = |port: Value| json!({ "httpGet": { "path": "/x", "port": port }, "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3 });
        let container = json!({
            "name": "web", "image": "web:1", "ports": [{ "name": "http", "containerPort": 80 }],
            "livenessProbe": probe(json!(80)), "readinessProbe": probe(json!("http")),
        });
        let object = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web", "namespace": "shop", "labels": { "team": "shop" } },
            "spec": { "selector": {}, "template": { "metadata": {}, "spec": { "containers": [container] } } },
        });
        let review = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": { "uid": "u-1", "operation": "CREATE", "namespace": "shop", "name": "web", "object": object },
        });
        review.to_string().into_bytes()
    })
}
