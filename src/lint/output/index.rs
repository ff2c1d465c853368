//! What a report says about each workload, found without searching all of it each time.

use std::collections::HashMap;

use crate::lint::{Allowed, Filled, Found, Report, Seen};

/// A document of a file.
type Key<'r> = (&'r str, usize);

/// Findings, exempted ones and filled-in values by document.
pub(super) struct Index<'r> {
    findings: HashMap<Key<'r>, Vec<&'r Found>>,
    exempted: HashMap<Key<'r>, Vec<&'r Allowed>>,
    filled: HashMap<Key<'r>, Vec<&'r Filled>>,
}

impl<'r> Index<'r> {
    pub(super) fn of(report: &'r Report) -> Self {
        let mut index = Self { findings: HashMap::new(), exempted: HashMap::new(), filled: HashMap::new() };
        for found in &report.findings {
            index.findings.entry((&*found.file, found.document)).or_default().push(found);
        }
        for allowed in &report.exempted {
            index.exempted.entry((&*allowed.found.file, allowed.found.document)).or_default().push(allowed);
        }
        for filled in &report.filled {
            index.filled.entry((&*filled.file, filled.document)).or_default().push(filled);
        }
        index
    }

    pub(super) fn findings(&self, seen: &Seen) -> Vec<&'r Found> {
        let all = self.findings.get(&(&*seen.file, seen.document)).into_iter().flatten();
        all.copied().filter(|found| found.object == seen.object).collect()
    }

    pub(super) fn exempted(&self, seen: &Seen) -> Vec<&'r Allowed> {
        let all = self.exempted.get(&(&*seen.file, seen.document)).into_iter().flatten();
        all.copied().filter(|allowed| allowed.found.object == seen.object).collect()
    }

    pub(super) fn filled(&self, seen: &Seen) -> Vec<&'r Filled> {
        let all = self.filled.get(&(&*seen.file, seen.document)).into_iter().flatten();
        all.copied().filter(|filled| filled.object == seen.object).collect()
    }
}
