//! Who set a leaf: the author, or the API server's defaulting (semantics 4). After defaulting the bytes are the same, so three witnesses are asked:
//! `managedFields`, `kubectl apply`'s annotation, and our own record.

use std::{borrow::Cow, collections::HashMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{Container, Json, Kind, Kinds, Leaf, Metadata, Probe, ProbeKind, Record, Text, Workload, decode::nullable};
use super::{
    json::{Read, Reader, unescaped},
    read::{members, optional, raw, text},
};

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
    record: &'w Record,
    applied: Vec<Ownership<'w>>,
    updated: Vec<Ownership<'w>>,
    last_applied: Option<Workload<'w>>,
    /// On UPDATE: the object as it was, and what its author had written.
    old: Option<OldWitnesses<'w>>,
    /// The API server fills nothing in (custom kinds): what stands there, somebody wrote.
    as_written: bool,
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
    unescaped(raw.get())
}

impl<'w> Witnesses<'w> {
    /// Reads the witnesses of an object in an admission review. Whatever cannot be read is no witness.
    pub fn live(new: &'w Workload<'w>, old: Option<&'w Workload<'w>>, texts: &'w WitnessTexts) -> Self {
        let pod = new.custom.as_ref().map(|_| new.pod_spec_pointer());
        let (applied, updated) = new.metadata.managed_fields.map(|raw| ownerships(raw, pod)).unwrap_or_default();
        let kinds = Kinds::like(new);
        let author_file = |json| Workload::read(json, &kinds).ok().flatten();
        Self::Live(Box::new(LiveWitnesses {
            as_written: new.kind == Kind::Custom,
            record: &new.filled,
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

/// Where something comes from that may be ours as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It is the author's, or not there.
    Author,
    /// We added it, and nobody has touched it since.
    Ours,
    /// The author has written it where ours stood, and the two were merged: these places in it are still ours (semantics H3).
    Mixed(Vec<&'static str>),
}

impl Witnesses<'_> {
    /// Whose a container's startup probe is.
    pub fn startup(&self, container: &Container<'_>) -> Origin {
        match self {
            Self::File => Origin::Author,
            Self::Live(live) => live.startup(container).unwrap_or(Origin::Author),
        }
    }

    /// Whose a container's preStop hook is.
    pub fn pre_stop(&self, container: &Container<'_>) -> Origin {
        match self {
            Self::File => Origin::Author,
            Self::Live(live) => live.pre_stop(container).unwrap_or(Origin::Author),
        }
    }
}

/// Fields of a handler that the author may leave out, so that ours would stay behind.
const OPTIONAL: [&str; 6] =
    ["httpGet/path", "httpGet/scheme", "httpGet/host", "httpGet/httpHeaders", "tcpSocket/host", "grpc/service"];

impl LiveWitnesses<'_> {
    /// `None`: the author's.
    fn startup(&self, container: &Container<'_>) -> Option<Origin> {
        let name = &*container.name;
        let probe = container.startup_probe.as_ref()?;
        if !self.record.added_startup(name) || self.applied.iter().any(|owner| owner.all) {
            return None;
        }
        let in_file = self.last_applied.as_ref().and_then(|file| file.container(name)?.startup_probe.as_ref());
        let appliers: Vec<&ProbeFields> = self.applied.iter().filter_map(|owner| owner.probe(name, ProbeKind::Startup)).collect();
        if in_file.is_some() || !appliers.is_empty() {
            let writes =
                |place: &str| in_file.is_some_and(|file| has(file, place)) || appliers.iter().any(|fields| fields.owns(place));
            return mixed(probe, writes);
        }
        let old = self.old.as_ref().and_then(|old| old.workload.container(name)?.startup_probe.as_ref());
        let numbers_are_ours = Leaf::ALL.into_iter().all(|leaf| {
            let recorded = self.record.get(name, ProbeKind::Startup, leaf);
            recorded.or(leaf.api_default()) == probe.defaulted(leaf)
        });
        let copied = container.liveness_probe.iter().chain(old).any(|source| source.has_handlers_of(probe));
        if numbers_are_ours && copied {
            return Some(Origin::Ours);
        }
        // No witness, but a second handler beside the one that was there: that one was ours.
        match (old.and_then(|old| old.handler()), probe.handler_fields().count()) {
            (Some(ours), 2) => mixed(probe, |place| !place.starts_with(ours.field())),
            _ => None,
        }
    }

    fn pre_stop(&self, container: &Container<'_>) -> Option<Origin> {
        let name = &*container.name;
        let hook = container.lifecycle.as_ref()?.pre_stop.as_ref()?;
        let recorded = self.record.pre_stop_sleep(name)?;
        if hook.sleep.as_ref()?.seconds != Some(recorded) {
            return None;
        }
        let file = self.last_applied.as_ref().and_then(|file| file.container(name)?.lifecycle.as_ref()?.pre_stop.as_ref());
        let appliers: Vec<&HookFields> = self.applied.iter().filter_map(|owner| owner.pre_stop(name)).collect();
        if file.is_some_and(|file| file.sleep.is_some())
            || self.applied.iter().any(|owner| owner.all)
            || appliers.iter().any(|fields| fields.sleep.is_some())
        {
            return None;
        }
        let others = hook.exec.is_some() || hook.http_get.is_some() || hook.tcp_socket.is_some();
        Some(if others { Origin::Mixed(vec!["sleep"]) } else { Origin::Ours })
    }

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
        if self.as_written {
            return if probe.leaf(leaf).is_some() { Author::Set } else { Author::Omitted };
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

/// What of a probe is left of ours, once the author writes a startup probe: `None` where all is the author's.
fn mixed(probe: &Probe<'_>, writes: impl Fn(&str) -> bool) -> Option<Origin> {
    let handlers: Vec<&'static str> = probe.handler_fields().collect();
    let mut ours: Vec<&'static str> = handlers.iter().copied().filter(|handler| !writes(handler)).collect();
    if ours.len() == handlers.len() {
        return None; // the author's would be none at all
    }
    let stays = |place: &&str| !ours.iter().any(|handler| place.starts_with(handler));
    let behind: Vec<&'static str> =
        OPTIONAL.into_iter().filter(stays).filter(|place| has(probe, place) && !writes(place)).collect();
    ours.extend(behind);
    (!ours.is_empty()).then_some(Origin::Mixed(ours))
}

/// Whether a place of a handler holds something other than the API server's default.
fn has(probe: &Probe<'_>, place: &str) -> bool {
    let other = |text: Option<&str>, default: &str| text.is_some_and(|text| !text.is_empty() && text != default);
    let (http, tcp, grpc) = (probe.http_get.as_ref(), probe.tcp_socket.as_ref(), probe.grpc.as_ref());
    match place {
        "httpGet/path" => other(http.and_then(|http| http.path.as_deref()), "/"),
        "httpGet/scheme" => other(http.and_then(|http| http.scheme.as_deref()), "HTTP"),
        "httpGet/host" => other(http.and_then(|http| http.host.as_deref()), ""),
        "httpGet/httpHeaders" => http.is_some_and(|http| !http.http_headers.is_empty()),
        "tcpSocket/host" => other(tcp.and_then(|tcp| tcp.host.as_deref()), ""),
        "grpc/service" => other(grpc.and_then(|grpc| grpc.service.as_deref()), ""),
        handler => probe.handler_fields().any(|field| field == handler),
    }
}

fn writes(file: &Workload<'_>, container: &str, kind: ProbeKind, leaf: Leaf) -> bool {
    file.container(container).and_then(|container| container.probe(kind)).is_some_and(|probe| probe.leaf(leaf).is_some())
}

/// The probe leaves that one manager owns.
#[derive(Debug, Default)]
struct Ownership<'w> {
    /// By the name of a container, sorted.
    containers: Vec<(Text<'w>, ContainerFields)>,
    /// The definition of a custom kind says nothing of what is in its template, or not that containers are known by name: whoever applies one of them
    /// applies all of it. Then what stands there is that manager's.
    all: bool,
}

impl<'w> Ownership<'w> {
    /// From the fields below a pod spec, of which nothing may be described.
    fn below(fields: Json<'w>, pod: &str) -> Option<Self> {
        let mut json = fields.get();
        let whole = || Some(Self { all: true, ..Self::default() });
        let named = pod.split('/').skip(1).map(|name| format!("f:{name}"));
        for name in named {
            let members: HashMap<Text<'_>, &RawValue> = serde_json::from_str(json).ok()?;
            if members.is_empty() {
                return whole();
            }
            json = members.get(&*name)?.get();
        }
        let atomic = ["f:containers", "f:initContainers"].iter().any(|list| {
            let members: Option<HashMap<Text<'_>, &RawValue>> = serde_json::from_str(json).ok();
            members.is_some_and(|members| members.is_empty() || members.get(*list).is_some_and(|list| list.get() == "{}"))
        });
        if atomic {
            return whole();
        }
        serde_json::from_str::<Fields<'w>>(json).ok().map(Fields::lists)
    }
}

impl Ownership<'_> {
    /// Of a key that stands twice, the last counts.
    fn container(&self, name: &str) -> Option<&ContainerFields> {
        let after = self.containers.partition_point(|(container, _)| &**container <= name);
        self.containers[..after].last().filter(|(container, _)| &**container == name).map(|(_, fields)| fields)
    }

    fn probe(&self, container: &str, kind: ProbeKind) -> Option<&ProbeFields> {
        let fields = self.container(container)?;
        match kind {
            ProbeKind::Liveness => fields.liveness.as_ref(),
            ProbeKind::Readiness => fields.readiness.as_ref(),
            ProbeKind::Startup => fields.startup.as_ref(),
        }
    }

    fn pre_stop(&self, container: &str) -> Option<&HookFields> {
        self.container(container)?.lifecycle.as_ref()?.pre_stop.as_ref()
    }

    fn owns_probe(&self, container: &str, kind: ProbeKind) -> bool {
        self.probe(container, kind).is_some()
    }

    fn owns_leaf(&self, container: &str, kind: ProbeKind, leaf: Leaf) -> bool {
        self.all
            || self.probe(container, kind).is_some_and(|fields| match leaf {
                Leaf::InitialDelaySeconds => fields.initial_delay.is_some(),
                Leaf::TimeoutSeconds => fields.timeout.is_some(),
                Leaf::PeriodSeconds => fields.period.is_some(),
                Leaf::SuccessThreshold => fields.success.is_some(),
                Leaf::FailureThreshold => fields.failure.is_some(),
                Leaf::TerminationGracePeriodSeconds => fields.grace.is_some(),
            })
    }
}

/// The container's name in a key of a list map, which is `k:` and the key's JSON.
fn name_in(key: Text<'_>) -> Option<Text<'_>> {
    const START: &str = "k:{\"name\":\"";
    const END: &str = "\"}";
    let name = key.strip_prefix(START)?.strip_suffix(END)?;
    if name.bytes().any(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)) {
        // No name of a container that the API server accepts.
        let quoted = key.get(START.len() - 1..key.len() - 1)?;
        return unescaped(quoted).map(|name| Text(name.into()));
    }
    let end = START.len() + name.len();
    Some(Text(match key.0 {
        Cow::Borrowed(key) => key.get(START.len()..end)?.into(),
        Cow::Owned(mut key) => {
            key.truncate(end);
            key.drain(..START.len());
            key.into()
        }
    }))
}

/// Splits `managedFields` into what `Apply` entries own and what `Update` entries own. Entries of subresources say nothing about the template.
/// `Update` entries are read only when an `Apply` entry exists: alone they list the API server's defaults too and prove nothing.
/// `pod` is the pointer to the pod spec of a custom kind.
fn ownerships<'w>(raw: Json<'w>, pod: Option<&str>) -> (Vec<Ownership<'w>>, Vec<Ownership<'w>>) {
    let Ok(entries) = Reader::whole(raw.get(), entries).or_else(|_| serde_json::from_str::<Vec<Entry<'_>>>(raw.get())) else {
        return Default::default();
    };
    if !entries.iter().any(Entry::is_apply) {
        return Default::default();
    }
    let (mut applied, mut updated) = (Vec::new(), Vec::new());
    for entry in entries.iter().filter(|entry| entry.subresource.as_deref().is_none_or(str::is_empty)) {
        let owned = entry.fields_v1.and_then(|fields| match pod {
            Some(pod) => Ownership::below(fields, pod),
            None => serde_json::from_str::<Fields<'_>>(fields.get()).ok().and_then(Fields::containers),
        });
        let owned = owned.unwrap_or_default();
        if entry.is_apply() { applied.push(owned) } else { updated.push(owned) }
    }
    (applied, updated)
}

fn entries<'w>(reader: &mut Reader<'w>) -> Read<Vec<Entry<'w>>> {
    let mut entries = Vec::new();
    reader.items(|reader| {
        let mut entry = Entry::default();
        members!(reader, entry, {
            "operation" => operation: optional(text),
            "subresource" => subresource: optional(text),
            "fieldsV1" => fields_v1: raw,
        });
        entries.push(entry);
        Ok(())
    })?;
    Ok(entries)
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'w> {
    #[serde(borrow, default)]
    operation: Option<Text<'w>>,
    #[serde(borrow, default)]
    subresource: Option<Text<'w>>,
    #[serde(borrow, default, rename = "fieldsV1")]
    fields_v1: Option<Json<'w>>,
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
    containers: ListMap<'w>,
    #[serde(borrow, default, rename = "f:initContainers", deserialize_with = "nullable")]
    init_containers: ListMap<'w>,
}

/// The members of a list map, as they stand.
#[derive(Debug, Default)]
struct ListMap<'w>(Vec<(Text<'w>, ContainerFields)>);

impl<'de: 'w, 'w> Deserialize<'de> for ListMap<'w> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<'w>(PhantomData<&'w ()>);

        impl<'de: 'w, 'w> Visitor<'de> for Members<'w> {
            type Value = ListMap<'w>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(ListMap(members))
            }
        }

        deserializer.deserialize_map(Members(PhantomData))
    }
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
        Some(pod.lists())
    }

    /// Of a pod spec.
    fn lists(self) -> Ownership<'w> {
        let members = self.containers.0.into_iter().chain(self.init_containers.0);
        let mut containers: Vec<_> = members.filter_map(|(key, fields)| Some((name_in(key)?, fields))).collect();
        // What stands twice keeps its order.
        containers.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ownership { containers, all: false }
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
    #[serde(default, rename = "f:lifecycle")]
    lifecycle: Option<LifecycleFields>,
}

#[derive(Debug, Default, Deserialize)]
struct LifecycleFields {
    #[serde(default, rename = "f:preStop")]
    pre_stop: Option<HookFields>,
}

#[derive(Debug, Default, Deserialize)]
struct HookFields {
    #[serde(default, rename = "f:sleep")]
    sleep: Option<IgnoredAny>,
}

/// The fields of a handler that somebody owns, of those that may be left out.
#[derive(Debug, Default, Deserialize)]
struct HandlerFields {
    #[serde(default, rename = "f:path")]
    path: Option<IgnoredAny>,
    #[serde(default, rename = "f:scheme")]
    scheme: Option<IgnoredAny>,
    #[serde(default, rename = "f:host")]
    host: Option<IgnoredAny>,
    #[serde(default, rename = "f:httpHeaders")]
    headers: Option<IgnoredAny>,
    #[serde(default, rename = "f:service")]
    service: Option<IgnoredAny>,
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
    #[serde(default, rename = "f:exec")]
    exec: Option<HandlerFields>,
    #[serde(default, rename = "f:httpGet")]
    http_get: Option<HandlerFields>,
    #[serde(default, rename = "f:tcpSocket")]
    tcp_socket: Option<HandlerFields>,
    #[serde(default, rename = "f:grpc")]
    grpc: Option<HandlerFields>,
}

impl ProbeFields {
    /// Whether a handler (`httpGet`) or a field of one (`httpGet/scheme`) is owned.
    fn owns(&self, place: &str) -> bool {
        let (handler, field) = place.split_once('/').map_or((place, None), |(handler, field)| (handler, Some(field)));
        let fields = match handler {
            "exec" => &self.exec,
            "httpGet" => &self.http_get,
            "tcpSocket" => &self.tcp_socket,
            _ => &self.grpc,
        };
        fields.as_ref().is_some_and(|fields| match field {
            None => true,
            Some("path") => fields.path.is_some(),
            Some("scheme") => fields.scheme.is_some(),
            Some("host") => fields.host.is_some(),
            Some("httpHeaders") => fields.headers.is_some(),
            Some(_) => fields.service.is_some(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(key: &str) -> Option<String> {
        let owned = name_in(Text(key.to_owned().into())).map(|name| name.to_string());
        assert_eq!(name_in(Text(key.into())).map(|name| name.to_string()), owned);
        owned
    }

    proptest! {
        #[test]
        fn a_key_quotes_the_name_of_its_container(text in "[ab\"\\\\\u{e9}\n}]{0,6}") {
            prop_assert_eq!(name(&format!("k:{{\"name\":{}}}", serde_json::Value::from(&*text))), Some(text));
        }
    }

    #[test]
    fn other_keys_are_of_no_container() {
        for key in [
            "",
            ".",
            "k:{\"name\":\"a\"",
            "k:{\"name\":a}",
            "k:{\"name\":\"}",
            "k:{\"name\":\"a\",\"b\":\"c\"}",
            "k:{\"port\":\"a\"}",
            "k:{\"name\":\"a\"}}",
            "v:\"a\"",
        ] {
            assert_eq!(name(key), None, "{key}");
        }
    }

    /// Of a container that stands twice in a list the last counts, and of one in both lists that among the init containers.
    #[test]
    fn owned_containers_are_found_by_name() {
        let fields = |names: &str| -> String {
            let members = names.split_whitespace().map(|member| {
                let (name, probe) = member.split_once(':').unwrap();
                format!("\"k:{{\\\"name\\\":\\\"{name}\\\"}}\":{{\"f:{probe}Probe\":{{}}}}")
            });
            members.collect::<Vec<_>>().join(",")
        };
        let json = format!(
            "{{\"f:spec\":{{\"f:containers\":{{\".\":{{}},{}}},\"f:initContainers\":{{{}}}}}}}",
            fields("c:liveness a:readiness b:liveness b:startup d:liveness"),
            fields("d:readiness ab:liveness"),
        );
        let owned = serde_json::from_str::<Fields<'_>>(&json).unwrap().containers().unwrap();
        let probes = |name| ProbeKind::ALL.map(|kind| owned.owns_probe(name, kind));
        assert_eq!(probes("a"), [false, true, false]);
        assert_eq!(probes("ab"), [true, false, false]);
        assert_eq!(probes("b"), [false, false, true]);
        assert_eq!(probes("c"), [true, false, false]);
        assert_eq!(probes("d"), [false, true, false]);
        for missing in ["", ".", "aa", "e"] {
            assert_eq!(probes(missing), [false; 3], "{missing}");
        }
    }
}
