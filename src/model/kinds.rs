//! Which kinds are judged: Kubernetes' own, and those that the policy adds.

use std::sync::Arc;

use super::{Kind, Workload};

/// A further kind that carries a pod template, as a policy names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CustomKind {
    /// `group/version`. Any version of the group is judged.
    pub api_version: String,
    /// As in a manifest.
    pub kind: String,
    /// Plural, as in webhook rules and access rights.
    pub resource: String,
    /// RFC 6901 pointer to the pod template, as `/spec/template`.
    pub template: String,
}

impl CustomKind {
    /// API group.
    pub fn group(&self) -> &str {
        group(&self.api_version)
    }
}

fn group(api_version: &str) -> &str {
    api_version.rsplit_once('/').map_or("", |(group, _)| group)
}

/// A custom kind, ready for lookups.
#[derive(Debug, PartialEq, Eq)]
pub struct Custom {
    /// As in the policy.
    pub definition: CustomKind,
    /// Its place among the custom kinds of the policy.
    pub index: usize,
    /// Pointer to the pod spec.
    pub(super) pod_spec: String,
    /// Where the permissive view has the template.
    pub(super) place: TemplatePlace,
}

/// Where the permissive view has a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TemplatePlace {
    /// `/spec/template`.
    Template,
    /// `/spec/jobTemplate/spec/template`.
    JobTemplate,
    /// Nowhere: it is read by its pointer.
    Elsewhere,
}

/// The kinds that are judged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kinds {
    custom: Vec<Arc<Custom>>,
}

/// A kind that is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Which; [`Kind::Custom`] for all that policies add.
    pub kind: Kind,
    /// The custom kind.
    pub custom: Option<Arc<Custom>>,
}

impl Known {
    /// Whether the permissive view of an object has this kind's template. Otherwise only the object's own text has it.
    pub fn is_in_view(&self) -> bool {
        self.custom.as_ref().is_none_or(|custom| custom.place != TemplatePlace::Elsewhere)
    }
}

impl From<Kind> for Known {
    fn from(kind: Kind) -> Self {
        Self { kind, custom: None }
    }
}

impl Kinds {
    /// Only Kubernetes' own.
    pub const BUILT_IN: Self = Self { custom: Vec::new() };

    /// Kubernetes' own and these.
    pub fn with(custom: &[CustomKind]) -> Self {
        let custom = custom.iter().enumerate().map(|(index, definition)| {
            let place = match &*definition.template {
                "/spec/template" => TemplatePlace::Template,
                "/spec/jobTemplate/spec/template" => TemplatePlace::JobTemplate,
                _ => TemplatePlace::Elsewhere,
            };
            let pod_spec = format!("{}/spec", definition.template);
            Arc::new(Custom { definition: definition.clone(), index, pod_spec, place })
        });
        Self { custom: custom.collect() }
    }

    /// Kubernetes' own, and the one that a workload is.
    pub(super) fn like(workload: &Workload<'_>) -> Self {
        Self { custom: workload.custom.iter().cloned().collect() }
    }

    /// The kind of an object, if it is judged.
    pub fn find(&self, api_version: &str, kind: &str) -> Option<Known> {
        if let Some(kind) = Kind::of(api_version, kind) {
            return Some(kind.into());
        }
        self.find_custom(api_version, kind).map(|custom| Known { kind: Kind::Custom, custom: Some(Arc::clone(custom)) })
    }

    /// Whether objects of a kind are judged.
    pub fn contains(&self, api_version: &str, kind: &str) -> bool {
        Kind::of(api_version, kind).is_some() || self.find_custom(api_version, kind).is_some()
    }

    fn find_custom(&self, api_version: &str, kind: &str) -> Option<&Arc<Custom>> {
        self.custom.iter().find(|custom| custom.definition.kind == kind && custom.definition.group() == group(api_version))
    }

    /// The kinds that the policy adds, in its order.
    pub fn custom(&self) -> impl Iterator<Item = &CustomKind> {
        self.custom.iter().map(|custom| &custom.definition)
    }

    /// The name of every kind.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        Kind::ALL.iter().map(|kind| kind.name()).chain(self.custom().map(|custom| &*custom.kind))
    }
}
