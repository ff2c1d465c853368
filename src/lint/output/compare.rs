//! What two policies say differently, for people and for programs.

use std::fmt::Write as _;

use serde::Serialize;

use crate::lint::{Change, Comparison, Difference, Failure, FilledDifferently, Filling, ObjectRef};
use crate::policy::Action;

/// Counts up when a field of the JSON form changes its meaning or goes away.
const VERSION: u32 = 1;

/// One of the two policies.
#[derive(Debug, Clone, Serialize)]
pub struct Compared {
    /// As it was named.
    pub policy: String,
    /// Its profile.
    pub profile: String,
    /// Its hash.
    pub hash: String,
}

/// A line for each workload and each difference in it, and one of totals.
pub fn comparison_text([old, new]: &[Compared; 2], comparison: &Comparison) -> String {
    let named = |policy: &Compared| format!("{} ({}, {})", policy.policy, policy.profile, policy.hash);
    let mut out = format!("{} -> {}\n\n", named(old), named(new));
    for difference in &comparison.differences {
        workload(&mut out, difference);
    }
    if !comparison.differences.is_empty() {
        out.push('\n');
    }
    out += &totals(comparison);
    out
}

fn workload(out: &mut String, difference: &Difference) {
    if let Some(place) = &difference.place {
        let _ = write!(out, "{}:{}: ", place.file, place.line);
    }
    let (old, new) = (difference.old.name(), difference.new.name());
    let _ = if old == new {
        writeln!(out, "{}: {new} as before", difference.object)
    } else {
        writeln!(out, "{}: {old} -> {new}", difference.object)
    };
    for Change { finding, old, new, exempted } in &difference.findings {
        let _ = write!(out, "  {} {}: {}: {}", step(*old, *new), finding.rule.id, finding.place(), finding.message);
        if let Some((reason, by)) = exempted {
            let when = if new.is_none() { "now exempted" } else { "exempted before" };
            let _ = write!(out, " ({when} by the {}: {reason})", by.name());
        }
        out.push('\n');
    }
    for FilledDifferently { pointer, old, new } in &difference.filled {
        let said = |filling: &Filling| match filling {
            Filling::Value(value) => value.to_string(),
            Filling::TakenAway => "taken away".to_owned(),
        };
        let _ = match (old, new) {
            (Some(old), Some(new)) => writeln!(out, "  ~ fill {pointer}: {} -> {}", said(old), said(new)),
            (None, Some(new)) => writeln!(out, "  + fill {pointer}: {}", said(new)),
            (Some(old), None) => writeln!(out, "  - fill {pointer}: {}", said(old)),
            (None, None) => Ok(()),
        };
    }
}

fn step(old: Option<Action>, new: Option<Action>) -> String {
    match (old, new) {
        (Some(old), Some(new)) => format!("~ {old} -> {new}"),
        (Some(old), None) => format!("- {old}"),
        (_, new) => format!("+ {}", new.unwrap_or(Action::Off)),
    }
}

fn totals(comparison: &Comparison) -> String {
    let workloads = comparison.summary.workloads;
    let Summary { differing, newly_denied, no_longer_denied, .. } = Summary::of(comparison);
    let plural = if workloads == 1 { "" } else { "s" };
    match differing {
        0 => format!("{workloads} workload{plural} compared: no difference\n"),
        _ => format!(
            "{workloads} workload{plural} compared: {differing} differ{} ({newly_denied} denied for something new, {no_longer_denied} no longer denied)\n",
            if differing == 1 { "s" } else { "" }
        ),
    }
}

/// The same as a JSON document that ends with a line break. Field names and order are an interface: additions only.
pub fn comparison_json([old, new]: &[Compared; 2], comparison: &Comparison) -> Result<String, serde_json::Error> {
    let document = Document {
        version: VERSION,
        old,
        new,
        differences: comparison.differences.iter().map(Workload::from).collect(),
        errors: &comparison.errors,
        summary: Summary::of(comparison),
    };
    let mut text = serde_json::to_string_pretty(&document)?;
    text.push('\n');
    Ok(text)
}

#[derive(Serialize)]
struct Document<'c> {
    version: u32,
    old: &'c Compared,
    new: &'c Compared,
    differences: Vec<Workload<'c>>,
    errors: &'c [Failure],
    summary: Summary,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    workloads: usize,
    differing: usize,
    newly_denied: usize,
    no_longer_denied: usize,
}

impl Summary {
    fn of(comparison: &Comparison) -> Self {
        let count = |is: fn(&Difference) -> bool| comparison.differences.iter().filter(|difference| is(difference)).count();
        Self {
            workloads: comparison.summary.workloads,
            differing: comparison.differences.len(),
            newly_denied: count(Difference::is_newly_denied),
            no_longer_denied: count(Difference::is_no_longer_denied),
        }
    }
}

/// `file`, `document` and `line` are absent for what is in a cluster.
#[derive(Serialize)]
struct Workload<'c> {
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<&'c str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
    object: &'c ObjectRef,
    old: &'static str,
    new: &'static str,
    findings: Vec<Finding<'c>>,
    filled: Vec<Fill<'c>>,
}

#[derive(Serialize)]
struct Finding<'c> {
    rule: &'c str,
    #[serde(skip_serializing_if = "Option::is_none")]
    old: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<&'static str>,
    message: &'c str,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<&'c str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    probe: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exempted: Option<Exemption<'c>>,
}

#[derive(Serialize)]
struct Exemption<'c> {
    by: &'static str,
    reason: &'c str,
}

/// A value, `null` where one is taken away, absent where nothing is filled in.
#[derive(Serialize)]
struct Fill<'c> {
    pointer: &'c str,
    #[serde(skip_serializing_if = "Option::is_none")]
    old: Option<Filling>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new: Option<Filling>,
}

impl<'c> From<&'c Difference> for Workload<'c> {
    fn from(difference: &'c Difference) -> Self {
        let place = difference.place.as_ref();
        Self {
            file: place.map(|place| &*place.file),
            document: place.map(|place| place.document),
            line: place.map(|place| place.line),
            object: &difference.object,
            old: difference.old.name(),
            new: difference.new.name(),
            findings: difference.findings.iter().map(Finding::from).collect(),
            filled: difference
                .filled
                .iter()
                .map(|filled| Fill { pointer: &filled.pointer, old: filled.old, new: filled.new })
                .collect(),
        }
    }
}

impl<'c> From<&'c Change> for Finding<'c> {
    fn from(change: &'c Change) -> Self {
        let Change { finding, old, new, exempted } = change;
        Self {
            rule: finding.rule.id,
            old: old.map(Action::name),
            new: new.map(Action::name),
            message: &finding.message,
            container: finding.container.as_deref(),
            probe: finding.probe.map(crate::model::ProbeKind::field),
            exempted: exempted.as_ref().map(|(reason, by)| Exemption { by: by.name(), reason }),
        }
    }
}
