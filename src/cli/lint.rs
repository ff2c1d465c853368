//! `probekeeper lint`

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};

use super::progress::Progress;
use super::{FAILED, FOUND, colour, complain, print, write_file};
use crate::lint::{self, Baseline, Inputs, Judge, Report, Summary, output};
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

    /// Fail for and show only findings that are not in this file; the others are counted
    #[arg(long, value_name = "FILE", conflicts_with = "write_baseline")]
    baseline: Option<PathBuf>,

    /// Write all findings to a file for --baseline; none of them fails this run
    #[arg(long, value_name = "FILE")]
    write_baseline: Option<PathBuf>,

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
    /// For code scanning services and editors: SARIF 2.1.0
    Sarif,
    /// For test reports: one case per finding, and one that passes per clean workload
    Junit,
    /// For GitHub Actions: workflow commands that become annotations
    Github,
    /// For people: one page without network or script, with a timeline of every probe
    Html,
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
    let mut judge = Judge::new(policy, !args.no_defaults);
    if matches!(args.format, Format::Junit | Format::Html) {
        judge = judge.with_courses();
    }
    let root = env::current_dir().ok();
    let root = root.as_deref();
    let baseline = args.baseline.as_deref().map(read_baseline).transpose()?;
    let inputs = Inputs::collect(&args.paths);
    let progress = Progress::start(inputs.inputs.len(), &inputs.taken);
    let mut report = lint::run(inputs, &judge);
    drop(progress);
    let baseline = match (&args.write_baseline, baseline) {
        (Some(path), _) => Some(write_baseline(path, &report, root)?),
        (None, baseline) => baseline,
    };
    if let Some(baseline) = baseline {
        let gone = baseline.apply(&mut report, root);
        if gone > 0 {
            let those = if gone == 1 { "1 finding" } else { &*format!("{gone} findings") };
            complain(&format!(
                "probekeeper: {those} of the baseline not there any more as it was: write it anew with --write-baseline"
            ));
        }
    }
    report.retain(least);

    let results = match args.format {
        Format::Text => output::text(&report, args.output.is_none() && colour()),
        Format::Json => output::json(&report)?,
        Format::Sarif => output::sarif(&report, root)?,
        Format::Junit => output::junit(&report, fails, root)?,
        Format::Github => output::github(&report, root),
        Format::Html => output::html(&report, root),
    };
    match &args.output {
        Some(path) => write_file(path, &results)?,
        None => print(&results)?,
    }
    for failure in report.warnings.iter().chain(&report.errors) {
        complain(&failure.to_string());
    }
    if let Some(hint) = skipped(&report.summary) {
        complain(&hint);
    }
    Ok(exit_code(&report, fails))
}

fn read_baseline(path: &Path) -> anyhow::Result<Baseline> {
    let text = fs::read_to_string(path)
        .with_context(|| format!("{}: the baseline cannot be read (--write-baseline makes one)", path.display()))?;
    Baseline::from_json(&text).with_context(|| path.display().to_string())
}

/// What could not be read would be missing from it, and a later run would fail for old findings.
fn write_baseline(path: &Path, report: &Report, root: Option<&Path>) -> anyhow::Result<Baseline> {
    let baseline = Baseline::of(report, root);
    if let Some(first) = report.errors.first() {
        let more = if report.errors.len() > 1 { format!(" (and {} more)", report.errors.len() - 1) } else { String::new() };
        bail!("{}: not written, because not everything could be judged: {first}{more}", path.display());
    }
    write_file(path, &baseline.to_json()?)?;
    Ok(baseline)
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
pub(super) fn skipped(summary: &Summary) -> Option<String> {
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
