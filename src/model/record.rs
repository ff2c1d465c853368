//! The record annotation `probekeeper.dev/filled`: which leaves are ours, and with which value.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Leaf, ProbeKind};

/// What was filled in: container name, probe field, leaf field, value. Sorted, so that the same fills give the same bytes.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Record(BTreeMap<String, BTreeMap<String, BTreeMap<String, i64>>>);

impl Record {
    /// The annotation key.
    pub const ANNOTATION: &str = "probekeeper.dev/filled";

    /// Reads an annotation. One that is not ours (or was edited into something else) records nothing.
    pub fn parse(annotation: &str) -> Self {
        serde_json::from_str(annotation).unwrap_or_default()
    }

    /// The recorded value of a leaf.
    pub fn get(&self, container: &str, probe: ProbeKind, leaf: Leaf) -> Option<i64> {
        self.0.get(container)?.get(probe.field())?.get(leaf.field()).copied()
    }

    /// Records a leaf.
    pub fn insert(&mut self, container: &str, probe: ProbeKind, leaf: Leaf, value: i64) {
        self.0
            .entry(container.to_owned())
            .or_default()
            .entry(probe.field().to_owned())
            .or_default()
            .insert(leaf.field().to_owned(), value);
    }

    /// Whether nothing is recorded.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Compact JSON: the annotation's value.
    pub fn to_annotation(&self) -> String {
        // A map of strings and integers always serialises.
        serde_json::to_string(self).unwrap_or_default()
    }
}
