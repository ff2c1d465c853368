//! What holds of any file, in any style.

use probekeeper::model::{Edit, Scalar};
use probekeeper::policy::Action;
use probekeeper::yaml::{self, edit::Placed};
use proptest::{collection::vec, prelude::*, sample::select};
use serde_json::{Value, json};

use super::generate::{Choices, document};
use super::{fix, fix_under};

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn values(text: &str) -> Vec<Value> {
    let json = |document: &yaml::Document<'_>| {
        let mut json = String::new();
        document.root.as_ref().unwrap_or_else(|error| panic!("{error}\n{text}")).to_json(&mut json);
        serde_json::from_str(&json).unwrap()
    };
    yaml::parse(text).iter().map(json).collect()
}

fn tree() -> impl Strategy<Value = Value> {
    let word = select(vec!["alpha", "beta", "gamma", "delta", "x", "80", "off", "it's", "a b", "# no", "é: {"]);
    let leaf = prop_oneof![
        any::<u8>().prop_map(|number| json!(number)),
        any::<bool>().prop_map(|value| json!(value)),
        Just(json!(null)),
        word.prop_map(|word| json!(word)),
    ];
    let key = || select(vec!["alpha", "beta", "gamma", "delta", "epsilon", "host", "on", "a/b"]);
    let object = move |inner: BoxedStrategy<Value>| {
        proptest::collection::btree_map(key(), inner, 1..5)
            .prop_map(|entries| Value::Object(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()))
    };
    let nested = leaf.prop_recursive(4, 30, 4, move |inner| {
        let inner = inner.boxed();
        prop_oneof![2 => object(inner.clone()), 1 => vec(inner, 0..4).prop_map(Value::from)]
    });
    proptest::collection::btree_map(key(), nested, 1..5)
        .prop_map(|entries| Value::Object(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()))
}

/// Pointers of every mapping, and of every member of one.
fn places(value: &Value, at: &str, maps: &mut Vec<String>, members: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            maps.push(at.to_owned());
            for (key, value) in object {
                let pointer = format!("{at}/{}", key.replace('/', "~1"));
                members.push(pointer.clone());
                places(value, &pointer, maps, members);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                places(item, &format!("{at}/{index}"), maps, members);
            }
        }
        _ => {}
    }
}

fn scalar() -> impl Strategy<Value = Scalar> {
    prop_oneof![
        any::<i32>().prop_map(|number| i64::from(number).into()),
        select(vec!["http", "/x", "80", "it's", "a: b"]).prop_map(Scalar::from)
    ]
}

fn is_subsequence(short: &str, long: &str) -> bool {
    let mut rest = long.bytes();
    short.bytes().all(|byte| rest.any(|other| other == byte))
}

proptest! {
    #![proptest_config(config(1_000))]

    /// Any edit in any style comes out as meant, or is refused; what is only added leaves every other byte.
    #[test]
    fn edits_say_what_they_mean(
        value in tree(), bytes in vec(any::<u8>(), 1..60), picks in vec((any::<prop::sample::Index>(), 0..4_u8, scalar()), 1..4)
    ) {
        let text = document(&value, &Choices::new(bytes, true));
        prop_assert_eq!(values(&text), vec![value.clone()], "{}", text);
        let (mut maps, mut members) = (Vec::new(), Vec::new());
        places(&value, "", &mut maps, &mut members);
        let mut expected = value;
        let mut edits = Vec::new();
        for (index, kind, scalar) in picks {
            let edit = match kind {
                0 => Edit::set(format!("{}/t{}", index.get(&maps), edits.len()), scalar),
                1 => {
                    let value = json!({ "alpha": { "on": Value::from(scalar.clone()), "beta": [{ "x": null }, []] }, "gamma": Value::from(scalar) });
                    Edit::insert(format!("{}/t{}", index.get(&maps), edits.len()), value)
                }
                2 => Edit::set(index.get(&members).clone(), scalar),
                _ => Edit::remove(index.get(&members).clone()),
            };
            // Each at a place of its own: no edit above or below another.
            let apart = edits.iter().all(|other: &Placed| {
                let (a, b) = (&other.edit.pointer, &edit.pointer);
                !format!("{a}/").starts_with(&format!("{b}/")) && !format!("{b}/").starts_with(&format!("{a}/"))
            });
            if apart {
                edits.push(Placed { document: 0, edit });
            }
        }
        let edited = yaml::edit::edit(&text, &edits);
        prop_assert!(edited.is_ok(), "{:?}\n{}", edits, text);
        let edited = edited.unwrap();
        let refused = |at: usize| edited.refused.iter().any(|refused| refused.edit == at);
        for (at, placed) in edits.iter().enumerate() {
            let adds = placed.edit.pointer.rsplit_once("/t").is_some_and(|(_, rest)| rest.len() == 1);
            prop_assert!(!(adds && refused(at)), "{:?}: {:?}\n{}", placed, edited.refused, text);
            if !refused(at) {
                prop_assert!(placed.edit.apply(&mut expected).is_some());
            }
        }
        prop_assert_eq!(values(&edited.text), vec![expected], "{:?}\n{}\n{}", edits, text, edited.text);
        if edits.iter().all(|placed| placed.edit.pointer.contains("/t")) {
            prop_assert!(is_subsequence(&text, &edited.text), "{}\n{}", text, edited.text);
        }
    }
}

fn handler() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => (select(vec!["/alive", "/ready", "ready", "status"]), select(vec![json!(80), json!("http"), json!("web"), json!("metric")]), any::<bool>()).prop_map(|(path, port, host)| {
            let mut http = json!({ "path": path, "port": port });
            if host {
                http["host"] = json!("localhost");
            }
            json!({ "httpGet": http })
        }),
        1 => Just(json!({ "tcpSocket": { "port": 80 } })),
        1 => Just(json!({ "tcpSocket": { "host": "127.0.0.1", "port": "http" } })),
        1 => Just(json!({ "exec": { "command": ["curl", "-f", "http://localhost:80/alive"] } })),
        1 => Just(json!({ "exec": { "command": ["cat", "/tmp/alive"] } })),
    ]
}

fn probe() -> impl Strategy<Value = Value> {
    let number = || prop_oneof![2 => Just(None), 1 => select(vec![1_i64, 2, 3, 5, 10, 20]).prop_map(Some)];
    (handler(), number(), number(), number(), number()).prop_map(|(mut probe, period, timeout, failures, delay)| {
        let numbers = [
            ("periodSeconds", period),
            ("timeoutSeconds", timeout),
            ("failureThreshold", failures),
            ("initialDelaySeconds", delay),
        ];
        for (key, number) in numbers {
            if let Some(number) = number {
                probe[key] = json!(number);
            }
        }
        probe
    })
}

fn workload() -> impl Strategy<Value = Value> {
    let container =
        proptest::collection::btree_map(select(vec!["livenessProbe", "readinessProbe", "startupProbe"]), probe(), 0..=3)
            .prop_map(|probes| {
                let mut container = json!({
                    "image": "main:1",
                    "ports": [{ "name": "http", "containerPort": 80 }, { "name": "metrics", "containerPort": 81 }],
                });
                for (kind, probe) in probes {
                    container[kind] = probe;
                }
                container
            });
    vec(container, 1..3).prop_map(|mut containers| {
        for (container, name) in containers.iter_mut().zip(["main", "side"]) {
            container["name"] = json!(name);
        }
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "main" },
            "spec": {
                "selector": { "matchLabels": { "tier": "main" } },
                "template": { "metadata": { "labels": { "tier": "main" } }, "spec": { "containers": containers } },
            },
        })
    })
}

/// Document, pointer and value.
type Fill = (usize, String, i64);

/// What lint says: findings that it shows by default as rule and whether it has a rewrite, and the values that it would fill in.
fn lint(text: &str) -> (Vec<(String, bool)>, Vec<Fill>) {
    use probekeeper::lint::{self, Inputs, Judge};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.yaml");
    std::fs::write(&path, text).unwrap();
    let policy = probekeeper::policy::Policy::builtin(probekeeper::policy::Profile::Recommended);
    let report = lint::run(Inputs::collect([&path]), &Judge::new(policy, true));
    assert_eq!(report.errors, Vec::new(), "{text}");
    let shown = report.findings.iter().filter(|found| found.finding.action >= Action::Warn);
    let findings = shown.map(|found| (found.finding.rule.id.to_owned(), !found.finding.rewrite.is_empty())).collect();
    let filled = report.filled.iter().map(|filled| (filled.document, filled.pointer.clone(), filled.value)).collect();
    (findings, filled)
}

proptest! {
    #![proptest_config(config(300))]

    /// Without `--unsafe`: exactly what lint says would be filled in, slashes, and nothing else; no byte goes.
    #[test]
    fn safe_changes_only_add(first in workload(), second in workload(), bytes in vec(any::<u8>(), 1..80)) {
        let choices = Choices::new(bytes, true);
        let text = format!("{}\n---\n{}", document(&first, &choices), document(&second, &choices));
        let fixed = fix(&text, false);
        prop_assert!(fixed.errors.is_empty() && fixed.notes.is_empty() || fixed.notes.iter().all(|note| note.message.contains("block of text")), "{:?}\n{}", (&fixed.errors, &fixed.notes), text);
        prop_assert!(is_subsequence(&text, &fixed.after), "{}\n{}", text, fixed.after);
        let (_, filled) = lint(&text);
        prop_assert_eq!(filled.len(), fixed.filled);
        let mut expected = values(&text);
        for (document, pointer, value) in filled {
            Edit::set(pointer, value).apply(&mut expected[document]).unwrap();
        }
        let mut found = values(&fixed.after);
        for value in expected.iter_mut().chain(&mut found) {
            strip_slashes(value);
        }
        prop_assert_eq!(found, expected);
        prop_assert_eq!(lint(&fixed.after).1, vec![]);
        prop_assert_eq!(fix(&fixed.after, false).after, fixed.after);
    }

    /// With `--unsafe`, no finding is left that had a rewrite, and the second time nothing is left to do.
    #[test]
    fn unsafe_changes_resolve_what_they_can(workload in workload(), bytes in vec(any::<u8>(), 1..80)) {
        let text = document(&workload, &Choices::new(bytes, false));
        let fixed = fix(&text, true);
        prop_assert!(fixed.errors.is_empty(), "{:?}\n{}", fixed.errors, text);
        prop_assert_eq!(&fix(&fixed.after, true).after, &fixed.after);
        if fixed.notes.is_empty() {
            let (findings, filled) = lint(&fixed.after);
            prop_assert!(findings.iter().all(|(_, rewritten)| !rewritten), "{:?}\n{}\n{}", findings, text, fixed.after);
            prop_assert_eq!((filled, fixed.offered), (vec![], 0));
        }
    }
}

/// A policy that adds whole probes and hooks.
fn adding() -> probekeeper::policy::Policy {
    let text =
        "apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\ndefaults: { addStartupProbe: true, addPreStopSleepSeconds: 5 }\n";
    probekeeper::policy::load(text).unwrap()
}

proptest! {
    #![proptest_config(config(200))]

    /// Whole probes and hooks too are written without touching a byte, and once.
    #[test]
    fn additions_only_add(workload in workload(), bytes in vec(any::<u8>(), 1..80)) {
        let text = document(&workload, &Choices::new(bytes, true));
        let fixed = fix_under(adding(), &text, false);
        prop_assert!(fixed.errors.is_empty(), "{:?}\n{}", &fixed.errors, text);
        prop_assert!(is_subsequence(&text, &fixed.after), "{}\n{}", text, fixed.after);
        let again = fix_under(adding(), &fixed.after, false);
        prop_assert_eq!(&again.after, &fixed.after);
        prop_assert!(fixed.notes.is_empty() == again.notes.is_empty());
        for container in values(&fixed.after)[0]["spec"]["template"]["spec"]["containers"].as_array().unwrap().iter().filter(|_| fixed.notes.is_empty()) {
            prop_assert_eq!(&container["lifecycle"], &json!({ "preStop": { "sleep": { "seconds": 5 } } }), "{}", fixed.after);
        }
    }
}

fn strip_slashes(value: &mut Value) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::String(text) if key == "path" => *text = text.trim_start_matches('/').to_owned(),
                    value => strip_slashes(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(strip_slashes),
        _ => {}
    }
}
