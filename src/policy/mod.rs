//! What the operator wants: profiles, rules, defaults.

mod compile;
mod load;
mod profile;
mod schema;
mod source;
mod store;
mod validate;

pub use compile::{
    ActiveRule, Choices, Defaults, FillWith, OnInternalError, OwnedObjects, Policy, ProbeDefaults, RuleChoice, Startup,
};
pub use load::{PolicyError, PolicyErrors, load};
pub use profile::{Action, Profile};
pub use schema::schema;
pub use source::{PolicySource, SourceError};
pub use store::PolicyStore;

/// `apiVersion` of a policy file.
pub const API_VERSION: &str = "probekeeper.dev/v1";
/// `kind` of a policy file.
pub const KIND: &str = "ProbePolicy";
