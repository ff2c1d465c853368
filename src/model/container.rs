//! Containers: what of them bears on probes.

use serde::{Deserialize, de::IgnoredAny};

use super::{
    Json, Text,
    decode::nullable,
    json::Verbatim,
    pre_stop::PreStop,
    probe::{Exec, PortRef, Probe, ProbeKind},
};

/// A container of the pod template.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Container<'a> {
    /// Unique within the pod.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub name: Text<'a>,
    /// Absent in patches that are no whole objects.
    #[serde(borrow, default)]
    pub image: Option<Text<'a>>,
    /// Declared ports. Declaring a number is optional, declaring a name is what makes the name usable.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub ports: Vec<ContainerPort<'a>>,
    /// Environment, left raw: only the reading of commands needs it ([`Container::variables`]), and it is often the larger part of a container.
    #[serde(borrow, default)]
    pub(super) env: Option<RawEnv<'a>>,
    /// Liveness probe.
    #[serde(borrow, default)]
    pub liveness_probe: Option<Box<Probe<'a>>>,
    /// Readiness probe.
    #[serde(borrow, default)]
    pub readiness_probe: Option<Box<Probe<'a>>>,
    /// Startup probe.
    #[serde(borrow, default)]
    pub startup_probe: Option<Box<Probe<'a>>>,
    /// Hooks.
    #[serde(borrow, default)]
    pub lifecycle: Option<Lifecycle<'a>>,
    /// `Always` on an init container makes it a native sidecar; on any container it overrides the pod's.
    #[serde(borrow, default)]
    pub restart_policy: Option<Text<'a>>,
    /// Exceptions to the restart policy by exit code; only whether there are any.
    #[serde(default)]
    pub restart_policy_rules: Option<IgnoredAny>,
    /// All of it.
    #[serde(skip)]
    pub(crate) text: Verbatim<'a>,
    /// Which list of the pod spec holds it. Not part of the JSON.
    #[serde(skip)]
    pub list: List,
    /// Index in that list. Not part of the JSON.
    #[serde(skip)]
    pub index: usize,
}

/// The list of the pod spec that holds a container.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Hash)]
pub enum List {
    /// `containers`.
    #[default]
    Regular,
    /// `initContainers`.
    Init,
}

impl List {
    /// The JSON field.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Regular => "containers",
            Self::Init => "initContainers",
        }
    }
}

impl<'a> Container<'a> {
    /// The environment, in the order of the input; what cannot be read as such is left out.
    pub fn variables(&self) -> Vec<EnvVar<'a>> {
        self.env.as_ref().map(RawEnv::variables).unwrap_or_default()
    }

    /// The probe of a kind, as written.
    pub fn probe(&self, kind: ProbeKind) -> Option<&Probe<'a>> {
        match kind {
            ProbeKind::Liveness => self.liveness_probe.as_deref(),
            ProbeKind::Readiness => self.readiness_probe.as_deref(),
            ProbeKind::Startup => self.startup_probe.as_deref(),
        }
    }

    /// The place of a probe.
    pub(crate) const fn probe_place(&mut self, kind: ProbeKind) -> &mut Option<Box<Probe<'a>>> {
        match kind {
            ProbeKind::Liveness => &mut self.liveness_probe,
            ProbeKind::Readiness => &mut self.readiness_probe,
            ProbeKind::Startup => &mut self.startup_probe,
        }
    }

    /// Whether there is a preStop hook.
    pub fn has_pre_stop(&self) -> bool {
        self.lifecycle.as_ref().is_some_and(|lifecycle| lifecycle.pre_stop.is_some())
    }

    /// Gives it a preStop sleep of so many seconds, or takes its preStop hook away.
    pub(crate) fn set_pre_stop_sleep(&mut self, seconds: Option<i64>) {
        let hook = seconds
            .map(|seconds| LifecycleHandler { sleep: Some(Sleep { seconds: Some(seconds) }), ..LifecycleHandler::default() });
        match (&mut self.lifecycle, hook) {
            (Some(lifecycle), hook) => lifecycle.pre_stop = hook,
            (None, Some(hook)) => self.lifecycle = Some(Lifecycle { pre_stop: Some(hook) }),
            (None, None) => {}
        }
    }

    /// The probe of a kind, if the API server would accept it: what it refuses anyway is not judged twice.
    pub fn valid_probe(&self, kind: ProbeKind) -> Option<&Probe<'a>> {
        self.probe(kind).filter(|probe| probe.is_valid(kind))
    }

    /// Whether there is a probe of any kind, valid or not.
    pub fn has_probe(&self) -> bool {
        ProbeKind::ALL.into_iter().any(|kind| self.probe(kind).is_some())
    }

    /// Name or number of the first declared port that is not for metrics: the sign that a Service sends it requests. Sidecars of meshes do not serve.
    pub fn serving_port(&self) -> Option<String> {
        self.ports.iter().find_map(|port| match (port.name.as_deref(), port.container_port) {
            (Some(name), _) if name.split('-').any(|part| matches!(part, "metrics" | "prometheus" | "prom")) => None,
            (Some(name), _) if !name.is_empty() => Some(name.to_owned()),
            (_, number) => number.map(|number| number.to_string()),
        })
    }

    /// The declared ports that a probe's port means: those of the name, or all with the number (one number may be declared for TCP and UDP).
    pub fn declared<'c>(&'c self, port: &'c PortRef<'_>) -> impl Iterator<Item = &'c ContainerPort<'a>> {
        self.ports.iter().filter(move |declared| match port {
            PortRef::Name(name) => declared.name.as_deref() == Some(&**name),
            PortRef::Number(number) => declared.container_port == Some(*number),
        })
    }

    /// How long the preStop hook takes.
    pub fn pre_stop(&self) -> PreStop {
        self.lifecycle.as_ref().and_then(|lifecycle| lifecycle.pre_stop.as_ref()).map_or(PreStop::NONE, PreStop::of)
    }

    /// All valid probes, in the order liveness, readiness, startup.
    pub fn valid_probes(&self) -> impl Iterator<Item = (ProbeKind, &Probe<'a>)> {
        ProbeKind::ALL.into_iter().filter_map(|kind| Some((kind, self.valid_probe(kind)?)))
    }
}

/// The ports that mesh injectors rewrite probes to.
pub const MESH_PORTS: [i64; 2] = [15020, 15021];

/// The sidecars of the common service meshes: their probes are the mesh's own, no author of a workload can change them, and injectors rewrite ports.
pub const MESH_SIDECARS: [&str; 3] = ["istio-proxy", "linkerd-proxy", "linkerd-debug"];

pub(super) fn is_mesh_sidecar(container: &Container<'_>) -> bool {
    MESH_SIDECARS.contains(&&*container.name)
}

/// A declared port.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerPort<'a> {
    /// IANA service name, at most 15 characters.
    #[serde(borrow, default)]
    pub name: Option<Text<'a>>,
    /// 1..=65535.
    #[serde(default)]
    pub container_port: Option<i64>,
    /// `TCP` when absent.
    #[serde(borrow, default)]
    pub protocol: Option<Text<'a>>,
}

/// The environment as bytes. They hold values, so only the names are ever shown.
#[derive(Clone, Deserialize)]
pub(super) struct RawEnv<'a>(#[serde(borrow)] pub(super) Json<'a>);

impl<'a> RawEnv<'a> {
    fn variables(&self) -> Vec<EnvVar<'a>> {
        serde_json::from_str(self.0.get()).unwrap_or_default()
    }
}

impl std::fmt::Debug for RawEnv<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.variables().fmt(f)
    }
}

/// An environment variable. Its value is never logged or printed.
#[derive(Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EnvVar<'a> {
    /// Name.
    #[serde(borrow, default, deserialize_with = "nullable")]
    pub name: Text<'a>,
    /// Literal value.
    #[serde(borrow, default)]
    pub value: Option<Text<'a>>,
    /// A value from elsewhere; the kubelet does not expand `$(NAME)` from these in probes (semantics 2.10).
    #[serde(borrow, default)]
    pub value_from: Option<ValueFrom<'a>>,
}

impl std::fmt::Debug for EnvVar<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EnvVar").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Where a variable's value comes from; only field references matter here.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ValueFrom<'a> {
    /// A field of the pod.
    #[serde(borrow, default)]
    pub field_ref: Option<FieldRef<'a>>,
}

/// A reference to a field of the pod.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldRef<'a> {
    /// As `status.podIP`.
    #[serde(borrow, default)]
    pub field_path: Option<Text<'a>>,
}

/// Lifecycle hooks.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lifecycle<'a> {
    /// Runs before the container gets its signal to stop.
    #[serde(borrow, default)]
    pub pre_stop: Option<LifecycleHandler<'a>>,
}

/// One hook.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LifecycleHandler<'a> {
    /// A command.
    #[serde(borrow, default)]
    pub exec: Option<Exec<'a>>,
    /// A pause.
    #[serde(default)]
    pub sleep: Option<Sleep>,
    /// An HTTP request; only whether there is one.
    #[serde(default)]
    pub http_get: Option<IgnoredAny>,
    /// A connection; ignored by the kubelet, and only whether there is one.
    #[serde(default)]
    pub tcp_socket: Option<IgnoredAny>,
}

/// A pause, in seconds.
#[derive(Debug, Default, Clone, Deserialize)]
pub struct Sleep {
    /// 0..=the pod's grace period.
    #[serde(default)]
    pub seconds: Option<i64>,
}
