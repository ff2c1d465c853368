//! Leaf operations, and the proof that they apply: a patch that does not apply is an error to the user even with `failurePolicy: Ignore` (H6).

use std::{borrow::Cow, fmt::Write as _};

use super::defaults::{Addition, Fill, PRE_STOP, Plan, STARTUP};
use crate::model::{ProbeKind, Read, Reader, Record, Workload, at_pointer, quote};

/// One RFC 6902 operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// `replace` where something stands, else `add`.
    pub replace: bool,
    /// RFC 6901 pointer.
    pub path: String,
    /// JSON text of the value.
    pub value: String,
    /// What it changes.
    pub within: Within,
}

/// The part of an object that an operation changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Within {
    /// The workload's own annotations.
    Annotations,
    /// A container, by its index in [`Workload::containers`].
    Container(usize),
    /// A probe of such a container that is there.
    Probe(usize, ProbeKind),
}

/// The operations of a plan: one per number, probe or hook, then the record on the workload's own metadata (never on the template: it would change the pods' hash).
/// Empty when nothing changes; a record alone never causes a patch.
///
/// `record` is the text of the plan's record, which the caller needs as well. `object` is the workload's own JSON: a handler is copied from there, with the fields that nobody here knows. `None`: it is not this workload's.
pub fn operations(workload: &Workload<'_>, plan: &Plan, record: &str, object: &str) -> Option<Vec<Operation>> {
    // Without metadata nothing can be recorded, and what is not recorded would look like the author's own later.
    if plan.is_empty() || !workload.has_metadata {
        return Some(Vec::new());
    }
    let mut operations = Vec::with_capacity(plan.fills.len() + plan.additions.len() + 1);
    // The fills of a container stand together.
    for fills in plan.fills.chunk_by(|one, next| one.container == next.container) {
        let container = workload.container_pointer(workload.containers.get(fills.first()?.container)?);
        operations.extend(fills.iter().map(|fill| number(fill, &container)));
    }
    for addition in &plan.additions {
        operations.push(operation(workload, addition, object)?);
    }
    operations.extend(record_operation(workload, &plan.record, record));
    Some(operations)
}

fn number(fill: &Fill, container: &str) -> Operation {
    let path = [container, "/", fill.probe.field(), "/", fill.leaf.field()].concat();
    let value = if fill.takes_away() { "null".to_owned() } else { fill.value.to_string() };
    Operation { replace: fill.present.is_some(), path, value, within: Within::Probe(fill.container, fill.probe) }
}

/// What is taken away is replaced by `null`, which the API server reads as absent.
pub(crate) fn operation(workload: &Workload<'_>, addition: &Addition, object: &str) -> Option<Operation> {
    let (Addition::Startup { container: index, .. }
    | Addition::PreStopSleep { container: index, .. }
    | Addition::TakenAway { container: index, .. }) = addition;
    let container = workload.containers.get(*index)?;
    let pointer = workload.container_pointer(container);
    let (replace, place, value) = match addition {
        Addition::Startup { numbers, replace, .. } => {
            let handler = container.liveness_probe.as_ref()?.handler()?.field();
            let copied = at_pointer(object, &format!("{pointer}/livenessProbe/{handler}"))?;
            let mut value = format!("{{\"{handler}\":{copied}");
            for (leaf, number) in numbers {
                let _ = write!(value, ",\"{}\":{number}", leaf.field());
            }
            value.push('}');
            (*replace, STARTUP.to_owned(), value)
        }
        Addition::PreStopSleep { seconds, replace, .. } => {
            let hook = format!("{{\"sleep\":{{\"seconds\":{seconds}}}}}");
            if container.lifecycle.is_some() {
                (*replace, PRE_STOP.to_owned(), hook)
            } else {
                (false, "lifecycle".to_owned(), format!("{{\"preStop\":{hook}}}"))
            }
        }
        Addition::TakenAway { part, place: "", .. } => (true, (*part).to_owned(), "null".to_owned()),
        Addition::TakenAway { part, place, .. } => (true, format!("{part}/{place}"), "null".to_owned()),
    };
    Some(Operation { replace, path: format!("{pointer}/{place}"), value, within: Within::Container(*index) })
}

fn record_operation(workload: &Workload<'_>, record: &Record, text: &str) -> Option<Operation> {
    // The record is JSON itself, with a quote every ten bytes.
    let mut value = String::with_capacity(text.len() * 3 / 2 + 64);
    let Some(annotations) = &workload.metadata.annotations else {
        let _ = write!(value, "{{\"{}\":", Record::ANNOTATION);
        quote(text, &mut value);
        value.push('}');
        return Some(Operation { replace: false, path: ANNOTATIONS.to_owned(), value, within: Within::Annotations });
    };
    let present = annotations.filled.as_deref();
    // An empty record is written only over an old one that is wrong now.
    if present == Some(text) || (record.is_empty() && present.is_none()) {
        return None;
    }
    quote(text, &mut value);
    Some(Operation { replace: present.is_some(), path: RECORD.to_owned(), value, within: Within::Annotations })
}

const ANNOTATIONS: &str = "/metadata/annotations";

/// JSON pointer of [`Record::ANNOTATION`].
const RECORD: &str = "/metadata/annotations/probekeeper.dev~1filled";

/// A token of a JSON pointer as a key.
fn unescape(token: &str) -> Cow<'_, str> {
    if token.contains('~') { token.replace("~1", "/").replace("~0", "~").into() } else { token.into() }
}

/// The RFC 6902 document.
pub fn to_json(operations: &[Operation]) -> String {
    let mut json = String::with_capacity(operations.len() * 96 + 2);
    json.push('[');
    for (at, operation) in operations.iter().enumerate() {
        if at > 0 {
            json.push(',');
        }
        json.push_str(if operation.replace { r#"{"op":"replace","path":""# } else { r#"{"op":"add","path":""# });
        // Pointers are field names, indices and our own key: nothing in them needs escaping in JSON.
        json.push_str(&operation.path);
        json.push_str(r#"","value":"#);
        json.push_str(&operation.value);
        json.push('}');
    }
    json.push(']');
    json
}

/// Whether every operation applies to the object's own bytes: the parent of each added member is an object, the target of each replacement exists.
///
/// What our reader has read it has found whole and at its place, so of such a part only its own text is walked.
pub fn applies(workload: &Workload<'_>, object: &str, operations: &[Operation]) -> bool {
    let mut places = Places(Vec::with_capacity(16));
    // The operations of a container stand together, and so do those of a probe.
    operations.chunk_by(|one, next| one.within.container() == next.within.container()).all(|operations| {
        let container = operations.first().and_then(|operation| workload.containers.get(operation.within.container()?));
        let pointer = container.map_or(Cow::Borrowed(ANNOTATIONS), |container| workload.container_pointer(container).into());
        operations.chunk_by(|one, next| one.within == next.within).all(|operations| {
            let Some(Operation { within, .. }) = operations.first() else { return true };
            match within.text(workload) {
                "" => places.ask_for(operations, Some) && places.are_in(object),
                text => {
                    places.ask_for(operations, |path| within.below(path.strip_prefix(&*pointer)?)) && places.are_in_part(text)
                }
            }
        })
    })
}

impl Within {
    const fn container(self) -> Option<usize> {
        match self {
            Self::Annotations => None,
            Self::Container(at) | Self::Probe(at, _) => Some(at),
        }
    }

    /// The part's text; empty where our reader did not read it.
    fn text<'w>(self, workload: &Workload<'w>) -> &'w str {
        let container = self.container().and_then(|at| workload.containers.get(at));
        let text = match self {
            Self::Annotations => workload.metadata.annotations.as_ref().map(|annotations| annotations.text),
            Self::Container(_) => container.map(|container| container.text),
            Self::Probe(_, kind) => container.and_then(|container| container.probe(kind)).map(|probe| probe.text),
        };
        text.map_or("", |text| text.0)
    }

    /// The rest of a pointer that leads into the part from its container, or from the annotations.
    fn below(self, pointer: &str) -> Option<&str> {
        match self {
            Self::Probe(_, kind) => pointer.strip_prefix('/')?.strip_prefix(kind.field()),
            Self::Annotations | Self::Container(_) => Some(pointer),
        }
    }
}

/// The places that operations ask for, as a tree: what they have in common is walked once. The first is the object itself.
#[derive(Debug, Default)]
struct Places<'p>(Vec<Place<'p>>);

/// A place in the object. 0 is no place: nothing leads to the object itself.
#[derive(Debug)]
struct Place<'p> {
    key: Cow<'p, str>,
    /// The key as an index of a list.
    index: Option<usize>,
    /// The place that was put below this one last.
    below: usize,
    /// The one that was put beside it before it.
    beside: usize,
    /// Something must stand there.
    needed: bool,
    /// It must be an object.
    object_needed: bool,
    found: Found,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Missing,
    Object,
    Other,
}

impl<'p> Place<'p> {
    fn new(key: Cow<'p, str>, beside: usize) -> Self {
        let index = if key.starts_with(|first: char| first.is_ascii_digit()) { key.parse().ok() } else { None };
        Self { key, index, below: 0, beside, needed: false, object_needed: false, found: Found::Missing }
    }

    fn is_as_needed(&self) -> bool {
        match self.found {
            Found::Missing => !self.needed && !self.object_needed,
            Found::Object => true,
            Found::Other => !self.object_needed,
        }
    }
}

impl<'p> Places<'p> {
    /// Takes the places of these operations in the place of those before; `below` gives the rest of a pointer that leads into the text that is walked.
    /// False: one of them leads elsewhere.
    fn ask_for(&mut self, operations: &'p [Operation], below: impl Fn(&'p str) -> Option<&'p str>) -> bool {
        self.0.clear();
        self.0.push(Place::new("".into(), 0));
        operations.iter().all(|operation| {
            let path = below(&operation.path).filter(|path| path.starts_with('/'));
            let place =
                if operation.replace { path } else { path.and_then(|path| path.rsplit_once('/')).map(|(parent, _)| parent) };
            let Some(place) = place else { return false };
            let at = place.split('/').skip(1).fold(0, |at, token| self.below(at, token));
            self.0[at].needed |= operation.replace;
            self.0[at].object_needed |= !operation.replace;
            true
        })
    }

    /// The place of a pointer's token below another place, which is put there if it is new.
    fn below(&mut self, at: usize, token: &'p str) -> usize {
        let key = unescape(token);
        let known = self.find(at, |place| place.key == key);
        if known != 0 {
            return known;
        }
        let new = self.0.len();
        self.0.push(Place::new(key, self.0[at].below));
        self.0[at].below = new;
        new
    }

    fn find(&self, at: usize, is: impl Fn(&Place<'_>) -> bool) -> usize {
        let mut next = self.0[at].below;
        while next != 0 && !is(&self.0[next]) {
            next = self.0[next].beside;
        }
        next
    }

    /// Whether they are in a whole text as they are needed.
    fn are_in(&mut self, text: &str) -> bool {
        Reader::whole(text, |reader| self.follow(reader, 0)).is_ok() && self.0.iter().all(Place::is_as_needed)
    }

    /// The same for the text of a part that has been read: where it is only asked what it is, it is not read again.
    fn are_in_part(&mut self, text: &str) -> bool {
        if self.0[0].below != 0 {
            return self.are_in(text);
        }
        self.0[0].found = if text.starts_with('{') { Found::Object } else { Found::Other };
        self.0[0].is_as_needed()
    }

    /// Walks down only to those places that somebody asked for; everything else is skipped.
    fn follow(&mut self, reader: &mut Reader<'_>, at: usize) -> Read<()> {
        let kind = reader.peek();
        self.0[at].found = if kind == Some(b'{') { Found::Object } else { Found::Other };
        if self.0[at].below == 0 {
            return reader.skip();
        }
        match kind {
            Some(b'{') => reader.entries(|reader, key| {
                let place = self.find(at, |place| *place.key == *key);
                if place == 0 { reader.skip() } else { self.follow(reader, place) }
            }),
            Some(b'[') => {
                let mut index = 0_usize;
                reader.items(|reader| {
                    let place = self.find(at, |place| place.index == Some(index));
                    index += 1;
                    if place == 0 { reader.skip() } else { self.follow(reader, place) }
                })
            }
            _ => reader.skip(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply_to(object: &str, operations: &[Operation]) -> bool {
        let mut places = Places::default();
        places.ask_for(operations, Some) && places.are_in(object)
    }

    #[test]
    fn says_whether_each_operation_applies() {
        let object = r#"{"a":{"b":[{"c":1},{"c":null}]},"d/e":{},"n":null}"#;
        let cases = [
            (false, "/a/x", true),
            (true, "/a/b/0/c", true),
            (true, "/a/b/1/c", true),
            (true, "/a/b/2/c", false),
            (false, "/a/b/1/x", true),
            (false, "/a/b/2/x", false),
            (false, "/a/b/0/c/x", false),
            (true, "/a/x", false),
            (false, "/d~1e/x", true),
            (false, "/n/x", false),
            (false, "/missing/x", false),
        ];
        for (replace, path, expected) in cases {
            let operation = Operation { replace, path: path.to_owned(), value: "1".to_owned(), within: Within::Annotations };
            assert_eq!(apply_to(object, std::slice::from_ref(&operation)), expected, "{operation:?}");
            let document: json_patch::Patch = serde_json::from_str(&to_json(&[operation])).unwrap();
            let mut value = serde_json::from_str(object).unwrap();
            assert_eq!(json_patch::patch(&mut value, &document).is_ok(), expected, "json-patch disagrees about {path}");
        }
    }

    /// Operations together need what each of them needs, where their places meet and where they lie within one another.
    #[test]
    fn operations_apply_together_if_each_does() {
        let object = r#"{"a":{"b":[{"c":1},{"c":null},3]},"d/e":{"~":{}},"0":{"1":2},"n":null}"#;
        let paths = [
            "/a",
            "/a/x",
            "/a/b",
            "/a/b/0",
            "/a/b/0/c",
            "/a/b/0/x",
            "/a/b/1/c",
            "/a/b/2",
            "/a/b/2/x",
            "/a/b/3",
            "/a/b/c",
            "/d~1e",
            "/d~1e/~0",
            "/d~1e/~0/x",
            "/0/1",
            "/0/2",
            "/n",
            "/n/x",
            "/x",
            "/x/y",
        ];
        let all = || paths.iter().flat_map(|path| [false, true].map(|replace| (replace, (*path).to_owned())));
        let one =
            |(replace, path): (bool, String)| Operation { replace, path, value: "1".to_owned(), within: Within::Annotations };
        let all: Vec<Operation> = all().map(one).collect();
        let alone = |operation: &Operation| apply_to(object, std::slice::from_ref(operation));
        assert!(all.iter().any(alone) && !all.iter().all(alone));
        for first in &all {
            for second in &all {
                for third in [first, &all[7], &all[all.len() / 2]] {
                    let operations = [first.clone(), second.clone(), third.clone()];
                    assert_eq!(apply_to(object, &operations), operations.iter().all(alone), "{operations:?}");
                }
            }
        }
        let applicable: Vec<Operation> = all.iter().filter(|operation| alone(operation)).cloned().collect();
        assert!(apply_to(object, &applicable));
        for operation in &all {
            let value: serde_json::Value = serde_json::from_str(object).unwrap();
            let expected = if operation.replace {
                value.pointer(&operation.path).is_some()
            } else {
                let parent = operation.path.rsplit_once('/').unwrap().0;
                value.pointer(parent).is_some_and(serde_json::Value::is_object)
            };
            assert_eq!(alone(operation), expected, "{operation:?}");
        }
    }

    #[test]
    fn the_text_of_an_object_must_be_whole() {
        let operation = Operation { replace: false, path: "/a/b".to_owned(), value: "1".to_owned(), within: Within::Annotations };
        assert!(apply_to(r#"{"a":{}}"#, std::slice::from_ref(&operation)));
        for object in [r#"{"a":{}"#, r#"{"a":{}}}"#, r#"{"a":{},}"#, "", "{", "[]", "null"] {
            assert!(!apply_to(object, std::slice::from_ref(&operation)), "{object}");
        }
    }

    /// What was read is proved by its own text, and what was not by all of the object's. A pointer elsewhere than in what was read is no proof.
    #[test]
    fn the_text_of_a_part_proves_what_is_in_it() {
        let object = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"annotations":{"a":"b"}},"spec":{"containers":[{"name":"a"},{"name":"b","livenessProbe":{"periodSeconds":5}}]}}"#;
        let plain = Workload::from_json(object).unwrap().unwrap();
        assert!(plain.containers.iter().all(|container| !container.text.0.is_empty()));
        // An escaped key is read by serde_json.
        let escaped = object.replace("\"name\"", "\"n\\u0061me\"");
        let strange = Workload::from_json(&escaped).unwrap().unwrap();
        assert!(strange.containers.iter().all(|container| container.text.0.is_empty()));
        let (first, second) = (Within::Container(0), Within::Container(1));
        let probe = Within::Probe(1, ProbeKind::Liveness);
        for (within, replace, path, expected) in [
            (second, true, "/spec/containers/1/livenessProbe/periodSeconds", true),
            (second, false, "/spec/containers/1/livenessProbe/timeoutSeconds", true),
            (second, true, "/spec/containers/1/livenessProbe/timeoutSeconds", false),
            (second, false, "/spec/containers/1/lifecycle/preStop", false),
            (first, false, "/spec/containers/0/livenessProbe/timeoutSeconds", false),
            (probe, true, "/spec/containers/1/livenessProbe/periodSeconds", true),
            (probe, false, "/spec/containers/1/livenessProbe/timeoutSeconds", true),
            (probe, true, "/spec/containers/1/livenessProbe/timeoutSeconds", false),
            (probe, false, "/spec/containers/1/livenessProbe/httpGet/port", false),
            (Within::Annotations, false, RECORD, true),
            (Within::Annotations, true, RECORD, false),
        ] {
            let operation = Operation { replace, path: path.to_owned(), value: "1".to_owned(), within };
            for (workload, object) in [(&plain, object), (&strange, &*escaped)] {
                assert_eq!(applies(workload, object, std::slice::from_ref(&operation)), expected, "{operation:?} {object}");
            }
        }
        for (path, within) in [
            ("/spec/containers/0/livenessProbe/periodSeconds", second),
            ("/spec/containers/10/livenessProbe/periodSeconds", second),
            ("/spec/containers/1/readinessProbe/periodSeconds", probe),
            ("/metadata/labels/a", Within::Annotations),
        ] {
            for replace in [true, false] {
                let elsewhere = Operation { replace, path: path.to_owned(), value: "1".to_owned(), within };
                assert!(!applies(&plain, object, &[elsewhere]), "{path}");
            }
        }
    }

    #[test]
    fn the_record_has_its_place() {
        assert_eq!(
            RECORD.rsplit_once('/').map(|(place, token)| (place, unescape(token))),
            Some((ANNOTATIONS, Record::ANNOTATION.into()))
        );
    }
}
