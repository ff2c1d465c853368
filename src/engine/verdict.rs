//! Findings to a verdict.

use std::cmp::Reverse;

use crate::{policy::Action, rules::Finding};

/// Why a finding that the policy would deny is only a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demotion {
    /// The old object had it already, no less bad: an unrelated change must pass.
    AlreadyThere,
    /// It comes with an old revision that `kubectl rollout undo` brings back: in an emergency the way back must be open.
    RolledBack,
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
    fn of(judged: impl Iterator<Item = Judged>) -> Self {
        let mut judged: Vec<Judged> = judged.collect();
        judged.sort_by_key(|judged| Reverse(judged.finding.action));
        Self { judged }
    }

    /// Findings with this action.
    pub fn with(&self, action: Action) -> impl Iterator<Item = &Judged> {
        self.judged.iter().filter(move |judged| judged.finding.action == action)
    }

    /// Whether the object is rejected.
    pub fn denies(&self) -> bool {
        self.with(Action::Deny).next().is_some()
    }
}

/// What is known of an object's past.
#[derive(Debug, Clone, Copy)]
pub enum Past<'f> {
    /// There is none: everything is new.
    None,
    /// A controller made it, whose own object is judged.
    Owned,
    /// It was there, and nothing that is judged has changed.
    Unchanged,
    /// It was there with these [findings](super::findings_before).
    Had(&'f [Finding]),
    /// The same, and what is new was there in an older revision.
    RolledBack(&'f [Finding]),
}

/// Decides what becomes of each finding.
pub fn decide(mut findings: Vec<Finding>, past: Past<'_>) -> Verdict {
    // Only what would be denied can be excused.
    if findings.iter().all(|finding| finding.action != Action::Deny) {
        return Verdict::of(findings.into_iter().map(|finding| Judged { finding, demoted: None }));
    }
    // The worst first, and stable: so the order of evaluation stays within what is equally severe.
    let mut order: Vec<usize> = (0..findings.len()).collect();
    order.sort_by_key(|at| Reverse(findings[*at].badness));
    let mut before = Before::new(past);
    let mut demotions = vec![None; findings.len()];
    for at in order {
        let finding = &mut findings[at];
        if finding.action != Action::Deny {
            continue;
        }
        demotions[at] = match past {
            Past::None => None,
            Past::Owned => Some(Demotion::Owned),
            Past::Unchanged => Some(Demotion::AlreadyThere),
            Past::Had(_) => before.takes(finding).then_some(Demotion::AlreadyThere),
            Past::RolledBack(_) if before.takes(finding) => Some(Demotion::AlreadyThere),
            Past::RolledBack(_) => Some(Demotion::RolledBack),
        };
        if demotions[at].is_some() {
            finding.action = Action::Warn;
        }
    }
    Verdict::of(findings.into_iter().zip(demotions).map(|(finding, demoted)| Judged { finding, demoted }))
}

/// Old findings that were denied as well, the worst first. Each excuses one new one: a second fault beside an old one is new.
struct Before<'f>(Vec<&'f Finding>);

impl<'f> Before<'f> {
    fn new(past: Past<'f>) -> Self {
        let (Past::Had(findings) | Past::RolledBack(findings)) = past else { return Self(Vec::new()) };
        let mut denied: Vec<_> = findings.iter().filter(|finding| finding.action == Action::Deny).collect();
        denied.sort_by_key(|finding| Reverse(finding.badness));
        Self(denied)
    }

    /// Whether the same was there, at least as bad.
    fn takes(&mut self, finding: &Finding) -> bool {
        let found = self.0.iter().position(|old| is_same(old, finding) && old.badness >= finding.badness);
        found.map(|at| self.0.remove(at)).is_some()
    }
}

/// Whether two findings are about the same: rule, container by name, probe; and where badness is measured, what it is measured of.
fn is_same(old: &Finding, new: &Finding) -> bool {
    let measured = old.badness != 0 || new.badness != 0;
    old.rule == new.rule && old.container == new.container && old.probe == new.probe && (!measured || field(old) == field(new))
}

/// The last part of the pointer.
fn field(finding: &Finding) -> &str {
    finding.pointer.rsplit('/').next().unwrap_or_default()
}
