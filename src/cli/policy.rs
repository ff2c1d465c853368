//! `probekeeper policy`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;

use crate::policy::{Policy, Profile};

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Say whether a policy file is valid, with every error and its place
    Check {
        /// Policy file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

pub(super) fn run(_command: &PolicyCommand) -> anyhow::Result<ExitCode> {
    Ok(ExitCode::SUCCESS)
}

pub(super) fn load_or_builtin(_file: Option<&Path>) -> anyhow::Result<Option<Policy>> {
    Ok(Some(Policy::builtin(Profile::Recommended)))
}
