//! Findings to a verdict.

use crate::{policy::Action, rules::Finding};

/// Why a finding that the policy would deny is only a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demotion {
    /// The old object had it already, no less bad: an unrelated change must pass.
    AlreadyThere,
    /// A controller made the object, and the controller's own object is judged: denying the child would only hang it.
    Owned,
}

/// A finding and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// What is wrong; its action is what happens, after demotion.
    pub finding: Finding,
    /// Why it was not denied.
    pub demoted: Option<Demotion>,
}

/// All findings of one object, the most severe first.
#[derive(Debug, Default)]
pub struct Verdict {
    /// Sorted by severity, else in the order of evaluation.
    pub judged: Vec<Judged>,
}

impl Verdict {
    /// Findings with this action.
    pub fn with(&self, action: Action) -> impl Iterator<Item = &Judged> {
        self.judged.iter().filter(move |judged| judged.finding.action == action)
    }

    /// Whether the object is rejected.
    pub fn denies(&self) -> bool {
        self.with(Action::Deny).next().is_some()
    }
}

/// Decides what becomes of each finding. `old` are the findings of the object as it was (UPDATE); `owned` says that a judged controller made it.
pub fn decide(findings: Vec<Finding>, old: Option<&[Finding]>, owned: bool) -> Verdict {
    let mut judged: Vec<Judged> = findings
        .into_iter()
        .map(|mut finding| {
            let demoted = match finding.action {
                Action::Deny if owned => Some(Demotion::Owned),
                Action::Deny if old.is_some_and(|old| was_there(&finding, old)) => Some(Demotion::AlreadyThere),
                _ => None,
            };
            if demoted.is_some() {
                finding.action = Action::Warn;
            }
            Judged { finding, demoted }
        })
        .collect();
    judged.sort_by_key(|judged| std::cmp::Reverse(judged.finding.action));
    Verdict { judged }
}

/// Whether the old object had the same finding (rule, container by name, probe), denied as well and at least as bad.
fn was_there(finding: &Finding, old: &[Finding]) -> bool {
    old.iter().any(|old| {
        old.rule == finding.rule
            && old.container == finding.container
            && old.probe == finding.probe
            && old.action == Action::Deny
            && old.badness >= finding.badness
    })
}
