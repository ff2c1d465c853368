//! The catalogue: what can be wrong with a probe. A rule sees a workload and reports findings; it cannot know which front called it.
//!
//! Adding a rule is one file, one `mod` line and one entry in [`RULES`]; a test compares the three and the fixture folder.

#[macro_use]
mod declare;
mod finding;

mod aggressive_liveness;
mod hair_trigger_liveness;
mod liveness_calls_other_service;
mod liveness_not_slower_than_readiness;
mod loopback_host;
mod missing_readiness;
mod no_startup_allowance;
mod readiness_calls_other_service;
mod readiness_cannot_fail;
mod timeout_exceeds_period;
mod unknown_port_name;
mod unusable_path;

pub use declare::{Built, Rule, RuleDef};
pub use finding::{Context, Finding, Findings};
pub(crate) use unusable_path::is_requested_as_written;

/// Every rule, in the order of documentation: first what cannot work, then what causes outages, then what is careless.
pub static RULES: &[&RuleDef] = &[
    &unknown_port_name::DEF,
    &unusable_path::DEF,
    &loopback_host::DEF,
    &liveness_calls_other_service::DEF,
    &readiness_calls_other_service::DEF,
    &readiness_cannot_fail::DEF,
    &hair_trigger_liveness::DEF,
    &aggressive_liveness::DEF,
    &liveness_not_slower_than_readiness::DEF,
    &no_startup_allowance::DEF,
    &timeout_exceeds_period::DEF,
    &missing_readiness::DEF,
];

/// The rule of an identifier.
pub fn find(id: &str) -> Option<&'static RuleDef> {
    RULES.iter().copied().find(|rule| rule.id == id)
}

/// The known identifier that a mistyped one probably means.
pub fn suggest(id: &str) -> Option<&'static str> {
    closest(id, RULES.iter().map(|rule| rule.id))
}

/// The candidate nearest to a mistyped word, if one is near enough to be meant.
pub fn closest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(similarity, _)| *similarity > 0.8)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}
