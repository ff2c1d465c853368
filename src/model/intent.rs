//! Who set a leaf: the author, or the API server's defaulting (semantics 4). After defaulting the bytes are the same, so three witnesses are asked:
//! `managedFields`, `kubectl apply`'s annotation, and our own record.

use std::collections::HashMap;

use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use super::{Container, Leaf, Metadata, Object, ProbeKind, Record, Text, Workload, decode::nullable};

/// Who a leaf's value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    /// Somebody wrote it: it stays.
    Set,
    /// The author left it out; the value is the API server's default.
    Omitted,
    /// We filled it in earlier; it counts as omitted and is computed anew.
    Ours,
    /// Nothing tells (Helm 3, `kubectl create`, client libraries): the value equals the API default.
    Unknown,
}

/// What is known about the authorship of one object's leaves.
#[derive(Debug)]
pub enum Witnesses<'w> {
    /// A file: what is absent was omitted.
    File,
    /// An object in an admission review.
    Live(Box<LiveWitnesses<'w>>),
}

/// The witnesses of an object that came through the API server.
#[derive(Debug)]
pub struct LiveWitnesses<'w> {
    record: Record,
    applied: Vec<Ownership<'w>>,
    updated: Vec<Ownership<'w>>,
    last_applied: Option<Workload<'w>>,
    /// On UPDATE: the object as it was, and what its author had written.
    old: Option<OldWitnesses<'w>>,
}

#[derive(Debug)]
struct OldWitnesses<'w> {
    workload: &'w Workload<'w>,
    last_applied: Option<Workload<'w>>,
    same_last_applied: bool,
}

/// Texts that witnesses borrow from: kept by the caller, because annotations are JSON inside a JSON string and must be unescaped first.
#[derive(Debug, Default)]
pub struct WitnessTexts {
    last_applied: Option<String>,
    old_last_applied: Option<String>,
}

impl WitnessTexts {
    /// Unescapes the last-applied annotations of the new and the old object.
    pub fn of(new: &Workload<'_>, old: Option<&Workload<'_>>) -> Self {
        Self { last_applied: unescape(&new.metadata), old_last_applied: old.and_then(|old| unescape(&old.metadata)) }
    }
}

fn unescape(metadata: &Metadata<'_>) -> Option<String> {
    let raw = metadata.annotations.as_ref()?.last_applied?;
    serde_json::from_str(raw.get()).ok()
}

impl<'w> Witnesses<'w> {
    /// Reads the witnesses of an object in an admission review. Whatever cannot be read is no witness.
    pub fn live(new: &'w Workload<'w>, old: Option<&'w Workload<'w>>, texts: &'w WitnessTexts) -> Self {
        let (applied, updated) = new.metadata.managed_fields.map(ownerships).unwrap_or_default();
        let record = new.metadata.annotations.as_ref().and_then(|annotations| annotations.filled.as_deref());
        Self::Live(Box::new(LiveWitnesses {
            record: record.map(Record::parse).unwrap_or_default(),
            applied,
            updated,
            last_applied: texts.last_applied.as_deref().and_then(author_file),
            old: old.map(|workload| OldWitnesses {
                workload,
                last_applied: texts.old_last_applied.as_deref().and_then(author_file),
                same_last_applied: texts.last_applied == texts.old_last_applied,
            }),
        }))
    }

    /// What the record says of a leaf that was edited by hand since. It must stay recorded: once another patch had dropped it, an edit back to the API
    /// default would look like an omission.
    pub fn edited_by_hand(&self, container: &Container<'_>, kind: ProbeKind, leaf: Leaf) -> Option<i64> {
        match self {
            Self::File => None,
            Self::Live(live) => live.edited(container, kind, leaf),
        }
    }

    /// Who set a leaf of a container's probe.
    pub fn author(&self, container: &Container<'_>, kind: ProbeKind, leaf: Leaf) -> Author {
        let value = container.probe(kind).and_then(|probe| probe.leaf(leaf));
        match self {
            Self::File => value.map_or(Author::Omitted, |_| Author::Set),
            Self::Live(live) => live.author(container, kind, leaf),
        }
    }
}

impl LiveWitnesses<'_> {
    /// The recorded value of a leaf that holds another one now and that no author's file names: somebody edited it by hand.
    fn edited(&self, container: &Container<'_>, kind: ProbeKind, leaf: Leaf) -> Option<i64> {
        let name = &*container.name;
        let recorded = self.record.get(name, kind, leaf)?;
        let value = container.probe(kind)?.defaulted(leaf);
        let named = self.applied.iter().any(|owner| owner.owns_leaf(name, kind, leaf))
            || self.last_applied.as_ref().is_some_and(|file| writes(file, name, kind, leaf));
        (value != Some(recorded) && !named).then_some(recorded)
    }

    fn author(&self, container: &Container<'_>, kind: ProbeKind, leaf: Leaf) -> Author {
        let Some(probe) = container.probe(kind) else { return Author::Set };
        let name = &*container.name;
        let value = probe.defaulted(leaf);
        let owns = |owners: &[Ownership<'_>]| owners.iter().any(|owner| owner.owns_leaf(name, kind, leaf));
        let applied = owns(&self.applied);
        let in_file = self.last_applied.as_ref().is_some_and(|file| writes(file, name, kind, leaf));
        let recorded = self.record.get(name, kind, leaf);

        if recorded.is_some() && recorded == value && !applied && !in_file {
            return Author::Ours;
        }
        if value != leaf.api_default() {
            return Author::Set;
        }
        if self.applied.iter().any(|owner| owner.owns_probe(name, kind)) {
            return if applied || owns(&self.updated) { Author::Set } else { Author::Omitted };
        }
        if self.last_applied.is_none() {
            return Author::Unknown;
        }
        if in_file {
            return Author::Set;
        }
        if let Some(old) = &self.old {
            if old.last_applied.as_ref().is_some_and(|file| writes(file, name, kind, leaf)) {
                return Author::Omitted; // just taken out of the file
            }
            let before = old.workload.container(name).and_then(|container| container.probe(kind));
            match before.map(|probe| probe.defaulted(leaf)) {
                Some(before) if old.same_last_applied && before != value => return Author::Set, // edited by hand
                None if old.same_last_applied => return Author::Unknown, // the whole probe was added by hand
                _ => {}
            }
            if recorded.is_some() {
                return Author::Set; // edited by hand some time after we filled it in
            }
        }
        Author::Omitted
    }
}

/// The author's file inside the last-applied annotation.
fn author_file(json: &str) -> Option<Workload<'_>> {
    Object::from_json(json).ok().and_then(Workload::from_object)
}

fn writes(file: &Workload<'_>, container: &str, kind: ProbeKind, leaf: Leaf) -> bool {
    file.container(container).and_then(|container| container.probe(kind)).is_some_and(|probe| probe.leaf(leaf).is_some())
}

/// The probe leaves that one manager owns, by container.
#[derive(Debug, Default)]
struct Ownership<'w>(HashMap<Text<'w>, ContainerFields>);

impl Ownership<'_> {
    fn probe(&self, container: &str, kind: ProbeKind) -> Option<&ProbeFields> {
        // Keys of a list map are `k:` and the key's JSON.
        let key = format!("k:{{\"name\":{}}}", serde_json::Value::from(container));
        let fields = self.0.get(&*key)?;
        match kind {
            ProbeKind::Liveness => fields.liveness.as_ref(),
            ProbeKind::Readiness => fields.readiness.as_ref(),
            ProbeKind::Startup => fields.startup.as_ref(),
        }
    }

    fn owns_probe(&self, container: &str, kind: ProbeKind) -> bool {
        self.probe(container, kind).is_some()
    }

    fn owns_leaf(&self, container: &str, kind: ProbeKind, leaf: Leaf) -> bool {
        self.probe(container, kind).is_some_and(|fields| match leaf {
            Leaf::InitialDelaySeconds => fields.initial_delay.is_some(),
            Leaf::TimeoutSeconds => fields.timeout.is_some(),
            Leaf::PeriodSeconds => fields.period.is_some(),
            Leaf::SuccessThreshold => fields.success.is_some(),
            Leaf::FailureThreshold => fields.failure.is_some(),
            Leaf::TerminationGracePeriodSeconds => fields.grace.is_some(),
        })
    }
}

/// Splits `managedFields` into what `Apply` entries own and what `Update` entries own. Entries of subresources say nothing about the template.
/// `Update` entries are read only when an `Apply` entry exists: alone they list the API server's defaults too and prove nothing.
fn ownerships(raw: &RawValue) -> (Vec<Ownership<'_>>, Vec<Ownership<'_>>) {
    let Ok(entries) = serde_json::from_str::<Vec<Entry<'_>>>(raw.get()) else { return Default::default() };
    if !entries.iter().any(Entry::is_apply) {
        return Default::default();
    }
    let (mut applied, mut updated) = (Vec::new(), Vec::new());
    for entry in entries.iter().filter(|entry| entry.subresource.as_deref().is_none_or(str::is_empty)) {
        let owned = entry.fields_v1.and_then(|fields| serde_json::from_str::<Fields<'_>>(fields.get()).ok());
        let owned = owned.and_then(Fields::containers).unwrap_or_default();
        if entry.is_apply() { applied.push(owned) } else { updated.push(owned) }
    }
    (applied, updated)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'w> {
    #[serde(borrow, default)]
    operation: Option<Text<'w>>,
    #[serde(borrow, default)]
    subresource: Option<Text<'w>>,
    #[serde(borrow, default, rename = "fieldsV1")]
    fields_v1: Option<&'w RawValue>,
}

impl Entry<'_> {
    fn is_apply(&self) -> bool {
        self.operation.as_deref() == Some("Apply") && self.subresource.as_deref().is_none_or(str::is_empty)
    }
}

/// The part of a FieldsV1 tree that leads to probes, for every kind.
#[derive(Default, Deserialize)]
struct Fields<'w> {
    #[serde(borrow, default, rename = "f:spec", deserialize_with = "nullable")]
    spec: Option<Box<Fields<'w>>>,
    #[serde(borrow, default, rename = "f:template", deserialize_with = "nullable")]
    template: Option<Box<Fields<'w>>>,
    #[serde(borrow, default, rename = "f:jobTemplate", deserialize_with = "nullable")]
    job_template: Option<Box<Fields<'w>>>,
    #[serde(borrow, default, rename = "f:containers", deserialize_with = "nullable")]
    containers: HashMap<Text<'w>, ContainerFields>,
    #[serde(borrow, default, rename = "f:initContainers", deserialize_with = "nullable")]
    init_containers: HashMap<Text<'w>, ContainerFields>,
}

impl<'w> Fields<'w> {
    fn containers(self) -> Option<Ownership<'w>> {
        let spec = *self.spec?;
        let pod = if let Some(template) = spec.template {
            *template.spec?
        } else if let Some(job) = spec.job_template {
            *job.spec?.template?.spec?
        } else {
            spec
        };
        let mut all = pod.containers;
        all.extend(pod.init_containers);
        Some(Ownership(all))
    }
}

#[derive(Debug, Default, Deserialize)]
struct ContainerFields {
    #[serde(default, rename = "f:livenessProbe")]
    liveness: Option<ProbeFields>,
    #[serde(default, rename = "f:readinessProbe")]
    readiness: Option<ProbeFields>,
    #[serde(default, rename = "f:startupProbe")]
    startup: Option<ProbeFields>,
}

#[derive(Debug, Default, Deserialize)]
struct ProbeFields {
    #[serde(default, rename = "f:initialDelaySeconds")]
    initial_delay: Option<IgnoredAny>,
    #[serde(default, rename = "f:timeoutSeconds")]
    timeout: Option<IgnoredAny>,
    #[serde(default, rename = "f:periodSeconds")]
    period: Option<IgnoredAny>,
    #[serde(default, rename = "f:successThreshold")]
    success: Option<IgnoredAny>,
    #[serde(default, rename = "f:failureThreshold")]
    failure: Option<IgnoredAny>,
    #[serde(default, rename = "f:terminationGracePeriodSeconds")]
    grace: Option<IgnoredAny>,
}
