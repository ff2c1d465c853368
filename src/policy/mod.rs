//! What the operator wants: profiles, rules, defaults.

mod choices;
mod compile;
mod config_map;
mod exempt;
mod index;
mod load;
mod matching;
mod profile;
mod refuse;
mod reload;
mod schema;
mod scope;
mod settings;
mod show;
mod sound;
pub mod source;
mod store;
mod validate;

pub use choices::{
    Choices, DefaultsChoice, Exemption as ExemptionChoice, Match, Operator, Override, ProbeDefaultsChoice, Requirement,
    RuleChoice, Selector,
};
pub use compile::{ActiveRule, Policy, Refused};
pub use config_map::{ConfigMapName, KEY, MOST_BYTES, without_key};
pub use exempt::Exemption;
pub use load::{PolicyError, PolicyErrors, load};
pub use profile::{Action, Profile};
pub use reload::{Change, Content, Rejected, Reload};
pub use schema::schema;
pub use scope::{Part, Run, Scope, part_of};
pub use settings::{Defaults, FillWith, OnInternalError, OwnedObjects, ProbeDefaults, Startup};
pub use source::{PolicySource, SourceError};
pub use store::PolicyStore;

/// `apiVersion` of a policy file.
pub const API_VERSION: &str = "probekeeper.dev/v1";
/// `kind` of a policy file.
pub const KIND: &str = "ProbePolicy";
/// Namespaces that registrations of the webhook leave alone: what the cluster itself needs must be able to start.
pub const EXCLUDED_NAMESPACES: [&str; 2] = ["kube-system", "kube-node-lease"];
/// Label of a namespace that registrations leave alone, whatever its value.
pub const IGNORE_LABEL: &str = "probekeeper.dev/ignore";
