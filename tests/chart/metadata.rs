//! What registries and people read of the chart and of the image.

use std::fs;

use crate::helm::{objects, root};

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
