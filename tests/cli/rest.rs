//! Everything but `lint`.

use insta::assert_snapshot;

use super::{anywhere, folder, run};

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

const POLICY: &str = "apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\nprofile: strict\nrules:\n  missing-readiness: off\n";

#[test]
fn policy_check() {
    let folder = folder(&[
        ("good.yaml", POLICY),
        ("bad.yaml", &POLICY.replace("missing-readiness", "missing-readyness").replace("strict", "strickt")),
    ]);
    let good = run(folder.path(), &["policy", "check", "good.yaml"], "");
    assert!(good.code == 0 && good.stdout.starts_with("good.yaml: valid, profile strict, hash "), "{}", good.all());
    assert_snapshot!(run(folder.path(), &["policy", "check", "bad.yaml"], "").all(), @r#"
    --- stderr
    bad.yaml:3:10: profile: unknown value `strickt`, did you mean `strict`?
    bad.yaml:5:3: rules: unknown rule `missing-readyness`, did you mean `missing-readiness`?
    --- exit code 2
    "#);
    assert_snapshot!(run(folder.path(), &["policy", "check", "nowhere.yaml"], "").all(), @r#"
    --- stderr
    probekeeper: nowhere.yaml: the policy cannot be read: No such file or directory
    --- exit code 2
    "#);
}

#[test]
fn an_invalid_policy_stops_a_run() {
    let folder =
        folder(&[("policy.yaml", "apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\nrulez: {}\n"), ("a.yaml", "a: 1\n")]);
    assert_snapshot!(run(folder.path(), &["lint", "--policy", "policy.yaml", "a.yaml"], "").all(), @r#"
    --- stderr
    policy.yaml:3:1: unknown key `rulez`, did you mean `rules`?
    --- exit code 2
    "#);
    assert_snapshot!(run(folder.path(), &["lint", "--policy", "nowhere.yaml", "a.yaml"], "").all(), @r#"
    --- stderr
    probekeeper: nowhere.yaml: the policy cannot be read: No such file or directory
    --- exit code 2
    "#);
}

#[test]
fn policy_show_is_a_policy() {
    for profile in ["baseline", "recommended", "strict"] {
        let shown = anywhere(&["policy", "show", "--profile", profile], "");
        assert!(
            shown.code == 0 && shown.stdout.starts_with("apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\n"),
            "{}",
            shown.all()
        );
        let folder = folder(&[("shown.yaml", &shown.stdout)]);
        let checked = run(folder.path(), &["policy", "check", "shown.yaml"], "");
        assert_eq!(checked.code, 0, "{}{}", shown.stdout, checked.stderr);
    }
}

/// What is shown of a policy is that policy: the same things are in force.
#[test]
fn policy_show_shows_a_policy_of_ones_own() {
    let policy = "\
apiVersion: probekeeper.dev/v1
kind: ProbePolicy
profile: strict
rules:
  aggressive-liveness: { action: warn, params: { minToleranceSeconds: 15 }, allowAnnotation: false }
defaults: { readinessProbe: { timeoutSeconds: 3 } }
overrides:
  - match:
      namespaces: [\"payments-*\", \"off\"]
      labels: { matchLabels: { tier: web }, matchExpressions: [{ key: example.com/team, operator: In, values: [shop, \"1\"] }] }
    rules: { missing-readiness: off, slow-readiness: { params: { maxSeconds: 90 } } }
    defaults: { livenessProbe: { initialDelaySeconds: 60, timeoutSeconds: leave } }
exemptions:
  - { match: { kinds: [Rollout] }, rules: [\"*\"], reason: 'see \"the board\": #4711' }
  - { match: { containers: [importer] }, rules: [no-probes, hair-trigger-liveness], reason: it ends, until: 2021-03-31 }
workloads:
  - { apiVersion: argoproj.io/v1alpha1, kind: Rollout, resource: rollouts, template: /spec/template }
";
    let folder = folder(&[("policy.yaml", policy)]);
    let shown = run(folder.path(), &["policy", "show", "--policy", "policy.yaml"], "");
    assert_eq!(
        (shown.code, &*shown.stderr),
        (0, "policy.yaml: exemptions[1] ended after 2021-03-31 and no longer applies: it ends\n"),
        "{}",
        shown.all()
    );
    let lists = shown.stdout.split_once("\noverrides:\n").expect("overrides").1;
    assert_snapshot!(format!("overrides:\n{lists}"), @r#"
    overrides:
      - match:
          labels:
            matchExpressions:
              - key: example.com/team
                operator: In
                values: [shop, "1"]
            matchLabels:
              tier: web
          namespaces: ["payments-*", "off"]
        rules:
          missing-readiness: "off"
          slow-readiness:
            params:
              maxSeconds: 90
        defaults:
          livenessProbe:
            initialDelaySeconds: 60
            timeoutSeconds: leave
    exemptions:
      - match:
          kinds: [Rollout]
        rules: ["*"]
        reason: "see \"the board\": #4711"
      - match:
          containers: [importer]
        rules: [no-probes, hair-trigger-liveness]
        reason: "it ends"
        until: "2021-03-31"
    workloads:
      - apiVersion: argoproj.io/v1alpha1
        kind: Rollout
        resource: rollouts
        template: "/spec/template"
    onInternalError: allow
    ownedObjects: warn
    startup:
      allowanceSeconds: 30
      learning: false
      maxSeconds: 600
      minSeconds: 10
    "#);
    std::fs::write(folder.path().join("shown.yaml"), &shown.stdout).unwrap();
    let check = |file: &str| run(folder.path(), &["policy", "check", file], "");
    let said = |file: &str| check(file).stdout.replace(file, "");
    assert_eq!(said("shown.yaml"), said("policy.yaml"), "{}", shown.stdout);
    assert!(said("shown.yaml").contains("valid, profile strict, hash "));
    assert_eq!(check("policy.yaml").stderr, "policy.yaml: exemptions[1] ended after 2021-03-31 and no longer applies: it ends\n");
    let again = run(folder.path(), &["policy", "show", "--policy", "shown.yaml"], "");
    assert_eq!(again.stdout, shown.stdout);
    let both = run(folder.path(), &["policy", "show", "--policy", "shown.yaml", "--profile", "strict"], "");
    assert!(both.code == 2 && both.stderr.contains("cannot be used with"), "{}", both.all());
    let bad = run(folder.path(), &["policy", "show", "--policy", "none.yaml"], "");
    assert_eq!((bad.code, &*bad.stderr), (2, "probekeeper: none.yaml: the policy cannot be read: No such file or directory\n"));
}

#[test]
fn policy_schema_is_a_schema() {
    let schema = anywhere(&["policy", "schema"], "").json();
    assert!(schema["$schema"].as_str().is_some_and(|url| url.contains("json-schema.org")), "{schema}");
    assert!(schema["properties"]["profile"].is_object(), "{schema}");
}
