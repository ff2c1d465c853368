//! Kinds that the policy adds, with their definitions installed: the API server neither defaults nor validates what is in them, and knows no lists by name
//! unless the definition says so.

use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::cluster::{Cluster, Namespace};
use crate::webhook::{Webhook, eventually};
use crate::workloads::{KINDS, complete, flask, hair_trigger};

const RECORD: &str = "probekeeper.dev/filled";
const APPLY: &[&str] = &["apply", "-f", "-"];
const APPLY_SERVER_SIDE: &[&str] = &["apply", "--server-side", "-f", "-"];
const POLICY: &str = "apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\nworkloads:\n\
    - { apiVersion: custom.test/v1, kind: Rollout, resource: rollouts, template: /spec/template }\n\
    - { apiVersion: custom.test/v1, kind: Pool, resource: pools, template: /spec/workers/podTemplate }\n";

/// As an operator of Argo Rollouts has it: a template at the usual place, whose content the definition does not describe.
#[test]
fn a_rollout_is_judged_like_a_deployment() {
    let namespace = namespace("custom-judged");
    let _webhook = Webhook::start(&namespace, Some(POLICY));
    let said = namespace.kubectl_with(&["create", "-f", "-"], &rollout(&hair_trigger())).refused();
    assert!(
        said.contains(
            "admission webhook \"validate.probekeeper.dev\" denied the request: Rollout \"custom-judged/web\" has 1 problem with its probes:\n\n\
             1. container \"app\", livenessProbe: liveness restarts the container after a hang of 1 s [hair-trigger-liveness]\n"
        ) && said.contains("\n   At: /spec/template/spec/containers/0/livenessProbe\n"),
        "{said}"
    );
    namespace.kubectl_with(&["create", "-f", "-"], &rollout(&complete())).ok();
    let worse = json!({ "spec": { "template": { "spec": { "containers": [hair_trigger()] } } } }).to_string();
    let said = namespace.kubectl(&["patch", "rollout", "web", "--type=merge", "-p", &worse]).refused();
    assert!(said.contains("[hair-trigger-liveness]"), "{said}");

    // One that was there before the webhook, under another policy or by another name.
    let mut old = rollout(&hair_trigger());
    old["metadata"]["name"] = json!("old");
    old["metadata"]["annotations"] = json!({ "probekeeper.dev/allow": "hair-trigger-liveness: it restarts at once" });
    namespace.kubectl_with(&["create", "-f", "-"], &old).ok();
    let said = namespace.kubectl(&["annotate", "rollout", "old", "probekeeper.dev/allow-"]).ok().stderr;
    assert_eq!(
        said,
        "Warning: hair-trigger-liveness: container \"app\", livenessProbe: liveness restarts the container after a hang of 1 s (not denied: it was there before)\n"
    );
}

/// What is absent was left out; what is there, somebody wrote, also where it is Kubernetes' default.
#[test]
fn what_a_rollout_leaves_out_is_filled_in() {
    for (name, apply) in [("custom-filled-client", APPLY), ("custom-filled-server", APPLY_SERVER_SIDE)] {
        let namespace = namespace(name);
        let _webhook = Webhook::start(&namespace, Some(POLICY));
        for (kind, object) in [("rollout", rollout as fn(&Value) -> Value), ("pool", pool)] {
            let liveness = || containers(&namespace.get(kind, "web"))[0]["livenessProbe"].clone();
            let mut container = flask();
            container["readinessProbe"]["timeoutSeconds"] = json!(1);
            namespace.kubectl_with(apply, &object(&container)).ok();
            let stored = namespace.get(kind, "web");
            assert_eq!(
                liveness(),
                json!({ "httpGet": { "path": "/healthz", "port": 5000 }, "initialDelaySeconds": 10, "periodSeconds": 5,
                    "timeoutSeconds": 5, "failureThreshold": 4 }),
                "{name} {kind}"
            );
            assert_eq!(containers(&stored)[0]["readinessProbe"]["timeoutSeconds"], 1, "{name} {kind}");
            assert_eq!(
                stored["metadata"]["annotations"][RECORD],
                r#"{"app":{"livenessProbe":{"failureThreshold":4,"timeoutSeconds":5}}}"#,
                "{name} {kind}"
            );

            // The same file again, and a label: nothing changes in the template.
            namespace.kubectl_with(apply, &object(&container)).ok();
            assert_eq!(namespace.get(kind, "web")["spec"], stored["spec"], "{name} {kind}: applied twice");
            assert_eq!(namespace.get(kind, "web")["metadata"]["generation"], stored["metadata"]["generation"], "{name} {kind}");
            namespace.kubectl(&["label", kind, "web", "team=shop"]).ok();
            assert_eq!(namespace.get(kind, "web")["spec"], stored["spec"], "{name} {kind}: labelled");

            // Ours follows the author: a period of 3 s.
            container["livenessProbe"]["periodSeconds"] = json!(3);
            namespace.kubectl_with(apply, &object(&container)).ok();
            assert_eq!((&liveness()["timeoutSeconds"], &liveness()["failureThreshold"]), (&json!(3), &json!(7)), "{name} {kind}");
            // Once the author says it, it is the author's: also the very number that was filled in.
            container["livenessProbe"]["timeoutSeconds"] = json!(3);
            namespace.kubectl_with(apply, &object(&container)).ok();
            container["livenessProbe"]["periodSeconds"] = json!(10);
            namespace.kubectl_with(apply, &object(&container)).ok();
            assert_eq!(liveness()["timeoutSeconds"], 3, "{name} {kind}: the author's own number");
            // Kubernetes' default is enough now: nothing is filled in, or, where the number filled in before would stay, that default.
            let stays = name.ends_with("server") && kind == "pool";
            let threshold = if stays { json!(3) } else { Value::Null };
            assert_eq!(liveness()["failureThreshold"], threshold, "{name} {kind}");
        }
    }
}

/// A ReplicaSet that a Rollout's controller made was judged with the Rollout; the policy says what is left to say of it.
#[test]
fn what_a_rollout_owns_is_treated_as_the_policy_says() {
    for (choice, code) in [("warn", 201), ("skip", 201), ("deny", 403)] {
        let namespace = namespace(&format!("custom-owned-{choice}"));
        let webhook = Webhook::start(&namespace, Some(&format!("{POLICY}ownedObjects: {choice}\n")));
        let mut set = KINDS[4].object("web-1", &hair_trigger());
        set["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]
            .as_object_mut()
            .expect("readiness")
            .remove("timeoutSeconds");
        let owner = |kind: &str| {
            json!([{ "apiVersion": "custom.test/v1", "kind": kind, "name": "web", "controller": true,
            "uid": "11111111-2222-3333-4444-555555555555" }])
        };
        set["metadata"]["ownerReferences"] = owner("Rollout");
        let path = namespace.path("apis/apps/v1", "replicasets");
        let answer = namespace.cluster.call("POST", &path, &set);
        assert_eq!(answer.code, code, "{choice}: {answer:?}");
        let warning = "hair-trigger-liveness: container \"app\", livenessProbe: liveness restarts the container after a hang of 1 s (not denied: made by a controller)";
        assert_eq!(answer.warnings.iter().any(|said| said == warning), choice == "warn", "{choice}: {:?}", answer.warnings);
        if code == 201 {
            assert_eq!(
                answer.body["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]["timeoutSeconds"], 1,
                "never patched"
            );
        }
        // Nobody judges the owner of this one.
        set["metadata"]["name"] = json!("web-2");
        set["metadata"]["ownerReferences"] = owner("Stranger");
        let answer = namespace.cluster.call("POST", &path, &set);
        assert_eq!(answer.code, 403, "{choice}: {answer:?}");
        assert!(webhook.requests() >= 3.0, "{choice}");
    }
}

/// A template anywhere in the object, and lists that the definition describes.
#[test]
fn a_template_may_stand_elsewhere() {
    let namespace = namespace("custom-elsewhere");
    let _webhook = Webhook::start(&namespace, Some(POLICY));
    let said = namespace.kubectl_with(APPLY, &pool(&hair_trigger())).refused();
    assert!(said.contains("Pool \"custom-elsewhere/web\" has 1 problem with its probes"), "{said}");
    assert!(said.contains("\n   At: /spec/workers/podTemplate/spec/containers/0/livenessProbe\n"), "{said}");
    // What stands where others have their template is nobody's.
    let mut decoy = pool(&complete());
    decoy["spec"]["template"] = rollout(&hair_trigger())["spec"]["template"].clone();
    namespace.kubectl_with(APPLY, &decoy).ok();
}

/// A Rollout may come to its template later: until then there is nothing to judge, and then everything is new.
#[test]
fn a_template_may_come_later() {
    let namespace = namespace("custom-later");
    let _webhook = Webhook::start(&namespace, Some(POLICY));
    for object in [rollout(&complete()), pool(&complete())] {
        let mut bare = object.clone();
        bare["spec"] = json!({ "workloadRef": { "name": "other" } });
        namespace.kubectl_with(APPLY, &bare).ok();
        let kind = object["kind"].as_str().expect("kind").to_lowercase();
        let with = |container: &Value| if kind == "pool" { pool(container) } else { rollout(container) };
        let said = namespace.kubectl_with(APPLY, &with(&hair_trigger())).refused();
        assert!(said.contains("[hair-trigger-liveness]"), "{kind}: {said}");
        namespace.kubectl_with(APPLY, &with(&flask())).ok();
        assert_eq!(containers(&namespace.get(&kind, "web"))[0]["livenessProbe"]["timeoutSeconds"], 5, "{kind}");
    }
}

/// What no API server would take in a Deployment is stored here. It gets no denial of ours, and no patch.
#[test]
fn what_is_no_pod_is_left_to_others() {
    let namespace = namespace("custom-odd");
    let _webhook = Webhook::start(&namespace, Some(POLICY));
    let path = namespace.path("apis/custom.test/v1", "rollouts");
    let mut container = flask();
    container["livenessProbe"] = json!({ "periodSeconds": -1, "httpGet": { "port": 5000 }, "tcpSocket": { "port": 5000 } });
    container["readinessProbe"] = json!({});
    let mut objects = vec![rollout(&container)];
    for template in
        [json!({}), json!({ "spec": null }), json!({ "spec": { "containers": null } }), json!({ "spec": { "containers": [] } })]
    {
        let mut object = rollout(&flask());
        object["spec"]["template"] = template;
        objects.push(object);
    }
    for (at, mut object) in objects.into_iter().enumerate() {
        object["metadata"]["name"] = json!(format!("odd-{at}"));
        let answer = namespace.cluster.call("POST", &path, &object);
        assert_eq!(answer.code, 201, "{at}: {answer:?}");
        assert_eq!(answer.body["spec"], object["spec"], "{at}");
    }
    // What cannot be read as a pod is no reason to deny it, but is said.
    let mut object = rollout(&flask());
    object["spec"]["template"]["spec"]["containers"] = json!("none");
    let answer = namespace.cluster.call("POST", &path, &object);
    assert_eq!(answer.code, 201, "{answer:?}");
    assert!(
        answer.warnings.iter().any(|said| said == "probekeeper did not check this object: the object cannot be read: /spec/template/spec/containers: invalid type: a string, expected a list"),
        "{:?}",
        answer.warnings
    );
}

fn rollout(container: &Value) -> Value {
    let labels = json!({ "app": "web" });
    json!({ "apiVersion": "custom.test/v1", "kind": "Rollout", "metadata": { "name": "web" },
        "spec": { "replicas": 1, "selector": { "matchLabels": labels }, "strategy": { "canary": {} },
            "template": { "metadata": { "labels": labels }, "spec": { "containers": [container] } } } })
}

fn pool(container: &Value) -> Value {
    json!({ "apiVersion": "custom.test/v1", "kind": "Pool", "metadata": { "name": "web" },
        "spec": { "workers": { "count": 3, "podTemplate": { "spec": { "containers": [container] } } } } })
}

fn containers(object: &Value) -> &Value {
    let spec = &object["spec"];
    let template = if object["kind"] == "Pool" { &spec["workers"]["podTemplate"] } else { &spec["template"] };
    &template["spec"]["containers"]
}

/// A namespace in a cluster that has both definitions.
fn namespace(name: &str) -> Namespace {
    static DEFINED: OnceLock<()> = OnceLock::new();
    let cluster = Cluster::shared();
    let namespace = cluster.namespace(name);
    DEFINED.get_or_init(|| {
        let open = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
        // Containers by name, as in Kubernetes' own kinds.
        let mut named = open.clone();
        named["properties"] = json!({ "workers": { "type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
            "podTemplate": { "type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
            "spec": { "type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
            "containers": { "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": { "type": "object", "required": ["name"], "x-kubernetes-preserve-unknown-fields": true, "properties": {
                    "name": { "type": "string" } } } } } } } } } } });
        for (kind, resource, singular, spec) in [("Rollout", "rollouts", "rollout", open), ("Pool", "pools", "pool", named)] {
            let definition = json!({
                "metadata": { "name": format!("{resource}.custom.test") },
                "spec": { "group": "custom.test", "scope": "Namespaced",
                    "names": { "kind": kind, "plural": resource, "singular": singular },
                    "versions": [{ "name": "v1", "served": true, "storage": true,
                        "schema": { "openAPIV3Schema": { "type": "object", "properties": { "spec": spec } } } }] },
            });
            let answer = cluster.call("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition);
            assert_eq!(answer.code, 201, "{answer:?}");
        }
    });
    for resource in ["rollouts", "pools"] {
        assert!(
            eventually(|| cluster.call("GET", &namespace.path("apis/custom.test/v1", resource), &Value::Null).code == 200),
            "{resource}"
        );
        // kubectl finds it through discovery, and the API server knows its schema, a moment later.
        assert!(eventually(|| namespace.kubectl(&["explain", resource, "--api-version=custom.test/v1"]).code == 0), "{resource}");
    }
    namespace
}
