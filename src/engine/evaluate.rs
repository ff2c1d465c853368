//! Rules to findings.

use std::panic::{AssertUnwindSafe, catch_unwind};

use jiff::civil::Date;

use crate::{
    graph::Around,
    model::{ProbeKind, Workload},
    policy::{Exemption, Part, Policy, Run, Scope, part_of},
    rules::{self, Allow, Context, Finding, Findings, Parts, RuleDef},
};

/// What the rules of a policy say about a workload.
#[derive(Debug, Default)]
pub struct Evaluation {
    /// By container, probe and catalogue order.
    pub findings: Vec<Finding>,
    /// What would be findings, but is right here; in the same order.
    pub exempted: Vec<Exempted>,
    /// Rules that panicked on this workload; what they had reported is dropped.
    pub rule_errors: Vec<&'static str>,
}

/// A finding that is right here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exempted {
    /// What the rule says.
    pub finding: Finding,
    /// Why it is right.
    pub reason: String,
    /// Who says so.
    pub by: ExemptedBy,
}

/// Who says that a finding is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExemptedBy {
    /// An exemption of the policy.
    Policy,
    /// The annotation on the workload or its template.
    Annotation,
}

impl ExemptedBy {
    /// The word in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Policy => "policy",
            Self::Annotation => "annotation",
        }
    }
}

/// Judges an object by itself. `today` is the date in UTC.
pub fn evaluate(policy: &Policy, workload: &Workload<'_>, today: Date) -> Evaluation {
    evaluate_in(policy, workload, None, today)
}

/// Judges an object and what is known of the objects around it. A panic in a rule is caught and named; the others still count.
pub fn evaluate_in(policy: &Policy, workload: &Workload<'_>, around: Option<Around<'_>>, today: Date) -> Evaluation {
    judge(policy, workload, around, today, Findings::default())
}

/// As [`evaluate`], for an answer in which findings that are only counted are named and nothing more: they have no texts.
pub fn evaluate_briefly(policy: &Policy, workload: &Workload<'_>, today: Date) -> Evaluation {
    judge(policy, workload, None, today, Findings::brief())
}

fn judge(policy: &Policy, workload: &Workload<'_>, around: Option<Around<'_>>, today: Date, out: Findings) -> Evaluation {
    let scope = policy.scope(workload);
    let allows = Allow::of(workload);
    let forbidden = forbidden(&scope, workload, &allows);
    let cx = Context { workload, around, forbidden: &forbidden };
    let (mut findings, rule_errors) = raw_findings(&scope, &cx, out);
    if findings.is_empty() {
        return Evaluation { rule_errors, ..Evaluation::default() };
    }
    drop_covered(&mut findings);
    drop_copied(workload, &mut findings);
    let position = |finding: &Finding| {
        workload.containers.iter().position(|container| Some(&*container.name) == finding.container.as_deref())
    };
    // Stable: within a probe the catalogue's order stays.
    if findings.len() > 1 {
        findings.sort_by_cached_key(|finding| (position(finding), finding.probe));
    }
    let exempted = Exempting { policy, scope: &scope, workload, allows: &allows }.take_out_of(&mut findings, today);
    Evaluation { findings, exempted, rule_errors }
}

/// Everything that the rules say, with nothing taken out, and the rules that panicked.
pub(super) fn raw_findings_of(policy: &Policy, workload: &Workload<'_>) -> (Vec<Finding>, Vec<&'static str>) {
    let scope = policy.scope(workload);
    let forbidden = forbidden(&scope, workload, &Allow::of(workload));
    raw_findings(&scope, &Context { workload, around: None, forbidden: &forbidden }, Findings::brief())
}

/// Runs every rule that is on, in the order of the catalogue.
fn raw_findings(scope: &Scope<'_>, cx: &Context<'_>, mut out: Findings) -> (Vec<Finding>, Vec<&'static str>) {
    let mut rule_errors = Vec::new();
    let has = Parts::of(cx);
    scope.each_run(|run| {
        if !run.needs.met(has) {
            debug_assert!(is_silent(run, cx), "{} has something to say without what it needs", run.def.id);
            return;
        }
        out.next_rule(run.def, run.action);
        let before = out.len();
        // A rule holds no state across calls, and what it pushed before it panicked is cut off again.
        if catch_unwind(AssertUnwindSafe(|| run.rule.check(cx, &mut out))).is_err() {
            out.truncate(before);
            if !rule_errors.contains(&run.def.id) {
                rule_errors.push(run.def.id);
            }
        }
        if run.is_limited() {
            out.retain_from(before, |finding| scope.counts(run, cx.workload, finding.container.as_deref()));
        }
    });
    (out.into_vec(), rule_errors)
}

fn is_silent(run: Run<'_>, cx: &Context<'_>) -> bool {
    let mut said = Findings::new(run.def, run.action);
    run.rule.check(cx, &mut said);
    said.is_empty()
}

/// Rules that the annotation names and the policy does not let it allow, for the object or any container.
fn forbidden(scope: &Scope<'_>, workload: &Workload<'_>, allows: &[(String, Allow<'_>)]) -> Vec<&'static RuleDef> {
    let named = allows.iter().filter_map(|(_, entry)| rules::find(entry.rule));
    let parts = || std::iter::once(Part::Object).chain((0..workload.containers.len()).map(Part::Container));
    named.filter(|rule| parts().any(|part| !scope.allows_annotation(part, rule))).collect()
}

/// What is right here, says the author or the policy.
struct Exempting<'e> {
    policy: &'e Policy,
    scope: &'e Scope<'e>,
    workload: &'e Workload<'e>,
    allows: &'e [(String, Allow<'e>)],
}

impl Exempting<'_> {
    /// Takes out what is right here. Of what would be, had the exemption not ended, that is said.
    fn take_out_of(&self, findings: &mut Vec<Finding>, today: Date) -> Vec<Exempted> {
        let exemptions = self.policy.exemptions_of(self.workload);
        if exemptions.is_empty() && self.allows.is_empty() {
            return Vec::new();
        }
        let mut exempted = Vec::new();
        findings.retain_mut(|finding| {
            let container = finding.container.as_deref().and_then(|name| self.workload.container(name));
            let about = |exemption: &&&Exemption| exemption.is_about(finding.rule, container);
            let applying = exemptions.iter().filter(about).find(|exemption| !exemption.has_ended(today));
            let found = match (self.allowed(finding), applying) {
                (Some(reason), _) => Some((reason, ExemptedBy::Annotation)),
                (None, applying) => applying.map(|exemption| (&*exemption.reason, ExemptedBy::Policy)),
            };
            if let Some((reason, by)) = found {
                exempted.push(Exempted { finding: finding.clone(), reason: reason.to_owned(), by });
                return false;
            }
            let ended = exemptions.iter().filter(about).filter_map(|exemption| Some((exemption.until?, &exemption.reason)));
            if let Some((until, reason)) = ended.max_by_key(|(until, _)| *until) {
                finding.note = format!("an exemption for this ended on {until}: {reason}");
            }
            true
        });
        exempted
    }

    /// The reason by which the annotation allows a finding.
    fn allowed(&self, finding: &Finding) -> Option<&str> {
        let mut entries = self.allows.iter().map(|(_, entry)| entry);
        let entry = entries.find(|entry| entry.rule == finding.rule.id && entry.has_reason())?;
        let part = part_of(self.workload, finding.container.as_deref());
        self.scope.allows_annotation(part, finding.rule).then_some(entry.reason)
    }
}

/// A startup probe that was filled in is a copy of liveness: what is wrong with both is said of liveness.
fn drop_copied(workload: &Workload<'_>, findings: &mut Vec<Finding>) {
    let is_copy = |finding: &Finding| {
        finding.probe == Some(ProbeKind::Startup)
            && finding.container.as_deref().is_some_and(|container| workload.filled.added_startup(container))
    };
    if !findings.iter().any(is_copy) {
        return;
    }
    let said: Vec<_> = findings
        .iter()
        .filter(|finding| finding.probe == Some(ProbeKind::Liveness))
        .map(|finding| (finding.rule.id, finding.container.clone(), finding.action))
        .collect();
    findings.retain(|finding| {
        !(is_copy(finding)
            && said.iter().any(|(rule, container, action)| {
                *rule == finding.rule.id && *container == finding.container && *action >= finding.action
            }))
    });
}

/// Where a better rule already says the same of the same probe, the milder one is silent.
fn drop_covered(findings: &mut Vec<Finding>) {
    if !findings.iter().any(|finding| !finding.rule.covered_by.is_empty()) {
        return;
    }
    let spoken: Vec<_> =
        findings.iter().map(|finding| (finding.rule.id, finding.container.clone(), finding.probe, finding.action)).collect();
    findings.retain(|finding| {
        !finding.rule.covered_by.iter().any(|better| {
            spoken.iter().any(|(rule, container, probe, action)| {
                rule == better && *container == finding.container && *probe == finding.probe && *action >= finding.action
            })
        })
    });
}
