//! The report as SARIF 2.1.0, which code scanning services and editors read.
//!
//! <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>; only the parts that are written here have types.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};

use crate::engine::ExemptedBy;
use crate::lint::{Allowed, Failure, Found, Report, fingerprint, relative};
use crate::model::ProbeKind;
use crate::policy::Action;
use crate::rules::{RULES, RuleDef};

/// The name of our fingerprint; its number counts up when equal findings get another one.
const FINGERPRINT: &str = "probekeeper/v1";

/// The report as a SARIF log that ends with a line break. `root`: the folder that URIs are relative to.
pub fn sarif(report: &Report, root: Option<&Path>) -> Result<String, serde_json::Error> {
    let log = Log {
        schema: "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        version: "2.1.0",
        runs: [Run {
            tool: json!({ "driver": {
                "name": "probekeeper",
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "informationUri": "https://probekeeper.dev",
                "rules": RULES.iter().map(|rule| self::rule(rule)).collect::<Vec<_>>(),
            } }),
            // Columns are counted in characters.
            column_kind: "unicodeCodePoints",
            original_uri_base_ids: json!({ "SRCROOT": { "description": { "text": "the folder that probekeeper was started in" } } }),
            invocations: [Invocation {
                execution_successful: report.errors.is_empty(),
                tool_execution_notifications: report.errors.iter().map(|failure| notification(failure, root)).collect(),
            }],
            results: results(report, root),
        }],
    };
    let mut text = serde_json::to_string_pretty(&log)?;
    text.push('\n');
    Ok(text)
}

#[derive(Serialize)]
struct Log {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    tool: Value,
    column_kind: &'static str,
    original_uri_base_ids: Value,
    invocations: [Invocation; 1],
    results: Vec<Outcome>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Invocation {
    execution_successful: bool,
    tool_execution_notifications: Vec<Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    rule_id: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule_index: Option<usize>,
    level: &'static str,
    message: Value,
    locations: [Value; 1],
    partial_fingerprints: Value,
    /// Of all results of a run or of none (3.27.23): empty says that a result is not suppressed.
    suppressions: Vec<Suppression>,
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline_state: Option<&'static str>,
}

#[derive(Serialize)]
struct Suppression {
    kind: &'static str,
    justification: String,
}

/// What is wrong, then what is right there. A reader that does not know suppressions shows the latter too, hence at the lowest level.
fn results(report: &Report, root: Option<&Path>) -> Vec<Outcome> {
    let against_baseline = report.summary.known.is_some();
    let findings = report.findings.iter().map(|found| result(found, root, against_baseline));
    let exempted = report.exempted.iter().map(|Allowed { found, reason, by }| Outcome {
        level: level(Action::Audit),
        suppressions: vec![Suppression {
            kind: match by {
                ExemptedBy::Policy => "external",
                ExemptedBy::Annotation => "inSource",
            },
            justification: reason.clone(),
        }],
        ..result(found, root, against_baseline)
    });
    findings.chain(exempted).collect()
}

fn rule(rule: &RuleDef) -> Value {
    let markdown: Vec<&str> = rule.doc.trim().lines().map(plain).collect();
    let markdown = markdown.join("\n");
    json!({
        "id": rule.id,
        "shortDescription": { "text": rule.summary() },
        "fullDescription": { "text": rule.why },
        "help": { "text": markdown, "markdown": markdown },
        "helpUri": rule.url(),
        "defaultConfiguration": { "level": level(rule.action(crate::policy::Profile::default())) },
        "properties": { "tags": ["kubernetes", "probes"] },
    })
}

/// A line of a doc comment as a reader sees it: examples carry what their test expects behind the language.
fn plain(line: &str) -> &str {
    let line = line.strip_prefix(' ').unwrap_or(line);
    if line.starts_with("```yaml") { "```yaml" } else { line }
}

const fn level(action: Action) -> &'static str {
    match action {
        Action::Deny => "error",
        Action::Warn => "warning",
        Action::Audit => "note",
        Action::Off => "none",
    }
}

fn result(found: &Found, root: Option<&Path>, against_baseline: bool) -> Outcome {
    let finding = &found.finding;
    let excerpt = &found.excerpt;
    let at_fault = excerpt.text.get(excerpt.primary.clone()).unwrap_or_default();
    let mut text = format!("{}, {}: {}", found.object, finding.place(), finding.message);
    let mut markdown = text.clone();
    if !finding.help.is_empty() {
        let help = finding.help.trim_end();
        text += &["\nWrite instead:\n", help].concat();
        markdown += &["\n\nWrite instead:\n\n```yaml\n", help, "\n```"].concat();
    }
    let mut region = json!({ "startLine": found.line, "startColumn": found.column });
    if !at_fault.is_empty() {
        region["endColumn"] = json!(found.column + at_fault.chars().count());
        region["snippet"] = json!({ "text": at_fault });
    }
    let name = finding.probe.map(ProbeKind::field).or(finding.container.as_deref()).unwrap_or(&found.object.name);
    let object = found.object.to_string().replace(' ', "/");
    Outcome {
        rule_id: finding.rule.id,
        rule_index: RULES.iter().position(|rule| rule.id == finding.rule.id),
        level: level(finding.action),
        message: json!({ "text": text, "markdown": markdown }),
        locations: [json!({
            "physicalLocation": { "artifactLocation": artifact(&found.file, root), "region": region },
            "logicalLocations": [{
                "name": name,
                "fullyQualifiedName": format!("{}/{object}{}", found.object.api_version, finding.pointer),
                "kind": "object",
            }],
        })],
        partial_fingerprints: json!({ FINGERPRINT: fingerprint(found) }),
        suppressions: Vec::new(),
        baseline_state: against_baseline.then_some("new"),
    }
}

fn notification(failure: &Failure, root: Option<&Path>) -> Value {
    let mut location = json!({ "artifactLocation": artifact(&failure.file, root) });
    if let (Some(line), Some(column)) = (failure.line, failure.column) {
        location["region"] = json!({ "startLine": line, "startColumn": column });
    }
    json!({
        "level": "error",
        "message": { "text": failure.message },
        "locations": [{ "physicalLocation": location }],
    })
}

/// A file below the root as a relative URI, any other as an absolute one.
fn artifact(file: &str, root: Option<&Path>) -> Value {
    let name = relative(file, root);
    if name == "-" {
        return json!({ "uri": "stdin" });
    }
    if name.starts_with('/') {
        return json!({ "uri": format!("file://{}", encoded(name)) });
    }
    json!({ "uri": encoded(name), "uriBaseId": "SRCROOT" })
}

/// Percent-encodes everything that a path in a URI cannot hold.
fn encoded(path: &str) -> String {
    path.bytes().fold(String::with_capacity(path.len()), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uris() {
        let root = Some(Path::new("/repo"));
        assert_eq!(artifact("/repo/a b/ä#1.yaml", root)["uri"], "a%20b/%C3%A4%231.yaml");
        assert_eq!(artifact("/elsewhere/a.yaml", root)["uri"], "file:///elsewhere/a.yaml");
        assert_eq!(artifact("-", root)["uri"], "stdin");
        assert_eq!(artifact("./c:d.yaml", root)["uri"], "c%3Ad.yaml");
    }
}
