//! The chart's alerts, evaluated by promtool as Prometheus would.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::command::{self, Output};

/// `name{labels}` and its values, one a minute, in promtool's notation.
pub(crate) type Series = BTreeMap<String, String>;

/// What is seen of the metrics, and what must follow.
pub(crate) struct Case<'a> {
    pub(crate) name: &'a str,
    pub(crate) series: Series,
    /// At each of these minutes, exactly these alerts fire, given as `alertname` and its further labels (`severity="warning"`).
    pub(crate) firing: Vec<(u32, &'a [(&'a str, &'a str)])>,
}

/// Fails unless all of them come true.
#[track_caller]
pub(crate) fn assert_firing(rule: &Value, cases: &[Case<'_>]) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let rules = folder.path().join("rules.yaml");
    std::fs::write(&rules, rule["spec"].to_string()).expect("written");
    let tests: Vec<Value> = cases
        .iter()
        .map(|case| {
            let series: Vec<Value> =
                case.series.iter().map(|(series, values)| json!({ "series": series, "values": values })).collect();
            let moments: Vec<Value> = case.firing.iter().map(|(minute, alerts)| at(*minute, alerts)).collect();
            json!({ "name": case.name, "interval": "1m", "input_series": series, "promql_expr_test": moments })
        })
        .collect();
    let file = folder.path().join("tests.yaml");
    let content = json!({ "rule_files": [rules], "evaluation_interval": "1m", "tests": tests }).to_string();
    std::fs::write(&file, content).expect("written");
    let output = promtool(&["test", "rules", &file.to_string_lossy()]);
    assert_eq!(output.code, 0, "{}{}", output.stdout, output.stderr);
}

fn at(minute: u32, alerts: &[(&str, &str)]) -> Value {
    let sample = |(name, labels): &(&str, &str)| json!({ "value": 1, "labels": format!("ALERTS{{alertname=\"{name}\",alertstate=\"firing\",{labels}}}") });
    let samples: Vec<Value> = alerts.iter().map(sample).collect();
    json!({ "eval_time": format!("{minute}m"), "expr": "ALERTS{alertstate=\"firing\"}", "exp_samples": samples })
}

/// Fails unless promtool takes every expression and every template.
#[track_caller]
pub(crate) fn check_rules(rule: &Value) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let rules = folder.path().join("rules.yaml");
    std::fs::write(&rules, rule["spec"].to_string()).expect("written");
    promtool(&["check", "rules", "--lint=all", "--lint-fatal", &rules.to_string_lossy()]).ok();
}

fn promtool(args: &[&str]) -> Output {
    let binary = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/controlplane/promtool");
    assert!(binary.exists(), "{} is missing: run make controlplane", binary.display());
    command::run(Command::new(binary).args(args), "")
}
