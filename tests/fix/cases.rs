//! Pairs of files: `NAME.yaml`, what becomes of it (`NAME.fixed`), with `--unsafe` (`NAME.unsafe`), and what is said (`NAME.said`). Where a file is missing,
//! nothing is changed or said. `UPDATE=1` writes them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{fix, fix_file};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fix/cases")
}

#[test]
fn files_become_what_stands_beside_them() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut wrong = Vec::new();
    let mut expected_files = BTreeSet::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if !path.extension().is_some_and(|ending| ending == "yaml" || ending == "json") {
            continue;
        }
        expected_files.insert(path.clone());
        let (safe, all) = (fix_file(&path, false), fix_file(&path, true));
        let said = |fixed: &probekeeper::lint::Fixed| {
            let shown = path.to_str().unwrap();
            let lines = fixed.notes.iter().chain(&fixed.errors).map(|line| format!("{line}\n").replace(shown, "FILE"));
            lines.collect::<String>()
        };
        let (said, more) = (said(&safe), said(&all));
        let said = if said == more { said } else { format!("{said}--unsafe:\n{more}") };
        let kept = |text: &str| if text == safe.before { String::new() } else { text.to_owned() };
        for (ending, text) in [("fixed", kept(&safe.after)), ("unsafe", kept(&all.after)), ("said", said)] {
            let beside = path.with_extension(ending);
            if !text.is_empty() {
                expected_files.insert(beside.clone());
            }
            if update {
                if text.is_empty() { drop(fs::remove_file(&beside)) } else { fs::write(&beside, &text).unwrap() }
            } else if fs::read_to_string(&beside).unwrap_or_default() != text {
                wrong.push(format!("{}:\n{text}", beside.display()));
            }
        }
        for (text, all) in [(&safe.after, false), (&all.after, true)] {
            let again = fix(text, all);
            assert_eq!(&again.after, text, "{}: the second time changes something", path.display());
            assert_eq!((again.filled, again.fixed, again.rewritten), (0, 0, 0), "{}", path.display());
        }
    }
    assert!(wrong.is_empty(), "not as it stands beside (UPDATE=1 writes it):\n{}", wrong.join("\n"));
    let found: BTreeSet<_> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(found, expected_files, "a file without its beginning");
    assert!(found.len() > 20, "{found:?}");
}

const PROBES: &str = "apiVersion: v1\nkind: Pod\nmetadata: { name: a }\nspec:\n  containers:\n  - name: a\n    image: a:1\n    livenessProbe:\n      httpGet:\n        path: x\n        port: 80\n      periodSeconds: 5\n";

/// What files in a repository would not keep.
#[test]
fn line_endings_byte_order_marks_and_last_lines_stay() {
    let fixed = fix(PROBES, false).after;
    assert_eq!(
        fixed,
        PROBES.replace("path: x", "path: /x")
            + "      initialDelaySeconds: 15\n      timeoutSeconds: 5\n      failureThreshold: 4\n"
    );
    let crlf = |text: &str| text.replace('\n', "\r\n");
    assert_eq!(fix(&crlf(PROBES), false).after, crlf(&fixed));
    assert_eq!(fix(PROBES.trim_end(), false).after, fixed.trim_end());
    assert_eq!(fix(crlf(PROBES).trim_end(), false).after, crlf(&fixed).trim_end());
    assert_eq!(fix(&format!("\u{feff}{PROBES}"), false).after, format!("\u{feff}{fixed}"));
    assert_eq!(fix(&format!("{PROBES}\n\n# end\n"), false).after, format!("{fixed}\n\n# end\n"));
    assert_eq!(fix(&format!("{PROBES}---\n{PROBES}...\n"), false).after, format!("{fixed}---\n{fixed}...\n"));
}

#[test]
fn what_cannot_be_read_is_left_alone() {
    for (text, said) in [
        (format!("{PROBES}---\na: b: c\n"), "a second `: ` on this line"),
        (format!("{PROBES}---\na: {{{{ .Values.b }}}}\n"), "render it first"),
        (PROBES.replace("port: 80", "port: []"), "the API server would refuse this"),
    ] {
        let fixed = fix(&text, true);
        assert_eq!(fixed.after, text);
        assert!(fixed.errors[0].message.contains(said), "{:?}", fixed.errors);
    }
    for text in ["", "\n", "# nothing\n", "a: 1\n", "---\n---\n", "apiVersion: v1\nkind: Service\n"] {
        assert_eq!(fix(text, true).after, text);
    }
}
