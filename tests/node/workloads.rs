//! What users apply, and the pods that come of it.

use serde_json::{Value, json};

use crate::installation::Installation;
use crate::node::{Node, eventually};
use crate::stream::deployment;

#[test]
#[ignore = "needs a node: make node-test"]
fn a_bad_workload_is_rejected_and_a_filled_in_one_starts() {
    let node = Installation::enforcing().node;
    node.namespace("workloads");
    let apply = |object: &Value| node.kubectl_with(&["apply", "-n", "workloads", "-f", "-"], &object.to_string());

    let hair_trigger = json!({ "httpGet": { "path": "/", "port": 8080 }, "periodSeconds": 2, "failureThreshold": 1 });
    let said = apply(&deployment("bad", &hair_trigger)).refused();
    assert!(said.contains("denied the request") && said.contains("hair-trigger-liveness"), "{said}");
    assert!(!node.kubectl(&["get", "deployment", "bad", "-n", "workloads"]).succeeded(), "it was stored all the same");
    // A bare Pod is judged as well, and so is a Job's template.
    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "bad" },
        "spec": { "containers": [{ "name": "app", "image": "localhost/app:1", "livenessProbe": hair_trigger }] } });
    let said = apply(&pod).refused();
    assert!(said.contains("hair-trigger-liveness"), "{said}");

    apply(&deployment("good", &json!({ "httpGet": { "path": "/", "port": 8080 }, "periodSeconds": 5 }))).ok();
    node.kubectl(&["rollout", "status", "deployment/good", "-n", "workloads", "--timeout=60s"]).ok();
    let pods = node.list(&["pods", "-n", "workloads", "-l", "app=good"]);
    let liveness = &pods[0]["spec"]["containers"][0]["livenessProbe"];
    assert_eq!(liveness["periodSeconds"], 5, "what the author wrote stays");
    assert_eq!(liveness["timeoutSeconds"], 5, "{liveness}");
    assert_eq!(pods[0]["status"]["containerStatuses"][0]["restartCount"], 0);
}

/// The reason for all this: an endpoint that takes two seconds, asked with Kubernetes' one second, is killed again and again.
#[test]
#[ignore = "needs a node: make node-test"]
fn what_the_default_timeout_kills_lives_on_when_filled_in() {
    let node = Installation::enforcing().node;
    let slow =
        deployment("slow", &json!({ "httpGet": { "path": "/cgi-bin/slow", "port": 8080 }, "periodSeconds": 3 })).to_string();
    for namespace in ["with", "without"] {
        node.namespace(namespace);
    }
    node.kubectl(&["label", "namespace", "without", "probekeeper.dev/ignore=true"]).ok();
    for namespace in ["with", "without"] {
        node.kubectl_with(&["apply", "-n", namespace, "-f", "-"], &slow).ok();
        node.kubectl(&["rollout", "status", "deployment/slow", "-n", namespace, "--timeout=60s"]).ok();
    }
    assert_eq!(liveness(node, "without")["timeoutSeconds"], 1, "the API server's own default");
    assert_eq!(liveness(node, "with")["timeoutSeconds"], 3, "no longer than the period that the author wrote");

    // Killed twice: the other one was asked for longer than it takes to be killed once.
    let took = eventually("the pod without probekeeper is killed", 120, || restarts(node, "without") >= 2);
    println!("killed twice within {:.0} s, and the filled-in one not once", took.as_secs_f64());
    let killed = node.list(&["events", "-n", "without", "--field-selector", "reason=Killing"]);
    let told = |text: &str| killed.iter().any(|event| event["message"].as_str().is_some_and(|message| message.contains(text)));
    assert!(told("failed liveness probe"), "{killed:#?}");
    assert_eq!(restarts(node, "with"), 0, "{:#?}", node.list(&["events", "-n", "with"]));
    node.kubectl(&["rollout", "status", "deployment/slow", "-n", "with", "--timeout=5s"]).ok();
    for namespace in ["with", "without"] {
        node.kubectl(&["delete", "deployment", "slow", "-n", namespace]).ok();
    }
}

fn liveness(node: &Node, namespace: &str) -> Value {
    node.list(&["pods", "-n", namespace, "-l", "app=slow"])[0]["spec"]["containers"][0]["livenessProbe"].clone()
}

fn restarts(node: &Node, namespace: &str) -> i64 {
    let pods = node.list(&["pods", "-n", namespace, "-l", "app=slow"]);
    pods.iter().filter_map(|pod| pod["status"]["containerStatuses"][0]["restartCount"].as_i64()).sum()
}
