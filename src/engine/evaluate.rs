//! Rules to findings.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::{
    graph::Around,
    model::{ProbeKind, Workload},
    policy::Policy,
    rules::{Context, Finding, Findings},
};

/// What the rules of a policy say about a workload.
#[derive(Debug, Default)]
pub struct Evaluation {
    /// By container, probe and catalogue order.
    pub findings: Vec<Finding>,
    /// Rules that panicked on this workload; what they had reported is dropped.
    pub rule_errors: Vec<&'static str>,
}

/// Runs every active rule on an object by itself.
pub fn evaluate(policy: &Policy, workload: &Workload<'_>) -> Evaluation {
    evaluate_in(policy, workload, None)
}

/// Runs every active rule on an object and what is known of the objects around it. A panic in a rule is caught and named; the others still count.
pub fn evaluate_in(policy: &Policy, workload: &Workload<'_>, around: Option<Around<'_>>) -> Evaluation {
    let Some(first) = policy.rules.first() else { return Evaluation::default() };
    let cx = Context { workload, around };
    let mut out = Findings::new(first.def, first.action);
    let mut rule_errors = Vec::new();
    for active in &policy.rules {
        out.next_rule(active.def, active.action);
        let before = out.len();
        // A rule holds no state across calls, and what it pushed before it panicked is cut off again.
        if catch_unwind(AssertUnwindSafe(|| active.rule.check(&cx, &mut out))).is_err() {
            out.truncate(before);
            rule_errors.push(active.def.id);
        }
    }
    let mut findings = out.into_vec();
    drop_covered(&mut findings);
    drop_copied(workload, &mut findings);
    let position = |finding: &Finding| {
        workload.containers.iter().position(|container| Some(&*container.name) == finding.container.as_deref())
    };
    // Stable: within a probe the catalogue's order stays.
    findings.sort_by_cached_key(|finding| (position(finding), finding.probe));
    Evaluation { findings, rule_errors }
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
