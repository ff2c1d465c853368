//! `probekeeper export`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{FAILED, complain, print, write_file};
use crate::export;

#[derive(Debug, Subcommand)]
pub(super) enum ExportCommand {
    /// Write the rules that CEL can express as ValidatingAdmissionPolicies with bindings
    Vap(VapArgs),
}

/// For clusters that want a denial even while no webhook answers, or no webhook at all. The API server evaluates these objects by itself; they give the same
/// verdicts as the webhook, and fill nothing in. Rules that CEL cannot express exactly are listed in comments at the top and counted on standard error.
#[derive(Debug, Args)]
pub(super) struct VapArgs {
    /// Policy file; the built-in recommended policy when absent
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// Write the objects to a file instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(command: &ExportCommand) -> anyhow::Result<ExitCode> {
    let ExportCommand::Vap(args) = command;
    let Some(policy) = super::policy::load_or_builtin(args.policy.as_deref())? else { return Ok(ExitCode::from(FAILED)) };
    let export = export::vap(&policy);
    let text = export.to_yaml();
    match &args.output {
        Some(file) => write_file(file, &text)?,
        None => print(&text)?,
    }
    complain(&match export.unwritten.len() {
        0 => "probekeeper: every rule of the policy is exported".to_owned(),
        1 => "probekeeper: 1 rule of the policy is not exported: see the comments at the top".to_owned(),
        left => format!("probekeeper: {left} rules of the policy are not exported: see the comments at the top"),
    });
    Ok(ExitCode::SUCCESS)
}
