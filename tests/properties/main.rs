//! What holds of every answer, whatever comes in: there is one, it keeps the contract of AdmissionReview, patches apply and touch only what was left
//! out, and a second pass is empty.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]

mod apiserver;
#[path = "../policy/choices.rs"]
mod choices;
#[path = "../../fuzz/src/checks/contract.rs"]
mod contract;
mod generate;
mod parity;
mod same_check;

use std::sync::Arc;

use apiserver::{Client, UID, client, defaulted, numbers, review, telling_client};
use contract::{ROUTES, api_default, ask};
use generate::{accidents, auto_policy, compile, edits, file, json_value, policy, strike};
use probekeeper::{
    admission::{Admission, Route},
    engine::evaluate,
    model::{Kind, Record, Workload},
    policy::{Choices, OnInternalError, Policy, PolicyStore, Profile},
    rules::{Finding, RULES},
};
use proptest::{collection::vec, prelude::*, sample::Index, sample::select};
use serde_json::{Value, json};

/// `PROPTEST_CASES` (256) for each property.
fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::default() }
}

fn admission(choices: &Choices) -> Admission {
    Admission::new(Arc::new(PolicyStore::new(compile(choices))))
}

/// The object after `/mutate`, and how many operations its patch had. These policies add no whole probes.
fn mutate(admission: &Admission, review: &Value) -> (Value, usize) {
    contract::mutate(admission, review, false)
}

fn is_only_on_create(object: &Value) -> bool {
    object["kind"] == "Pod" || object["kind"] == "Job"
}

// --- every input has an answer ---

proptest! {
    #![proptest_config(config())]

    #[test]
    fn damaged_reviews_have_an_answer_and_patches_still_apply(
        (written, client, choices) in (file(), client(), policy()),
        operation in select(vec!["CREATE", "CREATE", "UPDATE", "UPDATE", "DELETE", "CONNECT", "PATCH"]),
        (edits, of_file, of_object, of_review) in (edits(), accidents(), accidents(), accidents()),
    ) {
        let admission = admission(&choices);
        let mut written = written;
        strike(&mut written, &of_file);
        let stored = if written.is_object() { defaulted_or_as_it_is(&written, client) } else { written.clone() };
        let mut object = stored.clone();
        if of_file.is_empty() {
            object = client.update(&stored, &written, &edits.apply(&written));
        }
        strike(&mut object, &of_object);
        let mut review = review(operation, &object, (operation != "CREATE").then_some(&stored));
        if of_object.len() < 2 {
            strike(&mut review, &of_review);
        }
        ask(&admission, Route::Validate, review.to_string().as_bytes());
        let (patched, _) = mutate(&admission, &review);
        if review["request"].is_object() {
            review["request"]["object"] = patched;
            let (_, again) = mutate(&admission, &review);
            prop_assert_eq!(again, 0, "a second pass changes something: {}", review);
        }
    }

    #[test]
    fn any_json_has_an_answer(value in json_value(), choices in policy()) {
        let admission = admission(&choices);
        for route in ROUTES {
            ask(&admission, route, value.to_string().as_bytes());
            ask(&admission, route, review("CREATE", &value, None).to_string().as_bytes());
            ask(&admission, route, review("UPDATE", &value, Some(&value)).to_string().as_bytes());
        }
    }

    #[test]
    fn mutated_bytes_have_an_answer(
        which in any::<Index>(),
        changes in vec((any::<Index>(), select(b"\"{}[],:0\\\xff\x00 -eu1n".to_vec()), 0..4_u8), 1..6),
    ) {
        let fixtures = fixtures();
        let mut bytes = which.get(&fixtures).clone();
        for (at, byte, how) in changes {
            let at = at.index(bytes.len().max(1));
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => drop(bytes.remove(at)),
                // What is left is enough to take one away with each other change.
                _ => bytes.truncate(at.max(8)),
            }
        }
        let admission = admission(&Choices::default());
        for route in ROUTES {
            let answer = admission.answer(route, &bytes);
            if answer.status == 200 {
                ask(&admission, route, &bytes);
            }
        }
    }
}

fn defaulted_or_as_it_is(object: &Value, client: Client) -> Value {
    // A damaged object cannot be defaulted or owned in every case; then it arrives as it is.
    std::panic::catch_unwind(|| client.create(object)).unwrap_or_else(|_| object.clone())
}

fn fixtures() -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/admission-reviews");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| std::fs::read(path).unwrap()).collect()
}

#[test]
fn real_reviews_are_answered_and_truncated_ones_refused() {
    let admission = admission(&Choices::default());
    for body in fixtures() {
        for route in ROUTES {
            assert!(ask(&admission, route, &body).is_some());
            let review: Value = serde_json::from_slice(&body).unwrap();
            let compact = review.to_string().into_bytes();
            for length in (0..compact.len()).step_by(13).chain([compact.len() - 1]) {
                assert_eq!(admission.answer(route, &compact[..length]).status, 400);
            }
        }
        mutate(&admission, &serde_json::from_slice(&body).unwrap());
    }
}

#[test]
fn nesting_of_any_depth_has_an_answer() {
    let admission = admission(&Choices::default());
    let whole =
        review("CREATE", &json!({ "apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": { "containers": [] } }), None)
            .to_string();
    for depth in [100, 127, 128, 129, 5_000, 60_000] {
        for (open, close) in [("[", "]"), ("{\"spec\":", "}"), ("{\"template\":{\"spec\":", "}}"), ("{\"a\":", "}")] {
            let deep = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            for body in [
                deep.clone(),
                open.repeat(depth),
                whole.replace("\"metadata\":{}", &format!("\"metadata\":{deep}")),
                whole.replace("\"metadata\":{}", &format!("\"metadata\":{{\"managedFields\":{deep}}}")),
                whole.replace("\"metadata\":{}", &format!("\"metadata\":{{\"x\":{deep}}}")),
                whole.replace("\"containers\":[]", &format!("\"template\":{deep}")),
                whole.replace("\"containers\":[]", &format!("\"containers\":{deep}")),
                whole.replace("\"oldObject\":null", &format!("\"oldObject\":{deep}")).replace("CREATE", "UPDATE"),
                whole.replace("\"options\":null", &format!("\"options\":{deep}")),
            ] {
                for route in ROUTES {
                    let answer = admission.answer(route, body.as_bytes());
                    assert!(matches!(answer.status, 200 | 400), "{} at depth {depth}", answer.status);
                }
            }
        }
    }
}

#[test]
fn many_findings_stay_within_the_budget() {
    let container = |at: usize| {
        let probe = json!({ "httpGet": { "port": "nope\u{1f600}", "path": "x:y".repeat(200), "host": "localhost" }, "timeoutSeconds": 90 });
        json!({ "name": format!("{at}{}", "\u{e4}".repeat(300)), "image": "i", "livenessProbe": probe, "readinessProbe": probe, "ports": [{ "containerPort": 80 }] })
    };
    let containers: Vec<_> = (0..200).map(container).collect();
    let object = defaulted(&json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web" },
        "spec": { "selector": {}, "template": { "spec": { "containers": containers } } },
    }));
    for profile in Profile::ALL {
        let admission = admission(&Choices { profile, ..Choices::default() });
        for (operation, old) in [("CREATE", None), ("UPDATE", Some(&object))] {
            let response = ask(&admission, Route::Validate, review(operation, &object, old).to_string().as_bytes()).unwrap();
            let length = response["status"]["message"].as_str().map_or(0, str::len);
            assert!(length < 32 * 1024, "a message of {length} bytes");
        }
        assert!(mutate(&admission, &review("CREATE", &object, None)).1 > 200);
    }
}

// --- what is filled in ---

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_second_pass_is_empty_and_the_result_is_as_the_api_server_stores_it(written in file(), client in client(), choices in policy()) {
        let admission = admission(&choices);
        let object = client.create(&written);
        let (patched, operations) = mutate(&admission, &review("CREATE", &object, None));
        prop_assert_eq!(&without_zero_delays(&defaulted(&patched)), &without_zero_delays(&patched), "defaulting changes what was filled in");
        let stored = defaulted(&patched);
        let (_, again) = mutate(&admission, &review("CREATE", &stored, None));
        prop_assert_eq!(again, 0);
        for (pointer, value) in numbers(&defaulted(&written)) {
            // A number that the file names and the API default differs from stays; where the client tells, every number that it names.
            let number = pointer.rsplit('/').next().unwrap();
            let named = written.pointer(&pointer).is_some();
            if named && (Some(value) != api_default(number) || matches!(client, Client::Apply | Client::ServerSideApply)) {
                prop_assert_eq!(stored.pointer(&pointer), Some(&json!(value)), "{} was written by the author", pointer);
            }
        }
        // Nothing but numbers of probes and the record.
        if operations > 0 {
            let mut back = patched.clone();
            for (pointer, _) in numbers(&patched) {
                let (probe, number) = pointer.rsplit_once('/').unwrap();
                match object.pointer(&pointer) {
                    Some(value) => back.pointer_mut(probe).unwrap()[number] = value.clone(),
                    None => drop(back.pointer_mut(probe).unwrap().as_object_mut().unwrap().remove(number)),
                }
            }
            back["metadata"]["annotations"].as_object_mut().unwrap().remove(Record::ANNOTATION);
            if object["metadata"].get("annotations").is_none() {
                back["metadata"].as_object_mut().unwrap().remove("annotations");
            }
            prop_assert_eq!(back, object);
        }
    }

    #[test]
    fn an_update_fills_in_only_where_the_template_changed(
        (written, client, choices) in (file(), client(), policy()),
        (edits, filled, label) in (edits(), any::<bool>(), any::<bool>()),
    ) {
        let admission = admission(&choices);
        let first = client.create(&written);
        let stored = if filled { defaulted(&mutate(&admission, &review("CREATE", &first, None)).0) } else { first };
        let next = edits.apply(&written);
        let mut object = client.update(&stored, &written, &next);
        if label {
            object["metadata"]["labels"] = json!({ "changed": "yes" });
        }
        let (patched, operations) = mutate(&admission, &review("UPDATE", &object, Some(&stored)));
        if is_only_on_create(&object) || object.pointer(template(&object)) == stored.pointer(template(&stored)) {
            prop_assert_eq!(operations, 0, "patched without a change of the template");
        }
        let (_, again) = mutate(&admission, &review("UPDATE", &defaulted(&patched), Some(&stored)));
        prop_assert_eq!(again, 0);
        for (pointer, value) in numbers(&defaulted(&next)) {
            let number = pointer.rsplit('/').next().unwrap();
            // Where the client does not tell, a number that happens to be the one we filled in earlier counts as ours.
            let looks_ours = client == Client::Helm && stored.pointer(&pointer) == Some(&json!(value)) && Some(value) != api_default(number);
            if next.pointer(&pointer).is_some() && !looks_ours {
                prop_assert_eq!(patched.pointer(&pointer), Some(&json!(value)), "{} was written by the author", pointer);
            }
        }
    }

    /// Where the client tells what its author wrote, only the last version of the file counts, not the way there.
    #[test]
    fn what_is_stored_does_not_depend_on_the_history(
        (written, client, choices) in (file(), telling_client(), policy()),
        (versions, filled) in (vec(edits(), 1..4), any::<bool>()),
    ) {
        if is_only_on_create(&written) {
            return Ok(());
        }
        let admission = admission(&choices);
        let first = client.create(&written);
        let mut stored = if filled { defaulted(&mutate(&admission, &review("CREATE", &first, None)).0) } else { first };
        let (mut last, mut changed) = (written, false);
        for edits in versions {
            let next = edits.apply(&last);
            let object = client.update(&stored, &last, &next);
            changed = object.pointer(template(&object)) != stored.pointer(template(&stored));
            stored = defaulted(&mutate(&admission, &review("UPDATE", &object, Some(&stored))).0);
            last = next;
        }
        let fresh = defaulted(&mutate(&admission, &review("CREATE", &client.create(&last), None)).0);
        // Taking out a number that equals the API default changes no template, and is seen when the next version does.
        if changed {
            prop_assert_eq!(numbers(&stored), numbers(&fresh), "{}", last);
        }
    }

    #[test]
    fn what_a_controller_made_is_never_patched(
        (written, client, choices) in (file(), client(), policy()),
        owner in select(vec![("apps/v1", "ReplicaSet"), ("apps/v1", "Deployment"), ("batch/v1", "CronJob"), ("v1", "Node"), ("example.dev/v1", "Thing")]),
        create in any::<bool>(),
    ) {
        let mut object = client.create(&written);
        object["metadata"]["ownerReferences"] = json!([
            { "apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "1" },
            { "apiVersion": owner.0, "kind": owner.1, "name": "y", "uid": "2", "controller": true },
        ]);
        let mut old = object.clone();
        old["spec"] = json!({});
        let review = if create { review("CREATE", &object, None) } else { review("UPDATE", &object, Some(&old)) };
        prop_assert_eq!(mutate(&admission(&choices), &review).1, 0);
    }

    #[test]
    fn defaults_that_are_off_are_off(written in file(), client in client(), choices in policy(), on_template in any::<bool>()) {
        let mut object = client.create(&written);
        let metadata = match object["kind"].as_str() {
            Some("Pod") => "/metadata",
            _ if !on_template => "/metadata",
            Some("CronJob") => "/spec/jobTemplate/spec/template/metadata",
            _ => "/spec/template/metadata",
        };
        let mut place = &mut object;
        for part in metadata.split('/').skip(1) {
            place = &mut place[part];
        }
        place["annotations"]["probekeeper.dev/defaults"] = json!("off");
        prop_assert_eq!(mutate(&admission(&choices), &review("CREATE", &object, None)).1, 0);
    }

    /// Computed values put things right and never make a rule fire.
    #[test]
    fn no_rule_fires_because_of_what_was_filled_in(written in file(), client in client(), choices in auto_policy()) {
        let policy = compile(&choices);
        let object = client.create(&written);
        let (patched, _) = mutate(&admission(&choices), &review("CREATE", &object, None));
        let (before, after) = (findings(&policy, &object), findings(&policy, &defaulted(&patched)));
        for finding in &after {
            // Whether a mere `sleep` can fail is a question of the timeout alone.
            if finding.message.contains("`sleep ") {
                continue;
            }
            let said = before.iter().filter(|other| other.container == finding.container && other.probe == finding.probe).any(|other| {
                let same = other.rule == finding.rule || finding.rule.covered_by.contains(&other.rule.id);
                same && other.action >= finding.action
            });
            prop_assert!(said, "{}: {}: {}\nbefore {}\nafter {}", finding.rule.id, finding.place(), finding.message, object, patched);
        }
    }
}

fn findings(policy: &Policy, object: &Value) -> Vec<Finding> {
    let text = object.to_string();
    let evaluation = evaluate(policy, &Workload::from_json(&text).unwrap().unwrap(), probekeeper::clock::today());
    assert!(evaluation.rule_errors.is_empty(), "{:?}", evaluation.rule_errors);
    evaluation.findings
}

fn template(object: &Value) -> &'static str {
    match object["kind"].as_str() {
        Some("Pod") => "/spec",
        Some("CronJob") => "/spec/jobTemplate",
        _ => "/spec/template",
    }
}

fn without_zero_delays(object: &Value) -> Value {
    let mut object = object.clone();
    for (pointer, value) in numbers(&object) {
        if value == 0 {
            let (probe, number) = pointer.rsplit_once('/').unwrap();
            object.pointer_mut(probe).unwrap().as_object_mut().unwrap().remove(number);
        }
    }
    object
}

// --- verdicts ---

proptest! {
    #![proptest_config(config())]

    #[test]
    fn an_update_that_changes_nothing_is_never_denied(written in file(), client in client(), choices in policy(), label in any::<bool>()) {
        let stored = client.create(&written);
        let mut object = stored.clone();
        if label {
            object["metadata"]["labels"] = json!({ "changed": "yes" });
        }
        let response = ask(&admission(&choices), Route::Validate, review("UPDATE", &object, Some(&stored)).to_string().as_bytes()).unwrap();
        prop_assert_eq!(&response["allowed"], &json!(true));
    }

    #[test]
    fn other_operations_subresources_and_leaving_objects_pass(
        (written, client, choices) in (file(), client(), policy()),
        how in select(vec!["DELETE", "CONNECT", "subresource", "deleting"]),
    ) {
        let mut object = client.create(&written);
        if how == "deleting" {
            object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        let mut review = review(if how.chars().all(char::is_uppercase) { how } else { "UPDATE" }, &object, Some(&json!({})));
        match how {
            "DELETE" => review["request"]["object"] = Value::Null,
            "subresource" => review["request"]["subResource"] = json!("scale"),
            _ => {}
        }
        for route in ROUTES {
            let response = ask(&admission(&choices), route, review.to_string().as_bytes()).unwrap();
            prop_assert_eq!(&response, &json!({ "uid": UID, "allowed": true }));
        }
    }
}

/// The narrow case that chance seldom meets: liveness is just slower than readiness until readiness gets its timeout.
#[test]
fn a_filled_in_timeout_of_readiness_does_not_make_liveness_too_fast() {
    let probe = |numbers: Value| {
        let mut probe = json!({ "httpGet": { "port": 80 } });
        probe.as_object_mut().unwrap().extend(numbers.as_object().unwrap().clone());
        probe
    };
    for (threshold, timeout) in [(4, 1), (4, 2), (4, 3), (5, 1), (3, 5)] {
        let written = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web" }, "spec": { "containers": [{
            "name": "app", "image": "i", "readinessProbe": probe(json!({})),
            "livenessProbe": probe(json!({ "failureThreshold": threshold, "timeoutSeconds": timeout })),
        }] } });
        let object = Client::Apply.create(&written);
        let patched = mutate(&admission(&Choices::default()), &review("CREATE", &object, None)).0;
        let policy = compile(&Choices::default());
        let rules = |object: &Value| findings(&policy, object).iter().map(|finding| finding.rule.id).collect::<Vec<_>>();
        let new: Vec<_> = rules(&patched).into_iter().filter(|rule| !rules(&object).contains(rule)).collect();
        assert!(new.is_empty(), "{new:?} at F {threshold}, T {timeout}: {patched}");
    }
}

/// The API server drops a warning that holds a control character (it travels in a header); path and host may hold any.
#[test]
fn warnings_hold_no_control_characters() {
    let probe =
        |path: &str, host: &str| json!({ "httpGet": { "port": "no\u{0}pe", "path": path, "host": host }, "timeoutSeconds": 90 });
    let container = json!({
        "name": "a\u{7f}p", "image": "i",
        "livenessProbe": probe("//a\n\u{1b}b", "d\nb"), "readinessProbe": probe("a:\tb", "d\u{85}b"),
    });
    let object = defaulted(&json!({
        "apiVersion": "v1", "kind": "ReplicationController", "metadata": { "name": "web" },
        "spec": { "template": { "spec": { "containers": [container] } } },
    }));
    // On UPDATE what was there before is warned about, so that every rule's words pass.
    let review = review("UPDATE", &object, Some(&object)).to_string();
    for profile in Profile::ALL {
        for route in ROUTES {
            let response = ask(&admission(&Choices { profile, ..Choices::default() }), route, review.as_bytes()).unwrap();
            for line in response["warnings"].as_array().into_iter().flatten() {
                assert!(!line.as_str().unwrap().contains(char::is_control), "{line}");
            }
        }
    }
}

#[test]
fn an_object_that_cannot_be_read_is_allowed_or_an_error_and_never_denied() {
    for (on_internal_error, status) in [(OnInternalError::Allow, 200), (OnInternalError::Fail, 500)] {
        let admission = admission(&Choices { on_internal_error, ..Choices::default() });
        for object in
            [json!({ "kind": 5 }), json!(7), json!("x"), json!({ "apiVersion": "v1", "kind": "Pod", "spec": "hunter2" })]
        {
            for route in ROUTES {
                let body = review("CREATE", &object, None).to_string();
                assert_eq!(admission.answer(route, body.as_bytes()).status, status, "{object}");
                if let Some(response) = ask(&admission, route, body.as_bytes()) {
                    assert_eq!(response["allowed"], json!(true));
                    assert_eq!(response["warnings"].as_array().map(Vec::len), Some(1), "{object}: {response}");
                }
            }
        }
    }
}

/// The generators reach what the properties are about: otherwise they would hold of nothing.
#[test]
fn the_generators_reach_patches_denials_and_every_rule() {
    use proptest::{strategy::ValueTree as _, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let strict = compile(&Choices { profile: Profile::Strict, ..Choices::default() });
    let admission = admission(&Choices::default());
    let (mut fired, mut kinds) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
    let (mut patches, mut denials) = (0, 0);
    for _ in 0..400 {
        let (written, client) = (file(), client()).new_tree(&mut runner).unwrap().current();
        let object = client.create(&written);
        kinds.insert(object["kind"].to_string());
        fired.extend(findings(&strict, &object).iter().map(|finding| finding.rule.id));
        let review = review("CREATE", &object, None);
        patches += usize::from(mutate(&admission, &review).1 > 0);
        let response = ask(&admission, Route::Validate, review.to_string().as_bytes()).unwrap();
        denials += usize::from(response["allowed"] == json!(false));
    }
    assert_eq!(kinds.len(), Kind::ALL.len());
    let silent: Vec<_> = RULES
        .iter()
        .filter(|rule| strict.rules.iter().any(|active| active.def == **rule))
        .map(|rule| rule.id)
        .filter(|rule| !fired.contains(rule))
        // These need other objects beside the workload, of which a single review knows nothing.
        .filter(|rule| {
            !["readiness-cycle", "service-port-mismatch", "service-ignores-readiness", "pdb-blocks-unready"].contains(rule)
        })
        .collect();
    assert!(silent.is_empty(), "{silent:?}");
    assert!(patches > 200 && denials > 50 && denials < 390, "{patches} patches, {denials} denials");
}
