//! The model through its public API: what is read of an object, what is not, and who set a leaf. Tests are tables through one function.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

use std::fmt::Write as _;

use probekeeper::model::{
    Author, DecodeError, Handler, Kind, Leaf, PortRef, Probe, ProbeKind, Record, Timing, WitnessTexts, Witnesses, Workload,
};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

/// The part of an AdmissionReview that the model is given.
#[derive(Deserialize)]
struct Review<'r> {
    #[serde(borrow)]
    request: Request<'r>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request<'r> {
    operation: &'r str,
    #[serde(borrow)]
    object: &'r RawValue,
    #[serde(borrow)]
    old_object: Option<&'r RawValue>,
}

fn fixtures() -> Vec<(String, String)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/admission-reviews");
    let mut all: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read_to_string(entry.path()).unwrap()))
        .collect();
    all.sort();
    all
}

/// One line per workload, container and probe.
fn describe(workload: &Workload<'_>) -> String {
    let mut text =
        format!("{} {} {}/{}", workload.api_version, workload.kind.name(), workload.namespace().unwrap_or("-"), workload.name());
    let flags = [
        (workload.is_long_running(), "long-running"),
        (workload.is_incomplete(), "incomplete"),
        (workload.host_network, "host network"),
        (!workload.has_metadata, "no metadata"),
        (workload.metadata.controller().is_some(), "controlled"),
    ];
    for (_, flag) in flags.iter().filter(|(holds, _)| *holds) {
        write!(text, ", {flag}").unwrap();
    }
    write!(
        text,
        ", grace {}, progress {:?}, min ready {}",
        workload.grace_period, workload.progress_deadline, workload.min_ready
    )
    .unwrap();
    for container in &workload.containers {
        write!(text, "\n  {} {}", workload.container_pointer(container), container.name).unwrap();
        for port in &container.ports {
            write!(text, " {}={:?}", port.name.as_deref().unwrap_or("-"), port.container_port.unwrap_or(-1)).unwrap();
        }
        for kind in ProbeKind::ALL {
            let Some(probe) = container.probe(kind) else { continue };
            let Timing { initial_delay, period, timeout, failure_threshold, success_threshold } = probe.timing();
            let valid = if probe.is_valid(kind) { "" } else { " (invalid)" };
            write!(
                text,
                "\n    {} {} D{initial_delay} P{period} T{timeout} F{failure_threshold} S{success_threshold}{valid}",
                workload.probe_pointer(container, kind),
                handler(probe)
            )
            .unwrap();
        }
    }
    text
}

fn handler(probe: &Probe<'_>) -> String {
    let port = |port: Option<&PortRef<'_>>| match port {
        Some(PortRef::Number(number)) => number.to_string(),
        Some(PortRef::Name(name)) => name.to_string(),
        None => "-".to_owned(),
    };
    match probe.handler() {
        Some(Handler::Exec(exec)) => format!("exec {:?}", exec.command),
        Some(Handler::HttpGet(http)) => format!(
            "{}://{}:{}{}",
            http.scheme.as_deref().unwrap_or("-"),
            http.host.as_deref().unwrap_or("-"),
            port(http.port.as_ref()),
            http.path.as_deref().unwrap_or("-")
        ),
        Some(Handler::TcpSocket(tcp)) => format!("tcp://{}:{}", tcp.host.as_deref().unwrap_or("-"), port(tcp.port.as_ref())),
        Some(Handler::Grpc(grpc)) => format!("grpc:{:?} {:?}", grpc.port, grpc.service),
        None => "no one handler".to_owned(),
    }
}

fn read(object: &Value) -> String {
    Workload::from_json(&object.to_string()).unwrap().as_ref().map_or_else(|| "not a workload".to_owned(), describe)
}

// --- decoding ---

#[test]
fn reads_what_an_api_server_sends() {
    let mut text = String::new();
    for (name, review) in fixtures() {
        let review: Review<'_> = serde_json::from_str(&review).unwrap();
        let number = name.split('_').next().unwrap();
        let workload = Workload::from_json(review.request.object.get()).unwrap().unwrap();
        writeln!(text, "{number} {} {}", review.request.operation, describe(&workload)).unwrap();
        if let Some(old) = review.request.old_object {
            let old = Workload::from_json(old.get()).unwrap().unwrap();
            writeln!(text, "{number} before {}", describe(&old)).unwrap();
        }
    }
    insta::assert_snapshot!(text, @r#"
    00 CREATE apps/v1 StatefulSet default/sts1, long-running, grace 30, progress None, min ready 0
      /spec/template/spec/containers/0 app http=8080
        /spec/template/spec/containers/0/readinessProbe HTTP://-:http/readyz D0 P10 T1 F3 S1
    01 CREATE apps/v1 DaemonSet default/ds1, long-running, host network, grace 30, progress None, min ready 0
      /spec/template/spec/containers/0 app http=8080
        /spec/template/spec/containers/0/livenessProbe HTTP://127.0.0.1:http/livez D0 P10 T1 F3 S1
    02 CREATE apps/v1 ReplicaSet default/rs1, long-running, grace 30, progress None, min ready 0
      /spec/template/spec/containers/0 app
        /spec/template/spec/containers/0/livenessProbe exec ["sh", "-c", "curl -f http://orders/readyz || exit 1"] D0 P3 T1 F3 S1
    03 CREATE batch/v1 Job default/job1, grace 30, progress None, min ready 0
      /spec/template/spec/containers/0 app
        /spec/template/spec/containers/0/readinessProbe tcp://-:1 D0 P10 T1 F3 S1
    04 CREATE batch/v1 CronJob default/cj1, grace 30, progress None, min ready 0
      /spec/jobTemplate/spec/template/spec/containers/0 app
        /spec/jobTemplate/spec/template/spec/containers/0/livenessProbe exec ["true"] D0 P10 T1 F3 S1
    05 CREATE v1 Pod default/gen-, long-running, grace 30, progress None, min ready 0
      /spec/containers/0 app
        /spec/containers/0/readinessProbe grpc:Some(9000) Some("ready") D0 P10 T1 F3 S3
      /spec/initContainers/0 side
        /spec/initContainers/0/startupProbe grpc:Some(9000) Some("") D0 P10 T1 F3 S1
    06 CREATE apps/v1 Deployment default/d1, long-running, grace 30, progress Some(600), min ready 0
      /spec/template/spec/containers/0 app http=8080
        /spec/template/spec/containers/0/livenessProbe HTTP://-:http/healthz D0 P10 T1 F5 S1
    07 UPDATE apps/v1 Deployment default/d1, long-running, grace 30, progress Some(600), min ready 0
      /spec/template/spec/containers/0 app http=8080
        /spec/template/spec/containers/0/livenessProbe HTTP://-:http/healthz D0 P10 T1 F6 S1
    07 before apps/v1 Deployment default/d1, long-running, grace 30, progress Some(600), min ready 0
      /spec/template/spec/containers/0 app http=8080
        /spec/template/spec/containers/0/livenessProbe HTTP://-:http/healthz D0 P10 T1 F5 S1
    08 CREATE apps/v1 Deployment default/d2, long-running, grace 30, progress Some(600), min ready 0
      /spec/template/spec/containers/0 app http=8080
        /spec/template/spec/containers/0/livenessProbe HTTP://-:http/healthz D0 P10 T1 F5 S1
    09 UPDATE apps/v1 Deployment default/d2, long-running, grace 30, progress Some(600), min ready 0
      /spec/template/spec/containers/0 app http=8080
        /spec/template/spec/containers/0/livenessProbe HTTP://-:http/healthz D0 P10 T1 F6 S1
    09 before apps/v1 Deployment default/d2, long-running, grace 30, progress Some(600), min ready 0
      /spec/template/spec/containers/0 app http=8080
        /spec/template/spec/containers/0/livenessProbe HTTP://-:http/healthz D0 P10 T1 F5 S1
    10 CREATE apps/v1 Deployment default/d3, long-running, grace 30, progress Some(600), min ready 0
      /spec/template/spec/containers/0 app http=8080
        /spec/template/spec/containers/0/livenessProbe HTTP://-:http/healthz D0 P10 T1 F5 S1
    11 UPDATE apps/v1 Deployment default/d1, long-running, grace 30, progress Some(600), min ready 0
      /spec/template/spec/containers/0 app http=8080
        /spec/template/spec/containers/0/livenessProbe HTTP://-:http/healthz D0 P10 T1 F6 S1
        /spec/template/spec/containers/0/readinessProbe HTTP://-:http/healthz D0 P10 T1 F3 S1
    11 before apps/v1 Deployment default/d1, long-running, grace 30, progress Some(600), min ready 0
      /spec/template/spec/containers/0 app http=8080
        /spec/template/spec/containers/0/livenessProbe HTTP://-:http/healthz D0 P10 T1 F6 S1
    12 CREATE v1 Pod default/p1, long-running, grace 30, progress None, min ready 0
      /spec/containers/0 p1
    13 UPDATE v1 Pod default/p1, long-running, grace 30, progress None, min ready 0
      /spec/containers/0 p1
    13 before v1 Pod default/p1, long-running, grace 30, progress None, min ready 0
      /spec/containers/0 p1
    "#);
}

#[test]
fn finds_the_pod_spec_of_every_kind() {
    let pod = json!({ "containers": [{ "name": "app", "image": "i", "readinessProbe": { "tcpSocket": { "port": 1 } } }] });
    for kind in Kind::ALL {
        let group = if kind.group().is_empty() { "v1".to_owned() } else { format!("{}/v1", kind.group()) };
        let mut object = json!({ "apiVersion": group, "kind": kind.name(), "metadata": { "name": "w" } });
        let mut spec = &mut object["spec"];
        for part in kind.pod_spec_pointer().split('/').skip(2) {
            spec = &mut spec[part];
        }
        *spec = pod.clone();
        let text = object.to_string();
        let workload = Workload::from_json(&text).unwrap().unwrap();
        assert_eq!(workload.kind, kind);
        assert_eq!(workload.progress_deadline, (kind == Kind::Deployment).then_some(600));
        let pointer = workload.probe_pointer(&workload.containers[0], ProbeKind::Readiness);
        assert_eq!(object.pointer(&pointer), Some(&pod["containers"][0]["readinessProbe"]), "{pointer}");
        // Another group, another template path, no template: not a workload.
        object["apiVersion"] = json!("example.dev/v1");
        assert_eq!(read(&object), "not a workload");
        assert_eq!(read(&json!({ "apiVersion": group, "kind": kind.name() })), "not a workload");
        if kind != Kind::Pod {
            assert_eq!(read(&json!({ "apiVersion": group, "kind": kind.name(), "spec": pod })), "not a workload");
        }
    }
}

fn deployment(containers: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web", "namespace": "shop" },
        "spec": { "selector": {}, "template": { "spec": { "containers": containers } } },
    })
}

/// A deployment with everything that is read, and much that is not.
fn full() -> Value {
    let probe = json!({
        "httpGet": { "path": "/p", "port": "http", "host": "h", "scheme": "HTTP", "httpHeaders": [{ "name": "n", "value": "v" }] },
        "exec": { "command": ["a", "b"] }, "tcpSocket": { "port": 1, "host": "h" }, "grpc": { "port": 1, "service": "s" },
        "initialDelaySeconds": 1, "timeoutSeconds": 2, "periodSeconds": 3, "successThreshold": 4, "failureThreshold": 5,
        "terminationGracePeriodSeconds": 6,
    });
    let container = json!({
        "name": "c", "image": "i", "ports": [{ "name": "http", "containerPort": 80, "protocol": "TCP" }],
        "env": [{ "name": "E", "value": "v", "valueFrom": { "fieldRef": { "fieldPath": "status.podIP" } } }],
        "livenessProbe": probe, "readinessProbe": probe, "startupProbe": probe, "restartPolicy": "Always",
        "lifecycle": { "preStop": { "exec": { "command": ["x"] }, "sleep": { "seconds": 5 } } },
    });
    let metadata = json!({
        "name": "n", "generateName": "g", "namespace": "ns", "labels": { "l": "v" },
        "annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": "{}", "probekeeper.dev/filled": "{}", "probekeeper.dev/defaults": "off",
        },
        "ownerReferences": [{ "apiVersion": "v1", "kind": "K", "controller": true }],
        "deletionTimestamp": "2026-01-01T00:00:00Z",
        "managedFields": [{ "manager": "m", "operation": "Apply", "subresource": "", "fieldsV1": { "f:spec": {} } }],
    });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
        "spec": {
            "selector": {}, "progressDeadlineSeconds": 7, "minReadySeconds": 8,
            "template": {
                "metadata": metadata,
                "spec": {
                    "containers": [container], "initContainers": [container], "restartPolicy": "Always",
                    "terminationGracePeriodSeconds": 9, "hostNetwork": true,
                },
            },
        },
    })
}

/// Every pointer of a value, to fields of objects only.
fn fields(value: &Value, at: &str, into: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let pointer = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
                fields(value, &pointer, into);
                into.push(pointer);
            }
        }
        Value::Array(list) => list.iter().enumerate().for_each(|(index, value)| fields(value, &format!("{at}/{index}"), into)),
        _ => {}
    }
}

fn without(object: &Value, pointer: &str) -> Value {
    let mut object = object.clone();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let key = key.replace("~1", "/").replace("~0", "~");
    object.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(&key).unwrap();
    object
}

#[test]
fn null_is_absent_everywhere() {
    let full = full();
    let mut pointers = Vec::new();
    fields(&full, "", &mut pointers);
    assert!(pointers.len() > 100);
    for pointer in pointers {
        let absent = without(&full, &pointer);
        let mut null = full.clone();
        *null.pointer_mut(&pointer).unwrap() = Value::Null;
        if pointer.contains("/managedFields/") {
            continue; // kept raw
        }
        // The whole model, not only what `describe` shows.
        let debug = |object: &Value| {
            let text = object.to_string();
            let workload = Workload::from_json(&text).unwrap_or_else(|error| panic!("{pointer}: {error}"));
            format!("{workload:?}")
        };
        let (null, absent) = (debug(&null), debug(&absent));
        // A label without a value is an empty one.
        let label = pointer.contains("/labels/");
        assert!(null == absent || label, "{pointer}:\n{null}\n{absent}");
    }
}

#[test]
fn unknown_fields_are_skipped_whatever_they_hold() {
    let full = full();
    let expected = read(&full);
    let mut pointers = Vec::new();
    fields(&full, "", &mut pointers);
    for stranger in [json!(null), json!({ "a": [1, { "b": "\u{1f600}" }] }), json!([[[]]]), json!(1e300), json!("x")] {
        let mut object = full.clone();
        for pointer in pointers.iter().map(String::as_str).chain([""]) {
            if pointer.ends_with("/labels") || pointer.contains("/managedFields") {
                continue; // a label is data; managedFields stay raw
            }
            if let Some(map) = object.pointer_mut(pointer).and_then(Value::as_object_mut) {
                map.insert("unheardOf".to_owned(), stranger.clone());
            }
        }
        assert_eq!(read(&object), expected);
    }
}

#[test]
fn init_containers_count_only_as_native_sidecars() {
    let mut object = deployment(&json!([{ "name": "app", "image": "i" }]));
    let probe = json!({ "tcpSocket": { "port": 1 } });
    object["spec"]["template"]["spec"]["initContainers"] = json!([
        { "name": "plain", "image": "i", "livenessProbe": probe },
        { "name": "sidecar", "image": "i", "restartPolicy": "Always", "livenessProbe": probe },
        { "name": "once", "image": "i", "restartPolicy": "OnFailure" },
        { "name": "null", "image": "i", "restartPolicy": null },
        { "name": "last", "image": "i", "restartPolicy": "Always" },
    ]);
    insta::assert_snapshot!(read(&object), @r"
    apps/v1 Deployment shop/web, long-running, grace 30, progress Some(600), min ready 0
      /spec/template/spec/containers/0 app
      /spec/template/spec/initContainers/1 sidecar
        /spec/template/spec/initContainers/1/livenessProbe tcp://-:1 D0 P10 T1 F3 S1
      /spec/template/spec/initContainers/4 last
    ");
}

#[test]
fn what_makes_an_object_a_patch_and_not_a_workload() {
    let mut no_selector = deployment(&json!([{ "name": "app", "image": "i" }]));
    no_selector["spec"].as_object_mut().unwrap().remove("selector");
    let pod = |spec: Value| json!({ "apiVersion": "v1", "kind": "Pod", "spec": spec });
    let cases = [
        (deployment(&json!([{ "name": "app", "image": "i" }])), false),
        (deployment(&json!([{ "name": "app" }])), true),
        (deployment(&json!([{ "name": "app", "image": "" }])), true),
        (deployment(&json!([{ "name": "app", "image": "i" }, { "name": "other", "image": null }])), true),
        (deployment(&json!([])), true),
        (deployment(&Value::Null), true),
        (no_selector, true),
        (pod(json!({ "containers": [{ "name": "app", "image": "i" }] })), false),
        (pod(json!({})), true),
    ];
    for (object, expected) in cases {
        let text = object.to_string();
        assert_eq!(Workload::from_json(&text).unwrap().unwrap().is_incomplete(), expected, "{text}");
    }
}

#[test]
fn a_bare_pod_runs_on_when_it_restarts_always() {
    for (policy, expected) in [(json!(null), true), (json!("Always"), true), (json!("OnFailure"), false), (json!("Never"), false)]
    {
        for kind in Kind::ALL {
            let group = if kind.group().is_empty() { "v1".to_owned() } else { format!("{}/v1", kind.group()) };
            let mut object = json!({ "apiVersion": group, "kind": kind.name() });
            let mut spec = &mut object["spec"];
            for part in kind.pod_spec_pointer().split('/').skip(2) {
                spec = &mut spec[part];
            }
            *spec = json!({ "restartPolicy": policy, "containers": [] });
            let text = object.to_string();
            let expected = match kind {
                Kind::Job | Kind::CronJob => false,
                Kind::Pod => expected,
                _ => true,
            };
            assert_eq!(Workload::from_json(&text).unwrap().unwrap().is_long_running(), expected, "{text}");
        }
    }
}

/// Type errors: where, and what was expected. The strings in the input stand for secrets.
#[test]
fn a_wrong_type_is_named_by_its_pointer_and_never_by_its_value() {
    const SECRET: &str = "hunter2 \", expected at line 3 column 4: string \"hunter2\" \\ \u{1f511}hunter2";
    let whole = full();
    let container = "/spec/template/spec/containers/0";
    let mut text = String::new();
    for pointer in [
        "/metadata".to_owned(),
        "/metadata/labels".to_owned(),
        "/metadata/annotations".to_owned(),
        "/metadata/ownerReferences".to_owned(),
        "/metadata/ownerReferences/0/controller".to_owned(),
        "/spec".to_owned(),
        "/spec/progressDeadlineSeconds".to_owned(),
        "/spec/template".to_owned(),
        "/spec/template/spec/hostNetwork".to_owned(),
        "/spec/template/spec/containers".to_owned(),
        container.to_owned(),
        format!("{container}/ports/0/containerPort"),
        format!("{container}/livenessProbe"),
        format!("{container}/livenessProbe/timeoutSeconds"),
        format!("{container}/livenessProbe/exec/command"),
        format!("{container}/livenessProbe/httpGet/httpHeaders/0"),
        format!("{container}/livenessProbe/grpc/port"),
        format!("{container}/lifecycle/preStop/sleep/seconds"),
    ] {
        let mut object = whole.clone();
        *object.pointer_mut(&pointer).unwrap() = json!(SECRET);
        let error = Workload::from_json(&object.to_string()).unwrap_err();
        assert_eq!(error.pointer, pointer);
        writeln!(text, "{error}").unwrap();
    }
    // Strings that are something else, numbers out of range, and what is no JSON at all.
    for (pointer, value) in [
        ("/kind", json!(1)),
        ("/metadata/name", json!(["hunter2"])),
        ("/metadata/labels/l", json!({ "hunter2": "hunter2" })),
        ("/metadata/annotations/probekeeper.dev~1filled", json!(5)),
        ("/spec/minReadySeconds", json!(1.5)),
        ("/spec/template/spec/containers/0/livenessProbe/timeoutSeconds", json!("5")),
        ("/spec/template/spec/containers/0/livenessProbe/periodSeconds", json!(u64::MAX)),
        ("/spec/template/spec/containers/0/livenessProbe/failureThreshold", json!(true)),
        ("/spec/template/spec/containers/0/readinessProbe/httpGet/port", json!(1.5)),
        ("/spec/template/spec/containers/0/readinessProbe/httpGet/port", json!([])),
        ("/spec/template/spec/initContainers/0/startupProbe/httpGet/path", json!(0)),
    ] {
        let mut object = whole.clone();
        *object.pointer_mut(pointer).unwrap() = value;
        let error = Workload::from_json(&object.to_string()).unwrap_err();
        assert_eq!(error.pointer, pointer);
        writeln!(text, "{error}").unwrap();
    }
    assert!(!text.contains("hunter2"), "{text}");
    insta::assert_snapshot!(text, @r"
    /metadata: invalid type: a string, expected a map
    /metadata/labels: invalid type: a string, expected a map of strings
    /metadata/annotations: invalid type: a string, expected a map
    /metadata/ownerReferences: invalid type: a string, expected a list
    /metadata/ownerReferences/0/controller: invalid type: a string, expected a boolean
    /spec: invalid type: a string, expected a map
    /spec/progressDeadlineSeconds: invalid type: a string, expected a whole number
    /spec/template: invalid type: a string, expected a map
    /spec/template/spec/hostNetwork: invalid type: a string, expected a boolean
    /spec/template/spec/containers: invalid type: a string, expected a list
    /spec/template/spec/containers/0: invalid type: a string, expected a map
    /spec/template/spec/containers/0/ports/0/containerPort: invalid type: a string, expected a whole number
    /spec/template/spec/containers/0/livenessProbe: invalid type: a string, expected a map
    /spec/template/spec/containers/0/livenessProbe/timeoutSeconds: invalid type: a string, expected a whole number
    /spec/template/spec/containers/0/livenessProbe/exec/command: invalid type: a string, expected a list
    /spec/template/spec/containers/0/livenessProbe/httpGet/httpHeaders/0: invalid type: a string, expected a map
    /spec/template/spec/containers/0/livenessProbe/grpc/port: invalid type: a string, expected a whole number
    /spec/template/spec/containers/0/lifecycle/preStop/sleep/seconds: invalid type: a string, expected a whole number
    /kind: invalid type: integer `1`, expected a string
    /metadata/name: invalid type: sequence, expected a string
    /metadata/labels/l: invalid type: map, expected a string
    /metadata/annotations/probekeeper.dev~1filled: invalid type: integer `5`, expected a string
    /spec/minReadySeconds: invalid type: floating point `1.5`, expected a whole number
    /spec/template/spec/containers/0/livenessProbe/timeoutSeconds: invalid type: a string, expected a whole number
    /spec/template/spec/containers/0/livenessProbe/periodSeconds: invalid value: integer `18446744073709551615`, expected a whole number
    /spec/template/spec/containers/0/livenessProbe/failureThreshold: invalid type: boolean `true`, expected a whole number
    /spec/template/spec/containers/0/readinessProbe/httpGet/port: invalid type: floating point `1.5`, expected a port number or name
    /spec/template/spec/containers/0/readinessProbe/httpGet/port: invalid type: sequence, expected a port number or name
    /spec/template/spec/initContainers/0/startupProbe/httpGet/path: invalid type: integer `0`, expected a string
    ");
}

#[test]
fn what_is_no_json_is_an_error_without_its_text() {
    for text in [
        "",
        "hunter2",
        "\"hunter2\"",
        "{\"hunter2",
        "{\"metadata\": {\"name\": \"hunter2",
        "[1, \"hunter2\"]",
        "{\"kind\": hunter2}",
        "{\"kind\":\"hunter2\\q\"}",
    ] {
        let DecodeError { pointer, message } = Workload::from_json(text).unwrap_err();
        assert!(!message.contains("hunter2") && !pointer.contains("hunter2"), "{text}: {pointer}: {message}");
        assert!(!message.is_empty());
    }
}

#[test]
fn debug_output_holds_no_values_of_environment_and_headers() {
    let object = deployment(&json!([{
        "name": "app", "env": [{ "name": "TOKEN", "value": "hunter2" }],
        "livenessProbe": { "httpGet": { "port": 1, "httpHeaders": [{ "name": "Authorization", "value": "hunter2" }] } },
    }]));
    let text = object.to_string();
    let debug = format!("{:?}", Workload::from_json(&text).unwrap().unwrap());
    assert!(debug.contains("TOKEN") && debug.contains("Authorization") && !debug.contains("hunter2"), "{debug}");
}

// --- validity ---

#[test]
fn a_probe_is_valid_when_the_api_server_would_accept_it() {
    let tcp = json!({ "tcpSocket": { "port": 1 } });
    let with = |field: &str, value: Value| {
        let mut probe = tcp.clone();
        probe[field] = value;
        probe
    };
    // For liveness, readiness, startup.
    let cases = [
        (tcp.clone(), [true, true, true]),
        (json!({}), [false, false, false]),
        (json!({ "timeoutSeconds": 5 }), [false, false, false]),
        (with("exec", json!({ "command": ["true"] })), [false, false, false]),
        (with("exec", json!(null)), [true, true, true]),
        (with("timeoutSeconds", json!(0)), [true, true, true]),
        (with("timeoutSeconds", json!(-1)), [false, false, false]),
        (with("timeoutSeconds", json!(i32::MAX)), [true, true, true]),
        (with("timeoutSeconds", json!(i64::from(i32::MAX) + 1)), [false, false, false]),
        (with("initialDelaySeconds", json!(-1)), [false, false, false]),
        (with("periodSeconds", json!(i64::MIN)), [false, false, false]),
        (with("failureThreshold", json!(i64::MAX)), [false, false, false]),
        (with("successThreshold", json!(0)), [true, true, true]),
        (with("successThreshold", json!(1)), [true, true, true]),
        (with("successThreshold", json!(2)), [false, true, false]),
        (with("terminationGracePeriodSeconds", json!(5)), [true, false, true]),
        (with("terminationGracePeriodSeconds", json!(0)), [false, false, false]),
    ];
    for (probe, expected) in cases {
        let text = probe.to_string();
        let probe: Probe<'_> = serde_json::from_str(&text).unwrap();
        assert_eq!(ProbeKind::ALL.map(|kind| probe.is_valid(kind)), expected, "{text}");
    }
}

// --- who set a leaf ---

/// One object as its witnesses see it. What is not given is absent.
#[derive(Default, Clone)]
struct Scene {
    /// Numbers of the liveness probe in the stored object, beside the API server's defaults.
    live: Value,
    /// Numbers of the liveness probe in `kubectl apply`'s annotation.
    last_applied: Option<Value>,
    /// managedFields: manager, operation, subresource, owned numbers of the liveness probe (`None`: owns something else).
    managers: Vec<(&'static str, &'static str, &'static str, Option<Vec<&'static str>>)>,
    /// Our record of the liveness probe's numbers.
    record: Option<Value>,
}

impl Scene {
    fn object(&self, kind: Kind) -> Value {
        let group = if kind.group().is_empty() { "v1".to_owned() } else { format!("{}/v1", kind.group()) };
        let object_of = |probe: Value| {
            let mut object = json!({ "apiVersion": group, "kind": kind.name(), "metadata": { "name": "web" } });
            let mut spec = &mut object["spec"];
            for part in kind.pod_spec_pointer().split('/').skip(2) {
                spec = &mut spec[part];
            }
            *spec = json!({ "containers": [{ "name": "app", "image": "i", "livenessProbe": probe }] });
            object
        };
        let with = |mut probe: Value, numbers: &Value| {
            probe.as_object_mut().unwrap().extend(numbers.as_object().cloned().unwrap_or_default());
            probe
        };
        let handler = json!({ "tcpSocket": { "port": 80 } });
        let defaults = json!({ "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3 });
        let mut object = object_of(with(with(handler.clone(), &defaults), &self.live));
        let metadata = &mut object["metadata"];
        if let Some(numbers) = &self.last_applied {
            let file = object_of(with(handler, numbers)).to_string() + "\n";
            metadata["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = json!(file);
        }
        if let Some(numbers) = &self.record {
            metadata["annotations"][Record::ANNOTATION] = json!(json!({ "app": { "livenessProbe": numbers } }).to_string());
        }
        for (manager, operation, subresource, numbers) in &self.managers {
            let mut fields = json!({});
            if let Some(numbers) = numbers {
                let mut place = &mut fields["f:spec"];
                for part in kind.pod_spec_pointer().split('/').skip(2) {
                    place = &mut place[format!("f:{part}")];
                }
                let probe: serde_json::Map<_, _> = numbers
                    .iter()
                    .map(|number| (format!("f:{number}"), json!({})))
                    .chain([("f:tcpSocket".to_owned(), json!({ "f:port": {} }))])
                    .collect();
                *place =
                    json!({ "f:containers": { "k:{\"name\":\"app\"}": { ".": {}, "f:image": {}, "f:livenessProbe": probe } } });
            } else {
                fields["f:status"] = json!({});
            }
            let entry = json!({
                "manager": manager, "operation": operation, "subresource": subresource, "apiVersion": "apps/v1",
                "time": "2026-11-20T21:00:55Z", "fieldsType": "FieldsV1", "fieldsV1": fields,
            });
            match metadata["managedFields"].as_array_mut() {
                Some(entries) => entries.push(entry),
                None => metadata["managedFields"] = json!([entry]),
            }
        }
        object
    }

    fn author(&self, old: Option<&Self>, kind: Kind, leaf: Leaf) -> Author {
        author(&self.object(kind), old.map(|old| old.object(kind)).as_ref(), "app", ProbeKind::Liveness, leaf)
    }
}

fn author(new: &Value, old: Option<&Value>, container: &str, kind: ProbeKind, leaf: Leaf) -> Author {
    let (new, old) = (new.to_string(), old.map(Value::to_string));
    let new = Workload::from_json(&new).unwrap().unwrap();
    let old = old.as_deref().map(|old| Workload::from_json(old).unwrap().unwrap());
    let texts = WitnessTexts::of(&new, old.as_ref());
    let witnesses = Witnesses::live(&new, old.as_ref(), &texts);
    witnesses.author(new.container(container).unwrap(), kind, leaf)
}

const T: Leaf = Leaf::TimeoutSeconds;
const D: Leaf = Leaf::InitialDelaySeconds;
const F: Leaf = Leaf::FailureThreshold;

fn live(numbers: Value) -> Scene {
    Scene { live: numbers, ..Scene::default() }
}

impl Scene {
    fn file(mut self, numbers: Value) -> Self {
        self.last_applied = Some(numbers);
        self
    }

    fn manager(mut self, manager: &'static str, operation: &'static str, numbers: &[&'static str]) -> Self {
        self.managers.push((manager, operation, "", Some(numbers.to_vec())));
        self
    }

    fn record(mut self, numbers: Value) -> Self {
        self.record = Some(numbers);
        self
    }
}

#[test]
fn who_set_a_leaf_on_create() {
    const DEFAULTED: &[&str] = &["timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"];
    let nothing = || live(json!({}));
    let cases = [
        ("no witness", nothing(), T, Author::Unknown),
        ("no witness, delay absent", nothing(), D, Author::Unknown),
        ("no witness, grace absent", nothing(), Leaf::TerminationGracePeriodSeconds, Author::Unknown),
        ("an Update entry lists defaults too", nothing().manager("helm", "Update", DEFAULTED), T, Author::Unknown),
        ("another value than the default", live(json!({ "timeoutSeconds": 2 })), T, Author::Set),
        ("another value, though not in the file", live(json!({ "timeoutSeconds": 2 })).file(json!({})), T, Author::Set),
        ("a delay", live(json!({ "initialDelaySeconds": 2 })), D, Author::Set),
        ("zero is the default", live(json!({ "initialDelaySeconds": 0 })), D, Author::Unknown),
        ("a grace period", live(json!({ "terminationGracePeriodSeconds": 2 })), Leaf::TerminationGracePeriodSeconds, Author::Set),
        // Server-side apply.
        ("apply owns the leaf", nothing().manager("flux", "Apply", &["timeoutSeconds"]), T, Author::Set),
        ("apply owns the probe, not the leaf", nothing().manager("flux", "Apply", &["timeoutSeconds"]), F, Author::Omitted),
        ("apply owns the probe, not the delay", nothing().manager("flux", "Apply", &[]), D, Author::Omitted),
        ("one of two appliers", nothing().manager("a", "Apply", &[]).manager("b", "Apply", &["timeoutSeconds"]), T, Author::Set),
        (
            "another manager's Update owns it",
            nothing().manager("flux", "Apply", &[]).manager("edit", "Update", &["timeoutSeconds"]),
            T,
            Author::Set,
        ),
        (
            "another manager's Update owns another",
            nothing().manager("flux", "Apply", &[]).manager("edit", "Update", &["timeoutSeconds"]),
            F,
            Author::Omitted,
        ),
        (
            "an Apply entry elsewhere is no witness of the probe",
            Scene { managers: vec![("flux", "Apply", "", None)], ..nothing() }.manager("helm", "Update", DEFAULTED),
            T,
            Author::Unknown,
        ),
        (
            "an Apply entry of a subresource is ignored",
            Scene { managers: vec![("hpa", "Apply", "scale", Some(vec!["timeoutSeconds"]))], ..nothing() },
            T,
            Author::Unknown,
        ),
        (
            "an Update entry of a subresource is ignored",
            Scene { managers: vec![("k", "Update", "status", Some(vec!["timeoutSeconds"]))], ..nothing() }.manager(
                "flux",
                "Apply",
                &[],
            ),
            T,
            Author::Omitted,
        ),
        (
            "apply is believed before the file",
            nothing().manager("flux", "Apply", &[]).file(json!({ "timeoutSeconds": 1 })),
            T,
            Author::Omitted,
        ),
        // Client-side apply.
        ("in the file", nothing().file(json!({ "timeoutSeconds": 1 })), T, Author::Set),
        ("not in the file", nothing().file(json!({ "timeoutSeconds": 1 })), F, Author::Omitted),
        ("null in the file", nothing().file(json!({ "timeoutSeconds": null })), T, Author::Omitted),
        ("delay of zero in the file", nothing().file(json!({ "initialDelaySeconds": 0 })), D, Author::Set),
        (
            "file beside an Update entry",
            nothing().file(json!({})).manager("kubectl-client-side-apply", "Update", DEFAULTED),
            T,
            Author::Omitted,
        ),
        // Our record.
        ("ours", live(json!({ "timeoutSeconds": 5 })).record(json!({ "timeoutSeconds": 5 })), T, Author::Ours),
        (
            "ours, beside the author's file",
            live(json!({ "timeoutSeconds": 5 })).record(json!({ "timeoutSeconds": 5 })).file(json!({})),
            T,
            Author::Ours,
        ),
        (
            "ours, beside the author's Apply entry",
            live(json!({ "timeoutSeconds": 5 })).record(json!({ "timeoutSeconds": 5 })).manager("flux", "Apply", &[]),
            T,
            Author::Ours,
        ),
        (
            "recorded, but another value",
            live(json!({ "timeoutSeconds": 4 })).record(json!({ "timeoutSeconds": 5 })),
            T,
            Author::Set,
        ),
        (
            "recorded, but for another leaf",
            live(json!({ "timeoutSeconds": 5 })).record(json!({ "failureThreshold": 5 })),
            T,
            Author::Set,
        ),
        (
            "recorded, and now in the file",
            live(json!({ "timeoutSeconds": 5 })).record(json!({ "timeoutSeconds": 5 })).file(json!({ "timeoutSeconds": 5 })),
            T,
            Author::Set,
        ),
        (
            "recorded, and now applied",
            live(json!({ "timeoutSeconds": 5 })).record(json!({ "timeoutSeconds": 5 })).manager(
                "flux",
                "Apply",
                &["timeoutSeconds"],
            ),
            T,
            Author::Set,
        ),
    ];
    for (name, scene, leaf, expected) in cases {
        for kind in Kind::ALL {
            assert_eq!(scene.author(None, kind, leaf), expected, "{name} ({})", kind.name());
        }
    }
}

#[test]
fn who_set_a_leaf_on_update() {
    let ours = || live(json!({ "timeoutSeconds": 5 })).record(json!({ "timeoutSeconds": 5 }));
    let cases = [
        ("nothing new", live(json!({})).file(json!({})), live(json!({})).file(json!({})), Author::Omitted),
        ("no witness", live(json!({})), live(json!({})), Author::Unknown),
        (
            "edited by hand to the default",
            live(json!({ "timeoutSeconds": 4 })).file(json!({})),
            live(json!({})).file(json!({})),
            Author::Set,
        ),
        (
            "the author puts it into the file",
            live(json!({})).file(json!({})),
            live(json!({})).file(json!({ "timeoutSeconds": 1 })),
            Author::Set,
        ),
        (
            "the author takes it out of the file",
            live(json!({ "timeoutSeconds": 4 })).file(json!({ "timeoutSeconds": 4 })),
            live(json!({})).file(json!({})),
            Author::Omitted,
        ),
        (
            "the author takes the default out of the file",
            live(json!({})).file(json!({ "timeoutSeconds": 1 })),
            live(json!({})).file(json!({})),
            Author::Omitted,
        ),
        ("ours stays ours", ours().file(json!({})), ours().file(json!({})), Author::Ours),
        (
            "ours, and the author puts it into the file",
            ours().file(json!({})),
            ours().file(json!({ "timeoutSeconds": 5 })),
            Author::Set,
        ),
        (
            "ours is edited by hand",
            ours().file(json!({})),
            live(json!({ "timeoutSeconds": 4 })).record(json!({ "timeoutSeconds": 5 })).file(json!({})),
            Author::Set,
        ),
        (
            "ours is edited by hand back to the default",
            ours().file(json!({})),
            live(json!({})).record(json!({ "timeoutSeconds": 5 })).file(json!({})),
            Author::Set,
        ),
        (
            "ours was edited by hand some time ago",
            live(json!({})).record(json!({ "timeoutSeconds": 5 })).file(json!({})),
            live(json!({})).record(json!({ "timeoutSeconds": 5 })).file(json!({})),
            Author::Set,
        ),
        (
            "ours was edited by hand some time ago, and now the author applies",
            live(json!({})).record(json!({ "timeoutSeconds": 5 })).file(json!({})),
            live(json!({})).record(json!({ "timeoutSeconds": 5 })).file(json!({ "failureThreshold": 4 })),
            Author::Set,
        ),
        (
            "the author's other change does not make it set",
            live(json!({})).file(json!({})),
            live(json!({ "failureThreshold": 4 })).file(json!({ "failureThreshold": 4 })),
            Author::Omitted,
        ),
        (
            "the probe is new",
            Scene { live: json!({ "timeoutSeconds": null }), ..Scene::default() }.file(json!({})),
            live(json!({})).file(json!({})),
            Author::Omitted,
        ),
        (
            "taken out of the applied configuration",
            live(json!({ "timeoutSeconds": 4 })).manager("flux", "Apply", &["timeoutSeconds"]),
            live(json!({})).manager("flux", "Apply", &[]),
            Author::Omitted,
        ),
    ];
    for (name, old, new, expected) in cases {
        for kind in Kind::ALL {
            assert_eq!(new.author(Some(&old), kind, T), expected, "{name} ({})", kind.name());
        }
    }
}

#[test]
fn witnesses_of_what_an_api_server_sends() {
    let mut text = String::new();
    for (name, review) in fixtures() {
        let review: Value = serde_json::from_str(&review).unwrap();
        let (new, old) = (&review["request"]["object"], Some(&review["request"]["oldObject"]).filter(|old| !old.is_null()));
        let object = new.to_string();
        let workload = Workload::from_json(&object).unwrap().unwrap();
        let number = name.split('_').next().unwrap();
        for container in &workload.containers {
            for kind in ProbeKind::ALL.into_iter().filter(|kind| container.probe(*kind).is_some()) {
                write!(text, "{number} {} {}:", container.name, kind.word()).unwrap();
                for leaf in [D, T, Leaf::PeriodSeconds, Leaf::SuccessThreshold, F] {
                    write!(text, " {:?}", author(new, old, &container.name, kind, leaf)).unwrap();
                }
                text.push('\n');
            }
        }
    }
    insta::assert_snapshot!(text, @r"
    00 app readiness: Unknown Unknown Unknown Unknown Unknown
    01 app liveness: Unknown Unknown Unknown Unknown Unknown
    02 app liveness: Unknown Unknown Set Unknown Unknown
    03 app readiness: Unknown Unknown Unknown Unknown Unknown
    04 app liveness: Unknown Unknown Unknown Unknown Unknown
    05 app readiness: Unknown Unknown Unknown Set Unknown
    05 side startup: Unknown Unknown Unknown Unknown Unknown
    06 app liveness: Omitted Omitted Omitted Omitted Set
    07 app liveness: Omitted Omitted Omitted Omitted Set
    08 app liveness: Omitted Omitted Omitted Omitted Set
    09 app liveness: Set Set Omitted Omitted Set
    10 app liveness: Omitted Omitted Omitted Omitted Set
    11 app liveness: Omitted Omitted Omitted Omitted Set
    11 app readiness: Unknown Unknown Unknown Unknown Unknown
    ");
}

#[test]
fn witnesses_of_another_container_do_not_count() {
    let probe = json!({ "tcpSocket": { "port": 80 }, "timeoutSeconds": 1 });
    let mut object = deployment(&json!([{ "name": "a", "livenessProbe": probe }, { "name": "b", "livenessProbe": probe }]));
    object["spec"]["template"]["spec"]["initContainers"] =
        json!([{ "name": "side", "restartPolicy": "Always", "livenessProbe": probe, "readinessProbe": probe }]);
    object["metadata"]["managedFields"] = json!([{ "operation": "Apply", "fieldsV1": { "f:spec": { "f:template": { "f:spec": {
        "f:containers": { "k:{\"name\":\"a\"}": { "f:livenessProbe": { "f:timeoutSeconds": {} } } },
        "f:initContainers": { "k:{\"name\":\"side\"}": { "f:livenessProbe": {} } },
    } } } } }]);
    let of = |container, kind| author(&object, None, container, kind, T);
    assert_eq!(of("a", ProbeKind::Liveness), Author::Set);
    assert_eq!(of("b", ProbeKind::Liveness), Author::Unknown);
    assert_eq!(of("side", ProbeKind::Liveness), Author::Omitted);
    assert_eq!(of("side", ProbeKind::Readiness), Author::Unknown);
}

#[test]
fn what_cannot_be_read_is_no_witness() {
    let base = live(json!({})).object(Kind::Deployment);
    let with = |pointer: &str, value: Value| {
        let mut object = base.clone();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let mut place = &mut object;
        for part in parent.split('/').skip(1) {
            place = &mut place[part];
        }
        place[key.replace("~1", "/")] = value;
        object
    };
    let last_applied = "/metadata/annotations/kubectl.kubernetes.io~1last-applied-configuration";
    for object in [
        with("/metadata/managedFields", json!("x")),
        with("/metadata/managedFields", json!([1])),
        with("/metadata/managedFields", json!({ "operation": "Apply" })),
        with("/metadata/managedFields", json!([{ "operation": "Apply" }])),
        with("/metadata/managedFields", json!([{ "operation": "Apply", "fieldsV1": "x" }])),
        with("/metadata/managedFields", json!([{ "operation": "Apply", "fieldsV1": { "f:spec": { "f:template": null } } }])),
        with(last_applied, json!("")),
        with(last_applied, json!("{")),
        with(last_applied, json!("[]")),
        with(last_applied, json!("{\"kind\":\"Deployment\"}")),
        with(last_applied, json!(5)),
        with(last_applied, json!({ "spec": {} })),
        with("/metadata/annotations/probekeeper.dev~1filled", json!("{\"app\":")),
        with("/metadata/annotations/probekeeper.dev~1filled", json!("{\"app\":{\"livenessProbe\":{\"timeoutSeconds\":\"1\"}}}")),
    ] {
        assert_eq!(author(&object, None, "app", ProbeKind::Liveness, T), Author::Unknown, "{}", object["metadata"]);
    }
}

#[test]
fn in_a_file_what_is_absent_was_omitted() {
    let text = deployment(
        &json!([{ "name": "app", "livenessProbe": { "tcpSocket": { "port": 1 }, "timeoutSeconds": 1, "periodSeconds": null } }]),
    )
    .to_string();
    let workload = Workload::from_json(&text).unwrap().unwrap();
    let of = |leaf| Witnesses::File.author(&workload.containers[0], ProbeKind::Liveness, leaf);
    assert_eq!([of(T), of(Leaf::PeriodSeconds), of(D), of(F)], [Author::Set, Author::Omitted, Author::Omitted, Author::Omitted]);
}

// --- the record ---

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_record_survives_its_annotation(entries in proptest::collection::vec((".{0,8}", 0..3_usize, 0..6_usize, any::<i64>()), 0..6), text in ".*") {
        let mut record = Record::default();
        for (container, probe, leaf, value) in &entries {
            record.insert(container, ProbeKind::ALL[*probe], Leaf::ALL[*leaf], *value);
        }
        prop_assert_eq!(record.is_empty(), entries.is_empty());
        prop_assert_eq!(&Record::parse(&record.to_annotation()), &record);
        if let Some((container, probe, leaf, value)) = entries.last() {
            prop_assert_eq!(record.get(container, ProbeKind::ALL[*probe], Leaf::ALL[*leaf]), Some(*value));
        }
        prop_assert!(Record::parse(&text).get("app", ProbeKind::Liveness, T).is_none());
    }
}
