//! `probekeeper policy`

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};

use super::policy_diff::DiffArgs;
use super::{FAILED, complain, print};
use crate::policy::{self, Policy, Profile};

#[derive(Debug, Subcommand)]
pub(super) enum PolicyCommand {
    /// Say whether a policy file is valid, with every error and its place
    Check {
        /// Policy file
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Say which workloads two policies would deny, warn of or fill in differently
    Diff(DiffArgs),
    /// Print the JSON schema of policy files
    Schema,
    /// Print everything that is in force under a built-in profile, as a policy file
    Show {
        /// The profile
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
            }
            None => return Ok(ExitCode::from(FAILED)),
        },
        PolicyCommand::Diff(args) => return super::policy_diff::run(args),
        PolicyCommand::Schema => print(&(serde_json::to_string_pretty(&policy::schema())? + "\n"))?,
        PolicyCommand::Show { profile } => print(&yaml(Policy::builtin((*profile).into()).effective()))?,
    }
    Ok(ExitCode::SUCCESS)
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

/// A policy as YAML, which is what policy files are written in. Its values are words and numbers; whatever else comes is written as JSON, which YAML
/// contains.
fn yaml(policy: &serde_json::Value) -> String {
    // The order of the documentation, not of the alphabet.
    const FIRST: [&str; 3] = ["apiVersion", "kind", "profile"];
    let mut out = String::new();
    let Some(top) = policy.as_object() else { return out };
    let rest = top.keys().map(String::as_str).filter(|key| !FIRST.contains(key));
    for key in FIRST.into_iter().chain(rest) {
        if let Some(value) = top.get(key) {
            entry(key, value, 0, &mut out);
        }
    }
    out
}

fn entry(key: &str, value: &serde_json::Value, indent: usize, out: &mut String) {
    *out += &[&" ".repeat(indent), key, ":"].concat();
    match value {
        serde_json::Value::Object(entries) if !entries.is_empty() => {
            out.push('\n');
            for (key, value) in entries {
                entry(key, value, indent + 2, out);
            }
        }
        // To YAML, `off` is a boolean; policy files take that for the action too, but a reader should not have to know.
        serde_json::Value::String(text) if is_word(text) => *out += &[" ", text, "\n"].concat(),
        other => *out += &[" ", &other.to_string(), "\n"].concat(),
    }
}

fn is_word(text: &str) -> bool {
    let letters = text.starts_with(|first: char| first.is_ascii_alphabetic());
    letters
        && !matches!(text, "off" | "on" | "yes" | "no" | "y" | "n" | "true" | "false" | "null")
        && !text.contains([' ', ':', '#', '"'])
}
