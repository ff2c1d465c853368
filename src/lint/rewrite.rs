//! What `fix` changes, and in which order. Rules propose their own rewrites ([`Finding::rewrite`](crate::rules::Finding)); here is what no rule
//! speaks of.

use std::collections::HashSet;

use super::report::FileReport;
use crate::model::{Edit, Handler, Leaf, Workload, self_request};
use crate::policy::Action;
use crate::rules::is_requested_as_written;
use crate::yaml::edit::Placed;

/// Something that could be written better.
#[derive(Debug)]
pub(super) struct Proposal {
    /// Pointer from the object's root, or after [`Proposal::below`] from the document's.
    pub(super) edit: Edit,
    /// The probe asks the same afterwards.
    pub(super) safe: bool,
}

impl Proposal {
    /// The same, seen from a place above.
    pub(super) fn below(self, prefix: &str) -> Self {
        Self { edit: below(&self.edit, prefix), ..self }
    }
}

fn below(edit: &Edit, prefix: &str) -> Edit {
    Edit { pointer: format!("{prefix}{}", edit.pointer), change: edit.change.clone() }
}

/// What could be written better in a workload, whatever the rules say.
pub(super) fn proposals(workload: &Workload<'_>) -> Vec<Proposal> {
    let mut proposals = Vec::new();
    for container in &workload.containers {
        for (kind, probe) in container.valid_probes() {
            let pointer = workload.probe_pointer(container, kind);
            match probe.handler() {
                Some(Handler::HttpGet(http)) => {
                    let Some(path) = http.path.as_deref().filter(|path| lacks_slash(path)) else { continue };
                    proposals.push(Proposal { edit: Edit::set(pointer + "/httpGet/path", format!("/{path}")), safe: true });
                }
                Some(Handler::Exec(exec)) => {
                    let Some(request) = self_request(exec).filter(|request| is_requested_as_written(&request.path)) else {
                        continue;
                    };
                    let mut entries = vec![("path", request.path.into()), ("port", request.port.into())];
                    if request.tls {
                        entries.push(("scheme", "HTTPS".into()));
                    }
                    proposals.push(Proposal { edit: Edit::replace(pointer + "/exec", "httpGet", entries), safe: false });
                }
                _ => {}
            }
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
    /// Numbers that were left out.
    Fills,
    /// Numbers that were chosen.
    Numbers,
}

/// The changes of the earliest stage that has any, each at a place of its own. `left_out` says what is not to be tried.
pub(super) fn next(report: &FileReport, all: bool, left_out: impl Fn(&Placed) -> bool) -> Option<(Stage, Vec<Placed>)> {
    let mut steps = Vec::new();
    for (document, proposal) in &report.proposals {
        if proposal.safe || all {
            steps.push((Stage::Handlers, Placed { document: *document, edit: proposal.edit.clone() }));
        }
    }
    for filled in &report.filled {
        let edit = Edit::set(&*filled.pointer, filled.value);
        steps.push((Stage::Fills, Placed { document: filled.document, edit }));
    }
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
    // Numbers of one probe stand in the order in which people write them.
    edits.sort_by_key(|placed| leaf_rank(&placed.edit));
    Some((stage, edits))
}

/// The place of a probe's number among its numbers.
fn leaf_rank(edit: &Edit) -> Option<usize> {
    let key = edit.pointer.rsplit('/').next()?;
    Leaf::ALL.into_iter().position(|leaf| leaf.field() == key)
}
