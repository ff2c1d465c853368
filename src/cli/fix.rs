//! `probekeeper fix`

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use clap::Args;
use similar::TextDiff;

use super::{FAILED, FOUND, colour, complain, print, write_file};
use crate::lint::{Fixed, Fixer, Input, Inputs, Judge};

/// Comments, order, quoting, indentation and line endings stay. What was left out is filled in as the webhook would, and paths get their leading slash;
/// with --unsafe, findings that have a rewrite are resolved too: look at the diff. All files are one set, as for lint; each is judged beside the others as
/// they were before any was changed.
///
/// Exit codes: 0 nothing to change, or written; 1 something would change (without --write); 2 the run itself failed.
#[derive(Debug, Args)]
pub(super) struct FixArgs {
    /// File, folder (searched for .yaml, .yml and .json) or `-` for standard input
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// Policy file; the built-in recommended policy when absent
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,

    /// Also change what the author wrote, where a finding has a rewrite
    #[arg(long = "unsafe")]
    all: bool,

    /// Show what would change, and write nothing (the default)
    #[arg(long, conflicts_with = "write")]
    diff: bool,

    /// Rewrite files in place; standard input is written to standard output
    #[arg(long)]
    write: bool,
}

pub(super) fn run(args: &FixArgs) -> anyhow::Result<ExitCode> {
    let Some(policy) = super::policy::load_or_builtin(args.policy.as_deref())? else { return Ok(ExitCode::from(FAILED)) };
    let rewriter = Fixer::new(Judge::new(policy, true), args.all);
    let Inputs { inputs, failures, skipped_templates, taken: _ } = Inputs::collect(&args.paths);
    let mut totals = Totals { failed: !failures.is_empty(), templates: skipped_templates, ..Totals::default() };
    for failure in &failures {
        complain(&failure.to_string());
    }
    let colour = colour();
    for (input, mut fixed) in inputs.iter().zip(rewriter.fix(&inputs)) {
        for failure in fixed.notes.iter().chain(&fixed.errors) {
            complain(&failure.to_string());
        }
        let changed = fixed.before != fixed.after;
        if !args.write {
            print(&diff(&fixed, colour))?;
        } else if *input == Input::Stdin {
            print(&fixed.after)?;
        } else if changed && let Err(error) = write(Path::new(&fixed.file), &fixed) {
            complain(&format!("probekeeper: {}", super::chain(&error)));
            totals.failed = true;
            fixed = Fixed { after: fixed.before.clone(), before: fixed.before, file: fixed.file, ..Fixed::default() };
        }
        totals.add(&fixed);
    }
    complain(&totals.line(args));
    Ok(match (totals.failed, totals.changed > 0 && !args.write) {
        (true, _) => ExitCode::from(FAILED),
        (false, true) => ExitCode::from(FOUND),
        (false, false) => ExitCode::SUCCESS,
    })
}

/// Writes the file, unless somebody else did in the meantime.
fn write(path: &Path, fixed: &Fixed) -> anyhow::Result<()> {
    let now = fs::read(path).with_context(|| format!("{}: cannot be read again", path.display()))?;
    ensure!(now == fixed.before.as_bytes(), "{}: changed while it was read, and left alone", path.display());
    write_file(path, &fixed.after)
}

/// Unified, as `patch -p1` and `git apply` read it.
fn diff(fixed: &Fixed, colour: bool) -> String {
    if fixed.before == fixed.after {
        return String::new();
    }
    let named = |side: &str| {
        if Path::new(&fixed.file).is_absolute() { fixed.file.clone() } else { format!("{side}/{}", fixed.file) }
    };
    let diff = TextDiff::from_lines(&fixed.before, &fixed.after);
    let text = diff.unified_diff().context_radius(3).header(&named("a"), &named("b")).to_string();
    if !colour {
        return text;
    }
    let mut out = String::with_capacity(text.len() * 2);
    for line in text.split_inclusive('\n') {
        let style = match line.as_bytes() {
            [b'+', b'+', b'+', ..] | [b'-', b'-', b'-', ..] => "\x1b[1m",
            [b'+', ..] => "\x1b[32m",
            [b'-', ..] => "\x1b[31m",
            [b'@', ..] => "\x1b[36m",
            _ => "",
        };
        let (content, newline) = line.split_at(line.trim_end_matches(['\n', '\r']).len());
        let reset = if style.is_empty() { "" } else { "\x1b[0m" };
        // Writing to a String cannot fail.
        let _ = write!(out, "{style}{content}{reset}{newline}");
    }
    out
}

#[derive(Default)]
struct Totals {
    failed: bool,
    changed: usize,
    filled: usize,
    rewritten: usize,
    fixed: usize,
    remaining: usize,
    offered: usize,
    templates: usize,
}

impl Totals {
    fn add(&mut self, fixed: &Fixed) {
        self.failed |= !fixed.errors.is_empty();
        self.changed += usize::from(fixed.before != fixed.after);
        self.filled += fixed.filled;
        self.rewritten += fixed.rewritten;
        self.fixed += fixed.fixed;
        self.remaining += fixed.remaining;
        self.offered += fixed.offered;
        self.templates += usize::from(fixed.template);
    }

    /// `probekeeper: 1 file changed: 3 values filled in, 1 finding fixed; 2 findings remain; --unsafe would rewrite 1 more`
    fn line(&self, args: &FixArgs) -> String {
        let verb = if args.write { "changed" } else { "would change" };
        let mut line = format!("probekeeper: {} {verb}", count(self.changed, "file"));
        let done = [
            (self.filled > 0).then(|| format!("{} filled in", count(self.filled, "value"))),
            (self.rewritten > 0).then(|| format!("{} rewritten", count(self.rewritten, "handler"))),
            (self.fixed > 0).then(|| format!("{} fixed", count(self.fixed, "finding"))),
        ];
        let done: Vec<_> = done.into_iter().flatten().collect();
        if !done.is_empty() {
            line += &[": ", &*done.join(", ")].concat();
        }
        let rest = [
            (self.remaining > 0).then(|| {
                format!("{} {}", count(self.remaining, "finding"), if self.remaining == 1 { "remains" } else { "remain" })
            }),
            (self.offered > 0 && !args.all).then(|| format!("--unsafe would rewrite {}", self.offered)),
            (self.templates > 0).then(|| format!("skipped {} (fix what they are made from)", count(self.templates, "template"))),
        ];
        for part in rest.into_iter().flatten() {
            line += &["; ", &*part].concat();
        }
        line
    }
}

fn count(number: usize, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
