//! Pods are replaced, one way or the other, under a stream of calls of which not one may fail: failurePolicy is Fail.

use serde_json::json;

use crate::image;
use crate::installation::{Installation, NAME};
use crate::node::eventually;
use crate::stream::{self, Stream, deployment};

/// Calls between two steps: about two seconds.
const PAUSE: usize = 100;

#[test]
#[ignore = "needs a node: make node-test"]
fn a_new_version_and_the_way_back_lose_no_call() {
    let this = Installation::enforcing();
    let stream = Stream::start(this.node, "new-version");
    stream.go_on(PAUSE);
    let old = this.pod_names();
    this.upgrade(&json!({ "image": { "tag": image::NEXT_TAG } })).ok();
    this.await_rollout();
    let images: Vec<_> = this.pods().iter().map(|pod| pod["spec"]["containers"][0]["image"].clone()).collect();
    assert_eq!(images, vec![json!("localhost/probekeeper:next"); 3]);
    assert!(this.pod_names().iter().all(|name| !old.contains(name)), "{old:?}");
    await_departures(this);
    this.helm_wait(&["rollback", NAME]).ok();
    this.await_rollout();
    let images: Vec<_> = this.pods().iter().map(|pod| pod["spec"]["containers"][0]["image"].clone()).collect();
    assert_eq!(images, vec![json!("localhost/probekeeper:dev"); 3]);
    await_departures(this);
    stream.go_on(PAUSE);
    stream.end_without_a_failure("upgrade and rollback");
}

#[test]
#[ignore = "needs a node: make node-test"]
fn a_restart_and_the_deletion_of_every_pod_lose_no_call() {
    let this = Installation::enforcing();
    let stream = Stream::start(this.node, "restarts");
    stream.go_on(PAUSE);
    this.node.kubectl(&["rollout", "restart", "deployment/probekeeper", "-n", NAME]).ok();
    this.await_rollout();
    await_departures(this);
    for pod in this.pod_names() {
        this.node.kubectl(&["delete", "pod", &pod, "-n", NAME, "--wait=false"]).ok();
        eventually("the deleted pod is replaced", 60, || {
            let pods = this.pods();
            pods.len() == 3 && pods.iter().all(|pod| pod["status"]["containerStatuses"][0]["ready"] == true)
        });
    }
    await_departures(this);
    stream.go_on(PAUSE);
    stream.end_without_a_failure("restart and deletions");
}

#[test]
#[ignore = "needs a node: make node-test"]
fn a_new_policy_is_in_force_without_a_restart_and_loses_no_call() {
    let this = Installation::enforcing();
    this.node.namespace("new-policy");
    let stream = Stream::start(this.node, "policies");
    let pods = this.pod_names();
    let silent = || {
        let mut object = deployment("silent", &json!(null));
        for probe in ["livenessProbe", "readinessProbe"] {
            object["spec"]["template"]["spec"]["containers"][0].as_object_mut().expect("container").remove(probe);
        }
        let path = "/apis/apps/v1/namespaces/new-policy/deployments?dryRun=All";
        this.node.call("POST", path, "application/json", &object.to_string()).expect("an answer")
    };
    assert_eq!(silent().code, 201, "{}", silent().message());

    this.upgrade(&json!({ "policy": { "rules": { "no-probes": "deny" } } })).ok();
    let took = eventually("every replica has the new policy", 60, || (0..20).all(|_| silent().code == 403));
    println!("a new policy is in force everywhere {:.1} s after helm upgrade", took.as_secs_f64());
    let said = silent();
    assert!(said.message().contains("no-probes"), "{}", said.message());
    this.helm_wait(&["rollback", NAME]).ok();
    eventually("every replica has the old policy again", 60, || (0..20).all(|_| silent().code == 201));
    assert_eq!(this.pod_names(), pods, "no replica was restarted");

    // A policy that is wrong gets nowhere: as a map it fails the chart's schema, as a text it is refused by the replicas, and the cluster keeps the old one.
    let broken = "apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\nrules: { no-probes: perhaps }\n";
    for policy in [json!({ "rules": { "no-probes": "perhaps" } }), json!(broken)] {
        let said = this.upgrade(&json!({ "policy": policy })).refused();
        assert!(said.contains("no-probes"), "{said}");
    }
    assert!(this.upgrade(&json!({ "policy": broken })).refused().contains("denied the request"));
    assert_eq!(silent().code, 201, "{}", silent().message());
    this.upgrade(&json!({})).ok();
    stream.go_on(PAUSE);
    stream.end_without_a_failure("new policies");
}

#[test]
#[ignore = "needs a node: make node-test"]
fn a_deleted_policy_leaves_the_last_one_in_force_and_says_so() {
    let this = Installation::enforcing();
    assert_eq!(this.metric("probekeeper_policy_stale"), [0.0; 3]);
    this.node.kubectl(&["delete", "configmap", "probekeeper-policy", "-n", NAME]).ok();
    eventually("the metric tells", 60, || this.metric("probekeeper_policy_stale") == [1.0; 3]);
    assert!(stream::apply(this.node, "probe", false).is_ok_and(|answer| stream::is_rejected(&answer)));
    assert!(stream::apply(this.node, "probe", true).is_ok_and(|answer| stream::is_filled(&answer)));
    let ready = this.ops("/readyz");
    assert!(ready.len() == 3 && ready.values().all(|answer| answer.starts_with("HTTP/1.1 200")), "{ready:?}");
    this.upgrade(&json!({})).ok();
    eventually("the policy is followed again", 60, || this.metric("probekeeper_policy_stale") == [0.0; 3]);
}

/// Waits until the replaced pods are gone: they answer calls until then.
fn await_departures(this: Installation) {
    eventually("the replaced pods are gone", 90, || {
        this.node.list(&["pods", "-n", NAME, "-l", "app.kubernetes.io/name=probekeeper"]).len() == this.pods().len()
    });
}
