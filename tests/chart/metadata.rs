//! What registries and people read of the chart and of the image.

use std::fs;

use crate::helm::{Helm, objects, probekeeper, root};

#[test]
fn the_chart_is_of_the_version_of_the_program() {
    let text = fs::read_to_string(root().join("charts/probekeeper/Chart.yaml")).expect("Chart.yaml");
    let chart = objects(&text).remove(0);
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["kubeVersion"], ">=1.30.0-0");
    let images = objects(chart["annotations"]["artifacthub.io/images"].as_str().expect("images")).remove(0);
    assert_eq!(images[0]["image"], format!("ghcr.io/probekeeper/probekeeper:{}", env!("CARGO_PKG_VERSION")));
    let links = objects(chart["annotations"]["artifacthub.io/links"].as_str().expect("links")).remove(0);
    assert!(links.as_array().expect("a list").len() >= 3);
}

/// A tag can be moved to something else, a digest or a commit cannot.
#[test]
fn what_builds_a_release_is_pinned() {
    let read = |name: &str| fs::read_to_string(root().join(name)).expect(name);
    let hex = |text: &str, length: usize| text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let dockerfile = read("Dockerfile");
    let images: Vec<&str> = dockerfile.lines().filter(|line| line.starts_with("ARG ") && line.contains('/')).collect();
    assert_eq!(images.len(), 2, "{images:?}");
    for image in images {
        assert!(hex(image.rsplit_once("@sha256:").expect("a digest").1, 64), "{image}");
    }
    for from in dockerfile.lines().filter(|line| line.starts_with("FROM ")) {
        assert!(["FROM ${BUILDER} AS build", "FROM ${BASE}"].contains(&from), "{from}");
    }
    // The compiler of the image is the one that the program asks for.
    let rust = env!("CARGO_PKG_RUST_VERSION");
    assert!(dockerfile.contains(&format!("/rust:{rust}")), "Cargo.toml says {rust}");
    let mut uses = 0;
    for name in ["ci", "release"] {
        for line in read(&format!(".github/workflows/{name}.yml")).lines() {
            let Some((_, action)) = line.split_once("uses: ") else { continue };
            let (_, version) = action.split_once('@').expect("a version");
            let (commit, tag) = version.split_once(" # v").unwrap_or((version, ""));
            assert!(hex(commit, 40) && !tag.is_empty(), "{name}.yml: {action}");
            uses += 1;
        }
    }
    assert!(uses > 10, "{uses}");
}

/// The values with which everything warns are complete, are accepted, and leave only the rule denying by which `helm test` sees that rejecting works.
#[test]
fn the_runbooks_first_days_warn_for_all_that_would_be_denied() {
    let runbook = fs::read_to_string(root().join("docs/runbook.md")).expect("docs/runbook.md");
    let (_, section) = runbook.split_once("## First days in warn").expect("the section");
    let values = section.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("values");
    let folder = tempfile::tempdir().expect("temporary folder");
    let file = folder.path().join("values.yaml");
    fs::write(&file, values).expect("written");
    Helm::Four.template(&["--values", &file.to_string_lossy()]);

    let policy = &objects(values)[0]["policy"];
    assert_eq!(policy["profile"], "recommended");
    let rules = policy["rules"].as_object().expect("rules");
    assert!(rules.values().all(|action| action == "warn"), "{rules:?}");
    let list = probekeeper(&["rules", "list"], "").ok().stdout;
    let denying: Vec<&str> = list
        .lines()
        .skip(1)
        .filter_map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
            [rule, _, "deny", _] if !rules.contains_key(rule) => Some(rule),
            _ => None,
        })
        .collect();
    assert_eq!(denying, ["unknown-port-name"]);
    for rule in rules.keys() {
        let line =
            list.lines().find(|line| line.split_whitespace().next() == Some(rule)).unwrap_or_else(|| panic!("no rule {rule}"));
        assert_eq!(line.split_whitespace().nth(2), Some("deny"), "{line}");
    }
}
