//! The command line: arguments here, one thin file per command.

mod completions;
mod explain;
mod export;
mod fix;
mod graph;
mod lint;
mod policy;
mod policy_diff;
mod progress;
mod rules;
pub mod serve;
mod verify;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

/// Judges liveness, readiness and startup probes of Kubernetes workloads.
///
/// Exit codes: 0 nothing wrong; 1 findings whose action is deny; 2 the run itself failed (bad usage, unreadable file, invalid YAML or policy).
#[derive(Debug, Parser)]
#[command(name = "probekeeper", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Judge manifests in files, folders or standard input
    Lint(lint::LintArgs),
    /// Say what each probe does when a container starts, hangs, refuses and is rolled out
    Explain(explain::ExplainArgs),
    /// Rewrite manifests: fill in what was left out, correct what has one answer
    Fix(fix::FixArgs),
    /// Show whose probes ask whom, cycles, and who falls with whom
    Graph(graph::GraphArgs),
    /// Run the admission webhook
    Serve(Box<serve::ServeArgs>),
    /// Ask the cluster whether its webhooks work
    ///
    /// Sends Pods to the API server as dry runs and looks at what becomes of them; nothing is stored. Needs the rights to create and patch Pods in that
    /// namespace. `helm test` runs this. Exit codes: 0 everything works; 1 something does not; 2 that cannot be told.
    Verify(verify::VerifyArgs),
    /// List and explain the rules
    #[command(subcommand)]
    Rules(rules::RulesCommand),
    /// Check, show and compare policy files
    #[command(subcommand)]
    Policy(policy::PolicyCommand),
    /// Write a policy in other forms
    #[command(subcommand)]
    Export(export::ExportCommand),
    /// Print the version
    Version,
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help goes to stdout, usage errors to stderr; where neither can be written there is nobody to tell.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(FAILED) } else { ExitCode::SUCCESS };
        }
    };
    let result = match cli.command {
        Command::Lint(args) => lint::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Fix(args) => fix::run(&args),
        Command::Graph(args) => graph::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Rules(command) => rules::run(&command),
        Command::Policy(command) => policy::run(&command),
        Command::Export(command) => export::run(&command),
        Command::Version => print(concat!("probekeeper ", env!("CARGO_PKG_VERSION"), "\n")).map(|()| ExitCode::SUCCESS),
        Command::Completions(args) => completions::run(&args),
    };
    result.unwrap_or_else(|error| {
        // The chain on one line: what failed, then why.
        complain(&format!("probekeeper: {}", chain(&error)));
        ExitCode::from(FAILED)
    })
}

fn chain(error: &anyhow::Error) -> String {
    let links: Vec<String> = error.chain().map(ToString::to_string).collect();
    // The number says no more than the words before it. What comes after it may be the cure.
    let joined = links.join(": ");
    let mut parts = joined.split(" (os error ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once(')').map_or("", |(_, rest)| rest))
}

/// Exit code of a run that failed itself, apart from anything it found.
const FAILED: u8 = 2;

/// Exit code of a run that found something to reject.
const FOUND: u8 = 1;

/// Writes results. That the reader has gone away (`| head`) is not an error.
fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("cannot write to standard output"),
    }
}

/// Writes everything that is not a result.
fn complain(line: &str) {
    // Where stderr is closed there is nobody to tell.
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Whether results go to a person's screen that wants colours (<https://no-color.org>).
fn colour() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    io::stdout().is_terminal() && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Replaces a file in one step: readers see the old text or the new, never half of one, and neither does a machine that loses power. The file behind a
/// link is replaced, not the link; permissions stay, and the owner where the system allows it. (A hard link parts from its siblings.)
fn write_file(path: &Path, text: &str) -> anyhow::Result<()> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut name = OsString::from(".");
    name.push(target.file_name().with_context(|| format!("{}: not the name of a file", path.display()))?);
    name.push(format!(".{}.tmp", std::process::id()));
    let draft = target.with_file_name(name);
    replace(&target, &draft, text)
        .inspect_err(|_| drop(fs::remove_file(&draft)))
        .with_context(|| format!("{}: cannot be written", path.display()))
}

fn replace(target: &Path, draft: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create(draft)?;
    if let Ok(metadata) = fs::metadata(target) {
        #[cfg(unix)]
        {
            use std::os::unix::fs::{MetadataExt as _, fchown};
            // Only root may give a file away; for anybody else it is their own already.
            let _ = fchown(&file, Some(metadata.uid()), Some(metadata.gid()));
        }
        file.set_permissions(metadata.permissions())?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    drop(file);
    fs::rename(draft, target)?;
    // The name is on the disk too; not every file system can say so.
    if let Some(folder) = target.parent().and_then(|folder| File::open(folder).ok()) {
        let _ = folder.sync_all();
    }
    Ok(())
}
