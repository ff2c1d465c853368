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
    known: BTreeMap<Known, usize>,
}

/// Why a baseline cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// Not JSON, or fields are missing.
    #[error("not a baseline: {0}; write it anew with --write-baseline")]
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
    count: usize,
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
        let mut known = BTreeMap::new();
        for found in &report.findings {
            *known.entry(Known::of(found, root)).or_default() += 1;
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
        let mut known = BTreeMap::new();
        for Entry { known: entry, count } in document.findings {
            *known.entry(entry).or_default() += count;
        }
        Ok(Self { known })
    }

    /// A JSON document that ends with a line break.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        let findings = self.known.iter().map(|(known, count)| Entry { known: known.clone(), count: *count }).collect();
        let mut text = serde_json::to_string_pretty(&Document { version: VERSION, findings })?;
        text.push('\n');
        Ok(text)
    }

    /// How many findings are in it.
    pub fn len(&self) -> usize {
        self.known.values().sum()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Takes the known findings out of a report and counts them apart. A known finding covers one of the same file, or else one that moved to another
    /// file. Returns how many entries cover nothing any more.
    pub fn apply(&self, report: &mut Report, root: Option<&Path>) -> usize {
        let mut here: HashMap<(&str, &str), usize> = HashMap::new();
        for (known, count) in &self.known {
            *here.entry((&known.fingerprint, &known.file)).or_default() += count;
        }
        let identities: Vec<_> =
            report.findings.iter().map(|found| (fingerprint(found), relative(&found.file, root).to_owned())).collect();
        let mut covered: Vec<bool> =
            identities.iter().map(|(print, file)| take(here.get_mut(&(print.as_str(), file.as_str())))).collect();
        let mut elsewhere: HashMap<&str, usize> = HashMap::new();
        for ((print, _), count) in here {
            *elsewhere.entry(print).or_default() += count;
        }
        for ((print, _), covered) in identities.iter().zip(&mut covered).filter(|(_, covered)| !**covered) {
            *covered = take(elsewhere.get_mut(print.as_str()));
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
        let gone = elsewhere.values().sum();
        summary.known = Some(self.len() - gone);
        gone
    }
}

/// Uses up one of a count.
fn take(count: Option<&mut usize>) -> bool {
    match count {
        Some(count) if *count > 0 => {
            *count -= 1;
            true
        }
        _ => false,
    }
}
