//! What is filled in makes no rule fire, is not filled in again, and is never stricter than what the API server would have taken.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

use probekeeper::{
    engine::{defaults, evaluate, patch},
    model::{Kind, Leaf, ProbeKind, WitnessTexts, Witnesses, Workload},
    policy::{Choices, Defaults, FillWith, Policy, ProbeDefaults, Profile, Startup},
    rules::Finding,
};
use proptest::{option, prelude::*, sample::select};
use serde_json::{Map, Value, json};

fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

// --- objects and policies ---

fn count() -> BoxedStrategy<i64> {
    prop_oneof![8 => 1..=12_i64, 4 => 13..=130_i64, 1 => 131..=2000_i64, 1 => Just(i64::from(i32::MAX))].boxed()
}

fn handler() -> BoxedStrategy<Value> {
    select(vec![
        json!({ "httpGet": { "path": "/healthz", "port": 8080 } }),
        json!({ "httpGet": { "path": "/readyz", "port": "http" } }),
        json!({ "httpGet": { "path": "/healthz", "port": 8443, "scheme": "HTTPS", "httpHeaders": [{ "name": "X-Token", "value": "x" }] } }),
        json!({ "httpGet": { "path": "/quit", "port": "nowhere", "host": "db.shop.svc" } }),
        json!({ "httpGet": { "path": "/livez", "port": "nowhere" } }),
        json!({ "tcpSocket": { "port": 8080 } }),
        json!({ "grpc": { "port": 9000, "mode": "unknown to us" } }),
        json!({ "exec": { "command": ["check"] } }),
        json!({ "exec": { "command": ["true"] } }),
    ])
    .boxed()
}

fn probe(kind: ProbeKind) -> BoxedStrategy<Value> {
    let numbers = (
        option::of(count()),
        option::of(count()),
        option::of(count()),
        option::of(count()),
        option::of(1..=3_i64),
        option::weighted(0.2, 1..=200_i64),
    );
    (handler(), numbers)
        .prop_map(move |(mut probe, (delay, period, timeout, failures, successes, grace))| {
            let successes = successes.filter(|_| kind == ProbeKind::Readiness);
            let grace = grace.filter(|_| kind != ProbeKind::Readiness);
            let numbers = [
                (Leaf::InitialDelaySeconds, delay),
                (Leaf::PeriodSeconds, period),
                (Leaf::TimeoutSeconds, timeout),
                (Leaf::FailureThreshold, failures),
                (Leaf::SuccessThreshold, successes),
                (Leaf::TerminationGracePeriodSeconds, grace),
            ];
            for (leaf, number) in numbers {
                if let Some(number) = number {
                    probe[leaf.field()] = json!(number);
                }
            }
            probe
        })
        .boxed()
}

fn object() -> BoxedStrategy<Value> {
    let ports = select(vec![
        json!(null),
        json!([{ "name": "http", "containerPort": 8080 }]),
        json!([{ "name": "http-metrics", "containerPort": 9000 }]),
    ]);
    let lifecycle = select(vec![
        json!(null),
        json!({}),
        json!({ "preStop": { "exec": { "command": ["sleep", "20"] } } }),
        json!({ "preStop": { "httpGet": { "port": 8080 } } }),
        json!({ "postStart": { "exec": { "command": ["warm"] } } }),
    ]);
    let probes = (
        option::weighted(0.8, probe(ProbeKind::Liveness)),
        option::weighted(0.6, probe(ProbeKind::Readiness)),
        option::weighted(0.3, probe(ProbeKind::Startup)),
    );
    let pod = (
        option::weighted(0.4, select(vec![0_i64, 1, 5, 60, 121, 600])),
        option::weighted(0.4, select(vec![31_i64, 60, 120, 300, 601])),
        option::weighted(0.2, 1..=30_i64),
    );
    let kind = select(vec![Kind::Deployment, Kind::Deployment, Kind::StatefulSet, Kind::CronJob, Kind::Pod]);
    (kind, probes, ports, lifecycle, pod, any::<bool>()).prop_map(
        |(kind, (liveness, readiness, startup), ports, lifecycle, (grace, deadline, min_ready), same)| {
            let mut container = json!({ "name": "web", "image": "web:1" });
            let copied = same.then(|| liveness.as_ref().zip(readiness.as_ref())).flatten();
            let readiness = copied.map(|(liveness, readiness)| with_handler_of(liveness, readiness)).or(readiness.clone());
            for (field, value) in [("livenessProbe", liveness), ("readinessProbe", readiness), ("startupProbe", startup), ("ports", Some(ports)), ("lifecycle", Some(lifecycle))] {
                if let Some(value) = value.filter(|value| !value.is_null()) {
                    container[field] = value;
                }
            }
            let mut pod = json!({ "containers": [container] });
            if let Some(grace) = grace {
                pod["terminationGracePeriodSeconds"] = json!(grace);
            }
            let mut object = json!({ "metadata": { "name": "web" }, "kind": kind.name(), "apiVersion": match kind.group() { "" => "v1".to_owned(), group => format!("{group}/v1") } });
            object["spec"] = match kind {
                Kind::Pod => pod,
                Kind::CronJob => json!({ "jobTemplate": { "spec": { "template": { "spec": pod } } } }),
                _ => {
                    let mut spec = json!({ "selector": {}, "template": { "spec": pod } });
                    if let (Kind::Deployment, Some(deadline)) = (kind, deadline) {
                        spec["progressDeadlineSeconds"] = json!(deadline);
                    }
                    if let Some(min_ready) = min_ready {
                        spec["minReadySeconds"] = json!(min_ready);
                    }
                    spec
                }
            };
            object
        },
    )
    .boxed()
}

const HANDLERS: [&str; 4] = ["httpGet", "tcpSocket", "grpc", "exec"];

fn with_handler_of(liveness: &Value, readiness: &Value) -> Value {
    let mut probe: Map<String, Value> =
        readiness.as_object().unwrap().clone().into_iter().filter(|(key, _)| !HANDLERS.contains(&&**key)).collect();
    probe.extend(liveness.as_object().unwrap().clone().into_iter().filter(|(key, _)| HANDLERS.contains(&&**key)));
    Value::Object(probe)
}

fn fill() -> BoxedStrategy<FillWith> {
    prop_oneof![4 => Just(FillWith::Auto), 2 => Just(FillWith::Leave), 3 => count().prop_map(FillWith::Value)].boxed()
}

fn policy() -> BoxedStrategy<Choices> {
    let probe = || {
        (fill(), fill(), fill(), fill()).prop_map(|(initial_delay, timeout, period, failure_threshold)| ProbeDefaults {
            initial_delay,
            timeout,
            period: if period == FillWith::Auto { FillWith::Leave } else { period },
            failure_threshold,
        })
    };
    let defaults = (any::<bool>(), probe(), probe(), probe(), fill(), any::<bool>(), prop_oneof![Just(0_i64), 1..=60_i64]);
    (defaults, prop_oneof![3 => Just(30_i64), 1 => 0..=900_i64])
        .prop_map(
            |(
                (auto, liveness, readiness, startup, liveness_grace, add_startup_probe, pre_stop_sleep_seconds),
                allowance_seconds,
            )| {
                let opt_in = Defaults { liveness_grace, add_startup_probe, pre_stop_sleep_seconds, ..Defaults::default() };
                let defaults = if auto { opt_in } else { Defaults { liveness, readiness, startup, ..opt_in } };
                Choices { defaults, startup: Startup { allowance_seconds, ..Startup::default() }, ..Choices::default() }
            },
        )
        .boxed()
}

// --- passes ---

#[derive(Debug, Clone, Copy, PartialEq)]
enum Pass {
    /// A file.
    File,
    /// A review; `create`.
    Live(bool),
}

fn with_plan<R>(policy: &Policy, object: &str, pass: Pass, then: impl FnOnce(&Workload<'_>, &defaults::Plan) -> R) -> R {
    let workload = Workload::from_json(object).unwrap().expect("a workload");
    let old = Workload::from_json(object).unwrap().filter(|_| pass == Pass::Live(false));
    let texts = WitnessTexts::of(&workload, old.as_ref());
    let (witnesses, create) = match pass {
        Pass::File => (Witnesses::File, true),
        Pass::Live(create) => (Witnesses::live(&workload, old.as_ref(), &texts), create),
    };
    let plan = defaults::plan(policy, &workload, &witnesses, create);
    then(&workload, &plan)
}

/// The object after the patch, as the API server would have it.
fn filled(policy: &Policy, object: &Value, pass: Pass) -> Value {
    let text = object.to_string();
    with_plan(policy, &text, pass, |workload, plan| {
        let operations = patch::operations(workload, plan, &plan.record.to_annotation(), &text).expect("operations");
        assert!(patch::applies(workload, &text, &operations), "{operations:?}\n{object}");
        let document: json_patch::Patch = serde_json::from_str(&patch::to_json(&operations)).unwrap();
        let mut patched = object.clone();
        json_patch::patch(&mut patched, &document).unwrap();
        without_nulls(&mut patched);
        patched
    })
}

fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

/// What the API server writes into probes.
fn defaulted(object: &Value) -> Value {
    fn walk(value: &mut Value) {
        match value {
            Value::Object(members) => {
                for (name, member) in members.iter_mut() {
                    if ProbeKind::ALL.iter().any(|kind| kind.field() == name) {
                        for leaf in Leaf::ALL {
                            if let Some(default) = leaf.api_default().filter(|default| *default != 0) {
                                let number = member.as_object_mut().unwrap().entry(leaf.field()).or_insert(json!(default));
                                assert!(number.is_i64());
                            }
                        }
                    }
                    walk(member);
                }
            }
            Value::Array(items) => items.iter_mut().for_each(walk),
            _ => {}
        }
    }
    let mut object = object.clone();
    walk(&mut object);
    object
}

fn findings(policy: &Policy, object: &str) -> Vec<Finding> {
    let evaluation = evaluate(policy, &Workload::from_json(object).unwrap().unwrap(), probekeeper::clock::today());
    assert!(evaluation.rule_errors.is_empty(), "{:?}", evaluation.rule_errors);
    evaluation.findings
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_rule_fires_because_of_what_was_filled_in(object in object(), choices in policy(), live in any::<bool>()) {
        let policy = Policy::compile(&choices).unwrap();
        let (object, pass) = if live { (defaulted(&object), Pass::Live(true)) } else { (object, Pass::File) };
        let patched = filled(&policy, &object, pass).to_string();
        for profile in Profile::ALL {
            let judge = Policy::builtin(profile);
            let before = findings(&judge, &object.to_string());
            let after = findings(&judge, &patched);
            for finding in &after {
                let said = before.iter().any(|other| {
                    let same = other.rule == finding.rule && other.badness >= finding.badness || finding.rule.covered_by.contains(&other.rule.id);
                    same && other.container == finding.container && other.probe == finding.probe && other.action >= finding.action
                });
                prop_assert!(said, "{profile}: {}: {}: {}\nbefore {}\nafter  {}", finding.rule.id, finding.place(), finding.message, object, patched);
            }
            // The model after `apply` is the model of what is stored.
            let text = object.to_string();
            with_plan(&policy, &text, pass, |_, plan| {
                let mut applied = Workload::from_json(&text).unwrap().unwrap();
                defaults::apply(&mut applied, plan);
                assert_eq!(evaluate(&judge, &applied, probekeeper::clock::today()).findings, after);
            });
        }
    }

    #[test]
    fn a_second_pass_finds_nothing_to_do(object in object(), choices in policy(), live in any::<bool>()) {
        let policy = Policy::compile(&choices).unwrap();
        let (object, pass) = if live { (defaulted(&object), Pass::Live(true)) } else { (object, Pass::File) };
        let once = filled(&policy, &object, pass);
        prop_assert_eq!(&filled(&policy, &once, pass), &once);
        if live {
            let stored = defaulted(&once);
            prop_assert_eq!(&filled(&policy, &stored, Pass::Live(true)), &stored);
        }
    }

    /// Without numbers in the policy, on UPDATE too.
    #[test]
    fn an_update_finds_nothing_to_do(object in object(), add_startup_probe in any::<bool>(), pre_stop_sleep_seconds in 0..=60_i64) {
        let defaults = Defaults { add_startup_probe, pre_stop_sleep_seconds, liveness_grace: FillWith::Auto, ..Defaults::default() };
        let policy = Policy::compile(&Choices { defaults, ..Choices::default() }).unwrap();
        let stored = defaulted(&filled(&policy, &defaulted(&object), Pass::Live(true)));
        prop_assert_eq!(&filled(&policy, &stored, Pass::Live(false)), &stored);
    }

    #[test]
    fn what_is_computed_is_never_stricter(object in object(), add_startup_probe in any::<bool>(), allowance_seconds in 0..=900_i64) {
        let defaults = Defaults { add_startup_probe, ..Defaults::default() };
        let policy = Policy::compile(&Choices { defaults, startup: Startup { allowance_seconds, ..Startup::default() }, ..Choices::default() }).unwrap();
        let text = object.to_string();
        with_plan(&policy, &text, Pass::File, |before, plan| {
            for fill in &plan.fills {
                prop_assert!(Some(fill.value) > fill.leaf.api_default(), "{fill:?}");
            }
            let mut after = Workload::from_json(&text).unwrap().unwrap();
            defaults::apply(&mut after, plan);
            for (before, after) in before.containers.iter().zip(&after.containers) {
                let timing = |container: &probekeeper::model::Container<'_>, kind| container.valid_probe(kind).map(probekeeper::model::Probe::timing);
                let start = |container| timing(container, ProbeKind::Startup).or(timing(container, ProbeKind::Liveness)).map(|timing| timing.guaranteed_start_up());
                prop_assert!(start(after) >= start(before));
                let hang = |container| timing(container, ProbeKind::Liveness).map(|timing| timing.tolerance());
                prop_assert!(hang(after) >= hang(before));
            }
            Ok(())
        })?;
    }
}

// --- what was added, and whose it is later ---

fn opt_in() -> Policy {
    let defaults = Defaults { add_startup_probe: true, pre_stop_sleep_seconds: 5, ..Defaults::default() };
    Policy::compile(&Choices { defaults, ..Choices::default() }).unwrap()
}

const WEB: &str = "/spec/template/spec/containers/0";

fn web(container: Value) -> Value {
    let mut web = json!({ "name": "web", "image": "web:1", "ports": [{ "containerPort": 8080 }] });
    merge(&mut web, container);
    defaulted(&json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "web" },
        "spec": { "selector": {}, "template": { "spec": { "containers": [web] } } },
    }))
}

/// As a strategic merge of maps.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// The object stored after a CREATE, and what an author's change makes of it: merged into the container, with witnesses.
fn updated(policy: &Policy, first: Value, change: &Value, witness: impl FnOnce(&mut Value)) -> Value {
    let stored = defaulted(&filled(&opt_in(), &web(first), Pass::Live(true)));
    let mut new = stored.clone();
    merge(new.pointer_mut(WEB).unwrap(), change.clone());
    without_nulls(&mut new);
    witness(&mut new);
    let (new_text, old_text) = (new.to_string(), stored.to_string());
    let workload = Workload::from_json(&new_text).unwrap().unwrap();
    let old = Workload::from_json(&old_text).unwrap().unwrap();
    let texts = WitnessTexts::of(&workload, Some(&old));
    let plan = defaults::plan(policy, &workload, &Witnesses::live(&workload, Some(&old), &texts), false);
    let operations = patch::operations(&workload, &plan, &plan.record.to_annotation(), &new_text).expect("operations");
    assert!(patch::applies(&workload, &new_text, &operations), "{operations:?}");
    let document: json_patch::Patch = serde_json::from_str(&patch::to_json(&operations)).unwrap();
    let mut patched = new.clone();
    json_patch::patch(&mut patched, &document).unwrap();
    without_nulls(&mut patched);
    patched.pointer(WEB).unwrap().clone()
}

fn applied_by_kubectl(container: &Value) -> impl FnOnce(&mut Value) {
    let mut file = json!({ "name": "web", "image": "web:1", "ports": [{ "containerPort": 8080 }] });
    merge(&mut file, container.clone());
    let file = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" }, "spec": { "selector": {}, "template": { "spec": { "containers": [file] } } } });
    move |object| object["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = json!(file.to_string())
}

fn applied_by_server(startup: Value) -> impl FnOnce(&mut Value) {
    move |object| {
        object["metadata"]["managedFields"] = json!([{
            "manager": "flux", "operation": "Apply", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
            "fieldsV1": { "f:spec": { "f:template": { "f:spec": { "f:containers": { "k:{\"name\":\"web\"}": { "f:startupProbe": startup } } } } } },
        }]);
    }
}

fn liveness() -> Value {
    json!({ "livenessProbe": { "httpGet": { "path": "/livez", "port": 8080, "scheme": "HTTPS", "protocol": "HTTP2" } } })
}

#[test]
fn a_startup_probe_and_a_pause_are_added_with_all_that_the_handler_holds() {
    let stored = filled(&opt_in(), &web(liveness()), Pass::Live(true));
    let container = stored.pointer(WEB).unwrap();
    assert_eq!(
        container["startupProbe"],
        json!({
            "httpGet": { "path": "/livez", "port": 8080, "scheme": "HTTPS", "protocol": "HTTP2" },
            "periodSeconds": 10, "timeoutSeconds": 5, "failureThreshold": 4,
        })
    );
    assert_eq!(container["lifecycle"], json!({ "preStop": { "sleep": { "seconds": 5 } } }));
    assert_eq!(container["livenessProbe"].get("initialDelaySeconds"), None, "the startup probe does what the delay is for");
    // Liveness alone would give 120 + 20 s to start: the copy must not give less.
    let mut slow = liveness();
    slow["livenessProbe"]["initialDelaySeconds"] = json!(120);
    let stored = filled(&opt_in(), &web(slow), Pass::Live(true));
    assert_eq!(stored.pointer(WEB).unwrap()["startupProbe"]["failureThreshold"], 15);
}

#[test]
fn no_startup_probe_is_added_where_it_could_do_harm() {
    for (probe, why) in [
        (
            json!({ "httpGet": { "port": "nowhere" } }),
            "a probe that never acts would become one that never lets the container start",
        ),
        (json!({ "tcpSocket": { "port": 5432, "host": "db.shop.svc" } }), "the start would depend on another host"),
        (json!({ "httpGet": { "port": 80 }, "initialDelaySeconds": 3000 }), "half an hour is too long"),
    ] {
        let stored = filled(&opt_in(), &web(json!({ "livenessProbe": probe })), Pass::Live(true));
        assert_eq!(stored.pointer(WEB).unwrap().get("startupProbe"), None, "{why}");
    }
}

#[test]
fn an_authors_own_startup_probe_wins() {
    let own = json!({ "startupProbe": { "tcpSocket": { "port": 8080 }, "periodSeconds": 2 } });
    let mut file = liveness();
    merge(&mut file, own.clone());
    let expected = |container: &Value| {
        let probe = &container["startupProbe"];
        assert_eq!(probe.get("httpGet"), None, "{probe}");
        assert_eq!((&probe["tcpSocket"], &probe["periodSeconds"]), (&json!({ "port": 8080 }), &json!(2)));
        assert_eq!(probe["failureThreshold"], 16, "what is left out is computed anew: {probe}");
    };
    expected(&updated(&opt_in(), liveness(), &own, applied_by_kubectl(&file)));
    expected(&updated(
        &opt_in(),
        liveness(),
        &own,
        applied_by_server(json!({ "f:tcpSocket": { "f:port": {} }, "f:periodSeconds": {} })),
    ));
    // Helm 3 leaves no witness: the handler that was not there before is the author's. What it left out it may have meant.
    let container = updated(&opt_in(), liveness(), &own, |_| {});
    assert_eq!(
        (container["startupProbe"].get("httpGet"), &container["startupProbe"]["tcpSocket"]),
        (None, &json!({ "port": 8080 }))
    );
}

#[test]
fn of_the_same_handler_nothing_of_ours_stays_behind() {
    let own = json!({ "startupProbe": { "httpGet": { "path": "/started", "port": 8080 } } });
    let mut file = liveness();
    merge(&mut file, own.clone());
    let handler = |container: &Value| container["startupProbe"]["httpGet"]["scheme"].clone();
    assert_eq!(handler(&updated(&opt_in(), liveness(), &own, applied_by_kubectl(&file))), Value::Null);
    let owned = json!({ "f:httpGet": { "f:path": {}, "f:port": {} } });
    assert_eq!(handler(&updated(&opt_in(), liveness(), &own, applied_by_server(owned))), Value::Null);
    file["startupProbe"]["httpGet"]["scheme"] = json!("HTTPS");
    assert_eq!(handler(&updated(&opt_in(), liveness(), &own, applied_by_kubectl(&file))), "HTTPS");
}

#[test]
fn what_was_added_follows_and_goes_again() {
    // The author moves liveness.
    let moved = json!({ "livenessProbe": { "httpGet": { "path": "/alive" } } });
    let container = updated(&opt_in(), liveness(), &moved, |_| {});
    assert_eq!(container["startupProbe"]["httpGet"]["path"], "/alive");
    // The author takes liveness away.
    let container = updated(&opt_in(), liveness(), &json!({ "livenessProbe": null }), |_| {});
    assert_eq!(container.get("startupProbe"), None);
    // The policy no longer wants either; liveness gets its delay instead.
    let container = updated(&Policy::builtin(Profile::Recommended), liveness(), &json!({ "image": "web:2" }), |_| {});
    assert_eq!((container.get("startupProbe"), &container["lifecycle"]), (None, &json!({})));
    // Somebody edits it: it is theirs.
    let edited = json!({ "startupProbe": { "failureThreshold": 99 } });
    let container = updated(&opt_in(), liveness(), &edited, |_| {});
    assert_eq!(container["startupProbe"]["failureThreshold"], 99);
    // The author writes a hook.
    let hook = json!({ "lifecycle": { "preStop": { "exec": { "command": ["drain"] } } } });
    let container = updated(&opt_in(), liveness(), &hook, |_| {});
    assert_eq!(container["lifecycle"]["preStop"], json!({ "exec": { "command": ["drain"] } }));
}

#[test]
fn a_grace_period_for_liveness_and_a_pause_within_it() {
    let defaults = Defaults { liveness_grace: FillWith::Auto, pre_stop_sleep_seconds: 60, ..Defaults::default() };
    let policy = Policy::compile(&Choices { defaults, ..Choices::default() }).unwrap();
    let mut object = web(liveness());
    object["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = json!(600);
    let stored = filled(&policy, &object, Pass::Live(true));
    assert_eq!(stored.pointer(WEB).unwrap()["livenessProbe"]["terminationGracePeriodSeconds"], 30);
    assert_eq!(stored.pointer(WEB).unwrap()["lifecycle"]["preStop"]["sleep"]["seconds"], 15, "half of the shortest grace period");
    // The policy leaves it again.
    let again = filled(&Policy::builtin(Profile::Recommended), &stored, Pass::Live(false));
    assert_eq!(again.pointer(WEB).unwrap()["livenessProbe"].get("terminationGracePeriodSeconds"), None);
    // A hook of unknown length.
    object.pointer_mut(WEB).unwrap()["lifecycle"] = json!({ "preStop": { "exec": { "command": ["drain"] } } });
    let stored = filled(&policy, &object, Pass::Live(true));
    assert_eq!(stored.pointer(WEB).unwrap()["livenessProbe"].get("terminationGracePeriodSeconds"), None);
}
