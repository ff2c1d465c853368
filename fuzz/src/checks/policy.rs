//! Policy files.

use std::sync::{Arc, OnceLock};

use probekeeper::admission::{Admission, Route};
use probekeeper::policy::{KEY, MOST_BYTES, Policy, PolicyStore, Profile, load};
use probekeeper::{export, yaml};
use serde_json::{Value, json};

use super::contract::{ROUTES, ask};

/// Any text as a policy: errors have a place in it; what is valid says the same when it is written out in full, judges, and can be exported. As a ConfigMap
/// it is denied exactly when it is invalid.
pub fn policy(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let loaded = load(text);
    if text.len() <= MOST_BYTES {
        assert_eq!(applied(text), loaded.is_ok(), "{text:?}");
    }
    let policy = match loaded {
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
    for document in yaml::parse(&export::vap(&policy).to_yaml()) {
        document.root.unwrap_or_else(|error| panic!("{error}"));
    }
    let admission = Admission::new(Arc::new(PolicyStore::new(policy)));
    for route in ROUTES {
        assert!(ask(&admission, route, example()).is_some());
    }
}

/// Whether a ConfigMap with this policy may be created.
fn applied(text: &str) -> bool {
    static JUDGE: OnceLock<Admission> = OnceLock::new();
    let judge = JUDGE.get_or_init(|| Admission::new(Arc::new(PolicyStore::new(Policy::builtin(Profile::Recommended)))));
    let object = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "policy" }, "data": { KEY: text } });
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": { "uid": "u-1", "operation": "CREATE", "namespace": "shop", "name": "policy", "object": object },
    });
    let answer = judge.answer(Route::Policy, review.to_string().as_bytes());
    assert_eq!(answer.status, 200);
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    let allowed = answer["response"]["allowed"].as_bool().unwrap();
    assert!(allowed || answer["response"]["status"]["message"].as_str().is_some_and(|message| message.len() < 8192), "{answer}");
    allowed
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
