//! Findings that are known already: a run against a baseline fails only for new ones.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::fingerprint::{fingerprint, relative};
use super::{Found, Report};
use crate::policy::Action;

/// Counts up when a field changes its meaning or goes away.
const VERSION: u32 = 1;

/// The findings of an earlier run. Written and read as JSON, sorted, without line numbers: editing a manifest elsewhere does not change it.
#[derive(Debug, Default)]
pub struct Baseline {
    known: BTreeMap<Known, Times>,
}

/// Why a baseline cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// Not JSON, or fields are missing.
    #[error("not a baseline (--write-baseline makes one)")]
    Malformed(#[from] serde_json::Error),
    /// Written by a later release.
    #[error(
        "a baseline of version {0}, and this probekeeper reads version {VERSION}: upgrade it, or write the baseline anew with --write-baseline"
    )]
    Version(u32),
}

#[derive(Serialize, Deserialize)]
struct Document {
    version: u32,
    findings: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    known: Known,
    #[serde(flatten)]
    times: Times,
}

/// How often the same finding is there, and how bad at most: one that grows worse is new.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
struct Times {
    count: usize,
    #[serde(default, skip_serializing_if = "is_zero")]
    badness: i64,
}

impl Times {
    fn add(&mut self, other: Self) {
        self.badness = if self.count == 0 { other.badness } else { self.badness.max(other.badness) };
        self.count = self.count.saturating_add(other.count);
    }

    /// Uses up one, if there is one that is as bad.
    fn cover(&mut self, badness: i64) -> bool {
        let covers = self.count > 0 && badness <= self.badness;
        self.count -= usize::from(covers);
        covers
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// Field order is the order of the file. All but `fingerprint` and `file` is for people who review it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Known {
    file: String,
    object: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    container: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    probe: Option<String>,
    rule: String,
    fingerprint: String,
}

impl Known {
    fn of(found: &Found, root: Option<&Path>) -> Self {
        let finding = &found.finding;
        Self {
            file: relative(&found.file, root).to_owned(),
            object: found.object.to_string(),
            container: finding.container.clone(),
            probe: finding.probe.map(|probe| probe.field().to_owned()),
            rule: finding.rule.id.to_owned(),
            fingerprint: fingerprint(found),
        }
    }
}

impl Baseline {
    /// What a report found, of every severity. `root`: the folder that file names are relative to.
    pub fn of(report: &Report, root: Option<&Path>) -> Self {
        let mut known: BTreeMap<_, Times> = BTreeMap::new();
        for found in &report.findings {
            known.entry(Known::of(found, root)).or_default().add(Times { count: 1, badness: found.finding.badness });
        }
        Self { known }
    }

    /// Reads what [`Baseline::to_json`] wrote.
    pub fn from_json(text: &str) -> Result<Self, BaselineError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let Versioned { version } = serde_json::from_str(text)?;
        if version != VERSION {
            return Err(BaselineError::Version(version));
        }
        let document: Document = serde_json::from_str(text)?;
        let mut known: BTreeMap<_, Times> = BTreeMap::new();
        for Entry { known: entry, times } in document.findings {
            known.entry(entry).or_default().add(times);
        }
        Ok(Self { known })
    }

    /// A JSON document that ends with a line break.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        let findings = self.known.iter().map(|(known, times)| Entry { known: known.clone(), times: *times }).collect();
        let mut text = serde_json::to_string_pretty(&Document { version: VERSION, findings })?;
        text.push('\n');
        Ok(text)
    }

    /// How many findings are in it.
    pub fn len(&self) -> usize {
        self.known.values().map(|times| times.count).sum()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Takes the known findings out of a report and counts them apart. A known finding covers one of the same file, or else one that moved to another
    /// file, if that is not worse. Returns how many entries cover nothing any more.
    pub fn apply(&self, report: &mut Report, root: Option<&Path>) -> usize {
        let mut here: HashMap<(&str, &str), Times> = HashMap::new();
        for (known, times) in &self.known {
            here.entry((&known.fingerprint, &known.file)).or_default().add(*times);
        }
        let identities: Vec<_> = report
            .findings
            .iter()
            .map(|found| (fingerprint(found), relative(&found.file, root).to_owned(), found.finding.badness))
            .collect();
        let mut covered: Vec<bool> = identities
            .iter()
            .map(|(print, file, badness)| here.get_mut(&(&**print, &**file)).is_some_and(|times| times.cover(*badness)))
            .collect();
        let mut elsewhere: HashMap<&str, Times> = HashMap::new();
        for ((print, _), times) in here.into_iter().filter(|(_, times)| times.count > 0) {
            elsewhere.entry(print).or_default().add(times);
        }
        for ((print, _, badness), covered) in identities.iter().zip(&mut covered).filter(|(_, covered)| !**covered) {
            *covered = elsewhere.get_mut(&**print).is_some_and(|times| times.cover(*badness));
        }

        let summary = &mut report.summary;
        let mut covered = covered.into_iter();
        report.findings.retain(|found| {
            let known = covered.next().unwrap_or(false);
            if known {
                match found.finding.action {
                    Action::Deny => summary.deny -= 1,
                    Action::Warn => summary.warn -= 1,
                    Action::Audit => summary.audit -= 1,
                    Action::Off => {}
                }
            }
            !known
        });
        let gone = elsewhere.values().map(|times| times.count).sum();
        summary.known = Some(self.len() - gone);
        gone
    }
}
