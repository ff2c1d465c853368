//! A policy as read, before it is compiled: only what the operator wrote.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde_json::Value;

use super::{Action, Defaults, FillWith, OnInternalError, OwnedObjects, Profile, Startup};
use crate::{model::CustomKind, rules::RuleDef};

/// A policy as read, before it is compiled.
#[derive(Debug, Clone, Default)]
pub struct Choices {
    /// The profile to start from.
    pub profile: Profile,
    /// By rule.
    pub rules: Vec<(&'static RuleDef, RuleChoice)>,
    /// What is filled in.
    pub defaults: Defaults,
    /// What is different for some objects; for each setting the first that matches and says something counts.
    pub overrides: Vec<Override>,
    /// What is right to break somewhere.
    pub exemptions: Vec<Exemption>,
    /// Further kinds that carry a pod template.
    pub workloads: Vec<CustomKind>,
    /// Start-up allowance.
    pub startup: Startup,
    /// See [`OwnedObjects`].
    pub owned_objects: OwnedObjects,
    /// See [`OnInternalError`].
    pub on_internal_error: OnInternalError,
}

/// The operator's choice for one rule. Each member is a setting of its own.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RuleChoice {
    /// `None`: the profile's.
    pub action: Option<Action>,
    /// `None`: the profile's. In an override they are laid over those of the policy's own `rules`, parameter by parameter.
    pub params: Option<Value>,
    /// Whether the allow annotation counts for it; `None`: it does.
    pub allow_annotation: Option<bool>,
}

/// Settings for some objects or containers.
#[derive(Debug, Clone, Default)]
pub struct Override {
    /// Which.
    pub matching: Match,
    /// By rule.
    pub rules: Vec<(&'static RuleDef, RuleChoice)>,
    /// What is filled in.
    pub defaults: DefaultsChoice,
}

/// What is filled in, as far as it is said. Each member is a setting of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DefaultsChoice {
    /// Liveness probes.
    pub liveness: ProbeDefaultsChoice,
    /// Readiness probes.
    pub readiness: ProbeDefaultsChoice,
    /// Startup probes.
    pub startup: ProbeDefaultsChoice,
    /// See [`Defaults::liveness_grace`].
    pub liveness_grace: Option<FillWith>,
    /// See [`Defaults::add_startup_probe`].
    pub add_startup_probe: Option<bool>,
    /// See [`Defaults::pre_stop_sleep_seconds`].
    pub pre_stop_sleep_seconds: Option<i64>,
    /// See [`Defaults::fill_unknown`].
    pub fill_unknown: Option<bool>,
}

/// What is filled in for one kind of probe, as far as it is said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProbeDefaultsChoice {
    /// Seconds.
    pub initial_delay: Option<FillWith>,
    /// Seconds.
    pub timeout: Option<FillWith>,
    /// Seconds.
    pub period: Option<FillWith>,
    /// Count.
    pub failure_threshold: Option<FillWith>,
}

impl DefaultsChoice {
    /// Says what `other` says where this one says nothing.
    pub(super) fn or(&mut self, other: &Self) {
        let Self { liveness, readiness, startup, liveness_grace, add_startup_probe, pre_stop_sleep_seconds, fill_unknown } = self;
        liveness.or(other.liveness);
        readiness.or(other.readiness);
        startup.or(other.startup);
        *liveness_grace = liveness_grace.or(other.liveness_grace);
        *add_startup_probe = add_startup_probe.or(other.add_startup_probe);
        *pre_stop_sleep_seconds = pre_stop_sleep_seconds.or(other.pre_stop_sleep_seconds);
        *fill_unknown = fill_unknown.or(other.fill_unknown);
    }

    /// The defaults that result when `base` holds for everything else.
    pub(super) fn over(&self, base: Defaults) -> Defaults {
        Defaults {
            liveness: self.liveness.over(base.liveness),
            readiness: self.readiness.over(base.readiness),
            startup: self.startup.over(base.startup),
            liveness_grace: self.liveness_grace.unwrap_or(base.liveness_grace),
            add_startup_probe: self.add_startup_probe.unwrap_or(base.add_startup_probe),
            pre_stop_sleep_seconds: self.pre_stop_sleep_seconds.unwrap_or(base.pre_stop_sleep_seconds),
            fill_unknown: self.fill_unknown.unwrap_or(base.fill_unknown),
        }
    }

    /// Whether `earlier` says all that this one says, so that nothing of this one is left.
    pub(super) fn is_said_by(&self, earlier: &Self) -> bool {
        let mut both = *earlier;
        both.or(self);
        both == *earlier
    }
}

impl ProbeDefaultsChoice {
    fn or(&mut self, other: Self) {
        self.initial_delay = self.initial_delay.or(other.initial_delay);
        self.timeout = self.timeout.or(other.timeout);
        self.period = self.period.or(other.period);
        self.failure_threshold = self.failure_threshold.or(other.failure_threshold);
    }

    fn over(self, base: super::ProbeDefaults) -> super::ProbeDefaults {
        super::ProbeDefaults {
            initial_delay: self.initial_delay.unwrap_or(base.initial_delay),
            timeout: self.timeout.unwrap_or(base.timeout),
            period: self.period.unwrap_or(base.period),
            failure_threshold: self.failure_threshold.unwrap_or(base.failure_threshold),
        }
    }
}

/// Rules that are right to break somewhere.
#[derive(Debug, Clone)]
pub struct Exemption {
    /// Where.
    pub matching: Match,
    /// Which; empty: all.
    pub rules: Vec<&'static RuleDef>,
    /// Why.
    pub reason: String,
    /// The last day, in UTC, on which it applies.
    pub until: Option<Date>,
}

/// Which objects and containers are meant. Everything that is said must fit; of a list one entry must. An empty list says nothing.
///
/// In patterns `*` stands for any number of characters, `/` among them, and `?` for one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Match {
    /// Patterns of namespaces. An object whose namespace is not known (a file that leaves it to the command line) fits only `*`.
    pub namespaces: Vec<String>,
    /// Patterns of kinds.
    pub kinds: Vec<String>,
    /// Labels of the object and of its pod template; where both have a key, the object's own counts.
    pub labels: Selector,
    /// Patterns of container names. With these or `images`, only findings about such containers and their probes are meant, none about the
    /// object as a whole.
    pub containers: Vec<String>,
    /// Patterns of images, as written in the container.
    pub images: Vec<String>,
}

/// A label selector. All of it must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selector {
    /// Key and value.
    pub labels: BTreeMap<String, String>,
    /// Further requirements.
    pub expressions: Vec<Requirement>,
}

/// A requirement on one label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The label.
    pub key: String,
    /// What is asked of it.
    pub operator: Operator,
    /// For [`Operator::In`] and [`Operator::NotIn`].
    pub values: Vec<String>,
}

/// What is asked of a label. A label that is not there is `NotIn` anything, as in Kubernetes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
pub enum Operator {
    /// Its value is one of these.
    In,
    /// Its value is none of these.
    NotIn,
    /// It is there.
    Exists,
    /// It is not there.
    DoesNotExist,
}

impl Operator {
    /// The word in a selector.
    pub const fn name(self) -> &'static str {
        match self {
            Self::In => "In",
            Self::NotIn => "NotIn",
            Self::Exists => "Exists",
            Self::DoesNotExist => "DoesNotExist",
        }
    }

    /// Whether it is about values.
    pub const fn takes_values(self) -> bool {
        matches!(self, Self::In | Self::NotIn)
    }
}
