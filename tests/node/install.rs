//! From nothing to enforcement, and back to nothing.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::installation::{Installation, MUTATING, NAME};
use crate::node::{Node, eventually};
use crate::stream::{self, Stream};

/// What is promised with the image present. It takes a tenth of that.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
#[ignore = "needs a node: make node-test"]
fn a_fresh_install_enforces_within_seconds_and_an_uninstall_leaves_nothing() {
    let this = Installation { node: Node::shared() };
    this.uninstall();
    this.node.kubectl(&["delete", "namespace", NAME, "--ignore-not-found"]).ok();
    this.node.namespace("fresh");
    let before = this.node.additions();
    assert!(before.is_empty(), "left behind by an earlier test: {before:?}");
    // The replicas and the Pod of `helm test` run under the strictest Pod Security.
    let restricted = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": NAME, "labels": {
        "pod-security.kubernetes.io/enforce": "restricted" } } });
    this.node.kubectl_with(&["create", "-f", "-"], &restricted.to_string()).ok();

    // The chart's own values, but for the image: fails open until the replicas are there.
    let file = this.values(
        &json!({ "webhook": { "validating": { "failurePolicy": "Ignore" }, "mutating": { "failurePolicy": "Ignore" } } }),
    );
    let start = Instant::now();
    let notes = this.node.helm(&["install", NAME, "charts/probekeeper", "-n", NAME, "--values", &file]).ok();
    let rejected = || stream::apply(this.node, "fresh", false).is_ok_and(|answer| stream::is_rejected(&answer));
    while !rejected() {
        assert!(start.elapsed() < PATIENCE, "nothing was rejected within {PATIENCE:?}\n{}", this.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    println!("helm install to the first rejected apply: {:.1} s", start.elapsed().as_secs_f64());
    this.await_rollout();
    println!("helm install to three ready replicas: {:.1} s", start.elapsed().as_secs_f64());
    this.await_enforcement();

    for line in
        ["is installed in namespace probekeeper.", "they pass unseen", "helm test probekeeper --namespace probekeeper --logs"]
    {
        assert!(notes.stdout.contains(line), "{line:?} is not in {}", notes.stdout);
    }
    this.assert_helm_test_passes();
    // It can fail.
    this.node.kubectl(&["delete", MUTATING, NAME]).ok();
    let failed = this.helm_test();
    assert!(failed.code != 0 && failed.stdout.contains("fails: "), "{failed:?}");
    // Nobody may be held up by the removal either, when nobody who answers means no.
    this.upgrade(&json!({})).ok();
    this.await_enforcement();

    let installed = this.node.additions();
    for object in ["Deployment probekeeper/probekeeper", "Secret probekeeper/probekeeper-ca"] {
        assert!(installed.contains(object), "{object} is not among {installed:?}");
    }
    let stream = Stream::start_unseen(this.node, "removal");
    stream.go_on(50);
    this.uninstall();
    stream.go_on(50);
    stream.end_without_a_failure("removal");
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
