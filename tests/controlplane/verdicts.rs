//! What people see: the answer of the API server and of kubectl, and the object that is stored.

use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::webhook::Webhook;
use crate::workloads::{KINDS, complete, deployment, first_container, flask, hair_trigger};

const RECORD: &str = "probekeeper.dev/filled";
const DENIED: &str = "admission webhook \"validate.probekeeper.dev\" denied the request: ";

#[test]
fn every_kind_with_a_hair_trigger_is_refused() {
    let namespace = Cluster::shared().namespace("kinds-refused");
    let _webhook = Webhook::start(&namespace, None);
    for kind in &KINDS {
        let answer =
            namespace.cluster.call("POST", &namespace.path(kind.api, kind.resource), &kind.object("bad", &hair_trigger()));
        let message = answer.message();
        assert_eq!(answer.code, 403, "{}: {answer:?}", kind.kind);
        assert_eq!(answer.body["reason"], "Forbidden", "{}: {answer:?}", kind.kind);
        assert!(message.starts_with(DENIED) && message.contains("hair-trigger-liveness"), "{}: {message}", kind.kind);
        assert_eq!(namespace.list(kind.resource), Vec::<Value>::new(), "{}", kind.kind);
    }
}

#[test]
fn every_kind_is_filled_in() {
    let namespace = Cluster::shared().namespace("kinds-filled");
    let _webhook = Webhook::start(&namespace, None);
    for kind in &KINDS {
        let answer = namespace.cluster.call("POST", &namespace.path(kind.api, kind.resource), &kind.object("flask", &flask()));
        assert_eq!(answer.code, 201, "{}: {answer:?}", kind.kind);
        let stored = namespace.get(kind.resource, "flask");
        let container = kind.container(&stored);
        assert_eq!(
            container["livenessProbe"],
            json!({ "httpGet": { "path": "/healthz", "port": 5000, "scheme": "HTTP" }, "initialDelaySeconds": 10, "periodSeconds": 5,
                    "timeoutSeconds": 5, "failureThreshold": 4, "successThreshold": 1 }),
            "{}",
            kind.kind
        );
        assert_eq!(
            container["readinessProbe"],
            json!({ "httpGet": { "path": "/readyz", "port": 5000, "scheme": "HTTP" }, "initialDelaySeconds": 5, "periodSeconds": 5,
                    "timeoutSeconds": 3, "failureThreshold": 3, "successThreshold": 1 }),
            "{}",
            kind.kind
        );
        // The record is on the workload's own metadata, never on the template: that would change the pod hash.
        assert_eq!(
            stored["metadata"]["annotations"][RECORD],
            r#"{"app":{"livenessProbe":{"failureThreshold":4,"timeoutSeconds":5},"readinessProbe":{"timeoutSeconds":3}}}"#,
            "{}",
            kind.kind
        );
        if !kind.template.is_empty() {
            let template = stored.pointer(kind.template).expect("template");
            assert_eq!(template["metadata"]["annotations"], Value::Null, "{}", kind.kind);
        }
    }
}

#[test]
fn every_kind_without_a_fault_is_stored_as_sent() {
    let namespace = Cluster::shared().namespace("kinds-accepted");
    let _webhook = Webhook::start(&namespace, None);
    // Probes on a Job are a subject of their own, but not under the recommended profile.
    for kind in &KINDS {
        let answer = namespace.cluster.call("POST", &namespace.path(kind.api, kind.resource), &kind.object("good", &complete()));
        assert_eq!((answer.code, answer.warnings), (201, Vec::new()), "{}: {}", kind.kind, answer.body);
        let stored = namespace.get(kind.resource, "good");
        for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
            assert_eq!(kind.container(&stored)[probe], complete()[probe], "{}", kind.kind);
        }
        assert_eq!(stored["metadata"]["annotations"][RECORD], Value::Null, "{}", kind.kind);
    }
}

/// What a person reads, to the letter. `INSTA_UPDATE=always` writes it anew.
#[test]
fn kubectl_shows_what_is_wrong_and_what_to_write() {
    let namespace = Cluster::shared().namespace("words");
    let _webhook = Webhook::start(&namespace, None);
    let denied = |container: &Value| {
        let said = namespace.kubectl_with(&["apply", "-f", "-"], &deployment(container)).refused();
        // The policy's hash changes with every parameter of every rule.
        let (before, rest) = said.split_once("Policy: recommended (").expect("names the policy");
        let (_, after) = rest.split_once(')').expect("a hash");
        format!("{before}Policy: recommended (HASH){after}")
    };
    insta::assert_snapshot!("one_problem", denied(&hair_trigger()));
    let mut two = hair_trigger();
    two["readinessProbe"]["httpGet"]["port"] = json!("web");
    insta::assert_snapshot!("two_problems", denied(&two));
    insta::assert_snapshot!("a_warning", namespace.kubectl_with(&["apply", "-f", "-"], &deployment(&flask())).ok().stderr);
    // A client that leaves no trace of what its user set: the answer says what was filled in.
    let created = namespace.kubectl_with(&["create", "-f", "-"], &KINDS[2].object("flask", &flask())).ok();
    insta::assert_snapshot!("unknown_intent", created.stderr);
    // The change of an old violation.
    let old = Cluster::shared().namespace("words-old");
    old.kubectl_with(&["apply", "-f", "-"], &deployment(&hair_trigger())).ok();
    let _webhook = Webhook::start(&old, None);
    insta::assert_snapshot!("an_old_problem", old.kubectl(&["set", "env", "deployment/web", "A=1"]).ok().stderr);
}

#[test]
fn every_way_to_create_is_refused_with_the_same_words() {
    let namespace = Cluster::shared().namespace("ways-to-create");
    let _webhook = Webhook::start(&namespace, None);
    let bad = deployment(&hair_trigger());
    let words = namespace.cluster.call("POST", &namespace.path("apis/apps/v1", "deployments"), &bad).message().to_owned();
    assert!(words.starts_with(DENIED), "{words}");
    for args in [
        &["create", "-f", "-"][..],
        &["create", "--dry-run=server", "-f", "-"],
        &["apply", "-f", "-"],
        &["apply", "--dry-run=server", "-f", "-"],
        &["apply", "--server-side", "-f", "-"],
        &["apply", "--server-side", "--dry-run=server", "-f", "-"],
    ] {
        let said = namespace.kubectl_with(args, &bad).refused();
        assert!(said.contains(&words) && said.contains("Forbidden"), "{args:?}: {said}");
    }
    // A dry run that stays with the client never reaches us.
    namespace.kubectl_with(&["apply", "--dry-run=client", "-f", "-"], &bad).ok();
    assert_eq!(namespace.list("deployments"), Vec::<Value>::new());
}

#[test]
fn every_way_to_change_is_refused_and_changes_nothing() {
    let namespace = Cluster::shared().namespace("ways-to-change");
    let _webhook = Webhook::start(&namespace, None);
    namespace.kubectl_with(&["apply", "-f", "-"], &deployment(&complete())).ok();
    let before = namespace.get("deployment", "web");

    let bad = deployment(&hair_trigger());
    let mut replacement = before.clone();
    replacement["spec"]["template"]["spec"]["containers"][0]["livenessProbe"] = hair_trigger()["livenessProbe"].clone();
    let probe = r#"{"periodSeconds":1,"timeoutSeconds":1,"failureThreshold":1}"#;
    let strategic =
        format!(r#"{{"spec":{{"template":{{"spec":{{"containers":[{{"name":"app","livenessProbe":{probe}}}]}}}}}}}}"#);
    let merge = json!({ "spec": { "template": { "spec": { "containers": [hair_trigger()] } } } }).to_string();
    let at = "/spec/template/spec/containers/0/livenessProbe";
    let json_patch = json!([
        { "op": "replace", "path": format!("{at}/periodSeconds"), "value": 1 },
        { "op": "replace", "path": format!("{at}/timeoutSeconds"), "value": 1 },
        { "op": "replace", "path": format!("{at}/failureThreshold"), "value": 1 },
    ])
    .to_string();
    for (args, input) in [
        (&["apply", "-f", "-"][..], &bad),
        (&["apply", "--server-side", "--force-conflicts", "-f", "-"], &bad),
        (&["replace", "-f", "-"], &replacement),
        (&["patch", "deployment", "web", "-p", &strategic], &Value::Null),
        (&["patch", "deployment", "web", "--type=merge", "-p", &merge], &Value::Null),
        (&["patch", "deployment", "web", "--type=json", "-p", &json_patch], &Value::Null),
        (&["patch", "deployment", "web", "--dry-run=server", "-p", &strategic], &Value::Null),
    ] {
        let said = namespace.kubectl_with(args, input).refused();
        assert!(said.contains("hair-trigger-liveness"), "{args:?}: {said}");
    }
    let path = format!("{}/web", namespace.path("apis/apps/v1", "deployments"));
    let answer = namespace.cluster.call_as("PATCH", &path, "application/strategic-merge-patch+json", &strategic);
    assert_eq!((answer.code, &answer.body["reason"]), (403, &json!("Forbidden")), "{answer:?}");
    assert_eq!(namespace.get("deployment", "web"), before);
}

#[test]
fn people_without_administrator_rights_see_the_same() {
    let namespace = Cluster::shared().namespace("alice");
    let _webhook = Webhook::start(&namespace, None);
    let said = namespace.kubectl_as_alice(&["apply", "-f", "-"], &deployment(&flask())).refused();
    assert!(said.contains("cannot get resource"), "alice has no rights yet: {said}");
    namespace.kubectl(&["create", "role", "developer", "--verb=*", "--resource=deployments.apps"]).ok();
    namespace.kubectl(&["create", "rolebinding", "alice", "--role=developer", "--user=alice"]).ok();
    // RBAC answers from a cache that follows within milliseconds.
    assert!(crate::webhook::eventually(|| namespace.kubectl_as_alice(&["get", "deployments"], &Value::Null).code == 0));
    let said = namespace.kubectl_as_alice(&["apply", "-f", "-"], &deployment(&hair_trigger())).refused();
    assert!(said.contains(DENIED), "{said}");
    namespace.kubectl_as_alice(&["apply", "-f", "-"], &deployment(&flask())).ok();
    assert_eq!(first_container(&namespace.get("deployment", "web"))["livenessProbe"]["timeoutSeconds"], 5);
}

#[test]
fn an_old_violation_stays_changeable() {
    let namespace = Cluster::shared().namespace("old-violation");
    namespace.kubectl_with(&["apply", "-f", "-"], &deployment(&hair_trigger())).ok();
    let _webhook = Webhook::start(&namespace, None);

    for args in [
        &["annotate", "deployment", "web", "team=shop"][..],
        &["label", "deployment", "web", "team=shop"],
        &["scale", "deployment", "web", "--replicas=3"],
        &["rollout", "restart", "deployment", "web"],
        &["set", "image", "deployment/web", "app=registry.example/app:2"],
    ] {
        namespace.kubectl(args).ok();
    }
    // A change of the template says what is wrong, as a warning.
    let restart = namespace.kubectl(&["set", "env", "deployment/web", "A=1"]).ok();
    assert!(restart.stderr.contains("Warning:") && restart.stderr.contains("hair-trigger-liveness"), "{}", restart.stderr);

    // Another violation beside it is new, and refused.
    let unknown_port = json!({ "spec": { "template": { "spec": { "containers": [
        { "name": "app", "readinessProbe": { "httpGet": { "port": "htpp" } } }] } } } });
    let said = namespace.kubectl(&["patch", "deployment", "web", "-p", &unknown_port.to_string()]).refused();
    assert!(said.contains("unknown-port-name"), "{said}");
    // And to repair it is always possible.
    namespace.kubectl_with(&["apply", "-f", "-"], &deployment(&complete())).ok();
}

#[test]
fn a_policy_file_decides() {
    let namespace = Cluster::shared().namespace("policy-file");
    let policy = "apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\nprofile: baseline\n\
                  rules:\n  hair-trigger-liveness: warn\ndefaults:\n  livenessProbe: { timeoutSeconds: 7 }\n";
    let _webhook = Webhook::start(&namespace, Some(policy));
    let said = namespace.kubectl_with(&["apply", "-f", "-"], &deployment(&hair_trigger())).ok();
    assert!(said.stderr.contains("hair-trigger-liveness"), "{}", said.stderr);
    let mut slow = flask();
    slow["livenessProbe"]["periodSeconds"] = json!(20);
    namespace.kubectl_with(&["apply", "-f", "-"], &KINDS[2].object("slow", &slow)).ok();
    let stored = namespace.get("statefulset", "slow");
    assert_eq!(KINDS[2].container(&stored)["livenessProbe"]["timeoutSeconds"], 7);
}

#[test]
fn other_resources_are_none_of_our_business() {
    let namespace = Cluster::shared().namespace("other-resources");
    let webhook = Webhook::start(&namespace, None);
    namespace.kubectl(&["create", "configmap", "c", "--from-literal=a=b"]).ok();
    namespace.kubectl(&["create", "service", "clusterip", "s", "--tcp=80"]).ok();
    assert!(webhook.requests().abs() < f64::EPSILON);
}

#[test]
fn objects_of_the_largest_size_are_judged() {
    let namespace = Cluster::shared().namespace("large");
    let _webhook = Webhook::start(&namespace, None);
    // etcd takes 1.5 MiB. An update sends the old and the new object, with managedFields and last-applied inside.
    let mut large = complete();
    large["env"] = json!([{ "name": "LARGE", "value": "x".repeat(1_300_000) }]);
    let collection = namespace.path("apis/apps/v1", "deployments");
    let answer = namespace.cluster.call("POST", &collection, &deployment(&large));
    assert_eq!(answer.code, 201, "{}", answer.message());
    let patch = json!({ "spec": { "template": { "spec": { "containers": [
        { "name": "app", "livenessProbe": hair_trigger()["livenessProbe"] }] } } } });
    let answer = namespace.cluster.call_as(
        "PATCH",
        &format!("{collection}/web"),
        "application/strategic-merge-patch+json",
        &patch.to_string(),
    );
    assert_eq!(answer.code, 403, "{}", answer.message());
}
