//! The compiled policy: immutable, complete, and valid by construction.

use std::fmt;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Action, Profile};
use crate::rules::{RULES, Rule, RuleDef};

/// What is in force. A request sees exactly one of these.
#[derive(Debug)]
pub struct Policy {
    /// The profile that it started from.
    pub profile: Profile,
    /// Twelve hexadecimal digits of a SHA-256 over everything that bears on an answer; the same policy has the same hash in every release that
    /// knows the same rules.
    pub hash: String,
    /// The rules that run, in the order of the catalogue.
    pub rules: Vec<ActiveRule>,
    /// What is filled in.
    pub defaults: Defaults,
    /// Start-up allowance.
    pub startup: Startup,
    /// What happens to objects that a controller made whose own kind is judged.
    pub owned_objects: OwnedObjects,
    /// What happens when an object cannot be judged.
    pub on_internal_error: OnInternalError,
}

/// A rule that runs.
pub struct ActiveRule {
    /// Its metadata.
    pub def: &'static RuleDef,
    /// What happens when it fires; never [`Action::Off`].
    pub action: Action,
    /// Its check, with parameters.
    pub rule: Box<dyn Rule>,
    /// The parameters, complete.
    pub params: Value,
}

impl fmt::Debug for ActiveRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.def.id, self.action, self.params)
    }
}

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
    fn json(self) -> Value {
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

    fn json(self) -> Value {
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
}

impl Default for Startup {
    fn default() -> Self {
        // The lowest guaranteed start-up that `no-startup-allowance` accepts; of 199 probes scanned in public repositories 17 guaranteed less
        // (docs/probe-semantics.md 6).
        Self { allowance_seconds: 30 }
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

/// The operator's choice for one rule.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RuleChoice {
    /// `None`: the profile's.
    pub action: Option<Action>,
    /// `None`: the profile's.
    pub params: Option<Value>,
}

/// A policy as read, before it is compiled: only what the operator wrote.
#[derive(Debug, Clone, Default)]
pub struct Choices {
    /// The profile to start from.
    pub profile: Profile,
    /// By rule.
    pub rules: Vec<(&'static RuleDef, RuleChoice)>,
    /// What is filled in.
    pub defaults: Defaults,
    /// Start-up allowance.
    pub startup: Startup,
    /// See [`OwnedObjects`].
    pub owned_objects: OwnedObjects,
    /// See [`OnInternalError`].
    pub on_internal_error: OnInternalError,
}

impl Policy {
    /// The built-in policy of a profile.
    pub fn builtin(profile: Profile) -> Self {
        Self::compile(&Choices { profile, ..Choices::default() }).unwrap_or_else(|(_, error)| {
            // Unreachable: a test compiles every profile. An empty policy judges nothing, which is the safe direction.
            tracing::error!(%error, "built-in profile does not compile");
            Self::assemble(&Choices { profile, ..Choices::default() }, Vec::new())
        })
    }

    /// Compiles the operator's choices. The error names the rule whose parameters are wrong.
    pub fn compile(choices: &Choices) -> Result<Self, (&'static RuleDef, String)> {
        let mut rules = Vec::new();
        for def in RULES.iter().copied() {
            let choice = choices.rules.iter().find(|(rule, _)| *rule == def).map(|(_, choice)| choice);
            let active = activate(def, choices.profile, choice).map_err(|error| (def, error))?;
            rules.extend(active);
        }
        Ok(Self::assemble(choices, rules))
    }

    fn assemble(choices: &Choices, rules: Vec<ActiveRule>) -> Self {
        let mut policy = Self {
            profile: choices.profile,
            hash: String::new(),
            rules,
            defaults: choices.defaults,
            startup: choices.startup,
            owned_objects: choices.owned_objects,
            on_internal_error: choices.on_internal_error,
        };
        let digest = Sha256::digest(policy.effective().to_string());
        let start = digest.iter().take(6).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
        policy.hash = format!("{start:012x}");
        policy
    }

    /// Everything that is in force, spelt out: what `policy show` prints and what the hash is taken of.
    pub fn effective(&self) -> Value {
        let rules: serde_json::Map<String, Value> = RULES
            .iter()
            .map(|def| {
                let active = self.rules.iter().find(|active| active.def == *def);
                let entry = match active {
                    None => json!("off"),
                    Some(active) if active.params.as_object().is_none_or(serde_json::Map::is_empty) => {
                        json!(active.action.name())
                    }
                    Some(active) => json!({ "action": active.action.name(), "params": active.params }),
                };
                (def.id.to_owned(), entry)
            })
            .collect();
        let mut liveness = self.defaults.liveness.json();
        liveness["terminationGracePeriodSeconds"] = self.defaults.liveness_grace.json();
        json!({
            "apiVersion": super::API_VERSION,
            "kind": super::KIND,
            "profile": self.profile.name(),
            "rules": rules,
            "defaults": {
                "livenessProbe": liveness,
                "readinessProbe": self.defaults.readiness.json(),
                "startupProbe": self.defaults.startup.json(),
                "addStartupProbe": self.defaults.add_startup_probe,
                "addPreStopSleepSeconds": self.defaults.pre_stop_sleep_seconds,
                "unknownIntent": if self.defaults.fill_unknown { "fill" } else { "leave" },
            },
            "startup": { "allowanceSeconds": self.startup.allowance_seconds },
            "ownedObjects": self.owned_objects.name(),
            "onInternalError": self.on_internal_error.name(),
        })
    }
}

fn activate(def: &'static RuleDef, profile: Profile, choice: Option<&RuleChoice>) -> Result<Option<ActiveRule>, String> {
    let chosen_action = choice.and_then(|choice| choice.action);
    // Parameters that a profile sets belong to the action that the profile gives: who writes an action gets exactly that action.
    let profile_params = match chosen_action {
        None => Some(def.profile_params[profile.column()]).filter(|params| !params.is_empty()),
        Some(_) => None,
    };
    let mut params = match profile_params {
        Some(text) => serde_json::from_str(text).map_err(|error| error.to_string())?,
        None => json!({}),
    };
    if let (Some(Value::Object(chosen)), Value::Object(base)) = (choice.and_then(|choice| choice.params.as_ref()), &mut params) {
        base.extend(chosen.clone());
    }
    let (rule, params) = (def.build)(params)?;
    let action = chosen_action.unwrap_or_else(|| def.action(profile));
    Ok((action != Action::Off).then_some(ActiveRule { def, action, rule, params }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_profile_compiles_and_has_a_hash_of_its_own() {
        let hashes: Vec<String> = Profile::ALL
            .into_iter()
            .map(|profile| Policy::compile(&Choices { profile, ..Choices::default() }).expect("a profile").hash)
            .collect();
        assert_eq!(hashes.iter().collect::<std::collections::HashSet<_>>().len(), 3, "{hashes:?}");
    }
}
