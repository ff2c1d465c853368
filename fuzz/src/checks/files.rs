//! Files as the linter and `fix` see them.

use std::path::PathBuf;

use probekeeper::graph::{Graph, draw};
use probekeeper::lint::{self, Fixed, Fixer, Input, Inputs, Judge, Report, output};
use probekeeper::model::{Edit, Kinds};
use probekeeper::policy::{Action, Policy, Profile};
use probekeeper::yaml::{self, Node};
use serde_json::Value;

/// Any text as a file: every place is in it, and every form of the report can be written.
pub fn lint(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for document in yaml::parse(text) {
        let Ok(root) = document.root else { continue };
        spans(&root, text);
        let mut json = String::new();
        root.to_json(&mut json);
        serde_json::from_str::<Value>(&json).unwrap_or_else(|error| panic!("{error}: {json}"));
    }
    let mut report = run(text, &Judge::new(Policy::builtin(Profile::Strict), true).with_courses());
    let lines = text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count();
    for found in &report.findings {
        assert!((1..=lines).contains(&found.line) && found.column > 0, "{found:?}");
        let excerpt = &found.excerpt;
        assert!(excerpt.text.get(excerpt.primary.clone()).is_some(), "{found:?}");
    }
    assert!(!report.errors.iter().any(|error| error.message.contains("a fault of probekeeper")), "{:?}", report.errors);
    serde_json::from_str::<Value>(&output::json(&report).unwrap()).unwrap();
    serde_json::from_str::<Value>(&output::sarif(&report, None).unwrap()).unwrap();
    output::junit(&report, Action::Deny, None).unwrap();
    output::github(&report, None);
    assert!(!output::html(&report, None).contains("<script"));
    output::explain(&report, &output::WhatIf::default());
    output::text(&report, false);
    report.retain(Action::Warn);
    output::text(&report, true);

    let file = File::with(text);
    drawn(&lint::survey(Inputs::collect([&file.0]), &Kinds::default()).0);
}

/// Any text as a file to rewrite. Without `--unsafe` nothing that was written changes; the second time nothing is left to do.
pub fn fix(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let safe = fixed(text, false);
    if safe.errors.is_empty() && !safe.template {
        let (before, after) = (values(text), values(&safe.after));
        assert_eq!(before.len(), after.len(), "{text:?}\n{:?}", safe.after);
        for (before, after) in before.iter().zip(&after) {
            assert!(only_adds(before, after), "the meaning changed: {text:?}\n{:?}", safe.after);
        }
        // What an API server sent is judged, but not rewritten.
        if safe.notes.is_empty() && !before.iter().any(|document| document["kind"] == "AdmissionReview") {
            let filled = run(text, &judge()).filled;
            assert_eq!(filled.len(), safe.filled, "{text:?}\n{:?}", safe.after);
            let mut expected = before;
            for fill in filled {
                assert!(Edit::set(fill.pointer, fill.value).apply(&mut expected[fill.document]).is_some());
            }
            let mut after = after;
            expected.iter_mut().chain(&mut after).for_each(without_slashes);
            assert_eq!(after, expected, "{text:?}\n{:?}", safe.after);
        }
    }
    for (fixed_once, all) in [(safe, false), (fixed(text, true), true)] {
        if fixed_once.errors.is_empty() {
            let again = fixed(&fixed_once.after, all);
            assert_eq!(again.after, fixed_once.after, "the second time changes something: {text:?}");
        } else {
            assert_eq!(fixed_once.after, text, "changed in spite of errors");
            let own_fault = |error: &lint::Failure| error.message.contains("a fault of probekeeper");
            assert!(!fixed_once.errors.iter().any(own_fault), "{:?}: {text:?}", fixed_once.errors);
        }
    }
}

fn judge() -> Judge {
    Judge::new(Policy::builtin(Profile::Recommended), true)
}

fn fixed(text: &str, all: bool) -> Fixed {
    let file = File::with(text);
    Fixer::new(judge(), all).fix(&[Input::Named(file.0.clone())]).remove(0)
}

fn run(text: &str, judge: &Judge) -> Report {
    let file = File::with(text);
    lint::run(Inputs::collect([&file.0]), judge)
}

/// A file for a moment. One per thread, as tests share a process.
struct File(PathBuf);

impl File {
    fn with(text: &str) -> Self {
        let thread = format!("{:?}", std::thread::current().id());
        let number: String = thread.chars().filter(char::is_ascii_digit).collect();
        let path = std::env::temp_dir().join(format!("probekeeper-fuzz-{}-{number}.yaml", std::process::id()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // What cannot be removed is overwritten next time.
        let _ = std::fs::remove_file(&self.0);
    }
}

fn drawn(graph: &Graph) {
    draw::text(graph);
    draw::dot(graph);
    draw::svg(graph);
    serde_json::from_str::<Value>(&draw::json(graph).unwrap()).unwrap();
}

/// Every node stands in the text, between characters, and begins before it ends.
fn spans(node: &Node<'_>, text: &str) {
    let (start, end) = (node.span.start.offset, node.span.end.offset);
    assert!(start <= end && text.is_char_boundary(start) && text.is_char_boundary(end), "{:?} of {text:?}", node.span);
    for item in node.as_seq().into_iter().flatten() {
        spans(item, text);
    }
    for (key, value) in node.as_map().into_iter().flatten() {
        assert!(text.get(key.span.start.offset..key.span.end.offset).is_some(), "{:?} of {text:?}", key.span);
        spans(value, text);
    }
}

fn values(text: &str) -> Vec<Value> {
    let value = |document: yaml::Document<'_>| {
        let mut json = String::new();
        document.root.unwrap_or_else(|error| panic!("{error}: {text:?}")).to_json(&mut json);
        serde_json::from_str(&json).unwrap()
    };
    yaml::parse(text).into_iter().map(value).collect()
}

/// Whether everything in `before` is in `after`, at its place.
fn only_adds(before: &Value, after: &Value) -> bool {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => before.iter().all(|(key, value)| match (value, after.get(key)) {
            // A path without its slash works, and is written with it.
            (Value::String(path), Some(Value::String(slashed))) if key == "path" => {
                path == slashed || format!("/{path}") == *slashed
            }
            (value, Some(same)) => only_adds(value, same),
            (_, None) => false,
        }),
        (Value::Array(before), Value::Array(after)) => {
            before.len() == after.len() && before.iter().zip(after).all(|(before, after)| only_adds(before, after))
        }
        // What is null is left out.
        (Value::Null, _) => true,
        (before, after) => before == after,
    }
}

fn without_slashes(value: &mut Value) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::String(text) if key == "path" => *text = text.trim_start_matches('/').to_owned(),
                    value => without_slashes(value),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(without_slashes),
        _ => {}
    }
}
