//! The real binary: what it prints, where, and with which exit code.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a panic is how a test fails, in its helpers too")]

mod baseline;
mod ci;
mod explain;
mod export;
mod fix;
mod formats;
mod graph;
mod lint;
mod policy_diff;
mod rest;

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use tempfile::TempDir;

/// A folder with these files, gone when dropped.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

/// What one run gave back.
struct Run {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Run {
    /// Everything in one text, for a snapshot.
    fn all(&self) -> String {
        format!("{}--- stderr\n{}--- exit code {}", self.stdout, self.stderr, self.code)
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

/// Runs the binary in a folder.
fn run(folder: &Path, args: &[&str], stdin: &str) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_probekeeper"))
        .current_dir(folder)
        .args(args)
        .env_remove("NO_COLOR")
        .write_stdin(stdin)
        .output()
        .unwrap();
    Run {
        code: output.status.code().unwrap(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs the binary where it needs no folder.
fn anywhere(args: &[&str], stdin: &str) -> Run {
    run(Path::new("/"), args, stdin)
}
