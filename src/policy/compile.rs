//! The compiled policy: immutable, complete, and valid by construction.

use std::{fmt, sync::Arc};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    Action, Choices, Defaults, OnInternalError, OwnedObjects, Profile, RuleChoice, Startup,
    exempt::Exemptions,
    scope::{Overrides, Scope},
    show::effective,
};
use crate::{
    model::{Kinds, Workload},
    rules::{Needs, RULES, Rule, RuleDef},
};

/// What is in force. A request sees exactly one of these.
#[derive(Debug)]
pub struct Policy {
    /// The profile that it started from.
    pub profile: Profile,
    /// Twelve hexadecimal digits of a SHA-256 over everything that bears on an answer; the same policy has the same hash in every release that
    /// knows the same rules. The date is not in it.
    pub hash: String,
    /// The rules that run where no override says otherwise, in the order of the catalogue.
    pub rules: Vec<ActiveRule>,
    /// What is filled in where no override says otherwise.
    pub defaults: Defaults,
    /// Start-up allowance.
    pub startup: Startup,
    /// What happens to objects that a controller made whose own kind is judged.
    pub owned_objects: OwnedObjects,
    /// What happens when an object cannot be judged.
    pub on_internal_error: OnInternalError,
    /// The kinds that are judged.
    pub kinds: Kinds,
    /// What is different for some objects.
    pub(super) overrides: Overrides,
    pub(super) exemptions: Exemptions,
    effective: Value,
}

/// A rule that runs.
#[derive(Clone)]
pub struct ActiveRule {
    /// Its metadata.
    pub def: &'static RuleDef,
    /// What happens when it fires; never [`Action::Off`].
    pub action: Action,
    /// What it needs; here too, so that a rule that is not asked is not looked up.
    pub needs: Needs,
    /// Its check, with parameters.
    pub rule: Arc<dyn Rule>,
    /// The parameters, complete.
    pub params: Value,
}

impl fmt::Debug for ActiveRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.def.id, self.action, self.params)
    }
}

/// Parameters that a rule refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", rule.id)]
pub struct Refused {
    /// Which rule.
    pub rule: &'static RuleDef,
    /// In which override they stand; `None`: under `rules`.
    pub in_override: Option<usize>,
    /// What is wrong.
    pub message: String,
}

impl Policy {
    /// The built-in policy of a profile.
    pub fn builtin(profile: Profile) -> Self {
        let choices = Choices { profile, ..Choices::default() };
        Self::compile(&choices).unwrap_or_else(|refused| {
            // Unreachable: a test compiles every profile. An empty policy judges nothing, which is the safe direction.
            tracing::error!(?refused, "built-in profile does not compile");
            Self::assemble(&choices, Overrides::default(), Vec::new())
        })
    }

    /// Compiles the operator's choices. The errors name every rule whose parameters are wrong.
    pub fn compile(choices: &Choices) -> Result<Self, Vec<Refused>> {
        let kinds = Kinds::with(&choices.workloads);
        let overrides = Overrides::new(choices, &kinds)?;
        let rules = RULES.iter().copied().zip(overrides.base()).filter_map(|(def, setting)| {
            let built = overrides.built(setting);
            (setting.action != Action::Off).then(|| ActiveRule {
                def,
                action: setting.action,
                needs: def.needs,
                rule: Arc::clone(&built.rule),
                params: built.params.clone(),
            })
        });
        let rules = rules.collect();
        Ok(Self::assemble(choices, overrides, rules))
    }

    fn assemble(choices: &Choices, overrides: Overrides, rules: Vec<ActiveRule>) -> Self {
        let kinds = Kinds::with(&choices.workloads);
        let effective = effective(choices, &overrides);
        let digest = Sha256::digest(effective.to_string());
        let start = digest.iter().take(6).fold(0_u64, |number, byte| (number << 8) | u64::from(*byte));
        Self {
            profile: choices.profile,
            hash: format!("{start:012x}"),
            rules,
            defaults: choices.defaults,
            startup: choices.startup,
            owned_objects: choices.owned_objects,
            on_internal_error: choices.on_internal_error,
            exemptions: Exemptions::new(&choices.exemptions, &kinds),
            kinds,
            overrides,
            effective,
        }
    }

    /// Everything that is in force, spelt out: what `policy show` prints and what the hash is taken of.
    pub const fn effective(&self) -> &Value {
        &self.effective
    }

    /// Whether a rule is different for some objects or containers.
    pub fn is_overridden(&self, rule: &RuleDef) -> bool {
        self.overrides.speak_of(rule)
    }

    /// Whether the allow annotation counts for a rule, overrides aside.
    pub fn allows_annotation(&self, rule: &RuleDef) -> bool {
        RULES.iter().zip(self.overrides.base()).any(|(def, setting)| *def == rule && setting.allow_annotation())
    }

    /// What holds for a workload and each of its containers.
    pub fn scope(&self, workload: &Workload<'_>) -> Scope<'_> {
        Scope::new(self, workload)
    }
}

/// A rule with parameters, ready to judge.
pub(super) struct BuiltRule {
    pub(super) rule: Arc<dyn Rule>,
    pub(super) params: Value,
}

impl fmt::Debug for BuiltRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.params)
    }
}

/// Builds a rule. Parameters that a profile sets belong to the action that the profile gives (`profile`): who writes an action gets exactly that action.
/// Later choices are laid over earlier ones.
pub(super) fn build(
    def: &'static RuleDef,
    profile: Option<Profile>,
    choices: &[Option<&RuleChoice>],
) -> Result<BuiltRule, String> {
    let profile_params = profile.map(|profile| def.profile_params[profile.column()]).filter(|params| !params.is_empty());
    let mut params = match profile_params {
        Some(text) => serde_json::from_str(text).map_err(|error| error.to_string())?,
        None => json!({}),
    };
    for choice in choices.iter().copied().flatten() {
        if let (Some(Value::Object(chosen)), Value::Object(base)) = (&choice.params, &mut params) {
            base.extend(chosen.clone());
        }
    }
    let (rule, params) = (def.build)(params)?;
    Ok(BuiltRule { rule: rule.into(), params })
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
