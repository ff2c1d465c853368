//! Leaf operations, and the proof that they apply: a patch that does not apply is an error to the user even with `failurePolicy: Ignore` (H6).

use std::{borrow::Cow, fmt::Write as _};

use super::defaults::{Addition, PRE_STOP, Plan, STARTUP};
use crate::model::{Read, Reader, Record, Workload, at_pointer};

/// One RFC 6902 operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// `replace` where something stands, else `add`.
    pub replace: bool,
    /// RFC 6901 pointer.
    pub path: String,
    /// JSON text of the value.
    pub value: String,
}

/// The operations of a plan: one per number, probe or hook, then the record on the workload's own metadata (never on the template: it would change the pods' hash).
/// Empty when nothing changes; a record alone never causes a patch.
///
/// `object` is the workload's own JSON: a handler is copied from there, with the fields that nobody here knows. `None`: it is not this workload's.
pub fn operations(workload: &Workload<'_>, plan: &Plan, object: &str) -> Option<Vec<Operation>> {
    // Without metadata nothing can be recorded, and what is not recorded would look like the author's own later.
    if plan.is_empty() || !workload.has_metadata {
        return Some(Vec::new());
    }
    let mut operations: Vec<Operation> = plan
        .fills
        .iter()
        .map(|fill| Operation {
            replace: fill.present.is_some(),
            path: fill.pointer(workload),
            value: if fill.takes_away() { "null".to_owned() } else { fill.value.to_string() },
        })
        .collect();
    for addition in &plan.additions {
        operations.push(operation(workload, addition, object)?);
    }
    operations.extend(record_operation(workload, &plan.record));
    Some(operations)
}

/// What is taken away is replaced by `null`, which the API server reads as absent.
pub(crate) fn operation(workload: &Workload<'_>, addition: &Addition, object: &str) -> Option<Operation> {
    let at = |index: usize| workload.containers.get(index).map(|container| (container, workload.container_pointer(container)));
    Some(match addition {
        Addition::Startup { container, numbers, replace } => {
            let (container, pointer) = at(*container)?;
            let handler = container.liveness_probe.as_ref()?.handler()?.field();
            let copied = at_pointer(object, &format!("{pointer}/livenessProbe/{handler}"))?;
            let mut value = format!("{{\"{handler}\":{copied}");
            for (leaf, number) in numbers {
                let _ = write!(value, ",\"{}\":{number}", leaf.field());
            }
            value.push('}');
            Operation { replace: *replace, path: format!("{pointer}/{STARTUP}"), value }
        }
        Addition::PreStopSleep { container, seconds, replace } => {
            let (container, pointer) = at(*container)?;
            let hook = format!("{{\"sleep\":{{\"seconds\":{seconds}}}}}");
            if container.lifecycle.is_some() {
                Operation { replace: *replace, path: format!("{pointer}/{PRE_STOP}"), value: hook }
            } else {
                Operation { replace: false, path: format!("{pointer}/lifecycle"), value: format!("{{\"preStop\":{hook}}}") }
            }
        }
        Addition::TakenAway { container, part, place } => {
            let (_, pointer) = at(*container)?;
            let path = if place.is_empty() { format!("{pointer}/{part}") } else { format!("{pointer}/{part}/{place}") };
            Operation { replace: true, path, value: "null".to_owned() }
        }
    })
}

fn record_operation(workload: &Workload<'_>, record: &Record) -> Option<Operation> {
    let text = serde_json::Value::from(record.to_annotation()).to_string();
    let Some(annotations) = &workload.metadata.annotations else {
        let value = format!("{{\"{}\":{text}}}", Record::ANNOTATION);
        return Some(Operation { replace: false, path: "/metadata/annotations".to_owned(), value });
    };
    let present = annotations.filled.as_deref();
    // An empty record is written only over an old one that is wrong now.
    if present == Some(&*record.to_annotation()) || (record.is_empty() && present.is_none()) {
        return None;
    }
    Some(Operation {
        replace: present.is_some(),
        path: format!("/metadata/annotations/{}", escape(Record::ANNOTATION)),
        value: text,
    })
}

/// A key as a token of a JSON pointer.
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

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
pub fn applies(object: &str, operations: &[Operation]) -> bool {
    // Keys are compared as they stand in the object, so the pointers' escapes are undone once.
    let tokens: Vec<Vec<Cow<'_, str>>> = operations
        .iter()
        .map(|operation| {
            let path = if operation.replace {
                &*operation.path
            } else {
                operation.path.rsplit_once('/').map_or("", |(parent, _)| parent)
            };
            path.split('/').skip(1).map(unescape).collect()
        })
        .collect();
    let mut found = vec![Found::Missing; operations.len()];
    let wanted: Vec<_> = tokens.iter().enumerate().map(|(at, path)| (at, &path[..])).collect();
    if Reader::whole(object, |reader| follow(reader, &wanted, &mut found)).is_err() {
        return false;
    }
    operations.iter().zip(&found).all(|(operation, found)| match (operation.replace, found) {
        (true, found) => *found != Found::Missing,
        (false, found) => *found == Found::Object,
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Missing,
    Object,
    Other,
}

type Wanted<'p> = (usize, &'p [Cow<'p, str>]);

/// Walks down only those paths that somebody asked for; everything else is skipped.
fn follow(reader: &mut Reader<'_>, wanted: &[Wanted<'_>], found: &mut [Found]) -> Read<()> {
    let kind = reader.peek();
    let what = if kind == Some(b'{') { Found::Object } else { Found::Other };
    for (at, _) in wanted.iter().filter(|(_, path)| path.is_empty()) {
        found[*at] = what;
    }
    let mut step = |reader: &mut Reader<'_>, wanted: Vec<Wanted<'_>>| {
        if wanted.is_empty() { reader.skip() } else { follow(reader, &wanted, found) }
    };
    match kind {
        _ if wanted.iter().all(|(_, path)| path.is_empty()) => reader.skip(),
        Some(b'{') => reader.entries(|reader, key| step(reader, below(wanted, |token| *token == *key))),
        Some(b'[') => {
            let mut index = 0_usize;
            reader.items(|reader| {
                let wanted = below(wanted, |token| token.parse() == Ok(index));
                index += 1;
                step(reader, wanted)
            })
        }
        _ => reader.skip(),
    }
}

fn below<'p>(wanted: &[Wanted<'p>], matches: impl Fn(&str) -> bool) -> Vec<Wanted<'p>> {
    wanted
        .iter()
        .filter(|(_, path)| path.first().is_some_and(|token| matches(token)))
        .map(|(at, path)| (*at, &path[1..]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let operation = Operation { replace, path: path.to_owned(), value: "1".to_owned() };
            assert_eq!(applies(object, std::slice::from_ref(&operation)), expected, "{operation:?}");
            let document: json_patch::Patch = serde_json::from_str(&to_json(&[operation])).unwrap();
            let mut value = serde_json::from_str(object).unwrap();
            assert_eq!(json_patch::patch(&mut value, &document).is_ok(), expected, "json-patch disagrees about {path}");
        }
    }
}
