//! What of the chart is generated: the table of its values from the comments in `values.yaml`, and the schema of `policy` from the policy file's own.

use std::{fmt::Write as _, fs, path::Path};

use probekeeper::policy;
use serde_json::{Value, json};

use super::page;

fn read(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("charts/probekeeper").join(name)).expect(name)
}

/// A policy written as a map is checked by Helm as `policy check` would; one written as a text is left to the webhook.
#[test]
fn the_schema_of_the_values_holds_that_of_the_policy() {
    let mut schema: Value = serde_json::from_str(&read("values.schema.json")).expect("JSON");
    let mut policy = policy::schema();
    bare(&mut policy);
    // The chart adds these two.
    policy.as_object_mut().expect("an object").remove("required");
    schema["properties"]["policy"] =
        json!({ "if": { "type": "object" }, "then": policy, "else": { "type": ["string", "null"] } });
    page("charts/probekeeper/values.schema.json", &(serde_json::to_string_pretty(&schema).expect("JSON") + "\n"));
}

/// Without what only people read: the chart travels in a Secret with every release.
fn bare(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            for word in ["description", "title", "$schema", "format"] {
                // A property may be called so as well: it has a schema, no text.
                if map.get(word).is_some_and(Value::is_string) {
                    map.remove(word);
                }
            }
            map.values_mut().for_each(bare);
        }
        Value::Array(items) => items.iter_mut().for_each(bare),
        _ => {}
    }
}

const BEGIN: &str = "<!-- Generated from values.yaml: do not edit. -->\n";
const END: &str = "<!-- End of what is generated. -->\n";

#[test]
fn the_table_of_the_charts_values() {
    let readme = read("README.md");
    let (before, rest) = readme.split_once(BEGIN).expect("the marker");
    let (_, after) = rest.split_once(END).expect("the other marker");
    let mut table = "\n| value | default | |\n|---|---|---|\n".to_owned();
    for Entry { path, default, about } in entries(&read("values.yaml")) {
        let _ = writeln!(table, "| `{path}` | {} | {about} |", code(&default));
    }
    page("charts/probekeeper/README.md", &format!("{before}{BEGIN}{table}\n{END}{after}"));
}

fn code(default: &str) -> String {
    if default.is_empty() { "see values.yaml".to_owned() } else { format!("`{}`", default.replace('|', "\\|")) }
}

struct Entry {
    path: String,
    default: String,
    about: String,
}

/// Every documented key (`# -- text`, possibly of several lines) with what stands after it. A value without a comment is an error, unless it stands
/// below a documented one.
fn entries(text: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut path: Vec<(usize, String)> = Vec::new();
    let mut about = String::new();
    let mut documented: Option<usize> = None;
    for line in text.lines() {
        let content = line.trim_start();
        let indent = line.len() - content.len();
        if let Some(comment) = content.strip_prefix("# -- ") {
            comment.clone_into(&mut about);
        } else if let Some(comment) = content.strip_prefix("# ") {
            assert!(!about.is_empty(), "values.yaml: begin the comment with `# --`: {line}");
            let _ = write!(about, " {comment}");
        } else if content.is_empty() {
            assert!(about.is_empty(), "values.yaml: this comment belongs to no value: {about}");
        } else {
            path.retain(|(depth, _)| *depth < indent);
            let below = documented.is_some_and(|depth| indent > depth);
            if !below {
                documented = None;
            }
            let (key, value) = content.split_once(':').expect("a key");
            path.push((indent, key.to_owned()));
            let value = value.trim();
            if about.is_empty() {
                assert!(below || value.is_empty(), "values.yaml: {line} has no comment");
                continue;
            }
            documented = Some(indent);
            let names: Vec<&str> = path.iter().map(|(_, name)| name.as_str()).collect();
            entries.push(Entry { path: names.join("."), default: value.to_owned(), about: std::mem::take(&mut about) });
        }
    }
    entries
}
