//! The record annotation `probekeeper.dev/filled`: which leaves are ours, and with which value.

use std::{borrow::Cow, collections::BTreeMap, fmt::Write as _};

use serde::Deserialize;

use super::{Leaf, ProbeKind, quote};

/// Marks a probe that was filled in as a whole, beside its numbers.
const ADDED: &str = "added";
/// Stands beside the probes of a container.
const PRE_STOP: &str = "preStop";
const SLEEP_SECONDS: &str = "sleepSeconds";

/// What was filled in: container name, probe field, leaf field, value. Sorted, so that the same fills give the same bytes.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Record(BTreeMap<String, BTreeMap<Name, BTreeMap<Name, i64>>>);

/// Names that we record are known; those in an annotation may be any.
type Name = Cow<'static, str>;

impl Record {
    /// The annotation key.
    pub const ANNOTATION: &str = "probekeeper.dev/filled";

    /// Reads an annotation. One that is not ours (or was edited into something else) records nothing.
    pub fn parse(annotation: &str) -> Self {
        serde_json::from_str(annotation).unwrap_or_default()
    }

    /// The recorded value of a leaf.
    pub fn get(&self, container: &str, probe: ProbeKind, leaf: Leaf) -> Option<i64> {
        self.entry(container, probe.field(), leaf.field())
    }

    /// Records a leaf.
    pub fn insert(&mut self, container: &str, probe: ProbeKind, leaf: Leaf, value: i64) {
        self.insert_entry(container, probe.field().into(), leaf.field().into(), value);
    }

    /// Whether the container's startup probe as a whole was filled in.
    pub fn added_startup(&self, container: &str) -> bool {
        self.entry(container, ProbeKind::Startup.field(), ADDED).is_some()
    }

    /// Records that the container's startup probe as a whole was filled in.
    pub fn insert_startup(&mut self, container: &str) {
        self.insert_entry(container, ProbeKind::Startup.field().into(), ADDED.into(), 1);
    }

    /// The recorded seconds of a preStop sleep.
    pub fn pre_stop_sleep(&self, container: &str) -> Option<i64> {
        self.entry(container, PRE_STOP, SLEEP_SECONDS)
    }

    /// Records the seconds of a preStop sleep.
    pub fn insert_pre_stop_sleep(&mut self, container: &str, seconds: i64) {
        self.insert_entry(container, PRE_STOP.into(), SLEEP_SECONDS.into(), seconds);
    }

    /// Records everything that another record holds.
    pub fn absorb(&mut self, other: &Self) {
        for (container, parts) in &other.0 {
            for (part, entries) in parts {
                for (name, value) in entries {
                    self.insert_entry(container, part.clone(), name.clone(), *value);
                }
            }
        }
    }

    /// What is recorded of a container now counts for one of another name.
    pub fn rename(&mut self, container: &str, name: &str) {
        if let Some(parts) = self.0.remove(container) {
            self.0.insert(name.to_owned(), parts);
        }
    }

    /// No longer records that the container's startup probe was filled in.
    pub fn forget_startup(&mut self, container: &str) {
        if let Some(parts) = self.0.get_mut(container) {
            parts.remove(ProbeKind::Startup.field());
        }
    }

    fn entry(&self, container: &str, part: &str, name: &str) -> Option<i64> {
        self.0.get(container)?.get(part)?.get(name).copied()
    }

    fn insert_entry(&mut self, container: &str, part: Name, name: Name, value: i64) {
        let parts = match self.0.get_mut(container) {
            Some(parts) => parts,
            None => self.0.entry(container.to_owned()).or_default(),
        };
        parts.entry(part).or_default().insert(name, value);
    }

    /// Whether nothing is recorded.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Compact JSON: the annotation's value.
    pub fn to_annotation(&self) -> String {
        let numbers: usize = self.0.values().flat_map(BTreeMap::values).map(BTreeMap::len).sum();
        let mut json = String::with_capacity(numbers * 40 + self.0.len() * 40 + 2);
        write_object(&mut json, &self.0, |json, parts| {
            write_object(json, parts, |json, entries| {
                write_object(json, entries, |json, value| {
                    let _ = write!(json, "{value}");
                });
            });
        });
        json
    }
}

fn write_object<K: AsRef<str>, V>(json: &mut String, members: &BTreeMap<K, V>, mut write_value: impl FnMut(&mut String, &V)) {
    json.push('{');
    for (at, (key, value)) in members.iter().enumerate() {
        if at > 0 {
            json.push(',');
        }
        quote(key.as_ref(), json);
        json.push(':');
        write_value(json, value);
    }
    json.push('}');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_annotation_is_what_serde_json_would_write(
            record in prop::collection::btree_map(
                "[ab\"\\\\\u{e9}\n\u{1}\u{7f}-]{0,4}",
                prop::collection::btree_map("[ab\"]{0,2}", prop::collection::btree_map("[ab\"/]{0,2}", any::<i64>(), 0..3), 0..3),
                0..3,
            ),
        ) {
            let text = serde_json::to_string(&record).unwrap();
            let read = Record::parse(&text);
            prop_assert_eq!(read.to_annotation(), text);
            prop_assert_eq!(read.is_empty(), record.is_empty());
        }
    }
}
