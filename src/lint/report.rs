//! What a run found, independent of how it is shown.

use std::sync::Arc;

use serde::Serialize;

use crate::engine::ExemptedBy;
use crate::model::Course;
use crate::policy::Action;
use crate::rules::Finding;
use crate::yaml::{Span, edit::Placed};

/// What a run found, in the order of files, documents, containers, probes and rules.
#[derive(Debug, Default)]
pub struct Report {
    /// What is wrong.
    pub findings: Vec<Found>,
    /// What would be wrong, but is right there.
    pub exempted: Vec<Allowed>,
    /// What the webhook would fill in.
    pub filled: Vec<Filled>,
    /// What was judged; only where the judge was asked for courses.
    pub workloads: Vec<Seen>,
    /// What could not be read.
    pub errors: Vec<Failure>,
    /// What can be read in more than one way.
    pub warnings: Vec<Failure>,
    /// Totals.
    pub summary: Summary,
}

impl Report {
    /// Leaves out findings that are less severe than asked for. The summary still counts them.
    pub fn retain(&mut self, least: Action) {
        self.findings.retain(|found| found.finding.action >= least);
    }

    pub(super) fn add(&mut self, file: FileReport) {
        let FileReport { findings, exempted, filled, workloads, errors, warnings, summary, fills: _, proposals: _ } = file;
        self.findings.extend(findings);
        self.exempted.extend(exempted);
        self.filled.extend(filled);
        self.workloads.extend(workloads);
        self.errors.extend(errors);
        self.warnings.extend(warnings);
        self.summary.add(summary);
    }
}

/// The part of a report that concerns one file.
#[derive(Debug, Default)]
pub(super) struct FileReport {
    pub(super) findings: Vec<Found>,
    pub(super) exempted: Vec<Allowed>,
    pub(super) filled: Vec<Filled>,
    pub(super) workloads: Vec<Seen>,
    pub(super) errors: Vec<Failure>,
    pub(super) warnings: Vec<Failure>,
    pub(super) summary: Summary,
    /// What the webhook would fill in, as changes of the file.
    pub(super) fills: Vec<Placed>,
    /// What could be written better, whatever the rules say.
    pub(super) proposals: Vec<Placed>,
}

impl FileReport {
    pub(super) fn new() -> Self {
        Self { summary: Summary { files: 1, ..Summary::default() }, ..Self::default() }
    }

    pub(super) fn failed(failure: Failure) -> Self {
        Self { errors: vec![failure], ..Self::new() }
    }

    /// Counts what was found, once all of it is there.
    pub(super) fn counted(mut self) -> Self {
        for found in &self.findings {
            match found.finding.action {
                Action::Deny => self.summary.deny += 1,
                Action::Warn => self.summary.warn += 1,
                Action::Audit => self.summary.audit += 1,
                Action::Off => {}
            }
        }
        self.summary.exempted += self.exempted.len();
        self
    }
}

/// A finding and where it is in the file.
#[derive(Debug)]
pub struct Found {
    /// Path as given, or found in a folder that was given; `-` for standard input.
    pub file: Arc<str>,
    /// Counted from 0; empty documents are not counted.
    pub document: usize,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// The lines around it.
    pub excerpt: Excerpt,
    /// Which object.
    pub object: Arc<ObjectRef>,
    /// RFC 6901 pointer from the document's root.
    pub pointer: String,
    /// What is wrong; its own pointer starts at the object.
    pub finding: Finding,
}

impl Found {
    /// Pointer from the document's root to the object.
    pub(super) fn prefix(&self) -> &str {
        self.pointer.strip_suffix(&*self.finding.pointer).unwrap_or_default()
    }
}

/// A finding that is right there.
#[derive(Debug)]
pub struct Allowed {
    /// What the rule says.
    pub found: Found,
    /// Why it is right.
    pub reason: String,
    /// Who says so.
    pub by: ExemptedBy,
}

/// A few lines of a file, and what to underline in them, as byte ranges of `text`.
#[derive(Debug)]
pub struct Excerpt {
    /// Whole lines.
    pub text: String,
    /// The line of the file that `text` begins with.
    pub first_line: usize,
    /// The place at fault.
    pub primary: std::ops::Range<usize>,
    /// The key of the probe it belongs to, where that is another line.
    pub context: Option<std::ops::Range<usize>>,
}

impl Excerpt {
    /// A probe has fewer lines than this; beyond it the excerpt would not explain anything.
    const MAX_LINES: usize = 40;

    /// The place alone, where it stands in its line: what stands around it is secret.
    pub(super) fn only(text: &str, span: Span) -> Self {
        let text = text.get(span.start.offset..span.end.offset).unwrap_or_default();
        let before = span.start.column.saturating_sub(1);
        let text = " ".repeat(before) + text.lines().next().unwrap_or_default();
        Self { first_line: span.start.line, primary: before..text.len(), context: None, text }
    }

    pub(super) fn cut(text: &str, span: Span, context: Option<Span>) -> Self {
        let context = context
            .filter(|context| context.start.line < span.start.line && span.start.line - context.start.line <= Self::MAX_LINES);
        let first = context.map_or(span.start, |context| context.start);
        let start = text.get(..first.offset).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
        let rest = text.get(span.start.offset..).unwrap_or_default();
        let line_end = span.start.offset + rest.find(['\n', '\r']).unwrap_or(rest.len());
        let within =
            |span: Span, limit: usize| span.start.offset - start..span.end.offset.clamp(span.start.offset, limit) - start;
        Self {
            text: text.get(start..line_end).unwrap_or_default().to_owned(),
            first_line: first.line,
            primary: within(span, line_end),
            context: context.map(|context| within(context, line_end)),
        }
    }
}

/// A value that the webhook would fill in.
#[derive(Debug)]
pub struct Filled {
    /// As in [`Found`].
    pub file: Arc<str>,
    /// As in [`Found`].
    pub document: usize,
    /// As in [`Found`].
    pub object: Arc<ObjectRef>,
    /// RFC 6901 pointer from the document's root.
    pub pointer: String,
    /// The value.
    pub value: i64,
}

/// A workload that was judged.
#[derive(Debug)]
pub struct Seen {
    /// As in [`Found`].
    pub file: Arc<str>,
    /// As in [`Found`].
    pub document: usize,
    /// Where it begins, counted from 1.
    pub line: usize,
    /// As in [`Found`].
    pub object: Arc<ObjectRef>,
    /// One for each container that may have probes.
    pub courses: Vec<Course>,
}

/// Which object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// As written.
    pub api_version: String,
    /// As written.
    pub kind: String,
    /// Absent where the file says none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name, or prefix of a generated one.
    pub name: String,
}

impl std::fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// Something that could not be read, or not for certain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// As in [`Found`].
    pub file: String,
    /// Absent where the file could not be opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// Present with `line`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<usize>,
    /// What is wrong and what to do.
    pub message: String,
}

impl Failure {
    pub(super) fn of(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self { file: file.into(), line: None, column: None, message: message.into() }
    }

    pub(super) fn at(file: &str, line: usize, column: usize, message: String) -> Self {
        Self { file: file.to_owned(), line: Some(line), column: Some(column), message }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:", self.file)?;
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, "{line}:{column}:")?;
        }
        write!(f, " {}", self.message)
    }
}

/// Totals of a run.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Files that were looked at, readable or not.
    pub files: usize,
    /// Objects that were judged.
    pub workloads: usize,
    /// Objects without a pod template.
    pub ignored: usize,
    /// Incomplete objects (kustomize patches) and templates, which nobody can judge before they are rendered.
    pub skipped: usize,
    /// The templates among `skipped`.
    #[serde(skip)]
    pub templates: usize,
    /// Findings that reject.
    pub deny: usize,
    /// Findings that warn.
    pub warn: usize,
    /// Findings that are only reported.
    pub audit: usize,
    /// Findings that an exemption covers.
    pub exempted: usize,
    /// Findings that a baseline knows; absent without one. They are not among the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known: Option<usize>,
}

impl Summary {
    pub(super) fn add(&mut self, other: Self) {
        let Self { files, workloads, ignored, skipped, templates, deny, warn, audit, exempted, known } = other;
        self.files += files;
        self.workloads += workloads;
        self.ignored += ignored;
        self.skipped += skipped;
        self.templates += templates;
        self.deny += deny;
        self.warn += warn;
        self.audit += audit;
        self.exempted += exempted;
        self.known = self.known.or(known);
    }
}
