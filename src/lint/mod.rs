//! The linter: files in, a [`Report`] out. It judges as the webhook would, on the object as it would be stored.

mod baseline;
mod compare;
mod fingerprint;
mod fix;
mod judge;
pub mod output;
mod report;
mod rewrite;
mod set;
mod source;

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

pub use baseline::{Baseline, BaselineError};
pub use compare::{Change, Comparer, Comparison, Difference, FilledDifferently, Filling, Outcome, Place};
pub use fingerprint::{fingerprint, relative};
pub use fix::{Fixed, Fixer};
pub use judge::Judge;
pub use report::{Allowed, Excerpt, Failure, Filled, Found, ObjectRef, Report, Seen, Summary};
pub use source::{Input, Inputs};

use crate::engine::Exempted;
use crate::graph::{Around, Graph};
use crate::model::{DecodeError, Edit, Kinds};
use crate::rules::Finding;
use crate::yaml::{Node, Span, edit::Placed};
use judge::{Judged, Judgement};
use report::FileReport;
use set::File;

/// Reads and judges every input. All of them are one set: its objects are related to each other. The order of the report does not depend on which
/// thread was first.
pub fn run(inputs: Inputs, judge: &Judge) -> Report {
    in_set(inputs, judge.kinds(), |file, first, graph| (lint_file(file, judge, graph, first), ())).1
}

/// Reads every input and relates its objects to each other, without judging any: the report tells what could not be read.
pub fn survey(inputs: Inputs, kinds: &Kinds) -> (Graph, Report) {
    let (graph, report, _) = in_set(inputs, kinds, |_, _, _| (FileReport::default(), ()));
    (graph, report)
}

/// Reads every input, relates all objects to each other, and then does the work for every file; its second argument is the place of the file's first
/// workload among the members of the graph. What it gives beside the report is in the order of the files.
fn in_set<R: Send>(
    inputs: Inputs,
    kinds: &Kinds,
    work: impl Fn(&File<'_>, usize, &Graph) -> (FileReport, R) + Sync,
) -> (Graph, Report, Vec<R>) {
    let Inputs { inputs, failures, skipped_templates, taken } = inputs;
    let mut report = Report { errors: failures, ..Report::default() };
    report.summary.skipped = skipped_templates;
    report.summary.templates = skipped_templates;

    let texts = in_parallel(&inputs, |input| (input, input.read()));
    let mut files = in_parallel(&texts, |(input, text)| {
        taken.fetch_add(1, Ordering::Relaxed);
        File::parse(input, text.as_deref(), kinds)
    });
    let (graph, firsts) = set::relate(&mut files);
    let files: Vec<_> = files.into_iter().zip(firsts).collect();
    let mut results = Vec::with_capacity(files.len());
    let done = in_parallel(&files, |(file, first)| {
        let (judged, result) = work(file, *first, &graph);
        (file.report(judged), result)
    });
    for (file, result) in done {
        report.add(file);
        results.push(result);
    }
    (graph, report, results)
}

/// Starting a thread costs as much as judging a few files.
const FILES_PER_THREAD: usize = 8;

/// Does the work for every item; the results are in the order of the items.
fn in_parallel<'i, T: Sync, R: Send>(items: &'i [T], work: impl Fn(&'i T) -> R + Sync) -> Vec<R> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(items.len().div_ceil(FILES_PER_THREAD));
    let next = AtomicUsize::new(0);
    let share = || {
        let mut done = Vec::new();
        while let Some(at) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < items.len()) {
            done.extend(items.get(at).map(|item| (at, work(item))));
        }
        done
    };
    let mut done = thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads).map(|_| scope.spawn(share)).collect();
        let mut done = share();
        for helper in helpers {
            match helper.join() {
                Ok(more) => done.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Judges the workloads of one file. `first` is the place of its first one among the members of the graph.
fn lint_file(file: &File<'_>, judge: &Judge, graph: &Graph, first: usize) -> FileReport {
    let mut report = FileReport::default();
    file.each(judge.kinds(), |document, root, object, candidate| {
        let around = candidate.member.and_then(|at| graph.around(first + at));
        let mut visit = Visit { text: file.text, file: &file.name, document, report: &mut report };
        visit.object(root, object, &candidate.json, around, judge);
    });
    report
}

/// An object that the API server would refuse.
fn refused(file: &str, root: &Node<'_>, prefix: &str, error: &DecodeError) -> Failure {
    let at = root.nearest(&[prefix, &error.pointer].concat()).span().start;
    Failure::at(file, at.line, at.column, format!("the API server would refuse this: {}", error.message))
}

/// A rule that failed on an object.
fn rule_failed(file: &str, root: &Node<'_>, prefix: &str, rule: &str, object: &ObjectRef) -> Failure {
    let at = root.nearest(prefix).span().start;
    let message = format!("rule {rule} failed on {object}: a fault of probekeeper, please report it with the manifest");
    Failure::at(file, at.line, at.column, message)
}

/// One document on its way through the judge.
struct Visit<'v> {
    text: &'v str,
    file: &'v Arc<str>,
    document: usize,
    report: &'v mut FileReport,
}

impl Visit<'_> {
    fn object(&mut self, root: &Node<'_>, object: &set::Object<'_, '_>, json: &str, around: Option<Around<'_>>, judge: &Judge) {
        match judge.judge(json, object.origin, around) {
            Ok(Judgement::NoWorkload) => self.report.summary.ignored += 1,
            Ok(Judgement::Incomplete) => self.report.summary.skipped += 1,
            Ok(Judgement::Judged(judged)) => self.add(root, object.prefix, *judged),
            Err(error) => self.report.errors.push(refused(self.file, root, object.prefix, &error)),
        }
    }

    fn add(&mut self, root: &Node<'_>, prefix: &str, judged: Judged) {
        let Judged { object, owned: _, findings, exempted, fills, courses, fill_edits, proposals, rule_errors } = judged;
        self.report.errors.extend(rule_errors.iter().map(|rule| rule_failed(self.file, root, prefix, rule, &object)));
        let object = Arc::new(object);
        self.report.summary.workloads += 1;
        self.report.workloads.extend(courses.map(|courses| Seen {
            file: Arc::clone(self.file),
            document: self.document,
            line: root.nearest(prefix).span().start.line,
            object: Arc::clone(&object),
            courses,
        }));
        for finding in findings {
            let found = self.found(root, prefix, &object, finding);
            self.report.findings.push(found);
        }
        for Exempted { finding, reason, by } in exempted {
            let found = self.found(root, prefix, &object, finding);
            self.report.exempted.push(Allowed { found, reason, by });
        }
        let placed = |edit: Edit| Placed { document: self.document, edit: rewrite::below(&edit, prefix) };
        self.report.proposals.extend(proposals.into_iter().map(placed));
        self.report.fills.extend(fill_edits.into_iter().map(placed));
        self.report.filled.extend(fills.into_iter().map(|fill| Filled {
            file: Arc::clone(self.file),
            document: self.document,
            object: Arc::clone(&object),
            pointer: format!("{prefix}{}", fill.pointer),
            value: fill.value,
        }));
    }
}

impl Visit<'_> {
    fn found(&self, root: &Node<'_>, prefix: &str, object: &Arc<ObjectRef>, finding: Finding) -> Found {
        let pointer = format!("{prefix}{}", finding.pointer);
        let span = root.nearest(&pointer).span();
        let context = finding.probe.and_then(|kind| probe_key(root, &pointer, kind.field()));
        Found {
            file: Arc::clone(self.file),
            document: self.document,
            line: span.start.line,
            column: span.start.column,
            excerpt: if finding.secret { Excerpt::only(self.text, span) } else { Excerpt::cut(self.text, span, context) },
            object: Arc::clone(object),
            pointer,
            finding,
        }
    }
}

/// The key of the probe that a pointer goes through, so that an excerpt shows whose port it is.
fn probe_key(root: &Node<'_>, pointer: &str, field: &str) -> Option<Span> {
    let end = pointer.rfind(&format!("/{field}/"))? + 1 + field.len();
    let place = root.nearest(pointer.get(..end)?);
    place.exact.then_some(place.key?.span)
}
