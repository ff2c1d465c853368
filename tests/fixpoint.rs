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
                Choices { defaults, startup: Startup { allowance_seconds }, ..Choices::default() }
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
        let operations = patch::operations(workload, plan, &text).expect("operations");
        assert!(patch::applies(&text, &operations), "{operations:?}\n{object}");
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
    let evaluation = evaluate(policy, &Workload::from_json(object).unwrap().unwrap());
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
            let mut workload = Workload::from_json(&patched).unwrap().unwrap();
            let stored = evaluate(&judge, &workload).findings;
            let text = object.to_string();
            with_plan(&policy, &text, pass, |_, plan| {
                workload = Workload::from_json(&object.to_string()).map(|_| Workload::from_json(&patched).unwrap().unwrap()).unwrap();
                let mut applied = Workload::from_json(&text).unwrap().unwrap();
                defaults::apply(&mut applied, plan);
                assert_eq!(evaluate(&judge, &applied).findings, stored);
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
        let policy = Policy::compile(&Choices { defaults, startup: Startup { allowance_seconds }, ..Choices::default() }).unwrap();
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
