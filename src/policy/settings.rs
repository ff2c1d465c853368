//! The settings of a policy that are no rules.

use serde_json::{Value, json};

/// What a leaf is filled with where its author left it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FillWith {
    /// Computed: see `engine::defaults`.
    Auto,
    /// This number.
    Value(i64),
    /// Nothing: the API server's default stays.
    Leave,
}

impl FillWith {
    pub(super) fn json(self) -> Value {
        match self {
            Self::Auto => json!("auto"),
            Self::Leave => json!("leave"),
            Self::Value(value) => json!(value),
        }
    }
}

/// What is filled in for one kind of probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProbeDefaults {
    /// Seconds.
    pub initial_delay: FillWith,
    /// Seconds.
    pub timeout: FillWith,
    /// Seconds. There is no computed value: `auto` leaves it.
    pub period: FillWith,
    /// Count.
    pub failure_threshold: FillWith,
}

impl ProbeDefaults {
    /// Everything that has a computed value.
    pub const AUTO: Self = Self {
        initial_delay: FillWith::Auto,
        timeout: FillWith::Auto,
        period: FillWith::Leave,
        failure_threshold: FillWith::Auto,
    };

    pub(super) fn json(self) -> Value {
        json!({
            "initialDelaySeconds": self.initial_delay.json(),
            "timeoutSeconds": self.timeout.json(),
            "periodSeconds": self.period.json(),
            "failureThreshold": self.failure_threshold.json(),
        })
    }
}

/// What is filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Defaults {
    /// Liveness probes.
    pub liveness: ProbeDefaults,
    /// Readiness probes.
    pub readiness: ProbeDefaults,
    /// Startup probes.
    pub startup: ProbeDefaults,
    /// `terminationGracePeriodSeconds` of liveness probes.
    pub liveness_grace: FillWith,
    /// Whether a startup probe is added where there is none, with the handler of the liveness probe.
    pub add_startup_probe: bool,
    /// Seconds of the preStop sleep that is added where a container serves and has no preStop hook; 0: none.
    pub pre_stop_sleep_seconds: i64,
    /// On CREATE, whether a value counts as omitted that equals the API default and that nothing says who set.
    pub fill_unknown: bool,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            liveness: ProbeDefaults::AUTO,
            readiness: ProbeDefaults::AUTO,
            startup: ProbeDefaults::AUTO,
            liveness_grace: FillWith::Leave,
            add_startup_probe: false,
            pre_stop_sleep_seconds: 0,
            fill_unknown: true,
        }
    }
}

/// Start-up allowance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Startup {
    /// Seconds that a container gets to start where nothing better is known.
    pub allowance_seconds: i64,
    /// Whether an allowance is learned from how long containers took.
    pub learning: bool,
    /// Least learned allowance, in seconds.
    pub min_seconds: i64,
    /// Most learned allowance, in seconds.
    pub max_seconds: i64,
}

impl Startup {
    pub(super) fn json(self) -> Value {
        json!({
            "allowanceSeconds": self.allowance_seconds,
            "learning": self.learning,
            "minSeconds": self.min_seconds,
            "maxSeconds": self.max_seconds,
        })
    }
}

impl Default for Startup {
    fn default() -> Self {
        // The lowest guaranteed start-up that `no-startup-allowance` accepts; of 199 probes scanned in public repositories 17 guaranteed less
        // (docs/probe-semantics.md 6).
        // Learned ones stay between a start that needs no allowance and ten minutes, when a Deployment's rollout has failed by default.
        Self { allowance_seconds: 30, learning: false, min_seconds: 10, max_seconds: 600 }
    }
}

/// What happens to objects that a controller made whose own kind is judged. They are never patched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OwnedObjects {
    /// Denials become warnings: denying the child of an old violating Deployment would hang its rollout.
    #[default]
    Warn,
    /// Not looked at.
    Skip,
    /// Denied like any other.
    Deny,
}

impl OwnedObjects {
    /// The word in a policy file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Skip => "skip",
            Self::Deny => "deny",
        }
    }
}

/// What happens when an object cannot be judged for a fault that is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnInternalError {
    /// Allowed, with a warning and a counter.
    #[default]
    Allow,
    /// HTTP 500, and the cluster's `failurePolicy` decides.
    Fail,
}

impl OnInternalError {
    /// The word in a policy file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Fail => "fail",
        }
    }
}
