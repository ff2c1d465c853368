//! The catalogue: every rule has its file, its documentation with examples that run, and fixtures.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails, in its helpers too")]

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

use probekeeper::{
    graph::{Fact, Graph, Member},
    model::Workload,
    policy::Action,
    rules::{Context, Finding, Findings, Parts, RULES, RuleDef},
    yaml,
};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What one rule, with the action `deny`, says about every workload in a text. All objects of the text are one set.
fn findings(rule: &'static RuleDef, params: &str, text: &str) -> Vec<Finding> {
    let params = if params.is_empty() { serde_json::json!({}) } else { serde_json::from_str(params).expect("params are JSON") };
    let (check, _) = (rule.build)(params).unwrap_or_else(|error| panic!("{rule:?}: {error}"));
    let mut found = Vec::new();
    let (mut facts, mut objects) = (Vec::new(), Vec::new());
    for document in yaml::parse(text) {
        let root = document.root.unwrap_or_else(|error| panic!("{}:{}: {}\n{text}", error.line, error.column, error.message));
        let mut json = String::new();
        root.to_json(&mut json);
        let field = |name| root.get(name).and_then(yaml::Node::as_str).unwrap_or_default();
        facts.extend(Fact::from_json(field("apiVersion"), field("kind"), &json));
        objects.push(json);
    }
    let workloads: Vec<Workload<'_>> =
        objects.iter().filter_map(|json| Workload::from_json(json).unwrap_or_else(|error| panic!("{error}\n{text}"))).collect();
    // With nothing else in the text, the workload is judged by itself, as in the webhook.
    let set = facts.len() + workloads.len() > 1;
    facts.extend(workloads.iter().map(|workload| Fact::Member(Member::of(workload).expect("a whole workload"))));
    let graph = Graph::new(facts);
    for (member, workload) in workloads.iter().enumerate() {
        for container in &workload.containers {
            for (kind, probe) in container.valid_probes() {
                assert!(probe.handler().is_some(), "{kind:?} of {} has no handler", container.name);
            }
        }
        let mut out = Findings::new(rule, Action::Deny);
        let cx = Context { workload, around: graph.around(member).filter(|_| set), forbidden: &[] };
        check.check(&cx, &mut out);
        assert!(out.is_empty() || rule.needs.met(Parts::of(&cx)), "{rule:?} would not be asked about what it has to say");
        found.extend(out.into_vec());
    }
    assert!(!workloads.is_empty(), "no workload in\n{text}");
    found
}

#[test]
fn files_modules_registry_and_fixtures_are_the_same_set() {
    let ids: BTreeSet<String> = RULES.iter().map(|rule| rule.id.to_owned()).collect();
    assert_eq!(ids.len(), RULES.len(), "an identifier stands twice in RULES");
    for rule in RULES {
        assert_eq!(rule.file.rsplit("::").next(), Some(&*rule.id.replace('-', "_")), "file of {rule:?}");
    }
    let module = fs::read_to_string(root().join("src/rules/mod.rs")).expect("mod.rs");
    let frame = ["allow", "declare", "finding", "needs"];
    let modules: BTreeSet<String> = module
        .lines()
        .filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'))
        .filter(|name| !frame.contains(name))
        .map(|name| name.replace('_', "-"))
        .collect();
    assert_eq!(modules, ids, "mod lines and RULES");
    let names = |path: &str, ending: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        entries
            .filter_map(|entry| {
                entry.expect("entry").file_name().into_string().ok()?.strip_suffix(ending).map(|name| name.replace('_', "-"))
            })
            .collect()
    };
    let mut files = names("src/rules", ".rs");
    for name in frame.iter().chain(&["mod"]) {
        files.remove(*name);
    }
    assert_eq!(files, ids, "files under src/rules and RULES");
    assert_eq!(names("tests/rules/fixtures", ""), ids, "folders under tests/rules/fixtures and RULES");
}

#[test]
fn documentation_has_its_headings_and_its_examples_run() {
    for rule in RULES {
        let doc: String = rule.doc.lines().fold(String::new(), |mut doc, line| {
            let _ = writeln!(doc, "{}", line.strip_prefix(' ').unwrap_or(line));
            doc
        });
        assert!(rule.summary().ends_with('.') && rule.summary().chars().count() <= 100, "{rule:?}: summary {:?}", rule.summary());
        let headings: Vec<&str> = doc.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        assert_eq!(headings, ["What it does", "Why it is bad", "Instead"], "{rule:?}");
        let mut fires = 0;
        let mut clean = 0;
        for block in doc.split("```yaml,").skip(1) {
            let (info, rest) = block.split_once('\n').expect("a fenced block");
            let (example, _) = rest.split_once("```").expect("the end of a fenced block");
            // `fires` or `clean`, and perhaps parameters in JSON.
            let (expected, params) = info.split_once(' ').unwrap_or((info, ""));
            let manifest = if example.contains("kind:") { example.to_owned() } else { deployment(example) };
            let found = findings(rule, params, &manifest);
            match expected {
                "fires" => {
                    fires += 1;
                    assert!(!found.is_empty(), "{rule:?} is silent about its own example\n{manifest}");
                }
                "clean" => {
                    clean += 1;
                    assert_eq!(found, [], "{rule:?} fires on what it proposes\n{manifest}");
                }
                other => panic!("{rule:?}: an example is `fires` or `clean`, not `{other}`"),
            }
        }
        assert!(fires > 0 && clean > 0, "{rule:?} has {fires} examples that fire and {clean} that are clean");
    }
}

/// Fields of a container, in a Deployment.
fn deployment(container: &str) -> String {
    let mut text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: web }\nspec:\n  selector: { matchLabels: { app: web } }\n  template:\n    \
                    metadata: { labels: { app: web } }\n    spec:\n      containers:\n        - name: web\n          image: example.com/web:1\n"
        .to_owned();
    for line in container.lines() {
        let _ = writeln!(text, "          {line}");
    }
    text
}

/// A fixture is a manifest that begins with what the rule says of it, one comment line each:
///
/// ```yaml
/// # params: {"minSeconds": 60}
/// # deny web/livenessProbe /spec/template/spec/containers/0/livenessProbe: liveness guarantees only 20 s to start ...
/// ```
///
/// or `# nothing`. `UPDATE=1` writes what the rule says now; read the difference before you commit it.
#[test]
fn fixtures_get_exactly_these_findings() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    for rule in RULES {
        let folder = root().join("tests/rules/fixtures").join(rule.id);
        let mut files: Vec<_> = fs::read_dir(&folder).expect("fixtures").map(|entry| entry.expect("entry").path()).collect();
        files.sort();
        let (mut firing, mut silent) = (0, 0);
        for file in files {
            let text = fs::read_to_string(&file).expect("fixture");
            let header: Vec<&str> = text.lines().take_while(|line| line.starts_with('#')).collect();
            let params = header.iter().find_map(|line| line.strip_prefix("# params: ")).unwrap_or_default();
            let found = findings(rule, params, &text);
            *if found.is_empty() { &mut silent } else { &mut firing } += 1;
            let mut said: Vec<String> = found.iter().map(line).collect();
            if said.is_empty() {
                said.push("# nothing".to_owned());
            }
            let kept = |line: &&str| line.starts_with("# params: ") || line.starts_with("# note: ");
            let expected: Vec<&str> = header.iter().copied().filter(|line| !kept(line)).collect();
            if expected != said {
                wrong.push(format!("{}\n  expected {expected:#?}\n  found {said:#?}", file.display()));
                if update {
                    let body: String = text.lines().skip(header.len()).fold(String::new(), |body, line| body + line + "\n");
                    let head: String = header
                        .iter()
                        .copied()
                        .filter(kept)
                        .map(str::to_owned)
                        .chain(said)
                        .fold(String::new(), |head, line| head + &line + "\n");
                    fs::write(&file, head + &body).expect("write");
                }
            }
            for finding in &found {
                assert!(finding.message.chars().count() <= Finding::MESSAGE_RUNES, "{}: {}", file.display(), finding.message);
                assert!(!finding.message.ends_with('.'), "a message is a clause: {}", finding.message);
            }
        }
        assert!(firing > 0 && silent > 0, "{}: {firing} fixtures fire, {silent} do not", rule.id);
    }
    assert!(wrong.is_empty() || update, "{}", wrong.join("\n"));
}

/// `fix --unsafe` carries rewrites out, and `lint` is then silent.
#[test]
fn a_rewrite_silences_its_rule() {
    for rule in RULES {
        let mut rewritten = 0;
        let folder = root().join("tests/rules/fixtures").join(rule.id);
        for entry in fs::read_dir(&folder).expect("fixtures") {
            let file = entry.expect("entry").path();
            let text = fs::read_to_string(&file).expect("fixture");
            let params = text.lines().find_map(|line| line.strip_prefix("# params: ")).unwrap_or_default();
            for document in yaml::parse(&text) {
                let mut json = String::new();
                document.root.expect("YAML").to_json(&mut json);
                if !matches!(Workload::from_json(&json), Ok(Some(_))) {
                    continue;
                }
                let found = findings(rule, params, &json);
                let mut object = serde_json::from_str(&json).expect("JSON");
                for edit in found.iter().flat_map(|finding| &finding.rewrite) {
                    edit.apply(&mut object).unwrap_or_else(|| panic!("{}: {edit:?} does not apply", file.display()));
                    rewritten += 1;
                }
                let left = findings(rule, params, &object.to_string());
                let expected: Vec<_> =
                    found.iter().filter(|finding| finding.rewrite.is_empty()).map(|finding| &finding.pointer).collect();
                assert_eq!(left.iter().map(|finding| &finding.pointer).collect::<Vec<_>>(), expected, "{}", file.display());
            }
        }
        assert_eq!(rewritten > 0, !rule.rewrite.is_empty(), "{rule:?}: rewrites in fixtures, and `rewrite:` in the declaration");
    }
}

fn line(finding: &Finding) -> String {
    let place = match (&finding.container, finding.probe) {
        (Some(container), Some(probe)) => format!("{container}/{}", probe.field()),
        (Some(container), None) => container.clone(),
        _ => "pod".to_owned(),
    };
    format!("# {} {place} {}: {}", finding.action, finding.pointer, finding.message)
}
