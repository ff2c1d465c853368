//! `probekeeper fix` as a library: what it makes of files in every style, and what holds of any file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails, in its helpers too")]

mod cases;
mod generate;
mod properties;

use std::fs;
use std::path::Path;

use probekeeper::lint::{Fixed, Fixer, Input, Judge};
use probekeeper::policy::{Policy, Profile};

/// What becomes of a text under the recommended policy.
fn fix(text: &str, all: bool) -> Fixed {
    fix_under(Policy::builtin(Profile::Recommended), text, all)
}

fn fix_under(policy: Policy, text: &str, all: bool) -> Fixed {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.yaml");
    fs::write(&path, text).unwrap();
    let fixed = fix_file_under(policy, &path, all);
    assert_eq!(fixed.before, text);
    fixed
}

fn fix_file(path: &Path, all: bool) -> Fixed {
    fix_file_under(Policy::builtin(Profile::Recommended), path, all)
}

fn fix_file_under(policy: Policy, path: &Path, all: bool) -> Fixed {
    Fixer::new(Judge::new(policy, true), all).fix(&[Input::Named(path.to_owned())]).remove(0)
}
