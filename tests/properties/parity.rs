//! The linter and the webhook say the same of the same file: same findings, same ones exempted, same values filled in, whatever the policy.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    fs,
    sync::Arc,
};

use jiff::civil::Date;
use probekeeper::{
    admission::{Admission, Route},
    lint::{self, Found, Inputs, Judge, Report},
    policy::{Action, Choices, OwnedObjects, PolicyStore, Profile},
    rules::RULES,
};
use proptest::{option, prelude::*, sample::select};
use serde_json::{Value, json};

use crate::{
    apiserver::{Client, review, telling_client},
    choices::{TODAY, Words, choices},
    config,
    contract::{ask, mutate},
    generate::{NUMBERS, compile, file, pod_spec_pointer, policy},
};

/// Patterns that fit what [`dressed`] and [`file`] make.
const WORDS: Words = Words {
    namespaces: &["*", "shop", "shop-*", "*-eu", "team-?", "nothing"],
    kinds: &["Deployment", "*Set", "Rollout", "Cron*", "Pod", "*"],
    containers: &["app", "a*", "*ro*", "log", "istio-proxy", "nothing"],
    images: &["*", "example.invalid/*", "*/app:v?", "registry/log:*"],
};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_linter_agrees_with_the_webhook(written in file(), client in telling_client(), profile in select(Profile::ALL.to_vec())) {
        agree(&written, client, &Choices { profile, ..Choices::default() })?;
    }

    #[test]
    fn the_linter_agrees_with_the_webhook_whatever_the_policy(written in dressed(), client in telling_client(), choices in whole_policy()) {
        agree(&written, client, &choices)?;
    }
}

/// The examples, which people read first.
#[test]
fn the_linter_agrees_with_the_webhook_about_the_examples() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let mut judged = 0;
    let mut folders = vec![std::path::PathBuf::from(root)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            for document in probekeeper::yaml::parse(&fs::read_to_string(&path).unwrap()) {
                let mut json = String::new();
                document.root.unwrap().to_json(&mut json);
                let written: Value = serde_json::from_str(&json).unwrap();
                if written["kind"] != "Deployment" {
                    continue;
                }
                for profile in Profile::ALL {
                    agree(&written, Client::Apply, &Choices { profile, ..Choices::default() }).unwrap();
                }
                judged += 1;
            }
        }
    }
    assert!(judged > 8, "only {judged} examples");
}

/// The generators reach what the property is about: otherwise it would hold of nothing.
#[test]
fn whole_policies_are_reached() {
    use proptest::{strategy::ValueTree as _, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let mut reached: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..600 {
        let (written, client, choices) = (dressed(), telling_client(), whole_policy()).new_tree(&mut runner).unwrap().current();
        let Some(seen) = agree(&written, client, &choices).unwrap() else { continue };
        let plain = agree(&written, client, &Choices { overrides: Vec::new(), ..choices }).unwrap();
        for (what, is_so) in [
            ("exempted by the policy", seen.exempted.iter().any(|by| by == "policy")),
            ("exempted by an annotation", seen.exempted.iter().any(|by| by == "annotation")),
            ("a note of an ended exemption", seen.notes > 0),
            ("an annotation without effect", seen.rules.contains("ineffective-allow")),
            ("filled in", seen.filled > 0),
            ("other findings by an override", plain.is_some_and(|plain| plain.rules != seen.rules)),
            ("a custom kind", written["kind"] == "Rollout"),
            ("made by a controller", !written["metadata"]["ownerReferences"].is_null()),
            ("defaults turned off", written.to_string().contains("probekeeper.dev/defaults")),
        ] {
            *reached.entry(what).or_default() += usize::from(is_so);
        }
    }
    assert!(reached.values().all(|times| *times >= 10), "{reached:?}");
}

/// A file with labels, images, annotations of ours, perhaps of a custom kind or made by a controller.
fn dressed() -> BoxedStrategy<Value> {
    let labels = || (option::of(select(vec!["web", "db"])), option::of(select(vec!["web", "db"])));
    let ids: Vec<&str> = RULES.iter().map(|rule| rule.id).collect();
    let entry = (select([ids, vec!["no-probs"]].concat()), select(vec![": because", ": see https://x/y; it says why", "", ":"]));
    let allow = || {
        option::weighted(0.5, proptest::collection::vec(entry.clone(), 1..12)).prop_map(|entries| {
            entries
                .map(|entries| entries.into_iter().map(|(rule, reason)| format!("{rule}{reason}")).collect::<Vec<_>>().join("; "))
        })
    };
    let defaults = || option::weighted(0.1, select(vec!["off", "on", "false"]));
    let images = proptest::collection::vec(select(vec!["example.invalid/app:v1", "registry/log:2", "a"]), 3);
    let rest =
        (images, any::<bool>(), option::weighted(0.1, select(vec![("apps/v1", "ReplicaSet"), ("example.dev/v1", "Thing")])));
    let namespace = select(vec!["shop", "shop-eu", "team-a", "other"]);
    (file(), namespace, (labels(), labels()), (allow(), allow()), (defaults(), defaults()), rest)
        .prop_map(
            |(mut file, namespace, (own, template), (allow, template_allow), (off, template_off), (images, custom, owner))| {
                file["metadata"]["namespace"] = json!(namespace);
                if custom && file["kind"] == "StatefulSet" {
                    (file["apiVersion"], file["kind"]) = (json!("argoproj.io/v1beta1"), json!("Rollout"));
                }
                if let Some((api_version, kind)) = owner {
                    file["metadata"]["ownerReferences"] =
                        json!([{ "apiVersion": api_version, "kind": kind, "name": "x", "uid": "1", "controller": true }]);
                }
                let pod = pod_spec_pointer(&file);
                for (at, container) in file.pointer_mut(pod).unwrap()["containers"].as_array_mut().unwrap().iter_mut().enumerate()
                {
                    container["image"] = json!(images[at]);
                }
                let metadata = format!("{}/metadata", pod.strip_suffix("/spec").unwrap());
                dress(&mut file["metadata"], own, allow, off);
                if metadata != "/metadata" {
                    let mut place = &mut file;
                    for part in metadata.split('/').skip(1) {
                        place = &mut place[part];
                    }
                    dress(place, template, template_allow, template_off);
                }
                file
            },
        )
        .boxed()
}

fn dress(metadata: &mut Value, (tier, team): (Option<&str>, Option<&str>), allow: Option<String>, defaults: Option<&str>) {
    for (key, value) in [("tier", tier), ("team", team)] {
        if let Some(value) = value {
            metadata["labels"][key] = json!(value);
        }
    }
    if let Some(allow) = allow {
        metadata["annotations"]["probekeeper.dev/allow"] = json!(allow);
    }
    if let Some(defaults) = defaults {
        metadata["annotations"]["probekeeper.dev/defaults"] = json!(defaults);
    }
    // What an empty mapping would become on its way is not what this is about.
    if metadata.is_null() {
        *metadata = json!({});
    }
}

/// A policy of which everything may differ: rules, defaults, overrides, exemptions, kinds, what is done with owned objects.
fn whole_policy() -> BoxedStrategy<Choices> {
    let rules = RULES.iter().map(|rule| rule.id).collect();
    (choices(WORDS, rules), policy())
        .prop_map(|(choices, Choices { defaults, startup, owned_objects, on_internal_error, .. })| Choices {
            defaults,
            startup,
            owned_objects,
            on_internal_error,
            ..choices
        })
        .boxed()
}

/// What both said.
struct Seen {
    rules: BTreeSet<&'static str>,
    /// Who exempts.
    exempted: Vec<String>,
    notes: usize,
    filled: usize,
}

/// `None` where the linter sees no workload: the API server would not accept it.
fn agree(written: &Value, client: Client, choices: &Choices) -> Result<Option<Seen>, TestCaseError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.json");
    fs::write(&path, written.to_string()).unwrap();
    let mut report = lint::run(Inputs::collect([&path]), &Judge::new(compile(choices), true).on(TODAY));
    // An answer begins with what denies; otherwise both have the same order.
    report.findings.sort_by_key(|found| Reverse(found.finding.action));

    let today: fn() -> Date = || TODAY;
    let admission = Admission::at(Arc::new(PolicyStore::new(compile(choices))), today);
    let sent = client.create(written);
    let (patched, _) = mutate(&admission, &review("CREATE", &sent, None), true);
    let stored = crate::apiserver::defaulted(&patched);
    let body = review("CREATE", &stored, None).to_string();
    let answer = admission.answer(Route::Validate, body.as_bytes());
    // Objects of controllers that nobody wants to hear of are none for the linter either.
    let owner = &written["metadata"]["ownerReferences"][0];
    if owner["kind"] == "ReplicaSet" && choices.owned_objects == OwnedObjects::Skip {
        prop_assert_eq!((report.summary.workloads, report.findings.len(), answer.outcome.findings.len()), (0, 0, 0));
        return Ok(None);
    }
    // A file that the API server could not even read, or would refuse as incomplete, is no workload for the linter.
    if answer.outcome.error.is_some() || !report.errors.is_empty() || report.summary.workloads == 0 {
        return Ok(None);
    }
    let linted: Vec<(&str, &str)> =
        report.findings.iter().map(|found| (found.finding.rule.id, found.finding.action.name())).collect();
    prop_assert_eq!(&linted, &answer.outcome.findings, "{}", written);
    let exempted: Vec<&str> = report.exempted.iter().map(|allowed| allowed.found.finding.rule.id).collect();
    prop_assert_eq!(&exempted, &answer.outcome.exempted, "{}", written);
    // The webhook's own answer keeps its contract, and says the same in words.
    let response = ask(&admission, Route::Validate, body.as_bytes()).unwrap();
    same_words(&report, &response)?;

    let (before, after) = (fillable(&sent), fillable(&patched));
    let filled: BTreeSet<(String, i64)> = after.difference(&before).cloned().collect();
    let shown: BTreeSet<(String, i64)> = report.filled.iter().map(|filled| (filled.pointer.clone(), filled.value)).collect();
    prop_assert_eq!(&shown, &filled, "{}", written);
    Ok(Some(Seen {
        rules: linted.iter().map(|(rule, _)| *rule).collect(),
        exempted: report.exempted.iter().map(|allowed| allowed.by.name().to_owned()).collect(),
        notes: report.findings.iter().filter(|found| !found.finding.note.is_empty()).count(),
        filled: filled.len(),
    }))
}

/// Place, pointer, message and note of each finding, and who exempts what and why, as far as the answer has room.
fn same_words(report: &Report, response: &Value) -> Result<(), TestCaseError> {
    let place = |found: &Found| {
        let container = found.finding.container.iter().map(|container| format!(" {container}"));
        container.chain(found.finding.probe.map(|probe| format!("/{}", probe.field()))).collect::<String>()
    };
    let listed = |entries: Vec<String>, separator: &str| {
        let more = entries.len().checked_sub(32).filter(|more| *more > 0).map(|more| format!(", and {more} more"));
        entries[..entries.len().min(32)].join(separator) + &more.unwrap_or_default()
    };
    let findings = report
        .findings
        .iter()
        .map(|found| format!("{}={}{}", found.finding.rule.id, found.finding.action, place(found)))
        .collect();
    let exempted = report
        .exempted
        .iter()
        .map(|allowed| {
            format!("{}{} ({}: {})", allowed.found.finding.rule.id, place(&allowed.found), allowed.by.name(), allowed.reason)
        })
        .collect();
    let audit = |key: &str| response["auditAnnotations"][key].as_str().unwrap_or_default();
    prop_assert_eq!(audit("findings"), listed(findings, ", "));
    prop_assert_eq!(audit("exempted"), listed(exempted, "; "));

    let with = |action: Action| report.findings.iter().filter(move |found| found.finding.action == action);
    let denial = response["status"]["message"].as_str().unwrap_or_default();
    for (number, found) in with(Action::Deny).take(8).enumerate() {
        let finding = &found.finding;
        let head = format!("\n{}. {}: {} [{}]\n", number + 1, finding.place(), finding.message, finding.rule.id);
        let (_, rest) = denial.split_once(&head).unwrap_or_else(|| panic!("{head} in {denial}"));
        let rest = rest.split("\n\n").next().unwrap_or_default();
        prop_assert!(rest.contains(&format!("   At: {}", found.pointer)), "{}", denial);
        prop_assert_eq!(rest.contains("   Note: "), !finding.note.is_empty());
        prop_assert!(finding.note.is_empty() || rest.contains(&format!("   Note: {}\n", finding.note)), "{}", denial);
    }
    let warnings: Vec<&str> = response["warnings"].as_array().into_iter().flatten().map(|line| line.as_str().unwrap()).collect();
    for (found, warning) in with(Action::Warn).zip(&warnings) {
        let expected = format!("{}: {}: {}", found.finding.rule.id, found.finding.place(), found.finding.message);
        let is_plain = expected.chars().count() < 250 && !expected.contains(char::is_control);
        prop_assert!(!is_plain || warning.starts_with(&expected) || warning.starts_with("and "), "{} {}", warning, expected);
        prop_assert!(warning.ends_with('…') || warning.contains(&found.finding.note), "{}", warning);
    }
    Ok(())
}

/// Every number that may be filled in, by pointer.
fn fillable(object: &Value) -> BTreeSet<(String, i64)> {
    fn collect(value: &Value, pointer: &str, into: &mut BTreeSet<(String, i64)>) {
        match value {
            Value::Object(map) => map.iter().for_each(|(key, value)| collect(value, &format!("{pointer}/{key}"), into)),
            Value::Array(list) => {
                list.iter().enumerate().for_each(|(at, value)| collect(value, &format!("{pointer}/{at}"), into));
            }
            Value::Number(number) => {
                let leaf = pointer.rsplit('/').next().unwrap_or_default();
                if NUMBERS.contains(&leaf)
                    || leaf == "terminationGracePeriodSeconds"
                    || pointer.ends_with("/preStop/sleep/seconds")
                {
                    into.extend(number.as_i64().map(|number| (pointer.to_owned(), number)));
                }
            }
            _ => {}
        }
    }
    let mut all = BTreeSet::new();
    let pod = pod_spec_pointer(object);
    collect(object.pointer(pod).unwrap(), pod, &mut all);
    all
}
