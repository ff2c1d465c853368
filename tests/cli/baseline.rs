//! `probekeeper lint --baseline` and `--write-baseline`

use std::fs;

use insta::assert_snapshot;
use serde_json::{Value, json};

use super::lint::{bad, good};
use super::{folder, run};

#[test]
fn only_new_findings_fail() {
    let folder = folder(&[("a.yaml", &bad("a")), ("b.yaml", &good("b"))]);
    let lint = |args: &[&str]| run(folder.path(), &[&["lint", "."], args].concat(), "");
    assert_snapshot!(lint(&["--write-baseline", "baseline.json"]).all(), @"
    2 files, 2 workloads: 1 known
    --- stderr
    --- exit code 0
    ");
    let written = fs::read_to_string(folder.path().join("baseline.json")).unwrap();
    assert_snapshot!(written, @r#"
    {
      "version": 1,
      "findings": [
        {
          "file": "a.yaml",
          "object": "Deployment a",
          "container": "app",
          "probe": "livenessProbe",
          "rule": "hair-trigger-liveness",
          "fingerprint": "7f87643481bec134a2624ff9c965ee34",
          "count": 1,
          "badness": -1
        }
      ]
    }
    "#);

    // Lines move, the file gets another name, and a second finding of the same kind comes elsewhere.
    fs::remove_file(folder.path().join("a.yaml")).unwrap();
    fs::write(folder.path().join("renamed.yaml"), format!("# moved\n\n{}", bad("a"))).unwrap();
    assert_eq!(lint(&["--baseline", "baseline.json"]).code, 0);
    fs::write(folder.path().join("b.yaml"), bad("b")).unwrap();
    let new = lint(&["--baseline", "baseline.json", "--format", "json"]);
    assert_eq!(new.code, 1);
    let files: Vec<Value> = new.json()["findings"].as_array().unwrap().iter().map(|finding| finding["file"].clone()).collect();
    assert_eq!(files, [json!("b.yaml")]);
    assert_eq!((&new.json()["summary"]["deny"], &new.json()["summary"]["known"]), (&json!(1), &json!(1)));
    let sarif = lint(&["--baseline", "baseline.json", "--format", "sarif"]).json();
    assert_eq!(sarif["runs"][0]["results"][0]["baselineState"], "new");

    // The same finding twice in one file: one of them is known.
    fs::write(folder.path().join("b.yaml"), format!("{}---\n{}", bad("a"), good("b"))).unwrap();
    assert_eq!(lint(&["--baseline", "baseline.json"]).code, 1);

    // It got worse: a third of the tolerance.
    let slow = |threshold: u32| bad("a").replace("failureThreshold: 1", &format!("failureThreshold: {threshold}"));
    fs::write(folder.path().join("b.yaml"), slow(3)).unwrap();
    lint(&["--write-baseline", "slow.json"]);
    for (threshold, code) in [(3, 0), (4, 0), (1, 1)] {
        fs::write(folder.path().join("b.yaml"), slow(threshold)).unwrap();
        assert_eq!(lint(&["--baseline", "slow.json"]).code, code, "{threshold}");
    }

    // What was mended is no longer needed.
    fs::remove_file(folder.path().join("renamed.yaml")).unwrap();
    fs::write(folder.path().join("b.yaml"), good("b")).unwrap();
    let mended = lint(&["--baseline", "baseline.json"]);
    assert_eq!(mended.code, 0);
    assert_snapshot!(mended.stderr, @"
    probekeeper: 1 finding of the baseline not there any more as it was: write it anew with --write-baseline
    ");
}

#[test]
fn the_same_findings_give_the_same_file() {
    let one = folder(&[("a.yaml", &bad("a")), ("b.yaml", &bad("b"))]);
    let write = |paths: &[&str]| {
        run(one.path(), &[&["lint", "--write-baseline", "baseline.json"], paths].concat(), "");
        fs::read_to_string(one.path().join("baseline.json")).unwrap()
    };
    let absolute = one.path().join("b.yaml");
    assert_eq!(write(&["b.yaml", "a.yaml"]), write(&["./a.yaml", absolute.to_str().unwrap()]));
}

#[test]
fn errors() {
    let folder = folder(&[
        ("a.yaml", &bad("a")),
        ("broken.yaml", "a: b: c\n"),
        ("text.json", "hello\n"),
        ("later.json", "{ \"version\": 2, \"entries\": [] }\n"),
        ("list.json", "{ \"version\": 1, \"findings\": [{}] }\n"),
    ]);
    let all = [
        &["--baseline", "nowhere.json"][..],
        &["--baseline", "text.json"],
        &["--baseline", "later.json"],
        &["--baseline", "list.json"],
        &["--write-baseline", "no/such/folder.json"],
        &["--write-baseline", "b.json", "broken.yaml"],
    ]
    .map(|args| {
        let run = run(folder.path(), &[&["lint", "a.yaml"], args].concat(), "");
        assert_eq!((run.code, &*run.stdout), (2, ""), "{args:?}");
        run.stderr
    });
    assert_snapshot!(all.concat(), @"
    probekeeper: nowhere.json: the baseline cannot be read (--write-baseline makes one): No such file or directory
    probekeeper: text.json: not a baseline (--write-baseline makes one): expected value at line 1 column 1
    probekeeper: later.json: a baseline of version 2, and this probekeeper reads version 1: upgrade it, or write the baseline anew with --write-baseline
    probekeeper: list.json: not a baseline (--write-baseline makes one): missing field `file` at line 1 column 31
    probekeeper: no/such/folder.json: cannot be written: No such file or directory
    probekeeper: b.json: not written, because not everything could be judged: broken.yaml:1:5: a second `: ` on this line, or a mapping where none can be: quote the value or correct the indentation
    ");
    assert!(!folder.path().join("b.json").exists());
}
