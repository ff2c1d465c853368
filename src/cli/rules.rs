//! `probekeeper rules`

use std::fmt::Write as _;
use std::process::ExitCode;

use anyhow::bail;
use clap::{Subcommand, ValueEnum};
use serde::Serialize;

use super::{colour, print};
use crate::policy::Profile;
use crate::rules::{self, RULES, RuleDef};

#[derive(Debug, Subcommand)]
pub(super) enum RulesCommand {
    /// Every rule with its action under each profile
    List {
        /// How results are written
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// What a rule does, why, and what to write instead
    Explain {
        /// Identifier of the rule
        #[arg(value_name = "RULE")]
        rule: String,
    },
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(super) enum Format {
    /// A table
    #[default]
    Text,
    /// An array of objects
    Json,
}

pub(super) fn run(command: &RulesCommand) -> anyhow::Result<ExitCode> {
    match command {
        RulesCommand::List { format: Format::Text } => print(&table())?,
        RulesCommand::List { format: Format::Json } => {
            let rules: Vec<_> = RULES.iter().map(|rule| Listed::from(*rule)).collect();
            print(&(serde_json::to_string_pretty(&rules)? + "\n"))?;
        }
        RulesCommand::Explain { rule } => match rules::find(rule) {
            Some(rule) => print(&page(rule, colour()))?,
            None => match rules::suggest(rule) {
                Some(near) => bail!("no rule is called `{rule}`: did you mean `{near}`?"),
                None => bail!("no rule is called `{rule}`: `probekeeper rules list` shows all"),
            },
        },
    }
    Ok(ExitCode::SUCCESS)
}

#[derive(Serialize)]
struct Listed {
    id: &'static str,
    summary: &'static str,
    why: &'static str,
    actions: Actions,
    url: String,
}

#[derive(Serialize)]
struct Actions {
    baseline: &'static str,
    recommended: &'static str,
    strict: &'static str,
}

impl From<&RuleDef> for Listed {
    fn from(rule: &RuleDef) -> Self {
        let action = |profile| rule.action(profile).name();
        Self {
            id: rule.id,
            summary: rule.summary(),
            why: rule.why,
            actions: Actions {
                baseline: action(Profile::Baseline),
                recommended: action(Profile::Recommended),
                strict: action(Profile::Strict),
            },
            url: rule.url(),
        }
    }
}

fn table() -> String {
    let width = RULES.iter().map(|rule| rule.id.len()).max().unwrap_or_default();
    let mut out = format!("{:width$}  baseline  recommended  strict\n", "rule");
    for rule in RULES {
        let [baseline, recommended, strict] = Profile::ALL.map(|profile| rule.action(profile).name());
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{:width$}  {baseline:8}  {recommended:11}  {strict}", rule.id);
    }
    out
}

/// The documentation as it is written, with headings and code set apart on a terminal.
fn page(rule: &RuleDef, colour: bool) -> String {
    let (bold, dim, reset) = if colour { ("\x1b[1m", "\x1b[2m", "\x1b[0m") } else { ("", "", "") };
    let [baseline, recommended, strict] = Profile::ALL.map(|profile| rule.action(profile).name());
    let mut out = format!("{bold}{}{reset}\nbaseline: {baseline}, recommended: {recommended}, strict: {strict}\n\n", rule.id);
    if !rule.rewrite.is_empty() {
        out += &["fix --unsafe: ", &rule.rewrite.replace('`', ""), "\n\n"].concat();
    }
    let mut code = false;
    for line in rule.doc.trim().lines() {
        // Doc comments begin with one space.
        let line = line.strip_prefix(' ').unwrap_or(line);
        if line.starts_with("```") {
            code = !code;
        } else if code {
            out += &[dim, "    ", line, reset].concat();
        } else if let Some(heading) = line.strip_prefix('#') {
            out += &[bold, heading.trim_start_matches('#').trim(), reset].concat();
        } else {
            out += line;
        }
        // A fence leaves no line, but what stands around it stays apart.
        if !line.starts_with("```") {
            out.push('\n');
        }
    }
    out += &["\n", &rule.url(), "\n"].concat();
    out
}
