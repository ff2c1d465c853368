//! The files that other repositories use: `action.yml`, `.pre-commit-hooks.yaml`, the examples of `docs/ci.md`.

use std::fs;
use std::path::Path;
use std::process::Command;

use probekeeper::yaml::{self, Node};

use super::folder;
use super::lint::{bad, good};

fn of_repository(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn text<'n>(root: &'n Node<'_>, pointer: &str) -> &'n str {
    root.pointer(pointer).and_then(Node::as_str).unwrap_or_else(|| panic!("no text at {pointer}"))
}

/// Exit code, standard output and `GITHUB_OUTPUT` of the action's script with these inputs, the others at their defaults.
fn action(files: &[(&str, &str)], inputs: &[(&str, &str)]) -> (i32, String, String) {
    let source = of_repository("action.yml");
    let documents = yaml::parse(&source);
    let root = documents[0].root.as_ref().unwrap();
    let folder = folder(files);
    let step = "/runs/steps/0";
    let mut command = Command::new("bash");
    // As the runner starts `shell: bash`.
    command.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", text(root, &format!("{step}/run"))]);
    for name in ["path", "policy", "format", "output", "fail-on", "baseline", "version", "image"] {
        let variable = format!("INPUT_{}", name.to_uppercase().replace('-', "_"));
        assert_eq!(text(root, &format!("{step}/env/{variable}")), format!("${{{{ inputs.{name} }}}}"));
        let default = text(root, &format!("/inputs/{name}/default"));
        command.env(variable, inputs.iter().find(|(input, _)| *input == name).map_or(default, |(_, value)| value));
    }
    let binary = Path::new(env!("CARGO_BIN_EXE_probekeeper")).parent().unwrap();
    let path = std::env::var("PATH").unwrap();
    let output = command
        .current_dir(folder.path())
        .env("PATH", format!("{}:{path}", binary.display()))
        .env("GITHUB_OUTPUT", folder.path().join("outputs"))
        .output()
        .unwrap();
    let written = fs::read_to_string(folder.path().join("outputs")).unwrap();
    let shown = match inputs.iter().find(|(name, _)| *name == "output") {
        Some((_, file)) => fs::read_to_string(folder.path().join(file)).unwrap(),
        None => String::from_utf8(output.stdout).unwrap(),
    };
    (output.status.code().unwrap(), shown, written)
}

#[test]
fn the_action() {
    let (bad, good) = (bad("bad"), good("good"));
    let files = [
        ("deploy/a b.yaml", &*good),
        ("deploy/bad.yaml", &*bad),
        (
            "policy.yaml",
            "apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\nrules: { hair-trigger-liveness: off, aggressive-liveness: off }\n",
        ),
    ];
    let (code, shown, output) = action(&files, &[]);
    assert_eq!((code, &*output), (1, "exit-code=1\n"), "{shown}");
    assert!(shown.starts_with("::error file=deploy/bad.yaml,line=12,"), "{shown}");
    assert_eq!(action(&files, &[("path", "deploy/a b.yaml\npolicy.yaml\n")]).0, 0);
    assert_eq!(action(&files, &[("policy", "policy.yaml")]).0, 0);
    assert_eq!(action(&files, &[("path", "nowhere")]).0, 2);
    let (code, shown, _) = action(&files, &[("format", "sarif"), ("output", "o.sarif"), ("fail-on", "audit")]);
    assert!(code == 1 && shown.contains("\"version\": \"2.1.0\""), "{code} {shown}");
    // Inputs are data.
    assert_eq!(action(&files, &[("path", "$(touch ran)\ndeploy/a b.yaml")]).0, 2);
}

#[test]
fn the_hooks() {
    let source = of_repository(".pre-commit-hooks.yaml");
    let documents = yaml::parse(&source);
    let root = documents[0].root.as_ref().unwrap();
    for (index, (id, entry, language)) in [
        ("probekeeper", "probekeeper lint", "system"),
        ("probekeeper-docker", "ghcr.io/probekeeper/probekeeper:0.1.0 lint", "docker_image"),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(text(root, &format!("/{index}/id")), id);
        assert_eq!(text(root, &format!("/{index}/entry")), entry);
        assert_eq!(text(root, &format!("/{index}/language")), language);
    }
}

#[test]
fn examples_are_yaml() {
    let page = of_repository("docs/ci.md");
    let blocks: Vec<_> = page.split("```yaml\n").skip(1).map(|block| block.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 5);
    for block in blocks {
        for document in yaml::parse(block) {
            assert!(document.root.is_ok() && document.duplicates.is_empty(), "{block}");
        }
    }
}

/// Versions that stand in files move with the release.
#[test]
fn versions_are_the_package_s() {
    let version = env!("CARGO_PKG_VERSION");
    assert!(of_repository("action.yml").contains(&format!("default: {version}\n")));
    assert!(of_repository(".pre-commit-hooks.yaml").contains(&format!("probekeeper:{version} lint")));
    let page = of_repository("docs/ci.md");
    assert_eq!(
        page.matches("probekeeper/probekeeper@v").count(),
        page.matches(&format!("probekeeper/probekeeper@v{version}\n")).count()
    );
}
