//! `probekeeper lint`

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, ValueEnum};

use super::{FAILED, FOUND, colour, complain, print, write_file};
use crate::lint::{self, Inputs, Judge, Report, output};
use crate::policy::Action;

/// Objects without a pod template are ignored; incomplete ones (kustomize patches) and chart templates are skipped and counted: lint
/// rendered output, as in `helm template CHART | probekeeper lint -`.
#[derive(Debug, Args)]
pub(super) struct LintArgs {
    /// File, folder (searched for .yaml, .yml and .json) or `-` for standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// Policy file; the built-in recommended policy when absent
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// How results are written
    #[arg(long, value_enum, default_value_t)]
    format: Format,

    /// Least severe findings to report
    #[arg(long, value_enum, default_value_t = Severity::Warn, value_name = "ACTION")]
    min_action: Severity,

    /// Least severe findings that make the exit code 1
    #[arg(long, value_enum, default_value_t = Severity::Deny, value_name = "ACTION")]
    fail_on: Severity,

    /// Judge what is written, without filling in what the webhook would
    #[arg(long)]
    no_defaults: bool,

    /// Write results to a file instead of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Format {
    /// For people: excerpts, reasons, what to write instead
    #[default]
    Text,
    /// For programs: one document with version, findings, filled, errors, summary
    Json,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Severity {
    Deny,
    Warn,
    Audit,
}

impl From<Severity> for Action {
    fn from(severity: Severity) -> Self {
        match severity {
            Severity::Deny => Self::Deny,
            Severity::Warn => Self::Warn,
            Severity::Audit => Self::Audit,
        }
    }
}

pub(super) fn run(args: &LintArgs) -> anyhow::Result<ExitCode> {
    let (least, fails) = (Action::from(args.min_action), Action::from(args.fail_on));
    if fails < least {
        bail!("--fail-on {fails} would fail for findings that are not shown: add --min-action {fails}");
    }
    let Some(policy) = super::policy::load_or_builtin(args.policy.as_deref())? else { return Ok(ExitCode::from(FAILED)) };
    let judge = Judge::new(policy, !args.no_defaults);
    let mut report = lint::run(Inputs::collect(&args.paths), &judge);
    report.retain(least);

    let results = match args.format {
        Format::Text => output::text(&report, args.output.is_none() && colour()),
        Format::Json => output::json(&report)?,
    };
    match &args.output {
        Some(path) => write_file(path, &results)?,
        None => print(&results)?,
    }
    for failure in report.warnings.iter().chain(&report.errors) {
        complain(&failure.to_string());
    }
    if let Some(hint) = hint(&report) {
        complain(&hint);
    }
    Ok(exit_code(&report, fails))
}

fn exit_code(report: &Report, fails: Action) -> ExitCode {
    if !report.errors.is_empty() {
        ExitCode::from(FAILED)
    } else if report.findings.iter().any(|found| found.finding.action >= fails) {
        ExitCode::from(FOUND)
    } else {
        ExitCode::SUCCESS
    }
}

/// What was left out, and how to have it judged; one line.
fn hint(report: &Report) -> Option<String> {
    let summary = &report.summary;
    let patches = summary.skipped - summary.templates;
    let parts = [
        (patches > 0).then(|| format!("{patches} incomplete (patches: lint the output of `kustomize build`)")),
        (summary.templates > 0).then(|| {
            let noun = if summary.templates == 1 { "template" } else { "templates" };
            format!("{} {noun} (lint the output of `helm template`)", summary.templates)
        }),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| format!("probekeeper: skipped {}", parts.join(", ")))
}
