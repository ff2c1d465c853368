//! `probekeeper serve`

use std::process::ExitCode;

use anyhow::bail;

/// Arguments of `serve`.
#[derive(Debug, clap::Args)]
pub struct ServeArgs {}

/// Runs the webhook.
pub fn run(_args: ServeArgs) -> anyhow::Result<ExitCode> {
    bail!("serve is not there yet")
}
