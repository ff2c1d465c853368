//! `managedFields`: which probe leaves each manager owns.

use std::{borrow::Cow, collections::HashMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    Json, Leaf, ProbeKind, Text,
    decode::nullable,
    json::{Read, Reader},
    read::{members, optional, raw, text},
    strings::unescaped,
};

/// Bytes of `managedFields` that are read at most. The API server stores objects of 1.5 MiB, of which this is a small part even after dozens of managers;
/// what is read of a forged text of 8 MiB takes hundreds of megabytes.
const MOST: usize = 512 << 10;

/// The probe leaves that one manager owns.
#[derive(Debug, Default)]
pub(super) struct Ownership<'w> {
    /// By the name of a container, sorted.
    containers: Vec<(Text<'w>, ContainerFields)>,
    /// What stands there is that manager's: the definition of a custom kind says nothing of what is in its template, or not that containers are known by
    /// name, so that whoever applies one of them applies all of it; or there is more than is read ([`MOST`]).
    pub(super) all: bool,
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

    pub(super) fn probe(&self, container: &str, kind: ProbeKind) -> Option<&ProbeFields> {
        let fields = self.container(container)?;
        match kind {
            ProbeKind::Liveness => fields.liveness.as_ref(),
            ProbeKind::Readiness => fields.readiness.as_ref(),
            ProbeKind::Startup => fields.startup.as_ref(),
        }
    }

    pub(super) fn pre_stop(&self, container: &str) -> Option<&HookFields> {
        self.container(container)?.lifecycle.as_ref()?.pre_stop.as_ref()
    }

    pub(super) fn owns_probe(&self, container: &str, kind: ProbeKind) -> bool {
        self.all || self.probe(container, kind).is_some()
    }

    pub(super) fn owns_leaf(&self, container: &str, kind: ProbeKind, leaf: Leaf) -> bool {
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
/// `pod` is the pointer to the pod spec of a custom kind. Of more than [`MOST`] bytes it says that somebody owns all there is: then nothing is filled in.
pub(super) fn ownerships<'w>(raw: Json<'w>, pod: Option<&str>) -> (Vec<Ownership<'w>>, Vec<Ownership<'w>>) {
    if raw.get().len() > MOST {
        return (vec![Ownership { all: true, ..Ownership::default() }], Vec::new());
    }
    if !may_have_applied(raw.get()) {
        return Default::default();
    }
    let entries = entries(raw.get());
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

/// Whether there may be an `Apply` entry: it says so to the letter, or in escapes, which an API server does not use for letters.
fn may_have_applied(text: &str) -> bool {
    text.contains("\"Apply\"") || text.contains("\\u")
}

/// The entries of `managedFields`; none where there are more than [`MOST`] bytes of them, or other things.
pub(crate) fn entries(text: &str) -> Vec<Entry<'_>> {
    if text.len() > MOST {
        return Vec::new();
    }
    Reader::whole(text, plain_entries).or_else(|_| serde_json::from_str(text)).unwrap_or_default()
}

fn plain_entries<'w>(reader: &mut Reader<'w>) -> Read<Vec<Entry<'w>>> {
    let mut entries = Vec::new();
    reader.items(|reader| {
        let mut entry = Entry::default();
        members!(reader, entry, {
            "manager" => manager: optional(text),
            "operation" => operation: optional(text),
            "subresource" => subresource: optional(text),
            "time" => time: optional(text),
            "fieldsV1" => fields_v1: raw,
        });
        entries.push(entry);
        Ok(())
    })?;
    Ok(entries)
}

/// Who set which fields, and when.
#[derive(Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry<'w> {
    #[serde(borrow, default)]
    pub(crate) manager: Option<Text<'w>>,
    #[serde(borrow, default)]
    pub(crate) operation: Option<Text<'w>>,
    #[serde(borrow, default)]
    pub(crate) subresource: Option<Text<'w>>,
    #[serde(borrow, default)]
    pub(crate) time: Option<Text<'w>>,
    /// As the API server wrote it: the same fields are the same text.
    #[serde(borrow, default, rename = "fieldsV1")]
    pub(crate) fields_v1: Option<Json<'w>>,
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
pub(super) struct HookFields {
    #[serde(default, rename = "f:sleep")]
    pub(super) sleep: Option<IgnoredAny>,
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
pub(super) struct ProbeFields {
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
    pub(super) fn owns(&self, place: &str) -> bool {
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

    #[test]
    fn an_apply_entry_is_found_however_it_is_written() {
        let entry = |operation: &str| format!(r#"[{{"manager":"a","operation":{operation},"fieldsV1":{{"f:spec":{{}}}}}}]"#);
        for (operation, applied) in [
            (r#""Apply""#, 1),
            (r#" "Apply" "#, 1),
            (r#""\u0041pply""#, 1),
            (r#""App\u006cy""#, 1),
            (r#""Update""#, 0),
            (r#""Applyx""#, 0),
            ("null", 0),
        ] {
            let text = entry(operation);
            let raw = serde_json::from_str(&text).unwrap();
            assert_eq!(ownerships(raw, None).0.len(), applied, "{operation}");
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
