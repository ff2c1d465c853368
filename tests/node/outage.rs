//! The whole node falls over and comes back in the wrong order; nobody helps.

use std::thread::sleep;
use std::time::Duration;

use serde_json::json;

use crate::installation::{Installation, NAME};
use crate::node::eventually;
use crate::stream::Stream;

/// Long enough for what was started to fail and to be started again.
const GAP: Duration = Duration::from_secs(3);

#[test]
#[ignore = "needs a node: make node-test"]
fn the_cluster_recovers_by_itself_from_a_power_cut() {
    let this = Installation::enforcing();
    let before = this.pod_names();
    // Every process of the node but pid 1 dies: daemons, shims, containers.
    this.node.component(&["crash"]);
    // Those come first that need the others; the API server before its store.
    this.node.component(&["start", "kubelet", "kube-scheduler", "kube-controller-manager"]);
    sleep(GAP);
    this.node.component(&["start", "kube-apiserver", "containerd"]);
    sleep(GAP);
    this.node.component(&["start", "etcd"]);
    this.node.await_api();
    // The API server starts with both webhooks registered, failurePolicy Fail and no replica alive.
    let took = this.await_enforcement();
    println!("enforcing {:.1} s after the API server is back", took.as_secs_f64());
    this.await_rollout();
    assert_eq!(this.pod_names(), before, "the same pods, started again by the kubelet");
}

#[test]
#[ignore = "needs a node: make node-test"]
fn new_replicas_start_when_none_is_alive_and_the_policy_is_fail() {
    let this = Installation::enforcing();
    let before = this.pod_names();
    this.node.kubectl(&["delete", "pods", "--all", "-n", NAME, "--force", "--grace-period=0"]).ok();
    let took = eventually("three new replicas are ready", 90, || {
        let pods = this.pods();
        pods.len() == 3 && pods.iter().all(|pod| pod["status"]["containerStatuses"][0]["ready"] == true)
    });
    println!("three ready replicas {:.1} s after all were killed", took.as_secs_f64());
    assert!(this.pod_names().iter().all(|name| !before.contains(name)));
    this.await_enforcement();
    // Scaled to nothing and back: not even a replica to start from.
    this.node.kubectl(&["scale", "deployment/probekeeper", "-n", NAME, "--replicas=0"]).ok();
    eventually("no replica is left", 90, || {
        this.node.list(&["pods", "-n", NAME, "-l", "app.kubernetes.io/name=probekeeper"]).is_empty()
    });
    this.upgrade(&json!({})).ok();
    this.await_enforcement();
}

#[test]
#[ignore = "needs a node: make node-test"]
fn a_restart_of_kubelet_or_containerd_loses_no_call() {
    let this = Installation::enforcing();
    let before = this.pods();
    let stream = Stream::start(this.node, "components");
    for component in ["containerd", "kubelet", "kube-controller-manager"] {
        this.node.component(&["stop", component]);
        stream.go_on(50);
        this.node.component(&["start", component]);
        stream.go_on(150);
    }
    stream.end_without_a_failure("restarts of the node's components");
    let containers = |pods: &[serde_json::Value]| -> Vec<_> {
        pods.iter().map(|pod| pod["status"]["containerStatuses"][0]["containerID"].clone()).collect()
    };
    assert_eq!(containers(&this.pods()), containers(&before), "containers outlive them");
}
