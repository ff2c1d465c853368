//! `probekeeper verify`

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use super::{FAILED, FOUND, print, serve};
use crate::cluster;
use crate::cluster::verify::{Check, Verdict, verify};
use crate::quantity;

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// Namespace to ask about: one that the webhooks look at
    #[arg(long, short, default_value = "default", value_name = "NAME")]
    namespace: String,

    /// Look at one of the two only
    #[arg(long, value_enum, value_name = "WHAT")]
    only: Option<Only>,

    /// How long to try again what does not work yet
    #[arg(long, default_value = "0s", value_name = "DURATION", value_parser = quantity::duration)]
    wait: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Only {
    /// Whether what the policy denies is rejected
    Rejecting,
    /// Whether what was left out is filled in
    FillingIn,
}

pub(super) fn run(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let runtime = serve::runtime().context("cannot start the runtime")?;
    runtime.block_on(async {
        let client = cluster::client().await?;
        let mut code = 0;
        for (name, check) in [(Only::Rejecting, Check::Rejecting), (Only::FillingIn, Check::FillingIn)] {
            if args.only.is_some_and(|only| only != name) {
                continue;
            }
            let (word, text, result) = match verify(&client, &args.namespace, check, args.wait).await {
                Verdict::Works(text) => ("works", text, 0),
                Verdict::Fails(text) => ("fails", text, FOUND),
                Verdict::Unknown(text) => ("unknown", text, FAILED),
            };
            print(&format!("{word}: {text}\n"))?;
            code = code.max(result);
        }
        Ok(ExitCode::from(code))
    })
}
