//! The chart's alerts on what real replicas show, as Prometheus would evaluate them.

use serde_json::{Value, json};

use crate::installation::{Installation, NAME};
use crate::promtool::{self, Case, Series};

/// What every replica showed before something happened and afterwards.
pub(crate) struct Recording {
    rule: Value,
    before: Vec<(String, f64)>,
    after: Vec<(String, f64)>,
}

/// Minutes that each of the two states is taken to last: longer than any alert waits.
const MINUTES: u32 = 60;

impl Recording {
    pub(crate) fn start(this: Installation) -> Self {
        let text =
            this.rendered(&json!({ "metrics": { "prometheusRule": { "enabled": true } } }), "templates/prometheusrule.yaml");
        let documents = probekeeper::yaml::parse(&text);
        let mut rule = String::new();
        documents.iter().find_map(|document| document.root.as_ref().ok()).expect("a PrometheusRule").to_json(&mut rule);
        Self { rule: serde_json::from_str(&rule).expect("JSON"), before: scrape(this), after: Vec::new() }
    }

    /// From here on it is different.
    pub(crate) fn go_on(&mut self, this: Installation) {
        self.after = scrape(this);
    }

    /// Fails unless nothing fired before, and this alert alone afterwards.
    #[track_caller]
    pub(crate) fn assert_fires(&self, alert: &str, labels: &str) {
        let value =
            |samples: &[(String, f64)], series: &String| samples.iter().find(|(name, _)| name == series).map(|(_, value)| *value);
        let part = |value: Option<f64>, minutes: u32| match value {
            Some(value) => format!("{value}+0x{}", minutes - 1),
            None => format!("_x{minutes}"),
        };
        let names = self.before.iter().chain(&self.after).map(|(series, _)| series);
        let series: Series = names
            .map(|name| {
                let (before, after) = (value(&self.before, name), value(&self.after, name));
                (name.clone(), format!("{} {}", part(before, MINUTES), part(after, MINUTES)))
            })
            .collect();
        assert!(series.len() > 100, "{}", series.len());
        let due = [(alert, labels)];
        let firing: Vec<(u32, &[(&str, &str)])> = vec![(MINUTES - 5, &[]), (2 * MINUTES - 5, &due)];
        promtool::assert_firing(&self.rule, &[Case { name: alert, series, firing }]);
    }
}

/// Every sample of every replica, with the labels that Prometheus adds.
fn scrape(this: Installation) -> Vec<(String, f64)> {
    let pages = this.ops("/metrics");
    assert_eq!(pages.len(), 3, "{:?}", pages.keys());
    let mut samples = Vec::new();
    for (pod, page) in &pages {
        let (_, body) = page.split_once("\r\n\r\n").expect("a body");
        for line in body.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let (name, labels) = series.split_once('{').map_or((series, ""), |(name, rest)| (name, rest.trim_end_matches('}')));
            let comma = if labels.is_empty() { "" } else { "," };
            let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
            samples.push((format!("{name}{{namespace=\"{NAME}\",pod=\"{pod}\"{comma}{labels}}}"), value));
        }
    }
    samples
}
