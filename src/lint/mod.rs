//! The linter: files in, a [`Report`] out. It judges as the webhook would, on the object as it would be stored.

mod fix;
mod judge;
pub mod output;
mod report;
mod rewrite;
mod source;

use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

pub use fix::{Fixed, Fixer};
pub use judge::Judge;
pub use report::{Excerpt, Failure, Filled, Found, ObjectRef, Report, Summary};
pub use source::{Input, Inputs};

use crate::yaml::{self, Duplicate, Node, Span};
use judge::{Judged, Judgement, Origin};
use report::FileReport;
use rewrite::Proposal;

/// Reads and judges every input. The order of the report does not depend on which thread was first.
pub fn run(inputs: Inputs, judge: &Judge) -> Report {
    let Inputs { inputs, failures, skipped_templates } = inputs;
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(inputs.len().div_ceil(FILES_PER_THREAD));
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some(at) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|at| *at < inputs.len()) {
            done.extend(inputs.get(at).map(|input| (at, read(input, judge))));
        }
        done
    };
    let mut done = thread::scope(|scope| {
        let helpers: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut done = work();
        for helper in helpers {
            match helper.join() {
                Ok(more) => done.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_unstable_by_key(|(at, _)| *at);
    let mut report = Report { errors: failures, ..Report::default() };
    report.summary.skipped = skipped_templates;
    report.summary.templates = skipped_templates;
    for (_, file) in done {
        report.add(file);
    }
    report
}

/// Starting a thread costs as much as judging a few files.
const FILES_PER_THREAD: usize = 8;

fn read(input: &Input, judge: &Judge) -> FileReport {
    let file = input.name();
    match input.read() {
        Err(failure) => FileReport::failed(failure),
        Ok(text) => lint_text(&file, &text, matches!(input, Input::Found(_)), judge),
    }
}

/// Judges the text of one file. Templates are skipped where nobody asked for this very file.
fn lint_text(file: &str, text: &str, found: bool, judge: &Judge) -> FileReport {
    let mut report = FileReport::new();
    let file: Arc<str> = Arc::from(file);
    for (index, document) in yaml::parse(text).into_iter().enumerate() {
        report.warnings.extend(document.duplicates.iter().map(|duplicate| {
            let Duplicate { key, first, last } = duplicate;
            let message =
                format!("warning: key `{key}` is given again, and the one on line {} no longer counts", first.start.line);
            Failure::at(&file, last.start.line, last.start.column, message)
        }));
        match document.root {
            Ok(root) => {
                let mut visit = Visit { text, file: &file, document: index, judge, report: &mut report, json: String::new() };
                visit.object(&root, &root, String::new(), Origin::File, 0);
            }
            Err(error) if found && error.template => {
                report.summary.skipped += 1;
                report.summary.templates += 1;
            }
            Err(error) => report.errors.push(Failure::at(&file, error.line, error.column, error.message)),
        }
    }
    report.counted()
}

/// One document on its way through the judge.
struct Visit<'v> {
    text: &'v str,
    file: &'v Arc<str>,
    document: usize,
    judge: &'v Judge,
    report: &'v mut FileReport,
    json: String,
}

impl Visit<'_> {
    /// Lists hold lists only in tests.
    const MAX_WRAPS: usize = 4;

    /// Judges an object, or what it wraps. `prefix` is the pointer from the document's `root` to `node`.
    fn object(&mut self, root: &Node<'_>, node: &Node<'_>, prefix: String, origin: Origin, wraps: usize) {
        let kind = node.get("kind").and_then(Node::as_str).unwrap_or_default();
        if kind == "AdmissionReview" && wraps < Self::MAX_WRAPS {
            let create = node.pointer("/request/operation").and_then(Node::as_str) == Some("CREATE");
            if let Some(object) = node.pointer("/request/object").filter(|object| !object.is_null()) {
                self.object(root, object, prefix + "/request/object", Origin::Review { create }, wraps + 1);
            }
            return;
        }
        if let (true, Some(items)) = (kind.ends_with("List") && wraps < Self::MAX_WRAPS, node.get("items").and_then(Node::as_seq))
        {
            for (index, item) in items.iter().enumerate() {
                self.object(root, item, format!("{prefix}/items/{index}"), origin, wraps + 1);
            }
            return;
        }
        if !judge::may_be_workload(node.get("apiVersion").and_then(Node::as_str), kind) {
            self.report.summary.ignored += 1;
            return;
        }
        self.json.clear();
        node.to_json(&mut self.json);
        match self.judge.judge(&self.json, origin) {
            Ok(Judgement::NoWorkload) => self.report.summary.ignored += 1,
            Ok(Judgement::Incomplete) => self.report.summary.skipped += 1,
            Ok(Judgement::Judged(judged)) => self.add(root, &prefix, judged),
            Err(error) => {
                let at = root.nearest(&(prefix + &error.pointer)).span().start;
                let message = format!("the API server would refuse this: {}", error.message);
                self.report.errors.push(Failure::at(self.file, at.line, at.column, message));
            }
        }
    }

    fn add(&mut self, root: &Node<'_>, prefix: &str, judged: Judged) {
        let Judged { object, findings, fills, proposals, rule_errors } = judged;
        for rule in rule_errors {
            let at = root.nearest(prefix).span().start;
            let message = format!("rule {rule} failed on {object}: a fault of probekeeper, please report it with the manifest");
            self.report.errors.push(Failure::at(self.file, at.line, at.column, message));
        }
        let object = Arc::new(object);
        self.report.summary.workloads += 1;
        for finding in findings {
            let pointer = format!("{prefix}{}", finding.pointer);
            let span = root.nearest(&pointer).span();
            let context = finding.probe.and_then(|kind| probe_key(root, &pointer, kind.field()));
            self.report.findings.push(Found {
                file: Arc::clone(self.file),
                document: self.document,
                line: span.start.line,
                column: span.start.column,
                excerpt: Excerpt::cut(self.text, span, context),
                object: Arc::clone(&object),
                pointer,
                finding,
            });
        }
        let below = |proposal: Proposal| (self.document, proposal.below(prefix));
        self.report.proposals.extend(proposals.into_iter().map(below));
        self.report.filled.extend(fills.into_iter().map(|fill| Filled {
            file: Arc::clone(self.file),
            document: self.document,
            object: Arc::clone(&object),
            pointer: format!("{prefix}{}", fill.pointer),
            value: fill.value,
        }));
    }
}

/// The key of the probe that a pointer goes through, so that an excerpt shows whose port it is.
fn probe_key(root: &Node<'_>, pointer: &str, field: &str) -> Option<Span> {
    let end = pointer.rfind(&format!("/{field}/"))? + 1 + field.len();
    let place = root.nearest(pointer.get(..end)?);
    place.exact.then_some(place.key?.span)
}
