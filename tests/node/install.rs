//! From nothing to enforcement, and back to nothing.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::installation::{Installation, NAME};
use crate::node::{Node, eventually};
use crate::stream;

/// What is promised is 30 s with the image present; a machine that does much else at the same time gets more.
const PATIENCE: Duration = Duration::from_secs(90);

#[test]
#[ignore = "needs a node: make node-test"]
fn a_fresh_install_enforces_within_seconds_and_an_uninstall_leaves_nothing() {
    let this = Installation { node: Node::shared() };
    this.uninstall();
    this.node.kubectl(&["delete", "namespace", NAME, "--ignore-not-found"]).ok();
    this.node.namespace("fresh");
    let before = this.node.additions();
    assert!(before.is_empty(), "left behind by an earlier test: {before:?}");

    // The chart's own values, but for the image: fails open until the replicas are there.
    let file = this.values(
        &json!({ "webhook": { "validating": { "failurePolicy": "Ignore" }, "mutating": { "failurePolicy": "Ignore" } } }),
    );
    let start = Instant::now();
    this.node.helm(&["install", NAME, "charts/probekeeper", "-n", NAME, "--create-namespace", "--values", &file]).ok();
    let rejected = || stream::apply(this.node, "fresh", false).is_ok_and(|answer| stream::is_rejected(&answer));
    while !rejected() {
        assert!(start.elapsed() < PATIENCE, "nothing was rejected within {PATIENCE:?}\n{}", this.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("helm install to the first rejected apply: {:.1} s", start.elapsed().as_secs_f64());
    this.await_rollout();
    println!("helm install to three ready replicas: {:.1} s", start.elapsed().as_secs_f64());
    this.await_enforcement();

    let tested = this.node.helm(&["test", NAME, "-n", NAME, "--logs", "--timeout", "120s"]).ok();
    assert!(tested.stdout.contains("Succeeded"), "{}", tested.stdout);

    let installed = this.node.additions();
    for object in ["Deployment probekeeper/probekeeper", "Secret probekeeper/probekeeper-ca"] {
        assert!(installed.contains(object), "{object} is not among {installed:?}");
    }
    this.uninstall();
    // Deleted objects may take a moment, and the namespace is helm's to make but not to delete.
    let bare = ["Namespace /probekeeper", "ServiceAccount probekeeper/default", "ConfigMap probekeeper/kube-root-ca.crt"];
    let left = || {
        let mut left = this.node.additions();
        left.retain(|object| !bare.contains(&object.as_str()) && !object.starts_with("Namespace /probe"));
        left
    };
    let mut last = left();
    for _ in 0..40 {
        if last.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(250));
        last = left();
    }
    assert!(last.is_empty(), "helm uninstall left {last:?}");
    let bad = stream::apply(this.node, "fresh", false).expect("an answer");
    assert_eq!(bad.code, 201, "nobody looks any more: {}", bad.message());
    this.node.kubectl(&["delete", "namespace", NAME]).ok();
    eventually("only what was there before is left", 30, || this.node.additions().is_empty());
}
