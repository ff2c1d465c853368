//! A workload: an object with a pod template, and where its parts are.

use std::{fmt::Write as _, sync::Arc};

use serde::Deserialize;

use super::{
    Container, DecodeError, Host, Leaf, List, Metadata, Object, Probe, ProbeKind, Record, Text, Timing, classify_host,
    container::is_mesh_sidecar,
    decode::{Spec, Template},
    kinds::{Custom, Kinds, Known, TemplatePlace},
    raw,
};

/// The kinds that are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// core/v1
    Pod,
    /// apps/v1
    Deployment,
    /// apps/v1
    StatefulSet,
    /// apps/v1
    DaemonSet,
    /// apps/v1
    ReplicaSet,
    /// core/v1
    ReplicationController,
    /// batch/v1
    Job,
    /// batch/v1
    CronJob,
    /// One that the policy adds; [`Workload::kind_name`] and [`Workload::pod_spec_pointer`] say more.
    Custom,
}

impl Kind {
    /// Every kind that Kubernetes has.
    pub const ALL: [Self; 8] = [
        Self::Pod,
        Self::Deployment,
        Self::StatefulSet,
        Self::DaemonSet,
        Self::ReplicaSet,
        Self::ReplicationController,
        Self::Job,
        Self::CronJob,
    ];

    /// The kind of an object. The group must match, any version does: the parts that are read are the same in all of them.
    pub fn of(api_version: &str, kind: &str) -> Option<Self> {
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        // `extensions/v1beta1` held Deployment, DaemonSet and ReplicaSet until 1.16 and still stands in files.
        let found = Self::ALL.into_iter().find(|candidate| candidate.name() == kind)?;
        (found.group() == group || (group == "extensions" && found.group() == "apps")).then_some(found)
    }

    /// As in a manifest; of a custom kind only that it is one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pod => "Pod",
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::ReplicaSet => "ReplicaSet",
            Self::ReplicationController => "ReplicationController",
            Self::Job => "Job",
            Self::CronJob => "CronJob",
            Self::Custom => "custom kind",
        }
    }

    /// Plural, as in paths and access rights; of no use for custom kinds.
    pub fn resource(self) -> String {
        self.name().to_ascii_lowercase() + "s"
    }

    /// API group; empty for core and for custom kinds.
    pub const fn group(self) -> &'static str {
        match self {
            Self::Pod | Self::ReplicationController | Self::Custom => "",
            Self::Deployment | Self::StatefulSet | Self::DaemonSet | Self::ReplicaSet => "apps",
            Self::Job | Self::CronJob => "batch",
        }
    }

    /// Where the pod spec is; custom kinds have it where their policy says.
    pub const fn pod_spec_pointer(self) -> &'static str {
        match self {
            Self::Pod => "/spec",
            Self::CronJob => "/spec/jobTemplate/spec/template/spec",
            _ => "/spec/template/spec",
        }
    }

    /// Whether its pods are meant to run until they are told to stop. A bare Pod is when it restarts always.
    const fn runs_on(self) -> bool {
        !matches!(self, Self::Job | Self::CronJob)
    }

    /// Whether the object is looked at on CREATE only: probes of Pods cannot change, and neither can a Job's template (semantics H4, H10).
    pub const fn only_on_create(self) -> bool {
        matches!(self, Self::Pod | Self::Job)
    }
}

/// Who made an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// A person or a tool.
    None,
    /// A controller whose own object is judged.
    Judged,
    /// A controller that we know nothing of: nobody else judges what it makes.
    Other,
    /// The node itself: the mirror of a static pod, which exists whatever is said about it.
    Node,
}

/// An object with a pod template.
#[derive(Debug)]
pub struct Workload<'a> {
    /// Which kind.
    pub kind: Kind,
    /// The custom kind, where it is one.
    pub custom: Option<Arc<Custom>>,
    /// `group/version` as written.
    pub api_version: String,
    /// The object's own metadata.
    pub metadata: Metadata<'a>,
    /// The template's metadata; empty for a Pod.
    pub template_metadata: Metadata<'a>,
    /// Regular containers, then native sidecars. Other init containers have no probes; those of a service mesh's sidecars are the mesh's own.
    pub containers: Vec<Container<'a>>,
    /// Whether the pod shares the node's network.
    pub host_network: bool,
    /// Names that lead to the pod itself from within: its `hostname`, and what `hostAliases` give to a loopback address.
    pub own_names: Vec<super::Text<'a>>,
    /// `Always`, `OnFailure` or `Never`; `Always` when absent.
    pub restart_policy: Option<super::Text<'a>>,
    /// The pod's grace period in seconds after API defaulting.
    pub grace_period: i64,
    /// A Deployment's progress deadline in seconds after API defaulting; `None` for other kinds.
    pub progress_deadline: Option<i64>,
    /// `minReadySeconds`, 0 when absent.
    pub min_ready: i64,
    /// Whether metadata is there at all: without it nothing can be recorded, so nothing is patched.
    pub has_metadata: bool,
    /// What was filled in, by the record annotation or just now.
    pub filled: Record,
    owner: Owner,
    incomplete: bool,
}

/// An object whose template the permissive view does not have.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head<'a> {
    #[serde(borrow, default)]
    api_version: Option<Text<'a>>,
    #[serde(borrow, default)]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    metadata: Option<Metadata<'a>>,
}

impl<'a> Workload<'a> {
    /// Decodes JSON text by Kubernetes' own kinds; `Ok(None)` when the object carries no pod template.
    pub fn from_json(json: &'a str) -> Result<Option<Self>, DecodeError> {
        Self::read(json, &Kinds::BUILT_IN)
    }

    /// Decodes JSON text; `Ok(None)` when the object's kind is not judged or it has no pod template.
    pub fn read(json: &'a str, kinds: &Kinds) -> Result<Option<Self>, DecodeError> {
        let object = match Object::from_json(json) {
            Ok(object) => object,
            // The view may not fit an object whose template is elsewhere.
            Err(error) => return Self::read_elsewhere(json, kinds).unwrap_or(Err(error)),
        };
        let (api_version, kind) = (object.api_version.as_deref(), object.kind.as_deref());
        match kinds.find(api_version.unwrap_or_default(), kind.unwrap_or_default()) {
            None => Ok(None),
            Some(known) if known.is_in_view() => Ok(Self::from_object(object, known, kinds)),
            Some(_) => Self::read_elsewhere(json, kinds).unwrap_or(Ok(None)),
        }
    }

    /// Takes the workload out of a decoded object of a [known](Kinds::find) kind; `None` when it has no pod template, or not [in the view](Known::is_in_view).
    pub fn from_object(object: Object<'a>, known: Known, kinds: &Kinds) -> Option<Self> {
        let mut spec = object.spec?;
        let place = known.custom.as_ref().map(|custom| custom.place);
        let template = match (known.kind, place) {
            (Kind::Pod, _) => {
                let template = Template { metadata: Metadata::default(), spec };
                spec = Spec::default();
                template
            }
            (Kind::CronJob, _) | (_, Some(TemplatePlace::JobTemplate)) => *spec.job_template.take()?.spec.template?,
            (_, Some(TemplatePlace::Elsewhere)) => return None,
            _ => *spec.template.take()?,
        };
        Some(Self::new(known, kinds, object.api_version.as_deref(), object.metadata, &spec, template))
    }

    /// Reads an object whose template the view does not have; `None`: its kind is not one of those.
    pub(crate) fn read_elsewhere(json: &'a str, kinds: &Kinds) -> Option<Result<Option<Self>, DecodeError>> {
        let head: Head<'a> = serde_json::from_str(json).ok()?;
        let known = kinds.find(head.api_version.as_deref()?, head.kind.as_deref()?).filter(|known| !known.is_in_view())?;
        let pointer = known.custom.as_ref().map(|custom| &*custom.definition.template)?;
        let Some(text) = raw::at_pointer(json, pointer).filter(|text| *text != "null") else { return Some(Ok(None)) };
        Some(Template::from_json(text, pointer).map(|template| {
            Some(Self::new(known, kinds, head.api_version.as_deref(), head.metadata, &Spec::default(), template))
        }))
    }

    fn new(
        known: Known,
        kinds: &Kinds,
        api_version: Option<&str>,
        metadata: Option<Metadata<'a>>,
        spec: &Spec<'_>,
        template: Template<'a>,
    ) -> Self {
        let Known { kind, custom } = known;
        let (progress_deadline, min_ready, has_selector) =
            (spec.progress_deadline_seconds, spec.min_ready_seconds, spec.selector.is_some());
        let has_metadata = metadata.is_some();
        let Template { metadata: template_metadata, spec: pod } = template;
        let Spec {
            mut containers,
            mut init_containers,
            restart_policy,
            termination_grace_period_seconds,
            host_network,
            hostname,
            host_aliases,
            ..
        } = pod;
        let loopback = |ip: &str| ip.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        let mut own_names: Vec<_> = hostname.into_iter().collect();
        if kind == Kind::Pod {
            own_names.extend(metadata.as_ref().and_then(|metadata| metadata.name.clone()));
        }
        for alias in host_aliases.into_iter().filter(|alias| alias.ip.as_deref().is_some_and(loopback)) {
            own_names.extend(alias.hostnames);
        }

        let needs_selector = matches!(kind, Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet | Kind::ReplicaSet);
        let incomplete = containers.is_empty()
            || containers.iter().any(|container| container.image.as_ref().is_none_or(|image| image.is_empty()))
            || (needs_selector && !has_selector);
        place(&mut containers, List::Regular);
        place(&mut init_containers, List::Init);
        init_containers.retain(|container| container.restart_policy.as_deref() == Some("Always"));
        containers.append(&mut init_containers);
        containers.retain(|container| !is_mesh_sidecar(container));
        let metadata = metadata.unwrap_or_default();
        let record = metadata.annotations.as_ref().and_then(|annotations| annotations.filled.as_deref());
        Self {
            kind,
            custom,
            filled: record.map(Record::parse).unwrap_or_default(),
            owner: owner(&metadata, kinds),
            api_version: api_version.unwrap_or_default().to_owned(),
            metadata,
            template_metadata,
            containers,
            host_network: host_network.unwrap_or(false),
            own_names,
            restart_policy,
            // API defaults: semantics 1.
            grace_period: termination_grace_period_seconds.unwrap_or(30),
            progress_deadline: (kind == Kind::Deployment).then(|| progress_deadline.unwrap_or(600)),
            min_ready: min_ready.unwrap_or(0),
            has_metadata,
            incomplete,
        }
    }

    /// Kind as in a manifest.
    pub fn kind_name(&self) -> &str {
        self.custom.as_ref().map_or(self.kind.name(), |custom| &custom.definition.kind)
    }

    /// JSON pointer of the pod spec.
    pub fn pod_spec_pointer(&self) -> &str {
        self.custom.as_ref().map_or(self.kind.pod_spec_pointer(), |custom| &custom.pod_spec)
    }

    /// JSON pointer of the pod template; that of the object itself for a Pod.
    pub fn template_pointer(&self) -> &str {
        let spec = self.pod_spec_pointer();
        spec.strip_suffix("/spec").unwrap_or(spec)
    }

    /// Whether the API server would refuse it as incomplete (a container without an image, a workload without a selector): in files these are
    /// kustomize patches, not workloads.
    pub fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    /// Name, or the prefix of a generated one.
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().or(self.metadata.generate_name.as_deref()).unwrap_or_default()
    }

    /// Namespace, if the object says one.
    pub fn namespace(&self) -> Option<&str> {
        self.metadata.namespace.as_deref()
    }

    /// Who made it, by the owner reference with `controller: true`.
    pub const fn owner(&self) -> Owner {
        self.owner
    }

    /// Whether `probekeeper.dev/defaults: "off"` stands on it or on its template. YAML's unquoted `off` arrives as `false` where quotes were added later.
    pub fn declines_defaults(&self) -> bool {
        [&self.metadata, &self.template_metadata].into_iter().any(|metadata| {
            let value = metadata.annotations.as_ref().and_then(|annotations| annotations.defaults.as_deref());
            matches!(value, Some("off" | "false"))
        })
    }

    /// Metadata that its pods get: the template's, or a Pod's own.
    pub fn pod_metadata(&self) -> &Metadata<'a> {
        if self.kind == Kind::Pod { &self.metadata } else { &self.template_metadata }
    }

    /// JSON pointer of that metadata.
    pub fn pod_metadata_pointer(&self) -> String {
        format!("{}/metadata", self.template_pointer())
    }

    /// Longest time, in seconds, until a container that uses all the start-up time it is given counts as available (semantics 3). Readiness' own delay
    /// counts from container start too (semantics 2.2), so it adds nothing to a longer start-up.
    pub fn time_to_available(&self, start_up: i64, readiness: Option<Timing>) -> i64 {
        let ready = readiness.map_or(start_up, |timing| start_up.max(timing.initial_delay).saturating_add(timing.recovery()));
        ready.saturating_add(self.min_ready)
    }

    /// Whether a number is one that was filled in, and stands as it was filled in.
    pub fn is_filled(&self, container: &Container<'_>, probe: ProbeKind, leaf: Leaf) -> bool {
        let recorded = self.filled.get(&container.name, probe, leaf);
        recorded.is_some() && recorded == container.probe(probe).and_then(|probe| probe.leaf(leaf))
    }

    /// Whether its pods run until they are told to stop: everything but jobs and bare Pods that do not restart always.
    pub fn is_long_running(&self) -> bool {
        self.kind.runs_on() && (self.kind != Kind::Pod || self.restart_policy.as_deref().is_none_or(|policy| policy == "Always"))
    }

    /// Handler field and host of a probe that asks another machine. An address on the node's network may be the pod's own, and is not reported: when
    /// unsure, no finding.
    pub fn other_host<'p>(&self, probe: &'p Probe<'_>) -> Option<(&'static str, &'p str)> {
        let (handler, host) = probe.handler()?.host()?;
        let maybe_own = self.host_network && host.parse::<std::net::IpAddr>().is_ok();
        (classify_host(Some(host)) == Host::Other && !maybe_own).then_some((handler, host))
    }

    /// JSON pointer of a container. Some hundred are written for a large object, so they are put together rather than formatted.
    pub fn container_pointer(&self, container: &Container<'_>) -> String {
        let (spec, list) = (self.pod_spec_pointer(), container.list.field());
        let mut pointer = String::with_capacity(spec.len() + list.len() + 8);
        for part in [spec, "/", list, "/"] {
            pointer.push_str(part);
        }
        // Writing to a string does not fail.
        let _ = write!(pointer, "{}", container.index);
        pointer
    }

    /// JSON pointer of a probe.
    pub fn probe_pointer(&self, container: &Container<'_>, probe: ProbeKind) -> String {
        [&self.container_pointer(container), "/", probe.field()].concat()
    }

    /// The container of a name.
    pub fn container(&self, name: &str) -> Option<&Container<'a>> {
        self.containers.iter().find(|container| &*container.name == name)
    }
}

fn owner(metadata: &Metadata<'_>, kinds: &Kinds) -> Owner {
    let Some(owner) = metadata.controller() else { return Owner::None };
    match (owner.api_version.as_deref().unwrap_or_default(), owner.kind.as_deref().unwrap_or_default()) {
        ("v1", "Node") => Owner::Node,
        (api_version, kind) if kinds.contains(api_version, kind) => Owner::Judged,
        _ => Owner::Other,
    }
}

fn place(containers: &mut [Container<'_>], list: List) {
    for (index, container) in containers.iter_mut().enumerate() {
        container.list = list;
        container.index = index;
    }
}
