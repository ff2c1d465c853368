//! What `fix` changes, and in which order. Rules propose their own rewrites ([`Finding::rewrite`](crate::rules::Finding)); here is what no rule
//! speaks of.

use std::collections::HashSet;

use super::report::FileReport;
use crate::engine::{defaults::Plan, patch};
use crate::model::{Edit, Handler, Leaf, Workload};
use crate::policy::Action;
use crate::rules::is_requested_as_written;
use crate::yaml::edit::Placed;

/// The same change, seen from a place above.
pub(super) fn below(edit: &Edit, prefix: &str) -> Edit {
    Edit { pointer: format!("{prefix}{}", edit.pointer), change: edit.change.clone() }
}

/// What a plan changes, without the record of it: in the file it is the author's. `object` is the workload's own JSON.
pub(super) fn fills(workload: &Workload<'_>, plan: &Plan, object: &str) -> Vec<Edit> {
    let numbers = plan.fills.iter().map(|fill| {
        let pointer = fill.pointer(workload);
        if fill.takes_away() { Edit::remove(pointer) } else { Edit::set(pointer, fill.value) }
    });
    let additions = plan.additions.iter().filter_map(|addition| {
        let operation = patch::operation(workload, addition, object)?;
        Some(match serde_json::from_str(&operation.value).ok()? {
            serde_json::Value::Null => Edit::remove(operation.path),
            value => Edit::insert(operation.path, value),
        })
    });
    numbers.chain(additions).collect()
}

/// What could be written better in a workload, whatever the rules say. Every probe asks the same afterwards.
pub(super) fn proposals(workload: &Workload<'_>) -> Vec<Edit> {
    let mut proposals = Vec::new();
    for container in &workload.containers {
        for (kind, probe) in container.valid_probes() {
            let Some(Handler::HttpGet(http)) = probe.handler() else { continue };
            let Some(path) = http.path.as_deref().filter(|path| lacks_slash(path)) else { continue };
            let pointer = workload.probe_pointer(container, kind) + "/httpGet/path";
            proposals.push(Edit::set(pointer, format!("/{path}")));
        }
    }
    proposals
}

/// The kubelet adds the slash (semantics 2.7). `*` alone is a request target of its own to Go.
fn lacks_slash(path: &str) -> bool {
    !path.is_empty() && !path.starts_with(['/', '*']) && !path.starts_with(char::is_whitespace) && is_requested_as_written(path)
}

/// Which kind of change comes first. What is filled in depends on the handlers, and what rules say depends on what is filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// What is asked.
    Handlers,
    /// What was left out.
    Fills,
    /// Numbers that were chosen.
    Numbers,
}

/// The changes of the earliest stage that has any, each at a place of its own. `left_out` says what is not to be tried.
pub(super) fn next(report: &FileReport, all: bool, left_out: impl Fn(&Placed) -> bool) -> Option<(Stage, Vec<Placed>)> {
    let mut steps = Vec::new();
    steps.extend(report.proposals.iter().map(|placed| (Stage::Handlers, placed.clone())));
    steps.extend(report.fills.iter().map(|placed| (Stage::Fills, placed.clone())));
    for found in report.findings.iter().filter(|found| all && found.finding.action >= Action::Warn) {
        for edit in &found.finding.rewrite {
            let stage = if leaf_rank(edit).is_some() { Stage::Numbers } else { Stage::Handlers };
            let edit = below(edit, found.prefix());
            steps.push((stage, Placed { document: found.document, edit }));
        }
    }
    steps.retain(|(_, placed)| !left_out(placed));
    let stage = steps.iter().map(|(stage, _)| *stage).min()?;
    let mut seen = HashSet::new();
    let mut edits: Vec<Placed> = steps.into_iter().filter(|(of, _)| *of == stage).map(|(_, placed)| placed).collect();
    edits.retain(|placed| seen.insert((placed.document, placed.edit.pointer.clone())));
    // Numbers of one probe stand in the order in which people write them, and what is added to a container behind its probes.
    edits.sort_by_key(|placed| leaf_rank(&placed.edit).unwrap_or(usize::MAX));
    Some((stage, edits))
}

/// The place of a probe's number among its numbers.
fn leaf_rank(edit: &Edit) -> Option<usize> {
    let key = edit.pointer.rsplit('/').next()?;
    Leaf::ALL.into_iter().position(|leaf| leaf.field() == key)
}
