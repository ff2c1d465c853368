//! Pods are replaced, one way or the other, under a stream of calls of which not one may fail: failurePolicy is Fail.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use crate::alerts::Recording;
use crate::command;
use crate::image;
use crate::installation::{Installation, NAME};
use crate::node::{eventually, root};
use crate::stream::{self, Stream, deployment};

/// Calls between two steps: about two seconds.
const PAUSE: usize = 100;

#[test]
#[ignore = "needs a node: make node-test"]
fn a_new_version_and_the_way_back_lose_no_call() {
    let this = Installation::enforcing();
    // More than one at a time: replicas come and go under load.
    let streams: Vec<Stream> = (0..3).map(|n| Stream::start(this.node, &format!("new-version-{n}"))).collect();
    let go_on = || streams.iter().for_each(|stream| stream.go_on(PAUSE));
    go_on();
    let (old, old_ids) = (this.pod_names(), image_ids(this));
    this.upgrade_to(&next_chart(this), &json!({ "image": { "tag": image::NEXT_TAG } })).ok();
    this.await_rollout();
    assert_eq!(versions(this), vec![(json!("localhost/probekeeper:next"), json!("0.99.0")); 3]);
    assert!(this.pod_names().iter().all(|name| !old.contains(name)), "{old:?}");
    assert!(image_ids(this).is_disjoint(&old_ids), "the same image under another name: {old_ids:?}");
    let release = this.node.helm(&["list", "-n", NAME, "-o", "json"]).ok().stdout;
    assert!(release.contains("\"probekeeper-0.99.0\""), "{release}");
    this.await_departures();
    go_on();
    this.helm_wait(&["rollback", NAME]).ok();
    this.await_rollout();
    let current = env!("CARGO_PKG_VERSION");
    assert_eq!(versions(this), vec![(json!("localhost/probekeeper:dev"), json!(current)); 3]);
    assert_eq!(image_ids(this), old_ids);
    this.await_departures();
    go_on();
    for stream in streams {
        stream.end_without_a_failure("upgrade and rollback");
    }
}

/// The chart of the next version.
fn next_chart(this: Installation) -> String {
    let folder = this.node.folder().join("next");
    let from = format!("{}/.", root().join("charts/probekeeper").display());
    let folder = folder.to_str().expect("UTF-8");
    command::run(Command::new("mkdir").args(["-p", folder]), "").ok();
    command::run(Command::new("cp").args(["-R", &from, folder]), "").ok();
    let path = format!("{folder}/Chart.yaml");
    let text = std::fs::read_to_string(&path).expect("Chart.yaml");
    let next = text.replace(&format!("ersion: {}", env!("CARGO_PKG_VERSION")), "ersion: 0.99.0");
    assert_eq!(next.matches("0.99.0").count(), 2, "{text}");
    std::fs::write(&path, next).expect("Chart.yaml");
    folder.to_owned()
}

/// Image and version of every replica.
fn versions(this: Installation) -> Vec<(Value, Value)> {
    let version = |pod: &Value| pod["metadata"]["labels"]["app.kubernetes.io/version"].clone();
    this.pods().iter().map(|pod| (pod["spec"]["containers"][0]["image"].clone(), version(pod))).collect()
}

fn image_ids(this: Installation) -> BTreeSet<String> {
    this.pods()
        .iter()
        .map(|pod| pod["status"]["containerStatuses"][0]["imageID"].as_str().expect("an image").to_owned())
        .collect()
}

#[test]
#[ignore = "needs a node: make node-test"]
fn a_restart_and_the_deletion_of_every_pod_lose_no_call() {
    let this = Installation::enforcing();
    let stream = Stream::start(this.node, "restarts");
    stream.go_on(PAUSE);
    this.node.kubectl(&["rollout", "restart", "deployment/probekeeper", "-n", NAME]).ok();
    this.await_rollout();
    this.await_departures();
    for pod in this.pod_names() {
        this.node.kubectl(&["delete", "pod", &pod, "-n", NAME, "--wait=false"]).ok();
        eventually("the deleted pod is replaced", 60, || {
            let pods = this.pods();
            pods.len() == 3 && pods.iter().all(|pod| pod["status"]["containerStatuses"][0]["ready"] == true)
        });
    }
    this.await_departures();
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
    let stream = Stream::start(this.node, "no-policy");
    assert_eq!(this.metric("probekeeper_policy_stale"), [0.0; 3]);
    let mut recording = Recording::start(this);
    this.node.kubectl(&["delete", "configmap", "probekeeper-policy", "-n", NAME]).ok();
    eventually("the metric tells", 60, || this.metric("probekeeper_policy_stale") == [1.0; 3]);
    recording.go_on(this);
    recording.assert_fires("ProbekeeperPolicyStale", "severity=\"warning\"");
    eventually("an Event tells", 30, || {
        let events = this.node.list(&["events", "-n", NAME, "--field-selector", "involvedObject.kind=ConfigMap"]);
        events.iter().any(|event| event["involvedObject"]["name"] == "probekeeper-policy" && event["type"] == "Warning")
    });
    assert!(stream::apply(this.node, "probe", false).is_ok_and(|answer| stream::is_rejected(&answer)));
    assert!(stream::apply(this.node, "probe", true).is_ok_and(|answer| stream::is_filled(&answer)));
    // A replica that starts now has nothing to go by, and is not asked: it takes nobody's place.
    this.node.kubectl(&["rollout", "restart", "deployment/probekeeper", "-n", NAME]).ok();
    eventually("a fourth one runs", 60, || this.ops("/livez").len() == 4);
    stream.go_on(PAUSE);
    let mut ready = this.ops("/readyz");
    ready.retain(|_, answer| !answer.starts_with("HTTP/1.1 503"));
    assert!(ready.len() == 3 && ready.values().all(|answer| answer.starts_with("HTTP/1.1 200")), "{ready:?}");
    this.upgrade(&json!({})).ok();
    this.await_rollout();
    eventually("the policy is followed again", 60, || this.metric("probekeeper_policy_stale") == [0.0; 3]);
    this.await_departures();
    stream.end_without_a_failure("no policy");
}
