//! Alerts and dashboard speak of metrics that exist, and the runbook of every alert.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::helm::{Helm, object, objects, root};

/// Names of our metrics as Prometheus sees them, read from the only file that knows them. Counters end in `_total`, histograms in three endings.
fn known() -> BTreeSet<String> {
    let source = fs::read_to_string(root().join("src/telemetry/metrics.rs")).expect("metrics.rs");
    let code: String = source.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut names = BTreeSet::new();
    for rest in code.split(".register(").skip(1) {
        let name = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next()).expect("a name");
        for ending in ["", "_total", "_bucket", "_count", "_sum"] {
            names.insert(format!("probekeeper_{name}{ending}"));
        }
    }
    for rest in code.split("\"probekeeper_").skip(1) {
        names.insert(format!("probekeeper_{}", rest.split('"').next().expect("a name")));
    }
    for name in ["process_resident_memory_bytes", "process_open_fds", "process_cpu_seconds_total", "process_start_time_seconds"] {
        assert!(code.contains(name.trim_end_matches("_total")), "{name}");
        names.insert(name.to_owned());
    }
    assert!(names.len() > 80, "{names:?}");
    names
}

/// Metrics of others that alerts may name.
const FOREIGN: [&str; 3] =
    ["kube_deployment_status_replicas_available", "kube_deployment_spec_replicas", "apiserver_admission_webhook_fail_open_count"];

/// The names of metrics in an expression: words of ours, of the process or of the two foreign exporters.
fn named(expression: &str) -> Vec<&str> {
    expression
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| ["probekeeper_", "process_", "kube_", "apiserver_"].iter().any(|prefix| word.starts_with(prefix)))
        .collect()
}

fn check(place: &str, expression: &str, known: &BTreeSet<String>) {
    let names = named(expression);
    assert!(!names.is_empty(), "{place} names no metric: {expression}");
    for name in names {
        assert!(known.contains(name) || FOREIGN.contains(&name), "{place} names {name}, which does not exist: {expression}");
    }
    for (open, close) in [('(', ')'), ('{', '}'), ('[', ']')] {
        let count = |c| expression.matches(c).count();
        assert_eq!(count(open), count(close), "{place}: {expression}");
    }
}

fn alerts() -> Vec<Value> {
    let args = ["--set", "metrics.prometheusRule.enabled=true"];
    let rule = object(&objects(&Helm::Four.template(&args)), "PrometheusRule", "probekeeper");
    rule["spec"]["groups"][0]["rules"].as_array().expect("rules").clone()
}

#[test]
fn every_alert_is_about_metrics_that_exist_and_has_a_section_in_the_runbook() {
    let known = known();
    let runbook = fs::read_to_string(root().join("docs/runbook.md")).expect("docs/runbook.md");
    let alerts = alerts();
    assert!(alerts.len() >= 11, "{}", alerts.len());
    for alert in &alerts {
        let name = alert["alert"].as_str().expect("a name");
        let expression = alert["expr"].as_str().expect("an expression");
        check(name, expression, &known);
        assert!(!expression.contains("NAMESPACE") && !expression.contains("DEPLOYMENT"), "{name}: {expression}");
        assert!(expression.contains("probekeeper-system") || expression.contains("probekeeper[.]dev"), "{name}: {expression}");
        assert!(["critical", "warning", "info"].contains(&alert["labels"]["severity"].as_str().expect("a severity")), "{name}");
        assert!(alert["annotations"]["summary"].is_string() && alert["annotations"]["description"].is_string(), "{name}");
        let url = alert["annotations"]["runbook_url"].as_str().expect("an address");
        assert!(url.ends_with(&format!("/docs/runbook.md#{}", name.to_lowercase())), "{url}");
        assert!(runbook.contains(&format!("\n### {name}\n")), "docs/runbook.md has no section {name}");
    }
    for section in runbook.lines().filter_map(|line| line.strip_prefix("### Probekeeper")) {
        let name = format!("Probekeeper{section}");
        assert!(alerts.iter().any(|alert| alert["alert"] == name.as_str()), "docs/runbook.md: {name} is no alert");
    }
}

#[test]
fn alerts_can_be_left_out_and_labelled() {
    let (_, full) = crate::helm::values().into_iter().find(|(name, _)| name == "full").expect("full");
    let rule = object(&objects(&Helm::Four.template(&["--values", &full])), "PrometheusRule", "probes");
    let rules = rule["spec"]["groups"][0]["rules"].as_array().expect("rules");
    assert_eq!(rules.len(), alerts().len() - 1);
    assert!(rules.iter().all(|rule| rule["alert"] != "ProbekeeperFailOpen" && rule["labels"]["team"] == "platform"));
}

#[test]
fn every_panel_of_the_dashboard_is_about_metrics_that_exist() {
    let known = known();
    let args = ["--set", "metrics.grafanaDashboard.enabled=true"];
    let map = object(&objects(&Helm::Four.template(&args)), "ConfigMap", "probekeeper-dashboard");
    assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
    let dashboard: Value = serde_json::from_str(map["data"]["probekeeper.json"].as_str().expect("text")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut ids = BTreeSet::new();
    let mut shown = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().expect("a title");
        assert!(ids.insert(panel["id"].as_i64()), "{title}: two panels have its id");
        let targets = panel["targets"].as_array().map(Vec::as_slice).unwrap_or_default();
        assert_eq!(targets.is_empty(), panel["type"] == "row", "{title}");
        for target in targets {
            let expression = target["expr"].as_str().expect("an expression");
            check(title, expression, &known);
            shown.extend(named(expression).into_iter().map(str::to_owned));
        }
        for other in panels.iter().filter(|other| other["id"] != panel["id"]) {
            let area = |panel: &Value| ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_i64().expect("a number"));
            let ([left, top, width, height], [x, y, w, h]) = (area(panel), area(other));
            assert!(
                left + width <= x || x + w <= left || top + height <= y || y + h <= top,
                "{title} lies on {}",
                other["title"]
            );
        }
    }
    assert!(shown.len() > 15, "{shown:?}");
}
