//! What the operator wants: profiles, rules, defaults.

mod compile;
mod profile;

pub use compile::{
    ActiveRule, Choices, Defaults, FillWith, OnInternalError, OwnedObjects, Policy, ProbeDefaults, RuleChoice, Startup,
};
pub use profile::{Action, Profile};

/// `apiVersion` of a policy file.
pub const API_VERSION: &str = "probekeeper.dev/v1";
/// `kind` of a policy file.
pub const KIND: &str = "ProbePolicy";
