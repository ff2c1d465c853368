//! `docs/policy.md`: its policies are policies, and its answers are the webhook's.

use std::{fmt::Write as _, fs, path::Path, sync::Arc};

use jiff::civil::date;
use probekeeper::{
    admission::{Admission, Route},
    policy::{PolicyStore, load},
    yaml,
};
use serde_json::{Value, json};

const HEAD: &str = "apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\n";

/// `UPDATE=1` writes the answers anew; read the difference before you commit it.
#[test]
fn the_examples_of_the_page_are_true() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/policy.md");
    let page = fs::read_to_string(&path).unwrap();
    let (mut written, mut policy, mut answer) = (String::new(), HEAD.to_owned(), None);
    let (mut policies, mut answers) = (0, 0);
    for (at, part) in page.split("```").enumerate() {
        if at > 0 {
            written += "```";
        }
        match part.split_once('\n').filter(|_| at % 2 == 1) {
            Some(("yaml", text)) => {
                assert!(answer.is_none(), "an object without its answer before {text}");
                if text.contains("kind: ProbePolicy") || !text.starts_with("apiVersion:") {
                    policy = if text.starts_with("apiVersion:") { text.to_owned() } else { format!("{HEAD}{text}") };
                    load(&policy).unwrap_or_else(|errors| panic!("{errors}\n{policy}"));
                    policies += 1;
                } else {
                    answer = Some(answers_to(&policy, text));
                }
                written += part;
            }
            Some(("text", _)) => {
                let text = answer.take().expect("an object before its answer");
                written += &["text\n", &text].concat();
                answers += 1;
            }
            _ => written += part,
        }
    }
    assert!(policies >= 7 && answers >= 5, "{policies} policies, {answers} answers");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &written).unwrap();
    }
    assert_eq!(page, written, "docs/policy.md is not current: UPDATE=1 cargo test --test policy page");
}

/// What is filled in and what is said, as the API server would learn it: first the one, then the other of the object with what was filled in.
fn answers_to(policy: &str, object: &str) -> String {
    let admission = Admission::at(Arc::new(PolicyStore::new(load(policy).unwrap())), || date(2027, 1, 1));
    let root = yaml::parse(object).remove(0).root.unwrap_or_else(|error| panic!("{error:?}\n{object}"));
    let mut text = String::new();
    root.to_json(&mut text);
    let object: Value = serde_json::from_str(&text).unwrap();
    let ask = |route: Route, object: &Value| {
        let review = json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": { "uid": "u", "operation": "CREATE", "object": object } });
        let answer = admission.answer(route, review.to_string().as_bytes());
        serde_json::from_slice::<Value>(&answer.body).unwrap()["response"].take()
    };
    let mut out = String::new();
    let filled = ask(Route::Mutate, &object);
    let mut object = object;
    if let Some(patch) = filled["patch"].as_str() {
        use base64::Engine as _;
        let patch = base64::engine::general_purpose::STANDARD.decode(patch).unwrap();
        json_patch::patch(&mut object, &serde_json::from_slice::<json_patch::Patch>(&patch).unwrap()).unwrap();
        let _ = writeln!(out, "filled in: {}", filled["auditAnnotations"]["filled"].as_str().unwrap());
    }
    let judged = ask(Route::Validate, &object);
    let message = judged["status"]["message"].as_str().unwrap_or_default();
    for problem in message.lines().filter(|line| line.starts_with(|rune: char| rune.is_ascii_digit())) {
        let _ = writeln!(out, "denied: {problem}");
    }
    for warning in judged["warnings"].as_array().into_iter().flatten() {
        let _ = writeln!(out, "warning: {}", warning.as_str().unwrap());
    }
    if let Some(exempted) = judged["auditAnnotations"]["exempted"].as_str() {
        let _ = writeln!(out, "exempted: {exempted}");
    }
    assert!(!out.is_empty(), "nothing is said of {object}");
    out
}
