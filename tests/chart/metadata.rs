//! What registries and people read of the chart.

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
