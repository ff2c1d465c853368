//! Everything but `lint`.

use insta::assert_snapshot;

use super::anywhere;

#[test]
fn version() {
    let run = anywhere(&["version"], "");
    assert_eq!((run.code, run.stdout), (0, format!("probekeeper {}\n", env!("CARGO_PKG_VERSION"))));
    assert_eq!(anywhere(&["--version"], "").stdout, anywhere(&["version"], "").stdout);
}

#[test]
fn bad_usage_exits_2() {
    for args in [
        &["lint"][..],
        &["lint", "--no-such-flag", "x"],
        &["nothing"],
        &[],
        &["lint", "--format", "pdf", "x"],
        &["rules", "explain"],
    ] {
        let run = anywhere(args, "");
        assert_eq!(run.code, 2, "{args:?}");
        assert!(
            run.stdout.is_empty() && run.stderr.contains("Usage:") || run.stderr.contains("possible values"),
            "{args:?}: {}",
            run.stderr
        );
    }
    assert_snapshot!(anywhere(&["lint", "--no-such-flag", "x"], "").stderr, @r#"
    error: unexpected argument '--no-such-flag' found

      tip: to pass '--no-such-flag' as a value, use '-- --no-such-flag'

    Usage: probekeeper lint [OPTIONS] <PATH>...

    For more information, try '--help'.
    "#);
}

#[test]
fn help_is_a_result() {
    let run = anywhere(&["lint", "--help"], "");
    assert_eq!(run.code, 0);
    assert!(run.stdout.contains("--min-action") && run.stderr.is_empty());
}

#[test]
fn rules_list() {
    let text = anywhere(&["rules", "list"], "");
    assert_eq!(text.code, 0);
    assert!(text.stdout.starts_with("rule "));
    assert!(
        text.stdout.lines().any(|line| line.starts_with("unknown-port-name ") && line.ends_with("deny      deny         deny"))
    );
    let rules = anywhere(&["rules", "list", "--format", "json"], "").json();
    assert_eq!(rules.as_array().unwrap().len(), text.stdout.lines().count() - 1);
    assert_eq!(rules[0]["id"], "unknown-port-name");
    assert_eq!(rules[0]["actions"]["baseline"], "deny");
}

#[test]
fn rules_explain() {
    let run = anywhere(&["rules", "explain", "hair-trigger-liveness"], "");
    assert_eq!(run.code, 0);
    assert!(
        run.stdout.starts_with("hair-trigger-liveness\nbaseline: deny, recommended: deny, strict: deny\n\n"),
        "{}",
        run.stdout
    );
    assert!(run.stdout.contains("\nWhy it is bad\n") && !run.stdout.contains("```") && !run.stdout.contains('\u{1b}'));
    assert_snapshot!(anywhere(&["rules", "explain", "hair-triger-liveness"], "").all(), @r#"
    --- stderr
    probekeeper: no rule is called `hair-triger-liveness`: did you mean `hair-trigger-liveness`?
    --- exit code 2
    "#);
    assert_snapshot!(anywhere(&["rules", "explain", "xyzzy"], "").all(), @r#"
    --- stderr
    probekeeper: no rule is called `xyzzy`: `probekeeper rules list` shows all
    --- exit code 2
    "#);
}

#[test]
fn completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let run = anywhere(&["completions", shell], "");
        assert!(run.code == 0 && run.stdout.contains("probekeeper"), "{shell}");
    }
    assert_eq!(anywhere(&["completions", "csh"], "").code, 2);
}

#[test]
fn a_closed_pipe_is_no_error() {
    let output = std::process::Command::new("bash")
        .args(["-c", "set -o pipefail; \"$0\" completions bash | true", env!("CARGO_BIN_EXE_probekeeper")])
        .output()
        .unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}
