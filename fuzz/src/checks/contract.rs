//! What holds of every answer to every input: the contract of AdmissionReview, and what a patch may touch.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use probekeeper::{
    admission::{Admission, Route},
    model::{CustomKind, Kind, Kinds, Leaf, Record, Workload},
};
use serde_json::{Value, json};

pub(crate) const ROUTES: [Route; 2] = [Route::Validate, Route::Mutate];

pub(crate) const PROBES: [&str; 3] = ["livenessProbe", "readinessProbe", "startupProbe"];

/// The numbers that may be filled in.
const FILLABLE: [&str; 5] =
    ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "failureThreshold", "terminationGracePeriodSeconds"];

/// The `response` of an answer, after everything that the contract demands of every answer has been checked. `None`: the review was refused as such.
pub(crate) fn ask(admission: &Admission, route: Route, body: &[u8]) -> Option<Value> {
    let answer = admission.answer(route, body);
    let text = String::from_utf8_lossy(body);
    let parsed: Value = serde_json::from_slice(&answer.body).expect("an answer is JSON");
    assert!(answer.outcome.rule_errors.is_empty(), "{:?} failed on {text}", answer.outcome.rule_errors);
    if answer.status != 200 {
        assert!(matches!(answer.status, 400 | 500), "status {} for {text}", answer.status);
        assert!(parsed["error"].as_str().is_some_and(|error| !error.is_empty()), "{parsed}");
        assert!(answer.outcome.error.is_some());
        return None;
    }
    assert_eq!((&parsed["apiVersion"], &parsed["kind"]), (&json!("admission.k8s.io/v1"), &json!("AdmissionReview")));
    let response = &parsed["response"];
    assert!(response["uid"].as_str().is_some_and(|uid| !uid.is_empty()));
    // Numbers that no machine holds and halves of characters may be skipped where nobody reads them; everything else is JSON.
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    // A review or request that is a list is read by position: no API server sends one.
    if asked["request"].is_object() {
        assert_eq!(response["uid"], asked["request"]["uid"], "{text}");
    }

    let allowed = response["allowed"].as_bool().expect("a verdict");
    let status = &response["status"];
    if allowed {
        assert!(status.is_null(), "{status}");
    } else {
        assert_eq!((&status["code"], &status["reason"]), (&json!(403), &json!("Forbidden")));
        assert!(status["message"].as_str().is_some_and(|message| !message.is_empty()));
        assert_eq!(route, Route::Validate);
        if !asked.is_null() {
            let object = asked["request"]["object"].to_string();
            assert!(matches!(Workload::read(&object, &kinds()), Ok(Some(_))), "denied what cannot be read: {text}");
        }
    }
    assert_eq!(response["patch"].is_null(), response["patchType"].is_null());
    if route == Route::Validate {
        assert!(response["patch"].is_null());
    }

    let warnings: Vec<&str> = response["warnings"].as_array().into_iter().flatten().map(|line| line.as_str().unwrap()).collect();
    assert!(warnings.iter().all(|line| line.chars().count() <= 256), "{warnings:?}");
    assert!(warnings.iter().map(|line| line.chars().count()).sum::<usize>() <= 4096);
    assert!(!warnings.iter().any(|line| line.is_empty() || line.contains(char::is_control)), "{warnings:?}");
    for (key, value) in response["auditAnnotations"].as_object().into_iter().flatten() {
        assert!(!key.contains('/') && value.is_string());
    }
    assert!(!String::from_utf8_lossy(&answer.body).contains("hunter2"), "a header's value is in the answer");
    Some(response.clone())
}

/// The object after `/mutate`, and how many operations its patch had. Checks each operation against what the object allows; `adds`: the policy also
/// adds whole probes and hooks.
pub(crate) fn mutate(admission: &Admission, review: &Value, adds: bool) -> (Value, usize) {
    let object = &review["request"]["object"];
    let Some(response) = ask(admission, Route::Mutate, review.to_string().as_bytes()) else { return (object.clone(), 0) };
    let Some(patch) = response["patch"].as_str() else { return (object.clone(), 0) };
    assert_eq!(response["patchType"], "JSONPatch");
    let patch = STANDARD.decode(patch).expect("base64");
    let operations: Vec<Value> = serde_json::from_slice(&patch).unwrap();
    assert!(!operations.is_empty(), "an empty patch is no patch");
    for operation in &operations {
        check_operation(&review["request"], operation, adds);
    }
    let mut patched = object.clone();
    let document: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
    json_patch::patch(&mut patched, &document).unwrap_or_else(|error| panic!("{error}: {operations:?} on {object}"));
    (patched, operations.len())
}

fn check_operation(request: &Value, operation: &Value, adds: bool) {
    let object = &request["object"];
    assert!(matches!(operation["op"].as_str(), Some("add" | "replace")), "{operation}");
    let path = operation["path"].as_str().unwrap();
    let annotation = "/metadata/annotations/probekeeper.dev~1filled";
    if path == annotation || path == "/metadata/annotations" {
        let record = if path == annotation { &operation["value"] } else { &operation["value"][Record::ANNOTATION] };
        assert!(
            path == annotation || object["metadata"].get("annotations").is_none_or(Value::is_null),
            "other annotations would be lost"
        );
        assert!(record.as_str().is_some_and(|record| serde_json::from_str::<Record>(record).is_ok()), "{operation}");
        return;
    }
    let rest = path.strip_prefix(pod_spec_pointer(object)).unwrap_or_else(|| panic!("outside of the pod spec: {path}"));
    let parts: Vec<&str> = rest.split('/').skip(1).collect();
    let [list, index, member, ref within @ ..] = parts[..] else { panic!("no member of a container: {path}") };
    assert!(matches!(list, "containers" | "initContainers"), "{path}");
    let container = object.pointer(&format!("{}/{list}/{index}", pod_spec_pointer(object))).unwrap();
    let recorded = |part: &str, name: &str| recorded(request, container, part, name);

    // Whole probes and hooks: added where there is none, changed and taken away only where the record says that they are ours.
    let ours = (member == "startupProbe" && !recorded("startupProbe", "added").is_empty())
        || (member == "lifecycle" && !recorded("preStop", "sleepSeconds").is_empty());
    if ours {
        return;
    }
    let whole = member == "startupProbe" && within.is_empty() || member == "lifecycle" && matches!(within, [] | ["preStop"]);
    if whole {
        assert!(adds, "{operation} under a policy that adds none");
        let pointer = [&[member], within].concat().join("/");
        let present = container.pointer(&format!("/{pointer}"));
        assert!(present.is_none_or(Value::is_null), "{pointer} would be replaced: {container}");
        assert!(operation["value"].is_object(), "{operation}");
        return;
    }
    let ([number], true) = (within, PROBES.contains(&member)) else { panic!("no number of a probe: {path}") };
    assert!(FILLABLE.contains(number), "{path}");
    let present = container[member].get(*number).and_then(Value::as_i64).filter(|present| *present != 0);
    let is_ours = present.is_some_and(|present| recorded(member, number).contains(&present));
    if operation["value"].is_null() {
        assert!(is_ours, "{path} is taken away from its author: {object}");
        return;
    }
    let value = operation["value"].as_i64().expect("a number");
    assert!((i64::from(*number != "initialDelaySeconds")..=i64::from(i32::MAX)).contains(&value), "{operation}");
    if present.is_some() && present != api_default(number) {
        assert!(is_ours, "{path} was set by its author: {object}");
    }
}

/// What the records of the new and the old object say about a part of a container.
fn recorded(request: &Value, container: &Value, part: &str, name: &str) -> Vec<i64> {
    let record = |object: &str| {
        let text = request[object]["metadata"]["annotations"][Record::ANNOTATION].as_str()?;
        let record: Value = serde_json::from_str(text).ok()?;
        record[container["name"].as_str().unwrap_or_default()][part][name].as_i64()
    };
    ["object", "oldObject"].into_iter().filter_map(record).collect()
}

/// What the policies judge that are tried.
fn kinds() -> Kinds {
    Kinds::with(&[CustomKind {
        api_version: "argoproj.io/v1alpha1".to_owned(),
        kind: "Rollout".to_owned(),
        resource: "rollouts".to_owned(),
        template: "/spec/template".to_owned(),
    }])
}

/// What the API server makes of a number that is left out.
pub(crate) fn api_default(number: &str) -> Option<i64> {
    Leaf::ALL.into_iter().find(|leaf| leaf.field() == number).and_then(Leaf::api_default)
}

/// Where the pod spec of an object is.
pub(crate) fn pod_spec_pointer(object: &Value) -> &'static str {
    let kind = Kind::ALL.into_iter().find(|kind| object["kind"] == kind.name());
    kind.map_or("/spec/template/spec", Kind::pod_spec_pointer)
}
