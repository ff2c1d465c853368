//! `probekeeper lint --format sarif|junit|github`

use std::path::PathBuf;
use std::process::Command;

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::lint::{BAD, bad, good};
use super::{Run, folder, run};

/// The JSON schema of SARIF 2.1.0 comes with the `serde-sarif` crate: OASIS' repository states no licence for copies.
fn sarif_schema() -> Value {
    // Only this platform's packages are sure to be downloaded.
    let rustc = Command::new("rustc").arg("-vV").output().unwrap();
    let rustc = String::from_utf8(rustc.stdout).unwrap();
    let host = rustc.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", host])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let package = metadata["packages"].as_array().unwrap().iter().find(|package| package["name"] == "serde-sarif").unwrap();
    let manifest = PathBuf::from(package["manifest_path"].as_str().unwrap());
    let text = std::fs::read_to_string(manifest.with_file_name("src").join("schema.json")).unwrap();
    let mut schema: Value = serde_json::from_str(&text).unwrap();
    // Not a regular expression of ECMA 262 in unicode mode; nothing here writes the field.
    for part in ["run", "toolComponent"] {
        schema["definitions"][part]["properties"]["language"].as_object_mut().unwrap().remove("pattern").unwrap();
    }
    schema
}

/// Runs and validates; the log.
fn sarif(files: &[(&str, &str)], args: &[&str]) -> Value {
    let folder = folder(files);
    let log = run(folder.path(), &[&["lint", "--format", "sarif"], args].concat(), "").json();
    let schema = sarif_schema();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<_> = validator.iter_errors(&log).map(|error| format!("{} {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    // Stricter than the schema where that leaves fields open.
    serde_json::from_value::<serde_sarif::sarif::Sarif>(log.clone()).unwrap();
    log
}

#[test]
fn sarif_is_valid() {
    let log = sarif(&[("a b/ä.yaml", BAD), ("broken.yaml", "a: b: c\n")], &["."]);
    let of_run = &log["runs"][0];
    let result = &of_run["results"][0];
    assert_eq!(result["ruleId"], "unknown-port-name");
    let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
    let rule = &of_run["tool"]["driver"]["rules"][index];
    assert_eq!(rule["id"], "unknown-port-name");
    assert!(rule["help"]["markdown"].as_str().unwrap().contains("## What it does"), "{rule}");
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"], json!({ "uri": "a%20b/%C3%A4.yaml", "uriBaseId": "SRCROOT" }));
    // `web` of `port: web # a typo`, and what is underlined with it.
    assert_eq!((&place["region"]["startLine"], &place["region"]["startColumn"]), (&json!(25), &json!(15)));
    assert_eq!(place["region"]["endColumn"], 15 + place["region"]["snippet"]["text"].as_str().unwrap().len());
    let invocation = &of_run["invocations"][0];
    assert_eq!(invocation["executionSuccessful"], false);
    assert_eq!(
        invocation["toolExecutionNotifications"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"],
        "broken.yaml"
    );
    sarif(&[("a.yaml", &good("a"))], &["a.yaml"]);
}

#[test]
fn fingerprints_do_not_know_lines() {
    let prints = |name: &str, text: &str| -> Vec<String> {
        let log = sarif(&[(name, text)], &[name, "--min-action", "audit"]);
        let results = log["runs"][0]["results"].as_array().unwrap();
        results.iter().map(|result| result["partialFingerprints"]["probekeeper/v1"].as_str().unwrap().to_owned()).collect()
    };
    let before = prints("a.yaml", BAD);
    let moved = format!("# one more line\n---\n{BAD}")
        .replace("      containers:\n", "      containers:\n        - { name: first, image: i }\n");
    assert!(!before.is_empty());
    let after = prints("b.yaml", &moved);
    // The container that came before may have findings of its own.
    assert!(before.iter().all(|print| after.contains(print)), "{before:?} {after:?}");
    assert_ne!(before, prints("a.yaml", &BAD.replace("port: web", "port: wep")));
    assert_ne!(before, prints("a.yaml", &BAD.replace("namespace: shop", "namespace: ship")));
}

#[test]
fn junit() {
    let folder = folder(&[("a.yaml", BAD), ("b.yaml", &good("b")), ("c.yaml", "a: b: c\n")]);
    let run = run(folder.path(), &["lint", "--format", "junit", "."], "");
    assert_snapshot!(run.all());
}

#[test]
fn github() {
    let folder = folder(&[("a,b.yaml", &bad("50%")), ("c.yaml", "a: b: c\n")]);
    let run = run(folder.path(), &["lint", "--format", "github", "."], "");
    assert_snapshot!(run.all());
}

/// What the policy exempts in a first workload and the annotation in a second one.
const EXEMPTING: &str = "apiVersion: probekeeper.dev/v1
kind: ProbePolicy
exemptions:
  - match: { namespaces: [shop] }
    rules: [unknown-port-name]
    reason: the port comes with <the> sidecar
";

fn exempted_files() -> [(&'static str, String); 3] {
    let annotation = "annotations: { probekeeper.dev/allow: \"unknown-port-name: injected\" }";
    let annotated = BAD.replace("namespace: shop", &format!("namespace: ship\n  {annotation}"));
    [("policy.yaml", EXEMPTING.to_owned()), ("a.yaml", BAD.to_owned()), ("b.yaml", annotated)]
}

fn lint_exempted(format: &str) -> Run {
    let files = exempted_files();
    let folder = folder(&files.each_ref().map(|(name, text)| (*name, text.as_str())));
    run(folder.path(), &["lint", "--policy", "policy.yaml", "--format", format, "a.yaml", "b.yaml"], "")
}

#[test]
fn exempted_findings_are_suppressed_results() {
    let files = exempted_files();
    let more = ("c.yaml", BAD.replace("namespace: shop", "namespace: ship"));
    let files: Vec<(&str, &str)> = files.iter().chain([&more]).map(|(name, text)| (*name, text.as_str())).collect();
    let log = sarif(&files, &["--policy", "policy.yaml", "a.yaml", "b.yaml", "c.yaml"]);
    let results = log["runs"][0]["results"].as_array().unwrap();
    let seen: Vec<_> = results
        .iter()
        .map(|result| {
            let file = &result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
            (
                file.as_str().unwrap(),
                result["ruleId"].as_str().unwrap(),
                result["level"].as_str().unwrap(),
                &result["suppressions"],
            )
        })
        .filter(|(_, rule, ..)| *rule == "unknown-port-name")
        .collect();
    let external = json!([{ "kind": "external", "justification": "the port comes with <the> sidecar" }]);
    let in_source = json!([{ "kind": "inSource", "justification": "injected" }]);
    assert_eq!(
        seen,
        [
            ("c.yaml", "unknown-port-name", "error", &json!([])),
            ("a.yaml", "unknown-port-name", "note", &external),
            ("b.yaml", "unknown-port-name", "note", &in_source),
        ]
    );
    assert!(results.iter().all(|result| result["suppressions"].is_array()), "of all or of none");
}

#[test]
fn exempted_findings_in_other_formats() {
    let junit = lint_exempted("junit");
    assert_eq!(junit.code, 0);
    let cases: Vec<&str> = junit.stdout.lines().filter(|line| line.contains("<skipped")).map(str::trim).collect();
    assert_eq!(
        cases,
        [
            "<skipped message=\"the port comes with &lt;the&gt; sidecar (policy)\" type=\"exempted\">a.yaml:25:15: port &quot;web&quot; is not declared by \
             this container (declared: http): it never acts</skipped>",
            "<skipped message=\"injected (annotation)\" type=\"exempted\">b.yaml:26:15: port &quot;web&quot; is not declared by this container (declared: \
             http): it never acts</skipped>",
        ]
    );
    let html = lint_exempted("html").stdout;
    assert!(html.contains("By the policy: the port comes with &lt;the&gt; sidecar"), "{html}");
    assert!(html.contains("By the annotation: injected"), "{html}");
    assert_eq!(html.matches("<h3>Exempted</h3>").count(), 2);
    assert_eq!(html.matches("Nothing wrong beyond what is exempted.").count(), 2);
    assert_eq!(html.matches("<section").count(), html.matches("</section>").count());
    // They ask nothing of anybody, so no line gets an annotation.
    assert_eq!(lint_exempted("github").stdout, "2 files, 2 workloads: 2 exempted; 6 values would be filled in\n");
}
