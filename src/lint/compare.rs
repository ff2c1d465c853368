//! Two policies on the same workloads: where the webhook would answer differently.
//!
//! Each object is judged by itself, as the webhook does, and as if it were created now: an update is denied only for what is new or worse, so what
//! is in a cluster already can be changed further, whatever a policy says of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::judge::{Judged, Judgement, Origin};
use super::report::{Failure, FileReport, ObjectRef, Summary};
use super::set::File;
use super::{Inputs, Judge, in_set, refused, rule_failed};
use crate::engine::{Exempted, ExemptedBy};
use crate::model::{Change as Edited, DecodeError, Kinds};
use crate::policy::{Action, OwnedObjects, Policy};
use crate::rules::Finding;

/// Two policies.
#[derive(Debug)]
pub struct Comparer {
    old: Judge,
    new: Judge,
    kinds: Kinds,
    /// What a controller made is left out: its owner is compared.
    owners_only: bool,
}

/// What two policies say differently.
#[derive(Debug, Default)]
pub struct Comparison {
    /// The workloads about which they differ, in the order of the files and documents, or as they were added.
    pub differences: Vec<Difference>,
    /// What could not be read.
    pub errors: Vec<Failure>,
    /// What can be read in more than one way.
    pub warnings: Vec<Failure>,
    /// Totals; of `workloads` those that at least one of the two policies judges.
    pub summary: Summary,
}

/// A workload about which they differ.
#[derive(Debug)]
pub struct Difference {
    /// `None`: it is in a cluster.
    pub place: Option<Place>,
    /// Which workload.
    pub object: ObjectRef,
    /// What becomes of it under the first policy.
    pub old: Outcome,
    /// And under the second.
    pub new: Outcome,
    /// What is denied or warned of differently; what is new first.
    pub findings: Vec<Change>,
    /// What is filled in differently, by pointer.
    pub filled: Vec<FilledDifferently>,
}

/// Where a workload stands.
#[derive(Debug, Clone)]
pub struct Place {
    /// As in [`super::Found`].
    pub file: Arc<str>,
    /// As in [`super::Found`].
    pub document: usize,
    /// Where the object begins, counted from 1.
    pub line: usize,
}

/// What becomes of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The policy does not know its kind, or leaves it alone.
    NotJudged,
    /// Nobody hears of anything.
    Passes,
    /// It passes with warnings.
    Warned,
    /// It is rejected.
    Denied,
}

/// One finding, by rule, container and probe.
#[derive(Debug)]
pub struct Change {
    /// What is wrong: as the second policy says it, where it says it.
    pub finding: Finding,
    /// Deny or warn; `None`: nothing that anybody hears of.
    pub old: Option<Action>,
    /// Likewise under the second policy.
    pub new: Option<Action>,
    /// Why one of them says nothing, where that is an exemption: its reason, and whose it is.
    pub exempted: Option<(String, ExemptedBy)>,
}

/// One value that is filled in.
#[derive(Debug, PartialEq, Eq)]
pub struct FilledDifferently {
    /// RFC 6901 pointer from the object.
    pub pointer: String,
    /// `None`: it is left as it is.
    pub old: Option<Filling>,
    /// Likewise under the second policy.
    pub new: Option<Filling>,
}

/// What is filled in. In JSON the number, or `null`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Filling {
    /// This.
    Value(i64),
    /// What was filled in earlier is taken away.
    TakenAway,
}

impl Comparer {
    /// Compares what these say.
    pub fn new(old: Policy, new: Policy) -> Self {
        let added = new.kinds.custom().filter(|custom| !old.kinds.contains(&custom.api_version, &custom.kind));
        let kinds = Kinds::with(&old.kinds.custom().chain(added).cloned().collect::<Vec<_>>());
        let owners_only = [&old, &new].iter().all(|policy| policy.owned_objects != OwnedObjects::Deny);
        Self { old: Judge::new(old, true), new: Judge::new(new, true), kinds, owners_only }
    }

    /// The kinds that at least one of them judges.
    pub const fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    /// Compares what they say of files.
    pub fn files(&self, inputs: Inputs) -> Comparison {
        let (_, report, differences) = in_set(inputs, &self.kinds, |file, _, _| self.file(file));
        Comparison {
            differences: differences.into_iter().flatten().collect(),
            errors: report.errors,
            warnings: report.warnings,
            summary: report.summary,
        }
    }

    fn file(&self, file: &File<'_>) -> (FileReport, Vec<Difference>) {
        let (mut report, mut differences) = (FileReport::default(), Vec::new());
        file.each(&self.kinds, |document, root, object, candidate| {
            match self.object(&candidate.json, object.origin, &mut report.summary) {
                Ok(None) => {}
                Ok(Some(sides)) => {
                    let failed = |(rule, of): (&str, &ObjectRef)| rule_failed(&file.name, root, object.prefix, rule, of);
                    report.errors.extend(sides.rule_errors().into_iter().map(failed));
                    let line = root.nearest(object.prefix).span().start.line;
                    differences.extend(sides.difference(Some(Place { file: Arc::clone(&file.name), document, line })));
                }
                Err(error) => report.errors.push(refused(&file.name, root, object.prefix, &error)),
            }
        });
        (report, differences)
    }

    /// Compares what they say of an object that is in a cluster, given as its JSON, and adds that.
    pub fn live(&self, json: &str, to: &mut Comparison) {
        match self.object(json, Origin::Review { create: true }, &mut to.summary) {
            Ok(None) => {}
            Ok(Some(sides)) => {
                let failed = |(rule, object): (&str, &ObjectRef)| {
                    Failure::of(object.to_string(), format!("rule {rule} failed on it: a fault of probekeeper, please report it"))
                };
                to.errors.extend(sides.rule_errors().into_iter().map(failed));
                to.differences.extend(sides.difference(None));
            }
            Err(error) => to.errors.push(Failure::of("cluster", format!("{}: {}", error.pointer, error.message))),
        }
    }

    fn object(&self, json: &str, origin: Origin, summary: &mut Summary) -> Result<Option<Sides>, DecodeError> {
        let sides = match (self.old.judge(json, origin, None)?, self.new.judge(json, origin, None)?) {
            (Judgement::Incomplete, _) | (_, Judgement::Incomplete) => {
                summary.skipped += 1;
                return Ok(None);
            }
            (old, new) => Sides { old: judged(old), new: judged(new) },
        };
        let judged: Vec<&Judged> = [&sides.old, &sides.new].into_iter().flatten().collect();
        if judged.is_empty() || (self.owners_only && judged.iter().all(|judged| judged.owned)) {
            summary.ignored += 1;
            return Ok(None);
        }
        summary.workloads += 1;
        Ok(Some(sides))
    }
}

fn judged(judgement: Judgement) -> Option<Judged> {
    match judgement {
        Judgement::Judged(judged) => Some(*judged),
        Judgement::NoWorkload | Judgement::Incomplete => None,
    }
}

/// What each policy says of an object; `None`: nothing at all.
struct Sides {
    old: Option<Judged>,
    new: Option<Judged>,
}

impl Sides {
    /// Rules that failed, each once.
    fn rule_errors(&self) -> Vec<(&'static str, &ObjectRef)> {
        let each = |judged: &'_ Judged| judged.rule_errors.clone();
        let Some(object) = self.new.as_ref().or(self.old.as_ref()).map(|judged| &judged.object) else { return Vec::new() };
        let mut rules: Vec<&'static str> = [&self.old, &self.new].into_iter().flatten().flat_map(each).collect();
        rules.sort_unstable();
        rules.dedup();
        rules.into_iter().map(|rule| (rule, object)).collect()
    }

    fn difference(self, place: Option<Place>) -> Option<Difference> {
        let (old, new) = (outcome(self.old.as_ref()), outcome(self.new.as_ref()));
        let (findings, filled) = (self.changes(), self.fillings());
        if old == new && findings.is_empty() && filled.is_empty() {
            return None;
        }
        let object = self.new.or(self.old)?.object;
        Some(Difference { place, object, old, new, findings, filled })
    }

    fn changes(&self) -> Vec<Change> {
        let (old, new) = (heard(self.old.as_ref()), heard(self.new.as_ref()));
        let mut changes: Vec<Change> = Vec::new();
        for finding in new.iter().chain(&old).copied() {
            if changes.iter().any(|known| same(&known.finding, finding)) {
                continue;
            }
            let (before, after) = (action(&old, finding), action(&new, finding));
            let silent = if after.is_none() { &self.new } else { &self.old };
            let exempted = silent.iter().flat_map(|judged| &judged.exempted).find(|exempted| same(&exempted.finding, finding));
            changes.push(Change {
                finding: finding.clone(),
                old: before,
                new: after,
                exempted: exempted.map(|Exempted { reason, by, .. }| (reason.clone(), *by)),
            });
        }
        changes.retain(|change| change.old != change.new);
        changes
    }

    fn fillings(&self) -> Vec<FilledDifferently> {
        let (old, new) = (filled(self.old.as_ref()), filled(self.new.as_ref()));
        let mut pointers: Vec<&String> = new.keys().chain(old.keys().filter(|pointer| !new.contains_key(*pointer))).collect();
        pointers.sort();
        let each = pointers.into_iter().map(|pointer| FilledDifferently {
            pointer: pointer.clone(),
            old: old.get(pointer).copied(),
            new: new.get(pointer).copied(),
        });
        each.filter(|filled| filled.old != filled.new).collect()
    }
}

/// What somebody hears of, the most severe of each place first.
fn heard(judged: Option<&Judged>) -> Vec<&Finding> {
    let mut heard: Vec<&Finding> =
        judged.iter().flat_map(|judged| &judged.findings).filter(|finding| finding.action >= Action::Warn).collect();
    // Stable: within an action the order stays.
    heard.sort_by_key(|finding| std::cmp::Reverse(finding.action));
    heard
}

fn action(findings: &[&Finding], of: &Finding) -> Option<Action> {
    findings.iter().find(|finding| same(finding, of)).map(|finding| finding.action)
}

fn same(one: &Finding, other: &Finding) -> bool {
    one.rule == other.rule && one.container == other.container && one.probe == other.probe
}

fn outcome(judged: Option<&Judged>) -> Outcome {
    let Some(judged) = judged else { return Outcome::NotJudged };
    match judged.findings.iter().map(|finding| finding.action).max() {
        Some(Action::Deny) => Outcome::Denied,
        Some(Action::Warn) => Outcome::Warned,
        _ => Outcome::Passes,
    }
}

fn filled(judged: Option<&Judged>) -> BTreeMap<String, Filling> {
    let values = judged.iter().flat_map(|judged| &judged.fills).map(|fill| (fill.pointer.clone(), Filling::Value(fill.value)));
    let edits = judged.iter().flat_map(|judged| &judged.fill_edits);
    let taken = edits.filter(|edit| edit.change == Edited::Remove).map(|edit| (edit.pointer.clone(), Filling::TakenAway));
    values.chain(taken).collect()
}

impl Outcome {
    /// The words in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotJudged => "not judged",
            Self::Passes => "passes",
            Self::Warned => "warned",
            Self::Denied => "denied",
        }
    }
}

impl Difference {
    /// Whether the second policy denies for something for which the first does not.
    pub fn is_newly_denied(&self) -> bool {
        self.findings.iter().any(|change| change.new == Some(Action::Deny))
    }

    /// Whether only the first policy denies it.
    pub fn is_no_longer_denied(&self) -> bool {
        self.old == Outcome::Denied && self.new != Outcome::Denied
    }
}
