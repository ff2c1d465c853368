//! `probekeeper policy`

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::policy_diff::DiffArgs;
use super::{FAILED, complain, print};
use crate::clock;
use crate::policy::{self, Policy, Profile};

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Say whether a policy file is valid, with every error and its place, and which exemptions have ended
    Check {
        /// Policy file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Say which workloads two policies would deny, warn of or fill in differently
    Diff(DiffArgs),
    /// Print the JSON schema of policy files
    Schema,
    /// Print everything that is in force under a policy or a built-in profile, as a policy file
    Show {
        /// Policy file; without it a built-in profile is shown
        #[arg(long, value_name = "FILE", conflicts_with = "profile")]
        policy: Option<PathBuf>,
        /// The built-in profile
        #[arg(long, value_enum, default_value_t)]
        profile: BuiltIn,
    },
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(super) enum BuiltIn {
    Baseline,
    #[default]
    Recommended,
    Strict,
}

impl From<BuiltIn> for Profile {
    fn from(profile: BuiltIn) -> Self {
        match profile {
            BuiltIn::Baseline => Self::Baseline,
            BuiltIn::Recommended => Self::Recommended,
            BuiltIn::Strict => Self::Strict,
        }
    }
}

pub(super) fn run(command: &PolicyCommand) -> anyhow::Result<ExitCode> {
    match command {
        PolicyCommand::Check { file } => match load(file)? {
            Some(policy) => {
                print(&format!("{}: valid, profile {}, hash {}\n", file.display(), policy.profile, policy.hash))?;
                complain_of_ended(file, &policy);
            }
            None => return Ok(ExitCode::from(FAILED)),
        },
        PolicyCommand::Diff(args) => return super::policy_diff::run(args),
        PolicyCommand::Schema => print(&(serde_json::to_string_pretty(&policy::schema())? + "\n"))?,
        PolicyCommand::Show { policy: Some(file), .. } => match load(file)? {
            Some(policy) => {
                print(&yaml(policy.effective()))?;
                complain_of_ended(file, &policy);
            }
            None => return Ok(ExitCode::from(FAILED)),
        },
        PolicyCommand::Show { policy: None, profile } => print(&yaml(Policy::builtin((*profile).into()).effective()))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Exemptions that do nothing any more: no error, but whoever keeps the policy should know.
fn complain_of_ended(file: &Path, policy: &Policy) {
    for exemption in policy.ended_exemptions(clock::today()) {
        complain(&format!("{}: {}", file.display(), exemption.ending()));
    }
}

/// The policy of a file, or the built-in recommended one. `None` after errors in the file were written out.
pub(super) fn load_or_builtin(file: Option<&Path>) -> anyhow::Result<Option<Policy>> {
    match file {
        Some(file) => load(file),
        None => Ok(Some(Policy::builtin(Profile::default()))),
    }
}

pub(super) fn load(file: &Path) -> anyhow::Result<Option<Policy>> {
    let text = fs::read_to_string(file).with_context(|| format!("{}: the policy cannot be read", file.display()))?;
    match policy::load(&text) {
        Ok(policy) => Ok(Some(policy)),
        Err(errors) => {
            for error in &errors.0 {
                complain(&format!("{}:{error}", file.display()));
            }
            Ok(None)
        }
    }
}

/// A policy as YAML, which is what policy files are written in. What is no word or number is written as JSON, which YAML contains.
fn yaml(policy: &Value) -> String {
    let mut out = String::new();
    entries(policy, 0, &mut out);
    out
}

/// The members of a map, in the order of the documentation.
fn entries(map: &Value, indent: usize, out: &mut String) {
    const FIRST: [&str; 10] =
        ["apiVersion", "kind", "profile", "match", "action", "rules", "defaults", "overrides", "exemptions", "workloads"];
    let place = |key: &str| FIRST.iter().position(|first| *first == key).unwrap_or(FIRST.len());
    let mut members: Vec<(&String, &Value)> = map.as_object().into_iter().flatten().collect();
    members.sort_by_key(|(key, _)| place(key));
    for (key, value) in members {
        entry(key, value, indent, out);
    }
}

fn entry(key: &str, value: &Value, indent: usize, out: &mut String) {
    *out += &[&" ".repeat(indent), &*scalar(&json!(key)), ":"].concat();
    match value {
        Value::Object(members) if !members.is_empty() => {
            out.push('\n');
            entries(value, indent + 2, out);
        }
        Value::Array(items) if items.iter().any(Value::is_object) => {
            out.push('\n');
            for item in items {
                let mut lines = String::new();
                entries(item, indent + 4, &mut lines);
                *out += &[&" ".repeat(indent), "  - ", lines.trim_start()].concat();
            }
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(scalar).collect();
            *out += &[" [", &items.join(", "), "]\n"].concat();
        }
        other => *out += &[" ", &*scalar(other), "\n"].concat(),
    }
}

/// To YAML, `off` is a boolean; policy files take that for the action too, but a reader should not have to know.
fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) if is_word(text) => text.clone(),
        other => other.to_string(),
    }
}

fn is_word(text: &str) -> bool {
    let letters = text.starts_with(|first: char| first.is_ascii_alphabetic());
    let plain = |rune: char| rune.is_ascii_alphanumeric() || "-._/".contains(rune);
    letters
        && text.chars().all(plain)
        && !matches!(&*text.to_lowercase(), "off" | "on" | "yes" | "no" | "y" | "n" | "true" | "false" | "null")
}
