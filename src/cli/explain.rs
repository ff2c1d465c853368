//! `probekeeper explain`

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::{FAILED, complain, print};
use crate::lint::output::{self, WhatIf};
use crate::lint::{self, Inputs, Judge};
use crate::quantity;

/// Explains objects as they would be stored, with what was left out filled in.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// File, folder (searched for .yaml, .yml and .json) or `-` for standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// Policy file, for what is filled in; the built-in recommended policy when absent
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// Explain what is written, without filling in what the webhook would
    #[arg(long)]
    no_defaults: bool,

    /// What if a container needs this long to start, as in 40s or 1m30s?
    #[arg(long, value_name = "DURATION", value_parser = quantity::duration)]
    starts_in: Option<Duration>,

    /// What if a running container hangs for this long?
    #[arg(long, value_name = "DURATION", value_parser = quantity::duration)]
    hangs_for: Option<Duration>,
}

pub(super) fn run(args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let Some(policy) = super::policy::load_or_builtin(args.policy.as_deref())? else { return Ok(ExitCode::from(FAILED)) };
    let judge = Judge::new(policy, !args.no_defaults).with_courses();
    let report = lint::run(Inputs::collect(&args.paths), &judge);
    print(&output::explain(&report, &WhatIf { starts_in: args.starts_in, hangs_for: args.hangs_for }))?;
    for failure in report.warnings.iter().chain(&report.errors) {
        complain(&failure.to_string());
    }
    Ok(if report.errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}
