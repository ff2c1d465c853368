//! Values that are refused, each with one line that says what to change.

use std::fs;

use serde_json::Value;

use crate::helm::{Helm, root};

/// What helm says when it refuses.
fn refusal(helm: Helm, args: &[&str]) -> String {
    let output = helm.run(&[["template", "probekeeper", "charts/probekeeper"].as_slice(), args].concat());
    assert_eq!(output.code, 1, "{helm:?} accepts {args:?}");
    output.stderr
}

const FAIL: &str = "webhook.validating.failurePolicy=Fail";

#[test]
fn values_that_do_not_go_together() {
    let cases: &[(&[&str], &str)] = &[
        (
            &["--set", "existingPolicyConfigMap=mine,policy.profile=strict"],
            "policy and existingPolicyConfigMap exclude each other: move the policy into that ConfigMap, or unset existingPolicyConfigMap",
        ),
        (&["--set-string", "policy=a: b: c"], "policy is no YAML mapping: "),
        (&["--set-string", "policy=strict"], "policy is no YAML mapping: "),
        (&["--set-string", "policy="], "policy must begin with apiVersion: probekeeper.dev/v1 and kind: ProbePolicy"),
        (
            &["--set-string", "policy=profile: strict"],
            "policy must begin with apiVersion: probekeeper.dev/v1 and kind: ProbePolicy",
        ),
        (
            &["--set", "policy.ownedObjects=deny"],
            "policy says ownedObjects: deny, but the API server does not send such objects: set webhook.ownedObjects to true",
        ),
        (
            &["--set", "certificates.mode=existingSecret"],
            "certificates.mode existingSecret needs certificates.existingSecret.name",
        ),
        (
            &["--set", "certificates.existingSecret.name=mine,certificates.mode=certManager"],
            "certificates.existingSecret.name is set, but certificates.mode is certManager: set the mode to existingSecret, or unset the name",
        ),
        (
            &["--set", "certificates.certManager.issuerRef.name=company"],
            "certificates.certManager.issuerRef.name is set, but certificates.mode is selfManaged: set the mode to certManager, or unset the name",
        ),
        (
            &["--set", FAIL, "--set", "replicaCount=1"],
            "webhook.validating.failurePolicy Fail needs at least 2 replicas: with 1, the loss of its node stops every change of workloads",
        ),
        (
            &["--set", FAIL, "--set", "autoscaling.enabled=true,autoscaling.minReplicas=1"],
            "webhook.validating.failurePolicy Fail needs at least 2 replicas: with 1, the loss of its node stops every change of workloads",
        ),
        (
            &["--set", "webhook.mutating.failurePolicy=Fail,replicaCount=1"],
            "webhook.mutating.failurePolicy Fail needs at least 2 replicas: with 1, the loss of its node stops every change of workloads",
        ),
        (
            &["--set", "autoscaling.enabled=true,autoscaling.minReplicas=9"],
            "autoscaling.minReplicas is larger than autoscaling.maxReplicas",
        ),
        (
            &["--set", "autoscaling.enabled=true", "--set-json", "resources={\"requests\":{\"cpu\":null}}"],
            "autoscaling needs resources.requests.cpu: utilization is a percentage of it",
        ),
        (
            &["--set", "metrics.serviceMonitor.enabled=true,metrics.podMonitor.enabled=true"],
            "metrics.serviceMonitor and metrics.podMonitor are both enabled: every sample would be there twice, choose one",
        ),
        (
            &["--set", "metrics.prometheusRule.disabledAlerts={ProbekeeperSlwo}"],
            "metrics.prometheusRule.disabledAlerts has ProbekeeperSlwo, which is no alert: they are ProbekeeperDown, ",
        ),
        (
            &["--set", "webhook.clientAuthentication.subjects={kube-apiserver}"],
            "webhook.clientAuthentication.subjects needs webhook.clientAuthentication.secretName: without a CA nobody is checked",
        ),
        (
            &["--set", "hostNetwork=true,networkPolicy.enabled=true"],
            "networkPolicy has no effect on pods with hostNetwork: turn one of them off",
        ),
        (&["--set", "ports.ops=8443"], "ports.webhook and ports.ops are the same: choose two"),
        (&["--set", "extraArgs={--tls=self-signed}"], "extraArgs has --tls, which the chart sets itself: use the value for it"),
    ];
    for (args, expected) in cases {
        for helm in Helm::BOTH {
            let said = refusal(helm, args);
            let line = said.lines().find(|line| line.contains("probekeeper: ")).unwrap_or_else(|| panic!("{args:?}: {said}"));
            let (_, message) = line.split_once("): probekeeper: ").unwrap_or_else(|| panic!("{args:?}: {said}"));
            let whole = expected.ends_with(": ") || expected.ends_with(", ");
            assert!(if whole { message.starts_with(expected) } else { message == *expected }, "{helm:?} {args:?}: {message}");
        }
    }
}

#[test]
fn values_that_the_schema_refuses() {
    let cases: &[(&str, &str)] = &[
        ("replicaCount=0", "at '/replicaCount': minimum: got 0, want 1"),
        ("replicas=3", "additional properties 'replicas' not allowed"),
        ("webhook.validating.failurepolicy=Fail", "additional properties 'failurepolicy' not allowed"),
        (
            "webhook.validating.failurePolicy=fail",
            "at '/webhook/validating/failurePolicy': value must be one of 'Ignore', 'Fail'",
        ),
        ("webhook.validating.timeoutSeconds=31", "at '/webhook/validating/timeoutSeconds': maximum: got 31, want 30"),
        ("certificates.mode=manual", "at '/certificates/mode': value must be one of"),
        ("image.digest=latest", "at '/image/digest': 'latest' does not match pattern"),
        ("podDisruptionBudget.maxUnavailable=0", "at '/podDisruptionBudget/maxUnavailable'"),
        ("policy.profile=harsh", "at '/policy/profile': "),
        ("policy.rules.missing-readines=deny", "additional properties 'missing-readines' not allowed"),
        ("policy.rules.missing-readiness=refuse", "at '/policy/rules/missing-readiness'"),
        ("policy.startup.allowanceSeconds=99999", "at '/policy/startup/allowanceSeconds': maximum"),
    ];
    for (set, expected) in cases {
        for helm in Helm::BOTH {
            let said = refusal(helm, &["--set", set]);
            assert!(said.contains("don't meet the specifications of the schema"), "{helm:?} {set}: {said}");
            assert!(said.contains(expected), "{helm:?} {set}: {said}");
        }
    }
    // Parent charts share what they like.
    Helm::Four.template(&["--set", "global.storageClass=fast"]);
}

/// Every value of values.yaml is in the schema, and the schema knows no other.
#[test]
fn the_schema_knows_every_value_and_no_other() {
    let text = |name: &str| fs::read_to_string(root().join("charts/probekeeper").join(name)).expect(name);
    let schema: Value = serde_json::from_str(&text("values.schema.json")).expect("JSON");
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    let values = crate::helm::objects(&text("values.yaml")).remove(0);
    let mut seen = 0;
    compare("", &schema, &values, &mut seen);
    assert!(seen > 90, "{seen}");
}

fn compare(path: &str, schema: &Value, values: &Value, seen: &mut usize) {
    // What is open (labels, Kubernetes' own types) holds the user's keys.
    let Some(properties) = schema["properties"].as_object().filter(|_| schema["additionalProperties"] == false) else { return };
    let values = values.as_object().unwrap_or_else(|| panic!("{path} is no mapping in values.yaml"));
    for key in values.keys() {
        assert!(properties.contains_key(key), "{path}/{key} is in values.yaml only");
    }
    for (key, schema) in properties {
        *seen += 1;
        let path = format!("{path}/{key}");
        compare(&path, schema, values.get(key).unwrap_or_else(|| panic!("{path} is in the schema only")), seen);
    }
}
