//! What a real API server makes of the rendered objects.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cluster::{Cluster, Namespace};
use crate::helm::{Helm, object, objects, root, values};

/// A cluster that knows the foreign kinds.
pub(crate) fn cluster() -> &'static Cluster {
    static WITH_KINDS: OnceLock<&'static Cluster> = OnceLock::new();
    WITH_KINDS.get_or_init(|| {
        let cluster = Cluster::shared();
        let default = Namespace { cluster, name: "default".to_owned() };
        let crds = root().join("tests/chart/crds.yaml");
        default.kubectl(&["apply", "--server-side", "-f", &crds.to_string_lossy()]).ok();
        let established = ["wait", "--for=condition=Established", "--timeout=60s", "-f"];
        default.kubectl(&[established.as_slice(), &[&crds.to_string_lossy()]].concat()).ok();
        cluster
    })
}

#[test]
fn every_object_passes_the_strict_dry_run() {
    for (name, file) in values() {
        let namespace = cluster().namespace(&format!("dry-{name}"));
        for helm in Helm::BOTH {
            // kubectl takes objects of one namespace only.
            let there = format!("test.namespace={}", namespace.name);
            let text = helm.template_in(&namespace.name, &["--values", &file, "--set", &there]);
            let expected = objects(&text).len();
            let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects(&text) });
            for mode in [["--server-side", "--field-manager=test"].as_slice(), &[]] {
                let dry = ["apply", "--dry-run=server", "--validate=strict", "-f", "-", "-o", "name"];
                let output = namespace.kubectl_with(&[dry.as_slice(), mode].concat(), &list).ok();
                assert_eq!(output.stdout.lines().count(), expected, "{name}: {}", output.stdout);
                assert_eq!(output.stderr, "", "{helm:?} {name}: warnings");
            }
        }
    }
}

/// The pods themselves, not only the Deployment, whose template Pod Security does not refuse.
#[test]
fn the_pods_pass_pod_security_restricted() {
    for (name, file) in values() {
        let namespace = cluster().namespace(&format!("restricted-{name}"));
        namespace.kubectl(&["label", "namespace", &namespace.name, "pod-security.kubernetes.io/enforce=restricted"]).ok();
        let objects = objects(&Helm::Four.template_in(&namespace.name, &["--values", &file]));
        let template = objects.iter().find(|o| o["kind"] == "Deployment").expect("a Deployment")["spec"]["template"].clone();
        let mut pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"], "spec": template["spec"] });
        pod["metadata"]["name"] = json!("replica");
        let test = objects.iter().find(|o| o["kind"] == "Pod").expect("the test's Pod").clone();
        for (pod, is_replica) in [(pod, true), (test, false)] {
            let output = namespace.kubectl_with(&["create", "--dry-run=server", "--validate=strict", "-f", "-"], &pod);
            if is_replica && pod["spec"]["hostNetwork"] == true {
                assert!(output.refused().contains("violates PodSecurity \"restricted:latest\": host namespaces"), "{name}");
            } else {
                output.ok();
            }
        }
    }
}

/// That the dry runs above can fail.
#[test]
fn a_wrong_field_does_not_pass_the_strict_dry_run() {
    let namespace = cluster().namespace("dry-wrong");
    let (_, full) = values().into_iter().find(|(name, _)| name == "full").expect("full");
    for (kind, pointer) in [("ServiceMonitor", "/spec/endpoints/0/intervall"), ("Deployment", "/spec/replica")] {
        let mut wrong = objects(&Helm::Four.template_in(&namespace.name, &["--values", &full]))
            .into_iter()
            .find(|o| o["kind"] == kind)
            .expect(kind);
        let (parent, field) = pointer.rsplit_once('/').expect("a field");
        wrong.pointer_mut(parent).expect(parent)[field] = json!("1");
        let said =
            namespace.kubectl_with(&["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", "-"], &wrong);
        let said = said.refused();
        assert!(said.contains("field not declared in schema") || said.contains("unknown field"), "{kind}: {said}");
    }
}

/// The conditions are CEL that the API server compiles on admission and evaluates on every call. Here it evaluates them: nobody answers behind the webhook, with
/// failurePolicy Fail, so that an object that is asked about is refused.
#[test]
fn who_is_asked_about() {
    let namespace = cluster().namespace("asked");
    let own = cluster().namespace("asked-own");
    let ignored = cluster().namespace("asked-ignored");
    ignored.kubectl(&["label", "namespace", "asked-ignored", "probekeeper.dev/ignore="]).ok();
    let args = ["--set", "webhook.validating.failurePolicy=Fail,fullnameOverride=asked"];
    let mut configuration =
        object(&objects(&Helm::Four.template_in(&own.name, &args)), "ValidatingWebhookConfiguration", "asked");
    // The other tests of this cluster are not to be held up.
    let names = json!({ "key": "kubernetes.io/metadata.name", "operator": "In",
                        "values": ["asked", "asked-own", "asked-ignored", "kube-system"] });
    for webhook in configuration["webhooks"].as_array_mut().expect("webhooks") {
        if webhook["name"] == "validate.probekeeper.dev" {
            webhook["namespaceSelector"]["matchExpressions"].as_array_mut().expect("expressions").push(names.clone());
        }
    }
    namespace.kubectl_with(&["apply", "-f", "-"], &configuration).ok();

    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "one" },
                      "spec": { "containers": [{ "name": "app", "image": "app" }] } });
    let mut mirror = pod.clone();
    mirror["spec"]["nodeName"] = json!("n1");
    mirror["metadata"]["annotations"] = json!({ "kubernetes.io/config.mirror": "hash" });
    let create = |namespace: &Namespace, pod: &Value, who: &[&str]| {
        let output = namespace.kubectl_with(&[&["create", "--dry-run=server", "-f", "-"], who].concat(), pod);
        let refused = output.code != 0;
        assert!(!refused || output.stderr.contains("failed calling webhook \"validate.probekeeper.dev\""), "{}", output.stderr);
        refused
    };
    let end = Instant::now() + Duration::from_mins(1);
    while !create(&namespace, &pod, &[]) {
        assert!(Instant::now() < end, "the API server did not take up the configuration");
        std::thread::sleep(Duration::from_millis(100));
    }
    let admin = ["--as-group=system:masters"];
    let by = |user: &'static str| [[user].as_slice(), &admin].concat();
    assert!(create(&namespace, &pod, &by("--as=somebody")));
    assert!(!create(&namespace, &mirror, &[]), "a mirror pod");
    assert!(!create(&namespace, &pod, &by("--as=system:serviceaccount:kube-system:replicaset-controller")));
    assert!(!create(&namespace, &pod, &by("--as=system:kube-controller-manager")));
    assert!(!create(&namespace, &pod, &["--as=system:node:n1", "--as-group=system:nodes", "--as-group=system:masters"]));
    assert!(!create(&own, &pod, &[]), "the own namespace");
    assert!(!create(&ignored, &pod, &[]), "a namespace that opted out");
    assert!(!create(&Namespace { cluster: cluster(), name: "kube-system".to_owned() }, &pod, &[]));
    // The policy can be changed while nobody answers, and no other ConfigMap is asked about.
    for name in ["asked-policy", "other"] {
        let map =
            json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { "policy.yaml": "x" } });
        own.kubectl_with(&["create", "-f", "-"], &map).ok();
    }
    namespace.kubectl(&["delete", "validatingwebhookconfiguration", "asked"]).ok();
}
