//! Generated pages are current. `UPDATE=1 cargo test --test docs` (or `make docs`) writes them anew.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails, in its helpers too")]

#[path = "docs/chart.rs"]
mod chart;

use std::{fmt::Write as _, fs, path::Path, process::Command};

use probekeeper::{
    export,
    policy::{self, Profile},
    rules::{RULES, RuleDef},
};

/// Compares a page with what it should be, or writes it.
fn page(path: &str, expected: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(file.parent().expect("a folder")).expect("create");
        fs::write(&file, expected).expect("write");
        return;
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(found == expected, "{path} is stale: run `make docs` and commit what it writes");
}

/// The hash changes with the rules, and whoever tries the README compares it with his own terminal.
#[test]
fn shown_output_has_the_hash_of_the_policy() {
    let hash = &policy::Policy::builtin(Profile::Recommended).hash;
    for (path, shown) in [
        ("README.md", format!("Policy: recommended ({hash})")),
        ("docs/policy-live.md", format!("policy {hash} (profile recommended) is in force")),
        ("docs/policy-live.md", format!("builtin:recommended (recommended, {hash})")),
    ] {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
        assert!(text.contains(&shown), "{path} does not show `{shown}`");
    }
}

#[test]
fn a_page_for_each_rule() {
    for rule in RULES {
        page(&format!("docs/rules/{}.md", rule.id), &rule_page(rule));
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rules");
    for entry in fs::read_dir(folder).expect("docs/rules") {
        let name = entry.expect("entry").file_name().into_string().expect("UTF-8");
        let id = name.strip_suffix(".md").expect("only pages");
        assert!(id == "README" || RULES.iter().any(|rule| rule.id == id), "docs/rules/{name} is the page of no rule");
    }
}

fn rule_page(rule: &RuleDef) -> String {
    let mut page = format!("<!-- Generated from src/rules: do not edit. -->\n\n# {}\n\n", rule.id);
    for line in rule.doc.lines() {
        let line = line.strip_prefix(' ').unwrap_or(line);
        // Examples carry what the test expects of them; a reader needs only the language.
        let line = if line.starts_with("```yaml,") { "```yaml" } else { line };
        let _ = writeln!(page, "{line}");
    }
    let _ = write!(page, "\n## Actions\n\n| profile | action |\n|---|---|\n");
    for profile in Profile::ALL {
        let params = rule.profile_params[profile.column()];
        let with = if params.is_empty() { String::new() } else { format!(", with `{params}`") };
        let _ = writeln!(page, "| {profile} | {}{with} |", rule.action(profile));
    }
    if !rule.rewrite.is_empty() {
        let _ = write!(page, "\n## Rewrite\n\n`probekeeper fix --unsafe` {}.\n", rule.rewrite);
    }
    let (_, defaults) = (rule.build)(serde_json::json!({})).expect("defaults");
    let schema = policy::schema();
    let described = |name: &str| {
        let properties = &schema["properties"]["rules"]["properties"][rule.id]["anyOf"][1]["properties"]["params"]["properties"];
        properties[name]["description"].as_str().unwrap_or_default().replace('\n', " ")
    };
    if let Some(params) = defaults.as_object().filter(|params| !params.is_empty()) {
        let _ = write!(page, "\n## Parameters\n\n| parameter | default | |\n|---|---|---|\n");
        for (name, default) in params {
            let default = if default.is_null() { "none".to_owned() } else { format!("`{default}`") };
            let _ = writeln!(page, "| `{name}` | {default} | {} |", described(name));
        }
    }
    page
}

#[test]
fn an_index_of_the_rules() {
    let mut index = "<!-- Generated from src/rules: do not edit. -->\n\n# Rules\n\n| rule | baseline | recommended | strict | |\n|---|---|---|---|---|\n".to_owned();
    for rule in RULES {
        let action = |profile| rule.action(profile).name();
        let _ = writeln!(
            index,
            "| [{id}]({id}.md) | {} | {} | {} | {} |",
            action(Profile::Baseline),
            action(Profile::Recommended),
            action(Profile::Strict),
            rule.summary(),
            id = rule.id,
        );
    }
    page("docs/rules/README.md", &index);
}

#[test]
fn what_cel_can_express() {
    let mut text = VAP.to_owned();
    for rule in RULES {
        let how = export::reason(rule.id).map_or_else(|| "exported".to_owned(), |reason| format!("not: it {reason}"));
        let _ = writeln!(text, "| [{id}](rules/{id}.md) | {how} |", id = rule.id);
    }
    page("docs/vap.md", &text);
}

const VAP: &str = "<!-- Generated from src/export and tests/docs.rs: do not edit. -->

# ValidatingAdmissionPolicy

`probekeeper export vap [--policy FILE]` writes the rules of a policy as ValidatingAdmissionPolicies, which the API server (1.30 or later) evaluates by itself, with
no webhook. There is at most one for each action, `probekeeper-deny`, `probekeeper-warn` and `probekeeper-audit`, each with its binding. Apply the file with
`kubectl apply -f`; the same policy gives the same bytes.

A rule is exported when CEL can say exactly what it says; the others stand as comments at the top of the file. Tests compare what the policies say with
what the engine says of every fixture, on a real API server.

- **What is judged** is what the webhook judges: CREATE of Pods and Jobs, CREATE and UPDATE of the other six kinds; not objects that are being deleted, not mirrors of
  static pods; sidecars of service meshes left out. Kinds that a policy adds are not exported.
- **UPDATE**: only what is new or worse than in the old object is denied, by rule, container and probe, with the rule's own measure. What was there before is a warning,
  from `probekeeper-warn`, in which every rule that denies stands too. Renamed containers and
  `kubectl rollout undo` are [known as the webhook knows them](updates.md); only where several containers are renamed in one change and more than one may be the same old one, each of them is taken for it.
- **Objects that a controller made** are treated as `ownedObjects` says.
- **The annotation `probekeeper.dev/allow`** counts, unless the policy forbids it for the rule. The record of what was filled in is read as probekeeper writes it.
- **Overrides and exemptions**: a rule of which an override speaks, that a rule so overridden would cover, or that an exemption is about, is not exported: the policies would deny what the
  webhook lets pass.
- **Nothing is filled in.** Beside the webhook that makes no difference; without it, rules see Kubernetes' own defaults.
- **Of several denied rules the API server reports the first**, where the webhook lists all with what to write instead. A message names the first place and counts the others.
- **failurePolicy is Ignore**: an expression that fails (by its cost, say, in a pod of hundreds of containers) denies nothing.
- The bindings leave out `kube-system`, `kube-node-lease` and namespaces with the label `probekeeper.dev/ignore`.
- After each change kube-controller-manager checks the types of all expressions once, which takes it some seconds to a minute of one core.

| rule | |
|---|---|
";

#[test]
fn the_schema_of_a_policy() {
    page("docs/policy.schema.json", &(serde_json::to_string_pretty(&policy::schema()).expect("JSON") + "\n"));
}

/// The page on readiness shows what `graph` says of the example.
#[test]
fn the_graph_of_the_shop() {
    let graph = |format: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_probekeeper"));
        let command = command.current_dir(env!("CARGO_MANIFEST_DIR")).args(["graph", "--format", format, "examples/shop"]);
        String::from_utf8(command.output().expect("the binary runs").stdout).expect("UTF-8")
    };
    page("docs/readiness-and-dependencies.svg", &graph("svg"));
    let path = "docs/readiness-and-dependencies.md";
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("the page");
    let (before, rest) = text.split_once("$ probekeeper graph examples/shop\n").expect("the command");
    let (_, after) = rest.split_once("```").expect("the end of its output");
    page(path, &format!("{before}$ probekeeper graph examples/shop\n{}```{after}", graph("text")));
}

#[test]
fn the_command_line_reference() {
    let help = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_probekeeper"));
        // What the reader's environment sets is not part of the reference.
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PROBEKEEPER_") {
                command.env_remove(name);
            }
        }
        let output = command.args(arguments).arg("--help").env("COLUMNS", "100").output().expect("the binary runs");
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let mut text = "<!-- Generated from --help: do not edit. -->\n\n# Command line\n".to_owned();
    let mut queue: Vec<Vec<String>> = vec![Vec::new()];
    while let Some(path) = queue.pop() {
        let arguments: Vec<&str> = path.iter().map(String::as_str).collect();
        let shown = help(&arguments);
        let title = format!("probekeeper {}", path.join(" "));
        let _ = write!(text, "\n## {}\n\n```text\n{}\n```\n", title.trim_end(), shown.trim_end());
        let commands = shown.split("Commands:\n").nth(1).unwrap_or_default();
        let names = commands.lines().take_while(|line| line.starts_with("  ")).filter_map(|line| {
            let name = line.strip_prefix("  ")?.split(' ').next()?;
            (!name.is_empty() && name != "help").then(|| name.to_owned())
        });
        let mut below: Vec<Vec<String>> = names.map(|name| path.iter().cloned().chain([name]).collect()).collect();
        below.reverse();
        queue.extend(below);
    }
    page("docs/cli.md", &text.lines().fold(String::new(), |text, line| text + line.trim_end() + "\n"));
}
