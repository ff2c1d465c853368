//! Reviews and the objects in them.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, OnceLock};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use probekeeper::admission::{Admission, Route};
use probekeeper::policy::{self, PolicyStore};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Value, json};

use super::contract::{ROUTES, ask, mutate};

/// The policies that are tried, and whether they add whole probes and hooks.
const POLICIES: [(&str, bool); 4] = [
    ("profile: recommended", false),
    ("profile: strict\nonInternalError: fail\nownedObjects: deny", false),
    (
        "profile: baseline\ndefaults: { addStartupProbe: true, addPreStopSleepSeconds: 5, livenessProbe: { terminationGracePeriodSeconds: auto, initialDelaySeconds: 7 } }",
        true,
    ),
    (
        r#"overrides:
  - { match: { kinds: [Deployment, Rollout], containers: [app, "w*"] }, rules: { missing-readiness: deny }, defaults: { livenessProbe: { timeoutSeconds: 3 } } }
  - { match: { labels: { matchExpressions: [{ key: app, operator: Exists }] } }, rules: { default-timeout: deny } }
exemptions: [{ match: { images: ["i*"] }, rules: [missing-liveness, unknown-port-name], reason: r, until: 2026-06-30 }]
workloads: [{ apiVersion: argoproj.io/v1alpha1, kind: Rollout, resource: rollouts, template: /spec/template }]
startup: { allowanceSeconds: 45, minSeconds: 20, maxSeconds: 400 }"#,
        false,
    ),
];

fn judges() -> &'static [(Admission, bool)] {
    static JUDGES: OnceLock<Vec<(Admission, bool)>> = OnceLock::new();
    JUDGES.get_or_init(|| {
        let judge = |(text, adds): &(&str, bool)| {
            let text = format!("apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\n{text}\n");
            (Admission::new(Arc::new(PolicyStore::new(policy::load(&text).unwrap()))), *adds)
        };
        POLICIES.iter().map(judge).collect()
    })
}

/// Any bytes as the body of a request: there is an answer, it keeps the contract, and it does not depend on the order of keys, escapes or spaces.
pub fn review(body: &[u8]) {
    let tree = serde_json::from_slice::<Value>(body).ok().filter(|_| !has_duplicates(body));
    // Whatever comes there, it is no policy of ours that could be denied.
    let answer = judges()[0].0.answer(Route::Policy, body);
    assert!(matches!(answer.status, 200 | 400), "{}", answer.status);
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    assert!(answer["error"].is_string() || answer["response"]["allowed"].is_boolean(), "{answer}");
    for (admission, adds) in judges() {
        for route in ROUTES {
            ask(admission, route, body);
            if let Some(tree) = &tree {
                let (one, other) = (said(admission, route, body), said(admission, route, tree.to_string().as_bytes()));
                assert_eq!(one, other, "another order of keys, another answer: {}", String::from_utf8_lossy(body));
                let strange = said(admission, route, with_strange_keys(tree.clone()).to_string().as_bytes());
                assert_eq!(one, strange, "another reader, another answer: {}", String::from_utf8_lossy(body));
            }
        }
        if let Some(tree) = tree.as_ref().filter(|tree| tree["request"].is_object()) {
            passes(admission, tree.clone(), *adds);
        }
    }
}

/// Any JSON as an object that is created, or updated from another one.
pub fn patch(bytes: &[u8]) {
    let Ok(tree) = serde_json::from_slice::<Value>(bytes) else { return };
    // Seeds are whole reviews.
    let (object, old) = match tree.get("request") {
        Some(request) => (request["object"].clone(), request["oldObject"].clone()),
        None => (tree["object"].clone(), tree["oldObject"].clone()),
    };
    let operation = if old.is_null() { "CREATE" } else { "UPDATE" };
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": { "uid": "u-1", "operation": operation, "namespace": "shop", "name": "web", "object": object, "oldObject": old },
    });
    for (admission, adds) in judges() {
        ask(admission, Route::Validate, review.to_string().as_bytes());
        passes(admission, review.clone(), *adds);
    }
}

/// The patch applies and touches only what it may, and a second pass is empty.
fn passes(admission: &Admission, mut review: Value, adds: bool) {
    let (patched, operations) = mutate(admission, &review, adds);
    if operations > 0 {
        review["request"]["object"] = patched;
        let (_, again) = mutate(admission, &review, adds);
        assert_eq!(again, 0, "a second pass changes something: {review}");
    }
}

/// The same with keys that nobody asks for and that have escapes: the fast reader leaves such texts to serde_json.
fn with_strange_keys(mut tree: Value) -> Value {
    let key = "\"";
    for place in ["/request/oldObject", "/request/object", "/request", ""] {
        if let Some(Value::Object(members)) = tree.pointer_mut(place) {
            members.insert(key.to_owned(), Value::Null);
        }
    }
    tree
}

/// What an answer says, without the words of errors: which of several is met first depends on the order of the bytes.
fn said(admission: &Admission, route: Route, body: &[u8]) -> (u16, &'static str, Value) {
    let answer = admission.answer(route, body);
    if answer.outcome.verdict == "error" {
        return (answer.status, "error", Value::Null);
    }
    let mut body: Value = serde_json::from_slice(&answer.body).unwrap();
    if let Some(patch) = body["response"]["patch"].as_str() {
        let patch = STANDARD.decode(patch).unwrap();
        body["response"]["patch"] = serde_json::from_slice(&patch).unwrap();
    }
    (answer.status, answer.outcome.verdict, body)
}

/// Whether a key stands twice in one mapping. Which of them counts is nobody's promise.
fn has_duplicates(json: &[u8]) -> bool {
    serde_json::from_slice::<Unique>(json).is_err()
}

struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate keys")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self, A::Error> {
        let mut seen = HashSet::new();
        while let Some((key, _)) = entries.next_entry::<String, Self>()? {
            if !seen.insert(key) {
                return Err(serde::de::Error::custom("a key stands twice"));
            }
        }
        Ok(self)
    }
}
