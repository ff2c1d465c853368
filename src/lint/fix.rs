//! Rewriting of a file: what was left out, and what rules propose, written into the author's text.

use std::collections::HashSet;

use super::report::{FileReport, Found};
use super::rewrite::{self, Stage};
use super::set::{self, File};
use super::{Failure, Input, Judge, in_parallel, lint_file};
use crate::graph::Graph;
use crate::model::ProbeKind;
use crate::policy::Action;
use crate::yaml;
use crate::yaml::edit::Placed;

/// How files are rewritten.
#[derive(Debug)]
pub struct Fixer {
    judge: Judge,
    all: bool,
}

/// One file before and after.
#[derive(Debug, Default)]
pub struct Fixed {
    /// How the file is called.
    pub file: String,
    /// As it was read.
    pub before: String,
    /// As it should be: the same bytes where nothing is to be done, or where something could not be read.
    pub after: String,
    /// Values (and whole probes and hooks, where the policy adds them) that were left out and now stand there.
    pub filled: usize,
    /// Handlers that ask the same in a better way.
    pub rewritten: usize,
    /// Findings (that deny or warn) that are gone.
    pub fixed: usize,
    /// Findings that are left.
    pub remaining: usize,
    /// Those of them that a rewrite would resolve which changes what the author wrote.
    pub offered: usize,
    /// The file was found in a folder and is a template: it was not looked at.
    pub template: bool,
    /// What a person has to do.
    pub notes: Vec<Failure>,
    /// Why the file was left alone.
    pub errors: Vec<Failure>,
}

/// Each round does one stage, and a stage may follow from another. Three suffice for most files.
const MAX_ROUNDS: usize = 16;

impl Fixer {
    /// `all`: also what changes the meaning of what the author wrote.
    pub fn new(judge: Judge, all: bool) -> Self {
        Self { judge, all }
    }

    /// Reads files and says what each should be, in their order. They are one set, as in [`run`](super::run): what rules see around a workload is what
    /// stands in the files before any is changed. Writes nothing.
    pub fn fix(&self, inputs: &[Input]) -> Vec<Fixed> {
        let texts = in_parallel(inputs, |input| (input, input.read()));
        let (graph, firsts) = {
            let mut files = in_parallel(&texts, |(input, text)| File::parse(input, text.as_deref(), self.judge.kinds()));
            set::relate(&mut files)
        };
        let texts: Vec<_> = texts.into_iter().zip(firsts).collect();
        in_parallel(&texts, |((input, text), first)| match text {
            Ok(text) => self.fix_text(input, text.clone(), &graph, *first),
            Err(failure) => Fixed { file: input.name(), errors: vec![failure.clone()], ..Fixed::default() },
        })
    }

    fn fix_text(&self, input: &Input, text: String, graph: &Graph, first: usize) -> Fixed {
        let file = input.name();
        let recorded = recordings(&text);
        let judge = |text: &str| {
            // No change adds, removes or renames an object, so that each keeps its place in the graph.
            let parsed = File::parse(input, Ok(text), self.judge.kinds());
            let mut report = parsed.report(lint_file(&parsed, &self.judge, graph, first));
            // What an API server sent is evidence, not a manifest.
            report.findings.retain(|found| !recorded.contains(&found.document));
            report.fills.retain(|placed| !recorded.contains(&placed.document));
            report.proposals.retain(|placed| !recorded.contains(&placed.document));
            report
        };
        let first = judge(&text);
        let mut fixed = Fixed { template: first.summary.templates > 0, ..Fixed::default() };
        fixed.notes.extend(first.warnings.iter().cloned());
        if fixed.template || !first.errors.is_empty() {
            return Fixed { file, after: text.clone(), before: text, errors: first.errors, ..fixed };
        }
        let before: Vec<Key> = keys(&first);
        let mut refused: Vec<(Placed, &'static str)> = Vec::new();
        let mut after = text.clone();
        let mut report = first;
        let mut rounds = 0;
        while let Some((stage, edits)) = rewrite::next(&report, self.all, |edit| refused.iter().any(|(known, _)| known == edit)) {
            rounds += 1;
            let edited = match yaml::edit::edit(&after, &edits) {
                Ok(edited) if rounds <= MAX_ROUNDS => edited,
                Ok(_) => return alone(file, text, "each correction calls for another"),
                Err(error) => return alone(file, text, &error.to_string()),
            };
            match stage {
                Stage::Fills => fixed.filled += edits.len() - edited.refused.len(),
                Stage::Handlers => {
                    let mine = |placed: &Placed| report.proposals.contains(placed);
                    let failed = |at: usize| edited.refused.iter().any(|refused| refused.edit == at);
                    fixed.rewritten += edits.iter().enumerate().filter(|(at, placed)| mine(placed) && !failed(*at)).count();
                }
                Stage::Numbers => {}
            }
            let more = edited.refused.iter().filter_map(|refusal| Some((edits.get(refusal.edit)?.clone(), refusal.reason)));
            refused.extend(more.collect::<Vec<_>>());
            after = edited.text;
            report = judge(&after);
        }
        let is_refused = |found: &Found| {
            let here = |placed: &Placed| {
                let pointer = placed.edit.pointer.strip_prefix(found.prefix());
                placed.document == found.document && found.finding.rewrite.iter().any(|edit| Some(&*edit.pointer) == pointer)
            };
            refused.iter().any(|(placed, _)| here(placed))
        };
        let left = keys(&report);
        fixed.fixed = before.iter().filter(|key| !left.contains(key)).count();
        fixed.remaining = left.len();
        fixed.offered = severe(&report).filter(|found| !found.finding.rewrite.is_empty() && !is_refused(found)).count();
        fixed.notes.extend(notes(&file, &text, &refused));
        Fixed { file, before: text, after, ..fixed }
    }
}

/// What tells findings apart before and after.
type Key = (usize, String, &'static str, Option<String>, Option<ProbeKind>);

fn keys(report: &FileReport) -> Vec<Key> {
    let key = |found: &Found| {
        let finding = &found.finding;
        (found.document, found.prefix().to_owned(), finding.rule.id, finding.container.clone(), finding.probe)
    };
    severe(report).map(key).collect()
}

/// Findings that lint shows when nothing else is asked for.
fn severe(report: &FileReport) -> impl Iterator<Item = &Found> {
    report.findings.iter().filter(|found| found.finding.action >= Action::Warn)
}

fn alone(file: String, text: String, reason: &str) -> Fixed {
    let failure =
        Failure::of(&*file, format!("left alone: {reason}; a fault of probekeeper, please report it with the manifest"));
    Fixed { file, after: text.clone(), before: text, errors: vec![failure], ..Fixed::default() }
}

/// Documents that were recorded rather than written.
fn recordings(text: &str) -> HashSet<usize> {
    let recorded = |document: &yaml::Document<'_>| {
        let kind = document.root.as_ref().ok().and_then(|root| root.get("kind")).and_then(yaml::Node::as_str);
        kind == Some("AdmissionReview")
    };
    yaml::parse(text).iter().enumerate().filter(|(_, document)| recorded(document)).map(|(at, _)| at).collect()
}

/// What could not be written, at its place in the file as it was.
fn notes(file: &str, text: &str, refused: &[(Placed, &'static str)]) -> Vec<Failure> {
    let documents = yaml::parse(text);
    let note = |(placed, reason): &(Placed, &'static str)| {
        let root = documents.get(placed.document)?.root.as_ref().ok()?;
        let at = root.nearest(&placed.edit.pointer).span().start;
        let key = placed.edit.pointer.rsplit('/').next().unwrap_or_default();
        Some(Failure::at(file, at.line, at.column, format!("note: {key} cannot be fixed here, {reason}")))
    };
    let mut notes: Vec<_> = refused.iter().filter_map(note).collect();
    notes.sort_by_key(|note| (note.line, note.column));
    notes
}
