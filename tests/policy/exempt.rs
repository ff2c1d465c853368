//! Exemptions and the allow annotation: what the webhook answers, what the linter says, and that they say the same.

use std::{fs, sync::Arc};

use jiff::civil::{Date, date};
use probekeeper::{
    admission::{Admission, Answer, Route},
    lint::{self, Inputs, Judge},
    policy::{PolicyStore, load},
};
use serde_json::{Value, json};

const HEAD: &str = "apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\n";

fn last_day() -> Date {
    date(2027, 3, 31)
}

fn day_after() -> Date {
    date(2027, 4, 1)
}

/// A liveness that kills after two seconds in each of two containers.
fn workload() -> Value {
    let container = |name: &str| {
        json!({ "name": name, "image": "example.com/app:1", "livenessProbe": {
            "httpGet": { "path": "/healthz", "port": 8080, "scheme": "HTTP" }, "initialDelaySeconds": 60,
            "periodSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 2, "successThreshold": 1 } })
    };
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web", "namespace": "legacy" },
        "spec": { "selector": {}, "template": { "metadata": {}, "spec": { "containers": [container("app"), container("side")] } } },
    })
}

fn annotated(allow: &str) -> Value {
    let mut object = workload();
    object["metadata"]["annotations"] = json!({ "probekeeper.dev/allow": allow });
    object
}

/// The webhook's answer, after the linter was asked the same.
fn answer(policy: &str, object: &Value, today: fn() -> Date) -> (Value, Answer) {
    let text = format!("{HEAD}{policy}");
    let policy = || load(&text).unwrap_or_else(|errors| panic!("{errors}"));
    let admission = Admission::at(Arc::new(PolicyStore::new(policy())), today);
    let review = json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "operation": "CREATE", "namespace": "legacy", "object": object } });
    let answer = admission.answer(Route::Validate, review.to_string().as_bytes());

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file.json");
    fs::write(&file, object.to_string()).unwrap();
    let report = lint::run(Inputs::collect([&file]), &Judge::new(policy(), false).on(today()));
    let mut linted: Vec<(&str, &str)> =
        report.findings.iter().map(|found| (found.finding.rule.id, found.finding.action.name())).collect();
    let mut judged = answer.outcome.findings.clone();
    linted.sort_unstable();
    judged.sort_unstable();
    assert_eq!(linted, judged, "linter and webhook");
    let exempted: Vec<&str> = report.exempted.iter().map(|allowed| allowed.found.finding.rule.id).collect();
    assert_eq!(exempted, answer.outcome.exempted, "linter and webhook");
    assert_eq!(report.summary.exempted, exempted.len());
    (serde_json::from_slice::<Value>(&answer.body).unwrap()["response"].take(), answer)
}

const EXEMPTION: &str = "exemptions:\n  - match: { namespaces: [leg*], containers: [app] }\n    rules: [hair-trigger-liveness]\n    reason: moves to the queue in Q1\n    until: 2027-03-31\n";

#[test]
fn an_exemption_covers_its_containers_through_its_last_day() {
    let (response, answer) = answer(EXEMPTION, &workload(), last_day);
    let message = response["status"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("Deployment \"legacy/web\" has 1 problem with its probes:\n\n1. container \"side\", livenessProbe: ")
    );
    assert_eq!(
        response["auditAnnotations"]["exempted"],
        "hair-trigger-liveness app/livenessProbe (policy: moves to the queue in Q1)"
    );
    assert_eq!(answer.outcome.exempted, ["hair-trigger-liveness"]);
}

#[test]
fn an_ended_exemption_is_named_where_it_would_have_applied() {
    let (response, answer) = answer(EXEMPTION, &workload(), day_after);
    let message = response["status"]["message"].as_str().unwrap();
    let note = "\n   Note: an exemption for this ended on 2027-03-31: moves to the queue in Q1\n";
    assert!(message.contains("has 2 problems") && message.matches(note).count() == 1, "{message}");
    assert!(message.find(note).unwrap() < message.find("container \"side\"").unwrap(), "{message}");
    assert!(answer.outcome.exempted.is_empty() && response["auditAnnotations"]["exempted"].is_null());
}

#[test]
fn the_annotation_allows_with_a_reason() {
    let (response, answer) = answer("", &annotated("hair-trigger-liveness: restarts in 100 ms; loses nothing"), last_day);
    assert_eq!(response["allowed"], true, "{response}");
    assert_eq!(answer.outcome.exempted, ["hair-trigger-liveness", "hair-trigger-liveness"]);
    assert_eq!(
        response["auditAnnotations"]["exempted"],
        "hair-trigger-liveness app/livenessProbe (annotation: restarts in 100 ms; loses nothing); hair-trigger-liveness \
         side/livenessProbe (annotation: restarts in 100 ms; loses nothing)"
    );
    // On the template it counts as well.
    let mut object = workload();
    object["spec"]["template"]["metadata"]["annotations"] = json!({ "probekeeper.dev/allow": "hair-trigger-liveness: why not" });
    assert_eq!(self::answer("", &object, last_day).0["allowed"], true);
}

#[test]
fn an_entry_without_effect_is_reported() {
    let check = |policy: &str, allow: &str, expected: &str| {
        let (response, answer) = answer(policy, &annotated(allow), last_day);
        assert_eq!(response["allowed"], false, "{allow}");
        let warnings: Vec<&str> = response["warnings"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
        let expected = format!("ineffective-allow: pod: {expected}");
        assert!(warnings.contains(&&*expected), "{allow}: {warnings:?}");
        assert!(answer.outcome.exempted.is_empty());
    };
    check("", "hair-trigger-liveness", "\"hair-trigger-liveness\" is not allowed, because no reason is given");
    check(
        "",
        "hair-triger-liveness: why",
        "\"hair-triger-liveness\" is no rule, did you mean \"hair-trigger-liveness\"? Nothing is allowed by it",
    );
    check(
        "rules: { hair-trigger-liveness: { allowAnnotation: false } }\n",
        "hair-trigger-liveness: why",
        "\"hair-trigger-liveness\" is not allowed, because the policy takes no annotation for it",
    );
    check(
        "overrides: [ { match: { namespaces: [legacy] }, rules: { hair-trigger-liveness: { allowAnnotation: false } } } ]\n",
        "hair-trigger-liveness: why",
        "\"hair-trigger-liveness\" is not allowed, because the policy takes no annotation for it",
    );
}

#[test]
fn an_override_of_one_container_leaves_the_other_alone() {
    let policy =
        "overrides:\n  - match: { containers: [app] }\n    rules: { hair-trigger-liveness: off, aggressive-liveness: off }\n";
    let (response, _) = answer(policy, &workload(), last_day);
    let message = response["status"]["message"].as_str().unwrap();
    assert!(message.contains("has 1 problem") && message.contains("container \"side\""), "{message}");
    // Only its action differs: both speak, each in its own way.
    let policy =
        "overrides:\n  - match: { images: [\"*/app:*\"], containers: [app] }\n    rules: { hair-trigger-liveness: warn }\n";
    let (response, answer) = answer(policy, &workload(), last_day);
    let message = response["status"]["message"].as_str().unwrap();
    assert!(message.contains("has 1 problem") && message.contains("container \"side\""), "{message}");
    assert!(answer.outcome.findings.contains(&("hair-trigger-liveness", "warn")), "{:?}", answer.outcome.findings);
}
