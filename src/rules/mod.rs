//! The catalogue: what can be wrong with a probe. A rule sees a workload and reports findings; it cannot know which front called it.
//!
//! Adding a rule is one file, one `mod` line and one entry in [`RULES`]; a test compares the three and the fixture folder.

#[macro_use]
mod declare;
mod finding;

mod aggressive_liveness;
mod allow;
mod costly_exec;
mod credential_in_header;
mod default_timeout;
mod exec_http_client;
mod exec_ignores_http_status;
mod exec_unexpanded_variable;
mod explicit_host;
mod frequent_exec;
mod grpc_over_http;
mod grpc_over_tcp;
mod hair_trigger_liveness;
mod ineffective_allow;
mod liveness_calls_other_service;
mod liveness_cannot_fail;
mod liveness_checks_dependencies;
mod liveness_never_restarts;
mod liveness_not_slower_than_readiness;
mod liveness_without_readiness;
mod long_initial_delay;
mod loopback_host;
mod mesh_rewrite_disabled;
mod missing_liveness;
mod missing_prestop;
mod missing_readiness;
mod missing_startup;
mod needs;
mod no_probes;
mod no_startup_allowance;
mod non_tcp_port;
mod pdb_blocks_unready;
mod prestop_exceeds_grace;
mod probe_changes_state;
mod probe_grace_below_prestop;
mod probe_on_job;
mod readiness_calls_data_store;
mod readiness_calls_other_service;
mod readiness_cannot_fail;
mod readiness_cycle;
mod redundant_initial_delay;
mod required_probes;
mod same_liveness_and_readiness;
mod scheme_mismatch;
mod service_ignores_readiness;
mod service_port_mismatch;
mod single_failure_liveness;
mod single_failure_readiness;
mod slow_readiness;
mod slow_recovery;
mod slow_termination;
mod startup_budget_too_large;
mod startup_budget_too_small;
mod startup_exceeds_progress_deadline;
mod startup_probe_alone;
mod timeout_exceeds_period;
mod undeclared_port;
mod unknown_port_name;
mod unusable_path;

pub use allow::Allow;
pub use declare::{Built, Rule, RuleDef};
use finding::shorten;
pub use finding::{Context, Finding, Findings, Words};
pub use needs::{Needs, Parts};
pub(crate) use unusable_path::is_requested_as_written;

/// Every rule, in the order of documentation: first what cannot work, then what causes outages, then what is careless.
pub static RULES: &[&RuleDef] = &[
    &unknown_port_name::DEF,
    &unusable_path::DEF,
    &loopback_host::DEF,
    &explicit_host::DEF,
    &non_tcp_port::DEF,
    &scheme_mismatch::DEF,
    &grpc_over_http::DEF,
    &undeclared_port::DEF,
    &mesh_rewrite_disabled::DEF,
    &probe_changes_state::DEF,
    &liveness_calls_other_service::DEF,
    &readiness_calls_other_service::DEF,
    &readiness_calls_data_store::DEF,
    &readiness_cycle::DEF,
    &readiness_cannot_fail::DEF,
    &liveness_cannot_fail::DEF,
    &exec_unexpanded_variable::DEF,
    &exec_ignores_http_status::DEF,
    &hair_trigger_liveness::DEF,
    &aggressive_liveness::DEF,
    &single_failure_liveness::DEF,
    &liveness_not_slower_than_readiness::DEF,
    &same_liveness_and_readiness::DEF,
    &liveness_checks_dependencies::DEF,
    &no_startup_allowance::DEF,
    &startup_budget_too_small::DEF,
    &startup_exceeds_progress_deadline::DEF,
    &startup_budget_too_large::DEF,
    &startup_probe_alone::DEF,
    &long_initial_delay::DEF,
    &redundant_initial_delay::DEF,
    &single_failure_readiness::DEF,
    &slow_readiness::DEF,
    &slow_recovery::DEF,
    &timeout_exceeds_period::DEF,
    &default_timeout::DEF,
    &prestop_exceeds_grace::DEF,
    &probe_grace_below_prestop::DEF,
    &slow_termination::DEF,
    &liveness_never_restarts::DEF,
    &probe_on_job::DEF,
    &liveness_without_readiness::DEF,
    &missing_readiness::DEF,
    &grpc_over_tcp::DEF,
    &exec_http_client::DEF,
    &frequent_exec::DEF,
    &costly_exec::DEF,
    &service_port_mismatch::DEF,
    &service_ignores_readiness::DEF,
    &pdb_blocks_unready::DEF,
    &no_probes::DEF,
    &missing_liveness::DEF,
    &missing_startup::DEF,
    &missing_prestop::DEF,
    &credential_in_header::DEF,
    &required_probes::DEF,
    &ineffective_allow::DEF,
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
