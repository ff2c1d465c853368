//! `probekeeper graph`

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::{FAILED, complain, print};
use crate::graph::draw;
use crate::lint::{self, Inputs};

/// All files are one set: Services and workloads are related by selectors and namespaces. Calls that a container makes inside its own
/// handler cannot be seen in YAML.
#[derive(Debug, Args)]
pub(super) struct GraphArgs {
    /// File, folder (searched for .yaml, .yml and .json) or `-` for standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// Policy file, for the kinds that it adds
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// How results are written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Format {
    /// For people: who asks whom, cycles, who falls with whom
    #[default]
    Text,
    /// For Graphviz
    Dot,
    /// For programs: one document with version, nodes, edges, cycles, cascades
    Json,
    /// A picture
    Svg,
}

pub(super) fn run(args: &GraphArgs) -> anyhow::Result<ExitCode> {
    let Some(policy) = super::policy::load_or_builtin(args.policy.as_deref())? else { return Ok(ExitCode::from(FAILED)) };
    let (graph, report) = lint::survey(Inputs::collect(&args.paths), &policy.kinds);
    print(&match args.format {
        Format::Text => draw::text(&graph),
        Format::Dot => draw::dot(&graph),
        Format::Json => draw::json(&graph)?,
        Format::Svg => draw::svg(&graph),
    })?;
    for failure in report.warnings.iter().chain(&report.errors) {
        complain(&failure.to_string());
    }
    Ok(if report.errors.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}
