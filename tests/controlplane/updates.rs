//! Changes of objects that were there before: what is new or worse is refused, and nothing else; and the way back stays open.

use serde_json::{Value, json};

use crate::cluster::{Cluster, Namespace};
use crate::webhook::{Webhook, eventually};
use crate::workloads::{KINDS, Kind, complete, deployment, first_container, flask, hair_trigger};

const APPLY: &[&str] = &["apply", "-f", "-"];
const THERE_BEFORE: &str = "Warning: hair-trigger-liveness: container \"app\", livenessProbe: liveness restarts the container after a hang of 1 s (not denied: it was there before)\n";
const ROLLBACK: &str = "Warning: hair-trigger-liveness: container \"app\", livenessProbe: liveness restarts the container after a hang of 1 s (not denied: a rollback)\n";

/// `kubectl rollout undo` to a revision from before the webhook came, which would be denied today: the way back is open in an emergency, and what runs
/// then is what ran before, to the byte.
#[test]
fn a_rollback_to_an_old_violation_is_allowed_with_a_warning() {
    let namespace = Cluster::with_controllers().namespace("rollback");
    let revisioned: Vec<&Kind> =
        KINDS.iter().filter(|kind| matches!(kind.kind, "Deployment" | "StatefulSet" | "DaemonSet")).collect();
    for kind in &revisioned {
        let mut old = hair_trigger();
        // Something that would be filled in, were it a change by its author.
        old["readinessProbe"].as_object_mut().expect("readiness").remove("timeoutSeconds");
        namespace.kubectl_with(APPLY, &kind.object("web", &old)).ok();
        assert!(eventually(|| revisions(&namespace, kind) == 1), "{}", kind.kind);
    }
    let _webhook = Webhook::start(&namespace, None);
    for kind in &revisioned {
        let before = namespace.get(kind.resource, "web").pointer(kind.template).cloned();
        namespace.kubectl_with(APPLY, &kind.object("web", &complete())).ok();
        assert!(eventually(|| revisions(&namespace, kind) == 2), "{}", kind.kind);

        let target = format!("{}/web", kind.resource);
        let dry = namespace.kubectl(&["rollout", "undo", &target, "--dry-run=server"]).ok();
        assert!(dry.stderr.contains(ROLLBACK), "{}: {}", kind.kind, dry.stderr);
        let said = namespace.kubectl(&["rollout", "undo", &target]).ok().stderr;
        assert!(said.contains(ROLLBACK), "{}: {said}", kind.kind);
        let after = namespace.get(kind.resource, "web");
        assert_eq!(after.pointer(kind.template).cloned(), before, "{}", kind.kind);
        let settled = eventually(|| {
            let object = namespace.get(kind.resource, "web");
            object["status"]["observedGeneration"] == object["metadata"]["generation"]
        });
        assert!(settled && revisions(&namespace, kind) == 2, "{}: the old revision runs again, not a third one", kind.kind);

        // From there on it is what was there before.
        let said = namespace.kubectl(&["set", "env", &target, "A=1"]).ok().stderr;
        assert!(said.contains(THERE_BEFORE), "{}: {said}", kind.kind);
    }
}

/// What comes by another way than that command is a change like any other, whatever it calls itself: its author says that it is meant.
#[test]
fn an_old_manifest_is_no_rollback() {
    let namespace = Cluster::shared().namespace("no-rollback");
    let _webhook = Webhook::start(&namespace, None);
    namespace.kubectl_with(APPLY, &deployment(&complete())).ok();
    let patch = json!({ "spec": { "template": { "spec": { "containers": [
        { "name": "app", "livenessProbe": hair_trigger()["livenessProbe"] }] } } } })
    .to_string();
    for args in [
        &["apply", "-f", "-"][..],
        &["apply", "--server-side", "--force-conflicts", "--field-manager=kubectl", "-f", "-"],
        &["replace", "--field-manager=kubectl", "-f", "-"],
        &["patch", "deployment", "web", "--field-manager=kubectl", "-p", &patch],
        &["patch", "deployment", "web", "--field-manager=kubectl-rollout", "-p", &patch],
    ] {
        let said = namespace.kubectl_with(args, &deployment(&hair_trigger())).refused();
        assert!(said.contains("hair-trigger-liveness"), "{args:?}: {said}");
    }
    let mut meant = deployment(&hair_trigger());
    meant["metadata"]["annotations"] =
        json!({ "probekeeper.dev/allow": "hair-trigger-liveness: version 1 must run again, ticket 4711" });
    let said = namespace.kubectl_with(APPLY, &meant).ok().stderr;
    assert!(!said.contains("hair-trigger-liveness"), "{said}");
}

/// A container that gets another name, another place or another image is the one that it was.
#[test]
fn containers_may_be_renamed_and_reordered() {
    let namespace = Cluster::shared().namespace("renamed");
    let mut side = complete();
    side["name"] = json!("side");
    side["ports"] = json!([{ "name": "side", "containerPort": 5001 }]);
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        side[probe]["httpGet"]["port"] = json!("side");
    }
    let two = |first: &Value, second: &Value| {
        let mut object = deployment(first);
        object["spec"]["template"]["spec"]["containers"].as_array_mut().expect("containers").push(second.clone());
        object
    };
    namespace.kubectl_with(APPLY, &two(&hair_trigger(), &side)).ok();
    let _webhook = Webhook::start(&namespace, None);
    let said = namespace.kubectl_with(APPLY, &two(&side, &hair_trigger())).ok().stderr;
    assert_eq!(said, THERE_BEFORE, "another order");
    let mut renamed = hair_trigger();
    renamed["name"] = json!("web");
    let said = namespace.kubectl_with(APPLY, &two(&side, &renamed)).ok().stderr;
    assert_eq!(said, THERE_BEFORE.replace("\"app\"", "\"web\""), "another name");
    // A copy of it beside it is new.
    let said = namespace.kubectl_with(APPLY, &two(&hair_trigger(), &renamed)).refused();
    assert!(said.contains("has 1 problem with its probes") && said.contains("container \"app\""), "{said}");
}

/// Nothing but a change of the probes, or of what bears on them, is denied: not a label that leads into a stricter override, not an annotation that went.
#[test]
fn labels_and_annotations_never_deny() {
    let namespace = Cluster::shared().namespace("metadata-only");
    let policy = "apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\nrules: { hair-trigger-liveness: warn }\noverrides:\n\
                  - match: { labels: { matchLabels: { tier: front } } }\n  rules: { hair-trigger-liveness: deny }\n";
    let _webhook = Webhook::start(&namespace, Some(policy));
    let mut allowed = deployment(&hair_trigger());
    allowed["metadata"]["labels"] = json!({ "tier": "front" });
    let said = namespace.kubectl_with(APPLY, &allowed).refused();
    assert!(said.contains("hair-trigger-liveness"), "{said}");
    namespace.kubectl_with(APPLY, &deployment(&hair_trigger())).ok();
    let warned = |args: &[&str]| assert_eq!(namespace.kubectl(args).ok().stderr, THERE_BEFORE, "{args:?}");
    warned(&["label", "deployment", "web", "tier=front"]);
    warned(&["set", "image", "deployment/web", "app=registry.example/app:2"]);
    warned(&["rollout", "restart", "deployment", "web"]);
    let allow = "probekeeper.dev/allow=hair-trigger-liveness: it restarts at once";
    assert_eq!(namespace.kubectl(&["annotate", "deployment", "web", allow]).ok().stderr, "");
    warned(&["annotate", "deployment", "web", "probekeeper.dev/allow-"]);
    assert_eq!(namespace.kubectl(&["scale", "deployment", "web", "--replicas=3"]).ok().stderr, "", "scale goes past the webhook");
    warned(&["patch", "deployment", "web", "-p", r#"{"spec":{"replicas":2,"minReadySeconds":1}}"#]);
}

/// Once somebody has edited a number back to the API's default by hand, it stays through every later change that does not speak of it.
#[test]
fn a_hand_edit_back_to_a_default_stays() {
    for (name, apply) in [("hand-edit-client", APPLY), ("hand-edit-server", &["apply", "--server-side", "-f", "-"])] {
        let namespace = Cluster::shared().namespace(name);
        let _webhook = Webhook::start(&namespace, None);
        namespace.kubectl_with(apply, &deployment(&flask())).ok();
        let liveness = || first_container(&namespace.get("deployment", "web"))["livenessProbe"].clone();
        assert_eq!(liveness()["timeoutSeconds"], 5);
        // As dashboards do: the whole object goes back with one number changed. (`kubectl replace` would make it the author's file.)
        let mut edited = namespace.get("deployment", "web");
        edited["spec"]["template"]["spec"]["containers"][0]["livenessProbe"]["timeoutSeconds"] = json!(1);
        let path = format!("{}/web", namespace.path("apis/apps/v1", "deployments"));
        let answer = namespace.cluster.call("PUT", &path, &edited);
        assert_eq!(answer.code, 200, "{}", answer.message());
        assert_eq!(liveness()["timeoutSeconds"], 1, "{name}: the edit itself");
        let mut next = flask();
        next["image"] = json!("registry.example/app:2");
        for (what, args, manifest) in [
            ("restart", &["rollout", "restart", "deployment", "web"][..], Value::Null),
            ("set image", &["set", "image", "deployment/web", "app=registry.example/app:3"], Value::Null),
            ("the author's file, with another image", apply, deployment(&next)),
        ] {
            let args = [args, if what.starts_with("the") && name.ends_with("server") { &["--force-conflicts"][..] } else { &[] }]
                .concat();
            namespace.kubectl_with(&args, &manifest).ok();
            assert_eq!(liveness()["timeoutSeconds"], 1, "{name}: {what}");
            assert_eq!(liveness()["failureThreshold"], 5, "{name}: {what}: computed anew for a timeout of 1 s");
        }
    }
}

/// How many templates the workload `web` has had.
pub(crate) fn revisions(namespace: &Namespace, kind: &Kind) -> usize {
    let (resource, owner) =
        if kind.kind == "Deployment" { ("replicasets", kind.kind) } else { ("controllerrevisions", kind.kind) };
    namespace.list(resource).iter().filter(|set| set["metadata"]["ownerReferences"][0]["kind"] == owner).count()
}
