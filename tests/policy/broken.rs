//! Policies that somebody wrote from memory. Whoever has never seen the schema can repair them by what they are told.

use std::{fs, path::Path};

/// Each file beside what is said of it. `UPDATE=1` writes what is said now; read the difference before you commit it.
#[test]
fn broken_policies_are_told_everything_that_is_wrong() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policy/broken");
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        seen += 1;
        let errors = probekeeper::policy::load(&fs::read_to_string(&path).unwrap()).expect_err(&path.display().to_string());
        let said = format!("{errors}\n");
        let beside = path.with_extension("said");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&beside, &said).unwrap();
        }
        assert_eq!(fs::read_to_string(&beside).unwrap_or_default(), said, "{}", path.display());
    }
    assert!(seen >= 10, "only {seen} policies");
}
