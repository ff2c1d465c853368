//! The measured hazards of patching workloads (H1 to H10), one test each.

use serde_json::{Value, json};

use crate::cluster::{Cluster, Namespace};
use crate::webhook::{Webhook, eventually};
use crate::workloads::{KINDS, deployment, first_container, flask, hair_trigger};

const RECORD: &str = "probekeeper.dev/filled";
const APPLY: &[&str] = &["apply", "-f", "-"];
const APPLY_SERVER_SIDE: &[&str] = &["apply", "--server-side", "-f", "-"];

/// Filling is stored, not re-owned, and invisible to the author's own tools.
#[test]
fn h1_filling_is_invisible_to_the_author() {
    for (namespace, apply, diff) in [
        ("h1-client-side", APPLY, &["diff", "-f", "-"][..]),
        ("h1-server-side", APPLY_SERVER_SIDE, &["diff", "--server-side", "-f", "-"]),
    ] {
        let namespace = Cluster::shared().namespace(namespace);
        let _webhook = Webhook::start(&namespace, None);
        let manifest = deployment(&flask());
        namespace.kubectl_with(apply, &manifest).ok();
        let stored = namespace.get("deployment", "web");
        assert_eq!(first_container(&stored)["livenessProbe"]["timeoutSeconds"], 5);

        let output = namespace.kubectl_with(diff, &manifest);
        assert_eq!((output.code, output.stdout.as_str()), (0, ""), "{diff:?}: {}", output.stderr);
        namespace.kubectl_with(apply, &manifest).ok();
        let again = namespace.get("deployment", "web");
        assert_eq!(
            again["metadata"]["resourceVersion"], stored["metadata"]["resourceVersion"],
            "{apply:?} twice changed something"
        );
        // Nobody owns what was filled in by applying it.
        let owned = again["metadata"]["managedFields"].as_array().expect("managedFields");
        for entry in owned.iter().filter(|e| e["operation"] == "Apply") {
            assert!(!entry["fieldsV1"].to_string().contains("f:timeoutSeconds"), "{entry}");
        }
        // The manager that applied may go on to set what was filled in, and to change the rest.
        let mut next = flask();
        next["livenessProbe"]["timeoutSeconds"] = json!(2);
        next["image"] = json!("registry.example/app:2");
        namespace.kubectl_with(apply, &deployment(&next)).ok();
        assert_eq!(first_container(&namespace.get("deployment", "web"))["livenessProbe"]["timeoutSeconds"], 2);
    }
}

/// What the author set stays, also where it equals the API default.
#[test]
fn h2_what_the_author_set_stays() {
    for (namespace, apply) in [("h2-client-side", APPLY), ("h2-server-side", APPLY_SERVER_SIDE)] {
        let namespace = Cluster::shared().namespace(namespace);
        let _webhook = Webhook::start(&namespace, None);
        let mut container = flask();
        for probe in ["livenessProbe", "readinessProbe"] {
            container[probe]["timeoutSeconds"] = json!(1);
            container[probe]["failureThreshold"] = json!(3);
        }
        namespace.kubectl_with(apply, &deployment(&container)).ok();
        let stored = namespace.get("deployment", "web");
        for probe in ["livenessProbe", "readinessProbe"] {
            assert_eq!(first_container(&stored)[probe]["timeoutSeconds"], 1, "{apply:?}");
            assert_eq!(first_container(&stored)[probe]["failureThreshold"], 3, "{apply:?}");
        }
        assert_eq!(stored["metadata"]["annotations"][RECORD], Value::Null, "{apply:?}");
    }
}

/// What somebody edited by hand stays through later changes, also where it equals the API default.
#[test]
fn h2_what_was_edited_by_hand_stays_after_server_side_apply() {
    edited_by_hand_stays("h2-edit-server-side", APPLY_SERVER_SIDE);
}

#[test]
fn h2_what_was_edited_by_hand_stays_after_client_side_apply() {
    edited_by_hand_stays("h2-edit-client-side", APPLY);
}

/// No handler is ever invented: a later probe of the author's own, with another handler, is taken.
#[test]
fn h3_a_probe_of_the_authors_own_can_be_added_later() {
    for (namespace, apply) in [("h3-client-side", APPLY), ("h3-server-side", APPLY_SERVER_SIDE)] {
        let namespace = Cluster::shared().namespace(namespace);
        let _webhook = Webhook::start(&namespace, None);
        namespace.kubectl_with(apply, &deployment(&flask())).ok();
        assert_eq!(first_container(&namespace.get("deployment", "web"))["startupProbe"], Value::Null);
        let mut with_startup = flask();
        with_startup["startupProbe"] = json!({ "tcpSocket": { "port": 5000 }, "failureThreshold": 20 });
        namespace.kubectl_with(apply, &deployment(&with_startup)).ok();
        let stored = namespace.get("deployment", "web");
        assert_eq!(first_container(&stored)["startupProbe"]["tcpSocket"]["port"], 5000);
        assert_eq!(first_container(&stored)["startupProbe"]["failureThreshold"], 20);
    }
}

/// Pods are patched when they are created and never again: their fields are immutable.
#[test]
fn h4_pods_stay_changeable() {
    let namespace = Cluster::shared().namespace("h4");
    namespace.kubectl_with(&["create", "-f", "-"], &KINDS[0].object("older", &flask())).ok();
    namespace.kubectl_with(&["create", "-f", "-"], &KINDS[0].object("violating", &hair_trigger())).ok();
    let _webhook = Webhook::start(&namespace, None);
    namespace.kubectl_with(&["create", "-f", "-"], &KINDS[0].object("filled", &flask())).ok();
    for pod in ["older", "violating", "filled"] {
        let before = namespace.get("pod", pod);
        namespace.kubectl(&["label", "pod", pod, "team=shop"]).ok();
        namespace.kubectl(&["annotate", "pod", pod, "team=shop"]).ok();
        let after = namespace.get("pod", pod);
        assert_eq!(after["spec"], before["spec"], "{pod}");
        assert_eq!(after["metadata"]["labels"]["team"], "shop");
    }
}

/// A template is patched on CREATE, or when it changed itself: nothing else may start a rollout.
#[test]
fn h5_only_a_change_of_the_template_starts_a_rollout() {
    let namespace = Cluster::with_controllers().namespace("h5");
    namespace.kubectl_with(APPLY, &named("older", &flask())).ok();
    let _webhook = Webhook::start(&namespace, None);
    namespace.kubectl_with(APPLY, &named("filled", &flask())).ok();
    for name in ["older", "filled"] {
        assert!(eventually(|| replica_sets(&namespace, name).len() == 1), "{name}");
        let template = namespace.get("deployment", name)["spec"]["template"].clone();
        namespace.kubectl(&["annotate", "deployment", name, "team=shop"]).ok();
        namespace.kubectl(&["label", "deployment", name, "team=shop"]).ok();
        namespace.kubectl(&["scale", "deployment", name, "--replicas=2"]).ok();
        namespace.kubectl(&["patch", "deployment", name, "-p", r#"{"spec":{"minReadySeconds":1}}"#]).ok();
        assert!(settled(&namespace, name), "{name}");
        assert_eq!(namespace.get("deployment", name)["spec"]["template"], template, "{name}");
        assert_eq!(replica_sets(&namespace, name).len(), 1, "{name}");
    }
}

/// A patch that does not apply would be a 500 for the user whatever the failurePolicy says: odd objects get the API server's own answer.
#[test]
fn h6_odd_objects_get_the_answer_of_the_api_server() {
    let namespace = Cluster::shared().namespace("h6");
    let _webhook = Webhook::start(&namespace, None);
    let path = namespace.path("apis/apps/v1", "deployments");
    let probe = |probe: Value| {
        let mut container = flask();
        container["livenessProbe"] = probe;
        container
    };
    let refused = [
        (probe(json!({})), "must specify a handler type"),
        (probe(json!({ "httpGet": { "port": 1 }, "tcpSocket": { "port": 1 } })), "may not specify more than 1 handler type"),
        (probe(json!({ "httpGet": { "port": 5000 }, "periodSeconds": -1 })), "must be greater than or equal to 0"),
        (
            probe(json!({ "httpGet": { "port": 5000 }, "timeoutSeconds": -5, "failureThreshold": -5 })),
            "must be greater than or equal to 0",
        ),
        (probe(json!({ "httpGet": { "port": 5000 }, "successThreshold": 2 })), "must be 1"),
        (probe(json!({ "httpGet": { "port": 70000 } })), "must be between 1 and 65535"),
    ];
    for (container, words) in refused {
        let answer = namespace.cluster.call("POST", &path, &deployment(&container));
        assert_eq!(answer.code, 422, "{}", answer.message());
        assert!(answer.message().contains(words), "{}", answer.message());
    }
    let answer = namespace.cluster.call("POST", &path, &deployment(&probe(json!({ "httpGet": { "port": {} } }))));
    assert_eq!(answer.code, 400, "{answer:?}");

    for (n, metadata) in
        [json!({ "annotations": null }), json!({ "annotations": {} }), json!({ "annotations": { "example.org/a": "d" } })]
            .into_iter()
            .enumerate()
    {
        let mut object = named(&format!("odd-{n}"), &flask());
        object["metadata"]["annotations"] = metadata["annotations"].clone();
        let answer = namespace.cluster.call("POST", &path, &object);
        assert_eq!(answer.code, 201, "{}", answer.message());
        assert!(answer.body["metadata"]["annotations"][RECORD].is_string(), "{}", answer.body["metadata"]);
    }
    for number in [0, 1, i32::MAX] {
        let mut container = flask();
        for field in ["initialDelaySeconds", "periodSeconds"] {
            container["livenessProbe"][field] = json!(number);
        }
        let answer = namespace.cluster.call("POST", &path, &named(&format!("number-{number}"), &container));
        assert!(matches!(answer.code, 201 | 403), "{number}: {answer:?}");
    }
}

/// An unknown field in a patch is dropped in silence: everything that the record names is stored with that value.
#[test]
fn h7_everything_recorded_is_stored() {
    let namespace = Cluster::shared().namespace("h7");
    let _webhook = Webhook::start(&namespace, None);
    for (name, handler) in [
        ("http", json!({ "httpGet": { "port": 5000 } })),
        ("tcp", json!({ "tcpSocket": { "port": 5000 } })),
        ("grpc", json!({ "grpc": { "port": 5000 } })),
        ("exec", json!({ "exec": { "command": ["/bin/check"] } })),
    ] {
        let mut container = flask();
        for probe in ["livenessProbe", "startupProbe"] {
            container[probe] = handler.clone();
        }
        container["livenessProbe"]["periodSeconds"] = json!(5);
        let answer = namespace.cluster.call("POST", &namespace.path("apis/apps/v1", "deployments"), &named(name, &container));
        assert_eq!(answer.code, 201, "{name}: {}", answer.message());
        let recorded = recorded(&answer.body);
        assert!(recorded.len() >= 4, "{name}: {recorded:?}");
        for (pointer, value) in recorded {
            assert_eq!(answer.body.pointer(&pointer), Some(&value), "{name}: {pointer}");
        }
    }
}

/// scale goes past the webhook, a restart and a dry run do not, and a dry run leaves nothing.
#[test]
fn h8_scale_restart_and_dry_run() {
    let namespace = Cluster::shared().namespace("h8");
    let webhook = Webhook::start(&namespace, None);
    namespace.kubectl_with(&["apply", "--dry-run=server", "-f", "-"], &deployment(&flask())).ok();
    assert_eq!(namespace.list("deployments"), Vec::<Value>::new());
    let output = namespace.kubectl_with(&["create", "--dry-run=server", "-o", "json", "-f", "-"], &deployment(&flask())).ok();
    let shown: Value = serde_json::from_str(&output.stdout).expect("JSON");
    assert_eq!(first_container(&shown)["livenessProbe"]["timeoutSeconds"], 5, "a dry run shows what would be filled in");

    namespace.kubectl_with(APPLY, &deployment(&flask())).ok();
    let before = webhook.requests();
    namespace.kubectl(&["scale", "deployment", "web", "--replicas=4"]).ok();
    assert!((webhook.requests() - before).abs() < f64::EPSILON, "scale called the webhook");
    namespace.kubectl(&["rollout", "restart", "deployment", "web"]).ok();
    assert!(webhook.requests() > before, "a restart did not call the webhook");
    let stored = namespace.get("deployment", "web");
    assert_eq!(first_container(&stored)["livenessProbe"]["timeoutSeconds"], 5);
    assert_eq!(first_container(&stored)["livenessProbe"]["failureThreshold"], 4);
}

/// What a controller made is never patched, and never denied where its owner was judged: a Deployment that sets T of 1, and one that violated before the
/// webhook came, both roll out with exactly one new ReplicaSet.
#[test]
fn h9_deployments_roll_out_with_one_new_replica_set() {
    let namespace = Cluster::with_controllers().namespace("h9");
    namespace.kubectl_with(APPLY, &named("violating", &hair_trigger())).ok();
    assert!(eventually(|| replica_sets(&namespace, "violating").len() == 1));
    let _webhook = Webhook::start(&namespace, None);
    let mut explicit = flask();
    explicit["livenessProbe"]["timeoutSeconds"] = json!(1);
    explicit["readinessProbe"]["timeoutSeconds"] = json!(1);
    namespace.kubectl_with(APPLY, &named("explicit", &explicit)).ok();
    namespace.kubectl_with(APPLY, &named("filled", &flask())).ok();
    for name in ["violating", "explicit", "filled"] {
        assert!(eventually(|| rolled_out(&namespace, name)), "{name}: {}", namespace.get("deployment", name)["status"]);
        assert_eq!(replica_sets(&namespace, name).len(), 1, "{name}");
        namespace.kubectl(&["set", "image", &format!("deployment/{name}"), "app=registry.example/app:2"]).ok();
        assert!(eventually(|| rolled_out(&namespace, name)), "{name}: {}", namespace.get("deployment", name)["status"]);
        let sets = replica_sets(&namespace, name);
        assert_eq!(sets.len(), 2, "{name}: exactly one new ReplicaSet");
        let new = sets.iter().find(|s| first_container(s)["image"] == "registry.example/app:2").expect("the new ReplicaSet");
        let owner = namespace.get("deployment", name);
        for probe in ["livenessProbe", "readinessProbe"] {
            assert_eq!(first_container(new)[probe], first_container(&owner)[probe], "{name}: a child was patched");
        }
    }
    let job =
        json!({ "spec": { "suspend": true, "template": hourly(&hair_trigger())["spec"]["jobTemplate"]["spec"]["template"] } });
    assert!(job["spec"]["template"].is_object());
}

/// A Job of a CronJob that violated before the webhook came is made all the same.
#[test]
fn h9_jobs_of_an_old_cron_job_are_made() {
    let namespace = Cluster::with_controllers().namespace("h9-cron");
    let mut container = hair_trigger();
    container["readinessProbe"]["timeoutSeconds"] = json!(1);
    namespace.kubectl_with(APPLY, &hourly(&container)).ok();
    let _webhook = Webhook::start(&namespace, None);
    // As the CronJob controller does: a Job with a controller reference to it. `kubectl create job --from` sets the same.
    let output = namespace.kubectl(&["create", "job", "--from=cronjob/hourly", "now"]).ok();
    assert!(output.stderr.contains("hair-trigger-liveness"), "a warning is due: {}", output.stderr);
    assert!(eventually(|| namespace.list("pods").len() == 1), "the Job got no pod");
    let (job, owner) = (namespace.get("job", "now"), namespace.get("cronjob", "hourly"));
    for probe in ["livenessProbe", "readinessProbe"] {
        assert_eq!(KINDS[6].container(&job)[probe], KINDS[7].container(&owner)[probe], "a child was patched");
    }
}

/// A Job's template is immutable: it is patched on CREATE only, so that what may change on a suspended Job still may.
#[test]
fn h10_a_suspended_job_stays_changeable() {
    let namespace = Cluster::shared().namespace("h10");
    let suspended = |name: &str| {
        let mut job = KINDS[6].object(name, &flask());
        job["spec"]["suspend"] = json!(true);
        job
    };
    namespace.kubectl_with(APPLY, &suspended("older")).ok();
    let _webhook = Webhook::start(&namespace, None);
    namespace.kubectl_with(APPLY, &suspended("filled")).ok();
    let selector = r#"{"spec":{"template":{"spec":{"nodeSelector":{"disk":"ssd"}}}}}"#;
    for (name, timeout) in [("older", 1), ("filled", 5)] {
        namespace.kubectl(&["patch", "job", name, "-p", selector]).ok();
        namespace.kubectl(&["label", "job", name, "team=shop"]).ok();
        let stored = namespace.get("job", name);
        assert_eq!(stored["spec"]["template"]["spec"]["nodeSelector"]["disk"], "ssd", "{name}");
        assert_eq!(KINDS[6].container(&stored)["livenessProbe"]["timeoutSeconds"], timeout, "{name}");
    }
}

/// Our own values do not stand against the author's next change: they are computed anew.
#[test]
fn what_was_filled_in_follows_the_author() {
    for (namespace, apply) in [("record-client-side", APPLY), ("record-server-side", APPLY_SERVER_SIDE)] {
        let namespace = Cluster::shared().namespace(namespace);
        let _webhook = Webhook::start(&namespace, None);
        namespace.kubectl_with(apply, &deployment(&flask())).ok();
        let liveness = || first_container(&namespace.get("deployment", "web"))["livenessProbe"].clone();
        assert_eq!((&liveness()["timeoutSeconds"], &liveness()["failureThreshold"]), (&json!(5), &json!(4)), "{apply:?}");

        // P of 3: T is 3 at most, and F 7 for 21 s of tolerance.
        let mut faster = flask();
        faster["livenessProbe"]["periodSeconds"] = json!(3);
        namespace.kubectl_with(apply, &deployment(&faster)).ok();
        assert_eq!((&liveness()["timeoutSeconds"], &liveness()["failureThreshold"]), (&json!(3), &json!(7)), "{apply:?}");

        // Once the author says it, it is the author's, whatever the record still claims.
        faster["livenessProbe"]["timeoutSeconds"] = json!(3);
        faster["livenessProbe"]["failureThreshold"] = json!(8);
        namespace.kubectl_with(apply, &deployment(&faster)).ok();
        assert_eq!((&liveness()["timeoutSeconds"], &liveness()["failureThreshold"]), (&json!(3), &json!(8)), "{apply:?}");
        faster["livenessProbe"]["periodSeconds"] = json!(10);
        namespace.kubectl_with(apply, &deployment(&faster)).ok();
        assert_eq!((&liveness()["timeoutSeconds"], &liveness()["failureThreshold"]), (&json!(3), &json!(8)), "{apply:?}");
    }
}

/// The record alone changes nothing, and an object that says so is left alone.
#[test]
fn defaults_can_be_declined() {
    let namespace = Cluster::shared().namespace("declined");
    let _webhook = Webhook::start(&namespace, None);
    let mut manifest = deployment(&flask());
    manifest["metadata"]["annotations"] = json!({ "probekeeper.dev/defaults": "off" });
    namespace.kubectl_with(APPLY, &manifest).ok();
    let stored = namespace.get("deployment", "web");
    assert_eq!(first_container(&stored)["livenessProbe"]["timeoutSeconds"], 1);
    assert_eq!(stored["metadata"]["annotations"][RECORD], Value::Null);
}

fn edited_by_hand_stays(namespace: &str, apply: &[&str]) {
    let namespace = Cluster::shared().namespace(namespace);
    let _webhook = Webhook::start(&namespace, None);
    namespace.kubectl_with(apply, &deployment(&flask())).ok();
    let edit = json!({ "spec": { "template": { "spec": { "containers": [
        { "name": "app", "livenessProbe": { "timeoutSeconds": 1 } }] } } } });
    namespace.kubectl(&["patch", "deployment", "web", "-p", &edit.to_string()]).ok();
    for image in ["registry.example/app:2", "registry.example/app:3"] {
        namespace.kubectl(&["set", "image", "deployment/web", &format!("app={image}")]).ok();
        let stored = namespace.get("deployment", "web");
        assert_eq!(first_container(&stored)["livenessProbe"]["timeoutSeconds"], 1, "{image}");
    }
}

fn named(name: &str, container: &Value) -> Value {
    KINDS[1].object(name, container)
}

fn hourly(container: &Value) -> Value {
    KINDS[7].object("hourly", container)
}

/// Pointer and value of everything that the record annotation of a Deployment with one container names.
fn recorded(object: &Value) -> Vec<(String, Value)> {
    let text = object["metadata"]["annotations"][RECORD].as_str().unwrap_or("{}");
    let record: Value = serde_json::from_str(text).expect("the record is JSON");
    let mut leaves = Vec::new();
    for (probe, fields) in record["app"].as_object().into_iter().flatten() {
        for (leaf, value) in fields.as_object().expect("leaves") {
            leaves.push((format!("/spec/template/spec/containers/0/{probe}/{leaf}"), value.clone()));
        }
    }
    leaves
}

fn replica_sets(namespace: &Namespace, app: &str) -> Vec<Value> {
    namespace.list("replicasets").into_iter().filter(|s| s["metadata"]["labels"]["app"] == app).collect()
}

/// The Deployment controller has seen the latest generation.
fn settled(namespace: &Namespace, name: &str) -> bool {
    eventually(|| {
        let deployment = namespace.get("deployment", name);
        deployment["status"]["observedGeneration"] == deployment["metadata"]["generation"]
    })
}

/// Does what a kubelet would, so that a rollout can end: every pod becomes ready. Then says whether the rollout has ended.
fn rolled_out(namespace: &Namespace, name: &str) -> bool {
    for pod in namespace.list("pods") {
        if pod["metadata"]["labels"]["app"] == name && pod["status"]["phase"] != "Running" {
            let path = format!("{}/{}/status", namespace.path("api/v1", "pods"), pod["metadata"]["name"].as_str().expect("name"));
            let ready = json!({ "status": { "phase": "Running",
                "conditions": [{ "type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z" }] } });
            namespace.cluster.call_as("PATCH", &path, "application/strategic-merge-patch+json", &ready.to_string());
        }
    }
    let deployment = namespace.get("deployment", name);
    let (spec, status) = (&deployment["spec"], &deployment["status"]);
    status["observedGeneration"] == deployment["metadata"]["generation"]
        && [&status["replicas"], &status["updatedReplicas"], &status["availableReplicas"]].iter().all(|n| **n == spec["replicas"])
}
