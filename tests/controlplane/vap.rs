//! The exported ValidatingAdmissionPolicies on a real API server: it accepts them, and they say of every object what the engine says.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use probekeeper::engine::{Past, decide, evaluate, findings_before};
use probekeeper::export::{self, Export};
use probekeeper::model::{Owner, Workload};
use probekeeper::policy::{self, Action, OwnedObjects, Policy, Profile};
use probekeeper::rules::RULES;
use probekeeper::yaml;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::cluster::{Cluster, Namespace};
use crate::generate;
use crate::http::Answer;
use crate::updates::revisions;
use crate::webhook::eventually;
use crate::workloads::{KINDS, complete, deployment, hair_trigger};

const API: &str = "/apis/admissionregistration.k8s.io/v1";
const CANARY: &str = "canary.test";

/// The documents of a YAML text as JSON.
fn documents(text: &str) -> Vec<Value> {
    let read = |document: yaml::Document<'_>| {
        let mut json = String::new();
        document.root.unwrap_or_else(|error| panic!("{error:?}\n{text}")).to_json(&mut json);
        serde_json::from_str(&json).expect("JSON")
    };
    yaml::parse(text).into_iter().map(read).collect()
}

/// The objects of an export in force for one namespace, each under a name of its own. All of them answer with warnings, so that everything that they say
/// arrives and nothing is denied; a failure to evaluate is said too.
struct Installed<'n> {
    namespace: &'n Namespace,
    names: Vec<String>,
}

impl<'n> Installed<'n> {
    fn new(namespace: &'n Namespace, export: &Export) -> Self {
        Self::with(namespace, export, |binding| binding["spec"]["validationActions"] = json!(["Warn"]))
    }

    /// As it is written, for this namespace only.
    fn as_written(namespace: &'n Namespace, export: &Export) -> Self {
        Self::with(namespace, export, |_| {})
    }

    fn with(namespace: &'n Namespace, export: &Export, change: fn(&mut Value)) -> Self {
        let (mut names, mut actions) = (Vec::new(), Vec::new());
        for mut object in documents(&export.to_yaml()) {
            let kind = object["kind"].as_str().expect("kind").to_owned();
            let name = format!("{}-{}", namespace.name, object["metadata"]["name"].as_str().expect("name"));
            object["metadata"]["name"] = json!(name);
            if kind == "ValidatingAdmissionPolicy" {
                object["spec"]["failurePolicy"] = json!("Fail");
                // Once a policy has said this of an object, the API server has taken it up.
                let canary = format!("object.metadata.?labels[?'{CANARY}'].orValue('') != '{}'", action_of(&name));
                let validations = object["spec"]["validations"].as_array_mut().expect("validations");
                validations.push(json!({ "expression": canary, "message": CANARY }));
                names.push(name);
            } else {
                object["spec"]["policyName"] = json!(name);
                object["spec"]["matchResources"]["namespaceSelector"] =
                    json!({ "matchLabels": { "kubernetes.io/metadata.name": namespace.name } });
                change(&mut object);
                actions.push(object["spec"]["validationActions"][0].as_str().expect("action").to_owned());
            }
            let path = if kind == "ValidatingAdmissionPolicy" {
                "validatingadmissionpolicies"
            } else {
                "validatingadmissionpolicybindings"
            };
            let answer = namespace.cluster.call("POST", &format!("{API}/{path}"), &object);
            assert_eq!(answer.code, 201, "{}", answer.message());
        }
        let installed = Self { namespace, names };
        for (name, action) in installed.names.iter().zip(actions) {
            // What is audited is said to nobody.
            if action != "Audit" {
                let mut canary = deployment(&complete());
                canary["metadata"]["labels"] = json!({ CANARY: action_of(name) });
                let seen = eventually(|| {
                    let answer = dry_run(namespace, &canary);
                    answer.message().contains(CANARY) || answer.warnings.iter().any(|warning| warning.contains(CANARY))
                });
                assert!(seen, "the API server did not take up {name}");
            }
        }
        installed
    }
}

/// `deny`, `warn` or `audit`: the end of a policy's name.
fn action_of(name: &str) -> &str {
    name.rsplit('-').next().unwrap_or_default()
}

impl Drop for Installed<'_> {
    fn drop(&mut self) {
        for name in &self.names {
            for path in ["validatingadmissionpolicybindings", "validatingadmissionpolicies"] {
                self.namespace.cluster.call("DELETE", &format!("{API}/{path}/{name}"), &Value::Null);
            }
        }
    }
}

/// The path of the collection that an object belongs to.
fn collection(namespace: &Namespace, object: &Value) -> String {
    let kind = KINDS.iter().find(|kind| object["kind"] == kind.kind).unwrap_or_else(|| panic!("{object}"));
    namespace.path(kind.api, kind.resource)
}

fn dry_run(namespace: &Namespace, object: &Value) -> Answer {
    namespace.cluster.call("POST", &format!("{}?dryRun=All", collection(namespace, object)), object)
}

/// What the policies say, as action and rule: `deny hair-trigger-liveness`.
fn said(answer: &Answer) -> BTreeSet<String> {
    let of_warning = |warning: &String| {
        let rest = warning.strip_prefix("Validation failed for ValidatingAdmissionPolicy '")?;
        let (name, rest) = rest.split_once('\'')?;
        let (_, text) = rest.split_once("': ").unwrap_or_else(|| panic!("{warning}"));
        let action = action_of(name);
        let (rule, message) = text.split_once(": ").unwrap_or_else(|| panic!("{warning}"));
        let known = RULES.iter().find(|known| known.id == rule).unwrap_or_else(|| panic!("{warning}"));
        assert!(message != known.summary() || answer.body.to_string().contains(r"\n"), "no text of its own: {warning}");
        Some(format!("{action} {rule}"))
    };
    answer.warnings.iter().filter_map(of_warning).collect()
}

/// What the engine says of the same object, as far as it is exported.
fn expected(policy: &Policy, object: &Value, old: Option<&Value>) -> BTreeSet<String> {
    let (text, old) = (object.to_string(), old.map(Value::to_string));
    let today = jiff::civil::date(2026, 1, 1);
    let read = |text| Workload::from_json(text).expect("readable").expect("a workload");
    let workload = read(&text);
    let owned = match (workload.owner(), policy.owned_objects) {
        (Owner::Node, _) | (Owner::Judged, OwnedObjects::Skip) => return BTreeSet::new(),
        (owner, choice) => owner == Owner::Judged && choice == OwnedObjects::Warn,
    };
    let before = old.as_ref().map(|old| findings_before(policy, read(old), &workload).expect("no rule fails"));
    let past = if owned { Past::Owned } else { before.as_deref().map_or(Past::None, Past::Had) };
    let verdict = decide(evaluate(policy, &workload, today).findings, past);
    let exported = verdict.judged.iter().filter(|judged| export::is_expressible(judged.finding.rule.id));
    exported.map(|judged| format!("{} {}", judged.finding.action.name(), judged.finding.rule.id)).collect()
}

/// Says of one answer whether it is the engine's; `None` where the API server refuses the object itself.
#[track_caller]
fn agrees(policy: &Policy, what: &str, answer: &Answer, old: Option<&Value>) -> Option<BTreeSet<String>> {
    if answer.code == 422 || answer.code == 400 {
        return None;
    }
    assert!(matches!(answer.code, 200 | 201), "{what}: {answer:?}");
    let (said, expected) = (said(answer), expected(policy, &answer.body, old));
    assert_eq!(said, expected, "{what}: policies (left) and engine (right)\n{:#}\n{:#?}", answer.body["spec"], answer.warnings);
    Some(said)
}

/// Every workload of the fixtures, as one that the API server takes where that is possible.
fn fixtures() -> Vec<(String, Value)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules/fixtures");
    let entries = |folder: &Path| {
        let mut paths: Vec<PathBuf> =
            std::fs::read_dir(folder).expect("fixtures").map(|entry| entry.expect("entry").path()).collect();
        paths.sort();
        paths
    };
    let mut found = Vec::new();
    for file in entries(&root).iter().flat_map(|folder| entries(folder)) {
        let text = std::fs::read_to_string(&file).expect("fixture");
        for mut object in documents(&text).into_iter().filter(|object| KINDS.iter().any(|kind| object["kind"] == kind.kind)) {
            object["metadata"].as_object_mut().expect("metadata").remove("namespace");
            found.push((file.strip_prefix(&root).expect("below").display().to_string(), object));
        }
    }
    found
}

/// Every rule with this action, and numbers of an organisation's own.
fn everything(action: Action, more: &str) -> Policy {
    let mut text = format!("apiVersion: {}\nkind: {}\n{more}rules:\n", policy::API_VERSION, policy::KIND);
    for rule in RULES {
        let params = match rule.id {
            "required-probes" => {
                ", params: { probes: [livenessProbe, startupProbe], handlers: [httpGet, exec, grpc], livenessProbe: { periodSeconds: { min: 5, max: 20 } }, \
                 readinessProbe: { initialDelaySeconds: { max: 30 }, successThreshold: { max: 1 } }, startupProbe: { failureThreshold: { min: 10 } } }"
            }
            "aggressive-liveness" => ", params: { denyBelowSeconds: 10 }",
            "liveness-not-slower-than-readiness" => ", params: { denyOnlyChosenThreshold: true }",
            "no-probes" => ", allowAnnotation: false",
            _ => "",
        };
        let _ = writeln!(text, "  {}: {{ action: {action}{params} }}", rule.id);
    }
    policy::load(&text).unwrap_or_else(|errors| panic!("{errors:?}\n{text}"))
}

#[test]
fn every_fixture_gets_the_verdict_of_the_engine() {
    let namespace = Cluster::shared().namespace("vap-fixtures");
    let policy = everything(Action::Deny, "");
    let _installed = Installed::new(&namespace, &export::vap(&policy));
    let (mut compared, mut refused) = (0, Vec::new());
    let mut fired = BTreeSet::new();
    let fixtures = fixtures();
    for (file, object) in &fixtures {
        match agrees(&policy, file, &dry_run(&namespace, object), None) {
            Some(said) => {
                compared += 1;
                fired.extend(said);
            }
            None => refused.push(file),
        }
    }
    // What the API server refuses by itself are fixtures of what only files can hold.
    assert!(refused.len() * 20 < fixtures.len(), "{} of {} refused: {refused:?}", refused.len(), compared + refused.len());
    for rule in RULES.iter().filter(|rule| export::is_expressible(rule.id)) {
        assert!(fired.contains(&format!("deny {}", rule.id)), "{rule:?} never fired");
    }
}

/// Objects as they come out of the generator, under every profile; the first of each kind of accident is enough here.
#[test]
fn generated_objects_get_the_verdict_of_the_engine() {
    let mut runner = TestRunner::deterministic();
    let file = generate::file();
    let objects: Vec<Value> = (0..60).map(|_| acceptable(file.new_tree(&mut runner).expect("a value").current())).collect();
    let mut compared = 0;
    for profile in Profile::ALL {
        let namespace = Cluster::shared().namespace(&format!("vap-generated-{profile}"));
        let policy = Policy::builtin(profile);
        let _installed = Installed::new(&namespace, &export::vap(&policy));
        for object in &objects {
            compared += usize::from(agrees(&policy, profile.name(), &dry_run(&namespace, object), None).is_some());
        }
    }
    assert!(compared > objects.len(), "only {compared} were accepted");
}

/// With what the API server demands beyond what probes need.
fn acceptable(mut object: Value) -> Value {
    object["metadata"].as_object_mut().expect("metadata").remove("namespace");
    let kind = KINDS.iter().find(|kind| object["kind"] == kind.kind).expect("kind");
    let mut whole = kind.object("web", &json!({}));
    let place = format!("{}/spec", kind.template);
    let mut pod = object.pointer(&place).expect("a pod").clone();
    let job = matches!(kind.kind, "Job" | "CronJob");
    match (kind.kind, pod["restartPolicy"].as_str()) {
        ("Pod", _) | ("Job" | "CronJob", Some("OnFailure" | "Never")) => {}
        _ => pod["restartPolicy"] = json!(if job { "OnFailure" } else { "Always" }),
    }
    // The API server warns of a port that two containers declare, and passes on only so many warnings.
    let lists = ["containers", "initContainers"].map(|list| pod[list].as_array().map_or(0, Vec::len));
    for (list, count) in ["containers", "initContainers"].into_iter().zip(lists) {
        for at in usize::from(list == "containers")..count {
            pod[list][at].as_object_mut().expect("a container").remove("ports");
        }
    }
    *whole.pointer_mut(&place).expect("a pod") = pod;
    whole["metadata"] = object["metadata"].clone();
    if let Some(seconds) = object["spec"].get("progressDeadlineSeconds") {
        whole["spec"]["progressDeadlineSeconds"] = seconds.clone();
    }
    whole
}

/// What was there before is not denied, what is new or worse is; told by rule, container and probe, with the rule's own measure.
#[test]
fn updates_get_the_verdict_of_the_engine() {
    let namespace = Cluster::shared().namespace("vap-updates");
    let policy = everything(Action::Deny, "");
    let _installed = Installed::new(&namespace, &export::vap(&policy));
    let probe = |f: i64, p: i64, t: i64| json!({ "httpGet": { "port": 5000, "host": "localhost" }, "periodSeconds": p, "timeoutSeconds": t, "failureThreshold": f });
    let containers: Vec<Value> = [(1, 1, 1), (2, 1, 1), (1, 3, 2), (3, 10, 1), (4, 10, 5), (2, 5, 9)]
        .into_iter()
        .flat_map(|(f, p, t)| {
            let mut container = complete();
            container["livenessProbe"] = probe(f, p, t);
            let mut other = container.clone();
            other["readinessProbe"] = probe(f, p, t);
            other.as_object_mut().expect("a container").remove("startupProbe");
            [container, other]
        })
        .chain([complete()])
        .collect();
    let path = namespace.path("apis/apps/v1", "deployments");
    let (mut denied, mut demoted) = (0, 0);
    for old in containers.iter().step_by(3) {
        let stored = namespace.cluster.call("POST", &path, &deployment(old));
        assert_eq!(stored.code, 201, "{stored:?}");
        for new in &containers {
            let answer = namespace.cluster.call("PUT", &format!("{path}/web?dryRun=All"), &deployment(new));
            let said = agrees(&policy, "update", &answer, Some(&stored.body)).expect("accepted");
            denied += said.iter().filter(|said| said.starts_with("deny")).count();
            demoted += answer
                .warnings
                .iter()
                .filter(|warning| {
                    warning.ends_with("(not denied: it was there before, a controller made it, or it is a rollback)")
                })
                .count();
        }
        // Nothing but labels and annotations: nothing is denied, whatever an annotation said before.
        let mut labelled = stored.body.clone();
        labelled["metadata"]["labels"] = json!({ "team": "shop" });
        let answer = namespace.cluster.call("PUT", &format!("{path}/web?dryRun=All"), &labelled);
        let said = agrees(&policy, "labels only", &answer, Some(&stored.body)).expect("accepted");
        assert!(said.iter().all(|said| !said.starts_with("deny")), "{said:?}");
        let mut renamed = old.clone();
        renamed["name"] = json!("renamed");
        let answer = namespace.cluster.call("PUT", &format!("{path}/web?dryRun=All"), &deployment(&renamed));
        let said = agrees(&policy, "renamed", &answer, Some(&stored.body)).expect("accepted");
        assert!(said.iter().all(|said| !said.starts_with("deny")), "{said:?}");
        assert_eq!(namespace.cluster.call("DELETE", &format!("{path}/web"), &Value::Null).code, 200);
    }
    assert!(denied > 20 && demoted > 20, "{denied} denied, {demoted} demoted");
}

/// Containers that get other names, images and places, and faults of one rule in one place.
#[test]
fn containers_and_faults_are_told_apart_as_the_engine_does() {
    let namespace = Cluster::shared().namespace("vap-past");
    let policy = everything(Action::Deny, "");
    let _installed = Installed::new(&namespace, &export::vap(&policy));
    let path = namespace.path("apis/apps/v1", "deployments");
    let of = |containers: &[Value]| {
        let mut object = deployment(&complete());
        object["spec"]["template"]["spec"]["containers"] = json!(containers);
        object
    };
    let named = |name: &str, image: &str, mut container: Value| {
        (container["name"], container["image"]) = (json!(name), json!(image));
        container.as_object_mut().expect("a container").remove("ports");
        for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
            container[probe]["httpGet"]["port"] = json!(5000);
        }
        container
    };
    let (bad, fine) = (hair_trigger(), complete());
    let mut other_bad = bad.clone();
    other_bad["livenessProbe"]["httpGet"]["path"] = json!("/other");
    let mut graceful = fine.clone();
    graceful["livenessProbe"]["terminationGracePeriodSeconds"] = json!(9);
    let with_headers = |names: &[&str]| {
        let mut container = fine.clone();
        container["livenessProbe"]["httpGet"]["httpHeaders"] =
            names.iter().map(|name| json!({ "name": name, "value": "x" })).collect();
        named("app", "a", container)
    };
    let slow = |mut object: Value| {
        object["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = json!(3600);
        object
    };
    let mesh = |annotations: Value, labels: Value| {
        let mut object = of(&[named("app", "a", fine.clone())]);
        object["spec"]["template"]["metadata"]["annotations"] = annotations;
        object["spec"]["template"]["metadata"]["labels"]
            .as_object_mut()
            .expect("labels")
            .extend(labels.as_object().expect("labels").clone());
        object
    };
    let timed = |period: i64, delay: i64| {
        let mut container = fine.clone();
        container["livenessProbe"]["periodSeconds"] = json!(period);
        container["readinessProbe"]["initialDelaySeconds"] = json!(delay);
        of(&[named("app", "a", container)])
    };
    let keeps = json!({ "sidecar.istio.io/rewriteAppHTTPProbers": "false" });
    let pairs = [
        (
            "name and place",
            of(&[named("x", "x", fine.clone()), named("app", "a", bad.clone())]),
            of(&[named("web", "a", bad.clone()), named("x", "x", fine.clone())]),
        ),
        ("name and image", of(&[named("app", "a", bad.clone())]), of(&[named("web", "b", bad.clone())])),
        ("name and probes", of(&[named("app", "a", bad.clone())]), of(&[named("web", "a", other_bad.clone())])),
        ("name, image and probes", of(&[named("app", "a", bad.clone())]), of(&[named("web", "b", other_bad.clone())])),
        (
            "name, image and place",
            of(&[named("x", "x", fine.clone()), named("app", "a", bad.clone())]),
            of(&[named("web", "b", bad.clone()), named("x", "x", fine.clone())]),
        ),
        ("a copy", of(&[named("app", "a", bad.clone())]), of(&[named("app", "a", bad.clone()), named("web", "a", bad.clone())])),
        (
            "two names",
            of(&[named("a", "a", bad.clone()), named("b", "b", fine.clone())]),
            of(&[named("c", "a", bad.clone()), named("d", "b", bad.clone())]),
        ),
        ("another fault", of(&[named("app", "a", bad.clone())]), of(&[named("app", "a", other_bad)])),
        ("one header more", of(&[with_headers(&["Cookie"])]), of(&[with_headers(&["Cookie", "Authorization"])])),
        ("another header", of(&[with_headers(&["Cookie"])]), of(&[with_headers(&["Authorization"])])),
        ("slow elsewhere", slow(of(&[named("app", "a", fine.clone())])), slow(of(&[named("app", "a", graceful)]))),
        ("out of the mesh", mesh(keeps.clone(), json!({ "sidecar.istio.io/inject": "false" })), mesh(keeps.clone(), json!({}))),
        ("into the mesh", mesh(json!({}), json!({})), mesh(keeps, json!({}))),
        ("another number", timed(30, 0), timed(10, 60)),
        ("a worse number", timed(30, 40), timed(40, 40)),
        ("a better number", timed(30, 40), timed(25, 35)),
    ];
    let mut denied = Vec::new();
    for (what, old, new) in pairs {
        let stored = namespace.cluster.call("POST", &path, &old);
        assert_eq!(stored.code, 201, "{what}: {stored:?}");
        let answer = namespace.cluster.call("PUT", &format!("{path}/web?dryRun=All"), &new);
        assert_eq!(answer.code, 200, "{what}: {answer:?}");
        // Of several findings of a rule in one place some may be new: then it denies, whatever else it says.
        let settled = |said: BTreeSet<String>| -> BTreeSet<String> {
            let is_said = |rule: &str| said.contains(&format!("deny {rule}"));
            said.iter().filter(|said| !said.strip_prefix("warn ").is_some_and(is_said)).cloned().collect()
        };
        let (of_policies, of_engine) = (settled(said(&answer)), settled(expected(&policy, &answer.body, Some(&stored.body))));
        assert_eq!(of_policies, of_engine, "{what}: policies (left) and engine (right)\n{:#?}", answer.warnings);
        denied.extend(of_engine.iter().any(|said| said.starts_with("deny")).then_some(what));
        assert_eq!(namespace.cluster.call("DELETE", &format!("{path}/web"), &Value::Null).code, 200);
    }
    assert_eq!(
        denied,
        [
            "name, image and probes",
            "name, image and place",
            "a copy",
            "two names",
            "one header more",
            "slow elsewhere",
            "into the mesh",
            "another number",
            "a worse number"
        ]
    );
}

/// `kubectl rollout undo` to a revision that would be denied today passes with a warning; the same change by another way does not.
#[test]
fn a_rollback_is_not_denied() {
    let namespace = Cluster::with_controllers().namespace("vap-rollback");
    let revisioned = || KINDS.iter().filter(|kind| matches!(kind.kind, "Deployment" | "StatefulSet" | "DaemonSet"));
    let apply = &["apply", "-f", "-"];
    for kind in revisioned() {
        namespace.kubectl_with(apply, &kind.object("web", &hair_trigger())).ok();
        assert!(eventually(|| revisions(&namespace, kind) == 1), "{}", kind.kind);
    }
    let _installed = Installed::as_written(&namespace, &export::vap(&Policy::builtin(Profile::Recommended)));
    for kind in revisioned() {
        namespace.kubectl_with(apply, &kind.object("web", &complete())).ok();
        assert!(eventually(|| revisions(&namespace, kind) == 2), "{}", kind.kind);
        let refused = namespace.kubectl_with(apply, &kind.object("web", &hair_trigger())).refused();
        assert!(refused.contains("hair-trigger-liveness: container \"app\""), "{}: {refused}", kind.kind);
        let patch = json!({ "spec": { "template": { "spec": { "containers": [
            { "name": "app", "livenessProbe": hair_trigger()["livenessProbe"] }] } } } })
        .to_string();
        let refused = namespace.kubectl(&["patch", kind.resource, "web", "--field-manager=kubectl", "-p", &patch]).refused();
        assert!(refused.contains("hair-trigger-liveness: container \"app\""), "{}: {refused}", kind.kind);
        let said = namespace.kubectl(&["rollout", "undo", &format!("{}/web", kind.resource)]).ok().stderr;
        let warning = "hair-trigger-liveness: container \"app\", livenessProbe: liveness restarts the container after a hang of 1 s \
                       (not denied: it was there before, a controller made it, or it is a rollback)\n";
        assert!(said.contains(warning), "{}: {said}", kind.kind);
    }
}

/// The annotation, on the object and on its template, with and without a reason; the record of what was filled in.
#[test]
fn annotations_get_the_verdict_of_the_engine() {
    let namespace = Cluster::shared().namespace("vap-annotations");
    let policy = everything(Action::Deny, "");
    let _installed = Installed::new(&namespace, &export::vap(&policy));
    let mut bad = hair_trigger();
    bad["livenessProbe"]["initialDelaySeconds"] = json!(20);
    for (text, allowed) in [
        ("hair-trigger-liveness: it is a toy", true),
        ("no-probes: x;hair-trigger-liveness : it is a toy", true),
        ("no-probes: x\n hair-trigger-liveness: caf\u{e9}", true),
        ("hair-trigger-liveness:\n\n because it is a toy", true),
        (" ;hair-trigger-liveness: - ; see https://x/y: a toy", true),
        ("no-probes: a toy, so hair-trigger-liveness: too", false),
        ("hair-trigger-liveness:; no-such-rule: a toy", false),
        ("hair-trigger-liveness:; no-such-rule:a toy", true),
        ("hair-trigger-liveness; a toy", false),
        ("hair-trigger-liveness:\u{2003}; no-probes\u{a0}: a toy", false),
        ("hair-trigger-liveness:", false),
        ("hair-trigger-liveness: -- !", false),
        ("hair-trigger-liveness", false),
        ("because hair-trigger-liveness: x", false),
        ("hair-trigger-livenes: x", false),
    ] {
        for pointer in ["/metadata", "/spec/template/metadata"] {
            let mut object = deployment(&bad);
            object.pointer_mut(pointer).expect("metadata")["annotations"] = json!({ "probekeeper.dev/allow": text });
            let said = agrees(&policy, text, &dry_run(&namespace, &object), None).expect("accepted");
            assert_eq!(!said.contains("deny hair-trigger-liveness"), allowed, "{pointer} {text}: {said:?}");
        }
    }
    // What one says is no reason for what the other says.
    let mut object = deployment(&bad);
    object["metadata"]["annotations"] = json!({ "probekeeper.dev/allow": "hair-trigger-liveness:" });
    object["spec"]["template"]["metadata"]["annotations"] = json!({ "probekeeper.dev/allow": "a toy" });
    let said = agrees(&policy, "in two places", &dry_run(&namespace, &object), None).expect("accepted");
    assert!(said.contains("deny hair-trigger-liveness"), "{said:?}");
    // The policy takes no annotation for this one.
    let mut object = deployment(&json!({ "name": "app", "image": "a" }));
    object["metadata"]["annotations"] = json!({ "probekeeper.dev/allow": "no-probes: x; missing-liveness: y" });
    let said = agrees(&policy, "no-probes", &dry_run(&namespace, &object), None).expect("accepted");
    assert!(said.contains("deny no-probes") && !said.contains("deny missing-liveness"), "{said:?}");

    let mut delayed = complete();
    delayed["livenessProbe"]["initialDelaySeconds"] = json!(40);
    for (record, silent) in [
        (r#"{"app":{"livenessProbe":{"failureThreshold":4,"initialDelaySeconds":40}}}"#, true),
        (
            r#"{"a":{"preStop":{"sleepSeconds":5}},"app":{"livenessProbe":{"initialDelaySeconds":40},"readinessProbe":{"timeoutSeconds":3}}}"#,
            true,
        ),
        (r#"{"app":{"livenessProbe":{"initialDelaySeconds":4}}}"#, false),
        (r#"{"app":{"readinessProbe":{"initialDelaySeconds":40}}}"#, false),
        (r#"{"other":{"livenessProbe":{"initialDelaySeconds":40}}}"#, false),
        (r#"{"app":{"livenessProbe":{"initialDelaySeconds":40}}"#, false),
        (r#"{"app":{"livenessProbe":{},"startupProbe":{"added":1}}}"#, false),
        ("", false),
    ] {
        let mut object = deployment(&delayed);
        object["metadata"]["annotations"] = json!({ "probekeeper.dev/filled": record });
        let said = agrees(&policy, record, &dry_run(&namespace, &object), None).expect("accepted");
        assert_eq!(!said.contains("deny redundant-initial-delay"), silent, "{record}: {said:?}");
    }
}

/// What a controller made is not denied where its owner is judged; what the node made is not looked at.
#[test]
fn owned_objects_get_the_verdict_of_the_engine() {
    let owners = [
        ("apps/v1", "Deployment", true),
        ("apps/v1", "Deployment", false),
        ("example.com/v1", "App", true),
        ("v1", "Node", true),
    ];
    for (owned, denied) in
        [("warn", [false, true, true, false]), ("skip", [false, true, true, false]), ("deny", [true, true, true, false])]
    {
        let namespace = Cluster::shared().namespace(&format!("vap-owned-{owned}"));
        let policy = everything(Action::Deny, &format!("ownedObjects: {owned}\n"));
        let _installed = Installed::new(&namespace, &export::vap(&policy));
        for ((api_version, kind, controller), denied) in owners.into_iter().zip(denied) {
            let mut object = KINDS[4].object("web", &hair_trigger());
            object["metadata"]["ownerReferences"] =
                json!([{ "apiVersion": api_version, "kind": kind, "name": "o", "uid": "1", "controller": controller }]);
            let what = format!("{owned} {kind} {controller}");
            let said = agrees(&policy, &what, &dry_run(&namespace, &object), None).expect("accepted");
            assert_eq!(said.contains("deny hair-trigger-liveness"), denied, "{what}: {said:?}");
            let warned = owned == "warn" && kind == "Deployment" && controller;
            assert_eq!(said.contains("warn hair-trigger-liveness"), warned, "{what}: {said:?}");
        }
    }
}

/// As an operator gets it: denied and warned in these words.
#[test]
fn an_export_as_it_is_written_denies_and_warns() {
    let namespace = Cluster::shared().namespace("vap-written");
    let _installed = Installed::as_written(&namespace, &export::vap(&Policy::builtin(Profile::Recommended)));
    let answer = namespace.cluster.call("POST", &namespace.path("apis/apps/v1", "deployments"), &deployment(&hair_trigger()));
    assert_eq!(
        (answer.code, answer.message()),
        (
            422,
            "deployments.apps \"web\" is forbidden: ValidatingAdmissionPolicy 'vap-written-probekeeper-deny' with binding \
             'vap-written-probekeeper-deny' denied request: hair-trigger-liveness: container \"app\", livenessProbe: liveness restarts the \
             container after a hang of 1 s"
        )
    );
    let mut late = complete();
    late["readinessProbe"]["timeoutSeconds"] = json!(9);
    let answer = namespace.cluster.call("POST", &namespace.path("apis/apps/v1", "deployments"), &deployment(&late));
    assert_eq!(answer.code, 201, "{answer:?}");
    assert_eq!(
        answer.warnings,
        [
            "Validation failed for ValidatingAdmissionPolicy 'vap-written-probekeeper-warn' with binding 'vap-written-probekeeper-warn': \
          timeout-exceeds-period: container \"app\", readinessProbe: timeout of 9 s is longer than the period of 5 s"
        ]
    );
}

/// As a person applies it: kubectl's annotation has to hold all of it, and the API server warns of nothing.
#[test]
fn every_profile_can_be_applied() {
    let cluster = Cluster::shared();
    let namespace = cluster.namespace("vap-applied");
    for profile in Profile::ALL {
        let text = export::vap(&Policy::builtin(profile)).to_yaml();
        assert_eq!(text, export::vap(&Policy::builtin(profile)).to_yaml(), "the same bytes each time");
        // Under other names, and for this namespace: other tests run beside this one.
        let text = text
            .replace("probekeeper-", "vap-applied-")
            .replace("operator: NotIn, values: [kube-system, kube-node-lease]", "operator: In, values: [vap-applied]");
        let file = cluster.folder("vap-applied").join(format!("{profile}.yaml"));
        std::fs::write(&file, &text).expect("file");
        let file = file.to_str().expect("UTF-8");
        let applied = namespace.kubectl(&["apply", "-f", file]).ok();
        assert_eq!(applied.stderr, "");
        assert!(namespace.kubectl(&["diff", "-f", file]).code == 0, "what is stored is what was written");
        namespace.kubectl(&["delete", "-f", file]).ok();
    }
}

/// Kubernetes' own look at the types has nothing to say. It compiles every variable anew for each expression and each kind of object, so each rule is shown
/// to it with the variables that it needs and no others.
#[test]
fn every_expression_passes_the_type_checker() {
    let cluster = Cluster::with_controllers();
    let export = export::vap(&Policy::builtin(Profile::Strict));
    let mut names = Vec::new();
    for mut object in documents(&export.to_yaml()).into_iter().filter(|object| object["kind"] == "ValidatingAdmissionPolicy") {
        let name = object["metadata"]["name"].as_str().expect("name").to_owned();
        let (variables, validations) = (object["spec"]["variables"].take(), object["spec"]["validations"].take());
        for (at, validation) in validations.as_array().expect("validations").iter().enumerate() {
            let mut needed: Vec<Value> = Vec::new();
            let mut text = validation.to_string();
            for variable in variables.as_array().expect("variables").iter().rev() {
                let reference = format!("variables.{}", variable["name"].as_str().expect("name"));
                let is_word = |rest: &str| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_');
                if text.match_indices(&reference).any(|(found, _)| is_word(&text[found + reference.len()..])) {
                    text += &variable.to_string();
                    needed.insert(0, variable.clone());
                }
            }
            let name = format!("vap-types-{name}-{at}");
            object["metadata"]["name"] = json!(name);
            object["spec"]["variables"] = json!(needed);
            object["spec"]["validations"] = json!([validation]);
            let answer = cluster.call("POST", &format!("{API}/validatingadmissionpolicies"), &object);
            assert_eq!(answer.code, 201, "{}", answer.message());
            names.push(name);
        }
    }
    assert!(names.len() > 40, "{names:?}");
    for name in names {
        let path = format!("{API}/validatingadmissionpolicies/{name}");
        let mut status = Value::Null;
        let looked_at = eventually(|| {
            status = cluster.call("GET", &path, &Value::Null).body["status"].clone();
            status.get("typeChecking").is_some()
        });
        assert!(looked_at, "{name}: {status}");
        assert_eq!(status["typeChecking"], json!({}), "{name}");
        cluster.call("DELETE", &path, &Value::Null);
    }
}
