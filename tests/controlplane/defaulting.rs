//! What the API server makes of a probe against what the library, and the tests that do without an API server, say that it makes of it: numbers that are
//! left out, and probes that it refuses. Generated objects; nothing is stored.

use jiff::civil::Date;
use probekeeper::engine::evaluate;
use probekeeper::model::{Leaf, Probe, ProbeKind, Workload};
use probekeeper::policy::{Policy, Profile};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::cluster::{Cluster, Namespace};
use crate::http::Answer;
use crate::workloads::KINDS;
use crate::{apiserver, contract, generate};

const OBJECTS: usize = 500;

/// The same objects each time. Of every five, one has a number or handler that may be refused.
fn objects() -> Vec<Value> {
    let mut runner = TestRunner::deterministic();
    let file = generate::file();
    let mut objects: Vec<Value> =
        (0..OBJECTS).map(|_| file.new_tree(&mut runner).expect("an object").current()).map(completed).collect();
    let mut at = 0;
    for object in objects.iter_mut().step_by(5) {
        at = strike(object, at);
    }
    objects
}

/// What the API server demands and no probe depends on.
fn completed(mut object: Value) -> Value {
    let kind = object["kind"].as_str().expect("kind").to_owned();
    let job = kind == "Job" || kind == "CronJob";
    let pod = object.pointer_mut(contract::pod_spec_pointer(&object.clone())).expect("a pod");
    if kind != "Pod" && !(job && pod["restartPolicy"] == "Never") {
        pod["restartPolicy"] = json!(if job { "OnFailure" } else { "Always" });
    }
    // Two containers with the same port on the node's network collide.
    pod.as_object_mut().expect("a pod").remove("hostNetwork");
    for init in pod["initContainers"].as_array_mut().into_iter().flatten() {
        if init["restartPolicy"].is_null() {
            init.as_object_mut().expect("a container").retain(|field, _| !["lifecycle", "restartPolicy"].contains(&&**field));
        }
    }
    if job {
        object["spec"].as_object_mut().expect("spec").remove("selector");
    }
    match &*kind {
        "Pod" => {}
        "CronJob" => object["spec"]["schedule"] = json!("0 3 * * *"),
        "ReplicationController" => {
            object["spec"]["selector"] = json!({ "app": "web" });
            object["spec"]["template"]["metadata"] = json!({ "labels": { "app": "web" } });
        }
        _ => object["spec"]["template"]["metadata"] = json!({ "labels": { "app": "web" } }),
    }
    if kind == "StatefulSet" {
        object["spec"]["serviceName"] = json!("web");
    }
    object["metadata"].as_object_mut().expect("metadata").remove("namespace");
    object
}

/// Changes the first probe that is there; returns which change comes next.
fn strike(object: &mut Value, at: usize) -> usize {
    let numbers = [
        json!(-1),
        json!(0),
        json!(2),
        json!(i32::MAX),
        json!(i64::from(i32::MAX) + 1),
        json!(1_u64 << 40),
        json!(1.5),
        json!(1.0),
        json!("5"),
        json!(null),
    ];
    let Some((pointer, probe)) = probes(object).into_iter().next() else { return at };
    let (leaf, number) = (Leaf::ALL[at % Leaf::ALL.len()].field(), &numbers[at / Leaf::ALL.len() % numbers.len()]);
    let mut struck: Value = probe;
    match at % 11 {
        9 => struck["tcpSocket"] = json!({ "port": 80 }),
        10 => struck.as_object_mut().expect("a probe").retain(|field, _| field.ends_with("Seconds")),
        _ => struck[leaf] = number.clone(),
    }
    *object.pointer_mut(&pointer).expect("a probe") = struck;
    at + 1
}

/// Every probe of an object and where it is.
fn probes(object: &Value) -> Vec<(String, Value)> {
    let pod = contract::pod_spec_pointer(object);
    let mut all = Vec::new();
    for list in ["containers", "initContainers"] {
        for at in 0..object.pointer(&format!("{pod}/{list}")).and_then(Value::as_array).map_or(0, Vec::len) {
            for probe in contract::PROBES {
                let pointer = format!("{pod}/{list}/{at}/{probe}");
                all.extend(object.pointer(&pointer).cloned().map(|probe| (pointer, probe)));
            }
        }
    }
    all
}

fn create(namespace: &Namespace, object: &Value) -> Answer {
    let kind = KINDS.iter().find(|kind| object["kind"] == kind.kind).expect("a kind");
    namespace.cluster.call("POST", &format!("{}?dryRun=All", namespace.path(kind.api, kind.resource)), object)
}

/// Two at a time.
fn created(namespace: &Namespace, objects: &[Value]) -> Vec<(Value, Answer)> {
    let (first, second) = objects.split_at(objects.len() / 2);
    let create = |half: &[Value]| half.iter().map(|object| (object.clone(), create(namespace, object))).collect::<Vec<_>>();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| create(second));
        let mut all = create(first);
        all.extend(other.join().expect("the other half"));
        all
    })
}

/// Whether the library takes every probe for one that the API server accepts.
fn is_valid(object: &Value) -> bool {
    probes(object).into_iter().all(|(pointer, probe)| {
        let kind = ProbeKind::ALL.into_iter().find(|kind| pointer.ends_with(kind.field())).expect("a probe's field");
        let text = probe.to_string();
        serde_json::from_str::<Probe<'_>>(&text).is_ok_and(|probe| probe.is_valid(kind))
    })
}

#[test]
fn the_api_server_fills_in_and_refuses_what_we_say_it_does() {
    let namespace = Cluster::shared().namespace("defaulting");
    let policies = Profile::ALL.map(Policy::builtin);
    let (mut accepted, mut refused, mut filled, mut findings) = (0, 0, 0, 0);
    let mut wrong = Vec::new();
    for (object, answer) in created(&namespace, &objects()) {
        let created = answer.code == 201;
        if created != is_valid(&object) {
            wrong.push(format!("{}: {} of {object}", answer.code, answer.message()));
            continue;
        }
        if !created {
            assert!(matches!(answer.code, 400 | 422), "{answer:?}");
            refused += 1;
            continue;
        }
        accepted += 1;
        let stored = answer.body;
        let (ours, theirs) = (probes(&apiserver::defaulted(&object)), probes(&stored));
        assert_eq!(ours.len(), theirs.len(), "{object}");
        for (ours, theirs) in ours.iter().zip(&theirs).filter(|(ours, theirs)| ours != theirs) {
            wrong.push(format!("stored as {} {}, said to be {}", theirs.0, theirs.1, ours.1));
        }
        // The library applies the defaults where it reads a number.
        let (before, after) = (object.to_string(), stored.to_string());
        let read = |text| Workload::from_json(text).expect("an object").expect("a workload");
        let (written, stored) = (read(&before), read(&after));
        for (container, stored) in written.containers.iter().zip(&stored.containers) {
            for kind in ProbeKind::ALL {
                let (Some(probe), Some(stored)) = (container.probe(kind), stored.probe(kind)) else {
                    assert!(container.probe(kind).is_none() && stored.probe(kind).is_none(), "{object}");
                    continue;
                };
                assert_eq!(probe.timing(), stored.timing(), "{object}");
                for leaf in Leaf::ALL {
                    let there = stored.leaf(leaf).or((leaf == Leaf::InitialDelaySeconds).then_some(0));
                    assert_eq!(probe.defaulted(leaf), there, "{leaf:?} of {object}");
                    filled += usize::from(probe.leaf(leaf).is_none() && there.is_some());
                }
            }
        }
        assert_eq!(
            (written.grace_period, written.progress_deadline, written.min_ready),
            (stored.grace_period, stored.progress_deadline, stored.min_ready),
            "{object}"
        );
        for policy in &policies {
            let found = |workload| {
                let found = evaluate(policy, workload, Date::constant(2026, 1, 1)).findings.into_iter();
                // Where a value was left out, the pointer leads to what is there.
                found.map(|found| (found.rule.id, found.action, found.container, found.probe, found.message)).collect::<Vec<_>>()
            };
            let (of_file, of_stored) = (found(&written), found(&stored));
            findings += of_file.len();
            for only in of_file.iter().filter(|found| !of_stored.contains(found)) {
                wrong.push(format!("only in the file: {only:?} of {object}"));
            }
            for only in of_stored.iter().filter(|found| !of_file.contains(found)) {
                wrong.push(format!("only in what is stored: {only:?} of {object}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    println!("{accepted} accepted, {refused} refused, {filled} numbers filled in, {findings} findings compared");
    assert_eq!(accepted + refused, OBJECTS);
    assert!(accepted > 400 && refused > 20 && filled > 1000 && findings > 1000);
}
