//! The files of a run as one set: each is parsed once, what relates its objects to others is taken out, and only what will be judged is kept.

use std::sync::Arc;

use super::judge::Origin;
use super::report::{Failure, FileReport};
use super::source::Input;
use crate::graph::{Fact, Graph, Member, holds_facts};
use crate::model::{Kinds, Workload};
use crate::yaml::{self, Duplicate, Node};

/// A file between parsing and judging.
pub(super) struct File<'t> {
    pub(super) name: Arc<str>,
    pub(super) text: &'t str,
    /// Number and content of the documents that hold a workload, [thinned](BULK). The others are no longer needed.
    pub(super) documents: Vec<(usize, Node<'t>)>,
    /// Each object of `documents` that [may be a workload](Object::may_be_workload), in their order.
    pub(super) candidates: Vec<Candidate>,
    facts: Vec<Fact>,
    /// What was found before anything was judged.
    before: FileReport,
}

/// An object that may be a workload.
pub(super) struct Candidate {
    /// The whole object.
    pub(super) json: Box<str>,
    /// Its place among the file's members of the graph, if it is one.
    pub(super) member: Option<usize>,
}

/// What takes most of the room in workloads, and where no finding points: between parsing and judging the trees of all files are held at once.
const BULK: [&str; 13] = [
    "affinity",
    "args",
    "env",
    "envFrom",
    "labels",
    "managedFields",
    "resources",
    "securityContext",
    "status",
    "tolerations",
    "volumeClaimTemplates",
    "volumeMounts",
    "volumes",
];

/// An object in a document.
pub(super) struct Object<'o, 't> {
    pub(super) node: &'o Node<'t>,
    /// JSON pointer from the document's root to it.
    pub(super) prefix: &'o str,
    pub(super) origin: Origin,
    api_version: &'o str,
    kind: &'o str,
}

impl Object<'_, '_> {
    pub(super) fn may_be_workload(&self, kinds: &Kinds) -> bool {
        kinds.contains(self.api_version, self.kind)
    }
}

impl<'t> File<'t> {
    /// Reads the documents of a text. Templates are skipped where nobody asked for this very file.
    pub(super) fn parse(input: &Input, text: Result<&'t str, &Failure>, kinds: &Kinds) -> Self {
        let name: Arc<str> = Arc::from(input.name());
        let mut file =
            Self { name, text: "", documents: Vec::new(), candidates: Vec::new(), facts: Vec::new(), before: FileReport::new() };
        match text {
            Err(failure) => file.before = FileReport::failed(failure.clone()),
            Ok(text) => {
                file.text = text;
                file.read(matches!(input, Input::Found(_)), kinds);
            }
        }
        file
    }

    fn read(&mut self, found: bool, kinds: &Kinds) {
        let mut json = String::new();
        for (index, document) in yaml::parse(self.text).into_iter().enumerate() {
            self.before.warnings.extend(document.duplicates.iter().map(|duplicate| {
                let Duplicate { key, first, last } = duplicate;
                let message =
                    format!("warning: key `{key}` is given again, and the one on line {} no longer counts", first.start.line);
                Failure::at(&self.name, last.start.line, last.start.column, message)
            }));
            match document.root {
                Ok(mut root) => {
                    let before = self.candidates.len();
                    objects(&root, Origin::File, &mut |object| self.take(&object, kinds, &mut json));
                    if self.candidates.len() > before {
                        root.thin(&BULK);
                        self.documents.push((index, root));
                    }
                }
                Err(error) if found && error.template => {
                    self.before.summary.skipped += 1;
                    self.before.summary.templates += 1;
                }
                Err(error) => self.before.errors.push(Failure::at(&self.name, error.line, error.column, error.message)),
            }
        }
    }

    /// Takes out of an object what bears on others. What cannot be read gives nothing here; judging says so where it matters.
    fn take(&mut self, object: &Object<'_, '_>, kinds: &Kinds, json: &mut String) {
        json.clear();
        if object.may_be_workload(kinds) {
            object.node.to_json(json);
            let member = Workload::read(json, kinds).ok().flatten().as_ref().and_then(Member::of);
            let place = self.facts.iter().filter(|fact| matches!(fact, Fact::Member(_))).count();
            self.candidates.push(Candidate { json: json.as_str().into(), member: member.is_some().then_some(place) });
            self.facts.extend(member.map(Fact::Member));
            return;
        }
        self.before.summary.ignored += 1;
        if holds_facts(object.api_version, object.kind) {
            object.node.to_json(json);
            self.facts.extend(Fact::from_json(object.api_version, object.kind, json));
        }
    }

    /// Shows each object that may be a workload, in the order of the text: number and root of its document, the object, and what was kept of it. `kinds` are
    /// those that the file was parsed with.
    pub(super) fn each(&self, kinds: &Kinds, mut see: impl FnMut(usize, &Node<'t>, &Object<'_, 't>, &Candidate)) {
        let mut candidates = self.candidates.iter();
        for (document, root) in &self.documents {
            objects(root, Origin::File, &mut |object| {
                if let Some(candidate) = object.may_be_workload(kinds).then(|| candidates.next()).flatten() {
                    see(*document, root, &object, candidate);
                }
            });
        }
    }

    /// The whole report of the file: what parsing found and what judging found.
    pub(super) fn report(&self, judged: FileReport) -> FileReport {
        let mut report = judged;
        report.errors.extend(self.before.errors.iter().cloned());
        // Of one line, parsing speaks first: it never has two.
        report.errors.sort_by_key(|error| (error.line, error.column));
        report.warnings.extend(self.before.warnings.iter().cloned());
        report.summary.add(self.before.summary);
        report.counted()
    }
}

/// The graph of all files, and for each file the place of its first member in it.
pub(super) fn relate(files: &mut [File<'_>]) -> (Graph, Vec<usize>) {
    let mut members = 0;
    let mut firsts = Vec::with_capacity(files.len());
    let mut facts = Vec::new();
    for file in files {
        firsts.push(members);
        members += file.facts.iter().filter(|fact| matches!(fact, Fact::Member(_))).count();
        facts.append(&mut file.facts);
    }
    (Graph::new(facts), firsts)
}

/// Lists hold lists only in tests.
const MAX_WRAPS: usize = 4;

/// Shows every object of a document, those in lists and recorded reviews too, in the order of the text.
pub(super) fn objects<'o, 't>(root: &'o Node<'t>, origin: Origin, see: &mut impl FnMut(Object<'_, 't>)) {
    unwrap(root, "", origin, 0, see);
}

fn unwrap<'t>(node: &Node<'t>, prefix: &str, origin: Origin, wraps: usize, see: &mut impl FnMut(Object<'_, 't>)) {
    let kind = node.get("kind").and_then(Node::as_str).unwrap_or_default();
    if kind == "AdmissionReview" && wraps < MAX_WRAPS {
        let create = node.pointer("/request/operation").and_then(Node::as_str) == Some("CREATE");
        if let Some(object) = node.pointer("/request/object").filter(|object| !object.is_null()) {
            unwrap(object, &format!("{prefix}/request/object"), Origin::Review { create }, wraps + 1, see);
        }
        return;
    }
    if let (true, Some(items)) = (kind.ends_with("List") && wraps < MAX_WRAPS, node.get("items").and_then(Node::as_seq)) {
        for (index, item) in items.iter().enumerate() {
            unwrap(item, &format!("{prefix}/items/{index}"), origin, wraps + 1, see);
        }
        return;
    }
    let api_version = node.get("apiVersion").and_then(Node::as_str).unwrap_or_default();
    see(Object { node, prefix, origin, api_version, kind });
}
