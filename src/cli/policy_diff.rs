//! `probekeeper policy diff`

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::{Args, ValueEnum};

use super::progress::Progress;
use super::{FAILED, FOUND, complain, print};
use crate::cluster::workloads::{self, ListError};
use crate::lint::{Comparer, Comparison, Difference, Inputs, output};
use crate::policy::{Policy, Profile};

/// Exit codes: 0 NEW denies nothing for which OLD does not; 1 it does; 2 the run itself failed.
///
/// Each workload is judged by itself, as the webhook does when it is created. In a cluster, what is there already can still be changed: an update is denied
/// only for what is new or worse.
#[derive(Debug, Args)]
pub(super) struct DiffArgs {
    /// Policy in force: a file, or builtin:PROFILE
    #[arg(value_name = "OLD")]
    old: Source,

    /// Policy to come: a file, or builtin:PROFILE
    #[arg(value_name = "NEW")]
    new: Source,

    /// Workloads: file, folder (searched for .yaml, .yml and .json) or `-` for standard input
    #[arg(value_name = "PATH", required_unless_present = "cluster", conflicts_with = "cluster")]
    paths: Vec<PathBuf>,

    /// The workloads of the cluster that the kubeconfig names; it is only read
    #[arg(long)]
    cluster: bool,

    /// Only this namespace; without it all but those that the webhook leaves alone
    #[arg(short, long, value_name = "NAMESPACE", requires = "cluster", conflicts_with = "paths")]
    namespace: Option<String>,

    /// How results are written
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum Format {
    /// For people: a line for each workload and each difference in it
    #[default]
    Text,
    /// For programs: one document with version, old, new, differences, errors, summary
    Json,
}

/// Where a policy is.
#[derive(Debug, Clone)]
enum Source {
    BuiltIn(Profile),
    File(PathBuf),
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some(name) = text.strip_prefix("builtin:") else { return Ok(Self::File(text.into())) };
        let known = Profile::ALL.into_iter().find(|profile| profile.name() == name);
        known.map(Self::BuiltIn).ok_or_else(|| {
            let names: Vec<&str> = Profile::ALL.into_iter().map(Profile::name).collect();
            format!("there is no profile `{name}`: write one of {}", names.join(", "))
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn(profile) => write!(f, "builtin:{profile}"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

impl Source {
    /// `None` after errors in the file were written out.
    fn load(&self) -> anyhow::Result<Option<Policy>> {
        match self {
            Self::BuiltIn(profile) => Ok(Some(Policy::builtin(*profile))),
            Self::File(path) => super::policy::load(path),
        }
    }
}

pub(super) fn run(args: &DiffArgs) -> anyhow::Result<ExitCode> {
    // Both, so that the errors of both are told.
    let (Some(old), Some(new)) = (args.old.load()?, args.new.load()?) else { return Ok(ExitCode::from(FAILED)) };
    let names = [(&args.old, &old), (&args.new, &new)].map(|(source, policy)| output::Compared {
        policy: source.to_string(),
        profile: policy.profile.to_string(),
        hash: policy.hash.clone(),
    });
    let comparer = Comparer::new(old, new);
    let comparison = if args.cluster {
        let Some(comparison) = of_cluster(&comparer, args.namespace.as_deref())? else { return Ok(ExitCode::from(FAILED)) };
        comparison
    } else {
        let inputs = Inputs::collect(&args.paths);
        let progress = Progress::start(inputs.inputs.len(), &inputs.taken);
        let comparison = comparer.files(inputs);
        drop(progress);
        comparison
    };
    print(&match args.format {
        Format::Text => output::comparison_text(&names, &comparison),
        Format::Json => output::comparison_json(&names, &comparison)?,
    })?;
    for failure in comparison.warnings.iter().chain(&comparison.errors) {
        complain(&failure.to_string());
    }
    if let Some(hint) = super::lint::skipped(&comparison.summary) {
        complain(&hint);
    }
    Ok(if !comparison.errors.is_empty() {
        ExitCode::from(FAILED)
    } else if comparison.differences.iter().any(Difference::is_newly_denied) {
        ExitCode::from(FOUND)
    } else {
        ExitCode::SUCCESS
    })
}

/// `None` after it was written out what could not be listed: half of a cluster is no answer.
fn of_cluster(comparer: &Comparer, namespace: Option<&str>) -> anyhow::Result<Option<Comparison>> {
    let mut comparison = Comparison::default();
    match workloads::each(comparer.kinds(), namespace, &mut |json| comparer.live(json, &mut comparison)) {
        Ok(absent) => {
            for resource in absent {
                complain(&format!("probekeeper: the cluster has no {resource}: nothing of that kind was compared"));
            }
            Ok(Some(comparison))
        }
        Err(ListError::Refused(lines)) => {
            for line in lines {
                complain(&format!("probekeeper: {line}"));
            }
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}
