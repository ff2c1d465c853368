//! The checks of the fuzz targets on what is known: seeds, files of other tests, and everything that the fuzzer ever found. `make fuzz` looks further.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails")]
#![allow(unreachable_pub, reason = "a module of another package")]

#[path = "../fuzz/src/checks/mod.rs"]
mod checks;

use std::fs;
use std::path::{Path, PathBuf};

/// Folders whose files are inputs too.
const SHARED: [(&str, &[&str]); 4] = [
    ("review", &["tests/fixtures/admission-reviews"]),
    ("patch", &["tests/fixtures/admission-reviews"]),
    ("lint", &["examples", "tests/fix/cases"]),
    ("fix", &["examples", "tests/fix/cases"]),
];

#[test]
fn every_target_is_checked() {
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/Cargo.toml")).unwrap();
    let targets: Vec<&str> =
        manifest.lines().filter_map(|line| line.strip_prefix("path = \"targets/")?.strip_suffix(".rs\"")).collect();
    assert_eq!(targets, checks::CHECKS.map(|(name, _)| name));
}

#[test]
fn what_is_known_still_holds() {
    for (name, check) in checks::CHECKS {
        let own = ["fuzz/seeds", "fuzz/regressions"].map(|folder| format!("{folder}/{name}"));
        let shared = SHARED
            .iter()
            .filter(|(check, _)| *check == name)
            .flat_map(|(_, folders)| folders.iter().map(|folder| (*folder).to_owned()));
        let mut seen = 0;
        for path in own.into_iter().chain(shared).flat_map(|folder| files(&folder)) {
            let bytes = fs::read(&path).unwrap();
            if let Err(panic) = std::panic::catch_unwind(|| check(&bytes)) {
                eprintln!("{name} on {}", path.display());
                std::panic::resume_unwind(panic);
            }
            seen += 1;
        }
        assert!(seen > 3, "{name}: {seen} inputs");
    }
}

/// All files below a folder, which need not be there.
fn files(folder: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    files
}
