//! The record annotation `probekeeper.dev/filled`: which leaves are ours, and with which value.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Leaf, ProbeKind};

/// Marks a probe that was filled in as a whole, beside its numbers.
const ADDED: &str = "added";
/// Stands beside the probes of a container.
const PRE_STOP: &str = "preStop";
const SLEEP_SECONDS: &str = "sleepSeconds";

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
        self.entry(container, probe.field(), leaf.field())
    }

    /// Records a leaf.
    pub fn insert(&mut self, container: &str, probe: ProbeKind, leaf: Leaf, value: i64) {
        self.insert_entry(container, probe.field(), leaf.field(), value);
    }

    /// Whether the container's startup probe as a whole was filled in.
    pub fn added_startup(&self, container: &str) -> bool {
        self.entry(container, ProbeKind::Startup.field(), ADDED).is_some()
    }

    /// Records that the container's startup probe as a whole was filled in.
    pub fn insert_startup(&mut self, container: &str) {
        self.insert_entry(container, ProbeKind::Startup.field(), ADDED, 1);
    }

    /// The recorded seconds of a preStop sleep.
    pub fn pre_stop_sleep(&self, container: &str) -> Option<i64> {
        self.entry(container, PRE_STOP, SLEEP_SECONDS)
    }

    /// Records the seconds of a preStop sleep.
    pub fn insert_pre_stop_sleep(&mut self, container: &str, seconds: i64) {
        self.insert_entry(container, PRE_STOP, SLEEP_SECONDS, seconds);
    }

    /// Records everything that another record holds.
    pub fn absorb(&mut self, other: &Self) {
        for (container, parts) in &other.0 {
            for (part, entries) in parts {
                for (name, value) in entries {
                    self.insert_entry(container, part, name, *value);
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

    fn insert_entry(&mut self, container: &str, part: &str, name: &str, value: i64) {
        self.0.entry(container.to_owned()).or_default().entry(part.to_owned()).or_default().insert(name.to_owned(), value);
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
