//! Updates: what is new or worse is denied, and nothing else.

use std::sync::Arc;

use jiff::civil::date;
use probekeeper::{
    admission::{Admission, Route},
    policy::{PolicyStore, load},
};
use serde_json::{Value, json};

const HEAD: &str = "apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\n";
const THERE_BEFORE: &str = "(not denied: it was there before)";

/// An answer: the status message, or `None`, and the warnings.
type Said = (Option<String>, Vec<String>);

/// What the webhook answers to a change.
fn change(policy: &str, old: &Value, new: &Value) -> Said {
    ask(policy, Route::Validate, &review(old, new))
}

fn review(old: &Value, new: &Value) -> Value {
    json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "operation": "UPDATE", "namespace": "shop", "object": new, "oldObject": old,
        "options": { "kind": "UpdateOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "kubectl-patch" } } })
}

fn ask(policy: &str, route: Route, review: &Value) -> Said {
    let policy = load(&format!("{HEAD}{policy}")).unwrap_or_else(|errors| panic!("{errors}"));
    let admission = Admission::at(Arc::new(PolicyStore::new(policy)), || date(2027, 1, 1));
    let answer = admission.answer(route, review.to_string().as_bytes());
    let mut body: Value = serde_json::from_slice(&answer.body).unwrap();
    let response = body["response"].take();
    let warnings: Vec<String> = serde_json::from_value(response["warnings"].clone()).unwrap_or_default();
    assert!(warnings.iter().all(|warning| !warning.starts_with("probekeeper")), "a fault of ours: {warnings:?}");
    let message = response["status"]["message"].as_str().map(str::to_owned);
    assert_eq!(response["allowed"], message.is_none(), "{response}");
    (message, warnings)
}

/// A container whose liveness gives up after a hang of so many seconds.
fn container(name: &str, image: &str, tolerance: i64) -> Value {
    json!({ "name": name, "image": image, "livenessProbe": {
        "httpGet": { "path": "/healthz", "port": 8080, "scheme": "HTTP" }, "initialDelaySeconds": 60,
        "periodSeconds": 10, "timeoutSeconds": tolerance, "failureThreshold": 1, "successThreshold": 1 } })
}

/// Nothing is wrong with it.
fn calm(name: &str) -> Value {
    let mut calm = container(name, "example.com/calm:1", 5);
    calm["livenessProbe"]["failureThreshold"] = json!(4);
    calm
}

fn deployment(containers: &[Value]) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "web", "namespace": "shop", "labels": { "tier": "back" }, "annotations": {} },
        "spec": { "replicas": 1, "selector": {}, "template": {
            "metadata": { "labels": { "app": "web" } }, "spec": { "containers": containers } } },
    })
}

fn edited(object: &Value, edit: impl FnOnce(&mut Value)) -> Value {
    let mut object = object.clone();
    edit(&mut object);
    object
}

/// Denied, for exactly these places and rules.
#[track_caller]
fn denied(answer: Said, expected: &[(&str, &str)]) {
    let message = answer.0.unwrap_or_else(|| panic!("allowed, with {:?}", answer.1));
    let problems: Vec<&str> = message.lines().filter(|line| line.starts_with(|rune: char| rune.is_ascii_digit())).collect();
    assert_eq!(problems.len(), expected.len(), "{message}");
    for (problem, (place, rule)) in problems.iter().zip(expected) {
        assert!(problem.contains(place) && problem.ends_with(&format!("[{rule}]")), "{place} {rule}: {message}");
    }
}

/// Allowed, with these rules as warnings about what was there before, and no others.
#[track_caller]
fn there_before((message, warnings): Said, rules: &[&str]) {
    assert_eq!(message, None);
    let said: Vec<&str> =
        warnings.iter().filter(|line| line.ends_with(THERE_BEFORE)).filter_map(|line| line.split(':').next()).collect();
    assert_eq!(said, rules, "{warnings:?}");
}

const HAIR: &str = "hair-trigger-liveness";

#[test]
fn the_same_is_warned_about_and_worse_is_denied() {
    let old = deployment(&[container("app", "i:1", 3)]);
    let with = |tolerance| deployment(&[container("app", "i:2", tolerance)]);
    there_before(change("", &old, &with(3)), &[HAIR]);
    there_before(change("", &old, &with(4)), &[HAIR]);
    denied(change("", &old, &with(2)), &[("container \"app\", livenessProbe", HAIR)]);
    // A second container of the same kind is new, whatever the first one has.
    let two = deployment(&[container("app", "i:1", 3), container("other", "j:1", 3)]);
    denied(change("", &old, &two), &[("container \"other\", livenessProbe", HAIR)]);
}

/// What a better rule's finding covered was there all the same: to repair the worst must not be denied for the rest.
#[test]
fn half_a_repair_is_no_new_fault() {
    let strict = "profile: strict\nrules: { no-startup-allowance: off, single-failure-liveness: off }\n";
    let old = deployment(&[container("app", "i:1", 1)]);
    let new = deployment(&[container("app", "i:1", 6)]);
    let created = change(strict, &deployment(&[calm("app")]), &new);
    denied(created, &[("container \"app\", livenessProbe", "aggressive-liveness")]);
    there_before(change(strict, &old, &new), &["aggressive-liveness"]);
}

/// An old fault excuses one new one, of the same field.
#[test]
fn an_old_fault_does_not_excuse_another() {
    let policy = "rules: { required-probes: { action: deny, params: { livenessProbe: { periodSeconds: { min: 10 }, timeoutSeconds: { min: 5 } } } } }\n";
    let numbers = |period: i64, timeout: i64| {
        let mut app = calm("app");
        app["livenessProbe"]["periodSeconds"] = json!(period);
        app["livenessProbe"]["timeoutSeconds"] = json!(timeout);
        deployment(&[app])
    };
    there_before(change(policy, &numbers(8, 5), &numbers(9, 5)), &["required-probes"]);
    denied(change(policy, &numbers(8, 5), &numbers(10, 4)), &[("livenessProbe: timeoutSeconds is 4", "required-probes")]);
    denied(change(policy, &numbers(8, 5), &numbers(8, 4)), &[("livenessProbe: timeoutSeconds is 4", "required-probes")]);

    let headers = |names: &[&str]| {
        let mut app = calm("app");
        let list: Vec<Value> = names.iter().map(|name| json!({ "name": name, "value": "secret" })).collect();
        app["livenessProbe"]["httpGet"]["httpHeaders"] = json!(list);
        deployment(&[app])
    };
    let policy = "rules: { credential-in-header: deny }\n";
    there_before(change(policy, &headers(&["Cookie"]), &headers(&["Accept", "Cookie"])), &["credential-in-header"]);
    denied(
        change(policy, &headers(&["Cookie"]), &headers(&["Cookie", "Authorization"])),
        &[("livenessProbe", "credential-in-header")],
    );
}

#[test]
fn containers_are_known_by_name_wherever_they_stand() {
    let old = deployment(&[container("app", "i:1", 3), calm("side")]);
    there_before(change("", &old, &deployment(&[calm("side"), container("app", "i:1", 3)])), &[HAIR]);
    // Two that swap their probes are each what its name says.
    let swapped = deployment(&[calm("app"), container("side", "i:1", 3)]);
    denied(change("", &old, &swapped), &[("container \"side\", livenessProbe", HAIR)]);
    // One that becomes a native sidecar keeps its name.
    let moved = edited(&deployment(&[calm("side")]), |object| {
        let mut sidecar = container("app", "i:1", 3);
        sidecar["restartPolicy"] = json!("Always");
        object["spec"]["template"]["spec"]["initContainers"] = json!([sidecar]);
    });
    there_before(change("", &old, &moved), &[HAIR]);
}

#[test]
fn a_renamed_container_is_the_same() {
    let old = deployment(&[container("app", "i:1", 3), calm("side")]);
    for (new, why) in [
        (vec![container("web", "i:1", 3), calm("side")], "same image, place and probes"),
        (vec![calm("side"), container("web", "i:1", 3)], "same image and probes"),
        (vec![container("web", "j:9", 3), calm("side")], "same place and probes"),
        (vec![container("web", "i:1", 4), calm("side")], "same image and place, and better probes"),
        (vec![container("web", "i:1", 3), calm("new"), calm("side")], "beside a new one"),
    ] {
        let answer = change("", &old, &deployment(&new));
        assert_eq!(answer.0, None, "{why}");
        there_before(answer, &[HAIR]);
    }
    for (new, why) in [
        (vec![container("web", "i:1", 2), calm("side")], "worse"),
        (vec![calm("side"), container("web", "j:9", 3)], "only the probes are the same"),
        (vec![calm("side"), container("web", "i:1", 4)], "only the image is the same"),
        (vec![container("app", "i:1", 3), container("web", "i:1", 3), calm("side")], "the old name is still there"),
    ] {
        let answer = change("", &old, &deployment(&new));
        assert!(answer.0.is_some(), "{why}");
        denied(answer, &[("container \"web\", livenessProbe", HAIR)]);
    }
    // One old container is not two new ones.
    let two = deployment(&[container("web", "i:1", 3), container("api", "i:1", 3), calm("side")]);
    denied(change("", &old, &two), &[("container \"api\", livenessProbe", HAIR)]);
}

/// More containers than anybody has, all with other names and in another order: each is found by its image and probes, and one that is worse is not. To compare
/// all with all for each of them takes forty times as long, and minutes for the most that is read.
#[test]
fn hundreds_of_renamed_containers_are_each_the_same() {
    let containers = |prefix: &str| -> Vec<Value> {
        (0..1_200).map(|at| container(&format!("{prefix}{at}"), &format!("i:{at}"), 3)).collect()
    };
    let mut new = containers("new");
    new.reverse();
    let old = deployment(&containers("old"));
    assert_eq!(change("", &old, &deployment(&new)).0, None);
    new[700] = container("new499", "i:499", 2);
    denied(change("", &old, &deployment(&new)), &[("container \"new499\", livenessProbe", HAIR)]);
}

/// What was filled in was no fault. Once the author says it himself, under whatever name, it is.
#[test]
fn the_record_follows_a_renamed_container() {
    let policy = "rules: { long-initial-delay: deny }\n";
    let delayed = |name: &str, record: Option<&str>| {
        let mut app = calm(name);
        app["livenessProbe"]["initialDelaySeconds"] = json!(200);
        edited(&deployment(&[app]), |object| {
            if let Some(container) = record {
                object["metadata"]["annotations"]["probekeeper.dev/filled"] =
                    json!(json!({ container: { "livenessProbe": { "initialDelaySeconds": 200 } } }).to_string());
            }
        })
    };
    there_before(change(policy, &delayed("app", None), &delayed("web", None)), &["long-initial-delay"]);
    // Filled in before, said by the author now: that is new.
    denied(change(policy, &delayed("app", Some("app")), &delayed("web", None)), &[("container \"web\"", "long-initial-delay")]);
}

/// Labels, annotations and other numbers than those of the pods never make an old fault a new one.
#[test]
fn what_is_not_the_template_never_denies() {
    let overrides = "overrides:\n  - match: { labels: { matchLabels: { tier: front } } }\n    rules: { aggressive-liveness: { action: deny, params: { minToleranceSeconds: 30 } }, hair-trigger-liveness: deny }\n\
                     rules: { hair-trigger-liveness: warn, aggressive-liveness: off, single-failure-liveness: off }\n";
    let old = deployment(&[container("app", "i:1", 3)]);
    let to_front = edited(&old, |new| new["metadata"]["labels"]["tier"] = json!("front"));
    assert!(change(overrides, &deployment(&[calm("app")]), &to_front).0.is_some(), "the stricter override is at work");
    there_before(change(overrides, &old, &to_front), &[HAIR]);
    // Also when the template gets the label, which is a change of it, and together with another image.
    let template = edited(&old, |new| {
        new["spec"]["template"]["metadata"]["labels"]["tier"] = json!("front");
        new["metadata"]["labels"] = json!({});
        new["spec"]["template"]["spec"]["containers"][0]["image"] = json!("i:2");
    });
    there_before(change(overrides, &old, &template), &[HAIR]);
    // But worse stays worse, by the measure of the stricter one.
    let worse =
        edited(&to_front, |new| new["spec"]["template"]["spec"]["containers"][0]["livenessProbe"]["timeoutSeconds"] = json!(2));
    denied(change(overrides, &old, &worse), &[("container \"app\", livenessProbe", HAIR)]);

    let allowing = edited(&old, |old| {
        old["metadata"]["annotations"]["probekeeper.dev/allow"] = json!("hair-trigger-liveness: it restarts at once");
    });
    assert_eq!(change("", &deployment(&[calm("app")]), &allowing).0, None, "the annotation is at work");
    there_before(change("", &allowing, &old), &[HAIR]);
    let elsewhere = edited(&allowing, |old| {
        old["spec"]["template"]["metadata"]["annotations"] = old["metadata"]["annotations"].take();
    });
    there_before(change("", &elsewhere, &old), &[HAIR]);
    let scaled = edited(&old, |new| new["spec"]["replicas"] = json!(5));
    there_before(change("", &old, &scaled), &[HAIR]);
    let restarted = edited(&old, |new| {
        new["spec"]["template"]["metadata"]["annotations"] =
            json!({ "kubectl.kubernetes.io/restartedAt": "2027-01-01T00:00:00Z" });
    });
    there_before(change("", &old, &restarted), &[HAIR]);

    // A number of the workload's own that bears on its probes is judged: this one is the fault.
    let policy = "rules: { startup-exceeds-progress-deadline: deny }\n";
    let old = deployment(&[calm("app")]);
    let hasty = edited(&old, |new| new["spec"]["progressDeadlineSeconds"] = json!(20));
    denied(change(policy, &old, &hasty), &[("container \"app\"", "startup-exceeds-progress-deadline")]);
    there_before(
        change(policy, &hasty, &edited(&hasty, |new| new["metadata"]["labels"]["a"] = json!("b"))),
        &["startup-exceeds-progress-deadline"],
    );
}

/// The record is an annotation too: without it a number looks chosen, but nothing was changed.
#[test]
fn a_lost_record_denies_nothing() {
    let policy = "rules: { long-initial-delay: deny }\n";
    let mut app = calm("app");
    app["livenessProbe"]["initialDelaySeconds"] = json!(200);
    let new = deployment(&[app]);
    let old = edited(&new, |old| {
        old["metadata"]["annotations"]["probekeeper.dev/filled"] =
            json!(r#"{"app":{"livenessProbe":{"initialDelaySeconds":200}}}"#);
    });
    there_before(change(policy, &old, &new), &["long-initial-delay"]);
}

/// Overrides by image or container: the new one's hold for what was there too.
#[test]
fn another_image_or_name_is_judged_by_the_new_ones_settings() {
    let policy = "rules: { hair-trigger-liveness: warn }\noverrides:\n  - match: { images: [\"strict/*\"] }\n    rules: { hair-trigger-liveness: deny }\n  - match: { containers: [\"strict-*\"] }\n    rules: { hair-trigger-liveness: deny }\n";
    let old = deployment(&[container("app", "lax/i:1", 3)]);
    there_before(change(policy, &old, &deployment(&[container("app", "strict/i:1", 3)])), &[HAIR]);
    there_before(change(policy, &old, &deployment(&[container("strict-app", "lax/i:1", 3)])), &[HAIR]);
    denied(change(policy, &old, &deployment(&[container("app", "strict/i:1", 2)])), &[("container \"app\"", HAIR)]);
}

type Spoil<'t> = &'t dyn Fn(&mut Value);

/// The object as kubectl's undo leaves it: see the control-plane tests for the real one.
fn undone(old: &Value, containers: &[Value]) -> (Value, Value) {
    let mut old = old.clone();
    old["metadata"]["managedFields"] = json!([
        { "manager": "kubectl-set", "operation": "Update", "time": "2027-01-01T00:00:00Z", "fieldsV1": { "f:spec": { "f:template": {} } } }]);
    let mut new = deployment(containers);
    new["metadata"]["generation"] = json!(3);
    new["metadata"]["managedFields"] = json!([
        { "manager": "kubectl", "operation": "Update", "time": "2027-01-01T00:01:00Z", "fieldsV1": { "f:spec": { "f:template": {} } } }]);
    let mut review = review(&old, &new);
    review["request"]["options"] = json!({ "kind": "UpdateOptions", "apiVersion": "meta.k8s.io/v1" });
    (review, new)
}

#[test]
fn only_what_looks_like_an_undo_in_every_respect_is_one() {
    let old = deployment(&[calm("app")]);
    let (undo, new) = undone(&old, &[container("app", "i:0", 1)]);
    let (message, warnings) = ask("", Route::Validate, &undo);
    assert_eq!(message, None);
    assert!(warnings.iter().any(|line| line.starts_with(HAIR) && line.ends_with("(not denied: a rollback)")), "{warnings:?}");

    let manager = |review: &mut Value, field: &str, value: Value| {
        review["request"]["object"]["metadata"]["managedFields"][0][field] = value;
    };
    let others: [(&str, Spoil<'_>); 9] = [
        ("a field manager is named", &|review| review["request"]["options"]["fieldManager"] = json!("kubectl")),
        ("nothing says how it was asked for", &|review| review["request"]["options"] = Value::Null),
        ("another program", &|review| manager(review, "manager", json!("helm"))),
        ("another command", &|review| manager(review, "manager", json!("kubectl-edit"))),
        ("an apply", &|review| manager(review, "operation", json!("Apply"))),
        ("not of the template", &|review| manager(review, "fieldsV1", json!({ "f:spec": { "f:replicas": {} } }))),
        ("an undo before this change", &|review| {
            let entries = review["request"]["object"]["metadata"]["managedFields"].clone();
            review["request"]["oldObject"]["metadata"]["managedFields"] = entries;
        }),
        ("it changes more than that", &|review| review["request"]["object"]["spec"]["replicas"] = json!(2)),
        ("not a kind that has revisions", &|review| {
            for object in ["object", "oldObject"] {
                review["request"][object]["kind"] = json!("ReplicaSet");
            }
        }),
    ];
    for (why, spoil) in others {
        let mut review = undo.clone();
        spoil(&mut review);
        let answer = ask("", Route::Validate, &review);
        assert!(answer.0.is_some(), "{why}");
        denied(answer, &[("container \"app\", livenessProbe", HAIR)]);
    }
    // What was worse before is not called a rollback's.
    let (undo, _) = undone(&deployment(&[container("app", "i:1", 1)]), &[container("app", "i:0", 2)]);
    there_before(ask("", Route::Validate, &undo), &[HAIR]);
    assert!(new["metadata"]["managedFields"].is_array());
}
