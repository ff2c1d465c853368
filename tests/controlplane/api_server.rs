//! Facts about the API server that the product is built on, each shown with a server that answers as no correct webhook may.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::failure::answer;
use crate::http::Answer;
use crate::webhook::{Behaviour, FailurePolicy, FakeServer, ReadWrite, Registration};
use crate::workloads::{complete, deployment};

/// Creates a Deployment past a server that behaves like this on both paths, with `failurePolicy: Ignore`.
fn create(namespace: &str, behaviour: Behaviour) -> Answer {
    let namespace = Cluster::shared().namespace(namespace);
    let fake = FakeServer::start(behaviour);
    let _registration = Registration::new(&namespace, &fake.url, &fake.ca, FailurePolicy::Ignore);
    namespace.cluster.call("POST", &namespace.path("apis/apps/v1", "deployments"), &deployment(&complete()))
}

fn respond(stream: &mut dyn ReadWrite, review: &Value, mut response: Value) {
    response["uid"] = review["request"]["uid"].clone();
    let body = json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response });
    answer(stream, "200 OK", &body.to_string());
}

fn patched(stream: &mut dyn ReadWrite, review: &Value, patch: &Value) {
    let patch = STANDARD.encode(patch.to_string());
    respond(stream, review, json!({ "allowed": true, "patchType": "JSONPatch", "patch": patch }));
}

#[test]
fn a_denial_obeys_no_failure_policy_and_a_code_below_400_becomes_400() {
    let answer = create("contract-code", |stream, review| {
        respond(stream, review, json!({ "allowed": false, "status": { "code": 200, "reason": "Forbidden", "message": "no" } }));
    });
    assert_eq!((answer.code, &answer.body["reason"]), (400, &json!("Forbidden")), "{answer:?}");
    assert_eq!(answer.message(), "admission webhook \"mutate.probekeeper.dev\" denied the request: no");
}

/// Why a patch is checked before it is sent.
#[test]
fn a_patch_that_does_not_apply_is_a_500_even_with_ignore() {
    let answer = create("contract-patch", |stream, review| {
        patched(stream, review, &json!([{ "op": "replace", "path": "/metadata/nowhere/at/all", "value": 1 }]));
    });
    assert_eq!(answer.code, 500, "{answer:?}");
}

/// Why only fields of every supported version are filled in.
#[test]
fn an_unknown_field_in_a_patch_is_dropped_in_silence() {
    let answer = create("contract-unknown-field", |stream, review| {
        patched(stream, review, &json!([{ "op": "add", "path": "/spec/jitterSeconds", "value": 1 }]));
    });
    assert_eq!((answer.code, &answer.body["spec"]["jitterSeconds"]), (201, &Value::Null), "{answer:?}");
}

/// Why the most important warning comes first and all of them are short: beyond 4096 characters together, each is cut at 256.
#[test]
fn warnings_are_cut_when_they_are_long_together() {
    let answer = create("contract-warnings", |stream, review| {
        let warnings: Vec<_> = (0..20).map(|n| format!("{n} {}", "x".repeat(500))).collect();
        respond(stream, review, json!({ "allowed": true, "warnings": warnings }));
    });
    assert_eq!(answer.code, 201);
    assert!(answer.warnings[0].starts_with("0 ") && answer.warnings.len() == 16, "{:?}", answer.warnings);
    assert!(answer.warnings.iter().all(|w| w.chars().count() <= 256), "{:?}", answer.warnings);
}
